"""What routes ask for, as `Annotated` aliases over the state the lifespan yields.

Section 4's aliases (`RedisDep`, `RequestContextDep`) are used as they are: the state
has the same keys. These are the ones full_app adds.
"""

import re
import time
from typing import Annotated, TypedDict

from fastapi import Depends
from redis.asyncio import Redis
from starlette.requests import HTTPConnection

from examples.full_app.draining import Draining
from examples.full_app.generations import Generations
from examples.full_app.job_service import JobService
from examples.full_app.llm import ChatService
from examples.full_app.metrics import Metrics
from examples.full_app.providers.protocol import CallContext
from examples.full_app.security import Identity
from examples.full_app.settings import Settings
from examples.full_app.tracing import traceparent
from examples.full_app.webhook_service import WebhookService


class AppState(TypedDict):
    """What the lifespan yields; `settings` and `redis` as in section 4."""

    settings: Settings
    redis: Redis
    chat_service: ChatService
    generations: Generations
    jobs: JobService
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


async def get_webhook_service(connection: HTTPConnection) -> WebhookService:
    """The one service behind webhooks."""
    service: WebhookService = connection.state["webhooks"]
    return service


async def get_identity(connection: HTTPConnection) -> Identity:
    """The caller, as the authentication middleware found it."""
    identity: Identity = connection.state["identity"]
    return identity


async def get_call_context(
    connection: HTTPConnection,
    settings: Annotated[Settings, Depends(get_app_settings)],
) -> CallContext:
    """The facts of this call: its id, its deadline, its trace, its place in a row.

    The official clients tell their patience and the number of their try; what is
    malformed counts as not said.
    """
    headers = connection.headers
    patience = _patience(headers.get("x-stainless-read-timeout", ""))
    now, longest = time.monotonic(), settings.request_timeout_seconds
    return CallContext(
        connection.state["request_id"],
        deadline=now + min(patience, longest),
        stream_deadline=now + longest,
        traceparent=traceparent(),
        retry_count=_retry_count(headers.get("x-stainless-retry-count", "")),
    )


def _patience(told: str) -> float:
    """Seconds in which an answer still finds its reader; infinite if none are told.

    A little is kept back: our 504 says whether to retry, the client's own does not.
    """
    if not re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,6})?", told) or float(told) == 0:
        return float("inf")
    return float(told) - min(1.0, float(told) / 20)


def _retry_count(told: str) -> int:
    return int(told) if re.fullmatch("[0-9]{1,3}", told) else 0


AppSettingsDep = Annotated[Settings, Depends(get_app_settings)]
ChatServiceDep = Annotated[ChatService, Depends(get_chat_service)]
GenerationsDep = Annotated[Generations, Depends(get_generations)]
JobServiceDep = Annotated[JobService, Depends(get_job_service)]
WebhookServiceDep = Annotated[WebhookService, Depends(get_webhook_service)]
IdentityDep = Annotated[Identity, Depends(get_identity)]
CallContextDep = Annotated[CallContext, Depends(get_call_context)]
