"""Shutting down: no new work, and a time by which what runs has ended.

Requests are counted, and refused once draining has begun. Calls of a model leave a
way to stop them: at the limit each ends with an error, which a stream sends as its
last event. What watches the signals is in `web/shutdown.py`.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

from examples.s5_error_handling import CodedError

LAST_WORDS_SECONDS = 1.0  # for error events to be sent, once the limit is reached

Stop = Callable[[], None]


class ServerShuttingDownError(CodedError):
    """This process is about to end; another one may answer."""

    code, status_code, retryable = "server_shutting_down", 503, True
    recovery = "Try again after `Retry-After`; another process may answer."

    def __init__(self) -> None:
        super().__init__("The server is shutting down.", retry_after=1)


class ConnectionAborted(Exception):
    """The connection is to be cut here, without the end that a client waits for."""


class Draining:
    """Whether this process shuts down, and what it still has to finish."""

    def __init__(self, seconds: float = 10.0, *, notice: float = 0.0) -> None:
        """What runs gets `seconds`; `notice` is the least time to be seen unready."""
        self.began = asyncio.Event()
        self._seconds, self._notice = seconds, notice
        self._stops: set[Stop] = set()
        self._running = 0
        self._idle = asyncio.Event()
        self._idle.set()

    def is_set(self) -> bool:
        """Whether new work is refused."""
        return self.began.is_set()

    def admit(self) -> None:
        """Raise ServerShuttingDownError once draining has begun."""
        if self.is_set():
            raise ServerShuttingDownError

    def enter(self) -> None:
        """Have draining wait until `leave` is called."""
        self._running += 1
        self._idle.clear()

    def leave(self) -> None:
        """What was entered has ended."""
        self._running -= 1
        self._look()

    def watch(self, stop: Stop) -> Stop:
        """Wait for what `stop` would end early; call the answer when it has ended."""
        self._stops.add(stop)
        self._idle.clear()

        def ended() -> None:
            self._stops.discard(stop)
            self._look()

        return ended

    @contextlib.asynccontextmanager
    async def limited(self) -> AsyncIterator[None]:
        """A block that ends in ServerShuttingDownError when its time is over."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(None) as limit:
                ended = self.watch(lambda: limit.reschedule(loop.time()))
                try:
                    yield
                finally:
                    ended()
        except TimeoutError:
            if limit.expired():
                raise ServerShuttingDownError from None
            raise

    async def drain(self) -> None:
        """Refuse what is new; return when nothing runs, or it had its time."""
        self.began.set()
        async with asyncio.TaskGroup() as group:
            group.create_task(asyncio.sleep(self._notice))
            group.create_task(self._finish())

    async def _finish(self) -> None:
        try:
            await asyncio.wait_for(self._idle.wait(), self._seconds)
        except TimeoutError:
            for stop in tuple(self._stops):
                stop()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._idle.wait(), LAST_WORDS_SECONDS)

    def _look(self) -> None:
        if not self._running and not self._stops:
            self._idle.set()
