"""One connection on which a process waits for what is new in any stream it follows.

`XREAD BLOCK` holds a connection for as long as it waits. One for each reader would
take hundreds from Redis; asking again and again instead costs the more the less there
is to read. Here one task asks for all streams at once, at most a hundred times a
second, and hands out what came. Source: Redis documentation (XREAD).
"""

import asyncio
import contextlib
import logging
import secrets
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import ConstantBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

log = logging.getLogger(__name__)

START = "0-0"
BATCH = 256  # entries of a stream per round trip
BLOCK_MS = 1000
FAILURE_PAUSE_SECONDS = 0.2  # between two questions to a Redis that is away
PAUSE_SECONDS = 0.01  # many streams that are written to share a round trip
WAKE_KEEP_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Event:
    """One entry."""

    id: str
    type: str
    data: str


@dataclass(slots=True)
class _Stream:
    """One that is followed: how far it was read, and what its readers wait for."""

    after: str
    readers: int = 0
    news: asyncio.Future[list[Event]] = field(default_factory=asyncio.Future)

    def deliver(self, events: list[Event]) -> None:
        news, self.news = self.news, asyncio.Future()
        self.after = events[-1].id
        news.set_result(events)

    def fail(self, error: RedisError) -> None:
        news, self.news = self.news, asyncio.Future()
        news.set_exception(error)
        news.exception()  # nobody need be waiting


class EventWatch:
    """Waits for the entries of all streams that are followed here.

    `reader` waits, on a connection that nobody else needs; `redis` does all the rest.
    """

    def __init__(self, redis: Redis, reader: Redis) -> None:
        self.redis = redis
        self._reader = reader
        self._streams: dict[str, _Stream] = {}
        self._some = asyncio.Event()
        self.waiting = False
        self._closed = False
        self._wake_key = f"events:wake:{secrets.token_hex(8)}"
        self._woken = START

    async def read(self, key: str, after: str) -> list[Event]:
        """Up to 256 events after the id `after`, of those that are there."""
        answer = await self.redis.xread({key: after}, count=BATCH)
        return _streams_of(answer).get(key, [])

    async def follow(
        self, key: str, after: str, seconds: float
    ) -> AsyncGenerator[list[Event], None]:
        """Batches of events after the id `after`; `seconds` without: an empty one.

        It never ends. Raises RedisError.
        """
        full = True
        while full:
            events = await self.read(key, after)
            full = len(events) == BATCH
            if events:
                after = events[-1].id
                yield events
        async with self._following(key, after):
            while True:
                events = await self._next(key, after, seconds)
                after = events[-1].id if events else after
                yield events

    @property
    def followed(self) -> int:
        """How many streams are waited for."""
        return len(self._streams)

    @contextlib.asynccontextmanager
    async def _following(self, key: str, after: str) -> AsyncIterator[None]:
        """A block in which what comes to `key` after the id `after` is waited for."""
        known = key in self._streams
        stream = self._streams.setdefault(key, _Stream(after))
        stream.readers += 1
        self._some.set()
        try:
            if self.waiting and not known:
                await self._wake()
            yield
        finally:
            stream.readers -= 1
            if not stream.readers:
                del self._streams[key]

    async def _next(self, key: str, after: str, seconds: float) -> list[Event]:
        stream = self._streams[key]
        if numbers(after) < numbers(stream.after):  # a reader who is not the fastest
            return await self.read(key, after)
        news = stream.news
        await asyncio.wait({news}, timeout=seconds)
        if not news.done():
            return []
        return [e for e in news.result() if numbers(e.id) > numbers(after)]

    async def run(self) -> None:
        """Wait for all of them, until `close`.

        The readers get whatever goes wrong as a RedisError, and the wait goes on: who
        reads from a watch that has ended would wait for ever.
        """
        while not self._closed:
            if not self._streams:
                self._some.clear()
                await self._some.wait()
            positions = {key: stream.after for key, stream in self._streams.items()}
            positions[self._wake_key] = self._woken
            try:
                arrived = await self._wait(positions)
            except RedisError as error:
                await self._fail(error)
                continue
            except Exception as error:
                log.exception("events could not be read")
                failure = RedisConnectionError("The events could not be read.")
                failure.__cause__ = error
                await self._fail(failure)
                continue
            for key, events in arrived.items():
                if key == self._wake_key:
                    self._woken = events[-1].id
                elif key in self._streams:
                    self._streams[key].deliver(events)
            await asyncio.sleep(PAUSE_SECONDS)

    async def _fail(self, error: RedisError) -> None:
        for stream in self._streams.values():
            stream.fail(error)
        await asyncio.sleep(FAILURE_PAUSE_SECONDS)

    async def _wait(self, positions: dict[str, str]) -> dict[str, list[Event]]:
        after: Any = positions
        self.waiting = True
        try:
            answer = await self._reader.xread(after, count=BATCH, block=BLOCK_MS)
            return _streams_of(answer)
        finally:
            self.waiting = False

    async def _wake(self) -> None:
        """Have it ask again, for one more stream."""
        async with self.redis.pipeline(transaction=False) as pipe:
            pipe.xadd(self._wake_key, {"event": "wake", "data": ""}, maxlen=1)
            pipe.expire(self._wake_key, WAKE_KEEP_SECONDS)
            await pipe.execute()

    def close(self) -> None:
        """Let `run` end, also if redis-py swallows its cancellation."""
        self._closed = True


@contextlib.asynccontextmanager
async def open_watch(
    redis: Redis, redis_url: str | None = None
) -> AsyncIterator[EventWatch]:
    """An `EventWatch` at work, which waits on a client of its own for `redis_url`.

    Without an address Redis is in this process: then `redis` waits too.
    """
    async with contextlib.AsyncExitStack() as stack:
        reader = redis
        if redis_url is not None:
            reader = await stack.enter_async_context(_open_reader(redis_url))
        watch = EventWatch(redis, reader)
        work = asyncio.create_task(watch.run())
        try:
            yield watch
        finally:
            watch.close()
            work.cancel()
            await asyncio.wait({work})


def _open_reader(redis_url: str) -> Redis:
    """A client whose answers may take as long as a read blocks, and 5 seconds more."""
    return Redis.from_url(
        redis_url,
        decode_responses=True,
        max_connections=1,
        socket_connect_timeout=1,
        socket_timeout=BLOCK_MS / 1000 + 5,
        retry=Retry(ConstantBackoff(0.02), retries=1),
    )


def event_of(entry: Any) -> Event:
    """An entry as redis-py answers it."""
    event_id, fields = entry
    return Event(event_id, fields["event"], fields["data"])


def numbers(event_id: str) -> tuple[int, int]:
    """An id in its order."""
    attempt, _, number = event_id.partition("-")
    return int(attempt), int(number)


def _streams_of(answer: Any) -> dict[str, list[Event]]:
    """What XREAD answers: pairs, or a dictionary where the URL says `protocol=3`."""
    pairs = answer.items() if isinstance(answer, dict) else answer
    return {key: [event_of(entry) for entry in entries] for key, entries in pairs}
