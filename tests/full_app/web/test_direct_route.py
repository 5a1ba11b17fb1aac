"""A route that calls its endpoint itself: the same answers, and nothing left out."""

from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import APIRouter, Depends, Header, Query, Request
from fastapi.testclient import TestClient
from pydantic import BaseModel
from starlette.responses import Response

from examples.full_app.main import TELEMETRY, create_app
from examples.full_app.web.direct_route import DirectRoute
from examples.full_app.web.headers import headers_of
from tests.full_app.conftest import KEY, settings
from tests.full_app.observability.test_observability import Tracing

HEADERS = {"Authorization": f"Bearer {KEY}"}
PATH = "/v1/chat/completions"
ASK = {"messages": [{"role": "user", "content": "Why?"}], "model": "offline-echo"}


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    with TestClient(create_app(settings()), headers=HEADERS) as client:
        yield client


class Body(BaseModel):
    number: int


async def with_query(body: Body, request: Request, page: int = Query(1)) -> Response:
    return Response()


async def with_header(body: Body, request: Request, x_a: str = Header("")) -> Response:
    return Response()


async def with_dependency(
    body: Body, request: Request, found: int = Depends(lambda: 1)
) -> Response:
    return Response()


async def without_request(body: Body) -> Response:
    return Response()


async def without_body(request: Request) -> Response:
    return Response()


@pytest.mark.parametrize(
    "endpoint",
    [with_query, with_header, with_dependency, without_request, without_body],
)
def test_an_endpoint_that_would_not_get_what_it_asks_for_is_refused(
    endpoint: Any,
) -> None:
    router = APIRouter(route_class=DirectRoute)

    with pytest.raises(TypeError, match="a body and the request"):
        router.add_api_route("/", endpoint, methods=["POST"], response_model=None)


def test_the_headers_it_reads_by_itself_are_documented(client: TestClient) -> None:
    route = client.get("/openapi.json").json()["paths"][PATH]["post"]
    named = {parameter["name"] for parameter in route["parameters"]}

    assert named == {"Idempotency-Key", "X-Resumable"}


@pytest.mark.parametrize(
    ("told", "status"), [("true", 200), ("0", 200), ("yes", 200), ("perhaps", 400)]
)
def test_a_flag_in_a_header_is_a_boolean(
    client: TestClient, told: str, status: int
) -> None:
    answer = client.post(PATH, json=ASK, headers={"X-Resumable": told})

    assert answer.status_code == status
    if status == 400:
        assert answer.json()["error"]["param"] == "header.x-resumable"


def test_an_opentelemetry_sdk_sees_fastapis_steps(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    provider = Tracing()
    monkeypatch.setitem(TELEMETRY, "tracer_provider", provider)
    with TestClient(create_app(settings()), headers=HEADERS) as client:
        assert client.post(PATH, json=ASK).status_code == 200

    names = [name for name, _ in provider.started]
    assert {"fastapi.dependencies", "fastapi.endpoint"} <= set(names)


def test_of_equal_headers_the_first_counts() -> None:
    pairs = [(b"a", b"1"), (b"b", b"ol\xe9"), (b"a", b"2")]

    assert headers_of({"headers": pairs}) == {"a": "1", "b": "ol\xe9"}
