"""Where job records live in Redis, and what their owners see of them."""

from collections.abc import Mapping

from examples.full_app.errors import ConflictError, NotFoundError
from examples.full_app.money import as_usd
from examples.full_app.schemas.jobs import Job, JobError, JobItem, JobProgress
from examples.s3_patterns import JobStatus

LIVE = "jobs:live"  # ids of jobs not yet over, by the last sign of life


class JobNotFoundError(NotFoundError):
    """No such job, or another caller's: the two look alike on purpose."""

    code = "job_not_found"


class JobConflictError(ConflictError):
    """The job has ended; it cannot be cancelled any more."""

    code = "job_conflict"


def as_job(
    job_id: str, record: Mapping[str, str], results: list[JobItem] | None = None
) -> Job:
    """A record as its owner sees it."""
    failed = int(record.get("failed", 0))
    code, message = record.get("error_code", ""), record.get("error", "")
    return Job(
        id=job_id,
        status=JobStatus(record["status"]),
        created_at=int(record["created_at"]),
        started_at=int(record["started_at"]) if "started_at" in record else None,
        finished_at=int(record["finished_at"]) if "finished_at" in record else None,
        attempt=int(record["attempt"]),
        progress=JobProgress(
            done=int(record.get("succeeded", 0)) + failed,
            failed=failed,
            total=int(record["total"]),
        ),
        cost_usd=(
            None if "unpriced" in record else as_usd(int(record.get("cost_nano", 0)))
        ),
        error=JobError(code=code, message=message) if code else None,
        results=results,
    )


def record_key(job_id: str) -> str:
    """A hash: the record."""
    return f"job:{{{job_id}}}"


def request_key(job_id: str) -> str:
    """A string: what was asked, as JSON."""
    return f"job:{{{job_id}}}:request"


def items_key(job_id: str) -> str:
    """A hash: the outcome of each item, as JSON, by its index."""
    return f"job:{{{job_id}}}:items"


def events_key(job_id: str) -> str:
    """A stream: what happened to the job."""
    return f"job:{{{job_id}}}:events"


def owned_key(owner: str) -> str:
    """A sorted set: the ids of one caller's jobs by the time they were created."""
    return f"jobs:{owner}"


def text_of(value: object) -> str:
    """Clients answer bytes, or text when they were made to decode."""
    return value.decode("utf-8") if isinstance(value, bytes) else str(value)
