"""No framework at all: what the server itself can do. The limit for the others."""

import asyncio
import json
from typing import Any

from benchmarks.apps import ANSWER, CALLS, MODEL_SECONDS

HEADERS = [(b"content-type", b"application/json")]


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Answer by path; everything that is not `/model` or `/fanout` at once."""
    if scope["type"] != "http":
        return
    if scope["path"] == "/model":
        await asyncio.sleep(MODEL_SECONDS)
    elif scope["path"] == "/fanout":
        await asyncio.gather(*(asyncio.sleep(MODEL_SECONDS) for _ in range(CALLS)))
    body = json.dumps(ANSWER).encode()
    length = (b"content-length", str(len(body)).encode())
    start = {"type": "http.response.start", "status": 200}
    await send({**start, "headers": [*HEADERS, length]})
    await send({"type": "http.response.body", "body": body})
