"""Logs as lines of JSON, in which no prompt, no answer and no key can be read.

What may be secret is logged as its length and a short hash: enough to tell whether two
lines are about the same text, not enough to read it. Messages of exceptions may quote
anything, so of those too only that is kept, and their frames.
"""

import hashlib
import json
import logging
import re
import sys
import time
import traceback
from contextvars import ContextVar
from typing import Any

from pydantic_core import to_json

from examples.full_app.observability.log_queue import QueuedHandler
from examples.full_app.observability.tracing import current_trace
from examples.s5_error_handling import request_id_var

access_log = logging.getLogger("full_app.access")

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
_JSON = json.JSONEncoder(default=str)

_facts: ContextVar[dict[str, Any] | None] = ContextVar("log_facts", default=None)


class JSONFormatter(logging.Formatter):
    """A log record as one line of JSON: time, level, logger, message, known fields."""

    def format(self, record: logging.LogRecord) -> str:
        """One line; fields outside `LOG_FIELDS` are left out."""
        line: dict[str, Any] = {
            "time": round(record.created, 3),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        trace = current_trace()
        line["request_id"] = request_id_var.get()
        line["trace_id"] = trace.trace_id if trace else None
        told = record.__dict__
        line |= {name: told[name] for name in LOG_FIELDS if name in told}
        line = {name: value for name, value in line.items() if value is not None}
        if record.exc_info and record.exc_info[1] is not None:
            line["exception"] = _without_words(record.exc_info[1])
        return without_secrets(_as_json(line))


def _as_json(line: dict[str, Any]) -> str:
    """ASCII alone, for streams of any encoding; most lines are nothing else."""
    try:
        text = to_json(line, fallback=str).decode("utf-8")
    except ValueError:  # a lone surrogate
        return _JSON.encode(line)
    return text if text.isascii() else _JSON.encode(line)


def without_secrets(text: str) -> str:
    """The text with each secret `redacted`. To look for a hint first is much faster."""
    for hint in HINTS:
        if hint in text:
            return SECRETS.sub(lambda found: redacted(found[0]), text)
    return text


def log_as_json() -> QueuedHandler:
    """Send every log record of the process to standard error, as lines of JSON.

    uvicorn's too, but for its access log, which has less to say than ours. httpx2's
    line a call would quote its address, which may hold a secret.
    """
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    handler = QueuedHandler(sys.stderr)
    handler.setFormatter(JSONFormatter())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = name != "uvicorn.access"
    logging.getLogger("httpx2").setLevel(logging.WARNING)
    return handler


class AccessRecord(logging.LogRecord):
    """The record of one request. Nobody asks where in the code it was made, so that of
    all that a record tells only its time is found out anew.
    """

    def __init__(self, facts: dict[str, Any]) -> None:
        now = time.time()
        self.__dict__.update(_REQUEST, created=now, msecs=now % 1 * 1000, **facts)


_REQUEST = logging.LogRecord(
    access_log.name, logging.INFO, "", 0, "request", (), None
).__dict__


def access_line(facts: dict[str, Any]) -> None:
    """The line of one request, for all who listen."""
    access_log.handle(AccessRecord(facts))


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
    found = _facts.get()
    if found is not None:
        found.update(facts)
    elif access_log.isEnabledFor(logging.INFO):
        access_log.info("call", extra=facts)


def _without_words(error: BaseException) -> str:
    """The traceback, with each exception's message redacted."""
    parts: list[str] = []
    seen: set[int] = set()
    found: BaseException | None = error
    while found is not None and id(found) not in seen:
        seen.add(id(found))
        words = str(found)
        said = f": {redacted(words)}" if words else ""
        frames = "".join(traceback.format_tb(found.__traceback__))
        parts.append(f"{frames}{type(found).__name__}{said}")
        for inner in getattr(found, "exceptions", ()):
            parts.append(_without_words(inner))
        hidden = found.__suppress_context__
        found = found.__cause__ or (None if hidden else found.__context__)
    return "\nafter:\n".join(parts)
