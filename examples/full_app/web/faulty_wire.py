"""Breaks the wire on purpose, for fault models whose answer is fine until then."""

from collections.abc import AsyncGenerator, Callable
from typing import TypeVar

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from examples.full_app.lifecycle import ConnectionAborted
from examples.full_app.providers.faults.catalogue import WireFault

Event = TypeVar("Event")

BAD_GATEWAY = b"<html><body><h1>502 Bad Gateway</h1></body></html>"
DONE = b"data: [DONE]\n\n"
HALF_EVENT = b'data: {"id":"chatcmpl-half","object":"chat.completion.chunk","cho\n\n'


class AbortedResponse(Response):
    """Promises the whole body, sends half of it, and cuts the connection."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Return early: the server closes a connection whose answer is not complete."""
        half = bytes(self.body)[: len(self.body) // 2]
        await send(
            {
                "type": "http.response.start",
                "status": self.status_code,
                "headers": self.raw_headers,
            }
        )
        await send({"type": "http.response.body", "body": half, "more_body": True})


def break_answer(answer: bytes, fault: WireFault) -> Response:
    """A whole answer, broken."""
    match fault.kind:
        case "html-502":
            return Response(BAD_GATEWAY, 502, media_type="text/html")
        case "wrong-content-type":
            return Response(answer, media_type="text/plain")
        case "reset":
            return AbortedResponse(answer, media_type="application/json")
        case "garbage" | "truncated":
            half = answer[: len(answer) // 2]
            return Response(half, media_type="application/json")
    return Response(answer, media_type="application/json")


async def break_frames(
    events: AsyncGenerator[Event, None],
    encode: Callable[[Event], bytes],
    fault: WireFault,
) -> AsyncGenerator[bytes, None]:
    """The frames of a stream, broken after `fault.after` of them or at their end."""
    sent = 0
    async for event in events:
        if fault.kind in ("reset", "garbage", "truncated") and sent >= fault.after:
            break
        yield encode(event)
        sent += 1
    if fault.kind == "reset":
        raise ConnectionAborted
    if fault.kind == "garbage":
        yield HALF_EVENT
    if fault.kind == "duplicate-done":
        yield DONE
