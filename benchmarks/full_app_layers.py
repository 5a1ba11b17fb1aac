"""What each layer of full_app costs a request, as ratios of one run on this machine.

    python -m benchmarks.full_app_layers

Client and application are one process without sockets between them. What is measured
is that process's CPU time, not Redis's. One request runs at a time, but for the rows
that say otherwise: there calls of one moment share their round trips. The rounds of all
rows alternate, so that whatever else the machine does hits each of them alike; a row's
figure is the median of its rounds. The unit is the bare route: FastAPI, the same body
validated by the same model, the same offline answer, and none of full_app's layers. A
layer's figure is what it adds. A streamed token's unit is bare FastAPI's. It writes
`results/full_app_layers.json` and `.md` beside this file. Rows "on Redis" need
`redis-server` and are left out without it. It takes about a minute.
"""

import asyncio
import contextlib
import itertools
import json
import logging
import os
import platform
import secrets
import shutil
import socket
import statistics
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from redis.asyncio import Redis
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from benchmarks.apps.bare_chat import app as bare_chat
from benchmarks.places import ROOT
from examples.full_app.chat.accounting import CallAccount
from examples.full_app.chat.answers import collect
from examples.full_app.chat.call import Deadline
from examples.full_app.lifecycle import Draining
from examples.full_app.limits.ledger import Hold, Ledger, Limits
from examples.full_app.limits.rates import (
    Lease,
    Limiter,
    RateLimit,
    management_limit,
)
from examples.full_app.limits.slots import Slots
from examples.full_app.limits.waiting import WaitingQueue
from examples.full_app.main import create_app
from examples.full_app.observability.logs import (
    JSONFormatter,
    QueuedHandler,
    access_log,
)
from examples.full_app.observability.metrics import Metrics
from examples.full_app.providers.base import CallContext
from examples.full_app.providers.offline.provider import OfflineProvider
from examples.full_app.schemas.chat import ChatCompletionRequest
from examples.full_app.settings import Settings
from examples.full_app.tokens import EstimateTokenizer
from examples.full_app.web.event_stream import cancelled_on_disconnect
from examples.full_app.web.idempotency import IdempotencyStore
from examples.full_app.web.json_body import parse_json, read_body
from examples.full_app.web.middleware.authentication import (
    AuthenticationMiddleware,
    Authenticator,
)
from examples.full_app.web.middleware.draining import DrainingMiddleware
from examples.full_app.web.middleware.head import HeadMiddleware
from examples.full_app.web.middleware.telemetry import TelemetryMiddleware
from examples.full_app.web.middleware.websocket_timeout import (
    WebSocketTimeoutMiddleware,
)
from examples.s2_models import Usage
from examples.s4_dependency_injection import open_redis
from examples.s5_error_handling import RequestIDMiddleware

RESULTS = ROOT / "benchmarks" / "results" / "full_app_layers"
KEY = "sk-benchmark"
NOTHING = "nothing (an ASGI app that answers 200)"
ROUNDS, ROUND_SECONDS = 21, 0.05
MANY = 10**9
BODY = json.dumps(
    {
        "model": "offline-echo",
        "messages": [{"role": "user", "content": "What does a layer cost?"}],
    }
).encode()

AT_ONCE, WORDS = 16, 200
STREAM = json.dumps(
    {
        "model": "offline-echo",
        "messages": [{"role": "user", "content": " ".join(["ab"] * WORDS)}],
        "stream": True,
    }
).encode()
CHAT, RESPONSES = "/v1/chat/completions", "/v1/responses"
# The same two requests; nothing is kept, as chat completions keep nothing.
RESPONSE = json.dumps(
    {"model": "offline-echo", "input": "What does a layer cost?", "store": False}
).encode()
RESPONSE_STREAM = json.dumps(
    {
        "model": "offline-echo",
        "input": " ".join(["ab"] * WORDS),
        "store": False,
        "stream": True,
    }
).encode()
IN_BARE = "bare FastAPI, a token"

Once = Callable[[], Awaitable[object]]


@dataclass
class Row:
    """Something to measure; `over` is the row it stands on, whose time is taken off.

    Each is `each` requests, or tokens.
    """

    name: str
    once: Once
    over: str = ""
    each: int = 1
    times: list[float] = field(default_factory=list)

    def median(self) -> float:
        """Microseconds a request."""
        return statistics.median(self.times)


def scope(app_state: dict[str, Any], key: str, body: bytes, path: str = CHAT) -> Scope:
    """A request as a server hands it over."""
    headers = {
        b"host": b"localhost",
        b"content-type": b"application/json",
        b"content-length": str(len(body)).encode(),
        b"authorization": f"Bearer {key}".encode(),
    }
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": list(headers.items()),
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 8000),
        "state": dict(app_state),
    }


def asking(
    app: ASGIApp,
    state: dict[str, Any] | None = None,
    keys: Sequence[str] = (KEY,),
    content: bytes = BODY,
    path: str = CHAT,
) -> Once:
    """One request to `app`, checked; each with the next of the keys."""
    turns = itertools.cycle(keys)

    async def once() -> None:
        body: list[Message] = [{"type": "http.request", "body": content}]
        statuses: list[int] = []

        async def receive() -> Message:
            if body:
                return body.pop()
            await asyncio.Event().wait()
            return {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            if message["type"] == "http.response.start":
                statuses.append(message["status"])

        await app(scope(state or {}, next(turns), content, path), receive, send)
        if statuses != [200]:
            raise RuntimeError(f"answered {statuses}")

    return once


async def nothing(_: Scope, __: Receive, send: Send) -> None:
    """The smallest ASGI application."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})


def bare() -> FastAPI:
    """The route without any layer."""
    app = FastAPI()
    provider = OfflineProvider(pace=0, tokenizer=EstimateTokenizer())

    @app.post("/v1/chat/completions")
    async def chat(body: ChatCompletionRequest) -> Response:
        deltas = provider.stream(body, CallContext("bare", whole=True))
        answer = await collect(deltas, body.model, "chatcmpl-1")
        return Response(answer.model_dump_json(), media_type="application/json")

    return app


def settings(redis_url: str | None) -> Settings:
    """The service as it comes, without pauses and without a limit that is reached."""
    given = {
        "redis_url": redis_url,
        "api_keys": f"bench:{KEY}",
        "offline_pace": 0,
        "requests_per_minute": MANY,
        "tokens_per_minute": MANY,
        "job_worker": False,
    }
    return Settings.model_validate(given)


@contextlib.asynccontextmanager
async def running(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
    """The state that the application's lifespan yields."""
    async with app.router.lifespan_context(app) as state:
        yield dict(state or {})


def middlewares() -> Iterator[Row]:
    """Each middleware around nothing."""
    authenticator = Authenticator(settings(None).api_keys)
    state = {"request_id": "r", "draining": Draining()}
    yield Row(NOTHING, asking(nothing))
    for name, app in (
        ("request id", RequestIDMiddleware(nothing)),
        ("draining", DrainingMiddleware(nothing)),
        ("HEAD as GET", HeadMiddleware(nothing)),
        ("slow peers of WebSockets", WebSocketTimeoutMiddleware(nothing, 20)),
        ("authentication", AuthenticationMiddleware(nothing, authenticator)),
        ("trace, metrics, log line", TelemetryMiddleware(nothing, Metrics())),
    ):
        yield Row(name, asking(app, state), over=NOTHING)


def parts() -> Iterator[Row]:
    """Steps of a request that are no middleware."""

    async def received() -> Message:
        return {"type": "http.request", "body": BODY, "more_body": False}

    async def read() -> None:
        parse_json(await read_body(Request(scope({}, KEY, BODY), received), MANY))

    async def validate() -> None:
        ChatCompletionRequest.model_validate(parsed)

    async def watched() -> None:
        with cancelled_on_disconnect(received):
            pass

    async def waited() -> None:
        deadline = Deadline(time.monotonic() + 60)
        await deadline.wait_for(asyncio.sleep(0), None)
        deadline.close()

    async def admitted() -> None:
        await room.admitted("ada", partial(asyncio.sleep, 0))

    parsed, room = json.loads(BODY), WaitingQueue(1, 1)
    yield Row("body read, parsed and checked", read)
    yield Row("body validated", validate)
    yield Row("somebody watches for the client to leave", watched)
    yield Row("deadline of a wait", waited)
    yield Row("queue before the slots, empty", admitted)


def many(once: Once) -> Once:
    """`AT_ONCE` of them under way at a time."""

    async def all_at_once() -> None:
        await asyncio.gather(*(once() for _ in range(AT_ONCE)))

    return all_at_once


def admissions(redis: Redis, where: str) -> Iterator[Row]:
    """Taking and settling what a call may use, layer upon layer."""
    limits = RateLimit("requests", MANY), RateLimit("tokens", MANY)
    slots = Slots(redis, each=MANY, overall=MANY)
    plain, slotted = Limiter(redis, *limits), Limiter(redis, *limits, slots=slots)
    ledger = Ledger(slotted, {"ada": MANY * MANY})

    async def ping() -> None:
        await redis.ping()
        await redis.ping()

    async def limited(limiter: Limiter) -> None:
        await limiter.settle(await limiter.reserve("ada", 10), 5)

    async def paid() -> None:
        await ledger.settle(await ledger.reserve("ada", 10, 10, seconds=60), 5, 5)

    async def managed() -> None:
        await management_limit.take(redis, str(next(callers)))

    async def claimed() -> None:
        await store.run(secrets.token_hex(16), "same", work)

    async def work(_: str) -> Response:
        return Response(b"{}")

    callers, store = itertools.count(), IdempotencyStore(redis, keep=60)

    yield Row(f"two round trips, {where}", ping)
    yield Row(f"limits, {where}", lambda: limited(plain))
    yield Row(f"limits and slots, {where}", lambda: limited(slotted))
    yield Row(f"limits, slots and money, {where}", paid)
    yield Row(f"limit of managing jobs and webhooks, {where}", managed)
    yield Row(f"an Idempotency-Key, if sent, {where}", claimed)


def reporting(limits: Limits) -> Row:
    """A call's numbers and facts."""
    usage = Usage(prompt_tokens=8, completion_tokens=8)
    account = CallAccount(
        "chat",
        "m",
        CallContext("r"),
        OfflineProvider(pace=0, tokenizer=EstimateTokenizer()),
        limits.of("ada"),
        Hold(Lease("ada", 0, {})),
        ["What?"],
        Metrics(),
    )

    async def once() -> None:
        account.report(usage, 1)

    return Row("a call's metrics and log line", once)


async def measure(
    rows: list[Row], clock: Callable[[], float] = time.perf_counter
) -> None:
    """Fill in the times: rounds in turn, each as many requests as fill its time."""
    sizes = []
    for row in rows:
        await row.once()
        started, count = clock(), 0
        while clock() - started < ROUND_SECONDS:
            await row.once()
            count += 1
        sizes.append(count)
    for _ in range(ROUNDS):
        for row, count in zip(rows, sizes, strict=True):
            started = clock()
            for _ in range(count):
                await row.once()
            taken = (clock() - started) / count
            row.times.append(taken * 1e6 / row.each)


async def main() -> None:
    """Measure everything and write the results."""
    log_to_nowhere()
    async with contextlib.AsyncExitStack() as stack:
        redis_url = stack.enter_context(real_redis())
        rows = [Row("bare route", asking(bare())), *middlewares(), *parts()]
        tokens = [Row(IN_BARE, asking(bare_chat, content=STREAM), each=WORDS)]
        for where, url in (("embedded", None), ("on Redis", redis_url)):
            if where == "on Redis" and url is None:
                continue
            redis = await stack.enter_async_context(open_redis(settings(url)))
            rows += admissions(redis, where)
            app = create_app(settings(url))
            state = await stack.enter_async_context(running(app))
            if url is None:
                rows.append(reporting(state["limits"]))
            ask, stream = asking(app, state), asking(app, state, content=STREAM)
            rows.append(Row(f"full_app, {where}", ask))
            together = f"full_app, {where}, {AT_ONCE} at a time"
            rows.append(Row(together, many(ask), each=AT_ONCE))
            tokens.append(Row(f"full_app, {where}, a token", stream, each=WORDS))
            respond, respond_in_events = (
                asking(app, state, content=content, path=RESPONSES)
                for content in (RESPONSE, RESPONSE_STREAM)
            )
            by_responses = f"full_app, {where}, through {RESPONSES}"
            rows.append(Row(by_responses, respond))
            tokens.append(
                Row(f"{by_responses}, a token", respond_in_events, each=WORDS)
            )
        await measure([*rows, *tokens], time.process_time)
        write(rows, tokens)


def log_to_nowhere() -> None:
    """Format every line, as in production, and drop it."""
    nowhere = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115
    handler = QueuedHandler(nowhere)
    handler.setFormatter(JSONFormatter())
    access_log.addHandler(handler)
    access_log.setLevel(logging.INFO)
    access_log.propagate = False


@contextlib.contextmanager
def real_redis() -> Iterator[str | None]:
    """A Redis of its own on a free port; None where there is none to start."""
    binary = shutil.which("redis-server")
    if binary is None:
        yield None
        return
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    command = [binary, "--port", port, "--bind", "127.0.0.1", "--save", ""]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL)  # noqa: S603
    try:
        for _ in range(200):
            with (
                contextlib.suppress(OSError),
                socket.create_connection(("127.0.0.1", int(port))),
            ):
                break
            time.sleep(0.05)
        else:
            raise TimeoutError("Redis did not start.")
        yield f"redis://127.0.0.1:{port}"
    finally:
        server.kill()
        server.wait(10)


def table_of(rows: list[Row]) -> list[dict[str, Any]]:
    """Each row beside the first."""
    unit = rows[0].median()
    by_name = {row.name: row.median() for row in rows}
    table = []
    for row in rows:
        added = row.median() - by_name.get(row.over, 0.0)
        table.append(
            {
                "layer": row.name,
                "microseconds": round(added, 1),
                "of_the_bare_route": round(added / unit, 3),
            }
        )
    return table


def write(rows: list[Row], tokens: list[Row]) -> None:
    """The tables, for people and for programs."""
    table, streamed = table_of(rows), table_of(tokens)
    facts = machine()
    RESULTS.parent.mkdir(exist_ok=True)
    told = {"machine": facts, "rows": table, "tokens": streamed}
    text = json.dumps(told, indent=2) + "\n"
    RESULTS.with_suffix(".json").write_text(text, encoding="utf-8")
    lines = [
        "# What each layer of full_app costs a request",
        "",
        "Written by `python -m benchmarks.full_app_layers`, which says how.",
        "Middlewares: what they add to an application that does nothing. The others:",
        "the whole step, taken once a request. CPU time; compare the last column.",
        "",
        *(f"- {name}: {value}" for name, value in facts.items()),
        "",
        "| Layer | microseconds | of the bare route |",
        *lines_of(table),
        f"| A streamed token, of {WORDS} | microseconds | of bare FastAPI's |",
        *lines_of(streamed),
    ]
    RESULTS.with_suffix(".md").write_text("\n".join(lines), encoding="utf-8")
    print("\n".join(lines))


def lines_of(table: list[dict[str, Any]]) -> list[str]:
    """Markdown, below its head."""
    return [
        "|---|--:|--:|",
        *(
            f"| {each['layer']} | {each['microseconds']:,} "
            f"| {each['of_the_bare_route']:.2f} |"
            for each in table
        ),
        "",
    ]


def machine() -> dict[str, str]:
    """Where this was measured, as far as the figures depend on it."""
    packages = ("fastapi", "starlette", "pydantic", "redis", "fakeredis")
    return {
        "processor": processor(),
        "cores": str(os.cpu_count()),
        "system": f"{platform.system()} {platform.machine()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "packages": ", ".join(f"{name} {version(name)}" for name in packages),
        "load average at the end": (
            f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown"
        ),
    }


def processor() -> str:
    """The processor's name, where the system tells it."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown"


if __name__ == "__main__":
    asyncio.run(main())
