"""Django with async views, on uvicorn: no database, no sessions, no templates."""

import asyncio
from typing import Any

from django.conf import settings
from django.core.asgi import get_asgi_application
from django.http import HttpRequest, JsonResponse
from django.urls import path

from benchmarks.apps import ANSWER, CALLS, MODEL_SECONDS

settings.configure(
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    MIDDLEWARE=["django.middleware.common.CommonMiddleware"],
    LOGGING_CONFIG=None,
)


async def simple(request: HttpRequest) -> JsonResponse:
    """A small JSON answer."""
    return JsonResponse(ANSWER)


async def model(request: HttpRequest) -> JsonResponse:
    """One awaited model call."""
    await asyncio.sleep(MODEL_SECONDS)
    return JsonResponse(ANSWER)


async def fanout(request: HttpRequest) -> JsonResponse:
    """Ten at once."""
    await asyncio.gather(*(asyncio.sleep(MODEL_SECONDS) for _ in range(CALLS)))
    return JsonResponse(ANSWER)


urlpatterns = [path("json", simple), path("model", model), path("fanout", fanout)]
app: Any = get_asgi_application()
