"""The service behind chat and embeddings: which provider answers, and what it costs.

A call is opened in five steps: count the prompt, refuse what cannot fit, choose the
provider, reserve from the caller's limits, and hand over a `Call` to be read.
"""

from collections.abc import Mapping

from examples.full_app.chat.accounting import CallAccount
from examples.full_app.chat.call import Call
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
from examples.full_app.tokens import Tokenizer, count_messages
from examples.s2_models import CONTEXT_WINDOW, Usage
from examples.s5_error_handling import ContextLengthError


class ChatService:
    """Routes each model to the provider that serves it, and accounts for every call."""

    def __init__(
        self,
        primary_provider: Provider,
        by_prefix: Mapping[str, Provider],
        *,
        tokenizer: Tokenizer,
        metrics: Metrics,
        draining: Draining | None = None,
    ) -> None:
        """`by_prefix` names the providers of models whose names begin so; all other
        models are the primary provider's."""
        self.primary_provider = primary_provider
        self.by_prefix = by_prefix
        self.tokenizer = tokenizer
        self.metrics = metrics
        self.draining = draining or Draining()

    async def open(
        self,
        request: ChatCompletionRequest,
        context: CallContext,
        limits: CallerLimits,
    ) -> Call:
        """Admit a call. The caller closes it, whatever happens.

        While the process shuts down only detached calls (a job's) are admitted; the
        others end early then, with ServerShuttingDownError. Raises ContextLengthError,
        and what `CallerLimits.reserve` raises.
        """
        if not context.detached:
            self.draining.admit()
        prompt_tokens = count_messages(self.tokenizer, request.messages)
        needed = prompt_tokens + request.output_limit
        if needed > CONTEXT_WINDOW:
            raise ContextLengthError(needed, CONTEXT_WINDOW)
        provider = self.provider_for(request.model)
        account = await CallAccount.open(
            "chat",
            request.model,
            context,
            provider,
            limits,
            prompt=(message.content or "" for message in request.messages),
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
        )
        if not context.detached:
            call.on_close(self.draining.watch(call.stop))
        return call

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
            usage = Usage(prompt_tokens=embeddings.prompt_tokens, completion_tokens=0)
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
