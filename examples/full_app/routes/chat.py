"""`POST /v1/chat/completions`: one whole answer, or a stream of chunks."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from typing import Annotated, TypeVar

from fastapi import APIRouter, Body, Header, Request
from fastapi.openapi.models import Example
from starlette.responses import Response

from examples.full_app.chat.call import Call
from examples.full_app.chat.sse import ChunkSerializer, SSEFrames
from examples.full_app.providers.faults.catalogue import PREFIX, WireFault, wire_fault
from examples.full_app.resumable.generations import encode_event
from examples.full_app.routes.openapi import (
    BODY,
    IDEMPOTENCY_KEY,
    MODEL,
    ONCE,
    STREAM_DOCUMENT,
    errors,
    parameters,
)
from examples.full_app.schemas.answers import ChatCompletion
from examples.full_app.schemas.chat import AnyChatRequest
from examples.full_app.web.dependencies import (
    CallContextDep,
    CallerLimitsDep,
    ChatServiceDep,
    Streaming,
    StreamingDep,
)
from examples.full_app.web.event_stream import EventStream, until_disconnect
from examples.full_app.web.faulty_wire import break_answer, break_frames
from examples.full_app.web.idempotency import IdempotentRoute
from examples.full_app.web.json_body import Bounded

router = APIRouter(prefix="/v1", tags=["chat"], route_class=IdempotentRoute)

Event = TypeVar("Event")
Resumable = Annotated[
    bool,
    Header(
        alias="X-Resumable",
        description="With `stream: true`: events carry an `id:`, the answer goes on "
        "when the connection breaks, and `GET` on its `Content-Location` continues it.",
    ),
]

EXAMPLES = {
    "plain": Example(
        summary="One answer",
        value={
            "model": "gpt-4o-mini",
            "messages": [{"role": "user", "content": "Why is async good for AI?"}],
        },
    ),
    "stream": Example(
        summary="A stream of chunks, usage last",
        value={
            "model": "gpt-4o-mini",
            "messages": [{"role": "user", "content": "Count to five."}],
            "stream": True,
            "stream_options": {"include_usage": True},
        },
    ),
    "fault": Example(
        summary="A fault on demand: 429 with Retry-After",
        value={
            "model": "fault-429",
            "messages": [{"role": "user", "content": "Hello?"}],
        },
    ),
}


@router.post(
    "/chat/completions",
    summary="Answer a conversation",
    response_model=ChatCompletion,
    responses={200: STREAM_DOCUMENT, **errors(*BODY, *MODEL, *ONCE)},
    openapi_extra=parameters(IDEMPOTENCY_KEY),
)
async def create_chat_completion(
    body: Annotated[AnyChatRequest, Bounded, Body(openapi_examples=EXAMPLES)],
    request: Request,
    service: ChatServiceDep,
    context: CallContextDep,
    limits: CallerLimitsDep,
    streaming: StreamingDep,
    resumable: Resumable = False,
) -> Response:
    """Answer the conversation, whole or as server-sent events.

    The work stops, and is charged up to there, when the client leaves. A stream that
    was asked to be resumable waits a while for the client to come back.
    """
    request.state.log = {"model": body.model}
    fault = wire_fault(body.model) if body.model.startswith(PREFIX) else None
    if fault is not None and fault.kind == "html-502":
        return break_answer(b"", fault)

    async def answer() -> Response:
        call = await service.open(body, context, limits)
        if not body.stream:
            return await whole_answer(call, fault)
        if not resumable:
            return await event_stream(call, streaming.heartbeat_seconds, fault)
        return await resumable_stream(call, streaming, limits.subject, fault)

    return await until_disconnect(request, answer())


async def whole_answer(call: Call, fault: WireFault | None) -> Response:
    """One JSON body with the whole answer. The call is closed when it returns."""
    try:
        completion = await call.collect()
    finally:
        await call.close()
    content = completion.model_dump_json().encode("utf-8")
    if fault is not None:
        return break_answer(content, fault)
    return Response(content, 200, call.headers, "application/json")


async def event_stream(
    call: Call, heartbeat: float, fault: WireFault | None
) -> Response:
    """The answer as server-sent events. The response closes the call at its end."""
    try:
        await call.begin(heartbeat)
    except BaseException:
        await call.close()
        raise
    encode = SSEFrames(_chunks(call), call.context.request_id).encode
    return _stream(call.events(), encode, call.close, call.headers, heartbeat, fault)


async def resumable_stream(
    call: Call, streaming: Streaming, owner: str, fault: WireFault | None
) -> Response:
    """The answer as events that outlive the connection; the call runs by itself."""
    heartbeat = streaming.heartbeat_seconds
    try:
        await call.begin(heartbeat)
    except BaseException:
        await call.close()
        raise
    answer_id = await streaming.generations.start(call, owner)
    headers = {
        **call.headers,
        "Content-Location": f"/v1/chat/completions/{answer_id}",
    }
    events = streaming.generations.events(answer_id)
    return _stream(events, encode_event, None, headers, heartbeat, fault)


def _chunks(call: Call) -> ChunkSerializer:
    request = call.request
    return ChunkSerializer(call.id, request.model, include_usage=request.wants_usage)


def _stream(
    events: AsyncGenerator[Event, None],
    encode: Callable[[Event], bytes],
    close: Callable[[], Awaitable[None]] | None,
    headers: Mapping[str, str],
    heartbeat: float,
    fault: WireFault | None,
) -> Response:
    """The response for a stream of events; a fault model's wire is broken here."""
    if fault is None:
        return EventStream(
            events, encode, heartbeat=heartbeat, close=close, headers=headers
        )
    answer = EventStream(
        break_frames(events, encode, fault),
        bytes,
        heartbeat=heartbeat,
        close=close,
        headers=headers,
    )
    if fault.kind == "wrong-content-type":
        answer.headers["content-type"] = "text/plain"
    return answer
