"""Requests leave no reference cycles: the garbage collector finds no work."""

import asyncio
import gc
import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from examples.full_app.main import create_app
from tests.full_app.asgi import post
from tests.full_app.conftest import settings

REQUESTS = 40


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
    asked = {"model": "gpt-4o-mini", "messages": messages, "stream": stream}
    body = json.dumps(asked).encode("utf-8")
    async with app.router.lifespan_context(app) as state:
        await post(app, dict(state or {}), body)
        with uncollected():
            for _ in range(REQUESTS):
                await post(app, dict(state or {}), body)
            await asyncio.sleep(0)
            found = gc.collect()

    assert found < 5 * REQUESTS  # a few are of what runs beside them
