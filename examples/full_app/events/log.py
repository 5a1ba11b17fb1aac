"""Events kept in a Redis Stream: written once, read from any id on, in any process.

An entry's id is `{attempt}-{n}` and is the `id:` of its server-sent event. Redis
refuses ids that do not grow: an append that is retried is kept once, and a process
that wakes after its work was taken over cannot add to it. That is exactly-once
without a script. Sources: Redis documentation (XADD, XREAD); WHATWG HTML (event ids).
"""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import AsyncGenerator, Collection
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.client import Pipeline
from redis.exceptions import RedisError, ResponseError

from examples.full_app.events.errors import (
    EVENT_ID,
    EventsExpiredError,
    FencedError,
    InvalidEventIdError,
)
from examples.full_app.events.follower import (
    BATCH,
    START,
    Event,
    EventWatch,
    event_of,
    numbers,
)

log = logging.getLogger(__name__)

SILENCE_SECONDS = 1.0
RETRY_SECONDS = 0.25  # after a write that failed
FLUSH_SECONDS = 0.03  # 32 appends in one go cost Redis a tenth of 32 alone
MOST_BYTES = 16 * 1024 * 1024  # some 60,000 tokens
ENTRY_BYTES = 64  # about what Redis needs besides the data
NOT_GROWING = "equal or smaller"


class EventLog:
    """Streams of events, by key. `keep`: seconds a stream is kept after its last entry.

    Of a stream with more than `max_bytes` bytes of data the oldest entries are dropped.
    """

    def __init__(
        self, redis: Redis, watch: EventWatch, *, keep: int, max_bytes: int = MOST_BYTES
    ) -> None:
        self.redis = redis
        self.watch = watch
        self.keep = keep
        self.max_bytes = max_bytes

    async def follow(
        self,
        key: str,
        after: str,
        *,
        last: Collection[str],
        block: float = SILENCE_SECONDS,
    ) -> AsyncGenerator[list[Event], None]:
        """Events after `after`, in batches, through the first of a type in `last`.

        An empty batch means about `block` seconds without any. Raises
        EventsExpiredError (410) when events were dropped before they were read.
        """
        batches = self.watch.follow(key, after, block)
        async with contextlib.aclosing(batches):
            async for events in batches:
                if events and _is_gap(after, events[0].id):
                    raise EventsExpiredError
                yield events
                if events:
                    after = events[-1].id
                    if events[-1].type in last:
                        return

    async def newest(self, key: str) -> Event | None:
        """The last event so far; None of a stream that does not exist."""
        entries: Any = await self.redis.xrevrange(key, count=1)
        return event_of(entries[0]) if entries else None

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
        attempt, number = numbers(first[0][0])
        if last_event_id is None:
            if number > 1:
                raise EventsExpiredError
            return START
        if number > 1 and (0, 0) < numbers(last_event_id) < (attempt, number - 1):
            raise EventsExpiredError
        if number > 1 and numbers(last_event_id) == (attempt, number - 1):
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
        attempt = numbers(newest.id)[0] if newest else 1
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
        self._kept: deque[tuple[str, int]] = deque()  # first id and bytes, a batch
        self._bytes = 0
        self._some = asyncio.Event()
        self._closed = asyncio.Event()
        self._flushing = asyncio.Lock()

    @property
    def is_full(self) -> bool:
        """Whether the next event has to wait until this batch is appended."""
        return len(self.waiting) >= BATCH

    async def add(self, kind: str, data: str) -> str:
        """Put an event into the next batch; its id. A full batch goes out first."""
        if self.is_full:
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
                pipe.xadd(self.key, fields, id=event.id)
            self._trim(pipe)
            pipe.expire(self.key, self.log.keep)
            results = await pipe.execute(raise_on_error=False)
            await self._check(results)
            del self.waiting[: len(batch)]
            size = sum(len(event.data) + ENTRY_BYTES for event in batch)
            self._kept.append((batch[0].id, size))
            self._bytes += size

    async def append(self) -> None:
        """Append events as they come, at once and then every 30 ms, until `close`.

        While Redis is away it is tried again. What waits when it ends is for `flush`.
        It is ended by an event and not cancelled, because redis-py may make an error
        of Redis of a cancellation. Raises FencedError.
        """
        while not self._closed.is_set():
            await self._some.wait()
            pause = FLUSH_SECONDS
            try:
                await self.flush()
            except RedisError as error:
                log.warning("events wait for Redis", extra={"reason": repr(error)})
                self._some.set()
                pause = RETRY_SECONDS
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._closed.wait(), pause)

    def close(self) -> None:
        """Have `append` end, after the write that it is in."""
        self._closed.set()
        self._some.set()

    def _trim(self, pipe: Pipeline) -> None:
        """Drop the oldest batches when there is too much, but never the newest."""
        if self._bytes <= self.log.max_bytes:
            return
        while self._bytes > self.log.max_bytes and len(self._kept) > 1:
            self._bytes -= self._kept.popleft()[1]
        pipe.xtrim(self.key, minid=self._kept[0][0], approximate=False)

    async def _check(self, results: list[Any]) -> None:
        """An id refused is one that a retry has appended before, or we are too late."""
        for result in results:
            if isinstance(result, ResponseError) and NOT_GROWING in str(result):
                newest = await self.log.newest(self.key)
                if newest is not None and numbers(newest.id)[0] > self.attempt:
                    raise FencedError(self.key)
            elif isinstance(result, Exception):
                raise result


def _is_gap(after: str, first: str) -> bool:
    """Whether events between these two ids, of one attempt, are missing."""
    (attempt, number), (new_attempt, new_number) = numbers(after), numbers(first)
    same = attempt == new_attempt or after == START
    return same and new_number > number + 1
