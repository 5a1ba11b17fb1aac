"""Server-sent events, taken apart while their bytes arrive.

The parser sees a body in whatever pieces the network makes of it: a piece may end
inside a character, a line or a line's end. Source: WHATWG HTML, 9.2.6 "Interpreting an
event stream". Two differences: the event that is unfinished when the body ends
is an event too, since it was paid for, and `id` and `retry` are left out, since nobody
resumes an upstream's stream. A line `error:` is an event of the type "error".
"""

from dataclasses import dataclass

MAX_EVENT_BYTES = 16 * 1024 * 1024
BYTE_ORDER_MARK = b"\xef\xbb\xbf"


@dataclass(slots=True)  # not frozen: there is one a token, made in a third of the time
class Event:
    """One event: its type, "message" unless it says another, and its data as bytes."""

    type: bytes
    data: bytes


class EventParser:
    """Feed it the pieces of a body; each call returns the events that end in one."""

    def __init__(self, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        self._max_event_bytes = max_event_bytes
        self._line: list[bytes] = []  # the pieces of the line that has not ended yet
        self._data: list[bytes] = []  # the data lines of the event that has not ended
        self._type = b""
        self._size = 0  # of that event, in bytes
        self._is_first_line = True
        self._ended_in_return = False  # then a "\n" that comes next is no second end

    def feed(self, piece: bytes) -> list[Event]:
        """The events that end in `piece`. Raises ValueError if one is too long."""
        if not piece:
            return []
        if self._ended_in_return:
            piece = piece.removeprefix(b"\n")
        self._ended_in_return = piece.endswith(b"\r")
        events: list[Event] = []
        for part in piece.splitlines(keepends=True):  # at \n, \r and \r\n only
            self._line.append(part)
            self._size += len(part)
            if self._size > self._max_event_bytes:
                raise ValueError("an event of the stream is too long")
            if part.endswith((b"\n", b"\r")):
                line = b"".join(self._line).rstrip(b"\r\n")
                self._line.clear()
                self._end_line(line, events)
        return events

    def end(self) -> list[Event]:
        """The event that was under way when the body ended, if there is one."""
        return self.feed(b"\n\n")

    def _end_line(self, line: bytes, events: list[Event]) -> None:
        if self._is_first_line:
            line = line.removeprefix(BYTE_ORDER_MARK)
            self._is_first_line = False
        if not line:
            self._end_event(events)
            return
        field, _, value = line.partition(b":")  # a comment's field is ""
        value = value.removeprefix(b" ")
        if field == b"data":
            self._data.append(value)
        elif field == b"event":
            self._type = value
        elif field == b"error":  # llama.cpp's own way to say it
            self._type = field
            self._data.append(value)

    def _end_event(self, events: list[Event]) -> None:
        if self._data:
            events.append(Event(self._type or b"message", b"\n".join(self._data)))
        self._data.clear()
        self._type = b""
        self._size = 0
