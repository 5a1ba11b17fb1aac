"""What a call of a model leaves behind: numbers in metrics, facts in the log."""

from collections.abc import Iterable
from typing import NamedTuple

from examples.full_app.money import as_usd
from examples.full_app.observability.logs import note_call, redacted
from examples.full_app.observability.metrics import Metrics
from examples.s2_models import Usage


class CallReport(NamedTuple):
    """A call that has ended. Times in seconds; `cost` in nano-USD, None: no price.

    `error` is the name of the exception that ended it, empty for a whole answer.
    `said` is what was asked: only its length and a hash go anywhere.
    """

    operation: str
    request_id: str
    provider: str
    model: str
    usage: Usage
    cost: int | None
    seconds: float
    said: Iterable[str]
    error: str = ""
    first_token: float | None = None


def report(metrics: Metrics, call: CallReport) -> None:
    """Count the call, and add it to the line of its request, or write it a line."""
    metrics.count_call(
        call.operation,
        call.provider,
        call.model,
        call.usage,
        call.seconds,
        error=call.error,
        first_token=call.first_token,
    )
    note_call(
        {
            "request_id": call.request_id,
            "operation": call.operation,
            "model": call.model,
            "prompt": redacted("\n".join(call.said)),
            "prompt_tokens": call.usage.prompt_tokens,
            "completion_tokens": call.usage.completion_tokens,
            "cost_usd": None if call.cost is None else as_usd(call.cost),
            "ms": round(call.seconds * 1000, 2),
        }
    )
