"""One deadline for the many waits of a stream, with one timer for all of them.

`asyncio.timeout` around each token makes a timer, puts it into the loop's heap and
cancels it, a token: that was a third of a request's CPU. Here the first wait sets the
timer, and only when it goes off is looked at who waits, and until when.
"""

import asyncio
import time
from collections.abc import Awaitable
from typing import Any, TypeVar

T = TypeVar("T")


class Deadline:
    """A time, on `time.monotonic()`'s clock, at which a wait is cut short; None: never.

    `at` may be moved while something waits, to a later time. One task waits at a time.
    Whoever makes one closes it.
    """

    def __init__(self, at: float | None) -> None:
        self.at = at
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[Any] | None = None
        self._rang = False

    async def wait_for(self, step: Awaitable[T], task: asyncio.Task[Any] | None) -> T:
        """What `step` answers. Raises TimeoutError, once `step` has been cancelled.

        As with `asyncio.timeout`, what is ready without waiting is never too late, and
        another's cancellation stays one. `task` is the one that waits: who waits often
        looks it up once (`asyncio.current_task` asks the system, for a token's price).
        """
        self._task = task = task or current_task()
        if self._timer is None and self.at is not None:
            self._set(self.at)
        before = task.cancelling()
        try:
            return await step
        except asyncio.CancelledError:
            if self._rang and self._take_back(task) <= before:
                raise TimeoutError from None
            raise
        finally:
            self._task = None
            if self._rang:  # what waited was ready at the same moment
                self._take_back(task)

    def ring(self) -> None:
        """Cut short what waits now, if anything does."""
        if self._task is not None and not self._rang:
            self._rang = True
            self._task.cancel()

    def close(self) -> None:
        """Nothing will wait any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _set(self, at: float) -> None:
        left = max(0.0, at - time.monotonic())
        self._timer = asyncio.get_running_loop().call_later(left, self._look)

    def _look(self) -> None:
        self._timer = None
        if self._task is None or self.at is None:
            return  # the next wait sets it again
        if time.monotonic() < self.at:
            self._set(self.at)
        else:
            self.ring()

    def _take_back(self, task: asyncio.Task[Any]) -> int:
        self._rang = False
        return task.uncancel()


def current_task() -> asyncio.Task[Any]:
    """The task that runs now. Raises RuntimeError outside of any."""
    task = asyncio.current_task()
    if task is None:
        raise RuntimeError("There is no task to wait in.")
    return task
