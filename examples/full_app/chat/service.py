"""The service behind chat and embeddings: which provider answers, and what it costs.

A call is opened in five steps: count the prompt, refuse what cannot fit, choose the
provider, reserve from the caller's limits, and hand over a `Call` to be read.
"""

from collections.abc import Mapping
from dataclasses import replace

from examples.full_app.chat.accounting import CallAccount
from examples.full_app.chat.call import MAX_ANSWER_BYTES, Call
from examples.full_app.errors import RequestError
from examples.full_app.lifecycle import Draining
from examples.full_app.limits.ledger import CallerLimits
from examples.full_app.observability.metrics import Metrics
from examples.full_app.providers.base import (
    CallContext,
    EmbeddingCall,
    Embeddings,
    Provider,
)
from examples.full_app.schemas.catalogue import Model
from examples.full_app.schemas.chat import ChatCompletionRequest
from examples.full_app.schemas.upstream import UpstreamRules
from examples.full_app.tokens import Tokenizer, count_prompt
from examples.s2_models import CONTEXT_WINDOW, Usage
from examples.s5_error_handling import ContextLengthError

MAX_LOGPROBS = 25_000


class TooManyLogprobsError(RequestError):
    """The request asks for more log probabilities than one answer may have.

    A token takes four bytes of an answer, and with twenty alternatives 1,500. So the
    three factors are limited together, before anything is done. `param` is the factor
    that is furthest above its default.
    """

    code = "too_many_logprobs"
    recovery = "Lower `top_logprobs`, `max_tokens` or `n`, or send several requests."

    def __init__(self, request: ChatCompletionRequest, limit: int) -> None:
        n, tokens = request.n, request.output_limit
        top_logprobs = request.top_logprobs or 0
        limit_name = "max_completion_tokens"
        if request.max_completion_tokens is None:
            limit_name = "max_tokens"
        above_default = {
            "n": n / 1,
            limit_name: tokens / 1024,
            "top_logprobs": (top_logprobs + 1) / 1,
        }
        largest = max(above_default, key=above_default.__getitem__)
        asked = logprobs_asked(request)
        super().__init__(
            f"n ({n}) times {limit_name} ({tokens}) times (top_logprobs "
            f"({top_logprobs}) + 1) are {asked} log probabilities; {limit} are "
            f"allowed. Lower {largest} first.",
            param=largest,
            details={"logprobs": asked, "max_logprobs": limit},
        )


def logprobs_asked(request: ChatCompletionRequest) -> int:
    """How many log probabilities the answer has at most; 0 if none are wanted."""
    if not request.logprobs:
        return 0
    return request.n * request.output_limit * ((request.top_logprobs or 0) + 1)


class ChatService:
    """Routes each model to the provider that serves it, and accounts for every call.

    It has the place of section 4's `LLMService`, and hides which provider answers as
    that does. It is no subclass: `ask(prompt)` names no caller, and nothing is answered
    here that no caller's limits and budget have admitted.
    """

    def __init__(
        self,
        primary_provider: Provider,
        by_prefix: Mapping[str, Provider],
        *,
        tokenizer: Tokenizer,
        metrics: Metrics,
        draining: Draining | None = None,
        max_logprobs: int = MAX_LOGPROBS,
        max_answer_bytes: int = MAX_ANSWER_BYTES,
        upstream_rules: UpstreamRules | None = None,
    ) -> None:
        """`by_prefix` names the providers of models whose names begin so; all other
        models are the primary provider's. An answer has at most `max_logprobs` log
        probabilities and `max_answer_bytes` bytes. `upstream_rules` say how far
        requests for the primary provider may go; None: no further than
        section 2's."""
        self.primary_provider = primary_provider
        self.by_prefix = by_prefix
        self.tokenizer = tokenizer
        self.metrics = metrics
        self.upstream_rules = upstream_rules
        self.draining = draining or Draining()
        self.max_logprobs = max_logprobs
        self.max_answer_bytes = max_answer_bytes

    async def open(
        self,
        request: ChatCompletionRequest,
        context: CallContext,
        limits: CallerLimits,
    ) -> Call:
        """Admit a call. The caller closes it, whatever happens.

        While the process shuts down only detached calls (a job's) are admitted; the
        others end early then, with ServerShuttingDownError. Raises
        TooManyLogprobsError, ContextLengthError, and what `CallerLimits.reserve`
        raises.
        """
        if not context.detached:
            self.draining.admit()
        if logprobs_asked(request) > self.max_logprobs:
            raise TooManyLogprobsError(request, self.max_logprobs)
        prompt_tokens = count_prompt(self.tokenizer, request)
        needed = prompt_tokens + request.output_limit
        provider = self.provider_for(request.model)
        window = self.context_window_of(provider)
        if needed > window:
            raise ContextLengthError(needed, window)
        account = await CallAccount.open(
            "chat",
            request.model,
            context,
            provider,
            limits,
            prompt=request.prompt_texts,
            prompt_tokens=prompt_tokens,
            output_tokens=request.output_limit * request.n,
            metrics=self.metrics,
        )
        call = Call(
            request,
            context,
            provider,
            account,
            tokenizer=self.tokenizer,
            prompt_tokens=prompt_tokens,
            max_bytes=self.max_answer_bytes,
        )
        if not context.detached:
            call.on_close(self.draining.watch(call.stop))
        return call

    def check(self, request: ChatCompletionRequest, limits: CallerLimits) -> None:
        """Refuse now what `open` would refuse later, wherever the limits stand.

        It is for work that is queued first. Raises TooManyLogprobsError,
        ContextLengthError, ModelNotAllowedError and ModelNotPricedError.
        """
        if logprobs_asked(request) > self.max_logprobs:
            raise TooManyLogprobsError(request, self.max_logprobs)
        provider = self.provider_for(request.model)
        needed = count_prompt(self.tokenizer, request) + request.output_limit
        window = self.context_window_of(provider)
        if needed > window:
            raise ContextLengthError(needed, window)
        limits.price_of(request.model, provider.name)

    async def embed(
        self, request: EmbeddingCall, context: CallContext, limits: CallerLimits
    ) -> tuple[Embeddings, CallAccount]:
        """Vectors for a batch of texts or token ids, and the account that was settled.

        A call that fails, or whose client leaves, is not charged. Raises an AIError.
        """
        self.draining.admit()
        prompt_tokens = sum(
            self.tokenizer.count(item) if isinstance(item, str) else len(item)
            for item in request.inputs
        )
        provider = self.provider_for(request.model)
        account = await CallAccount.open(
            "embeddings",
            request.model,
            context,
            provider,
            limits,
            prompt=map(str, request.inputs),
            prompt_tokens=prompt_tokens,
            output_tokens=0,
            metrics=self.metrics,
        )
        usage = Usage(prompt_tokens=0, completion_tokens=0)
        try:
            async with self.draining.limited():
                embeddings = await provider.embed(request, context)
            if embeddings.prompt_tokens is None:
                embeddings = replace(embeddings, prompt_tokens=prompt_tokens)
            used = embeddings.prompt_tokens or 0
            usage = Usage(prompt_tokens=used, completion_tokens=0)
            account.error = ""
        except Exception as failure:
            account.error = type(failure).__name__
            raise
        finally:
            account.settle(usage)
        return embeddings, account

    def provider_for(self, model: str) -> Provider:
        """The provider that answers for `model`."""
        for prefix, provider in self.by_prefix.items():
            if model.startswith(prefix):
                return provider
        return self.primary_provider

    def context_window_of(self, provider: Provider) -> int:
        """The tokens that a question and its answer may have together."""
        if self.upstream_rules is None or provider is not self.primary_provider:
            return CONTEXT_WINDOW
        return self.upstream_rules.context_window

    async def models(self) -> list[Model]:
        """Everything any provider answers for, the first provider of an id first."""
        by_id: dict[str, Model] = {}
        for provider in dict.fromkeys(
            [self.primary_provider, *self.by_prefix.values()]
        ):
            for model in await provider.models():
                by_id.setdefault(model.id, model)
        self.metrics.know(by_id)
        return list(by_id.values())
