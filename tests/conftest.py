"""Fixtures every room of the tests shares."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis
from hypothesis import settings

from tests.browser import browser as browser
from tests.servers import free_port, wait_until

# A busy machine is no mistake: how long an example takes is not what is tested.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")
# A shell starts what runs in the background with SIGINT ignored, and what the tests
# start would inherit that: then Ctrl-C could not be tried.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """asyncio only: uvicorn and redis-py run on nothing else here."""
    return "asyncio"


@pytest.fixture
def untraced() -> Iterator[None]:
    """What runs in this thread costs what it costs: coverage does not look on."""
    tracer = sys.gettrace()
    sys.settrace(None)
    yield
    sys.settrace(tracer)


@contextmanager
def running_redis(folder: Path) -> Iterator[tuple[str, "subprocess.Popen[bytes]"]]:
    """A real Redis on a random port with a folder of its own: its URL and process.

    Without `redis-server` the test is skipped; with COURSE_REQUIRE_REDIS set, as CI
    does, it fails instead.
    """
    binary = shutil.which("redis-server")
    if binary is None:
        if os.environ.get("COURSE_REQUIRE_REDIS"):
            pytest.fail("COURSE_REQUIRE_REDIS is set and redis-server is missing")
        pytest.skip("redis-server is not installed: the embedded Redis was tested")
    port = free_port()
    command = [binary, "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder)]
    command += ["--save", "", "--appendonly", "no", "--daemonize", "no"]
    command += ["--databases", "2000"]
    with (folder / "redis.log").open("wb") as log:
        server = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
    try:
        with redis.Redis(port=port) as client:
            wait_until(lambda: _answers(client), what="Redis")
        yield f"redis://127.0.0.1:{port}", server
    finally:
        server.kill()  # nothing in it is kept, and one that hangs would not hear more
        server.wait(10)


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of the real Redis that the tests of this process share."""
    with running_redis(tmp_path_factory.mktemp("redis")) as (url, _):
        yield url


def _answers(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.ConnectionError:
        return False
