"""Sight: one JSON log line a request, and metrics with bounded labels.

Neither ever holds a prompt, an answer or a key. A label is a route template, a known
model or a status, so that no caller can grow the number of series.
Source: Prometheus exposition format; OpenTelemetry's names where it has one.
"""

import json
import logging
import time
from collections.abc import Mapping
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from examples.full_app.security import Identity
from examples.s2_models import Usage

access_log = logging.getLogger("full_app.access")

UNMATCHED = "unmatched"
DURATIONS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
LOG_FIELDS = (
    "request_id",
    "error_code",
    "details",
    "method",
    "route",
    "status",
    "ms",
    "key",
    "model",
    "prompt_tokens",
    "completion_tokens",
    "job_id",
    "reason",
)


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
        for name in LOG_FIELDS:
            if (value := record.__dict__.get(name)) is not None:
                line[name] = value
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def log_as_json() -> None:
    """Send every log record of the process to standard error, as lines of JSON."""
    handler = logging.StreamHandler()
    handler.setFormatter(JSONFormatter())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)


class Metrics:
    """The series of one application, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "http_server_requests",
            "Requests answered.",
            ("method", "route", "status"),
            registry=self.registry,
        )
        self.duration = Histogram(
            "http_server_request_duration_seconds",
            "Time until the last byte of the answer.",
            ("method", "route"),
            buckets=DURATIONS,
            registry=self.registry,
        )
        self.active = Gauge(
            "http_server_active_requests", "Now running.", registry=self.registry
        )
        self.waiting = Gauge(
            "calls_waiting", "Calls that wait for a slot.", registry=self.registry
        )
        self.tokens = Counter(
            "gen_ai_client_token_usage",
            "Tokens used.",
            ("model", "type"),
            registry=self.registry,
        )
        self.abandoned = Counter(
            "upstream_attempts_abandoned",
            "Attempts at an upstream that gave no answer.",
            ("provider", "reason"),
            registry=self.registry,
        )

    def count_abandoned(self, provider: str, reason: str) -> None:
        """Add one attempt; both labels are names of ours, never an upstream's words."""
        self.abandoned.labels(provider, reason).inc()

    def count_tokens(self, model: str, usage: Usage) -> None:
        """Add one call's usage; `model` must be one the service lists."""
        self.tokens.labels(model, "input").inc(usage.prompt_tokens)
        self.tokens.labels(model, "output").inc(usage.completion_tokens)


class TelemetryMiddleware:
    """Pure ASGI: measures and logs every HTTP request once, when it has ended."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app = app
        self.metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the request between two looks at the clock."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = time.perf_counter()
        status = 499  # nothing was sent: the client was gone

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        self.metrics.active.inc()
        try:
            await self.app(scope, receive, watched)
        except Exception:
            status = 500
            raise
        finally:
            self.metrics.active.dec()
            self._record(scope, status, time.perf_counter() - started)

    def _record(self, scope: Scope, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", UNMATCHED)
        method = scope["method"] if route != UNMATCHED else "OTHER"
        self.metrics.requests.labels(method, route, str(status)).inc()
        self.metrics.duration.labels(method, route).observe(seconds)
        if access_log.isEnabledFor(logging.INFO):
            access_log.info("request", extra=_facts(scope, route, status, seconds))


def _facts(scope: Scope, route: str, status: int, seconds: float) -> Mapping[str, Any]:
    state = scope.get("state", {})
    identity: Identity | None = state.get("identity")
    return {
        "request_id": state.get("request_id"),
        "method": scope["method"],
        "route": route,
        "status": status,
        "ms": round(seconds * 1000, 2),
        "key": identity.key_name if identity else None,
        **state.get("log", {}),
    }
