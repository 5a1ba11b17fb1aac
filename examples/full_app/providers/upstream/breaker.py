"""A circuit breaker: an upstream that keeps failing is left alone for a while.

Ours, because the libraries for asyncio decorate functions, and an answer here is an
async generator whose first delta, not its end, says that the upstream is back.
The state is one process's own: each process finds out for itself.
Source: M. Nygard, Release It!, "Circuit Breaker".
"""

import time
from collections.abc import Callable

from examples.s5_error_handling import CodedError, ErrorCode

PROBE_SECONDS = 1.0  # what callers are told to wait while a probe is under way


class CircuitOpenError(CodedError):
    """The upstream failed too often in a row and is not asked now."""

    code, status_code, retryable = ErrorCode.SERVICE_UNAVAILABLE, 503, True
    recovery = "Wait for Retry-After seconds: then the upstream is asked again."


class CircuitBreaker:
    """Closed, open for `pause` seconds after `threshold` failures in a row, half-open.

    Half-open lets one call through, the probe: it closes the breaker or opens it anew.
    """

    def __init__(
        self,
        threshold: int = 5,
        pause: float = 5.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.threshold, self.pause, self.clock = threshold, pause, clock
        self.failures = 0
        self._opened: float | None = None
        self._probing = False

    def admit(self) -> bool:
        """Whether the call that begins now is the probe. Raises CircuitOpenError."""
        if self._opened is None:
            return False
        left = self._opened + self.pause - self.clock()
        if left > 0 or self._probing:
            wait = max(left, PROBE_SECONDS) if self._probing else left
            raise CircuitOpenError("The upstream keeps failing.", retry_after=wait)
        self._probing = True
        return True

    def record(self, healthy: bool | None, *, probe: bool = False) -> None:
        """How a call went; None: it says nothing about the upstream, as when cut."""
        if probe:
            self._probing = False
        if healthy:
            self.failures = 0
            self._opened = None if probe else self._opened
        elif healthy is False:
            self.failures += 1
            if probe or (self._opened is None and self.failures >= self.threshold):
                self._opened = self.clock()
