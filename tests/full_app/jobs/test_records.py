"""Job records on both engines: fenced, counted, listed, swept, and told as events."""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator
from typing import Any

import fakeredis
import pytest
from redis.asyncio import Redis

from examples.full_app.errors import ErrorBody, ErrorObject, RequestError
from examples.full_app.events.errors import InvalidEventIdError
from examples.full_app.events.follower import open_watch
from examples.full_app.events.log import EventLog
from examples.full_app.jobs.events import JobEvents, encode_event
from examples.full_app.jobs.records import LIVE, JobNotFoundError, JobStore, events_key
from examples.full_app.jobs.sweep import Sweeper
from examples.full_app.lifecycle import ConnectionAborted, Draining
from examples.full_app.schemas.jobs import JobItem, JobRequest
from examples.s3_patterns import JobStatus

ME, OTHER = "key:me", "key:other"
FAILURE = ErrorBody.model_construct(
    error=ErrorObject.model_construct(message="no", type="server_error", code="x"),
    code="x",
)


def client_of(request: pytest.FixtureRequest, *, text: bool) -> Redis:
    """A client of the engine the test is for; `text`: one that decodes answers."""
    engine, url = request.getfixturevalue("engine")
    if url is None:
        return fakeredis.FakeAsyncRedis(server=engine, decode_responses=text)
    return Redis.from_url(url, decode_responses=text)


@pytest.fixture(params=["fakeredis", "fakeredis-bytes", "redis"])
def engine(request: pytest.FixtureRequest) -> tuple[fakeredis.FakeServer, str | None]:
    if request.param != "redis":
        return fakeredis.FakeServer(), None
    return fakeredis.FakeServer(), f"{request.getfixturevalue('redis_server')}/11"


@pytest.fixture
async def store(
    request: pytest.FixtureRequest, engine: object
) -> AsyncIterator[JobStore]:
    text = "bytes" not in request.node.callspec.params["engine"]
    async with client_of(request, text=text) as client:
        await client.flushdb()
        yield JobStore(client, keep=100)


@pytest.fixture
async def told(
    request: pytest.FixtureRequest, store: JobStore
) -> AsyncIterator[JobEvents]:
    """The events of jobs, in a process that drains: what there is, and no more."""
    draining = Draining()
    draining.began.set()
    async with client_of(request, text=True) as client, open_watch(client) as watch:
        yield JobEvents(EventLog(client, watch, keep=100), draining)


def batch(size: int = 2) -> JobRequest:
    ask = {"model": "m", "messages": [{"role": "user", "content": "x"}]}
    return JobRequest.model_validate({"requests": [ask] * size})


def item(index: int, attempt: int = 1) -> JobItem:
    return JobItem(index=index, attempt=attempt, error=FAILURE)


async def events_of(told: JobEvents, job_id: str, after: str = "0-0") -> list[str]:
    found = []
    with contextlib.suppress(ConnectionAborted):
        async for event in told.follow(job_id, after):
            found.append(encode_event(event).decode("utf-8"))
    return found


@pytest.mark.wire
async def test_a_stale_attempt_writes_nothing(store: JobStore) -> None:
    job = await store.create(ME, batch())
    first = await store.begin(job.id, attempts=5)
    second = await store.begin(job.id, attempts=5)

    assert (first, second) == (1, 2)
    assert not await store.save(job.id, first, item(0))
    assert not await store.end(job.id, JobStatus.FAILED, attempt=first)
    assert await store.save(job.id, second, item(0, second))
    assert await store.save(job.id, second, item(0, second))  # twice is once
    now = await store.read(job.id, ME, results=True)
    assert (now.status, now.attempt) == (JobStatus.RUNNING, 2)
    assert (now.progress.done, now.progress.failed) == (1, 1)
    assert [result.attempt for result in now.results or []] == [2]


async def test_a_job_does_not_succeed_with_an_outcome_missing(
    store: JobStore,
) -> None:
    """As after a Redis that was killed and has forgotten one it had acknowledged."""
    job = await store.create(ME, batch(2))
    await store.begin(job.id, attempts=5)
    await store.save(job.id, 1, item(1))

    assert not await store.end(job.id, JobStatus.SUCCEEDED, attempt=1)
    assert (await store.read(job.id, ME)).status is JobStatus.RUNNING
    await store.save(job.id, 1, item(0))
    assert await store.end(job.id, JobStatus.SUCCEEDED, attempt=1)


async def test_status_and_results_are_read_at_one_moment(
    store: JobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One script reads both: nothing can be written between them."""
    job = await store.create(ME, batch(1))
    await store.read(job.id, ME, results=True)  # Redis knows the script now
    sent: list[object] = []
    execute: Any = store.redis.execute_command

    async def note(*command: object, **options: Any) -> Any:
        sent.append(command[0])
        return await execute(*command, **options)

    monkeypatch.setattr(store.redis, "execute_command", note)

    assert (await store.read(job.id, ME, results=True)).results == []
    assert sent == ["EVALSHA"]


async def test_nothing_changes_a_job_that_has_ended(store: JobStore) -> None:
    job = await store.create(ME, batch())
    attempt = await store.begin(job.id, attempts=5)
    cancelled = await store.cancel(job.id, ME)

    assert not await store.save(job.id, attempt, item(0))
    assert not await store.end(job.id, JobStatus.SUCCEEDED, attempt=attempt)
    assert await store.begin(job.id, attempts=5) == 0
    assert await store.read(job.id, ME) == cancelled


async def test_attempts_that_come_to_nothing_are_counted_and_capped(
    store: JobStore,
) -> None:
    job = await store.create(ME, batch(3))
    begun = [await store.begin(job.id, attempts=3) for _ in range(2)]
    assert await store.save(job.id, 2, item(0, 2))  # counted from here on anew
    begun += [await store.begin(job.id, attempts=3) for _ in range(4)]

    assert begun == [1, 2, 3, 4, 5, -1]
    assert (await store.read(job.id, ME)).attempt == 5


async def test_the_cost_of_a_job_is_the_sum_of_its_items_or_not_known(
    store: JobStore,
) -> None:
    job = await store.create(ME, batch(3))
    await store.begin(job.id, attempts=5)
    await store.save(job.id, 1, item(0), cost=1_500)
    await store.save(job.id, 1, item(0), cost=1_500)
    await store.save(job.id, 1, item(1), cost=2_500)
    assert (await store.read(job.id, ME)).cost_usd == "0.000004"
    await store.save(job.id, 1, item(2), cost=None)
    assert (await store.read(job.id, ME)).cost_usd is None


async def test_a_list_is_paged_newest_first_and_shows_the_callers_own(
    store: JobStore,
) -> None:
    mine = [(await store.create(ME, batch(1))).id for _ in range(5)][::-1]
    theirs = await store.create(OTHER, batch(1))
    first = await store.page(ME, 2)
    second = await store.page(ME, 2, first.last_id)
    await store.create(ME, batch(1))  # a new one moves no page that follows
    third = await store.page(ME, 2, second.last_id)

    pages = [[job.id for job in page.data] for page in (first, second, third)]
    assert pages == [mine[:2], mine[2:4], mine[4:]]
    assert [page.has_more for page in (first, second, third)] == [True, True, False]
    assert (first.first_id, first.last_id) == (mine[0], mine[1])
    assert (await store.page(ME, 2, mine[4])).data == []
    for nobodys in (theirs.id, "job_00"):
        with pytest.raises(RequestError) as refusal:
            await store.page(ME, 2, nobodys)
        assert refusal.value.param == "after"


async def test_jobs_that_have_expired_leave_no_gap_in_a_list(store: JobStore) -> None:
    ids = [(await store.create(ME, batch(1))).id for _ in range(4)][::-1]
    await store.redis.delete(f"job:{{{ids[1]}}}")
    page = await store.page(ME, 2)

    assert [job.id for job in page.data] == [ids[0], ids[2]]
    assert page.has_more
    with pytest.raises(JobNotFoundError):
        await store.read(ids[1], ME)


async def test_everything_of_a_job_goes_after_its_end(store: JobStore) -> None:
    job = await store.create(ME, batch(1))
    await store.begin(job.id, attempts=5)
    await store.save(job.id, 1, item(0))
    await store.end(job.id, JobStatus.SUCCEEDED, attempt=1)
    await store.over(job.id)
    found = [key async for key in store.redis.scan_iter(f"*{job.id}*")]

    assert len(found) == 4
    for key in found:
        assert 0 < await store.redis.ttl(key) <= 100
    assert await store.redis.zcard(LIVE) == 0


async def test_the_events_of_a_job_tell_every_change_in_order(
    store: JobStore, told: JobEvents
) -> None:
    job = await store.create(ME, batch(2))
    await store.begin(job.id, attempts=5)
    await store.save(job.id, 1, item(0))
    await store.begin(job.id, attempts=5)
    await store.save(job.id, 1, item(1))  # stale: no event
    await store.save(job.id, 2, item(1, 2))
    await store.end(job.id, JobStatus.SUCCEEDED, attempt=2)
    frames = await events_of(told, job.id)
    heads = [tuple(frame.splitlines()[:2]) for frame in frames]

    assert heads == [
        ("id: 0-1", "event: job.queued"),
        ("id: 1-2", "event: job.running"),
        ("id: 1-3", "event: job.progress"),
        ("id: 2-4", "event: job.running"),
        ("id: 2-5", "event: job.progress"),
        ("id: 2-6", "event: job.succeeded"),
    ]
    assert frames[4].splitlines()[2] == (
        f'data: {{"id":"{job.id}","status":"running","attempt":2,'
        '"progress":{"done":2,"failed":2,"total":2}}'
    )
    assert await events_of(told, job.id, "2-4") == frames[4:]


async def test_a_long_job_tells_a_thousand_steps_and_its_last(
    store: JobStore, told: JobEvents
) -> None:
    job = await store.create(ME, batch(2_500))
    await store.begin(job.id, attempts=5)
    for index in range(7):
        await store.save(job.id, 1, item(index))
    frames = await events_of(told, job.id)

    assert [f for f in frames if "progress\n" in f and '"done":3' in f]
    assert len([f for f in frames if "job.progress" in f]) == 2  # at 3 and at 6


async def test_the_reader_of_a_job_that_is_gone_is_let_go(
    store: JobStore, told: JobEvents
) -> None:
    job = await store.create(ME, batch(1))
    told = JobEvents(told.log, Draining(), silence=0.02)
    events = told.follow(job.id, "0-0")

    assert (await anext(events)).type == "job.queued"
    await store.redis.delete(events_key(job.id))
    with pytest.raises(ConnectionAborted):
        async with asyncio.timeout(10):
            await anext(events)


async def test_only_ids_a_stream_has_given_out_are_gone_on_from(
    store: JobStore, told: JobEvents
) -> None:
    job = await store.create(ME, batch(1))

    assert await told.begin(job.id, None) == "0-0"
    assert await told.begin(job.id, "0-1") == "0-1"
    for bad in ("", "x", "0-1 ", "-", "+", "0-99", "9" * 19 + "-0", "0-1\n", "(0-1"):
        with pytest.raises(InvalidEventIdError):
            await told.begin(job.id, bad)
    await store.cancel(job.id, ME)
    assert await told.begin(job.id, "0-1") == "0-1"
    assert await told.begin(job.id, "0-2") is None


class FakeQueue:
    """Remembers what was added."""

    def __init__(self) -> None:
        self.added: list[tuple[str, str]] = []

    async def add_job(self, job_id: str, owner: str) -> None:
        self.added.append((job_id, owner))


async def test_the_sweep_finds_what_nobody_looks_after(store: JobStore) -> None:
    queue, told = FakeQueue(), []

    async def ended(job_id: str) -> None:
        told.append(job_id)
        await store.over(job_id)

    lost, alive, silent_end = [await store.create(ME, batch(1)) for _ in range(3)]
    expired = f"job_{secrets.token_hex(16)}"
    await store.end(silent_end.id, JobStatus.FAILED, attempt=None)
    long_ago = {lost.id: 1, silent_end.id: 1, expired: 1, alive.id: 1}
    await store.redis.zadd(LIVE, long_ago)
    await store.alive(alive.id)
    sweeper = Sweeper(store, queue, ended=ended, lease=30)  # type: ignore[arg-type]
    found = await sweeper.sweep()

    assert set(found) == {lost.id, silent_end.id, expired}
    assert queue.added == [(lost.id, ME)]
    assert told == [silent_end.id]
    assert await sweeper.sweep() == []  # what was added counts as looked after
    assert await store.redis.zcard(LIVE) == 2


async def test_a_sign_of_life_brings_no_job_back(store: JobStore) -> None:
    await store.alive("job_00")
    assert await store.redis.zcard(LIVE) == 0
