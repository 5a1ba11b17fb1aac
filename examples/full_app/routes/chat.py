"""`POST /v1/chat/completions`: one whole answer, or a stream of chunks."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from typing import Annotated

from fastapi import APIRouter, Body, Request
from fastapi.openapi.models import Example
from starlette.responses import Response

from examples.full_app.providers.faults.provider import WireFault, wire_fault
from examples.full_app.routes.openapi import (
    BODY,
    IDEMPOTENCY_KEY,
    MODEL,
    ONCE,
    RESUMABLE,
    STREAM_DOCUMENT,
    errors,
    parameters,
)
from examples.full_app.schemas.answers import ChatCompletion
from examples.full_app.schemas.base import Bounded
from examples.full_app.schemas.chat import ChatCompletionRequest
from examples.full_app.settings import Settings
from examples.full_app.web.dependencies import CallScope, call_scope
from examples.full_app.web.direct_route import DirectRoute
from examples.full_app.web.event_stream import EventStream, until_disconnect
from examples.full_app.web.faulty_wire import break_answer, break_frames

router = APIRouter(prefix="/v1", tags=["chat"], route_class=DirectRoute)

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
    openapi_extra=parameters(IDEMPOTENCY_KEY, RESUMABLE),
)
async def create_chat_completion(
    body: Annotated[ChatCompletionRequest, Bounded, Body(openapi_examples=EXAMPLES)],
    request: Request,
) -> Response:
    """Answer the conversation, whole or as server-sent events.

    The work stops, and is charged up to there, when the client leaves. A stream that
    was asked to be resumable waits a while for the client to come back.
    """
    request.state.log = {"model": body.model}
    fault = wire_fault(body.model)
    if fault is not None and fault.kind == "html-502":
        return break_answer(b"", fault)
    scope = call_scope(request, whole=not body.stream)
    return await until_disconnect(request, _answer(body, scope, fault))


async def _answer(
    body: ChatCompletionRequest, scope: CallScope, fault: WireFault | None
) -> Response:
    context, subject = scope.context, scope.identity.subject
    call, lease = await scope.service.open(body, context, subject)
    try:
        if body.stream:
            await call.begin(scope.settings.heartbeat_seconds)
            frames, close = call.frames(), call.close
            headers = {**lease.headers, **context.trail.headers}
            if scope.resumable:
                generations = scope.generations
                answer_id = await generations.start(call, subject)
                frames = generations.frames(answer_id, generations.events(answer_id))
                close = frames.aclose
                headers["Content-Location"] = f"/v1/chat/completions/{answer_id}"
            return _stream(frames, close, headers, scope.settings, fault)
        answer = await call.collect_json()
    except BaseException:
        await call.close()
        raise
    await call.close()
    if fault is not None:
        return break_answer(answer, fault)
    headers = {**lease.headers, **context.trail.headers}
    return Response(answer, 200, headers, "application/json")


def _stream(
    frames: AsyncGenerator[bytes, None],
    close: Callable[[], Awaitable[None]],
    headers: Mapping[str, str],
    settings: Settings,
    fault: WireFault | None,
) -> Response:
    if fault is not None:
        frames = break_frames(frames, fault)
    answer = EventStream(
        frames, heartbeat=settings.heartbeat_seconds, close=close, headers=headers
    )
    if fault is not None and fault.kind == "wrong-content-type":
        answer.headers["content-type"] = "text/plain"
    return answer
