"""Requests that come after SIGTERM are refused; those that run are waited for."""

from starlette.types import ASGIApp, Receive, Scope, Send

from examples.full_app.lifecycle import Draining, ServerShuttingDownError
from examples.full_app.web.error_responses import render

EXEMPT = frozenset({"/health/live", "/health/ready", "/metrics"})


class DrainingMiddleware:
    """Pure ASGI: counts requests, and answers 503 to those that come too late.

    Health and metrics are answered to the last.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or refuse and close the connection: the next one leads elsewhere."""
        draining: Draining | None = scope.get("state", {}).get("draining")
        if draining is None or scope["path"] in EXEMPT:
            await self.app(scope, receive, send)
        elif draining.is_set():
            refusal = render(ServerShuttingDownError(), scope["state"]["request_id"])
            refusal.headers["Connection"] = "close"
            await refusal(scope, receive, send)
        elif scope["type"] != "http":  # a socket that is idle keeps nobody waiting
            await self.app(scope, receive, send)
        else:
            draining.enter()
            try:
                await self.app(scope, receive, send)
            finally:
                draining.leave()
