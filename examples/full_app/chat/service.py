"""The service behind chat and embeddings: who answers, and what it costs the caller.

One call is: count the prompt, refuse what cannot fit, reserve, ask the provider,
settle what was used. Whatever ends a call (done, failed, client gone) settles it.
"""

import logging
import time
from collections.abc import Awaitable, Callable, Sequence

from examples.full_app.chat.call import Call
from examples.full_app.chat.reports import CallReport, report
from examples.full_app.lifecycle import Draining
from examples.full_app.limits.ledger import Hold, Ledger
from examples.full_app.limits.rates import Lease
from examples.full_app.limits.waiting import WaitingRoom
from examples.full_app.money import cost_of
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

log = logging.getLogger(__name__)

GRACE_SECONDS = 60.0  # between a call's deadline and the end of what it has reserved


class ChatService:
    """Routes each model to the provider that serves it and accounts for every call."""

    def __init__(
        self,
        providers: Sequence[Provider],
        choose: Callable[[str], Provider],
        *,
        ledger: Ledger,
        tokenizer: Tokenizer,
        metrics: Metrics,
        draining: Draining | None = None,
        waiting: WaitingRoom | None = None,
    ) -> None:
        self.providers = providers
        self.choose = choose
        self.ledger = ledger
        self.tokenizer = tokenizer
        self.metrics = metrics
        self.draining = draining or Draining()
        self.waiting = waiting or WaitingRoom(0, 0)

    async def open(
        self, request: ChatCompletionRequest, context: CallContext, subject: str
    ) -> tuple[Call, Lease]:
        """Admit a call. Raises ContextLengthError, and what `Ledger.reserve` raises.

        The caller closes what it gets. While the process shuts down only detached calls
        are admitted; the others end early then, with ServerShuttingDownError.
        """
        if not context.detached:
            self.draining.admit()
        prompt_tokens = count_messages(self.tokenizer, request.messages)
        most = prompt_tokens + request.output_limit
        if most > CONTEXT_WINDOW:
            raise ContextLengthError(most, CONTEXT_WINDOW)
        provider = self.choose(request.model)
        most = request.output_limit * request.n
        hold = await self._reserve(
            subject,
            prompt_tokens + most,
            cost_of(request.model, prompt_tokens, most),
            context,
        )

        def estimate(text: str) -> Usage:
            return Usage(
                prompt_tokens=prompt_tokens if text else 0,
                completion_tokens=self.tokenizer.count(text),
            )

        def settle(call: Call) -> None:
            usage = call.usage or estimate("".join(call.produced))
            cost = cost_of(request.model, usage.prompt_tokens, usage.completion_tokens)
            self._settle(hold, usage.total_tokens, cost)
            ended = CallReport(
                "chat",
                context.request_id,
                context.trail.provider or provider.name,
                request.model,
                usage,
                cost,
                time.monotonic() - call.started,
                said=(message.content or "" for message in request.messages),
                error=call.error,
                first_token=call.first_token,
            )
            report(self.metrics, ended)

        call = Call(request, context, provider, settle, estimate)
        if not context.detached:
            call.on_close(self.draining.watch(call.stop))
        return call, hold.lease

    async def embed(
        self, call: EmbeddingCall, context: CallContext, subject: str
    ) -> tuple[Embeddings, Lease]:
        """Vectors for a batch of texts or token ids. Raises an AIError.

        Of a call that fails, or whose client leaves, nothing is charged.
        """
        self.draining.admit()
        reserved = sum(
            self.tokenizer.count(item) if isinstance(item, str) else len(item)
            for item in call.inputs
        )
        provider = self.choose(call.model)
        hold = await self._reserve(
            subject, reserved, cost_of(call.model, reserved, 0), context
        )
        used, error, started = 0, "ClientClosedRequest", time.monotonic()
        try:
            async with self.draining.limited():
                embeddings = await provider.embed(call, context)
            used, error = embeddings.prompt_tokens, ""
        except Exception as failure:
            error = type(failure).__name__
            raise
        finally:
            cost = cost_of(call.model, used, 0)
            self._settle(hold, used, cost)
            ended = CallReport(
                "embeddings",
                context.request_id,
                context.trail.provider or provider.name,
                call.model,
                Usage(prompt_tokens=used, completion_tokens=0),
                cost,
                time.monotonic() - started,
                said=map(str, call.inputs),
                error=error,
            )
            report(self.metrics, ended)
        return embeddings, hold.lease

    def _reserve(
        self, subject: str, tokens: int, cost: int | None, context: CallContext
    ) -> Awaitable[Hold]:
        """What the call may use. Without a slot for it, a job waits where it is."""

        def attempt() -> Awaitable[Hold]:
            seconds = _seconds_left(context)
            return self.ledger.reserve(subject, tokens, cost, seconds=seconds)

        if context.detached:
            return attempt()
        return self.waiting.admitted(subject, attempt)

    def _settle(self, hold: Hold, tokens: int, cost: int | None) -> None:
        """The answer does not wait for it; the next call of this process does."""
        settled = self.ledger.settle(hold, tokens, cost)
        settled.add_done_callback(lambda _: self.waiting.nudge())

    async def models(self) -> list[Model]:
        """Everything any provider answers for, the first provider of an id first."""
        found: dict[str, Model] = {}
        for provider in self.providers:
            for model in await provider.models():
                found.setdefault(model.id, model)
        self.metrics.know(found)
        return list(found.values())


def _seconds_left(context: CallContext) -> float:
    """How long a call may hold what it reserved; without a deadline, an hour."""
    ends = context.stream_deadline or context.deadline
    if ends is None:
        return 3600.0
    return max(0.0, ends - time.monotonic()) + GRACE_SECONDS
