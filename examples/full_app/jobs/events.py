"""A job's events, read from its Redis Stream as server-sent events that can be resumed.

The stream is written with the record (`jobs/scripts.py`); any number of readers follow
it, on any process. Source: WHATWG HTML, server-sent events (ids, 204 ends them).
"""

from collections.abc import AsyncGenerator

from examples.full_app.events.follower import Event
from examples.full_app.events.log import SILENCE_SECONDS, EventLog
from examples.full_app.events.reader import EventReader
from examples.full_app.jobs.records import events_key
from examples.full_app.lifecycle import Draining

LAST = frozenset({"job.succeeded", "job.failed", "job.cancelled"})


class JobEvents:
    """The events of jobs, from any of them on.

    A reader that hears nothing for `silence` seconds looks whether the process drains.
    """

    def __init__(
        self, log: EventLog, draining: Draining, *, silence: float = SILENCE_SECONDS
    ) -> None:
        self.log = log
        self.reader = EventReader(log, draining, last=LAST, silence=silence)

    async def begin(self, job_id: str, last_event_id: str | None) -> str | None:
        """The id to go on after; None: the last event was seen, nothing follows.

        Raises InvalidEventIdError (400) for an id this stream has not given out, and
        EventsExpiredError (410) when its events are not kept any more.
        """
        return await self.log.begin(events_key(job_id), last_event_id, last=LAST)

    def follow(self, job_id: str, after: str) -> AsyncGenerator[Event, None]:
        """The events after the id `after`, through the job's last one.

        Aborts the connection when the process drains or the job is gone: the reader
        comes back and goes on where it was.
        """
        return self.reader.read(events_key(job_id), after)


def encode_event(event: Event) -> bytes:
    """An event as a server-sent event with its `id:` and its type."""
    return f"id: {event.id}\nevent: {event.type}\ndata: {event.data}\n\n".encode()
