"""SIGTERM again and again, under load, with several processes, with slow readers."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator

import httpx2
import pytest

from tests.full_app.web.test_shutdown import ENV, HEADERS, PATH, ask, signals
from tests.servers import free_port, process, wait_for_http, wait_until

pytestmark = [pytest.mark.deep, signals]

TIMES = int(os.environ.get("SIGTERMS", "8"))  # each two seconds; 50 were run by hand
READERS = 8
APP = ("-m", "uvicorn", "examples.full_app.main:app", "--log-level", "warning")
SERVE_ENDLESSLY = """
import sys
import uvicorn
from examples.full_app.main import create_app
from tests.full_app.scripted import Scripted
provider = Scripted()
provider.endless = True
app = create_app(provider=provider)
port = int(sys.argv[1])
uvicorn.run(app, port=port, log_level="warning", timeout_graceful_shutdown=1)
"""


class Load:
    """Readers who ask for one stream after another until they are turned away."""

    def __init__(self, base: str) -> None:
        self.base = base
        self.ends: list[str] = []
        self.asked = 0
        self.begun = 0
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._read) for _ in range(READERS)]

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(30)

    def _read(self) -> None:
        with httpx2.Client(base_url=self.base, headers=HEADERS, timeout=20) as http:
            while not self._over.is_set():
                try:
                    self.ends.append(self._one(http))
                except httpx2.TransportError:
                    return  # it listens no longer, and has answered nothing

    def _one(self, http: httpx2.Client) -> str:
        """How a stream ended, in one word."""
        self.asked += 1
        model = "fault-silent-60" if self.asked % 4 == 0 else "gpt-4o-mini"
        with http.stream("POST", PATH, json=ask(model, stream=True)) as answer:
            if answer.status_code != 200:
                return str(json.loads(answer.read())["code"])
            self.begun += 1
            last = ""
            try:
                for line in answer.iter_lines():
                    last = line if line.startswith("data: ") else last
            except httpx2.TransportError as error:
                return f"broken: {error!r} after {last!r}"
        return "done" if last == "data: [DONE]" else str(json.loads(last[6:])["code"])


@contextlib.contextmanager
def running(
    *more: str, command: tuple[str, ...] = APP, **env: str
) -> Iterator[tuple["subprocess.Popen[bytes]", str]]:
    """A server in a process of its own, and its address."""
    port = free_port()
    base = f"http://127.0.0.1:{port}"
    where = ("--port", str(port)) if command is APP else (str(port),)
    settings = {**ENV, "FULL_APP_OFFLINE_PACE": "0.02", "FULL_APP_DRAIN_SECONDS": "1"}
    with process(*command, *where, *more, env={**settings, **env}) as server:
        wait_for_http(f"{base}/health/live")
        yield server, base


def end_of(server: "subprocess.Popen[bytes]", load: Load) -> set[str]:
    """SIGTERM in the middle: the exit status is 0, and these are the ends."""
    load.ends.clear()
    server.send_signal(signal.SIGTERM)
    assert server.wait(20) == 0
    load.__exit__()
    return set(load.ends)


SANE = {"done", "server_shutting_down", "overloaded", "rate_limit_exceeded"}


@pytest.mark.wire
@pytest.mark.parametrize("time_", range(TIMES))
def test_sigterm_under_load_breaks_no_stream(time_: int) -> None:
    with running() as (server, base), Load(base) as load:
        wait_until(lambda: load.begun > READERS, what="load")
        time.sleep(time_ / TIMES / 5)  # another moment each time
        ends = end_of(server, load)

    assert "server_shutting_down" in ends
    assert ends <= SANE


@pytest.mark.wire
def test_every_worker_of_one_server_ends_its_streams(redis_server: str) -> None:
    with (
        running("--workers", "2", REDIS_URL=redis_server) as (server, base),
        Load(base) as load,
    ):
        wait_until(lambda: load.begun > READERS, what="load")
        ends = end_of(server, load)

    assert "server_shutting_down" in ends
    assert ends <= SANE


@pytest.mark.wire
def test_a_reader_who_reads_nothing_does_not_keep_the_server() -> None:
    command = ("-c", SERVE_ENDLESSLY)
    with running(command=command) as (server, base), socket.socket() as reader:
        host, port = base.removeprefix("http://").split(":")
        reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        reader.connect((host, int(port)))
        body = json.dumps(ask("any", stream=True))
        head = (
            f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n"
            f"Authorization: {HEADERS['Authorization']}\r\n"
            "Content-Type: application/json\r\n\r\n"
        )
        reader.sendall(f"{head}{body}".encode())
        assert reader.recv(64).startswith(b"HTTP/1.1 200")

        server.send_signal(signal.SIGTERM)

        assert server.wait(15) == 0
