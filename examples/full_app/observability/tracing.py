"""One trace from a caller to the upstream, the job and the webhook: `traceparent`.

A trace that comes in goes on under its id; without one, one begins here. Where an
OpenTelemetry SDK is set up, its span is the parent of what follows (FastAPI records
it); without one the ids are ours, so that logs can be joined all the same.
Source: W3C Trace Context (level 1).
"""

import re
import secrets
from contextvars import ContextVar
from typing import NamedTuple

from opentelemetry import trace as otel

HEADER = re.compile(
    r"(?!ff)([0-9a-f]{2})-((?!0{32})[0-9a-f]{32})-((?!0{16})[0-9a-f]{16})-([0-9a-f]{2})"
    r"(-.*)?",
    re.ASCII,
)


class Trace(NamedTuple):
    """Where this process stands in a trace: both ids in hex, the flags as they came."""

    trace_id: str
    span_id: str
    flags: str = "00"

    @property
    def header(self) -> str:
        """The `traceparent` of calls made from here."""
        return f"00-{self.trace_id}-{self.span_id}-{self.flags}"


_current: ContextVar[Trace | None] = ContextVar("trace", default=None)


def current_trace() -> Trace | None:
    """The trace of what runs now, if it belongs to one."""
    return _current.get()


def traceparent() -> str | None:
    """The header for calls made now; None outside of any trace."""
    found = _current.get()
    return found.header if found else None


def continued(header: str | None) -> Trace:
    """The caller's trace with a span of ours; a new one for a header that is none."""
    span = otel.get_current_span().get_span_context()
    if span.is_valid:
        flags = f"{int(span.trace_flags):02x}"
        return Trace(f"{span.trace_id:032x}", f"{span.span_id:016x}", flags)
    found = HEADER.fullmatch(header or "")
    if found is None or (found[1] == "00" and found[5]):
        return Trace(secrets.token_hex(16), secrets.token_hex(8))
    return Trace(found[2], secrets.token_hex(8), found[4])


class tracing:
    """A block, and the tasks begun in it, that belong to `trace`."""

    def __init__(self, trace: Trace) -> None:
        self._trace = trace

    def __enter__(self) -> None:
        self._token = _current.set(self._trace)

    def __exit__(self, *error: object) -> None:
        _current.reset(self._token)
