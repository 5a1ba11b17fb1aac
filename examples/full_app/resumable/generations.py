"""Answers that outlive a connection: written to an event log, followed from any id.

A generation runs beside the request that began it, in the same process. Any process
serves its readers. It is stopped when nobody has read for a while, so that a client
that left for good pays for seconds, not for the whole answer; the call settles once,
however many read it. If its process dies, a reader ends the log in its place.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, AsyncIterator

from redis.asyncio import Redis

from examples.full_app.chat.call import Call
from examples.full_app.errors import NotFoundError, error_body
from examples.full_app.events.errors import EventsExpiredError
from examples.full_app.events.follower import START, Event, open_watch
from examples.full_app.events.log import SILENCE_SECONDS, EventLog, EventWriter
from examples.full_app.lifecycle import ConnectionAborted, Draining
from examples.full_app.resumable.writer import (
    CANCEL,
    LAST,
    AnswerWriter,
    InterruptedAnswerError,
)
from examples.full_app.settings import Settings

LEASE_SECONDS = 10  # without a sign of life for so long, a generation is dead
REMEMBER_SECONDS = 3600  # "expired" rather than "unknown", after the events are gone


class GenerationNotFoundError(NotFoundError):
    """No such answer to resume, or another caller's: the two look alike on purpose."""

    code = "completion_not_found"
    recovery = "Only streams begun with `X-Resumable: true` can be resumed."


class Generations:
    """The resumable answers of all processes, and those that run in this one.

    `grace` is how many seconds an answer goes on without a reader.
    """

    def __init__(
        self, redis: Redis, log: EventLog, draining: Draining, *, grace: float
    ) -> None:
        self.redis = redis
        self.log = log
        self.draining = draining
        self.grace = grace
        self._running: dict[str, asyncio.Task[None]] = {}

    async def start(self, call: Call, owner: str) -> str:
        """Let an admitted call run on by itself; the id to follow it by.

        The call is closed from here on, whatever happens.
        """
        key = _key(call.id)
        try:
            async with self.redis.pipeline(transaction=True) as pipe:
                pipe.set(f"{key}:owner", owner, ex=self.log.keep + REMEMBER_SECONDS)
                pipe.set(f"{key}:alive", 1, ex=LEASE_SECONDS)
                pipe.set(f"{key}:reader", 1, px=self._grace_ms)
                await pipe.execute()
        except BaseException:
            await call.close()
            raise
        answer = AnswerWriter(
            call,
            EventWriter(self.log, f"{key}:events"),
            lambda: self._beat(key),
            grace=self.grace,
        )
        task = asyncio.create_task(answer.run())
        self._running[call.id] = task
        task.add_done_callback(lambda _: self._running.pop(call.id))
        await asyncio.sleep(0)  # cancelled before it began, it would not close the call
        return call.id

    async def resume(
        self, answer_id: str, owner: str, last_event_id: str | None
    ) -> AsyncGenerator[Event, None] | None:
        """The events after `last_event_id`; None when it was the last one of all.

        Raises GenerationNotFoundError (404), InvalidEventIdError (400) and
        EventsExpiredError (410).
        """
        await self._check(answer_id, owner)
        key = f"{_key(answer_id)}:events"
        try:
            begin = await self.log.begin(key, last_event_id, last=LAST)
        except EventsExpiredError:
            silent = await self.log.newest(key) is None
            if last_event_id or not (silent and await self._alive(answer_id)):
                raise
            begin = START  # it has not said anything yet
        return None if begin is None else self.events(answer_id, begin)

    async def cancel(self, answer_id: str, owner: str) -> None:
        """Stop the answer, wherever it runs; nothing happens to one that has ended.

        Raises GenerationNotFoundError (404).
        """
        await self._check(answer_id, owner)
        await self.redis.set(f"{_key(answer_id)}:reader", CANCEL, ex=LEASE_SECONDS)

    async def events(
        self, answer_id: str, after: str = START
    ) -> AsyncGenerator[Event, None]:
        """Events after the id `after` as they come, through the last one.

        Raises ConnectionAborted when this process drains and another one has the
        generation: the reader comes back elsewhere.
        """
        key = f"{_key(answer_id)}:events"
        seen = 0.0
        block = min(SILENCE_SECONDS, self.grace / 4)
        batches = self.log.follow(key, after, last=LAST, block=block)
        async with contextlib.aclosing(batches):
            async for events in batches:
                for event in events:
                    yield event
                    if time.monotonic() - seen > self.grace / 4:
                        seen = time.monotonic()
                        await self._reading(answer_id)
                if not events:
                    await self._reading(answer_id)
                    await self._look_after(answer_id)

    async def close(self) -> None:
        """End what still runs here, each with its last event."""
        running = tuple(self._running.values())
        for task in running:
            task.cancel()
        if running:
            await asyncio.wait(running)

    async def _beat(self, key: str) -> str | None:
        """A sign of life of the generation; what its readers say, None: they left."""
        async with self.redis.pipeline(transaction=False) as pipe:
            pipe.set(f"{key}:alive", 1, ex=LEASE_SECONDS)
            pipe.expire(f"{key}:events", self.log.keep)
            pipe.get(f"{key}:reader")
            wanted: str | None = (await pipe.execute())[-1]
        return wanted

    async def _reading(self, answer_id: str) -> None:
        key, ttl = f"{_key(answer_id)}:reader", self._grace_ms
        if not await self.redis.set(key, 1, px=ttl, nx=True):
            await self.redis.pexpire(key, ttl)  # it may say that it was cancelled

    async def _look_after(self, answer_id: str) -> None:
        if self.draining.is_set() and answer_id not in self._running:
            raise ConnectionAborted
        if not await self._alive(answer_id):
            body = error_body(InterruptedAnswerError(), None).model_dump_json()
            key = f"{_key(answer_id)}:events"
            await self.log.seal(key, "error", body, last=LAST)

    async def _alive(self, answer_id: str) -> bool:
        return bool(await self.redis.exists(f"{_key(answer_id)}:alive"))

    async def _check(self, answer_id: str, owner: str) -> None:
        if await self.redis.get(f"{_key(answer_id)}:owner") != owner:
            raise GenerationNotFoundError("There is no such answer to resume.")

    @property
    def _grace_ms(self) -> int:
        return max(1, round(self.grace * 1000))


@contextlib.asynccontextmanager
async def open_generations(
    settings: Settings, redis: Redis, draining: Draining
) -> AsyncIterator[Generations]:
    """The resumable answers of this process; what still runs ends with the block."""
    async with open_watch(redis, settings.redis_url) as watch:
        log = EventLog(redis, watch, keep=settings.resume_seconds)
        grace = settings.resume_grace_seconds
        generations = Generations(redis, log, draining, grace=grace)
        try:
            yield generations
        finally:
            await generations.close()


def encode_event(event: Event) -> bytes:
    """An event as a server-sent event; its `id:` is what `Last-Event-ID` names."""
    return f"id: {event.id}\ndata: {event.data}\n\n".encode()


def _key(answer_id: str) -> str:
    return f"generation:{{{answer_id}}}"
