"""`/v1/responses`: four ways to wait for an answer, behind one route of OpenAI's.

Synchronous, as a stream, and in the background, with a webhook at the end.
"""

from collections.abc import AsyncGenerator, Mapping
from typing import Annotated, Literal

from fastapi import APIRouter, Body, Depends, Path, Query, Request
from fastapi.openapi.models import Example
from starlette.responses import Response as HTTPResponse

from examples.full_app.chat.call import Call
from examples.full_app.errors import RequestError
from examples.full_app.events.follower import START
from examples.full_app.limits.ledger import CallerLimits
from examples.full_app.limits.rates import management_limit
from examples.full_app.providers.faults.catalogue import PREFIX, WireFault, wire_fault
from examples.full_app.responses.builder import ResponseEvent
from examples.full_app.responses.items import page_of
from examples.full_app.responses.service import Prepared, ResponseService
from examples.full_app.responses.translation import names_of_this_route
from examples.full_app.routes.openapi import (
    BODY,
    IDEMPOTENCY_KEY,
    MODEL,
    ONCE,
    errors,
    parameters,
)
from examples.full_app.schemas.responses import (
    TERMINAL_STATUSES,
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
    Responses,
    ResponsesDep,
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
    "background": Example(
        summary="A job: poll it with GET until it has ended",
        value={"model": "gpt-4o-mini", "input": "Write a poem.", "background": True},
    ),
}
ResponseId = Annotated[str, Path(description="The response's `id`.")]
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
    responses: ResponsesDep,
    context: CallContextDep,
    limits: CallerLimitsDep,
    identity: IdentityDep,
    settings: AppSettingsDep,
) -> HTTPResponse:
    """Answer whole, as server-sent events, or in the background.

    The work stops, and is charged up to there, when the client leaves. In the
    background it goes on: the answer is a queued response at once, or with
    `stream: true` the events, which can be read again. Tools are functions of the
    caller's; hosted tools, images, files, and `conversation` are refused by name.
    """
    request.state.log = {"model": body.model}
    fault = wire_fault(body.model) if body.model.startswith(PREFIX) else None
    if fault is not None and fault.kind == "html-502":
        return break_answer(b"", fault)

    async def answer() -> HTTPResponse:
        service = responses.foreground
        seed = getattr(request.state, "idempotency_seed", None)
        prepared = await service.prepare(body, identity.subject, seed=seed)
        if body.background:
            return await queued(responses, prepared, limits, body.stream)
        call = await service.open(prepared, context, limits)
        if body.stream:
            heartbeat = settings.heartbeat_seconds
            return await event_stream(service, prepared, call, heartbeat, fault)
        return await whole_answer(service, prepared, call, fault)

    return await until_disconnect(request, answer())


async def queued(
    responses: Responses, prepared: Prepared, limits: CallerLimits, stream: bool
) -> HTTPResponse:
    """The queued response, or the events of a response in the background."""
    response = await responses.background.create(prepared, limits)
    if stream:
        events = responses.log.follow(response.id, START)
        return event_log(events, responses.heartbeat_seconds, prepared.headers)
    return json_answer(response, prepared.headers)


def event_log(
    events: AsyncGenerator[ResponseEvent, None],
    heartbeat: float,
    headers: Mapping[str, str] | None = None,
) -> HTTPResponse:
    """The events of a log. A reader who leaves stops nothing."""
    return EventStream(events, encode_event, heartbeat=heartbeat, headers=headers)


def json_answer(response: Response, headers: Mapping[str, str]) -> HTTPResponse:
    """A response as JSON; one that is not over says when to ask again."""
    polling = {} if response.status in TERMINAL_STATUSES else {"Retry-After": "1"}
    content = response.model_dump_json().encode("utf-8")
    return HTTPResponse(content, 200, {**headers, **polling}, "application/json")


async def whole_answer(
    service: ResponseService, prepared: Prepared, call: Call, fault: WireFault | None
) -> HTTPResponse:
    """One JSON body with the whole response. The call is closed when it returns."""
    try:
        response = await service.whole(prepared, call)
    finally:
        await call.close()
    if fault is not None:
        return break_answer(response.model_dump_json().encode("utf-8"), fault)
    return json_answer(response, {**call.headers, **prepared.headers})


async def event_stream(
    service: ResponseService,
    prepared: Prepared,
    call: Call,
    heartbeat: float,
    fault: WireFault | None,
) -> HTTPResponse:
    """The response as server-sent events, which close the call at their end."""
    try:
        with names_of_this_route():
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
    summary="Read a response, or its events again",
    response_model=Response,
    responses={200: STREAM, **errors(400, 404, 410)},
    dependencies=MANAGED,
)
async def read_response(
    response_id: ResponseId,
    responses: ResponsesDep,
    identity: IdentityDep,
    stream: Annotated[
        bool, Query(description="The events of a response in the background.")
    ] = False,
    starting_after: Annotated[
        int | None,
        Query(ge=0, description="With `stream`: the `sequence_number` to go on after."),
    ] = None,
    include: Include = None,
) -> HTTPResponse:
    """A stored response, as it is now; or its events, from any of them on.

    Any number of readers may follow a response in the background, on any process.
    """
    stored = await responses.store.read(response_id, identity.subject)
    if not stream:
        if starting_after is not None:
            raise RequestError("It is for stream=true only.", param="starting_after")
        return json_answer(stored.response, {})
    after = await responses.log.begin(stored, starting_after)
    events = responses.log.follow(response_id, after)
    return event_log(events, responses.heartbeat_seconds)


@router.post(
    "/{response_id}/cancel",
    summary="Cancel a response in the background",
    responses=errors(400, 404, 503),
    dependencies=MANAGED,
)
async def cancel_response(
    response_id: ResponseId, responses: ResponsesDep, identity: IdentityDep
) -> Response:
    """Stop it within a second, wherever it runs. Twice is once.

    One that has ended by itself is answered as it is.
    """
    return await responses.background.cancel(response_id, identity.subject)


@router.delete(
    "/{response_id}",
    summary="Delete a response",
    responses=errors(404, 503),
    dependencies=MANAGED,
)
async def delete_response(
    response_id: ResponseId, responses: ResponsesDep, identity: IdentityDep
) -> DeletedResponse:
    """Forget it. Responses that went on from it keep what they were made from."""
    await responses.background.delete(response_id, identity.subject)
    return DeletedResponse(id=response_id)


@router.get(
    "/{response_id}/input_items",
    summary="List what a response was made from",
    responses=errors(400, 404),
    dependencies=MANAGED,
)
async def list_input_items(
    response_id: ResponseId,
    responses: ResponsesDep,
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
    stored = await responses.store.read(response_id, identity.subject)
    items = list(stored.items) if order == "asc" else list(reversed(stored.items))
    return page_of(items, limit, after)
