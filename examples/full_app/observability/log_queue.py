"""Lines of a log, written by a thread: a full pipe or a slow disk stops no request.

Lines are made where they happen, so that they know their request; only the writing
waits. The queue is bounded: what does not fit is dropped, and counted.
"""

import collections
import logging
import threading
import time
from typing import TextIO

MOST_LINES = 10_000
BATCH_SECONDS = 0.1  # a write of many lines costs what a write of one does
LAST_WORDS_SECONDS = 2.0  # for what is left, when the process ends


class QueuedHandler(logging.Handler):
    """Writes records to `stream`, soon; `dropped` counts those that did not fit."""

    def __init__(self, stream: TextIO, *, most: int = MOST_LINES) -> None:
        super().__init__()
        self.dropped = 0
        self._stream = stream
        self._most = most
        self._lines: collections.deque[str] = collections.deque()
        self._something, self._closed = threading.Event(), threading.Event()
        self._writing = False
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)
        self._thread.start()

    def emit(self, record: logging.LogRecord) -> None:
        """Put the record's line into the queue; never waits."""
        try:
            line = self.format(record)
        except Exception:
            self.handleError(record)
            return
        if len(self._lines) >= self._most:
            self.dropped += 1
            return
        self._lines.append(line)
        if not self._something.is_set():
            self._something.set()

    def flush(self) -> None:
        """Wait until the lines so far are written, or the stream has had its time."""
        ends = time.monotonic() + LAST_WORDS_SECONDS
        while (self._lines or self._writing) and time.monotonic() < ends:
            time.sleep(BATCH_SECONDS / 20)

    def close(self) -> None:
        """Write what is left, and end the thread."""
        self._closed.set()
        self._something.set()
        self._thread.join(LAST_WORDS_SECONDS)
        super().close()

    def _run(self) -> None:
        told = 0
        while not self._closed.is_set():
            self._something.wait()
            self._closed.wait(BATCH_SECONDS)
            self._something.clear()
            self._write()
            if told < (dropped := self.dropped):
                told = dropped
                log = logging.getLogger(__name__)
                log.warning("log lines dropped", extra={"dropped": dropped})
        self._write()

    def _write(self) -> None:
        self._writing = True
        lines = [self._lines.popleft() for _ in range(len(self._lines))]
        try:
            self._stream.write("".join(f"{line}\n" for line in lines))
            self._stream.flush()
        except (OSError, ValueError):  # a closed stream is a ValueError
            self.dropped += len(lines)
        finally:
            self._writing = False
