"""Jobs: `POST` answers 202 and where to look; poll, list and cancel from there."""

from typing import Annotated

from fastapi import APIRouter, Body, Depends, Path, Query, Response
from fastapi.openapi.models import Example

from examples.full_app.dependencies import IdentityDep, JobServiceDep
from examples.full_app.idempotency import IdempotentRoute
from examples.full_app.limits import management_limit
from examples.full_app.routes.documents import BODY, IDEMPOTENCY_KEY, ONCE, errors
from examples.full_app.schemas.jobs import Job, JobList, JobRequest
from examples.full_app.validation import Bounded

router = APIRouter(
    prefix="/v1/jobs",
    tags=["jobs"],
    route_class=IdempotentRoute,
    dependencies=[Depends(management_limit)],
)

JobId = Annotated[str, Path(max_length=64, pattern="^job_[0-9a-f]+$")]
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
    openapi_extra=IDEMPOTENCY_KEY,
)
async def create_job(
    body: Annotated[JobRequest, Bounded, Body(openapi_examples=EXAMPLES)],
    jobs: JobServiceDep,
    identity: IdentityDep,
    response: Response,
) -> Job:
    """Queue the batch. `Location` is where to poll, `Retry-After` how often."""
    job = await jobs.create(identity.subject, body)
    response.headers["Location"] = f"/v1/jobs/{job.id}"
    response.headers["Retry-After"] = POLL_SECONDS
    return job


@router.get("", summary="List your jobs", responses=errors())
async def list_jobs(
    jobs: JobServiceDep,
    identity: IdentityDep,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
) -> JobList:
    """Your newest jobs, newest first, without their results."""
    return JobList(data=list(await jobs.store.newest(identity.subject, limit)))


@router.get("/{job_id}", summary="Read a job", responses=errors(404))
async def read_job(
    job_id: JobId, jobs: JobServiceDep, identity: IdentityDep, response: Response
) -> Job:
    """Status, progress and the outcomes so far; kept for a day."""
    job = await jobs.store.read(job_id, identity.subject, results=True)
    if not job.status.is_terminal:
        response.headers["Retry-After"] = POLL_SECONDS
    return job


@router.delete("/{job_id}", summary="Cancel a job", responses=errors(404, 409))
async def cancel_job(job_id: JobId, jobs: JobServiceDep, identity: IdentityDep) -> Job:
    """Stop it, wherever it runs. Twice is once; 409 when it has ended by itself."""
    return await jobs.cancel(job_id, identity.subject)
