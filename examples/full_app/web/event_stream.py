"""Streams that begin, stay alive and end honestly, and stop when the client leaves.

What was learned the hard way (reference/stack.md, part e): a JSON endpoint is never
cancelled when its client goes; a generator suspended at `yield` is not closed until
the garbage collector comes; a stream that fails and ends cleanly looks complete.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from typing import Any, TypeVar

import anyio
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from examples.full_app.chat.sse import PING
from examples.full_app.errors import RequestError
from examples.full_app.lifecycle import ConnectionAborted
from examples.full_app.web.outbox import Outbox

T = TypeVar("T")

WATCH_AFTER_SECONDS = 0.05  # a task a request; leaving must be noticed within a second
STREAM_HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}


class ClientClosedRequestError(RequestError):
    """The client left before the answer: nobody reads this, logs do (nginx's 499)."""

    code, status_code = "client_closed_request", 499


async def until_disconnect(request: Request, work: Awaitable[T]) -> T:
    """The result of `work`, which is cancelled when the client leaves.

    Raises ClientClosedRequestError then. The body must have been read before.
    """
    with cancelled_on_disconnect(request.receive):
        return await work
    raise ClientClosedRequestError("The client closed the request.")


class cancelled_on_disconnect:  # used like a function
    """A block that is cancelled, and left quietly, when the client leaves.

    What it gives cancels the block, too. Nobody looks for the first moments: most
    answers are done by then.
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


class EventStream(Response):
    """`text/event-stream` of ready-made frames, owned from its first byte to its last.

    While `frames` is silent for `heartbeat` seconds a comment is sent. When the client
    leaves, `frames` is closed at once, also while it waits for a slow reader.
    A `frames` that raises breaks the connection off instead of ending it cleanly.
    """

    media_type = "text/event-stream"

    def __init__(
        self,
        frames: AsyncGenerator[bytes, None],
        *,
        heartbeat: float,
        close: Callable[[], Awaitable[None]],
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(headers={**STREAM_HEADERS, **(headers or {})})
        del self.headers["content-length"]
        self.frames = frames
        self.close = close
        self.heartbeat = heartbeat

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send everything, or stop with the client."""
        outbox = Outbox(send, heartbeat=self.heartbeat, ping=PING)
        writer: asyncio.Task[None] | None = None
        try:
            start = {"type": "http.response.start", "status": self.status_code}
            await send({**start, "headers": self.raw_headers})
            writer = asyncio.create_task(outbox.run())
            with cancelled_on_disconnect(receive) as stop:
                writer.add_done_callback(lambda task: _failed(task) and stop())
                failure = await self._fill(outbox)
                await asyncio.wait({writer})
                if failure is not None:
                    raise failure
            if _failed(writer):
                writer.result()
        finally:
            with anyio.CancelScope(shield=True):
                if writer is not None and writer.cancel():
                    await asyncio.wait({writer})
                await self.frames.aclose()
                await self.close()  # also when `frames` was never begun

    async def _fill(self, outbox: Outbox) -> Exception | None:
        """Put all frames into the outbox; what broke them off, once they are there."""
        failure: Exception | None = None
        complete = False
        try:
            async for frame in self.frames:
                await outbox.put(frame)
            complete = True
        except ConnectionAborted:
            pass  # the server closes a connection whose answer is not complete
        except Exception as error:
            failure = error
        outbox.end(complete=complete)
        return failure


def _failed(task: asyncio.Task[None]) -> bool:
    return task.done() and not task.cancelled() and task.exception() is not None
