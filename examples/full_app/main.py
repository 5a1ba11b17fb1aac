"""The complete service. `create_app` is the one place where all parts meet.

Run it: `uvicorn --no-proxy-headers --http
examples.full_app.web.connection.protocol:FastProtocol examples.full_app.main:app`.
Everything lives in this process until `REDIS_URL` names a Redis; then any number of
processes share it.
Settings are described in `settings.py`.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Collection
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.telemetry import TelemetryConfig
from redis.exceptions import RedisError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Receive, Scope, Send

from examples.full_app.errors import NotReadyError
from examples.full_app.lifecycle import Draining
from examples.full_app.observability.logs import ThrottledLog, log_as_json
from examples.full_app.observability.metrics import Metrics
from examples.full_app.providers.base import Provider
from examples.full_app.routes import (
    chat,
    console,
    embeddings,
    health,
    jobs,
    live,
    models,
    openai_webhooks,
    responses,
    resume,
    unsupported,
    usage,
    webhooks,
)
from examples.full_app.routes.openapi import without_unused_422
from examples.full_app.routes.recorded_answers import document_answers
from examples.full_app.settings import Settings
from examples.full_app.web.application import Application
from examples.full_app.web.dependencies import AppState
from examples.full_app.web.error_responses import (
    from_validation_error,
    in_our_words,
    render,
)
from examples.full_app.web.event_stream import ClientClosedRequestError
from examples.full_app.web.middleware.authentication import (
    AuthenticationMiddleware,
    Authenticator,
    route_path,
)
from examples.full_app.web.middleware.cors import BrowserMiddleware
from examples.full_app.web.middleware.draining import EXEMPT, DrainingMiddleware
from examples.full_app.web.middleware.head import HeadMiddleware
from examples.full_app.web.middleware.telemetry import TelemetryMiddleware
from examples.full_app.web.shutdown import draining_on_signal
from examples.full_app.wiring import open_services, work_jobs
from examples.s5_error_handling import log_error, setup_error_handlers

log = logging.getLogger(__name__)
refusals = ThrottledLog(log)

# Spans and metrics of FastAPI's own, for an OpenTelemetry SDK, once one is set up. Its
# log records quote exceptions, which may quote prompts.
TELEMETRY: TelemetryConfig = {
    "logs": False,
    "exclude": lambda scope: scope["path"] in EXEMPT,
}
ROUTERS = (
    chat.router,
    resume.router,
    responses.router,
    embeddings.router,
    models.router,
    usage.router,
    jobs.router,
    webhooks.router,
    openai_webhooks.router,
    live.router,
    unsupported.router,
    health.router,
)


def create_app(
    settings: Settings | None = None, *, provider: Provider | None = None
) -> FastAPI:
    """The service, built from `settings` or from the environment.

    `provider` answers in place of the one that the settings name. Raises
    pydantic.ValidationError for settings that cannot work together.
    """
    settings = settings or Settings()
    metrics = Metrics()

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[AppState]:
        if settings.log_json:
            handler = log_as_json()
            metrics.lines_dropped.set_function(lambda: handler.dropped)
        async with contextlib.AsyncExitStack() as stack:
            opened = open_services(settings, metrics, provider)
            services = await stack.enter_async_context(opened)
            stack.enter_context(draining_on_signal(services["draining"]))
            if settings.loopback_webhooks:
                log.warning("for development: webhooks may go to this machine")
            if settings.job_worker:
                beside = until_draining(work_jobs(services), services["draining"])
                await stack.enter_async_context(beside)
            yield services

    app = Application(
        websocket_seconds=settings.live_send_seconds,
        title="full_app",
        summary="An OpenAI-compatible service with limits, budgets, jobs and webhooks.",
        version="0.1.0",
        lifespan=lifespan,
        telemetry=TELEMETRY,
    )
    for router in ROUTERS:
        app.include_router(router)
    keys = bool(settings.api_keys)
    received = settings.embedded and not keys and settings.loopback_webhooks
    if received:
        app.include_router(console.inbox_router())
    app.include_router(console.console_router(inbox=received, keys=keys))
    app.mount("/console", StaticFiles(directory=console.CONSOLE))
    app.add_middleware(HeadMiddleware)
    app.add_middleware(
        AuthenticationMiddleware,
        authenticator=Authenticator(
            settings.api_keys,
            settings.key_grants,
            origins=settings.cors_origins,
            hosts=settings.allowed_hosts,
        ),
    )
    app.add_middleware(DrainingMiddleware)
    if settings.cors_origins:
        app.add_middleware(BrowserMiddleware, origins=settings.cors_origins)
    app.add_middleware(TelemetryMiddleware, metrics=metrics)
    document_keys(app)
    document_answers(app)
    without_unused_422(app)
    setup_error_handlers(app, render=render)
    refuse: Any = app.exception_handlers[HTTPException]

    async def refuse_in_our_words(request: Request, error: Exception) -> Response:
        answer: Response = await refuse(
            request, in_our_words(request, error, route_path(request.scope))
        )
        return answer

    app.add_exception_handler(HTTPException, refuse_in_our_words)
    if settings.cors_origins:
        show_bugs_to_pages(app, settings.cors_origins)
    serve_trailing_slashes(app)
    app.add_exception_handler(RequestValidationError, refuse_invalid)
    app.add_exception_handler(ClientDisconnect, note_departure)
    app.add_exception_handler(RedisError, refuse_for_now)
    app.add_exception_handler(NotReadyError, refuse_for_now)
    return app


def show_bugs_to_pages(app: FastAPI, origins: Collection[str]) -> None:
    """Give the answer to an unexpected exception the headers that browsers look for.

    Starlette makes that answer outside of every middleware.
    """
    explain: Any = app.exception_handlers[Exception]

    async def explain_to_pages(request: Request, error: Exception) -> BrowserMiddleware:
        return BrowserMiddleware(await explain(request, error), origins)

    handler: Any = explain_to_pages  # like every response, an ASGI application
    app.add_exception_handler(Exception, handler)


def serve_trailing_slashes(app: FastAPI) -> None:
    """Serve `/v1/models/` as `/v1/models`.

    Starlette would send the client to an absolute address, made from what it sees of
    the request. Behind a proxy that ends TLS that address begins with `http:`.
    """
    router = app.router
    router.redirect_slashes = False
    not_found = router.default

    async def serve_without_slash(scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        if path.endswith("/") and path != "/":
            scope["path"] = path[:-1]
            await router(scope, receive, send)
        else:
            await not_found(scope, receive, send)

    router.default = serve_without_slash


def document_keys(app: FastAPI) -> None:
    """Say in the OpenAPI document how to authenticate: /docs then asks for the key."""
    document = app.openapi

    def with_keys() -> dict[str, Any]:
        schema = document()
        scheme = {"type": "http", "scheme": "bearer"}
        schema["components"].setdefault("securitySchemes", {})["APIKey"] = scheme
        schema["security"] = [{"APIKey": []}]
        return schema

    app.openapi = with_keys  # type: ignore[method-assign]  # FastAPI's documented way


async def refuse_invalid(request: Request, error: Exception) -> Response:
    """Validation errors as an OpenAI client reads them: 400, `param`, a near name."""
    if not isinstance(error, RequestValidationError):
        raise error
    return render(from_validation_error(error), request.state.request_id)


async def note_departure(request: Request, error: Exception) -> Response:
    """A client that left while it sent its body: 499 in the log and in the metrics."""
    departure = ClientClosedRequestError("The client left before its body had come.")
    request_id = request.state.request_id
    log_error(departure, request_id, cause=None)
    return render(departure, request_id)


async def refuse_for_now(request: Request, error: Exception) -> Response:
    """503 while Redis is away, for what cannot be done without it.

    In an outage every call may be refused. So there is no line for each of them.
    """
    refusals.warning("refused for now", error)
    if not isinstance(error, NotReadyError):
        error = NotReadyError("Redis does not answer.")
    return render(error, request.state.request_id)


@contextlib.asynccontextmanager
async def until_draining(
    work: contextlib.AbstractAsyncContextManager[None], draining: Draining
) -> AsyncIterator[None]:
    """Work beside the block; while streams finish, the work already does too."""
    begun: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def run() -> None:
        async with work:
            begun.set_result(None)
            await draining.began.wait()

    running = asyncio.create_task(run())
    await asyncio.wait({running, begun}, return_when=asyncio.FIRST_COMPLETED)
    if running.done():
        running.result()
    try:
        yield
    finally:
        draining.began.set()
        await running


app = create_app()
