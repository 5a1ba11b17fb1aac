"""Requests without server and client: what is measured is the application."""

import asyncio
from typing import Any

from starlette.types import ASGIApp, Message, Scope

from tests.full_app.conftest import KEY

PATH = "/v1/chat/completions"


def scope_of(state: dict[str, Any], path: str = PATH) -> Scope:
    """A request's, as a server makes it."""
    headers = {
        "host": "localhost",
        "authorization": f"Bearer {KEY}",
        "content-type": "application/json",
    }
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode("ascii"),
        "query_string": b"",
        "root_path": "",
        "headers": [(k.encode("ascii"), v.encode("ascii")) for k, v in headers.items()],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 8000),
        "state": dict(state),
    }


async def post(
    app: ASGIApp, state: dict[str, Any], content: bytes, path: str = PATH
) -> bytes:
    """The body of the answer. Raises RuntimeError if its status is not 200."""
    messages: list[Message] = [{"type": "http.request", "body": content}]
    statuses: list[int] = []
    answer: list[bytes] = []

    async def receive() -> Message:
        if messages:
            return messages.pop()
        await asyncio.Event().wait()
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])
        else:
            answer.append(message.get("body", b""))

    await app(scope_of(state, path), receive, send)
    if statuses != [200]:
        raise RuntimeError(f"answered {statuses}: {b''.join(answer)[:500]!r}")
    return b"".join(answer)
