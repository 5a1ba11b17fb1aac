"""`course bench --peers`, full_app alone: jobs, resuming, the limiter."""

import asyncio
import contextlib
import os
import shutil
from collections.abc import AsyncIterator
from decimal import Decimal

import httpx2
import pytest

from benchmarks.peers import jobs, report
from benchmarks.peers.results import Figure, Results
from benchmarks.report import Machine
from course.groups import satisfied


def answering(*statuses: str) -> httpx2.AsyncClient:
    """A client of a service that gives a job these statuses, one a look."""
    left = list(statuses)

    def answer(_: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, json={"status": left.pop(0)})

    transport = httpx2.MockTransport(answer)
    return httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1")


async def test_a_job_is_watched_until_it_has_ended() -> None:
    async with answering("queued", "running", "succeeded", "unasked") as client:
        await jobs.ended(client, {"job_1": "a key"})

        assert (await client.get("/")).json() == {"status": "unasked"}


@pytest.mark.parametrize("status", ["failed", "cancelled"])
async def test_a_job_that_did_not_succeed_is_no_figure(status: str) -> None:
    async with answering("running", status) as client:
        with pytest.raises(OSError, match=f"a job {status}"):
            await jobs.ended(client, {"job_1": "a key"})


async def test_a_jobs_start_is_when_its_reader_hears_of_it() -> None:
    heard = asyncio.Event()

    async def events() -> AsyncIterator[bytes]:
        yield b"event: job.queued\ndata: {}\n\n"
        heard.set()
        yield b"event: job.running\ndata: {}\n\n"

    def answer(request: httpx2.Request) -> httpx2.Response:
        if request.method == "POST":
            return httpx2.Response(202, json={"id": "job_1"})
        return httpx2.Response(200, content=events())

    transport = httpx2.MockTransport(answer)
    async with httpx2.AsyncClient(
        transport=transport, base_url="http://127.0.0.1"
    ) as client:
        assert await jobs.wait(client, "a key") > 0
    assert heard.is_set()


async def test_a_job_that_nobody_saw_begin_is_no_figure() -> None:
    def answer(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, json={"id": "job_1"})

    transport = httpx2.MockTransport(answer)
    async with httpx2.AsyncClient(
        transport=transport, base_url="http://127.0.0.1"
    ) as client:
        with pytest.raises(OSError, match="nobody saw begin"):
            await jobs.wait(client, "a key")


def test_figures_have_a_table() -> None:
    found = Results(
        quick=True,
        tool="wrk",
        machine=Machine(system="Linux", cores=2, python="3.11.7", packages={}),
        versions={},
        skipped={},
        cells=[],
        waiting=[],
        memory=[],
        scales=[],
        figures=[
            Figure(what="jobs, 2 workers", value=1234.5, unit="jobs/s"),
            Figure(what="a job's start", value=7.254, unit="ms"),
        ],
    )

    page = report.markdown(found)

    assert "| jobs, 2 workers | 1,234 | jobs/s |" in page
    assert "| a job's start | 7.25 | ms |" in page


@pytest.mark.deep
@pytest.mark.timeout(60)
def test_the_full_app_that_is_measured_pays_for_its_answers() -> None:
    if not satisfied("bench"):
        pytest.skip("the bench group is missing: `python3 -m course setup bench`")
    from benchmarks.peers.arena import arena
    from benchmarks.peers.contestants import full_app

    skipped: dict[str, str] = {}
    with arena([full_app(None)], None, skipped, print) as runners:
        (runner,) = runners
        with runner.tree.awake():
            usage = httpx2.get(
                f"{runner.tree.url}/v1/usage", headers=runner.headers, trust_env=False
            ).json()

    assert Decimal(usage["spent_usd"]) > 0


@pytest.mark.deep
@pytest.mark.timeout(180)
@pytest.mark.skipif(not shutil.which("redis-server"), reason="needs redis-server")
def test_jobs_resuming_and_the_limiter_are_measured_on_redis() -> None:
    if not satisfied("bench"):
        assert "COURSE_REQUIRE_BENCH" not in os.environ, "the bench group is missing"
        pytest.skip("the bench group is missing: `python3 -m course setup bench`")
    from benchmarks.peers import inside
    from benchmarks.peers.processes import redis_server

    skipped: dict[str, str] = {}
    with redis_server() as url:
        found = inside.measure(True, url, skipped, print)

    assert skipped == {}
    values = {it.what: it.value for it in found}
    assert set(values) == {
        "limiter embedded, 1 at once",
        "limiter embedded, 32 at once",
        "limiter on Redis, 1 at once",
        "limiter on Redis, 32 at once",
        "token of a plain stream",
        "token of a resumable stream",
        "token of a replayed stream",
        "to be resumable, a token",
        "a job's start",
        "jobs, 1 worker",
    }
    assert all(value > 0 for value in values.values())


@pytest.mark.deep
@pytest.mark.timeout(60)
def test_a_contestant_works_in_its_turn_only() -> None:
    if not satisfied("bench"):
        pytest.skip("the bench group is missing: `python3 -m course setup bench`")
    from benchmarks.peers import contestants
    from benchmarks.peers.arena import arena
    from benchmarks.peers.streams import answer_of

    async def answered() -> int | None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.3):
                return (await answer_of(runner.ask(stream=False)))[0]
        return None

    with arena([contestants.UPSTREAM], None, {}, print) as runners:
        (runner,) = runners
        assert asyncio.run(answered()) is None
        with runner.tree.awake():
            while asyncio.run(answered()) != 200:
                pass
        assert asyncio.run(answered()) is None
    assert runner.tree.members() == []
