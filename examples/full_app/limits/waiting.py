"""Where calls wait, in order, for a slot: a few, for a short while; the rest leave.

A queue that is not bounded only turns overload into time-outs. Those who are turned
away hear so at once (503 or 429 with `Retry-After`) and can go elsewhere.
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeVar

from examples.full_app.limits.slots import NoSlotError

T = TypeVar("T")

# A slot that was freed in another process is found by looking.
LOOK_SECONDS = 0.25


class WaitingQueue:
    """At most `places` calls, each for at most `max_wait_seconds`.

    Those of one caller are served in the order in which they came; who is behind others
    when its time is over tries once more, when it is its turn.
    """

    def __init__(self, places: int, max_wait_seconds: float) -> None:
        self.places = places
        self.max_wait_seconds = max_wait_seconds
        self.taken = 0
        self._lines: dict[str, _Line] = {}
        self._freed = asyncio.Event()

    def notify(self) -> None:
        """A slot was freed here: whoever is first in line may look at once."""
        if self.taken:
            self._freed.set()
            self._freed = asyncio.Event()

    async def admitted(self, subject: str, attempt: Callable[[], Awaitable[T]]) -> T:
        """What `attempt` answers, tried again while it raises NoSlotError.

        Raises it where there is no place to wait, or the time is over.
        """
        if subject not in self._lines or self.taken >= self.places:
            try:
                return await attempt()
            except NoSlotError:
                if self.taken >= self.places:
                    raise
        return await self.wait(subject, attempt)

    async def wait(self, subject: str, attempt: Callable[[], Awaitable[T]]) -> T:
        """Take a place and try `attempt` again and again, when it is its turn."""
        self.taken += 1
        try:
            return await self._in_line(subject, attempt)
        finally:
            self.taken -= 1

    async def _in_line(self, subject: str, attempt: Callable[[], Awaitable[T]]) -> T:
        line = self._lines.setdefault(subject, _Line())
        line.length += 1
        gives_up = time.monotonic() + self.max_wait_seconds
        try:
            async with line.turn:
                return await self._keep_trying(attempt, gives_up)
        finally:
            line.length -= 1
            if not line.length:
                del self._lines[subject]

    async def _keep_trying(
        self, attempt: Callable[[], Awaitable[T]], gives_up: float
    ) -> T:
        while True:
            freed = self._freed
            try:
                return await attempt()
            except NoSlotError:
                left = gives_up - time.monotonic()
                if left <= 0:
                    raise
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(left, LOOK_SECONDS)):
                    await freed.wait()


@dataclass(slots=True)
class _Line:
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    length: int = 0
