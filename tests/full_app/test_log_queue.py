"""Log lines are written beside the requests, in order, and lost ones are counted."""

import io
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from examples.full_app.log_queue import QueuedHandler
from examples.full_app.logs import HINTS, SECRETS, without_secrets
from tests.servers import wait_until


class Pipe(io.StringIO):
    """A stream that takes nothing while it is `full`."""

    def __init__(self) -> None:
        super().__init__()
        self.free = threading.Event()
        self.free.set()
        self.writes = 0

    def write(self, text: str) -> int:
        assert self.free.wait(10)
        self.writes += 1
        return super().write(text)

    @property
    def lines(self) -> list[str]:
        return self.getvalue().splitlines()


@contextmanager
def logging_to(
    pipe: Pipe, most: int = 100
) -> Iterator[tuple[logging.Logger, QueuedHandler]]:
    handler = QueuedHandler(pipe, most=most)
    log = logging.Logger("test")
    log.addHandler(handler)
    try:
        yield log, handler
    finally:
        pipe.free.set()
        handler.close()


def test_many_lines_are_few_writes_and_none_is_lost_at_the_end() -> None:
    pipe = Pipe()
    with logging_to(pipe) as (log, handler):
        for number in range(50):
            log.info("line %d", number)

    assert pipe.lines == [f"line {number}" for number in range(50)]
    assert pipe.writes <= 5
    assert handler.dropped == 0


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
    with logging_to(pipe, most=3) as (log, handler):
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
