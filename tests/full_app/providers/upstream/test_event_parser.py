"""Server-sent events of an upstream, whatever pieces their bytes arrive in."""

import pytest

from examples.full_app.providers.upstream.event_parser import Event, EventParser


def parse(*pieces: bytes) -> list[Event]:
    """All events of a body that arrives in these pieces."""
    parser = EventParser()
    events = [event for piece in pieces for event in parser.feed(piece)]
    return events + parser.end()


def message(data: bytes) -> Event:
    """An event that names no type."""
    return Event(b"message", data)


BODIES = {
    "line feeds": b'data: {"a": 1}\n\ndata: [DONE]\n\n',
    "carriage returns": b"data: one\r\rdata: two\r\r",
    "both": b"data: one\r\ndata: two\r\n\r\ndata: three\r\n\r\n",
    "a mixture": b"data: one\r\n\ndata: two\n\r\ndata: three\r\r\n",
    "comments, other fields": b": ping\n\nid: 1\nretry: 5\nevent: delta\ndata: x\n\n",
    "characters of several bytes": "data: h\u2028\U0001f600é\n\ndata: ü\n\n".encode(),
    "a byte order mark": b"\xef\xbb\xbfdata: one\n\n",
    "no end": b"data: one\n\ndata: two",
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES.keys())
def test_events_survive_every_split_of_their_bytes(body: bytes) -> None:
    whole = parse(body)

    assert whole
    for first in range(len(body) + 1):
        assert parse(body[:first], body[first:]) == whole
        for second in range(first, len(body) + 1):
            assert parse(body[:first], body[first:second], body[second:]) == whole
    assert parse(*(body[i : i + 1] for i in range(len(body)))) == whole


def test_every_kind_of_line_end_ends_a_line() -> None:
    expected = [message(b"one\ntwo"), message(b"three")]

    assert parse(b"data: one\ndata: two\n\ndata: three\n\n") == expected
    assert parse(b"data: one\rdata: two\r\rdata: three\r\r") == expected
    assert parse(BODIES["both"]) == expected


def test_only_line_ends_of_the_standard_end_a_line() -> None:
    data = "a\u2028b\u0085c\x0bd\x0ce\x1cf".encode()

    assert parse(b"data: " + data + b"\n\n") == [message(data)]


def test_one_space_after_the_colon_belongs_to_the_field() -> None:
    assert parse(b"data:one\n\ndata:  two\n\ndata\n\n") == [
        message(b"one"),
        message(b" two"),
        message(b""),
    ]


def test_a_type_is_that_of_one_event() -> None:
    assert parse(b"event: error\ndata: no\n\ndata: yes\n\n") == [
        Event(b"error", b"no"),
        message(b"yes"),
    ]


def test_comments_and_events_without_data_are_no_events() -> None:
    assert parse(b": ping\n\nevent: ping\n\nid: 7\n\n\n\n") == []


def test_a_byte_order_mark_counts_at_the_beginning_only() -> None:
    mark = b"\xef\xbb\xbf"

    assert parse(mark + b"data: one\n\n" + mark + b"data: two\n\n") == [message(b"one")]


def test_an_event_that_the_body_cuts_off_is_an_event() -> None:
    assert parse(b"data: one\n\ndata: [DONE]") == [message(b"one"), message(b"[DONE]")]


@pytest.mark.parametrize(
    "piece", [b"x" * 10, b"data: xxxx\n"], ids=["one long line", "many lines"]
)
def test_an_event_without_end_is_refused(piece: bytes) -> None:
    parser = EventParser(max_event_bytes=1000)

    for _ in range(1000 // len(piece)):
        assert parser.feed(piece) == []
    with pytest.raises(ValueError, match="too long"):
        parser.feed(piece)


def test_a_long_stream_of_short_events_is_not_refused() -> None:
    parser = EventParser(max_event_bytes=100)

    assert all(len(parser.feed(b"data: 0123456789\n\n")) == 1 for _ in range(100))
