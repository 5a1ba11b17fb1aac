"""`/v1/live`: a WebSocket that takes chat requests and answers with their deltas.

In: `{"type": "chat.create", "request": {...}}` as for chat completions, or
`{"type": "chat.cancel"}`. With `"resumable": true` deltas carry an `event_id`, and on
another connection `{"type": "chat.resume", "id": ..., "last_event_id": ...}` goes on
after it; `id` is that of the chunks. Out: `chat.delta` (a chunk object), then one of
`chat.done`, `chat.cancelled` or `error`. One request runs at a time on a connection;
what the limits and errors say is what they say over HTTP. Who says nothing for long
while nothing runs is closed with 1008, and so is who does not read
(`web/middleware/websocket_timeout.py`).
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Coroutine
from typing import Any

import anyio
import anyio.lowlevel
from fastapi import APIRouter, WebSocket, WebSocketDisconnect
from pydantic import ValidationError
from starlette.types import Message
from starlette.websockets import WebSocketState

from examples.full_app.chat.call import Call, CallEvent, Done, Failed
from examples.full_app.chat.service import ChatService
from examples.full_app.chat.sse import ChunkSerializer
from examples.full_app.errors import ConflictError, RequestTooLargeError, error_body
from examples.full_app.events.follower import Event
from examples.full_app.limits.ledger import CallerLimits
from examples.full_app.providers.base import CallContext, Delta
from examples.full_app.resumable.generations import Generations
from examples.full_app.routes.live_messages import (
    CHAT_CANCELLED,
    CHAT_DONE,
    AnyEvent,
    ChatCancel,
    ChatResume,
    ClientEvent,
    chat_delta,
    chat_error,
)
from examples.full_app.schemas.chat import rules_applied
from examples.full_app.settings import Settings
from examples.full_app.web.dependencies import (
    AppSettingsDep,
    CallerLimitsDep,
    ChatServiceDep,
    GenerationsDep,
)
from examples.full_app.web.error_responses import from_validation_error
from examples.full_app.web.json_body import parse_json
from examples.s2_models import Usage
from examples.s5_error_handling import AIError

UNSUPPORTED_DATA, POLICY_VIOLATION = 1003, 1008  # RFC 6455, section 7.4.1
router = APIRouter(prefix="/v1", tags=["live"])


@router.websocket("/live")
async def live(
    socket: WebSocket,
    service: ChatServiceDep,
    limits: CallerLimitsDep,
    settings: AppSettingsDep,
    generations: GenerationsDep,
) -> None:
    """Serve one connection until its client leaves."""
    await socket.accept()
    await LiveSession(socket, service, generations, limits, settings).run()


class LiveSession:
    """One connection: at most one running answer, cancelled when the client leaves."""

    def __init__(
        self,
        socket: WebSocket,
        service: ChatService,
        generations: Generations,
        limits: CallerLimits,
        settings: Settings,
    ) -> None:
        self.socket = socket
        self.service = service
        self.generations = generations
        self.limits = limits
        self.settings = settings
        self.answer: asyncio.Task[None] | None = None
        self.ended = False
        self.count = 0
        self.resumable: str | None = None
        self.connection = anyio.CancelScope()

    async def run(self) -> None:
        """Read events until the client leaves, then stop what still runs."""
        try:
            with self.connection:
                while (message := await self._receive())["type"] == "websocket.receive":
                    if isinstance(text := message.get("text"), str):
                        await self._handle(text)
                    else:
                        await self._hang_up(UNSUPPORTED_DATA, "Send text messages.")
        finally:
            await self._stop()

    async def _receive(self) -> Message:
        """What the client says next; one that is silent without waiting is closed."""
        while True:
            with anyio.move_on_after(self.settings.live_idle_seconds):
                return await self.socket.receive()
            if self.answer is None or self.answer.done():
                await self._hang_up(POLICY_VIOLATION, "Silent for too long.")

    async def _hang_up(self, code: int, reason: str) -> None:
        with contextlib.suppress(WebSocketDisconnect):
            await self.socket.close(code, reason)
        self.connection.cancel()
        await anyio.lowlevel.checkpoint()

    async def _handle(self, text: str) -> None:
        request_id = self._next_id()
        try:
            event = self._parse(text)
            if isinstance(event, ChatCancel):
                await self._cancel()
                return
            await self._free()
            if isinstance(event, ChatResume):
                await self._resume(event)
                return
            context = CallContext(
                request_id, time.monotonic() + self.settings.request_timeout_seconds
            )
            call = await self.service.open(event.request, context, self.limits)
        except AIError as error:
            await self._send_error(error, request_id)
            return
        if event.resumable:
            answer_id = await self.generations.start(call, self.limits.subject)
            self._begin(self._follow(self.generations.events(answer_id)), answer_id)
        else:
            self._begin(self._answer(call))
            await asyncio.sleep(0)  # cancelled before it began, it would not close it

    def _begin(
        self, work: Coroutine[Any, Any, None], resumable: str | None = None
    ) -> None:
        self.ended, self.resumable = False, resumable
        self.answer = asyncio.create_task(work)

    async def _resume(self, event: ChatResume) -> None:
        events = await self.generations.resume(
            event.id, self.limits.subject, event.last_event_id
        )
        if events is None:
            await self._send(CHAT_DONE)
        else:
            self._begin(self._follow(events), event.id)

    async def _follow(self, events: AsyncGenerator[Event, None]) -> None:
        async with contextlib.aclosing(events):
            async for event in events:
                self.ended = event.type != "delta"
                await self._send(_logged(event))

    async def _cancel(self) -> None:
        """A resumable answer says itself that it was cancelled, when it is."""
        if self.resumable is None or self.ended:
            await self._stop()
        else:
            await self.generations.cancel(self.resumable, self.limits.subject)

    async def _free(self) -> None:
        """Wait for an answer that has said its last word; another is in the way."""
        if self.answer is None or self.answer.done():
            return
        if not self.ended:
            raise ConflictError("An answer is running; cancel it first.")
        await asyncio.wait({self.answer})

    def _parse(self, text: str) -> AnyEvent:
        body = text.encode("utf-8", "surrogatepass")
        if len(body) > self.settings.max_body_bytes:
            raise RequestTooLargeError(self.settings.max_body_bytes)
        message = parse_json(body)
        try:
            with rules_applied(self.service.upstream_rules):
                return ClientEvent.validate_python(message)
        except ValidationError as error:
            raise from_validation_error(error, message) from None

    async def _answer(self, call: Call) -> None:
        request = call.request
        chunks = ChunkSerializer(
            call.id, request.model, include_usage=request.wants_usage
        )
        events = call.events()
        try:
            async for event in events:
                await self._send_event(event, chunks, call.context.request_id)
        except asyncio.CancelledError:
            await self._send(CHAT_CANCELLED)
        finally:
            await events.aclose()
            await call.close()

    async def _send_event(
        self, event: CallEvent, chunks: ChunkSerializer, request_id: str
    ) -> None:
        match event:
            case Delta() | Usage():
                for chunk in chunks.chunks(event):
                    await self._send(chat_delta(chunk))
            case Done():
                self.ended = True
                await self._send(CHAT_DONE)
            case Failed(error):
                self.ended = True
                await self._send_error(error, request_id)

    async def _send(self, text: str) -> None:
        """Send to a client that may have left: then nobody misses it."""
        states = {self.socket.client_state, self.socket.application_state}
        if states == {WebSocketState.CONNECTED}:  # a failed send changes the second
            with contextlib.suppress(WebSocketDisconnect):
                await self.socket.send_text(text)
        else:
            await asyncio.sleep(0)  # `run` sees it, too, and ends what sends

    async def _stop(self) -> None:
        if self.answer is not None and not self.answer.done():
            self.answer.cancel()
            await asyncio.wait({self.answer})

    async def _send_error(self, error: AIError, request_id: str) -> None:
        body = error_body(error, request_id).model_dump_json()
        await self._send(chat_error(body))

    def _next_id(self) -> str:
        self.count += 1
        return f"{self.socket.state.request_id}-{self.count}"


def _logged(event: Event) -> str:
    """An event of a resumable answer's log, as this protocol says it."""
    match event.type:
        case "done":
            return CHAT_DONE
        case "error":
            return chat_error(event.data)
        case _:
            return chat_delta(event.data, event.id)
