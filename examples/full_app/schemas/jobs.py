"""Jobs on the wire: a batch of chat requests, its progress and its outcomes."""

from typing import Annotated, Literal

from pydantic import Field, HttpUrl, StringConstraints

from examples.full_app.errors import ErrorBody
from examples.full_app.schemas.answers import ChatCompletion
from examples.full_app.schemas.base import Answer, Wire
from examples.full_app.schemas.chat import ChatCompletionRequest
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


class JobRequest(Wire):
    """`POST /v1/jobs`: chat requests, none of them streamed."""

    requests: list[ChatCompletionRequest] = Field(min_length=1, max_length=MAX_ITEMS)
    webhook: JobWebhook | None = None


class JobProgress(Answer):
    """How far a job is: items done, of which some failed, of all."""

    done: int = 0
    failed: int = 0
    total: int


class JobItem(Answer):
    """The outcome of one request of the batch: an answer or an error."""

    index: int
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
    error: str | None = None
    webhook_secret: str | None = Field(
        default=None, exclude_if=lambda secret: secret is None
    )
    results: list[JobItem] | None = Field(
        default=None, exclude_if=lambda results: results is None
    )


class JobList(Answer):
    """The caller's newest jobs, without their results."""

    object: Literal["list"] = "list"
    data: list[Job]
