"""Logs as lines of JSON, in which no prompt, no answer and no key can be read.

What may be secret is logged as its length and a short hash: enough to tell whether two
lines are about the same text, not enough to read it. Messages of exceptions may quote
anything, so of those too only that is kept, and their frames.
"""

import hashlib
import logging
import logging.handlers
import queue
import re
import sys
import threading
import time
import traceback
from contextvars import ContextVar
from typing import Any, TextIO

from pythonjsonlogger.json import JsonFormatter

from examples.full_app.observability.tracing import current_trace_id
from examples.s5_error_handling import request_id_var

log = logging.getLogger(__name__)
access_log = logging.getLogger("full_app.access")
MAX_LINES = 10_000  # that wait to be written
LAST_WORDS_SECONDS = 2.0  # for what is left, when the process ends

LOG_FIELDS = (
    "request_id",
    "trace_id",
    "error_code",
    "details",
    "method",
    "route",
    "status",
    "ms",
    "key",
    "operation",
    "model",
    "prompt",
    "prompt_tokens",
    "completion_tokens",
    "cost_usd",
    "job_id",
    "attempt",
    "reason",
    "dropped",
)
# Keys of OpenAI and its kin, webhook secrets, bearer tokens, passwords in addresses.
SECRETS = re.compile(
    r"\b(?:sk|pk|whsec)[-_][\w+/=-]{6,}|(?<=[Bb]earer )[^\s\"'\\]+|(?<=://)[^/\s\"@]+(?=@)"
)

HINTS = ("sk-", "sk_", "pk-", "pk_", "whsec", "earer ", "://")  # one is in each
_facts: ContextVar[dict[str, Any] | None] = ContextVar("log_facts", default=None)


class JSONFormatter(JsonFormatter):
    """A log record as one line of JSON: time, level, logger, message, known fields.

    The line is ASCII alone, for streams of any encoding.
    """

    def __init__(self) -> None:
        super().__init__(json_default=str)

    def format(self, record: logging.LogRecord) -> str:
        """One line, without what may be secret."""
        return without_secrets(super().format(record))

    def add_fields(
        self,
        log_data: dict[str, Any],
        record: logging.LogRecord,
        message_dict: dict[str, Any],
    ) -> None:
        """The fields of the line; those outside `LOG_FIELDS` are left out."""
        line: dict[str, Any] = {
            "time": round(record.created, 3),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            "request_id": request_id_var.get(),
            "trace_id": current_trace_id(),
        }
        given = vars(record)
        line |= {name: given[name] for name in LOG_FIELDS if name in given}
        line["exception"] = message_dict.get("exc_info")
        log_data.update({k: v for k, v in line.items() if v is not None})

    def formatException(self, ei: Any) -> str:  # the library's name
        """The traceback, with each exception's message redacted."""
        error: BaseException | None = ei[1]
        return "" if error is None else _without_words(error)


def without_secrets(text: str) -> str:
    """The text with each secret `redacted`. To look for a hint first is much faster."""
    for hint in HINTS:
        if hint in text:
            return SECRETS.sub(lambda found: redacted(found[0]), text)
    return text


class QueuedHandler(logging.handlers.QueueHandler):
    """Makes lines where they are logged, and has a thread write them to `stream`.

    A line is made at once, so that it knows its request; only the writing waits, so
    that a full pipe or a slow disk stops no request. The queue is bounded: what does
    not fit is dropped, and `dropped` counts it.
    """

    def __init__(self, stream: TextIO, *, max_lines: int = MAX_LINES) -> None:
        self.lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        super().__init__(self.lines)
        self._max_lines = max_lines
        self._queued = 0
        self._writer = _LineWriter(self.lines, stream)
        self._writer.start()

    @property
    def dropped(self) -> int:
        """How many lines were not written."""
        return self._writer.dropped

    def prepare(self, record: logging.LogRecord) -> str:
        """The record's line, so that nothing is left to be made where it is written."""
        return self.format(record)

    def enqueue(self, record: Any) -> None:
        """Put a line into the queue; never waits."""
        if self.lines.qsize() >= self._max_lines:
            self._writer.dropped += 1
            return
        self._queued += 1
        self.lines.put(record)

    def flush(self) -> None:
        """Wait until the lines so far are written, or the stream has had its time."""
        ends = time.monotonic() + LAST_WORDS_SECONDS
        while self._writer.handled < self._queued and time.monotonic() < ends:
            time.sleep(0.005)

    def close(self) -> None:
        """Write what is left, if the stream takes it in time, and end the thread."""
        stopping = threading.Thread(target=self._writer.stop, daemon=True)
        stopping.start()
        stopping.join(LAST_WORDS_SECONDS)
        super().close()


class _LineWriter(logging.handlers.QueueListener):
    """Writes the lines of a queue; a stream that is closed ends nothing."""

    def __init__(self, lines: queue.SimpleQueue[str], stream: TextIO) -> None:
        super().__init__(lines)
        self._stream = stream
        self.handled = 0
        self.dropped = 0
        self._reported = 0

    def handle(self, record: Any) -> None:
        """Write one line, and say afterwards how many were dropped before it."""
        try:
            self._stream.write(f"{record}\n")
            self._stream.flush()
        except Exception:  # whatever the stream raises, the line is lost
            self.dropped += 1
            self._reported = self.dropped  # nor could a line that says so be written
        self.handled += 1
        if self._reported < self.dropped:
            self._reported = self.dropped
            log.warning("log lines dropped", extra={"dropped": self.dropped})


def log_as_json() -> QueuedHandler:
    """Send every log record of the process to standard error, as lines of JSON.

    uvicorn's too, but for its access log, which has less to say than ours. httpx2's
    line a call would quote its address, which may hold a secret.
    """
    handler = QueuedHandler(sys.stderr)
    handler.setFormatter(JSONFormatter())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = name != "uvicorn.access"
    logging.getLogger("httpx2").setLevel(logging.WARNING)
    return handler


def access_line(facts: dict[str, Any]) -> None:
    """The line of one request, for all who listen."""
    access_log.info("request", extra=facts)


class ThrottledLog:
    """Warnings that may come a thousand times a second, each once in an interval.

    A line says in `times` how often its message has come since the line before it.
    """

    def __init__(self, log: logging.Logger, seconds: float = 5.0) -> None:
        self._log = log
        self._seconds = seconds
        self._times: dict[str, int] = {}
        self._next_line: dict[str, float] = {}

    def warning(self, message: str, error: BaseException | None) -> None:
        """Count `message`; write it with its reason if its interval is over."""
        times = self._times.get(message, 0) + 1
        self._times[message] = times
        now = time.monotonic()
        if now < self._next_line.get(message, 0.0):
            return
        self._next_line[message] = now + self._seconds
        self._times[message] = 0
        self._log.warning(message, extra={"reason": repr(error), "times": times})


def redacted(text: str) -> str:
    """What a log may hold of a text that may be secret."""
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=4)
    return f"[length={len(text)} hash={digest.hexdigest()}]"


def collect_facts() -> dict[str, Any]:
    """The facts that the line of this request will hold; `note` adds to them."""
    facts: dict[str, Any] = {}
    _facts.set(facts)
    return facts


def note_call(facts: dict[str, Any]) -> None:
    """One call of a model: part of its request's line, else a line of its own."""
    line = _facts.get()
    if line is not None:
        line.update(facts)
    elif access_log.isEnabledFor(logging.INFO):
        access_log.info("call", extra=facts)


def _without_words(error: BaseException) -> str:
    """The traceback, with each exception's message redacted."""
    parts: list[str] = []
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        message = str(current)
        suffix = f": {redacted(message)}" if message else ""
        frames = "".join(traceback.format_tb(current.__traceback__))
        parts.append(f"{frames}{type(current).__name__}{suffix}")
        for inner in getattr(current, "exceptions", ()):
            parts.append(_without_words(inner))
        context = None if current.__suppress_context__ else current.__context__
        current = current.__cause__ or context
    return "\nafter:\n".join(parts)
