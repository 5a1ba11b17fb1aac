"""Requests leave no work for the garbage collector, and it is not sent looking."""

import asyncio
import gc
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from starlette.types import Message

from examples.full_app.collector import THRESHOLDS, seldom_collected
from examples.full_app.main import create_app
from tests.full_app.conftest import KEY, settings

REQUESTS = 20


async def post(app: Any, state: dict[str, Any], body: dict[str, Any]) -> int:
    """One request, without a client that would leave cycles of its own."""
    content, statuses = json.dumps(body).encode("utf-8"), []
    messages: list[Message] = [{"type": "http.request", "body": content}]

    async def receive() -> Message:
        if messages:
            return messages.pop()
        await asyncio.Event().wait()
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    headers = {"authorization": f"Bearer {KEY}", "content-type": "application/json"}
    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": "/v1/chat/completions",
        "query_string": b"",
        "headers": [(k.encode(), v.encode()) for k, v in headers.items()],
        "client": ("127.0.0.1", 1),
        "state": dict(state),
    }
    await app(scope, receive, send)
    return int(statuses[0])


@contextmanager
def uncollected() -> Iterator[None]:
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@pytest.mark.parametrize("stream", [False, True])
async def test_a_request_leaves_no_cycles(stream: bool) -> None:
    app = create_app(settings(job_worker=False))
    messages = [{"role": "user", "content": "Why is it so?"}]
    body = {"model": "gpt-4o-mini", "messages": messages, "stream": stream}
    async with app.router.lifespan_context(app) as state:
        await post(app, dict(state or {}), body)
        with uncollected():
            for _ in range(REQUESTS):
                assert await post(app, dict(state or {}), body) == 200
            await asyncio.sleep(0)
            found = gc.collect()

    assert found < REQUESTS


def test_it_looks_seldom_while_the_application_runs_and_as_before_after_it() -> None:
    before = gc.get_threshold(), gc.get_freeze_count()
    with seldom_collected():
        assert gc.get_threshold() == THRESHOLDS
        assert gc.get_freeze_count() > before[1]

    assert (gc.get_threshold(), gc.get_freeze_count()) == before
