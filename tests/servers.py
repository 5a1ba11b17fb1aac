"""Real servers for tests: uvicorn in a thread or a process, on a free port."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import uvicorn

ROOT = Path(__file__).resolve().parent.parent
# The protocol that full_app brings along, as uvicorn's `--http` names it.
LIMITED = "examples.full_app.web.connection.protocol:FastProtocol"


def wait_until(
    happened: Callable[[], bool], *, seconds: float = 45.0, what: str = "it"
) -> None:
    """Poll `happened()` until it is true; AssertionError after `seconds`."""
    deadline = time.monotonic() + seconds
    pause = threading.Event()
    while not happened():
        assert time.monotonic() < deadline, f"{what} did not happen in {seconds} s"
        pause.wait(0.01)


def free_port() -> int:
    """A port that was free a moment ago, for servers that cannot report theirs."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def serve(app: Any, **options: Any) -> Iterator[str]:
    """Run an ASGI app under a real uvicorn in a thread; yield its base URL.

    full_app has the limits of connections that its documented commands ask for.
    """
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    given: dict[str, Any] = {"log_level": "warning", "timeout_graceful_shutdown": 2}
    given["log_config"] = None  # uvicorn's own would outlive it, for all tests after
    if type(app).__module__.startswith("examples.full_app"):
        given["http"] = LIMITED
    config = uvicorn.Config(app, **{**given, **options})
    server = uvicorn.Server(config)
    thread = threading.Thread(
        target=server.run, kwargs={"sockets": [listener]}, daemon=True
    )
    thread.start()
    try:
        wait_until(lambda: server.started or not thread.is_alive(), what="start")
        assert server.started, "the server ended before it was ready"
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(10)
        listener.close()


@contextmanager
def process(
    *command: str,
    env: dict[str, str] | None = None,
    cwd: Path = ROOT,
) -> Iterator[subprocess.Popen[bytes]]:
    """Start `python <command>`; end it (SIGTERM, then SIGKILL) on the way out."""
    started = subprocess.Popen(
        [sys.executable, *command],
        cwd=cwd,
        env={**os.environ, **(env or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        yield started
    finally:
        if started.poll() is None:
            started.send_signal(signal.SIGTERM)
            try:
                started.wait(5)
            except subprocess.TimeoutExpired:
                started.kill()
                started.wait(5)
        if started.stdout is not None:
            started.stdout.close()


def wait_for_http(url: str, *, seconds: float = 40.0) -> None:
    """Poll `url` until something answers there."""

    def answers() -> bool:
        try:
            httpx2.get(url, timeout=2, trust_env=False)
        except httpx2.TransportError:
            return False
        return True

    wait_until(answers, seconds=seconds, what=f"an answer from {url}")


FILES = """
import pathlib, sys
from course.site import build

with build.server(pathlib.Path(sys.argv[1]), 0) as server:
    print(server.server_address[1], flush=True)
    server.serve_forever()
"""


@contextmanager
def serve_files(folder: Path) -> Iterator[str]:
    """Address of the site's own server of `folder`, in a process coverage leaves alone.

    A browser opens many connections at once; under coverage Python 3.11 loses one of
    two threads that begin together ("Cannot install a trace function while ..."), and
    with it a request that is then waited for without end.
    """
    untraced = {"COVERAGE_PROCESS_CONFIG": "", "COVERAGE_PROCESS_START": ""}
    with process("-c", FILES, str(folder), env=untraced) as server:
        assert server.stdout is not None
        yield f"http://127.0.0.1:{int(server.stdout.readline())}"
