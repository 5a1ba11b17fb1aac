"""Frames on their way out: what is ready together is written together.

A write a token is a pass through every middleware and a system call a token. Here a
task of its own writes, so that it takes along what came meanwhile; a frame that comes
alone goes alone, at the loop's next turn.
"""

import asyncio
import time

from starlette.types import Send

# A provider that never waits, on a socket that never fills, would freeze the loop.
TURN_SECONDS = 0.005
MOST_BYTES = 64 * 1024  # that wait to be written, before who makes them waits too


class Outbox:
    """Writes the body of one answer. `heartbeat` seconds of silence send `ping`."""

    def __init__(self, send: Send, *, heartbeat: float, ping: bytes) -> None:
        self._send = send
        self._heartbeat, self._ping = heartbeat, ping
        self._ready: list[bytes] = []
        self._size = 0
        self._ended: bool | None = None
        self._loop = asyncio.get_running_loop()
        self._idle: asyncio.Future[None] | None = None  # the writer waits for a frame
        self._room = asyncio.Event()
        self._last_sent = self._last_turn = 0.0
        self._timer: asyncio.TimerHandle | None = None

    async def run(self) -> None:
        """Write until `end` was called and nothing is left. Raises what `send` does."""
        self._last_sent = time.monotonic()
        self._look()
        try:
            while not await self._write():
                pass
        finally:
            if self._timer is not None:
                self._timer.cancel()

    async def put(self, frame: bytes) -> None:
        """Have `frame` written soon; wait where too much has not been."""
        self._ready.append(frame)
        self._size += len(frame)
        self._wake()
        if self._size > MOST_BYTES:
            self._room.clear()
            await self._room.wait()
        elif time.monotonic() - self._last_turn > TURN_SECONDS:
            await asyncio.sleep(0)
            # From its own turn on: among many that are busy the others' are longer.
            self._last_turn = time.monotonic()

    def end(self, *, complete: bool) -> None:
        """Nothing follows; the last write says so, if the answer is `complete`."""
        self._ended = complete
        self._wake()

    def _wake(self) -> None:
        if self._idle is not None and not self._idle.done():
            self._idle.set_result(None)

    async def _write(self) -> bool:
        """Write what is ready, once something is; whether it was the last."""
        if not self._ready and self._ended is None:
            self._idle = self._loop.create_future()
            await self._idle
        body, last = b"".join(self._ready), self._ended
        self._ready.clear()
        self._size = 0
        self._room.set()
        if body or last:
            more = not last
            await self._send(
                {"type": "http.response.body", "body": body, "more_body": more}
            )
            self._last_sent = time.monotonic()
        return last is not None

    def _look(self) -> None:
        """Say something if nobody did; then look again when it is next due."""
        silent = time.monotonic() - self._last_sent
        if silent >= self._heartbeat and not self._ready:
            self._ready.append(self._ping)
            self._wake()
            silent = 0.0
        left = max(self._heartbeat - silent, self._heartbeat / 10)
        self._timer = self._loop.call_later(left, self._look)
