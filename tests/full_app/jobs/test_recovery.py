"""What no job is lost to: dying workers, Redis away, a process that has to go."""

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from typing import Any

import fakeredis
import httpx2
import pytest
from redis.asyncio.connection import parse_url
from redis.exceptions import ConnectionError as RedisConnectionError

from examples.full_app.errors import NotReadyError
from examples.full_app.jobs.records import JobStore
from examples.full_app.jobs.runner import JobRunner
from examples.full_app.lifecycle import Draining
from examples.full_app.main import create_app
from examples.full_app.queue import CONCURRENCY, Queue, with_connections
from examples.full_app.schemas.answers import ChatCompletion
from examples.full_app.schemas.chat import ChatCompletionRequest
from examples.full_app.schemas.jobs import JobRequest
from examples.s3_patterns import JobStatus
from tests.full_app.conftest import KEY, settings
from tests.full_app.scripted import scripted
from tests.servers import process, serve, wait_until

ME = "key:me"
ATTEMPTS = 3


class FakeChat:
    """Stands in for the chat service: answers, fails, waits or calls back."""

    upstream_rules = None

    def __init__(self) -> None:
        self.failures: list[Exception] = []
        self.asked: list[str] = []
        self.closed = 0
        self.gate: asyncio.Event | None = None

    async def open(self, body: ChatCompletionRequest, *_: object) -> "FakeChat":
        if self.failures:
            raise self.failures.pop()
        self.asked.append(str(body.messages[0].content))
        return self

    async def collect(self) -> ChatCompletion:
        if self.gate is not None:
            await self.gate.wait()
        message = {"role": "assistant", "content": "yes"}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        usage = {"prompt_tokens": 1, "completion_tokens": 1}
        return ChatCompletion.model_validate(
            {"model": "gpt-4o", "choices": [choice], "usage": usage}
        )

    async def close(self) -> None:
        self.closed += 1


class NoLimits:
    """Stands in for the limits of all callers."""

    def of(self, subject: str) -> str:
        return subject


class Bench:
    """A store, a fake service, and runners that share both."""

    def __init__(self, store: JobStore) -> None:
        self.store = store
        self.chat = FakeChat()
        self.ended: list[str] = []

    def runner(self, draining: Draining | None = None, lease: float = 30) -> JobRunner:
        async def ended(job_id: str) -> None:
            self.ended.append(job_id)

        return JobRunner(
            self.store,
            self.chat,  # type: ignore[arg-type]
            NoLimits(),  # type: ignore[arg-type]
            timeout=5,
            ended=ended,
            draining=draining or Draining(),
            lease=lease,
            attempts=ATTEMPTS,
        )

    async def job(self, size: int) -> str:
        asks = [
            {"model": "m", "messages": [{"role": "user", "content": str(n)}]}
            for n in range(size)
        ]
        request = JobRequest.model_validate({"requests": asks})
        return (await self.store.create(ME, request)).id

    async def read(self, job_id: str) -> Any:
        return await self.store.read(job_id, ME, results=True)


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    client = fakeredis.FakeAsyncRedis(decode_responses=True)
    yield Bench(JobStore(client))
    await client.aclose()


async def test_a_draining_worker_finishes_what_it_began_and_hands_back_the_rest(
    bench: Bench,
) -> None:
    job_id = await bench.job(20)
    bench.chat.gate, draining = asyncio.Event(), Draining()
    first = asyncio.create_task(bench.runner(draining).run(job_id))
    async with asyncio.timeout(5):
        while len(bench.chat.asked) < 8:  # noqa: ASYNC110  # nobody says so
            await asyncio.sleep(0.001)
    draining.began.set()
    bench.chat.gate.set()
    finished = await first
    between = await bench.read(job_id)
    refused = await bench.runner(draining).run(job_id)
    done = await bench.runner().run(job_id)
    after = await bench.read(job_id)

    assert (finished, refused, done) == (False, False, True)
    assert (between.status, between.progress.done) == (JobStatus.RUNNING, 8)
    assert (after.status, after.attempt) == (JobStatus.SUCCEEDED, 2)
    assert [item.attempt for item in after.results].count(1) == 8
    assert sorted(map(int, bench.chat.asked)) == list(range(20))  # none twice
    assert bench.chat.closed == 20
    assert bench.ended == [job_id]


async def test_redis_failing_ends_the_attempt_and_not_the_job(bench: Bench) -> None:
    job_id = await bench.job(3)
    bench.chat.failures = [RedisConnectionError("away")]
    with pytest.raises(RedisConnectionError):
        await bench.runner().run(job_id)
    between = await bench.read(job_id)
    await bench.runner().run(job_id)
    after = await bench.read(job_id)

    assert (between.status, between.error) == (JobStatus.RUNNING, None)
    assert (after.status, after.attempt) == (JobStatus.SUCCEEDED, 2)
    assert after.progress.failed == 0


async def test_an_item_waits_for_a_ledger_that_is_away_for_a_moment(
    bench: Bench,
) -> None:
    job_id = await bench.job(1)
    bench.chat.failures = [NotReadyError("away", retry_after=0.01)] * 3
    await bench.runner().run(job_id)

    assert (await bench.read(job_id)).progress.failed == 0


async def test_a_job_that_kills_every_worker_fails_with_a_code(bench: Bench) -> None:
    job_id = await bench.job(1)
    for _ in range(ATTEMPTS):
        await bench.store.begin(job_id, attempts=ATTEMPTS)  # and it died
    assert await bench.runner().run(job_id)
    job = await bench.read(job_id)

    assert job.status is JobStatus.FAILED
    assert job.error.code == "job_attempts_exhausted"
    assert bench.ended == [job_id]
    assert bench.chat.asked == []


async def test_a_bug_fails_the_job_and_tells_no_secrets(bench: Bench) -> None:
    job_id = await bench.job(1)
    await bench.store.redis.set(f"job:{{{job_id}}}:request", "{}")  # unreadable
    await bench.runner().run(job_id)
    job = await bench.read(job_id)

    assert job.status is JobStatus.FAILED
    assert (job.error.code, job.error.message) == (
        "internal_error",
        "An internal error ended it.",
    )


async def test_a_job_that_runs_long_is_not_swept_up(bench: Bench) -> None:
    job_id = await bench.job(1)
    bench.chat.gate = asyncio.Event()
    running = asyncio.create_task(bench.runner(lease=0.03).run(job_id))
    async with asyncio.timeout(5):
        while not bench.chat.asked:  # noqa: ASYNC110  # nobody says so
            await asyncio.sleep(0.001)
        await bench.store.redis.zadd("jobs:live", {job_id: 1})
        while await bench.store.silent(30):  # noqa: ASYNC110
            await asyncio.sleep(0.005)
    bench.chat.gate.set()
    assert await running


def test_a_job_that_its_queue_has_lost_is_swept_up(
    redis_url: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    add, lost = Queue.add_job, list[str]()

    async def lose_the_first(queue: Queue, job_id: str, owner: str) -> None:
        if lost:
            await add(queue, job_id, owner)
        else:
            lost.append(job_id)
            raise RedisConnectionError("away")

    monkeypatch.setattr(Queue, "add_job", lose_the_first)
    given = {"redis_url": redis_url and f"{redis_url}/15", "job_lease_seconds": 1}
    headers = {"Authorization": f"Bearer {KEY}"}
    with (
        serve(create_app(settings(**given))) as base,
        httpx2.Client(base_url=base, headers=headers) as http,
    ):
        accepted = http.post("/v1/jobs", json={"requests": [ask("found again")]})
        path = accepted.headers["location"]
        wait_until(lambda: bool(http.get(path).json()["status"] == "succeeded"))

    assert accepted.status_code == 202
    assert path.endswith(lost[0])


@pytest.mark.parametrize(
    "url",
    [
        "redis://:p%40s@[::1]:6379/1?max_connections=3&protocol=3",
        "rediss://redis.example/2?ssl_cert_reqs=none",
        "unix:///run/redis.sock?db=3&max_connections=3",
        "redis://redis:6379/0",
    ],
)
def test_the_queue_has_connections_enough_whatever_the_url_says(url: str) -> None:
    """docket's pool raises when it is empty: with three, jobs and heartbeats stop."""
    asked: dict[str, Any] = {**parse_url(url)}
    given: dict[str, Any] = {**parse_url(with_connections(url))}

    assert given.pop("max_connections") >= 4 * CONCURRENCY
    asked.pop("max_connections", None)
    assert given == asked


def test_a_job_that_waits_its_turn_for_long_is_begun_once(
    redis_url: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    add, added = Queue.add_job, list[str]()

    async def counted(queue: Queue, job_id: str, owner: str) -> None:
        await add(queue, job_id, owner)
        added.append(job_id)

    monkeypatch.setattr(Queue, "add_job", counted)
    apart = redis_url and f"{redis_url}/15"
    headers = {"Authorization": f"Bearer {KEY}"}
    body = {"requests": [ask("x") | {"model": "any"}]}
    with (
        scripted(redis_url=apart, jobs_per_caller=1, job_lease_seconds=1) as (
            base,
            provider,
        ),
        httpx2.Client(base_url=base, headers=headers) as http,
    ):
        provider.silent = True
        first, second = [http.post("/v1/jobs", json=body).json()["id"] for _ in "ab"]
        wait_until(lambda: added.count(second) > 2, what="two sweeps")
        provider.silent = False
        jobs = []
        for job_id in (first, second):
            path = f"/v1/jobs/{job_id}"
            wait_until(lambda: bool(http.get(path).json()["status"] == "succeeded"))  # noqa: B023
            jobs.append(http.get(path).json())

    assert [job["attempt"] for job in jobs] == [1, 1]
    assert provider.started == 2


def ask(text: str) -> dict[str, object]:
    return {"model": "offline-echo", "messages": [{"role": "user", "content": text}]}


@pytest.mark.deep
def test_sigterm_has_a_limit_and_what_is_done_by_then_is_kept(
    redis_server: str,
) -> None:
    url = f"{redis_server}/12"
    env = {"REDIS_URL": url, "FULL_APP_API_KEYS": KEY, "FULL_APP_DRAIN_SECONDS": "1"}
    command = ("-m", "examples.full_app.worker")
    app = create_app(settings(redis_url=url, job_worker=False))
    headers = {"Authorization": f"Bearer {KEY}"}
    quick, endless = ask("quick"), ask("word " * 5_000)
    with (
        serve(app) as base,
        httpx2.Client(base_url=base, headers=headers) as http,
        process(*command, env=env) as worker,
    ):
        body = {"requests": [quick, endless, quick]}
        path = f"/v1/jobs/{http.post('/v1/jobs', json=body).json()['id']}"

        def two_done() -> bool:
            return bool(http.get(path).json()["progress"]["done"] == 2)

        wait_until(two_done, what="the quick items")
        worker.send_signal(signal.SIGTERM)
        status = worker.wait(15)
        kept = http.get(path).json()
        http.delete(path)

    assert status == 0
    assert kept["status"] == "running"
    assert [item["index"] for item in kept["results"]] == [0, 2]


@pytest.mark.deep
def test_a_worker_on_sigterm_hands_over_at_once(redis_server: str) -> None:
    url = f"{redis_server}/13"
    env = {"REDIS_URL": url, "FULL_APP_API_KEYS": KEY, "FULL_APP_OFFLINE_PACE": "5"}
    env["FULL_APP_JOB_LEASE_SECONDS"] = "600"  # not by a lease that ends
    command = ("-m", "examples.full_app.worker")
    app = create_app(settings(redis_url=url, job_worker=False))
    headers = {"Authorization": f"Bearer {KEY}"}
    with (
        serve(app) as base,
        httpx2.Client(base_url=base, headers=headers) as http,
        process(*command, env=env) as first,
    ):
        body = {"requests": [ask(f"item {n}") for n in range(24)]}
        path = f"/v1/jobs/{http.post('/v1/jobs', json=body).json()['id']}"
        wait_until(lambda: http.get(path).json()["progress"]["done"] > 0)
        first.send_signal(signal.SIGTERM)
        assert first.wait(20) == 0
        between = http.get(path).json()
        with process(*command, env={**env, "FULL_APP_OFFLINE_PACE": "0"}):
            wait_until(lambda: bool(http.get(path).json()["status"] == "succeeded"))
        after = http.get(path).json()

    assert between["status"] == "running"
    assert between["results"] == [
        item for item in after["results"] if item["attempt"] == 1
    ]
    assert after["attempt"] == 2
    assert after["progress"] == {"done": 24, "failed": 0, "total": 24}


@pytest.mark.timeout(200)
@pytest.mark.wire
@pytest.mark.deep
@pytest.mark.usefixtures("redis_server")  # where it is missing, that says so
def test_killed_workers_apis_and_a_killed_redis_lose_and_double_nothing() -> None:
    script = ("-m", "benchmarks.job_chaos", "--kills", "8", "--api-kills", "1")
    more = ("--redis-kills", "1", "--open-jobs", "6", "--every", "0.7")
    with process(*script, *more) as chaos:
        output, _ = chaos.communicate(timeout=150)
    report = json.loads(output[output.index(b"{") :])

    assert chaos.returncode == 0, report
    assert report["wrong"] == {}
    assert report["jobs"] > 0
