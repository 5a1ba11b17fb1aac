"""A job's events, read from its Redis Stream as server-sent events that can be resumed.

The stream is written with the record (`job_scripts.py`); any number of readers follow
it, on any process. Source: WHATWG HTML, server-sent events (ids, 204 ends them).
"""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

from redis.asyncio import Redis

from examples.full_app.draining import Draining
from examples.full_app.event_errors import EVENT_ID, InvalidEventIdError
from examples.full_app.job_records import events_key, text_of
from examples.full_app.streams import ConnectionAborted

LAST = frozenset({"job.succeeded", "job.failed", "job.cancelled"})
POLL_SECONDS = 0.1
BATCH = 200


class JobEvents:
    """The events of one job, from any of them on."""

    def __init__(self, redis: Redis, job_id: str) -> None:
        self.redis = redis
        self.key = events_key(job_id)

    async def begin(self, last_event_id: str | None) -> str | None:
        """The id to go on after; None: the last event was seen, nothing follows.

        Raises InvalidEventIdError (400) for an id this stream has not given out.
        """
        if last_event_id is None:
            return "0-0"
        refusal = InvalidEventIdError()
        if not EVENT_ID.fullmatch(last_event_id):
            raise refusal
        found = await self._read(last_event_id, last_event_id)
        if not found:
            raise refusal
        return None if found[0][1] in LAST else last_event_id

    async def frames(
        self, last_id: str, *, draining: Draining
    ) -> AsyncGenerator[bytes, None]:
        """Frames of the events after `last_id`, through the job's last one.

        Aborts the connection when the process drains or the job is gone: the reader
        comes back and goes on where it was.
        """
        while True:
            found = await self._read(f"({last_id}", "+")
            for event_id, kind, data in found:
                last_id = event_id
                yield f"id: {event_id}\nevent: {kind}\ndata: {data}\n\n".encode()
                if kind in LAST:
                    return
            if len(found) < BATCH:
                if draining.is_set() or not await self.redis.exists(self.key):
                    raise ConnectionAborted
                await asyncio.sleep(POLL_SECONDS)

    async def _read(self, first: str, last: str) -> list[tuple[str, str, str]]:
        """Id, type and data of the events from `first` to `last`, BATCH at most."""
        found: Any = await self.redis.xrange(self.key, first, last, count=BATCH)
        events = []
        for event_id, fields in found:
            named = {text_of(name): text_of(value) for name, value in fields.items()}
            events.append((text_of(event_id), named["event"], named["data"]))
        return events
