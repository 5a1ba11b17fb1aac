"""What a call of a model costs: reserved before it, settled and reported after it.

Every way in (chat, streams, the WebSocket, jobs, embeddings) opens a `CallAccount`
before the work and settles it once, whatever happened: done, failed, or client gone.
"""

import itertools
import time
from collections.abc import Iterable, Mapping

from examples.full_app.limits.ledger import CallerLimits, Hold, ModelUsage
from examples.full_app.money import Price, as_usd, cached_tokens
from examples.full_app.observability.logs import note_call, redacted
from examples.full_app.observability.metrics import Metrics
from examples.full_app.observability.tracing import describe_call
from examples.full_app.providers.base import CallContext, Provider
from examples.s2_models import Usage

CLIENT_CLOSED = "ClientClosedRequest"
GRACE_SECONDS = 60.0  # between a call's deadline and the end of what it has reserved
LONGEST_CALL_SECONDS = 3600.0  # for calls without a deadline


class CallAccount:
    """One call's reservation, and what becomes of it.

    `error` names the exception that ended the call, and is empty for a complete answer.
    Until another end is seen, a call counts as left by its client.
    """

    def __init__(
        self,
        operation: str,
        model: str,
        context: CallContext,
        provider: Provider,
        limits: CallerLimits,
        hold: Hold,
        prompt: Iterable[str],
        metrics: Metrics,
        price: Price | None = None,
    ) -> None:
        """`price` is what the model costs; None where nothing is charged."""
        self.price = price
        self.operation = operation
        self.model = model
        self.context = context
        self.provider = provider
        self.limits = limits
        self.hold = hold
        self.prompt = prompt
        self.metrics = metrics
        self.started = time.monotonic()
        self.chunk_times: list[float] = []
        self.error = CLIENT_CLOSED

    @classmethod
    async def open(
        cls,
        operation: str,
        model: str,
        context: CallContext,
        provider: Provider,
        limits: CallerLimits,
        *,
        prompt: Iterable[str],
        prompt_tokens: int,
        output_tokens: int,
        metrics: Metrics,
    ) -> "CallAccount":
        """Reserve the most that the call may use: a request, tokens, a slot and money.

        `prompt` is the text that was sent; only its length and a hash are ever logged.
        Nothing is expected from the upstream's cache. Raises what
        `CallerLimits.price_of` and `CallerLimits.reserve` raise.
        """
        describe_call(operation, model, context.api_type)
        price = limits.price_of(model, provider.name)
        hold = await limits.reserve(
            prompt_tokens + output_tokens,
            None if price is None else price.cost(prompt_tokens, output_tokens),
            seconds=_seconds_left(context),
            queue=not context.detached,  # a job waits where it is
        )
        return cls(
            operation, model, context, provider, limits, hold, prompt, metrics, price
        )

    @property
    def headers(self) -> Mapping[str, str]:
        """The rate-limit headers that tell the caller where it stands."""
        return self.hold.lease.headers

    def note_chunk(self) -> None:
        """Remember when a chunk of a stream came."""
        self.chunk_times.append(time.monotonic())

    def settle(self, usage: Usage) -> None:
        """Charge `usage`, give back the rest of the reservation, and report the call.

        The answer does not wait for it; the next call of this process does.
        """
        cost = self.cost(usage)
        self.limits.settle(self.hold, usage.total_tokens, cost)
        if usage.total_tokens:
            used = ModelUsage(
                1,
                usage.prompt_tokens,
                cached_tokens(usage),
                usage.completion_tokens,
                cost or 0,
            )
            self.limits.count(self.hold, self.model, used)
        self.report(usage, cost)

    def cost(self, usage: Usage) -> int | None:
        """What the call costs in nano-USD; None for a model without a price."""
        if self.price is None:
            return None
        return self.price.cost(
            usage.prompt_tokens, usage.completion_tokens, cached_tokens(usage)
        )

    def report(self, usage: Usage, cost: int | None) -> None:
        """Count the call in metrics, and add its facts to the line of its request."""
        seconds = time.monotonic() - self.started
        times = self.chunk_times
        self.metrics.count_call(
            self.operation,
            self.context.trail.provider or self.provider.name,
            self.model,
            usage,
            seconds,
            api_type=self.context.api_type,
            error=self.error,
            first_chunk=times[0] - self.started if times else None,
            gaps=[later - earlier for earlier, later in itertools.pairwise(times)],
        )
        note_call(
            {
                "request_id": self.context.request_id,
                "operation": self.operation,
                "model": self.model,
                "prompt": redacted("\n".join(self.prompt)),
                "prompt_tokens": usage.prompt_tokens,
                "completion_tokens": usage.completion_tokens,
                "cost_usd": None if cost is None else as_usd(cost),
                "ms": round(seconds * 1000, 2),
            }
        )


def _seconds_left(context: CallContext) -> float:
    """How many seconds a call may hold what it has reserved."""
    ends = context.stream_deadline or context.deadline
    if ends is None:
        return LONGEST_CALL_SECONDS
    return max(0.0, ends - time.monotonic()) + GRACE_SECONDS
