"""The chat API without a framework: the same bytes to everybody.

The limit for the contestants, and the fast upstream of those that pass requests on.
"""

import json
from typing import Any

from benchmarks.peers.bodies import PROXY_MODEL, TEXT, WORDS

USAGE = {"prompt_tokens": 150, "completion_tokens": 150, "total_tokens": 300}
HEAD = {"id": "chatcmpl-raw", "created": 1, "model": PROXY_MODEL}


def _frame(delta: dict[str, str], reason: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": reason}
    chunk = {**HEAD, "object": "chat.completion.chunk", "choices": [choice]}
    return f"data: {json.dumps(chunk)}\n\n".encode()


WHOLE = json.dumps(
    {
        **HEAD,
        "object": "chat.completion",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": TEXT},
                "finish_reason": "stop",
            }
        ],
        "usage": USAGE,
    }
).encode()
FRAMES = [
    _frame({"role": "assistant", "content": ""}),
    *[_frame({"content": f"{word} "}) for word in WORDS[:-1]],
    _frame({"content": WORDS[-1]}),
    _frame({}, "stop"),
    b"data: [DONE]\n\n",
]
MODELS = json.dumps(
    {
        "object": "list",
        "data": [{"id": PROXY_MODEL, "object": "model", "created": 1, "owned_by": "x"}],
    }
).encode()
JSON_HEADERS = [
    (b"content-type", b"application/json"),
    (b"content-length", str(len(WHOLE)).encode()),
]
MODELS_HEADERS = [
    (b"content-type", b"application/json"),
    (b"content-length", str(len(MODELS)).encode()),
]
SSE_HEADERS = [(b"content-type", b"text/event-stream")]


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """A whole answer, or a stream with one write a chunk; a GET: the list of models."""
    if scope["type"] != "http":
        return
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    start = {"type": "http.response.start", "status": 200}
    if scope["method"] == "GET":
        await send({**start, "headers": MODELS_HEADERS})
        await send({"type": "http.response.body", "body": MODELS})
        return
    if b'"stream": true' not in body and b'"stream":true' not in body:
        await send({**start, "headers": JSON_HEADERS})
        await send({"type": "http.response.body", "body": WHOLE})
        return
    await send({**start, "headers": SSE_HEADERS})
    for frame in FRAMES:
        await send({"type": "http.response.body", "body": frame, "more_body": True})
    await send({"type": "http.response.body", "body": b""})
