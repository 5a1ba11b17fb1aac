"""A request that comes without an id gets one that nobody can guess."""

from starlette.types import ASGIApp, Receive, Scope, Send

from examples.full_app.ids import random_hex
from examples.full_app.web.headers import headers_of


class RequestIDs:
    """Pure ASGI: gives requests that come without an id one of these.

    Outside of section 5's middleware, which checks, keeps and sends back what it finds.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Add the header, as a proxy would."""
        if scope["type"] != "lifespan":
            names = headers_of(scope)
            if "x-request-id" not in names:
                new = (b"x-request-id", f"req_{random_hex()}".encode("ascii"))
                scope["headers"] = [*scope["headers"], new]
        await self.app(scope, receive, send)
