"""Events kept in a Redis Stream: written once, read from any id on, in any process.

An entry's id is `{attempt}-{n}` and is the `id:` of its server-sent event. Redis
refuses ids that do not grow: an append that is retried is kept once, and a process
that wakes after its work was taken over cannot add to it. That is exactly-once
without a script. Sources: Redis documentation (XADD, XREAD); WHATWG HTML (event ids).
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Collection
from dataclasses import dataclass
from typing import Any

from redis.asyncio import BlockingConnectionPool, Redis
from redis.exceptions import ResponseError

from examples.full_app.event_errors import (
    EVENT_ID,
    EventsExpiredError,
    FencedError,
    InvalidEventIdError,
)

START = "0-0"
BATCH = 256  # entries a round trip
FLUSH_SECONDS = 0.03  # 32 appends in one go cost Redis a tenth of 32 alone
BLOCK_SECONDS = 1.0
NOT_GROWING = "equal or smaller"


@dataclass(frozen=True, slots=True)
class Event:
    """One entry."""

    id: str
    type: str
    data: str


@contextlib.asynccontextmanager
async def open_reader(redis: Redis, *, connections: int) -> AsyncIterator[Redis]:
    """A client for blocking reads, to the same server.

    Each read holds a connection for as long as it waits. From the pool of everything
    else it would take them away; here further readers wait for their turn.
    """
    pool = redis.connection_pool
    options = {**pool.connection_kwargs, "socket_timeout": BLOCK_SECONDS + 5}
    own = BlockingConnectionPool(
        connections,
        None,
        pool.connection_class,
        **options,
    )
    async with Redis.from_pool(own) as reader:
        yield reader


class EventLog:
    """Streams of events, by key. `keep`: seconds a stream is kept after its last entry.

    Of a stream with more than about `most` entries the oldest are dropped.
    """

    def __init__(
        self, redis: Redis, reader: Redis, *, keep: int, most: int = 50_000
    ) -> None:
        self.redis = redis
        self.reader = reader
        self.keep = keep
        self.most = most

    async def read(
        self, key: str, after: str = START, *, block: float | None = None
    ) -> list[Event]:
        """Up to 256 events after the id `after`; `block`: seconds to wait."""
        client = self.redis if block is None else self.reader
        wait = None if block is None else max(1, round(block * 1000))
        found: Any = await client.xread({key: after}, count=BATCH, block=wait)
        entries = found.values() if isinstance(found, dict) else [e for _, e in found]
        return [_event(entry) for some in entries for entry in some]

    async def follow(
        self,
        key: str,
        after: str,
        *,
        last: Collection[str],
        block: float = BLOCK_SECONDS,
    ) -> AsyncGenerator[list[Event], None]:
        """Events after `after`, in batches, through the first of a type in `last`.

        An empty batch means `block` seconds without any.
        """
        while True:
            events = await self.read(key, after, block=block)
            yield events
            if events:
                after = events[-1].id
                if events[-1].type in last:
                    return

    async def newest(self, key: str) -> Event | None:
        """The last event so far; None of a stream that does not exist."""
        found: Any = await self.redis.xrevrange(key, count=1)
        return _event(found[0]) if found else None

    async def begin(
        self, key: str, last_event_id: str | None, *, last: Collection[str]
    ) -> str | None:
        """The id to go on after; None when the last event of all was seen.

        Raises InvalidEventIdError (400) for what is no id of this stream, and
        EventsExpiredError (410) when the events after it are not there any more.
        """
        if last_event_id is not None and not EVENT_ID.fullmatch(last_event_id):
            raise InvalidEventIdError
        first: Any = await self.redis.xrange(key, count=1)
        newest = await self.newest(key)
        if not first or newest is None:
            raise EventsExpiredError
        attempt, number = _numbers(first[0][0])
        if last_event_id is None:
            if number > 1:
                raise EventsExpiredError
            return START
        if number > 1 and (0, 0) < _numbers(last_event_id) < (attempt, number - 1):
            raise EventsExpiredError
        if number > 1 and _numbers(last_event_id) == (attempt, number - 1):
            return last_event_id  # dropped itself, and nothing after it
        if not await self.redis.xrange(key, last_event_id, last_event_id):
            raise InvalidEventIdError
        ended = newest.id == last_event_id and newest.type in last
        return None if ended else last_event_id

    async def seal(
        self,
        key: str,
        kind: str,
        data: str,
        *,
        last: Collection[str],
    ) -> None:
        """End a stream whose writer is gone, in its place. Of several, one does."""
        newest = await self.newest(key)
        if newest is not None and newest.type in last:
            return
        attempt = _numbers(newest.id)[0] if newest else 1
        with contextlib.suppress(ResponseError):
            fields: Any = {"event": kind, "data": data}
            await self.redis.xadd(key, fields, id=f"{attempt + 1}-1")
        await self.redis.expire(key, self.keep)


class EventWriter:
    """Appends to one stream, as one attempt; batches what comes close together."""

    def __init__(self, log: EventLog, key: str, *, attempt: int = 1) -> None:
        self.log = log
        self.key = key
        self.attempt = attempt
        self.count = 0
        self.waiting: list[Event] = []
        self._some = asyncio.Event()
        self._flushing = asyncio.Lock()

    async def add(self, kind: str, data: str) -> str:
        """Put an event into the next batch; its id. A full batch goes out first."""
        if len(self.waiting) >= BATCH:
            await self.flush()
        self.count += 1
        event = Event(f"{self.attempt}-{self.count}", kind, data)
        self.waiting.append(event)
        self._some.set()
        return event.id

    async def flush(self) -> None:
        """Append what waits. Raises FencedError when a newer attempt has begun."""
        async with self._flushing:
            batch = tuple(self.waiting)
            self._some.clear()
            if not batch:
                return
            pipe = self.log.redis.pipeline(transaction=False)
            for event in batch:
                fields: Any = {"event": event.type, "data": event.data}
                pipe.xadd(self.key, fields, id=event.id, maxlen=self.log.most)
            pipe.expire(self.key, self.log.keep)
            results = await pipe.execute(raise_on_error=False)
            await self._check(results)
            del self.waiting[: len(batch)]

    async def flush_soon(self) -> None:
        """Flush as events come, until cancelled: at once, then every 30 ms at most."""
        while True:
            await self._some.wait()
            await self.flush()
            await asyncio.sleep(FLUSH_SECONDS)

    async def _check(self, results: list[Any]) -> None:
        """An id refused is one that a retry has appended before, or we are too late."""
        for result in results:
            if isinstance(result, ResponseError) and NOT_GROWING in str(result):
                newest = await self.log.newest(self.key)
                if newest is not None and _numbers(newest.id)[0] > self.attempt:
                    raise FencedError(self.key)
            elif isinstance(result, Exception):
                raise result


def _event(entry: Any) -> Event:
    event_id, fields = entry
    return Event(event_id, fields["event"], fields["data"])


def _numbers(event_id: str) -> tuple[int, int]:
    attempt, _, number = event_id.partition("-")
    return int(attempt), int(number)
