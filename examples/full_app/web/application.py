"""The application as the server calls it, and what stands before its routes."""

from typing import Any

from fastapi import FastAPI, Request
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse
from fastapi_offline import FastAPIOffline
from starlette.types import Receive, Scope, Send

from examples.full_app.web.connection.transport import warn_without_limits
from examples.full_app.web.middleware.websocket_timeout import (
    WebSocketTimeoutMiddleware,
)

FILES = "/static-offline-docs"  # where fastapi-offline serves Swagger UI
LOOK = ("/console/tokens.css", "/console/swagger.css")  # light, or dark


class Application(FastAPI):
    """FastAPI, next to its server.

    A WebSocket must take a message within `websocket_seconds`. If the server does not
    limit its connections, a warning is logged once. The pages `/docs` and `/redoc` come
    from fastapi-offline: they need no internet.
    """

    def __init__(self, *, websocket_seconds: float, title: str, **options: Any) -> None:
        super().__init__(title=title, docs_url=None, redoc_url=None, **options)
        self.add_route("/docs", self.show_docs, include_in_schema=False)
        pages = FastAPIOffline(title=title, docs_url=None).routes
        self.router.routes += [
            page for page in pages if getattr(page, "path", "") != self.openapi_url
        ]
        self.has_been_asked = False
        self.within_timeout = WebSocketTimeoutMiddleware(
            super().__call__, seconds=websocket_seconds
        )

    async def show_docs(self, request: Request) -> HTMLResponse:
        """Swagger UI in the colours of the console."""
        base = request.scope.get("root_path", "")
        page = get_swagger_ui_html(
            openapi_url=f"{base}{self.openapi_url}",
            title=self.title,
            swagger_js_url=f"{base}{FILES}/swagger-ui-bundle.js",
            swagger_css_url=f"{base}{FILES}/swagger-ui.css",
            swagger_favicon_url=f"{base}/console/mark.svg",
        )
        links = "".join(f'<link rel="stylesheet" href="{base}{it}">' for it in LOOK)
        text = bytes(page.body).decode()
        return HTMLResponse(text.replace("</head>", f"{links}</head>", 1))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle the lifespan, one request or one WebSocket."""
        if not self.has_been_asked and scope["type"] != "lifespan":
            self.has_been_asked = True
            warn_without_limits(scope)
        if scope["type"] == "websocket":
            await self.within_timeout(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)
