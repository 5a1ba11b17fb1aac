"""Requests straight into an app, without a socket: what the app itself costs."""

import asyncio
import statistics
import time
from typing import Any

from fastapi import FastAPI

ROUNDS = 5


def interleaved(apps: list[FastAPI], seconds: float) -> list[float]:
    """Microseconds a request of each app: medians of alternating rounds."""
    share = seconds / ROUNDS / len(apps)
    rounds = [[asyncio.run(_cost(app, share)) for app in apps] for _ in range(ROUNDS)]
    return [statistics.median(times) * 1e6 for times in zip(*rounds, strict=True)]


async def _cost(app: FastAPI, seconds: float) -> float:
    await call(app, "/")
    calls, started = 0, time.perf_counter()
    while (took := time.perf_counter() - started) < seconds:
        await call(app, "/")
        calls += 1
    return took / max(calls, 1)


async def call(app: FastAPI, path: str) -> None:
    """One GET of `path`, straight into the app. Raises ValueError unless it is 200."""

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        if message.get("status", 200) != 200:
            raise ValueError(f"{path} answered {message['status']}")

    scope: dict[str, Any] = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "method": "GET",
    }
    scope |= {"path": path, "raw_path": path.encode(), "query_string": b""}
    scope |= {"root_path": "", "headers": [], "http_version": "1.1", "scheme": "http"}
    scope |= {"client": ("127.0.0.1", 1), "server": ("127.0.0.1", 80)}
    await app(scope, receive, send)
