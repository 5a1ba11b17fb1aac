"""Peers of a WebSocket that do not read get a close code, and then are cut off.

A server's `send` waits until the peer has taken what was sent before, for ever if it
never does: neither an error nor a close frame can pass what is in front of it. So the
connection is cut, by the transport that our protocol gives to the application. Without
it the work still ends in time, and the socket is the server's to close.
Sources: RFC 6455, section 7.4.1 (codes); ASGI, WebSocket (a send that fails is an
OSError); asyncio, flow control and `WriteTransport.abort`.
"""

import asyncio
import contextlib
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from examples.full_app.web.connection.transport import Transport, transport_of

POLICY_VIOLATION = 1008
FAREWELL = {
    "type": "websocket.close",
    "code": POLICY_VIOLATION,
    "reason": "Reads too slowly.",
}
GRACE_SECONDS = 5.0  # to read the code in, for who reads on after all


class WebSocketTimeoutMiddleware:
    """Pure ASGI: a WebSocket takes a message within `seconds`, or it was the last.

    To the application the peer has left then, whatever it waits for: a message to send
    raises TimeoutError (an OSError), a message to receive is a disconnect. The peer
    sees 1008 if it reads on within five seconds (or `seconds`, if they are fewer).
    """

    def __init__(self, app: ASGIApp, seconds: float) -> None:
        self.app = app
        self.seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Stand between a WebSocket and the application; let the rest pass."""
        if scope["type"] != "websocket":
            await self.app(scope, receive, send)
            return
        peer = _Peer(receive, send, self.seconds, transport_of(scope))
        try:
            await self.app(scope, peer.receive, peer.send)
        finally:
            await peer.leave()


class _Peer:
    """One connection, until it is given up."""

    def __init__(
        self,
        receive: Receive,
        send: Send,
        seconds: float,
        transport: Transport | None,
    ) -> None:
        self._receive = receive
        self._send = send
        self._seconds = seconds
        self._transport = transport
        self._reading: asyncio.Task[Message] | None = None
        self._given_up: asyncio.Future[Message] = asyncio.Future()

    async def send(self, message: Message) -> None:
        if self._transport is not None and self._transport.is_closing():
            self._give_up(FAREWELL)  # a ping unanswered; nobody else says so
            raise BrokenPipeError
        try:
            async with asyncio.timeout(self._seconds):
                await self._send(message)
        except TimeoutError:
            self._give_up(message if message["type"] == FAREWELL["type"] else FAREWELL)
            raise

    async def receive(self) -> Message:
        if self._reading is None:
            self._reading = asyncio.ensure_future(self._receive())
        waits: set[asyncio.Future[Any]] = {self._reading, self._given_up}
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        if self._given_up.done():
            return {"type": "websocket.disconnect", "code": POLICY_VIOLATION}
        reading, self._reading = self._reading, None
        return reading.result()

    async def leave(self) -> None:
        """What the application has sent goes out within the limit, or never."""
        if self._reading is not None:
            self._reading.cancel()
        timeout = self._seconds
        if self._given_up.done():
            timeout = min(self._seconds, GRACE_SECONDS)
            with contextlib.suppress(OSError, RuntimeError):  # late, gone, or closed
                async with asyncio.timeout(timeout):
                    await self._send(self._given_up.result())
        if self._transport is not None and self._transport.get_write_buffer_size():
            asyncio.get_running_loop().call_later(timeout, self._transport.abort)

    def _give_up(self, farewell: Message) -> None:
        if not self._given_up.done():
            self._given_up.set_result(farewell)
