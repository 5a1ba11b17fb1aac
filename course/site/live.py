"""Real servers at generation: outputs on pages were sent by one, and so were frames."""

import importlib.util
import json
import logging
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import httpx2
import uvicorn

from course.notebook.views import reason
from course.tryit import WIDE, Request

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
SAME = "…"
_quiet = [0]  # how many want it: pages are made side by side
_lock = threading.Lock()


@contextmanager
def served(module: str) -> Iterator[httpx2.Client]:
    """A client of `module`'s app, under uvicorn on a free loopback port.

    The module of a section or a step is executed anew, because some of them count in
    the module: on a stage, too, the first job is `job_1`.
    """
    app = _fresh(module).app
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        config = uvicorn.Config(
            app, log_config=None, timeout_graceful_shutdown=1, proxy_headers=False
        )
        server = uvicorn.Server(config)
        sockets = {"sockets": [listener]}
        thread = threading.Thread(target=server.run, kwargs=sockets, daemon=True)
        with quiet():  # the errors that a section shows on demand
            try:
                thread.start()
                _await_start(server, thread)
                base = f"http://127.0.0.1:{listener.getsockname()[1]}"
                with httpx2.Client(
                    base_url=base, timeout=30, trust_env=False
                ) as client:
                    yield client
            finally:
                server.should_exit = True
                thread.join(15)


def _fresh(name: str) -> ModuleType:
    """The module as it is after its import; full_app keeps nothing in its modules."""
    known = importlib.import_module(name)
    if name.startswith("examples.full_app"):
        return known
    spec = importlib.util.find_spec(name)
    if spec is None or spec.loader is None:
        return known
    fresh = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(fresh)
    return fresh


@contextmanager
def quiet() -> Iterator[None]:
    """No line of a log while pages are made, whichever thread writes it."""
    _hush(1)
    try:
        yield
    finally:
        _hush(-1)


def _hush(change: int) -> None:
    with _lock:
        _quiet[0] += change
        logging.disable(logging.CRITICAL if _quiet[0] else logging.NOTSET)


def _await_start(server: uvicorn.Server, thread: threading.Thread) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not server.started:
        if not thread.is_alive() or time.monotonic() > deadline:
            raise RuntimeError("the server for the pages' outputs did not start")
        time.sleep(0.01)


def output(client: httpx2.Client, request: Request) -> str:
    """What the request printed, JSON indented; with `-i` the status line as well."""
    answer = request.send(client)
    text = body_of(answer).rstrip()
    if not request.head:
        return text
    kept = [name for name in SHOWN_HEADERS if name in answer.headers]
    head = [f"HTTP/1.1 {answer.status_code} {reason(answer)}"]
    head += [f"{name}: {answer.headers[name]}" for name in kept]
    return "\n".join([*head, "", text]).rstrip()


def body_of(answer: httpx2.Response) -> str:
    """The body as a page shows it: JSON indented, a stream of JSON without repeats."""
    kind = answer.headers.get("content-type", "")
    if kind.startswith("application/json"):
        return indented(answer.json())
    if kind.startswith("text/event-stream"):
        return without_repeats(answer.text)
    return answer.text


def indented(value: Any, margin: str = "") -> str:
    """A JSON value over several lines; an array of scalars stays on one that fits."""
    inner = margin + "  "
    if isinstance(value, dict) and value:
        rows = [
            f"{scalar(key)}: {indented(each, inner)}" for key, each in value.items()
        ]
        brackets = "{}"
    elif isinstance(value, list) and value:
        line = scalar(value)
        nested = any(isinstance(each, dict | list) for each in value)
        if not nested and len(margin + line) <= WIDE:
            return line
        rows = [indented(each, inner) for each in value]
        brackets = "[]"
    else:
        return scalar(value)
    body = ",\n".join(inner + row for row in rows)
    return f"{brackets[0]}\n{body}\n{margin}{brackets[1]}"


def scalar(value: Any) -> str:
    """A JSON value on one line."""
    return json.dumps(value, ensure_ascii=False)


def without_repeats(stream: str) -> str:
    """Server-sent events whose JSON leaves out what the event before had as well.

    `SAME` stands for it, so that what is new in an event fits the page.
    """
    lines = []
    before: dict[str, Any] = {}
    for line in stream.splitlines():
        if line.startswith("data: {"):
            now = json.loads(line.removeprefix("data: "))
            new = {key: now[key] for key in now if before.get(key) != now[key]}
            before = now
            if new and len(new) < len(now):
                line = f"data: {{{SAME}, {scalar(new)[1:]}"
        lines.append(line)
    return "\n".join(lines)


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
