"""The chat route is an ordinary FastAPI route, with section 4's dependencies."""

from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient

from examples.full_app.main import TELEMETRY, create_app
from examples.full_app.web.dependencies import get_caller_limits
from examples.s4_dependency_injection import RequestContext, get_request_context
from tests.full_app.conftest import KEY, settings
from tests.full_app.observability.test_observability import Tracing
from tests.full_app.scripted import Scripted

HEADERS = {"Authorization": f"Bearer {KEY}"}
PATH = "/v1/chat/completions"
BODY = {"messages": [{"role": "user", "content": "Why?"}], "model": "offline-echo"}


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    with TestClient(create_app(settings()), headers=HEADERS) as client:
        yield client


def test_its_headers_are_documented(client: TestClient) -> None:
    route = client.get("/openapi.json").json()["paths"][PATH]["post"]
    named = {parameter["name"] for parameter in route["parameters"]}

    assert named == {"Idempotency-Key", "X-Resumable"}


@pytest.mark.parametrize(
    ("value", "status"), [("true", 200), ("0", 200), ("yes", 200), ("perhaps", 400)]
)
def test_a_flag_in_a_header_is_a_boolean(
    client: TestClient, value: str, status: int
) -> None:
    answer = client.post(PATH, json=BODY, headers={"X-Resumable": value})

    assert answer.status_code == status
    if status == 400:
        assert answer.json()["error"]["param"] == "header.x-resumable"


def test_an_opentelemetry_sdk_sees_fastapis_steps(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    provider = Tracing()
    monkeypatch.setitem(TELEMETRY, "tracer_provider", provider)
    with TestClient(create_app(settings()), headers=HEADERS) as client:
        assert client.post(PATH, json=BODY).status_code == 200

    names = [name for name, _ in provider.started]
    assert {"fastapi.dependencies", "fastapi.endpoint"} <= set(names)


def test_a_test_replaces_the_limits_of_the_caller() -> None:
    app = create_app(settings(requests_per_minute=1))
    with TestClient(app, headers=HEADERS) as client:
        assert client.post(PATH, json=BODY).status_code == 200
        assert client.post(PATH, json=BODY).status_code == 429

        other = client.app_state["limits"].of("key:somebody-else")
        app.dependency_overrides[get_caller_limits] = lambda: other
        assert client.post(PATH, json=BODY).status_code == 200


def test_a_test_replaces_the_request_context() -> None:
    provider = Scripted()
    app = create_app(settings(), provider=provider)
    app.dependency_overrides[get_request_context] = lambda: RequestContext("req_fixed")
    with TestClient(app, headers=HEADERS) as client:
        assert client.post(PATH, json={**BODY, "model": "gpt-4o"}).status_code == 200

    assert provider.contexts[0].request_id == "req_fixed"
