"""Log lines are written beside the requests, in order, and lost ones are counted."""

import io
import json
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from examples.full_app.observability import logs
from examples.full_app.observability.logs import (
    HINTS,
    SECRETS,
    JSONFormatter,
    QueuedHandler,
    without_secrets,
)
from examples.s5_error_handling import request_id_var
from tests.servers import wait_until


class Pipe(io.StringIO):
    """A stream that takes nothing while it is `full`."""

    def __init__(self) -> None:
        super().__init__()
        self.free = threading.Event()
        self.free.set()

    def write(self, text: str) -> int:
        assert self.free.wait(10)
        return super().write(text)

    @property
    def lines(self) -> list[str]:
        return self.getvalue().splitlines()


@contextmanager
def logging_to(
    pipe: Pipe, max_lines: int = 100
) -> Iterator[tuple[logging.Logger, QueuedHandler]]:
    handler = QueuedHandler(pipe, max_lines=max_lines)
    log = logging.Logger("test")
    log.addHandler(handler)
    try:
        yield log, handler
    finally:
        pipe.free.set()
        handler.close()


def test_lines_keep_their_order_and_none_is_lost_at_the_end() -> None:
    pipe = Pipe()
    with logging_to(pipe) as (log, handler):
        for number in range(50):
            log.info("line %d", number)

    assert pipe.lines == [f"line {number}" for number in range(50)]
    assert handler.dropped == 0


def test_a_pipe_that_stays_full_does_not_keep_the_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(logs, "LAST_WORDS_SECONDS", 0.05)
    pipe = Pipe()
    handler = QueuedHandler(pipe, max_lines=3)
    log = logging.Logger("test")
    log.addHandler(handler)
    pipe.free.clear()
    log.info("never written")

    handler.flush()
    handler.close()  # comes back

    assert pipe.lines == []
    pipe.free.set()


def test_a_line_knows_the_request_it_was_logged_in() -> None:
    pipe = Pipe()
    with logging_to(pipe) as (log, handler):
        handler.setFormatter(JSONFormatter())
        token = request_id_var.set("req-1")
        log.info("inside")
        request_id_var.reset(token)

    assert json.loads(pipe.lines[0])["request_id"] == "req-1"


def test_flushing_waits_for_the_lines_so_far() -> None:
    pipe = Pipe()
    with logging_to(pipe) as (log, handler):
        log.info("first")
        handler.flush()

        assert pipe.lines == ["first"]


def test_a_full_pipe_stops_nobody_and_what_does_not_fit_is_counted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    pipe = Pipe()
    with logging_to(pipe, max_lines=3) as (log, handler):
        pipe.free.clear()
        for number in range(100):  # comes back, though nothing can be written
            log.info("line %d", number)
        pipe.free.set()
        wait_until(lambda: "log lines dropped" in caplog.text)

    assert handler.dropped == 100 - len(pipe.lines) >= 94
    assert pipe.lines[0] == "line 0"


def test_a_stream_that_is_closed_ends_nothing() -> None:
    pipe = Pipe()
    with logging_to(pipe) as (log, handler):
        pipe.close()
        log.info("lost")
        handler.flush()

        assert handler.dropped == 1


@pytest.mark.parametrize(
    "secret",
    ["sk-abcdefgh", "pk_abcdefgh", "whsec_abcdefgh", "Bearer abc", "redis://u:p@host"],
)
def test_every_secret_has_a_hint_by_which_it_is_looked_for(secret: str) -> None:
    assert SECRETS.search(secret)
    assert any(hint in secret for hint in HINTS)
    assert without_secrets(f"at {secret} it") != f"at {secret} it"


@pytest.mark.parametrize("text", ["plain", "é 日本 \u2028 🎉", "lone \ud800", "\x7f\n"])
def test_a_line_is_ascii_whatever_was_said(text: str) -> None:
    record = logging.LogRecord("x", logging.INFO, "", 0, "%s", (text,), None)
    record.reason = object()  # has no JSON; a line has to be written all the same

    line = JSONFormatter().format(record)

    assert line.isascii()
    assert json.loads(line)["message"] == text
    assert json.loads(line)["reason"].startswith("<object")
