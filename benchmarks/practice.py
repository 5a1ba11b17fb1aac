"""Habits that cost: one after another, blocking threads, lru_cache, BaseHTTPMiddleware,
and an answer that is validated twice. All in this process, without a socket.
"""

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import lru_cache
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Request, Response
from pydantic import BaseModel
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from benchmarks.inprocess import ROUNDS, call, interleaved
from examples.s2_models import ChatCompletionResponse, Choice, ResponseMessage, Usage

CALLS = 10
CALL_SECONDS = 0.05
FIRST_REQUESTS = 20


class Practice(BaseModel):
    """One comparison: what each way took or built, and first / second."""

    what: str
    unit: str
    first: tuple[str, float]
    second: tuple[str, float]
    ratio: float


def measure(seconds: float) -> list[Practice]:
    """Every comparison; `seconds` bounds each that repeats itself."""
    return [*fan_out(), singletons(), middleware(seconds), response_models(seconds)]


def fan_out() -> list[Practice]:
    """Ten model calls: one after another, at once, and at once in threads."""

    async def in_turn() -> None:
        for _ in range(CALLS):
            await asyncio.sleep(CALL_SECONDS)

    async def at_once() -> None:
        await asyncio.gather(*(asyncio.sleep(CALL_SECONDS) for _ in range(CALLS)))

    def in_threads() -> None:
        with ThreadPoolExecutor(CALLS) as threads:
            list(threads.map(time.sleep, [CALL_SECONDS] * CALLS))

    slow = _median(lambda: asyncio.run(in_turn()), 2) * 1000
    quick = _median(lambda: asyncio.run(at_once()), ROUNDS) * 1000
    threaded = _median(in_threads, ROUNDS) * 1000
    what = f"{CALLS} calls of {CALL_SECONDS * 1000:.0f} ms"
    return [
        _compared(what, "ms", ("one after another", slow), ("gather", quick)),
        _compared(what, "ms", ("threads", threaded), ("gather", quick)),
    ]


def _median(work: Callable[[], object], rounds: int) -> float:
    times = []
    for _ in range(rounds):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def singletons() -> Practice:
    """Services built for the first 20 requests, which come at the same time."""

    class Service:
        built = 0

        def __init__(self) -> None:
            type(self).built += 1
            time.sleep(0.05)  # it reads a file, or opens connections

    class Cached(Service):
        built = 0

    class Owned(Service):
        built = 0

    @lru_cache
    def cached() -> Service:
        return Cached()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> Any:
        app.state.service = Owned()
        yield

    def owned(request: Request) -> Service:
        found: Service = request.app.state.service
        return found

    app = FastAPI(lifespan=lifespan)

    @app.get("/cached", response_model=None)
    async def with_cache(
        service: Annotated[Service, Depends(cached)],
    ) -> dict[str, int]:
        return {}

    @app.get("/owned", response_model=None)
    async def with_lifespan(
        service: Annotated[Service, Depends(owned)],
    ) -> dict[str, int]:
        return {}

    async def first_requests() -> None:
        async with app.router.lifespan_context(app):
            for path in ("/cached", "/owned"):
                await asyncio.gather(*(call(app, path) for _ in range(FIRST_REQUESTS)))

    asyncio.run(first_requests())
    return _compared(
        f"services built by {FIRST_REQUESTS} first requests",
        "services",
        ("lru_cache", float(Cached.built)),
        ("lifespan", float(Owned.built)),
    )


def middleware(seconds: float) -> Practice:
    """The same header set by five layers of each kind of middleware."""

    class Based(BaseHTTPMiddleware):
        async def dispatch(
            self, request: Request, call_next: Callable[[Request], Awaitable[Response]]
        ) -> Response:
            answer = await call_next(request)
            answer.headers["X-Layer"] = "1"
            return answer

    class Pure:
        def __init__(self, app: ASGIApp) -> None:
            self.app = app

        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            async def marked(message: Any) -> None:
                if message["type"] == "http.response.start":
                    message["headers"].append((b"x-layer", b"1"))
                await send(message)

            await self.app(scope, receive, marked)

    def layered(kind: Any) -> FastAPI:
        app = _hello()
        for _ in range(5):
            app.add_middleware(kind)
        return app

    costs = interleaved([layered(Based), layered(Pure)], seconds)
    return _compared(
        "a request through 5 layers",
        "us",
        ("BaseHTTPMiddleware", costs[0]),
        ("pure ASGI", costs[1]),
    )


def _hello() -> FastAPI:
    app = FastAPI()

    @app.get("/")
    async def hello() -> dict[str, str]:
        return {"message": "hello"}

    return app


def response_models(seconds: float) -> Practice:
    """A chat answer that is a validated model already: filtered again, or sent."""
    answer = ChatCompletionResponse(
        id="chatcmpl-123",
        created=0,
        model="gpt-4o-mini",
        choices=[
            Choice(
                index=0,
                message=ResponseMessage(role="assistant", content="word " * 200),
                finish_reason="stop",
            )
        ],
        usage=Usage(prompt_tokens=10, completion_tokens=200),
    )
    annotated, plain = FastAPI(), FastAPI()

    @annotated.get("/")
    async def filtered() -> ChatCompletionResponse:
        return answer

    @plain.get("/", response_model=None)
    async def sent() -> Response:
        return Response(answer.model_dump_json(), media_type="application/json")

    costs = interleaved([annotated, plain], seconds)
    return _compared(
        "a chat answer of 200 words",
        "us",
        ("return annotation", costs[0]),
        ("response_model=None, own bytes", costs[1]),
    )


def _compared(
    what: str, unit: str, first: tuple[str, float], second: tuple[str, float]
) -> Practice:
    ratio = first[1] / second[1]
    return Practice(what=what, unit=unit, first=first, second=second, ratio=ratio)
