"""Upstreams on loopback that answer with given bytes, and count how often."""

import contextlib
import json
import re
import socket
import threading
from collections.abc import Iterator

import httpx2
from fastapi import FastAPI
from fastapi.testclient import TestClient

from examples.full_app.main import create_app
from tests.full_app.conftest import KEY, settings
from tests.servers import serve

HEADERS = {"Authorization": f"Bearer {KEY}"}
PATH = "/v1/chat/completions"
ASK = {"model": "any", "messages": [{"role": "user", "content": "Say it back."}]}


@contextlib.contextmanager
def in_front_of(upstream: str, **given: object) -> Iterator[httpx2.Client]:
    """A full_app that asks `upstream`, and a client of it."""
    app = create_app(
        settings(upstream_base_url=upstream, upstream_api_key=KEY, **given)
    )
    with (
        serve(app) as url,
        httpx2.Client(base_url=url, headers=HEADERS, timeout=10) as http,
    ):
        yield http


@contextlib.contextmanager
def inside(app: FastAPI) -> Iterator[httpx2.Client]:
    """A client of `app` in this process: where sockets and leaving do not matter."""
    with TestClient(app, headers=HEADERS, raise_server_exceptions=False) as http:
        yield http


@contextlib.contextmanager
def answering(*replies: bytes | None) -> Iterator[tuple[str, list[str]]]:
    """A server that answers the nth connection with the nth reply and closes it.

    The last reply is for all that follow; None says nothing until the client leaves.
    Yields the base URL and the requests so far, one a connection.
    """
    requests: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def run() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    with connection, contextlib.suppress(OSError):
                        reply = replies[min(len(requests), len(replies) - 1)]
                        requests.append(_request(connection))
                        if reply is None:
                            connection.recv(1)
                        else:
                            connection.sendall(reply)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}/v1", requests
        server.shutdown(socket.SHUT_RDWR)
    thread.join(5)


def _request(connection: socket.socket) -> str:
    """A whole request: closing with bytes unread would reset the connection."""
    text = ""
    while True:
        head, found, body = text.partition("\r\n\r\n")
        length = re.search(r"(?i)content-length: (\d+)", head)
        if found and len(body) >= (int(length[1]) if length else 0):
            return text
        if not (more := connection.recv(65_536)):
            return text
        text += more.decode("latin-1")


def head(status: int, kind: str, *more: str) -> bytes:
    """The head of an answer, after which the connection closes."""
    lines = (
        f"HTTP/1.1 {status} X",
        f"content-type: {kind}",
        *more,
        "connection: close",
    )
    return "\r\n".join([*lines, "", ""]).encode()


def refusal(status: int, *more: str) -> bytes:
    """A whole answer with this status and an empty object."""
    return head(status, "application/json", *more) + b"{}"


def chunk(**choice: object) -> bytes:
    """One event of a stream."""
    data = {"id": "c", "created": 1, "model": "m", "choices": [{"index": 0, **choice}]}
    return b"data: " + json.dumps(data).encode() + b"\n\n"


SSE = head(200, "text/event-stream")
HELLO = chunk(delta={"content": "hello"})
FRAMES = HELLO + chunk(delta={}, finish_reason="stop") + b"data: [DONE]\n\n"
