"""What readers and writers of an event log are refused with."""

import re

from examples.full_app.errors import RequestError

EVENT_ID = re.compile("[0-9]{1,18}-[0-9]{1,18}")


class InvalidEventIdError(RequestError):
    """The Last-Event-ID is not an id that this stream has given out."""

    code = "invalid_last_event_id"
    recovery = "Send the last `id:` you received, or none to begin at the start."

    def __init__(self) -> None:
        super().__init__("This stream has given out no such id.", param="Last-Event-ID")


class EventsExpiredError(RequestError):
    """The events asked for are not kept any more."""

    code, status_code = "events_expired", 410
    recovery = "Send the request again: what came before is gone."

    def __init__(self) -> None:
        super().__init__("These events are not kept any more.")


class FencedError(Exception):
    """A newer attempt owns the stream: whoever writes must stop."""
