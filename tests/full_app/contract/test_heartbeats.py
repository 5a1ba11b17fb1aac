"""Heartbeats between events that carry an id: what a client trips over, and does not.

openai-python 3.54 ends an event at every empty line. Once one event had an `id:`, an
empty line after a comment is an event without data, which is no JSON. So ours has one
newline only (openai-python issues 2722 and 3833).
"""

import asyncio
import json
from collections.abc import AsyncGenerator, Iterator

import openai
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import Route

from examples.full_app.web.event_stream import PING, EventStream
from tests.full_app.conftest import KEY
from tests.full_app.contract.asks import ASK, MODEL
from tests.servers import serve

CHUNK = {
    "id": "c",
    "object": "chat.completion.chunk",
    "created": 1,
    "model": MODEL,
    "choices": [{"index": 0, "delta": {"content": "x"}, "finish_reason": None}],
}
DONE = b"data: [DONE]\n\n"
EVENT = b"id: 7\ndata: " + json.dumps(CHUNK).encode() + b"\n\n"


async def _beating(_: Request) -> EventStream[bytes]:
    """Events with ids, and silences of several heartbeats."""

    async def frames() -> AsyncGenerator[bytes, None]:
        for _ in range(3):
            yield EVENT
            await asyncio.sleep(0.1)
        yield DONE

    return EventStream(frames(), bytes, heartbeat=0.02)


async def _tripping(_: Request) -> EventStream[bytes]:
    """The same with a comment that ends in an empty line, as many servers send it."""

    async def frames() -> AsyncGenerator[bytes, None]:
        yield EVENT + PING + b"\n" + DONE

    return EventStream(frames(), bytes, heartbeat=5)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    routes = [
        Route(f"/{name}/chat/completions", endpoint, methods=["POST"])
        for name, endpoint in (("beating", _beating), ("tripping", _tripping))
    ]
    with serve(Starlette(routes=routes), lifespan="off") as found:
        yield found


def _read(base_url: str) -> str:
    with openai.OpenAI(base_url=base_url, api_key=KEY, max_retries=0) as client:
        stream = client.chat.completions.create(model=MODEL, messages=ASK, stream=True)
        return "".join(chunk.choices[0].delta.content or "" for chunk in stream)


@pytest.mark.wire
def test_heartbeats_between_events_with_ids_do_not_break_the_client(
    url: str,
) -> None:
    assert _read(f"{url}/beating") == "xxx"


@pytest.mark.wire
def test_an_empty_line_after_the_comment_would_break_it(url: str) -> None:
    """When this fails, the client has been mended and the rule may go."""
    with pytest.raises(json.JSONDecodeError):
        _read(f"{url}/tripping")
