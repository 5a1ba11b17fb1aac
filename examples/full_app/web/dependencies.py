"""What routes ask for, as `Annotated` aliases over the state the lifespan yields.

Section 4's aliases (`RedisDep`, `RequestContextDep`) are used as they are: the state
has the same keys. These are the ones full_app adds.
"""

import re
import time
from dataclasses import dataclass
from typing import Annotated, TypedDict

from fastapi import Depends
from fastapi.exceptions import RequestValidationError
from pydantic import TypeAdapter, ValidationError
from redis.asyncio import Redis
from starlette.requests import HTTPConnection

from examples.full_app.chat.service import ChatService
from examples.full_app.identity import Identity
from examples.full_app.jobs.events import JobEvents
from examples.full_app.jobs.service import JobService
from examples.full_app.lifecycle import Draining
from examples.full_app.observability.metrics import Metrics
from examples.full_app.observability.tracing import traceparent
from examples.full_app.providers.base import CallContext
from examples.full_app.resumable.generations import Generations
from examples.full_app.settings import Settings
from examples.full_app.web.headers import headers_of
from examples.full_app.webhooks.service import WebhookService

PATIENCE = "x-stainless-read-timeout"
RETRY_COUNT = "x-stainless-retry-count"
_BOOLEAN = TypeAdapter(bool)


class AppState(TypedDict):
    """What the lifespan yields; `settings` and `redis` as in section 4."""

    settings: Settings
    redis: Redis
    chat_service: ChatService
    generations: Generations
    jobs: JobService
    job_events: JobEvents
    webhooks: WebhookService
    metrics: Metrics
    draining: Draining


async def get_app_settings(connection: HTTPConnection) -> Settings:
    """The settings this application was created with."""
    settings: Settings = connection.state["settings"]
    return settings


async def get_chat_service(connection: HTTPConnection) -> ChatService:
    """The one service behind chat and embeddings."""
    service: ChatService = connection.state["chat_service"]
    return service


async def get_generations(connection: HTTPConnection) -> Generations:
    """The answers that can be resumed."""
    generations: Generations = connection.state["generations"]
    return generations


async def get_job_service(connection: HTTPConnection) -> JobService:
    """The one service behind jobs."""
    service: JobService = connection.state["jobs"]
    return service


async def get_job_events(connection: HTTPConnection) -> JobEvents:
    """What happens to jobs."""
    events: JobEvents = connection.state["job_events"]
    return events


async def get_webhook_service(connection: HTTPConnection) -> WebhookService:
    """The one service behind webhooks."""
    service: WebhookService = connection.state["webhooks"]
    return service


async def get_identity(connection: HTTPConnection) -> Identity:
    """The caller, as the authentication middleware found it."""
    identity: Identity = connection.state["identity"]
    return identity


async def get_call_context(connection: HTTPConnection) -> CallContext:
    """The facts of this call: its id, its deadline, its trace, its place in a row.

    The official clients tell their patience and the number of their try; what is
    malformed counts as not said.
    """
    return call_context(connection)


@dataclass(slots=True)
class CallScope:
    """What a chat call needs, found once a request."""

    service: ChatService
    generations: Generations
    settings: Settings
    identity: Identity
    context: CallContext
    resumable: bool


def call_scope(connection: HTTPConnection, *, whole: bool) -> CallScope:
    """All of it at once, for routes that FastAPI solves no dependencies for.

    Raises RequestValidationError for an `X-Resumable` that is no boolean.
    """
    state = connection.scope["state"]
    return CallScope(
        state["chat_service"],
        state["generations"],
        state["settings"],
        state["identity"],
        call_context(connection, whole=whole),
        _flag(connection, "x-resumable"),
    )


def call_context(connection: HTTPConnection, *, whole: bool = False) -> CallContext:
    """See `get_call_context`."""
    headers, state = headers_of(connection.scope), connection.scope["state"]
    longest = state["settings"].request_timeout_seconds
    patience, now = _patience(headers.get(PATIENCE, "")), time.monotonic()
    return CallContext(
        state["request_id"],
        deadline=now + min(patience, longest),
        stream_deadline=now + longest,
        traceparent=traceparent(),
        retry_count=_retry_count(headers.get(RETRY_COUNT, "")),
        whole=whole,
    )


def _flag(connection: HTTPConnection, name: str) -> bool:
    told = headers_of(connection.scope).get(name)
    if told is None:
        return False
    try:
        return _BOOLEAN.validate_python(told)
    except ValidationError as error:
        (wrong,) = error.errors(include_input=False)
        raise RequestValidationError([{**wrong, "loc": ("header", name)}]) from None


def _patience(told: str) -> float:
    """Seconds in which an answer still finds its reader; infinite if none are told.

    A little is kept back: our 504 says whether to retry, the client's own does not.
    """
    if (
        not told
        or not re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,6})?", told)
        or float(told) == 0
    ):
        return float("inf")
    return float(told) - min(1.0, float(told) / 20)


def _retry_count(told: str) -> int:
    return int(told) if told and re.fullmatch("[0-9]{1,3}", told) else 0


AppSettingsDep = Annotated[Settings, Depends(get_app_settings)]
ChatServiceDep = Annotated[ChatService, Depends(get_chat_service)]
GenerationsDep = Annotated[Generations, Depends(get_generations)]
JobEventsDep = Annotated[JobEvents, Depends(get_job_events)]
JobServiceDep = Annotated[JobService, Depends(get_job_service)]
WebhookServiceDep = Annotated[WebhookService, Depends(get_webhook_service)]
IdentityDep = Annotated[Identity, Depends(get_identity)]
CallContextDep = Annotated[CallContext, Depends(get_call_context)]
