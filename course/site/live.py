"""Real servers at generation: outputs on pages were sent by one, and so were frames."""

import importlib
import json
import logging
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx2
import uvicorn

from course.notebook.views import reason
from course.tryit import Request

SHOWN_HEADERS = (
    "content-type",
    "location",
    "retry-after",
    "x-request-id",
    "ratelimit",
    "ratelimit-policy",
    "x-should-retry",
    "idempotent-replayed",
)
START_SECONDS = 20.0
_servers = [0]  # that run: pages are made side by side
_lock = threading.Lock()


@contextmanager
def served(module: str) -> Iterator[httpx2.Client]:
    """A client of `module`'s app, under uvicorn on a free loopback port."""
    app = importlib.import_module(module).app
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        config = uvicorn.Config(
            app, log_level="critical", timeout_graceful_shutdown=1, proxy_headers=False
        )
        server = uvicorn.Server(config)
        sockets = {"sockets": [listener]}
        thread = threading.Thread(target=server.run, kwargs=sockets, daemon=True)
        try:
            _hush(1)  # the errors that a section shows on demand
            thread.start()
            _await_start(server, thread)
            base = f"http://127.0.0.1:{listener.getsockname()[1]}"
            with httpx2.Client(base_url=base, timeout=30, trust_env=False) as client:
                yield client
        finally:
            server.should_exit = True
            thread.join(15)
            _hush(-1)


def _hush(change: int) -> None:
    with _lock:
        _servers[0] += change
        logging.disable(logging.CRITICAL if _servers[0] else logging.NOTSET)


def _await_start(server: uvicorn.Server, thread: threading.Thread) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not server.started:
        if not thread.is_alive() or time.monotonic() > deadline:
            raise RuntimeError("the server for the pages' outputs did not start")
        time.sleep(0.01)


def output(client: httpx2.Client, request: Request) -> str:
    """What the request printed, JSON indented; with `-i` the status line as well."""
    answer = request.send(client)
    text = _indented(answer).rstrip()
    if not request.head:
        return text
    kept = [name for name in SHOWN_HEADERS if name in answer.headers]
    head = [f"HTTP/1.1 {answer.status_code} {reason(answer)}"]
    head += [f"{name}: {answer.headers[name]}" for name in kept]
    return "\n".join([*head, "", text]).rstrip()


def _indented(answer: httpx2.Response) -> str:
    if not answer.headers.get("content-type", "").startswith("application/json"):
        return answer.text
    return json.dumps(answer.json(), indent=2, ensure_ascii=False)


def recorded(client: httpx2.Client, path: str, body: Any) -> list[dict[str, Any]]:
    """The frames of a stream as they came: `at` in milliseconds, and the text."""
    frames: list[dict[str, Any]] = []
    pending = ""
    with client.stream("POST", path, json=body) as answer:
        began = time.perf_counter()
        for piece in answer.iter_text():
            at = round((time.perf_counter() - began) * 1000)
            *whole, pending = (pending + piece).split("\n\n")
            frames += [{"at": at, "text": frame} for frame in whole if frame]
    return frames
