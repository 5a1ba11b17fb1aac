"""What routes ask for, as `Annotated` aliases over the state the lifespan yields.

Section 4's aliases (`RedisDep`, `RequestContextDep`) are used as they are, because the
state has the same keys. These are the ones that the service adds.
"""

import re
import time
from dataclasses import dataclass
from typing import Annotated, TypedDict

from fastapi import Depends
from redis.asyncio import Redis
from starlette.requests import HTTPConnection

from examples.full_app.chat.service import ChatService
from examples.full_app.identity import Identity
from examples.full_app.jobs.events import JobEvents
from examples.full_app.jobs.service import JobService
from examples.full_app.lifecycle import Draining
from examples.full_app.limits.ledger import CallerLimits, Limits
from examples.full_app.observability.metrics import Metrics
from examples.full_app.observability.tracing import traceparent
from examples.full_app.providers.base import CallContext
from examples.full_app.queue import Queue
from examples.full_app.responses.background import BackgroundResponses
from examples.full_app.responses.log import ResponseLog
from examples.full_app.responses.service import ResponseService
from examples.full_app.responses.store import ResponseStore
from examples.full_app.resumable.generations import Generations
from examples.full_app.settings import Settings
from examples.full_app.webhooks.service import WebhookService
from examples.s4_dependency_injection import RequestContextDep

CLIENT_TIMEOUT = "x-stainless-read-timeout"
RETRY_COUNT = "x-stainless-retry-count"
SECONDS = re.compile(r"[0-9]{1,6}(\.[0-9]{1,6})?")
COUNT = re.compile(r"[0-9]{1,3}")


@dataclass(frozen=True, slots=True)
class Responses:
    """What `/v1/responses` is made of: where responses are made, kept and followed."""

    foreground: ResponseService
    background: BackgroundResponses
    store: ResponseStore
    log: ResponseLog
    heartbeat_seconds: float


class AppState(TypedDict):
    """What the lifespan yields; `settings` and `redis` as in section 4."""

    settings: Settings
    redis: Redis
    limits: Limits
    chat_service: ChatService
    generations: Generations
    jobs: JobService
    job_events: JobEvents
    responses: Responses
    webhooks: WebhookService
    queue: Queue
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


async def get_responses(connection: HTTPConnection) -> Responses:
    """What is behind `/v1/responses`."""
    responses: Responses = connection.state["responses"]
    return responses


async def get_webhook_service(connection: HTTPConnection) -> WebhookService:
    """The one service behind webhooks."""
    service: WebhookService = connection.state["webhooks"]
    return service


async def get_identity(connection: HTTPConnection) -> Identity:
    """The caller, as the authentication middleware found it."""
    identity: Identity = connection.state["identity"]
    return identity


IdentityDep = Annotated[Identity, Depends(get_identity)]


async def get_caller_limits(connection: HTTPConnection) -> CallerLimits:
    """The limits and the budget of the caller, from which a call reserves."""
    limits: Limits = connection.state["limits"]
    identity: Identity = connection.state["identity"]
    return limits.of(identity.subject)


@dataclass(frozen=True, slots=True)
class Streaming:
    """What a stream needs besides its events: a heartbeat, and a place to resume it."""

    heartbeat_seconds: float
    generations: Generations


async def get_streaming(connection: HTTPConnection) -> Streaming:
    """How this application streams."""
    settings: Settings = connection.state["settings"]
    return Streaming(settings.heartbeat_seconds, connection.state["generations"])


async def get_call_context(
    connection: HTTPConnection, request: RequestContextDep
) -> CallContext:
    """Section 4's request context, with what a provider needs to know of the call.

    The official clients send their timeout and the number of their try as headers. A
    malformed value counts as not sent.
    """
    headers = connection.headers
    settings: Settings = connection.state["settings"]
    longest = settings.request_timeout_seconds
    client_timeout = _client_timeout(headers.get(CLIENT_TIMEOUT, ""))
    now = time.monotonic()
    return CallContext(
        request.request_id,
        deadline=now + min(client_timeout, longest),
        stream_deadline=now + longest,
        traceparent=traceparent(),
        retry_count=_retry_count(headers.get(RETRY_COUNT, "")),
    )


def _client_timeout(value: str) -> float:
    """Seconds after which the client stops waiting; infinite if it does not say.

    A little is kept back: our 504 says whether to retry, the client's own does not.
    """
    if not SECONDS.fullmatch(value) or float(value) == 0:
        return float("inf")
    return float(value) - min(1.0, float(value) / 20)


def _retry_count(value: str) -> int:
    return int(value) if COUNT.fullmatch(value) else 0


AppSettingsDep = Annotated[Settings, Depends(get_app_settings)]
CallContextDep = Annotated[CallContext, Depends(get_call_context)]
CallerLimitsDep = Annotated[CallerLimits, Depends(get_caller_limits)]
ChatServiceDep = Annotated[ChatService, Depends(get_chat_service)]
GenerationsDep = Annotated[Generations, Depends(get_generations)]
JobEventsDep = Annotated[JobEvents, Depends(get_job_events)]
JobServiceDep = Annotated[JobService, Depends(get_job_service)]
ResponsesDep = Annotated[Responses, Depends(get_responses)]
StreamingDep = Annotated[Streaming, Depends(get_streaming)]
WebhookServiceDep = Annotated[WebhookService, Depends(get_webhook_service)]
