"""Connections to one upstream, each in a pool of its own.

httpx2's pool looks through all of its connections twice a request, and asks the system
about each that is idle: with 128 of them that was half of what a call cost. Here a call
takes the connection that was used last, and whoever finds an old one idle closes it.
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx2

KEPT_SECONDS = 5.0  # httpx2's own: a connection that nobody uses

Open = Callable[[], httpx2.AsyncBaseTransport]


class Lanes(httpx2.AsyncBaseTransport):
    """At most `most` calls at once, each on a transport that `open_lane` makes.

    Raises httpx2.PoolTimeout for a call that finds no lane in its time.
    """

    def __init__(self, open_lane: Open, most: int) -> None:
        self._open = open_lane
        self._places = asyncio.Semaphore(most)
        self._idle: deque[tuple[float, httpx2.AsyncBaseTransport]] = deque()
        self._busy: set[httpx2.AsyncBaseTransport] = set()

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send on one lane, which is free again when the response is closed."""
        await self._enter(request.extensions.get("timeout", {}).get("pool"))
        lane = self._idle.pop()[1] if self._idle else self._open()
        self._busy.add(lane)
        try:
            await self._close_an_old_one()
            response = await lane.handle_async_request(request)
        except BaseException:
            self._leave(lane)
            raise
        response.stream = _Body(response.stream, lambda: self._leave(lane))
        return response

    async def aclose(self) -> None:
        """Close all, those in use too."""
        lanes = [*self._busy, *(lane for _, lane in self._idle)]
        self._idle.clear()
        for lane in lanes:
            await lane.aclose()

    async def _enter(self, patience: float | None) -> None:
        if not self._places.locked():
            await self._places.acquire()  # at once
            return
        try:
            async with asyncio.timeout(patience):
                await self._places.acquire()
        except TimeoutError:
            raise httpx2.PoolTimeout("All connections are in use.") from None

    def _leave(self, lane: httpx2.AsyncBaseTransport) -> None:
        if lane in self._busy:
            self._busy.remove(lane)
            self._idle.append((time.monotonic(), lane))
            self._places.release()

    async def _close_an_old_one(self) -> None:
        if self._idle and self._idle[0][0] < time.monotonic() - KEPT_SECONDS:
            await self._idle.popleft()[1].aclose()


class _Body(httpx2.AsyncByteStream):
    """A response's bytes; `closed` is called when they are closed."""

    def __init__(self, stream: Any, closed: Callable[[], None]) -> None:
        self._stream, self._closed = stream, closed

    def __aiter__(self) -> AsyncIterator[bytes]:
        found: AsyncIterator[bytes] = aiter(self._stream)
        return found

    async def aclose(self) -> None:
        try:
            await self._stream.aclose()
        finally:
            self._closed()
