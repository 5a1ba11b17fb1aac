"""`/docs` and `/redoc` without the internet, and a page at `/`.

FastAPI's own pages load Swagger UI and ReDoc from a CDN: in a train they stay blank.
These take the same files from the installed package fastapi-offline. Swagger UI has the
colours of the course, light or dark as the reader's system is.
"""

import json
from pathlib import Path

import fastapi_offline
from fastapi import FastAPI
from fastapi.openapi.docs import get_redoc_html, get_swagger_ui_html
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Receive, Scope, Send

from course import tokens
from course.front_page import front_page, has_front_page, introduction
from course.tryit import try_it
from examples.full_app.routes.recorded_answers import document_answers

FILES = Path(fastapi_offline.__file__).with_name("static")
PREFIX = "/static-offline-docs"
RECORDED_ANSWERS = Path(__file__).with_name("recorded_answers.json")
LOOK = f'<link rel="stylesheet" href="{PREFIX}/look.css">'


def show_recorded_answers(app: FastAPI, module: str) -> None:
    """Show in the OpenAPI document of a section or step what its routes answered."""
    recorded = json.loads(RECORDED_ANSWERS.read_text(encoding="utf-8"))
    if module in recorded:
        document_answers(app, recorded[module])


def introduce(app: FastAPI, docstring: str | None) -> None:
    """Begin the OpenAPI document with the first paragraph of the module's docstring."""
    app.description = app.description or introduction(docstring)


def with_offline_docs(app: FastAPI, docstring: str | None = None) -> ASGIApp:
    """`app`, whose two documentation pages are answered from local files.

    If it has no route for `GET /`, a page made from its routes and from `docstring`,
    the module's own, is answered there.
    """
    schema = app.openapi_url or "/openapi.json"
    icon = f"{PREFIX}/mark.svg"

    def swagger(_: Request) -> HTMLResponse:
        page = get_swagger_ui_html(
            openapi_url=schema,
            title=app.title,
            swagger_js_url=f"{PREFIX}/swagger-ui-bundle.js",
            swagger_css_url=f"{PREFIX}/swagger-ui.css",
            swagger_favicon_url=icon,
            swagger_ui_parameters=app.swagger_ui_parameters,
        )
        text = bytes(page.body).decode()
        return HTMLResponse(text.replace("</head>", f"{LOOK}</head>", 1))

    def look(_: Request) -> Response:
        rules = tokens.TOKENS.read_text(encoding="utf-8")
        rules += tokens.SWAGGER.read_text(encoding="utf-8")
        return Response(rules, media_type="text/css")

    def redoc(_: Request) -> HTMLResponse:
        return get_redoc_html(
            openapi_url=schema,
            title=app.title,
            redoc_js_url=f"{PREFIX}/redoc.standalone.js",
            redoc_favicon_url=icon,
            with_google_fonts=False,
        )

    def mark(_: Request) -> Response:
        return Response(tokens.MARK.read_bytes(), media_type="image/svg+xml")

    def front(request: Request) -> HTMLResponse:
        lines = try_it(docstring, str(request.base_url).rstrip("/"))
        return HTMLResponse(front_page(app, introduction(docstring), lines))

    pages = Starlette(
        routes=[
            Route("/", front),
            Route("/docs", swagger),
            Route("/redoc", redoc),
            Route(f"{PREFIX}/look.css", look),
            Route(f"{PREFIX}/mark.svg", mark),
            Mount(PREFIX, StaticFiles(directory=FILES)),
        ]
    )

    ours = {"/docs", "/redoc"}
    if not has_front_page(app):
        ours.add("/")

    async def choose(scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        asked = path in ours or path.startswith(f"{PREFIX}/")
        reads = scope["type"] == "http" and scope["method"] in {"GET", "HEAD"}
        chosen = pages if asked and reads else app
        await chosen(scope, receive, send)

    return choose
