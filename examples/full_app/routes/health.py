"""Liveness, readiness and metrics.

Live: the process answers. Ready: it should be sent work, so Redis answers and the
service is not shutting down. Both are public and say nothing else.
"""

import asyncio
from typing import Literal

from fastapi import APIRouter, Request
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel
from redis.exceptions import RedisError
from starlette.responses import Response

from examples.full_app.errors import NotReadyError
from examples.full_app.lifecycle import Draining
from examples.full_app.routes.openapi import errors
from examples.s4_dependency_injection import RedisDep

router = APIRouter(tags=["operations"])


class Health(BaseModel):
    """The answer of a probe."""

    status: Literal["ok"] = "ok"


@router.get("/health/live", summary="Is the process alive?")
async def live() -> Health:
    """Always ok: a process that answers is alive."""
    return Health()


@router.get("/health/ready", summary="Should it be sent work?", responses=errors(503))
async def ready(request: Request, redis: RedisDep) -> Health:
    """Ok, or 503 while Redis is away or the service shuts down."""
    draining: Draining = request.state.draining
    if draining.is_set():
        raise NotReadyError("The service is shutting down.")
    try:
        await asyncio.wait_for(redis.ping(), 1)
    except (RedisError, TimeoutError):
        raise NotReadyError("Redis does not answer.") from None
    return Health()


@router.get("/metrics", summary="Prometheus metrics", response_class=Response)
async def metrics(request: Request) -> Response:
    """Prometheus text; needs an API key where keys are configured."""
    text = generate_latest(request.state.metrics.registry)
    return Response(text, media_type=CONTENT_TYPE_LATEST)
