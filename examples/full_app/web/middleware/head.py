"""`HEAD`: what `GET` would answer, without the body.

FastAPI's routes answer a method that they do not name with 405. Adding `HEAD` to each
would put every operation into the OpenAPI document twice.
Source: RFC 9110, section 9.3.2 (the same headers; no content).
"""

from starlette.types import ASGIApp, Message, Receive, Scope, Send


class HeadMiddleware:
    """Pure ASGI: the application is asked for `GET`, and its body goes nowhere.

    An answer without end has ended with its headers: the application sees the client
    leave. The innermost middleware: those outside, and the server, still see `HEAD`.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let all but `HEAD` pass."""
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self.app(scope, receive, send)
            return

        async def only_head(message: Message) -> None:
            if message["type"] == "http.response.start":
                scope["method"] = "HEAD"  # the server writes no body then
                await send(message)
                await send({"type": "http.response.body", "body": b""})

        scope["method"] = "GET"
        try:
            await self.app(scope, receive, only_head)
        finally:
            scope["method"] = "HEAD"
