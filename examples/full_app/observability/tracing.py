"""One trace from a caller to the upstream, the job and the webhook: `traceparent`.

A trace that comes in goes on under its id; without one, one begins here. The current
trace is OpenTelemetry's current span. Where an OpenTelemetry SDK is set up, FastAPI
records that span and it is the parent of what follows; without one nothing is recorded,
but the ids travel, so that logs can be joined all the same.
Source: W3C Trace Context (level 1), read and written by opentelemetry-api.
"""

import contextlib
import secrets
from contextlib import AbstractContextManager

from opentelemetry import trace as otel
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from examples.full_app.observability.metrics import (
    API_TYPE,
    OPERATION,
    REQUEST_MODEL,
)

PROPAGATOR = TraceContextTextMapPropagator()


def continued(header: str | None) -> otel.SpanContext:
    """The caller's trace with a span of ours; a new one for a header that is none."""
    recorded = otel.get_current_span().get_span_context()
    if recorded.is_valid:
        return recorded
    caller = otel.INVALID_SPAN_CONTEXT
    if header is not None:
        context = PROPAGATOR.extract({"traceparent": header})
        caller = otel.get_current_span(context).get_span_context()
    return otel.SpanContext(
        trace_id=caller.trace_id or secrets.randbits(128),
        span_id=secrets.randbits(64),
        is_remote=False,
        trace_flags=caller.trace_flags,
    )


def tracing(trace: otel.SpanContext) -> AbstractContextManager[object]:
    """A block, and the tasks begun in it, that belong to `trace`."""
    if otel.get_current_span().get_span_context() == trace:
        return contextlib.nullcontext()
    return otel.use_span(otel.NonRecordingSpan(trace))


def describe_call(operation: str, model: str, api_type: str) -> None:
    """Say on the span that is recorded now, if there is one, which call it is of.

    `operation` is `chat` or `embeddings`. Source: OpenTelemetry's conventions for
    generative AI, and for OpenAI (`openai.api.type`).
    """
    span = otel.get_current_span()
    if not span.is_recording():
        return
    span.set_attribute(OPERATION, operation)
    span.set_attribute(REQUEST_MODEL, model)
    if operation == "chat":
        span.set_attribute(API_TYPE, api_type)


def current_trace_id() -> str | None:
    """The trace of what runs now, as 32 hex digits, if it belongs to one."""
    context = otel.get_current_span().get_span_context()
    return otel.format_trace_id(context.trace_id) if context.is_valid else None


def traceparent() -> str | None:
    """The header for calls made now; None outside of any trace."""
    headers: dict[str, str] = {}
    PROPAGATOR.inject(headers)
    return headers.get("traceparent")
