"""Streams that begin, stay alive and end honestly, and stop when the client leaves.

Three facts of the server and of Starlette are behind this file. A JSON endpoint is not
cancelled when its client leaves. A generator that is suspended at `yield` is not closed
until the garbage collector comes. A stream that fails and still ends cleanly looks
complete to its client.
Source: WHATWG HTML, server-sent events (comments keep a connection alive).
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from typing import Any, Generic, TypeVar

import anyio
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from examples.full_app.errors import RequestError
from examples.full_app.lifecycle import ConnectionAborted

T = TypeVar("T")
Event = TypeVar("Event")

WATCH_AFTER_SECONDS = 0.05  # most answers are sent by then; a departure is seen in time
STREAM_HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
PING = b": ping\n"  # one newline: two end an event, and the official client trips
# A provider that never waits, on a socket that never fills, would freeze the loop.
TURN_SECONDS = 0.005
MAX_WAITING_BYTES = 64 * 1024  # not yet written, before the producer has to wait


class ClientClosedRequestError(RequestError):
    """The client left before the answer: nobody reads this, logs do (nginx's 499)."""

    code = "client_closed_request"
    status_code = 499


async def until_disconnect(request: Request, work: Awaitable[T]) -> T:
    """The result of `work`, which is cancelled when the client leaves.

    Raises ClientClosedRequestError then. The body must have been read before.
    """
    with cancelled_on_disconnect(request.receive):
        return await work
    raise ClientClosedRequestError("The client closed the request.")


class cancelled_on_disconnect:  # used like a function
    """A block that is cancelled, and left quietly, when the client leaves.

    Entering it returns a function that cancels the block, too. The watch begins only
    after a moment, because most answers are sent by then.
    """

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._scope = anyio.CancelScope()
        self._watcher: asyncio.Task[None] | None = None

    def __enter__(self) -> Callable[[], None]:
        self._scope.__enter__()
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(WATCH_AFTER_SECONDS, self._begin)
        return self._scope.cancel

    def __exit__(self, *error: Any) -> bool:
        self._timer.cancel()
        if self._watcher is not None:
            self._watcher.cancel()
        return self._scope.__exit__(*error)

    def _begin(self) -> None:
        self._watcher = asyncio.create_task(self._watch())

    async def _watch(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._scope.cancel()


class EventStream(Response, Generic[Event]):
    """A `text/event-stream` response, owned from its first byte to its last.

    `encode` turns each event into the bytes that are sent for it. While `events` is
    silent for `heartbeat` seconds, a comment is sent. When the client leaves, `events`
    is closed at once, also while it waits for a slow reader. If `events` raises, the
    connection is broken off instead of ended cleanly.
    """

    media_type = "text/event-stream"

    def __init__(
        self,
        events: AsyncGenerator[Event, None],
        encode: Callable[[Event], bytes],
        *,
        heartbeat: float,
        close: Callable[[], Awaitable[None]] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """`close` is awaited at the end, also when `events` was never begun."""
        super().__init__(headers={**STREAM_HEADERS, **(headers or {})})
        del self.headers["content-length"]
        self.events = events
        self.encode = encode
        self.close = close
        self.heartbeat = heartbeat

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send everything, or stop with the client."""
        writer = StreamWriter(send, heartbeat=self.heartbeat)
        writing: asyncio.Task[None] | None = None
        try:
            start = {"type": "http.response.start", "status": self.status_code}
            await send({**start, "headers": self.raw_headers})
            writing = asyncio.create_task(writer.run())
            with cancelled_on_disconnect(receive) as stop:
                writing.add_done_callback(lambda task: _failed(task) and stop())
                failure = await self._fill(writer)
                await asyncio.wait({writing})
                if failure is not None:
                    raise failure
            if _failed(writing):
                writing.result()
        finally:
            with anyio.CancelScope(shield=True):
                if writing is not None and writing.cancel():
                    await asyncio.wait({writing})
                await self.events.aclose()
                if self.close is not None:
                    await self.close()

    async def _fill(self, writer: "StreamWriter") -> Exception | None:
        """Hand every event to the writer. Returns what broke the stream off, if any."""
        failure: Exception | None = None
        complete = False
        try:
            async for event in self.events:
                await writer.put(self.encode(event))
            complete = True
        except ConnectionAborted:
            pass  # the server closes a connection whose answer is not complete
        except Exception as error:
            failure = error
        writer.end(complete=complete)
        return failure


class StreamWriter:
    """Writes the body of one stream; what is ready together is written together.

    A write for each token is a pass through every middleware and a system call for each
    token. So a task of its own writes, and takes along what came meanwhile. A frame
    that comes alone goes alone, at the loop's next turn. After `heartbeat` seconds of
    silence it sends a comment.
    """

    def __init__(self, send: Send, *, heartbeat: float) -> None:
        self._send = send
        self._heartbeat = heartbeat
        self._ready: list[bytes] = []
        self._size = 0
        self._complete: bool | None = None  # None while more may come
        self._loop = asyncio.get_running_loop()
        self._idle: asyncio.Future[None] | None = None  # the writer waits for a frame
        self._room = asyncio.Event()
        self._last_sent = 0.0
        self._last_turn = 0.0
        self._timer: asyncio.TimerHandle | None = None

    async def run(self) -> None:
        """Write until `end` was called and nothing is left. Raises what `send` does."""
        self._last_sent = time.monotonic()
        self._keep_alive()
        try:
            while not await self._write():
                pass
        finally:
            if self._timer is not None:
                self._timer.cancel()

    async def put(self, frame: bytes) -> None:
        """Have `frame` written soon; wait while too much is not yet written."""
        self._ready.append(frame)
        self._size += len(frame)
        self._wake()
        if self._size > MAX_WAITING_BYTES:
            self._room.clear()
            await self._room.wait()
        elif time.monotonic() - self._last_turn > TURN_SECONDS:
            await asyncio.sleep(0)
            # Counted from its own turn on: beside many busy streams turns are longer.
            self._last_turn = time.monotonic()

    def end(self, *, complete: bool) -> None:
        """Nothing follows. The last write tells the server so if it is `complete`."""
        self._complete = complete
        self._wake()

    def _wake(self) -> None:
        if self._idle is not None and not self._idle.done():
            self._idle.set_result(None)

    async def _write(self) -> bool:
        """Write what is ready, once something is. Returns whether it was the last."""
        if not self._ready and self._complete is None:
            self._idle = self._loop.create_future()
            await self._idle
        body = b"".join(self._ready)
        complete = self._complete
        self._ready.clear()
        self._size = 0
        self._room.set()
        if body or complete:
            more = not complete
            await self._send(
                {"type": "http.response.body", "body": body, "more_body": more}
            )
            self._last_sent = time.monotonic()
        return complete is not None

    def _keep_alive(self) -> None:
        """Send a comment if nothing else was sent; then look again when it is due."""
        silent = time.monotonic() - self._last_sent
        if silent >= self._heartbeat and not self._ready:
            self._ready.append(PING)
            self._wake()
            silent = 0.0
        left = max(self._heartbeat - silent, self._heartbeat / 10)
        self._timer = self._loop.call_later(left, self._keep_alive)


def _failed(task: asyncio.Task[None]) -> bool:
    return task.done() and not task.cancelled() and task.exception() is not None
