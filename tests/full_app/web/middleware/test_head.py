"""`HEAD` is `GET` without the body, everywhere; the documents name `GET` only."""

import asyncio
from collections.abc import AsyncIterator

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Message, Receive, Scope, Send

from examples.full_app.web.middleware.head import HeadMiddleware
from tests.servers import serve, wait_until

READ = ("/", "/docs", "/openapi.json", "/console/index.html", "/health/live")
GUARDED = ("/v1/models", "/v1/models/gpt-4o-mini", "/v1/usage", "/v1/jobs")
REFUSED = ("/nowhere", "/v1/chat/completions", "/v1/jobs/job_ab", "/v1/models/none")


def told(answer: httpx2.Response) -> dict[str, str]:
    """The headers that are the same for the same question."""
    once = {"x-request-id", "date"}
    return {name: value for name, value in answer.headers.items() if name not in once}


@pytest.mark.wire
@pytest.mark.parametrize("path", [*READ, *GUARDED, *REFUSED])
def test_head_is_get_without_the_body(http: httpx2.Client, path: str) -> None:
    get, head = http.get(path), http.head(path)

    assert head.status_code == get.status_code
    assert head.content == b"" != get.content
    assert told(head) == told(get)


def test_head_asks_for_a_key_where_get_does(base_url: str) -> None:
    assert httpx2.head(f"{base_url}/v1/models").status_code == 401


def test_the_openapi_document_has_no_operation_for_it(http: httpx2.Client) -> None:
    paths = http.get("/openapi.json").json()["paths"].values()

    assert not any("head" in operations for operations in paths)


def test_an_answer_without_end_ends_with_its_headers() -> None:
    left: list[str] = []

    async def endless(_: Request) -> Response:
        async def words() -> AsyncIterator[str]:
            try:
                while True:
                    yield "more"
                    await asyncio.sleep(0.01)
            finally:
                left.append("words")

        return StreamingResponse(words())

    app = Starlette(routes=[Route("/", endless)])
    with serve(HeadMiddleware(app)) as url:
        assert httpx2.head(url).status_code == 200
        wait_until(lambda: left == ["words"], what="the end of the words")


async def nowhere(_: Message) -> None:
    """Takes what is sent."""


def test_who_stands_outside_sees_the_method_that_was_asked() -> None:
    seen: list[object] = []

    async def broken(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope["method"])
        raise RuntimeError

    async def ask(scope: Scope) -> None:
        await HeadMiddleware(broken)(scope, asyncio.Future, nowhere)

    scope = {"type": "http", "method": "HEAD"}
    with pytest.raises(RuntimeError):
        asyncio.run(ask(scope))

    assert (seen, scope["method"]) == (["GET"], "HEAD")
