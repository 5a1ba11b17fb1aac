"""A reader of one stream that somebody else writes, perhaps in another process.

It reads to the last event, and notices what no event tells: that its own process is
about to end, and that the stream was deleted. In both cases the connection is cut
without an end, so that the client comes back and goes on where it was.
"""

import contextlib
from collections.abc import AsyncGenerator, Collection

from examples.full_app.events.follower import Event
from examples.full_app.events.log import SILENCE_SECONDS, EventLog
from examples.full_app.lifecycle import ConnectionAborted, Draining

SILENCES_PER_LOOK = 10


class EventReader:
    """Reads streams whose last event has a type in `last`.

    While a stream is silent, the reader looks each `silence` seconds whether the
    process drains, and ten times less often whether the stream still exists.
    """

    def __init__(
        self,
        log: EventLog,
        draining: Draining,
        *,
        last: Collection[str],
        silence: float = SILENCE_SECONDS,
    ) -> None:
        self.log = log
        self.draining = draining
        self.last = last
        self.silence = silence

    async def read(self, key: str, after: str) -> AsyncGenerator[Event, None]:
        """The events after the id `after`, through the last one of all.

        Raises EventsExpiredError (410) when events were dropped before they were read,
        and ConnectionAborted when the process drains or the stream is gone.
        """
        silences = 0
        batches = self.log.follow(key, after, last=self.last, block=self.silence)
        async with contextlib.aclosing(batches):
            async for events in batches:
                for event in events:
                    yield event
                if events and events[-1].type in self.last:
                    return
                if self.draining.is_set():
                    raise ConnectionAborted
                silences = 0 if events else silences + 1
                is_time_to_look = silences % SILENCES_PER_LOOK == 1
                if is_time_to_look and await self.log.newest(key) is None:
                    raise ConnectionAborted
