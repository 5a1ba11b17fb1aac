"""What full_app adds to bare FastAPI, in CPU time, must not grow unseen.

Never seconds: the ratio of two applications' CPU time in one process, in turn, is much
the same on every machine, idle or busy. Everything is on: keys, limits and money on a
real Redis (whose own CPU time does not count), ids, metrics, log lines.
"""

import asyncio
import gc
import json
import logging
import os
import re
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from starlette.types import ASGIApp, Receive, Scope, Send

from benchmarks.apps.bare_chat import app as bare
from examples.full_app.main import create_app
from examples.full_app.observability.logs import (
    JSONFormatter,
    QueuedHandler,
    access_log,
)
from examples.full_app.schemas.chat import ChatCompletionRequest
from tests.full_app.asgi import post
from tests.full_app.conftest import KEY, settings
from tests.servers import ROOT

pytestmark = [pytest.mark.deep, pytest.mark.usefixtures("untraced")]

ROUNDS, AT_ONCE, MANY = 9, 16, 10**9
WORDS = 200
# Measured: 2.7 and 0.7 (bare FastAPI writes each token by itself) with chunks written
# by hand; on a busy machine up to 1.5 with chunks that pydantic writes.
MOST_WHOLE = 6.0
MOST_STREAMED = 2.0
RESPONSES = "/v1/responses"
# Of a chat completion. Measured: 1.2 and 1.1; on a busy machine up to 1.5 whole.
MOST_OF_CHAT_WHOLE = 2.0
MOST_OF_CHAT_STREAMED = 1.3

Once = Callable[[], Awaitable[object]]


def body(words: int = WORDS, messages: int = 1, *, stream: bool = False) -> bytes:
    said = [{"role": "user", "content": " ".join(["ab"] * words)}] * messages
    asked = {"model": "offline-echo", "messages": said, "stream": stream}
    return json.dumps(asked).encode("utf-8")


def body_of_response(*, stream: bool) -> bytes:
    """The same question; nothing is kept, as chat completions keep nothing."""
    asked = {"model": "offline-echo", "input": " ".join(["ab"] * WORDS)}
    return json.dumps({**asked, "stream": stream, "store": False}).encode("utf-8")


def test_every_middleware_and_limit_has_its_row_in_the_table_of_costs() -> None:
    measured = (ROOT / "benchmarks" / "full_app_layers.py").read_text(encoding="utf-8")
    app = create_app(settings())
    dependencies = {"management_limit"}  # `Depends(...)` by name in a router
    written = "".join(
        path.read_text(encoding="utf-8")
        for path in (ROOT / "examples" / "full_app" / "routes").glob("*.py")
    )

    named = set(re.findall(r"dependencies=\[Depends\((\w+)\)", written))
    assert named == dependencies
    for middleware in app.user_middleware:
        dependencies.add(getattr(middleware.cls, "__name__", ""))
    assert {name for name in dependencies if f"{name}" not in measured} == set()


@pytest.fixture
def lines() -> Iterator[None]:
    """Every line is made and written, to nowhere."""
    with open(os.devnull, "w", encoding="utf-8") as nowhere:  # noqa: PTH123
        handler = QueuedHandler(nowhere)
        handler.setFormatter(JSONFormatter())
        access_log.addHandler(handler)
        level, access_log.level = access_log.level, logging.INFO
        yield
        access_log.setLevel(level)
        access_log.removeHandler(handler)
        handler.close()


@asynccontextmanager
async def running(redis_url: str) -> AsyncIterator[tuple[ASGIApp, dict[str, Any]]]:
    """full_app with everything on, and limits that are not reached."""
    app = create_app(
        settings(
            redis_url=redis_url,
            api_keys=[{"name": "alpha", "key": KEY, "budget_usd": "1000000"}],
            requests_per_minute=MANY,
            tokens_per_minute=MANY,
            job_worker=False,
        )
    )
    async with app.router.lifespan_context(app) as state:
        yield app, dict(state or {})


async def cpu(once: Once, times: int) -> float:
    """Seconds of CPU that one of `times` takes, `AT_ONCE` under way at a time."""
    started = time.process_time()
    for _ in range(times):
        await asyncio.gather(*(once() for _ in range(AT_ONCE)))
    return (time.process_time() - started) / (times * AT_ONCE)


async def ratio(one: Once, other: Once, times: int) -> float:
    """How many times the CPU time of `other` one takes: the median of many rounds."""
    found = []
    await one()
    await other()
    gc.collect()
    for _ in range(ROUNDS):
        found.append(await cpu(one, times) / await cpu(other, times))
    return statistics.median(found)


def burning(app: ASGIApp, milliseconds: float) -> ASGIApp:
    """`app`, with something a request that nobody needs."""
    asked = ChatCompletionRequest.model_validate_json(body())

    async def burns(scope: Scope, receive: Receive, send: Send) -> None:
        ends = time.thread_time() + milliseconds / 1000
        while time.thread_time() < ends:
            ChatCompletionRequest.model_validate(asked.model_dump(exclude_unset=True))
        await app(scope, receive, send)

    return burns


@pytest.mark.usefixtures("lines")
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
async def test_a_request_costs_few_times_what_bare_fastapi_takes(
    redis_server: str, stream: bool
) -> None:
    asked, times = body(stream=stream), 1 if stream else 5
    most = MOST_STREAMED if stream else MOST_WHOLE
    async with running(redis_server) as (app, state):

        def asking(app: ASGIApp) -> Once:
            return lambda: post(app, state, asked)

        found = await ratio(asking(app), asking(bare), times)
        idle = await cpu(asking(bare), times) * 1000
        burnt = await ratio(asking(burning(app, most * idle)), asking(bare), times)

    print(f"full_app / bare: {found:.2f}, burning: {burnt:.2f}")
    assert found < most
    assert burnt > most  # else this would not see what it is here to see


@pytest.mark.usefixtures("lines")
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
async def test_a_response_costs_what_the_same_chat_completion_does(
    redis_server: str, stream: bool
) -> None:
    chat, response = body(stream=stream), body_of_response(stream=stream)
    async with running(redis_server) as (app, state):

        def asked_as_response() -> Awaitable[object]:
            return post(app, state, response, RESPONSES)

        def asked_as_chat() -> Awaitable[object]:
            return post(app, state, chat)

        cost = await ratio(asked_as_response, asked_as_chat, 1 if stream else 5)

    print(f"response / chat completion: {cost:.2f}")
    assert cost < (MOST_OF_CHAT_STREAMED if stream else MOST_OF_CHAT_WHOLE)


@pytest.mark.usefixtures("lines")
async def test_a_long_conversation_costs_what_its_messages_do(
    redis_server: str,
) -> None:
    async with running(redis_server) as (app, state):

        def talking(messages: int) -> Once:
            asked = body(8, messages)
            return lambda: post(app, state, asked)

        small = await ratio(talking(100), talking(1), 1)
        large = await ratio(talking(1000), talking(1), 1)

    added_by_100, added_by_1000 = small - 1, large - 1
    print(f"in requests of one message: 100 add {added_by_100:.1f}, ", end="")
    print(f"1000 add {added_by_1000:.1f}")
    assert added_by_1000 < 15 * added_by_100
