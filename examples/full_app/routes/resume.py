"""`GET /v1/chat/completions/{id}`: a stream goes on where its connection broke."""

from typing import Annotated

from fastapi import APIRouter, Depends, Header, Path, Response

from examples.full_app.limits.rates import management_limit
from examples.full_app.resumable.generations import encode_event
from examples.full_app.routes.openapi import STREAM_DOCUMENT, errors
from examples.full_app.web.dependencies import (
    AppSettingsDep,
    GenerationsDep,
    IdentityDep,
)
from examples.full_app.web.event_stream import EventStream

router = APIRouter(
    prefix="/v1/chat/completions",
    tags=["chat"],
    dependencies=[Depends(management_limit)],
)

EVENTS = {**STREAM_DOCUMENT, "description": "The rest of the stream, as it was begun."}
NOTHING_MORE = {"description": "The answer has ended, and you have seen it end."}
CompletionId = Annotated[str, Path(description="The chunks' `id`.")]


@router.get(
    "/{completion_id}",
    summary="Resume a stream",
    response_class=Response,
    responses={200: EVENTS, 204: NOTHING_MORE, **errors(400, 404, 410)},
)
async def resume_chat_completion(
    completion_id: CompletionId,
    generations: GenerationsDep,
    identity: IdentityDep,
    settings: AppSettingsDep,
    last_event_id: Annotated[str | None, Header(max_length=64)] = None,
) -> Response:
    """The events after `Last-Event-ID`, each exactly once; all, when it is not sent.

    For streams begun with `X-Resumable: true`, from any process of the service. It is
    the one answer, charged once, however often it is read.
    """
    events = await generations.resume(completion_id, identity.subject, last_event_id)
    if events is None:
        return Response(status_code=204)
    return EventStream(events, encode_event, heartbeat=settings.heartbeat_seconds)


@router.delete(
    "/{completion_id}",
    status_code=204,
    summary="Cancel a resumable stream",
    responses=errors(404),
)
async def cancel_chat_completion(
    completion_id: CompletionId, generations: GenerationsDep, identity: IdentityDep
) -> None:
    """Stop it within a second, wherever it runs; its readers get an error event."""
    await generations.cancel(completion_id, identity.subject)
