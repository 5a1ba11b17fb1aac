"""The events of a response in the background, read from any of them on.

They are written once, to a Redis Stream, and read by anybody who may, from any process.
An entry's id ends with the event's `sequence_number` and one, whichever attempt wrote
it: so a reader goes on after a number, and not after an id.
"""

import contextlib
from collections.abc import AsyncGenerator
from typing import Any

from examples.full_app.errors import RequestError
from examples.full_app.events.errors import EventsExpiredError
from examples.full_app.events.follower import START, Event, event_of, numbers
from examples.full_app.events.log import EventLog
from examples.full_app.events.reader import EventReader
from examples.full_app.lifecycle import Draining
from examples.full_app.responses.builder import TERMINAL_EVENTS, ResponseEvent
from examples.full_app.responses.store import StoredResponse, events_key


class ResponseLog:
    """The events of responses in the background."""

    def __init__(self, log: EventLog, draining: Draining) -> None:
        self.log = log
        self.reader = EventReader(log, draining, last=TERMINAL_EVENTS)

    async def all(self, response_id: str) -> list[Event]:
        """Every event so far."""
        entries: Any = await self.log.redis.xrange(events_key(response_id))
        return [event_of(entry) for entry in entries]

    async def begin(self, stored: StoredResponse, starting_after: int | None) -> str:
        """The id to go on after.

        Raises RequestError (400) for a response that has no log, and for a number that
        it has not given out, and EventsExpiredError (410).
        """
        if not stored.response.background:
            raise RequestError(
                "Only a response that was created with `background: true` can be "
                "streamed again.",
                param="stream",
            )
        key = events_key(stored.response.id)
        first: Any = await self.log.redis.xrange(key, count=1)
        newest = await self.log.newest(key)
        if not first or newest is None:
            raise EventsExpiredError
        first_attempt, first_number = numbers(first[0][0])
        newest_attempt, newest_number = numbers(newest.id)
        seen = 0 if starting_after is None else starting_after + 1
        if seen > newest_number:
            raise RequestError(
                "This stream has given out no such number.", param="starting_after"
            )
        if seen + 1 < first_number:
            raise EventsExpiredError
        if seen == 0:
            return START
        if seen + 1 == first_number:  # dropped itself, and nothing after it
            return f"{first_attempt}-{seen}"
        # One of the attempts has written it.
        async with self.log.redis.pipeline(transaction=False) as pipe:
            for attempt in range(newest_attempt + 1):
                event_id = f"{attempt}-{seen}"
                pipe.xrange(key, event_id, event_id)
            event_ids = [entries[0][0] for entries in await pipe.execute() if entries]
        if not event_ids:
            raise EventsExpiredError
        return str(event_ids[0])

    async def follow(
        self, response_id: str, after: str
    ) -> AsyncGenerator[ResponseEvent, None]:
        """The events after the id `after`, through the last one of all.

        Raises EventsExpiredError when events were dropped before they were read, and
        ConnectionAborted when the process drains or the response was deleted: a reader
        comes back and goes on where it was.
        """
        key = events_key(response_id)
        newest = await self.log.newest(key)
        if newest is not None and newest.id == after and newest.type in TERMINAL_EVENTS:
            return
        _, number = numbers(after)
        events = self.reader.read(key, after)
        async with contextlib.aclosing(events):
            async for event in events:
                _, next_number = numbers(event.id)
                if next_number != number + 1:
                    raise EventsExpiredError
                number = next_number
                yield ResponseEvent(event.type, event.data)
