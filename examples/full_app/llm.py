"""The service behind chat and embeddings: who answers, and what it costs the caller.

One call is: count the prompt, refuse what cannot fit, reserve, ask the provider,
settle what was used. Whatever ends a call (done, failed, client gone) settles it.
"""

import logging
import time
from collections.abc import Callable, Sequence

from examples.full_app.calls import Call
from examples.full_app.limits import Lease, Limiter
from examples.full_app.providers.protocol import (
    CallContext,
    EmbeddingCall,
    Embeddings,
    Provider,
)
from examples.full_app.schemas.catalogue import Model
from examples.full_app.schemas.chat import ChatCompletionRequest
from examples.full_app.telemetry import Metrics
from examples.full_app.tokens import Tokenizer, count_messages
from examples.s2_models import CONTEXT_WINDOW, Usage
from examples.s5_error_handling import ContextLengthError

log = logging.getLogger(__name__)


class ChatService:
    """Routes each model to the provider that serves it and accounts for every call."""

    def __init__(
        self,
        providers: Sequence[Provider],
        choose: Callable[[str], Provider],
        *,
        limiter: Limiter,
        tokenizer: Tokenizer,
        metrics: Metrics,
    ) -> None:
        self.providers = providers
        self.choose = choose
        self.limiter = limiter
        self.tokenizer = tokenizer
        self.metrics = metrics

    async def open(
        self, request: ChatCompletionRequest, context: CallContext, subject: str
    ) -> tuple[Call, Lease]:
        """Admit a call. Raises ContextLengthError or RateLimitExceededError.

        The caller closes what it gets.
        """
        prompt_tokens = count_messages(self.tokenizer, request.messages)
        most = prompt_tokens + request.output_limit
        if most > CONTEXT_WINDOW:
            raise ContextLengthError(most, CONTEXT_WINDOW)
        provider = self.choose(request.model)
        reserved = prompt_tokens + request.output_limit * request.n
        lease = await self.limiter.reserve(subject, reserved)

        def estimate(text: str) -> Usage:
            return Usage(
                prompt_tokens=prompt_tokens if text else 0,
                completion_tokens=self.tokenizer.count(text),
            )

        async def settle(call: Call) -> None:
            usage = call.usage or estimate("".join(call.produced))
            self.metrics.count_tokens(request.model, usage)
            await self.limiter.settle(lease, usage.total_tokens)

        return Call(request, context, provider, settle, estimate), lease

    async def embed(
        self, call: EmbeddingCall, context: CallContext, subject: str
    ) -> tuple[Embeddings, Lease]:
        """Vectors for a batch of texts or token ids. Raises an AIError."""
        reserved = sum(
            self.tokenizer.count(item) if isinstance(item, str) else len(item)
            for item in call.inputs
        )
        provider = self.choose(call.model)
        lease = await self.limiter.reserve(subject, reserved)
        embeddings = await provider.embed(call, context)
        usage = Usage(prompt_tokens=embeddings.prompt_tokens, completion_tokens=0)
        self.metrics.count_tokens(call.model, usage)
        await self.limiter.settle(lease, usage.prompt_tokens)
        return embeddings, lease

    async def models(self) -> list[Model]:
        """Everything any provider answers for, the first provider of an id first."""
        found: dict[str, Model] = {}
        for provider in self.providers:
            for model in await provider.models():
                found.setdefault(model.id, model)
        return list(found.values())

    def context(
        self, request_id: str, *, timeout: float, traceparent: str | None = None
    ) -> CallContext:
        """The facts of a call that begins now and may take `timeout` seconds."""
        return CallContext(request_id, time.monotonic() + timeout, traceparent)
