"""What routes ask for, as `Annotated` aliases over the state the lifespan yields.

Section 4's aliases (`RedisDep`, `RequestContextDep`) are used as they are: the state
has the same keys. These are the ones full_app adds.
"""

import asyncio
import time
from typing import Annotated, TypedDict

from fastapi import Depends
from redis.asyncio import Redis
from starlette.requests import HTTPConnection

from examples.full_app.job_service import JobService
from examples.full_app.llm import ChatService
from examples.full_app.providers.protocol import CallContext
from examples.full_app.security import Identity
from examples.full_app.settings import Settings
from examples.full_app.telemetry import Metrics


class AppState(TypedDict):
    """What the lifespan yields; `settings` and `redis` as in section 4."""

    settings: Settings
    redis: Redis
    chat_service: ChatService
    jobs: JobService
    metrics: Metrics
    draining: asyncio.Event


async def get_app_settings(connection: HTTPConnection) -> Settings:
    """The settings this application was created with."""
    settings: Settings = connection.state["settings"]
    return settings


async def get_chat_service(connection: HTTPConnection) -> ChatService:
    """The one service behind chat and embeddings."""
    service: ChatService = connection.state["chat_service"]
    return service


async def get_job_service(connection: HTTPConnection) -> JobService:
    """The one service behind jobs."""
    service: JobService = connection.state["jobs"]
    return service


async def get_identity(connection: HTTPConnection) -> Identity:
    """The caller, as the authentication middleware found it."""
    identity: Identity = connection.state["identity"]
    return identity


async def get_call_context(
    connection: HTTPConnection,
    settings: Annotated[Settings, Depends(get_app_settings)],
) -> CallContext:
    """The facts of this call: its id, its deadline, its trace."""
    headers = connection.headers
    return CallContext(
        connection.state["request_id"],
        deadline=time.monotonic() + settings.request_timeout_seconds,
        traceparent=headers.get("traceparent"),
    )


AppSettingsDep = Annotated[Settings, Depends(get_app_settings)]
ChatServiceDep = Annotated[ChatService, Depends(get_chat_service)]
JobServiceDep = Annotated[JobService, Depends(get_job_service)]
IdentityDep = Annotated[Identity, Depends(get_identity)]
CallContextDep = Annotated[CallContext, Depends(get_call_context)]
