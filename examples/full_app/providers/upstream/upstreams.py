"""One upstream among several: its name, its time, and what its errors mean."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable
from dataclasses import dataclass, field
from typing import TypeVar

from examples.full_app.providers.base import CallContext, Delta, Provider
from examples.full_app.providers.upstream.breaker import (
    CircuitBreaker,
    CircuitOpenError,
)
from examples.s2_models import Usage
from examples.s5_error_handling import (
    AIError,
    ModelTimeoutError,
    RateLimitExceededError,
)

Answer = TypeVar("Answer")
TIMER_SECONDS = 0.01  # uvloop counts in milliseconds
REASONS = {429: "rate_limited", 503: "unavailable", 504: "timeout"}


class BudgetSpentError(AIError):
    """The last failure of a user call whose upstream calls are used up.

    It reads like that failure; but `x-should-retry: false` stops the
    clients' own retries.
    """

    recovery = "Wait, then send the request as a new one."


@dataclass(frozen=True, slots=True)
class Policy:
    """How far one user call goes; times in seconds."""

    calls: int = 3
    pause: float = 0.25
    longest_pause: float = 2.0  # asked to wait longer, the caller waits, not we
    hung_after: float = 10.0  # less patience than this proves nothing


@dataclass(frozen=True, slots=True)
class Upstream:
    """A provider with a bounded name, for headers and metrics, and its breaker.

    `model`, if given, is asked in place of the model the caller names.
    """

    name: str
    provider: Provider
    model: str | None = None
    breaker: CircuitBreaker = field(default_factory=CircuitBreaker)


Deltas = AsyncIterator[Delta | Usage]
Failures = list[tuple[Upstream, AIError]]


def left(call: CallContext) -> float:
    """Seconds worth using; timers may go off a little before the deadline."""
    if call.deadline is None:
        return float("inf")
    return call.deadline - time.monotonic() - TIMER_SECONDS


async def in_time(asked: Awaitable[Answer], call: CallContext) -> Answer:
    left = None if call.deadline is None else call.deadline - time.monotonic()
    try:
        async with asyncio.timeout(left):
            return await asked
    except TimeoutError:
        raise ModelTimeoutError("The model did not answer in time.") from None


async def close(deltas: AsyncIterator[Delta | Usage]) -> None:
    if isinstance(deltas, AsyncGenerator):
        await deltas.aclose()


def falls_back(error: AIError) -> bool:
    """Whether another upstream may do better: not if the caller must mend it."""
    return error.status_code >= 500 or isinstance(error, RateLimitExceededError)


def reason(error: AIError) -> str:
    if isinstance(error, CircuitOpenError):
        return "circuit_open"
    return REASONS.get(error.status_code, "error")
