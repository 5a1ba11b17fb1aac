"""A real server for a notebook, and when its answers arrive.

In-process transports hand over a stream when it has ended, so times need a socket.
"""

import logging
import socket
import threading
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import httpx2
import uvicorn
from starlette.types import ASGIApp

START_SECONDS = 20.0


class Arrival(NamedTuple):
    """One piece of a stream: milliseconds since we began to listen, and what came."""

    ms: float
    text: str


async def arrivals(pieces: AsyncIterator[Any]) -> list[Arrival]:
    """Every piece with the moment at which it came; an empty one is not kept."""
    began = time.perf_counter()
    return [
        Arrival((time.perf_counter() - began) * 1000, str(piece))
        async for piece in pieces
        if piece
    ]


class _Collector(logging.Handler):
    """Keeps what is logged out of the cells' output, and at hand."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@dataclass
class Server:
    """uvicorn in a thread of this process, on a free port of this machine."""

    app: ASGIApp
    url: str = ""

    def __post_init__(self) -> None:
        self._logged = _Collector()
        self._listener = socket.socket()
        self._listener.bind(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        config = uvicorn.Config(
            self.app,
            log_config=None,
            proxy_headers=False,
            timeout_graceful_shutdown=1,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._run, daemon=True)

    @property
    def log(self) -> list[logging.LogRecord]:
        """What the process has logged since the start."""
        return self._logged.records

    @property
    def ws_url(self) -> str:
        """The address for WebSockets."""
        return self.url.replace("http", "ws", 1)

    def client(self, **options: Any) -> httpx2.AsyncClient:
        """An HTTP client for this server; it asks no proxy.

        Each request has a connection of its own: uvicorn closes one after a bug, and
        the next request over it would fail with an error that teaches nothing.
        """
        chosen: dict[str, Any] = {"timeout": 30, "trust_env": False, **options}
        alone = httpx2.Limits(max_keepalive_connections=0)
        return httpx2.AsyncClient(base_url=self.url, limits=alone, **chosen)

    def start(self) -> Self:
        """Return once it answers. Raises RuntimeError if it cannot start."""
        logging.getLogger().addHandler(self._logged)
        self._thread.start()
        deadline = time.monotonic() + START_SECONDS
        while not self._server.started and self._thread.is_alive():
            if time.monotonic() > deadline:
                break
            time.sleep(0.005)
        if not self._server.started:
            said = [record.getMessage() for record in self.log]
            self.stop()
            raise RuntimeError("\n".join(["The server did not start.", *said]))
        return self

    def _run(self) -> None:
        with suppress(SystemExit):  # uvicorn's word for a failed start
            self._server.run(sockets=[self._listener])

    def stop(self) -> None:
        """End it and wait for its end; once more does nothing."""
        self._server.should_exit = True
        self._thread.join(10)
        self._listener.close()
        logging.getLogger().removeHandler(self._logged)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def live(app: ASGIApp) -> Server:
    """Serve `app` until `stop()`, the end of a `with`, or the end of the kernel."""
    return Server(app).start()
