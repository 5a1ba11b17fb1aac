"""The event log on both engines: followed by many, over one connection, and bounded."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable
from typing import Any

import fakeredis
import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from examples.full_app.events import follower
from examples.full_app.events.errors import EventsExpiredError
from examples.full_app.events.follower import START, EventWatch, open_watch
from examples.full_app.events.log import EventLog, EventWriter

LAST = {"done"}


@pytest.fixture(params=["fakeredis", "redis"])
def url(request: pytest.FixtureRequest) -> str | None:
    """Where Redis is; None inside this process."""
    if request.param == "fakeredis":
        return None
    return f"{request.getfixturevalue('redis_server')}/10"


@pytest.fixture
async def redis(url: str | None) -> AsyncIterator[Redis]:
    if url is not None:
        client: Redis = Redis.from_url(url, decode_responses=True)
    else:
        client = fakeredis.FakeAsyncRedis(decode_responses=True)
    async with client:
        await client.flushdb()
        yield client


@pytest.fixture
async def log(
    redis: Redis, url: str | None, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[EventLog]:
    """A log whose waiting reader is never done by itself."""
    monkeypatch.setattr(follower, "BLOCK_MS", 60_000)
    async with open_watch(redis, url) as watch:
        yield EventLog(redis, watch, keep=100)


async def write(log: EventLog, key: str, data: Iterable[str], *, end: bool) -> None:
    """One event after the other, each on its own."""
    writer = EventWriter(log, key)
    for each in data:
        await writer.add("delta", each)
        await writer.flush()
    if end:
        await writer.add("done", "")
        await writer.flush()


async def all_of(log: EventLog, key: str, after: str = START) -> list[str]:
    """The data of what follows, until the end."""
    found: list[str] = []
    async with contextlib.aclosing(log.follow(key, after, last=LAST)) as batches:
        async for events in batches:
            found += [event.data for event in events if event.type == "delta"]
    return found


async def until(log: EventLog, followed: int) -> None:
    """Return when so many streams are followed, and Redis is asked for their news."""
    watch = log.watch
    async with asyncio.timeout(10):
        while (watch.followed, watch.waiting) != (followed, True):  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def until_waiting(redis: Redis, connections: int) -> None:
    """Return when so many connections wait here; an embedded engine has none."""
    if isinstance(redis, fakeredis.FakeAsyncRedis):
        return
    async with asyncio.timeout(10):
        found = -1
        while found != connections:
            flags = [c["flags"] for c in await redis.client_list() if c["db"] == "10"]
            found = flags.count("b")


async def test_many_readers_of_many_streams_share_one_waiting_connection(
    redis: Redis, log: EventLog
) -> None:
    keys = [f"stream:{n}" for n in range(20)]
    wanted = [str(n) for n in range(5)]
    async with asyncio.TaskGroup() as group, asyncio.timeout(20):
        readers = [group.create_task(all_of(log, k)) for k in keys for _ in range(3)]
        await until(log, 20)
        await until_waiting(redis, 1)
        for key in keys:
            group.create_task(write(log, key, wanted, end=True))

    assert [reader.result() for reader in readers] == [wanted] * 60
    assert log.watch.followed == 0


async def test_who_comes_while_others_wait_is_told_at_once(log: EventLog) -> None:
    async with asyncio.TaskGroup() as group, asyncio.timeout(10):
        first = group.create_task(all_of(log, "stream:a"))
        await until(log, 1)
        await write(log, "stream:a", ["0"], end=False)
        await until(log, 1)
        second = group.create_task(all_of(log, "stream:b"))
        await until(log, 2)
        await write(log, "stream:b", ["1"], end=True)
        assert await second == ["1"]
        late = group.create_task(all_of(log, "stream:a", "1-1"))
        await log.seal("stream:a", "done", "", last=LAST)

    assert (first.result(), late.result()) == (["0"], [])


async def test_a_reader_who_is_behind_the_others_misses_nothing(log: EventLog) -> None:
    wanted = [str(n) for n in range(600)]
    slow: list[str] = []
    async with asyncio.timeout(20):
        async with contextlib.aclosing(log.follow("s", START, last=LAST)) as batches:
            writing = asyncio.create_task(write(log, "s", wanted, end=True))
            async for events in batches:
                slow += [event.data for event in events if event.type == "delta"]
                if len(slow) < 3:
                    assert await all_of(log, "s") == wanted
        await writing

    assert slow == wanted


async def test_readers_are_told_that_redis_is_away_and_may_come_back(
    log: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    away = RedisConnectionError("away")

    async def fail(*_: object, **__: object) -> None:
        raise away

    async with asyncio.timeout(10):
        with monkeypatch.context() as patch:
            patch.setattr(follower.EventWatch, "_wait", fail)
            with pytest.raises(RedisConnectionError):
                await all_of(log, "s")
        reader = asyncio.create_task(all_of(log, "s"))
        await write(log, "s", ["0"], end=True)
        assert await reader == ["0"]


async def test_a_stream_is_bounded_in_bytes_and_who_comes_too_late_is_told(
    redis: Redis, log: EventLog
) -> None:
    log.max_bytes = 10_000
    await write(log, "s", ["x" * 900] * 50, end=True)
    size = await redis.xlen("s")

    assert size < 15
    assert await log.begin("s", f"1-{51 - size}", last=LAST) is not None
    with pytest.raises(EventsExpiredError):
        await log.begin("s", f"1-{49 - size}", last=LAST)
    with pytest.raises(EventsExpiredError):
        await all_of(log, "s", "1-3")
    with pytest.raises(EventsExpiredError):
        await all_of(log, "s")


class FailingReader:
    """Reads nothing: the first time it has a bug, and every field is missing then."""

    def __init__(self, redis: Redis, error: Exception) -> None:
        self.redis, self.error = redis, error
        self.asked = 0

    async def xread(self, *asked: Any, **options: Any) -> Any:
        """Fail once; then read as Redis does, without waiting."""
        self.asked += 1
        if self.asked == 1:
            raise self.error
        return await self.redis.xread(*asked, **{**options, "block": 1})


@pytest.mark.parametrize("error", [ValueError("a bug"), RedisConnectionError("away")])
async def test_a_watch_goes_on_after_whatever_went_wrong(
    redis: Redis, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follower, "FAILURE_PAUSE_SECONDS", 0)
    reader: Any = FailingReader(redis, error)
    watch = EventWatch(redis, reader)
    log = EventLog(redis, watch, keep=100)
    work = asyncio.create_task(watch.run())
    try:
        async with asyncio.timeout(10):
            with pytest.raises(RedisError):
                await all_of(log, "watched")
            following = asyncio.create_task(all_of(log, "watched"))
            await write(log, "watched", ["a", "b"], end=True)
            assert await following == ["a", "b"]
        assert not work.done()
    finally:
        watch.close()
        work.cancel()
        await asyncio.wait({work})
