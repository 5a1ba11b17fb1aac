"""Redis restarts while a resumable answer ends: what was paid for can still be read."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
import redis

from tests.full_app.conftest import KEY
from tests.full_app.resumable.test_generations import PATH, begin
from tests.full_app.scripted import scripted
from tests.servers import free_port, wait_until

HEADERS = {"Authorization": f"Bearer {KEY}"}


class LastingRedis:
    """A Redis that finds its keys again when it is started anew, on the same port."""

    def __init__(self, binary: str, folder: Path) -> None:
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._command = [binary, "--port", str(self.port), "--bind", "127.0.0.1"]
        self._command += ["--dir", str(folder), "--save", "", "--appendonly", "yes"]
        self._command += ["--appendfsync", "always"]
        self.start()

    def start(self) -> None:
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL)
        wait_until(self._answers, what="Redis")

    def kill(self) -> None:
        self._process.kill()
        self._process.wait(10)

    def _answers(self) -> bool:
        with redis.Redis.from_url(self.url) as client:
            try:
                return bool(client.ping())
            except redis.ConnectionError:
                return False


@pytest.fixture
def lasting_redis(tmp_path: Path) -> Iterator[LastingRedis]:
    binary = shutil.which("redis-server")
    if binary is None:
        if os.environ.get("COURSE_REQUIRE_REDIS"):
            pytest.fail("COURSE_REQUIRE_REDIS is set and redis-server is missing")
        pytest.skip("redis-server is not installed: an embedded Redis does not restart")
    server = LastingRedis(binary, tmp_path)
    try:
        yield server
    finally:
        server.kill()


def whole(http: httpx2.Client, where: str) -> str:
    """The text of all events from the first one on; empty while there is an error."""
    try:
        answer = http.get(where, timeout=20)
    except httpx2.TransportError:
        return ""
    return answer.text if answer.status_code == 200 else ""


@pytest.mark.deep
@pytest.mark.parametrize("pieces", [3, 1_000], ids=["a few events", "full batches"])
def test_an_answer_that_ends_while_redis_restarts_can_be_read_to_its_end(
    lasting_redis: LastingRedis, pieces: int, caplog: pytest.LogCaptureFixture
) -> None:
    with (
        scripted(
            redis_url=lasting_redis.url, resume_grace_seconds=30, job_worker=False
        ) as (url, provider),
        httpx2.Client(base_url=url, headers=HEADERS, timeout=10) as http,
    ):
        provider.pieces, provider.silent = ["a", "b"], True
        where, _ = begin(http, 2)
        lasting_redis.kill()
        provider.late = [f"late {number}" for number in range(pieces)]
        provider.silent = False  # the rest of the answer, and its end
        wait_until(
            lambda: provider.closed == 1 or provider.produced > 200,
            what="the end of the answer, or a batch that waits",
        )
        wait_until(
            lambda: "wait for Redis" in caplog.text or "not written" in caplog.text,
            what="a write in vain",
        )
        lasting_redis.start()
        wait_until(lambda: "[DONE]" in whole(http, where), what="the whole answer")
        answer = whole(http, where)

    assert PATH in where
    assert f"late {pieces - 1}" in answer
    assert answer.index('"a"') < answer.index('"b"') < answer.index("late 0")
