"""`/v1/responses`: the four patterns of section 3 behind one route of OpenAI's.

Synchronous, as a stream, and in the background, with a webhook at the end.
"""

from typing import Annotated, Literal

from fastapi import APIRouter, Body, Depends, Path, Query, Request
from fastapi.openapi.models import Example
from starlette.responses import Response as HTTPResponse

from examples.full_app.chat.call import Call
from examples.full_app.errors import RequestError
from examples.full_app.limits.rates import management_limit
from examples.full_app.providers.faults.catalogue import PREFIX, WireFault, wire_fault
from examples.full_app.responses.builder import ResponseEvent
from examples.full_app.responses.items import page_of
from examples.full_app.responses.service import Prepared, ResponseService
from examples.full_app.routes.openapi import (
    BODY,
    IDEMPOTENCY_KEY,
    MODEL,
    ONCE,
    errors,
    parameters,
)
from examples.full_app.schemas.responses import (
    DeletedResponse,
    InputItemList,
    Response,
    ResponseRequest,
)
from examples.full_app.web.dependencies import (
    AppSettingsDep,
    CallContextDep,
    CallerLimitsDep,
    IdentityDep,
    ResponseServiceDep,
)
from examples.full_app.web.event_stream import EventStream, until_disconnect
from examples.full_app.web.faulty_wire import break_answer, break_frames
from examples.full_app.web.idempotency import IdempotentRoute
from examples.full_app.web.json_body import Bounded

router = APIRouter(
    prefix="/v1/responses", tags=["responses"], route_class=IdempotentRoute
)
MANAGED = [Depends(management_limit)]

STREAM = {
    "description": "A whole response, or with `stream: true` its events.",
    "content": {
        "text/event-stream": {
            "schema": {"type": "string"},
            "example": "event: response.output_text.delta\n"
            'data: {"type":"response.output_text.delta","sequence_number":4, ...}\n\n',
        }
    },
}
EXAMPLES = {
    "plain": Example(
        summary="One answer",
        value={"model": "gpt-4o-mini", "input": "Why is async good for AI?"},
    ),
    "stream": Example(
        summary="A stream of events",
        value={"model": "gpt-4o-mini", "input": "Count to five.", "stream": True},
    ),
}
ResponseId = Annotated[str, Path(max_length=64, description="The response's `id`.")]
Include = Annotated[
    list[str] | None,
    Query(alias="include[]", max_length=20, description="Accepted, without effect."),
]
DONE = b"data: [DONE]\n\n"


@router.post(
    "",
    summary="Answer a conversation of items",
    response_model=Response,
    responses={200: STREAM, **errors(*BODY, *MODEL, *ONCE)},
    openapi_extra=parameters(IDEMPOTENCY_KEY),
)
async def create_response(
    body: Annotated[ResponseRequest, Bounded, Body(openapi_examples=EXAMPLES)],
    request: Request,
    service: ResponseServiceDep,
    context: CallContextDep,
    limits: CallerLimitsDep,
    identity: IdentityDep,
    settings: AppSettingsDep,
) -> HTTPResponse:
    """Answer, whole or as server-sent events, by functions of the caller's own only.

    The work stops, and is charged up to there, when the client leaves.
    """
    request.state.log = {"model": body.model}
    fault = wire_fault(body.model) if body.model.startswith(PREFIX) else None
    if fault is not None and fault.kind == "html-502":
        return break_answer(b"", fault)

    if body.background:
        raise RequestError(
            "`background` is not supported yet: use POST /v1/jobs.",
            param="background",
            code="unsupported_parameter",
        )

    async def answer() -> HTTPResponse:
        prepared = await service.prepare(body, identity.subject)
        call = await service.open(prepared, context, limits)
        if body.stream:
            heartbeat = settings.heartbeat_seconds
            return await event_stream(service, prepared, call, heartbeat, fault)
        return await whole_answer(service, prepared, call, fault)

    return await until_disconnect(request, answer())


async def whole_answer(
    service: ResponseService, prepared: Prepared, call: Call, fault: WireFault | None
) -> HTTPResponse:
    """One JSON body with the whole response. The call is closed when it returns."""
    try:
        response = await service.whole(prepared, call)
    finally:
        await call.close()
    content = response.model_dump_json().encode("utf-8")
    if fault is not None:
        return break_answer(content, fault)
    headers = {**call.headers, **prepared.headers}
    return HTTPResponse(content, 200, headers, "application/json")


async def event_stream(
    service: ResponseService,
    prepared: Prepared,
    call: Call,
    heartbeat: float,
    fault: WireFault | None,
) -> HTTPResponse:
    """The response as server-sent events, which close the call at their end."""
    try:
        await call.begin(heartbeat)
    except BaseException:
        await call.close()
        raise
    events = service.events(prepared, call)
    headers = {**call.headers, **prepared.headers}
    if fault is None:
        return EventStream(
            events, encode_event, heartbeat=heartbeat, close=call.close, headers=headers
        )
    answer = EventStream(
        break_frames(events, encode_event, fault),
        bytes,
        heartbeat=heartbeat,
        close=call.close,
        headers=headers,
    )
    if fault.kind == "wrong-content-type":
        answer.headers["content-type"] = "text/plain"
    return answer


def encode_event(event: ResponseEvent) -> bytes:
    """An event as a server-sent event, without `id:`; the last one ends with `[DONE]`.

    The place in a stream is the `sequence_number` of its JSON.
    """
    frame = f"event: {event.type}\ndata: {event.data}\n\n".encode()
    return frame + DONE if event.is_terminal else frame


@router.get(
    "/{response_id}",
    summary="Read a response",
    responses=errors(404),
    dependencies=MANAGED,
)
async def read_response(
    response_id: ResponseId,
    service: ResponseServiceDep,
    identity: IdentityDep,
    include: Include = None,
) -> Response:
    """A stored response, as it was answered."""
    found = await service.store.read(response_id, identity.subject)
    return found.response


@router.delete(
    "/{response_id}",
    summary="Delete a response",
    responses=errors(404),
    dependencies=MANAGED,
)
async def delete_response(
    response_id: ResponseId, service: ResponseServiceDep, identity: IdentityDep
) -> DeletedResponse:
    """Forget it. Responses that went on from it keep what they were made from."""
    await service.store.delete(response_id, identity.subject)
    return DeletedResponse(id=response_id)


@router.get(
    "/{response_id}/input_items",
    summary="List what a response was made from",
    responses=errors(400, 404),
    dependencies=MANAGED,
)
async def list_input_items(
    response_id: ResponseId,
    service: ResponseServiceDep,
    identity: IdentityDep,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    order: Literal["asc", "desc"] = "desc",
    after: Annotated[
        str | None,
        Query(max_length=128, description="The `last_id` of the page before."),
    ] = None,
    include: Include = None,
) -> InputItemList:
    """The items that the model read, also of responses before; newest first."""
    found = await service.store.read(response_id, identity.subject)
    items = list(found.items) if order == "asc" else list(reversed(found.items))
    return page_of(items, limit, after)
