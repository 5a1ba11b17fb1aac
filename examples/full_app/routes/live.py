"""`/v1/live`: a WebSocket that takes chat requests and answers with their deltas.

In: `{"type": "chat.create", "request": {...}}` as for chat completions, or
`{"type": "chat.cancel"}`. Out: `chat.delta` (a chunk object), then one of `chat.done`,
`chat.cancelled` or `error`. One request runs at a time on a connection; what the
limits and errors say is what they say over HTTP.
"""

import asyncio
import contextlib
import time
from typing import Annotated, Literal

from fastapi import APIRouter, WebSocket, WebSocketDisconnect
from pydantic import Field, TypeAdapter, ValidationError
from starlette.websockets import WebSocketState

from examples.full_app.calls import Call
from examples.full_app.dependencies import (
    AppSettingsDep,
    ChatServiceDep,
    IdentityDep,
)
from examples.full_app.errors import (
    ConflictError,
    RequestTooLargeError,
    error_body,
)
from examples.full_app.json_body import parse_json
from examples.full_app.llm import ChatService
from examples.full_app.providers.protocol import CallContext
from examples.full_app.schemas.base import Wire
from examples.full_app.schemas.chat import ChatCompletionRequest
from examples.full_app.settings import Settings
from examples.full_app.validation import Bounded, from_validation_error
from examples.s5_error_handling import AIError

DELTA = '{"type":"chat.delta"'
UNSUPPORTED_DATA = 1003  # RFC 6455, section 7.4.1
router = APIRouter(prefix="/v1", tags=["live"])


class ChatCreate(Wire):
    """Begin an answer."""

    type: Literal["chat.create"]
    request: ChatCompletionRequest


class ChatCancel(Wire):
    """Stop the running answer."""

    type: Literal["chat.cancel"]


ClientEvent = TypeAdapter[ChatCreate | ChatCancel](
    Annotated[ChatCreate | ChatCancel, Field(discriminator="type"), Bounded]
)


@router.websocket("/live")
async def live(
    socket: WebSocket,
    service: ChatServiceDep,
    identity: IdentityDep,
    settings: AppSettingsDep,
) -> None:
    """Serve one connection until its client leaves."""
    await socket.accept()
    await LiveSession(socket, service, identity.subject, settings).run()


class LiveSession:
    """One connection: at most one running answer, cancelled when the client leaves."""

    def __init__(
        self, socket: WebSocket, service: ChatService, subject: str, settings: Settings
    ) -> None:
        self.socket = socket
        self.service = service
        self.subject = subject
        self.settings = settings
        self.answer: asyncio.Task[None] | None = None
        self.ended = False
        self.count = 0

    async def run(self) -> None:
        """Read events until the client leaves, then stop what still runs."""
        try:
            while True:
                message = await self.socket.receive()
                if message["type"] == "websocket.disconnect":
                    return
                if (text := message.get("text")) is None:
                    await self.socket.close(UNSUPPORTED_DATA, "Send text messages.")
                    return
                await self._handle(text)
        finally:
            await self._stop()

    async def _handle(self, text: str) -> None:
        request_id = self._next_id()
        try:
            event = self._parse(text)
            if isinstance(event, ChatCancel):
                await self._stop()
                return
            await self._free()
            context = CallContext(
                request_id, time.monotonic() + self.settings.request_timeout_seconds
            )
            call, _ = await self.service.open(event.request, context, self.subject)
        except AIError as error:
            await self._send_error(error, request_id)
            return
        self.ended = False
        self.answer = asyncio.create_task(self._answer(call))
        await asyncio.sleep(0)  # cancelled before it began, it would not close the call

    async def _free(self) -> None:
        """Wait for an answer that has said its last word; another is in the way."""
        if self.answer is None or self.answer.done():
            return
        if not self.ended:
            raise ConflictError("An answer is running; cancel it first.")
        await asyncio.wait({self.answer})

    def _parse(self, text: str) -> ChatCreate | ChatCancel:
        body = text.encode("utf-8", "surrogatepass")
        if len(body) > self.settings.max_body_bytes:
            raise RequestTooLargeError(self.settings.max_body_bytes)
        try:
            return ClientEvent.validate_python(parse_json(body))
        except ValidationError as error:
            raise from_validation_error(error) from None

    async def _answer(self, call: Call) -> None:
        frames = call.frames()
        try:
            async for frame in frames:
                for data in filter(None, frame.decode("utf-8").split("\n\n")):
                    event = _event(data.removeprefix("data: "))
                    self.ended = not event.startswith(DELTA)
                    await self._send(event)
        except asyncio.CancelledError:
            await self._send('{"type":"chat.cancelled"}')
        finally:
            await frames.aclose()
            await call.close()

    async def _send(self, text: str) -> None:
        """Send to a client that may have left: then nobody misses it."""
        states = {self.socket.client_state, self.socket.application_state}
        if states == {WebSocketState.CONNECTED}:  # a failed send changes the second
            with contextlib.suppress(WebSocketDisconnect):
                await self.socket.send_text(text)

    async def _stop(self) -> None:
        if self.answer is not None and not self.answer.done():
            self.answer.cancel()
            await asyncio.wait({self.answer})

    async def _send_error(self, error: AIError, request_id: str) -> None:
        body = error_body(error, request_id).model_dump_json()
        await self._send(_event(body))

    def _next_id(self) -> str:
        self.count += 1
        return f"{self.socket.state.request_id}-{self.count}"


def _event(data: str) -> str:
    """The data of a frame as an event of this protocol."""
    if data == "[DONE]":
        return '{"type":"chat.done"}'
    if data.startswith('{"error":'):
        return f'{{"type":"error",{data[1:]}'
    return f'{DELTA},"chunk":{data}}}'
