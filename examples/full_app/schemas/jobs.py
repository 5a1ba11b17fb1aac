"""Jobs on the wire: a batch of chat requests, its progress and its outcomes."""

from collections.abc import Sequence
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, HttpUrl, StringConstraints
from pydantic_core import PydanticKnownError

from examples.full_app.errors import ErrorBody
from examples.full_app.schemas.answers import ChatCompletion
from examples.full_app.schemas.base import Answer, Wire, is_none
from examples.full_app.schemas.chat import AnyChatRequest
from examples.s3_patterns import JobStatus

MAX_ITEMS = 10_000
Secret = Annotated[
    str, StringConstraints(pattern=r"^whsec_[A-Za-z0-9+/=]+$", max_length=128)
]


class JobWebhook(Wire):
    """Where to send the `job.*` event when the job has ended."""

    url: HttpUrl
    secret: Secret | None = Field(
        default=None, description="Yours; without it one is made and shown once."
    )


def _not_too_many(items: object) -> object:
    """`max_length` alone counts items once they are valid, and 19,000 fit a body."""
    if isinstance(items, list) and len(items) > MAX_ITEMS:
        bound = {"field_type": "List", "max_length": MAX_ITEMS}
        raise PydanticKnownError("too_long", {**bound, "actual_length": len(items)})
    return items


class JobRequest(Wire):
    """`POST /v1/jobs`: chat requests, none of them streamed."""

    requests: Annotated[list[AnyChatRequest], BeforeValidator(_not_too_many)] = Field(
        min_length=1, max_length=MAX_ITEMS
    )
    webhook: JobWebhook | None = None


class JobProgress(Answer):
    """How far a job is: items done, of which some failed, of all."""

    done: int = 0
    failed: int = 0
    total: int


class JobError(Answer):
    """Why a job as a whole failed."""

    code: str = Field(examples=["job_attempts_exhausted"])
    message: str


class JobItem(Answer):
    """The outcome of one request of the batch: an answer or an error.

    `attempt` is the attempt of the job in which it came.
    """

    index: int
    attempt: int = 1
    response: ChatCompletion | None = None
    error: ErrorBody | None = None


class Job(Answer):
    """A job as its owner sees it; times are Unix seconds."""

    id: str
    object: Literal["job"] = "job"
    status: JobStatus
    created_at: int
    started_at: int | None = None
    finished_at: int | None = None
    attempt: int = 0
    progress: JobProgress
    cost_usd: str | None = Field(
        default="0",
        description="Of the items so far, exact; null when one has no known price.",
    )
    error: JobError | None = None
    webhook_secret: str | None = Field(default=None, exclude_if=is_none)
    results: list[JobItem] | None = Field(
        default=None,
        exclude_if=is_none,
        description="In the order of the requests, in pages of at most 4 MiB. "
        "A larger result is a page of its own.",
    )
    has_more_results: Literal[True] | None = Field(
        default=None,
        exclude_if=is_none,
        description="More results follow: send the last `index` as `results_after`.",
    )


class JobList(Answer):
    """A page of the caller's jobs, newest first, without their results."""

    object: Literal["list"] = "list"
    data: list[Job]
    first_id: str | None = None
    last_id: str | None = None
    has_more: bool = False

    @classmethod
    def of(cls, jobs: Sequence[Job], *, has_more: bool) -> Self:
        """The page of these jobs."""
        first, last = (jobs[0].id, jobs[-1].id) if jobs else (None, None)
        return cls(data=list(jobs), first_id=first, last_id=last, has_more=has_more)
