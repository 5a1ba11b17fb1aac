"""Sight: every request is measured once, logged once, and belongs to a trace.

The line has the request's id, trace, key name, model, tokens, cost and time; prompts
and keys are in neither logs nor metrics (`observability/`). Spans are FastAPI's
own, once an OpenTelemetry SDK is set up: install the extra `otel`, and set
`FASTAPI_OTEL_AUTO_CONFIGURE=true` and `OTEL_EXPORTER_OTLP_ENDPOINT`. Else nothing is
exported.
"""

import logging
import time
from collections.abc import Mapping
from typing import Any

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from examples.full_app.identity import Identity
from examples.full_app.observability.logs import access_line, access_log, collect_facts
from examples.full_app.observability.metrics import Metrics
from examples.full_app.observability.tracing import continued, tracing

UNMATCHED = "unmatched"
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class TelemetryMiddleware:
    """Pure ASGI: measures and logs every HTTP request once, when it has ended."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app = app
        self.metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the request in its trace, between two looks at the clock."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        with tracing(continued(Headers(scope=scope).get("traceparent"))):
            if scope["type"] == "http":
                await self._measured(scope, receive, send)
            else:
                await self.app(scope, receive, send)

    async def _measured(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = time.perf_counter()
        status = 499  # nothing was sent: the client was gone

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        facts = collect_facts()
        self.metrics.running += 1
        try:
            await self.app(scope, receive, watched)
        except Exception:
            status = 500
            raise
        finally:
            self.metrics.running -= 1
            self._record(scope, status, time.perf_counter() - started, facts)

    def _record(
        self, scope: Scope, status: int, seconds: float, facts: Mapping[str, Any]
    ) -> None:
        route = getattr(scope.get("route"), "path", UNMATCHED)
        method = scope["method"] if scope["method"] in METHODS else "OTHER"
        if route == UNMATCHED:
            method = "OTHER"
        self.metrics.count_request(method, route, status, seconds)
        if access_log.isEnabledFor(logging.INFO):
            access_line({**facts, **_line(scope, route, status, seconds)})


def _line(scope: Scope, route: str, status: int, seconds: float) -> dict[str, Any]:
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
