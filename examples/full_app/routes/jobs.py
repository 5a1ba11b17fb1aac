"""Jobs: `POST` answers 202 and where to look; poll, list and cancel from there."""

from typing import Annotated

from fastapi import APIRouter, Body, Depends, Header, Path, Query, Request, Response
from fastapi.openapi.models import Example

from examples.full_app.chat.service import ChatService
from examples.full_app.errors import RequestError
from examples.full_app.jobs.events import encode_event
from examples.full_app.limits.ledger import CallerLimits
from examples.full_app.limits.rates import management_limit
from examples.full_app.routes.openapi import (
    BODY,
    IDEMPOTENCY_KEY,
    ONCE,
    errors,
    parameters,
)
from examples.full_app.schemas.jobs import MAX_ITEMS, Job, JobList, JobRequest
from examples.full_app.web.dependencies import (
    AppSettingsDep,
    CallerLimitsDep,
    ChatServiceDep,
    IdentityDep,
    JobEventsDep,
    JobServiceDep,
)
from examples.full_app.web.event_stream import EventStream
from examples.full_app.web.idempotency import IdempotentRoute
from examples.full_app.web.json_body import Bounded

router = APIRouter(
    prefix="/v1/jobs",
    tags=["jobs"],
    route_class=IdempotentRoute,
    dependencies=[Depends(management_limit)],
)

NOTHING_MORE = {"description": "The job has ended, and you have seen it end."}
EVENTS_DOCUMENT = {
    "description": "`job.queued`, `job.running`, `job.progress`, and at the end one of "
    "`job.succeeded`, `job.failed` and `job.cancelled`.",
    "content": {
        "text/event-stream": {
            "schema": {"type": "string"},
            "example": 'id: 1-3\nevent: job.progress\ndata: {"id":"job_...", ...}\n\n',
        }
    },
}
JobId = Annotated[str, Path(description="As the answer to `POST` has it.")]
POLL_SECONDS = "1"
EXAMPLES = {
    "batch": Example(
        summary="Two requests",
        value={
            "requests": [
                {
                    "model": "gpt-4o-mini",
                    "messages": [{"role": "user", "content": question}],
                }
                for question in ("What is a token?", "What is a webhook?")
            ]
        },
    ),
}


@router.post(
    "",
    status_code=202,
    summary="Start a batch of chat requests",
    responses=errors(*BODY, *ONCE),
    openapi_extra=parameters(IDEMPOTENCY_KEY),
)
async def create_job(
    body: Annotated[JobRequest, Bounded, Body(openapi_examples=EXAMPLES)],
    jobs: JobServiceDep,
    identity: IdentityDep,
    service: ChatServiceDep,
    limits: CallerLimitsDep,
    request: Request,
    response: Response,
) -> Job:
    """Queue the batch. `Location` is where to poll, `Retry-After` how often.

    A batch is refused as a whole if your key may not use one of its models.
    """
    refuse_models(body, service, limits)
    seed = getattr(request.state, "idempotency_seed", None)
    job = await jobs.create(identity.subject, body, seed=seed)
    response.headers["Location"] = f"/v1/jobs/{job.id}"
    response.headers["Retry-After"] = POLL_SECONDS
    return job


def refuse_models(body: JobRequest, service: ChatService, limits: CallerLimits) -> None:
    """Raise what a chat request for one of these models would be refused with.

    `param` is the first such model. Raises ModelNotAllowedError and
    ModelNotPricedError.
    """
    asked: set[str] = set()
    for position, request in enumerate(body.requests):
        if request.model in asked:
            continue
        asked.add(request.model)
        try:
            limits.price_of(request.model, service.provider_for(request.model).name)
        except RequestError as error:
            error.param = f"requests[{position}].model"
            raise


@router.get("", summary="List your jobs", responses=errors(400))
async def list_jobs(
    jobs: JobServiceDep,
    identity: IdentityDep,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    after: Annotated[
        str | None,
        Query(max_length=64, description="The `last_id` of the page before."),
    ] = None,
) -> JobList:
    """A page of your jobs, newest first, without their results."""
    return await jobs.store.page(identity.subject, limit, after)


@router.get("/{job_id}", summary="Read a job", responses=errors(404))
async def read_job(
    job_id: JobId,
    jobs: JobServiceDep,
    identity: IdentityDep,
    response: Response,
    results: Annotated[bool, Query(description="With the outcomes so far.")] = True,
    results_after: Annotated[
        int | None,
        Query(
            ge=0,
            le=MAX_ITEMS,
            description="The `index` of the last outcome of the page before.",
        ),
    ] = None,
) -> Job:
    """Status, progress, cost and a page of the outcomes so far.

    Follow `has_more_results` once the job has ended: while it runs, outcomes come in
    any order. All of it is kept for a day after the end.
    """
    job = await jobs.store.read(
        job_id, identity.subject, results=results, after=results_after
    )
    if not job.status.is_terminal:
        response.headers["Retry-After"] = POLL_SECONDS
    return job


@router.get(
    "/{job_id}/events",
    summary="Follow a job",
    response_class=Response,
    responses={200: EVENTS_DOCUMENT, 204: NOTHING_MORE, **errors(400, 404, 410)},
)
async def follow_job(
    job_id: JobId,
    jobs: JobServiceDep,
    identity: IdentityDep,
    settings: AppSettingsDep,
    events: JobEventsDep,
    last_event_id: Annotated[str | None, Header(max_length=64)] = None,
) -> Response:
    """What happened and happens to it, as server-sent events, until it has ended.

    A connection that breaks goes on after `Last-Event-ID`; 204: nothing follows it.
    """
    await jobs.store.read(job_id, identity.subject)
    begin = await events.begin(job_id, last_event_id)
    if begin is None:
        return Response(status_code=204)
    return EventStream(
        events.follow(job_id, begin),
        encode_event,
        heartbeat=settings.heartbeat_seconds,
    )


@router.delete("/{job_id}", summary="Cancel a job", responses=errors(404, 409))
async def cancel_job(job_id: JobId, jobs: JobServiceDep, identity: IdentityDep) -> Job:
    """Stop it, wherever it runs. Twice is once; 409 when it has ended by itself."""
    return await jobs.cancel(job_id, identity.subject)
