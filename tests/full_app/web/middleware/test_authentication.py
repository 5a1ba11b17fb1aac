"""Authenticated by default; the public paths are listed; nothing leaks on the way."""

import hashlib
import re
from collections.abc import Iterator

import httpx2
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from examples.full_app.main import create_app
from examples.full_app.web.middleware.authentication import is_public
from tests.full_app.conftest import KEY, OTHER_KEY, settings

PUBLIC = {"/", "/docs", "/redoc", "/openapi.json", "/health/live", "/health/ready"}


@pytest.fixture(scope="module")
def app() -> FastAPI:
    return create_app(settings())


@pytest.fixture
def stranger(app: FastAPI) -> Iterator[TestClient]:
    with TestClient(app) as client:
        yield client


def test_every_documented_route_needs_a_key_but_the_listed_ones(
    app: FastAPI, stranger: TestClient
) -> None:
    asked = 0
    for template, methods in app.openapi()["paths"].items():
        path = re.sub(r"\{[^}]+\}", "x", template)
        for method in methods:
            answer = stranger.request(method, path, json={})
            assert (answer.status_code == 401) == (path not in PUBLIC), (method, path)
            asked += 1
    assert asked > 15


def test_the_documentation_asks_for_the_key(app: FastAPI) -> None:
    document = app.openapi()

    assert document["security"] == [{"APIKey": []}]
    assert document["components"]["securitySchemes"]["APIKey"]["scheme"] == "bearer"


@pytest.mark.parametrize(
    "path", ["/v1/nowhere", "/v1", "/static", "/admin", "/healthz"]
)
def test_unknown_paths_need_a_key_too(stranger: TestClient, path: str) -> None:
    assert stranger.get(path).status_code == 401


def test_the_public_paths_answer_without_a_key(stranger: TestClient) -> None:
    for path in PUBLIC:
        assert is_public(path)
        assert stranger.get(path).status_code == 200, path


@pytest.mark.wire
@pytest.mark.parametrize(
    "header",
    [
        None,
        b"",
        b"Bearer",
        b"Basic " + KEY.encode(),
        KEY.encode(),
        b"Bearer " + KEY.encode()[:-1],
        b"Bearer " + KEY.encode() + b"x",
        b"Bearer " + b"x" * 10_000,
        b"Bearer \xff\xfe",
        "Bearer schlüssel".encode(),
    ],
)
def test_a_request_without_a_good_key_is_401_and_says_how(
    base_url: str, header: bytes | None
) -> None:
    headers = [] if header is None else [(b"Authorization", header)]
    answer = httpx2.get(f"{base_url}/v1/models", headers=headers)

    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.json()["code"] == "invalid_api_key"
    assert KEY not in answer.text


@pytest.mark.parametrize("key", [KEY, OTHER_KEY])
@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_every_configured_key_opens(base_url: str, key: str, scheme: str) -> None:
    answer = httpx2.get(
        f"{base_url}/v1/models", headers={"Authorization": f"{scheme} {key}"}
    )

    assert answer.status_code == 200


def test_a_digest_is_compared_as_a_whole() -> None:
    nearly = f"{hashlib.sha256(KEY.encode()).hexdigest()[:32]}{'0' * 32}"
    with TestClient(create_app(settings(api_keys=f"ops:sha256:{nearly}"))) as client:
        answer = client.get("/v1/models", headers={"Authorization": f"Bearer {KEY}"})

    assert answer.status_code == 401


def test_a_digest_can_be_configured_in_place_of_a_key() -> None:
    digest = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b"
    with TestClient(create_app(settings(api_keys=f"ops:sha256:{digest}"))) as client:
        answer = client.get("/v1/models", headers={"Authorization": "Bearer secret"})

    assert answer.status_code == 200


@pytest.mark.parametrize("key", ["schlüssel", "sk-à", "sk 1", "sk\x7f", "日本"])
@pytest.mark.parametrize("form", ["{}", "ops:{}", '[{{"name": "ops", "key": "{}"}}]'])
def test_a_key_that_clients_would_encode_differently_is_refused_at_start(
    key: str, form: str
) -> None:
    with pytest.raises(ValueError, match="visible ASCII") as caught:
        settings(api_keys=form.format(key))

    assert key not in str(caught.value)


def test_bytes_around_a_key_that_are_no_spaces_are_part_of_it(base_url: str) -> None:
    """Read as latin-1 they would look like spaces, and a strip() would drop them."""
    for around, status in ((b"", 200), (b"\xa0", 401), (b"\x85", 401)):
        header = b"Bearer " + KEY.encode() + around
        answer = httpx2.get(
            f"{base_url}/v1/models", headers=[(b"Authorization", header)]
        )
        assert answer.status_code == status


def test_without_keys_only_this_machine_is_served() -> None:
    app = create_app(settings(api_keys=""))
    local, host = ("127.0.0.1", 5), "http://127.0.0.1:8000"
    with TestClient(app, client=local, base_url=host) as client:
        assert client.get("/v1/models").status_code == 200
    with TestClient(app, client=("203.0.113.9", 5), base_url=host) as client:
        assert client.get("/v1/models").status_code == 403
        assert client.get("/").status_code == 403


def test_without_keys_a_page_rebound_to_this_machine_is_refused() -> None:
    app = create_app(settings(api_keys=""))
    for host, status in (("evil.example:8000", 403), ("localhost:8000", 200)):
        base = f"http://{host}"
        with TestClient(app, client=("127.0.0.1", 5), base_url=base) as client:
            assert client.get("/v1/models").status_code == status


def test_without_keys_another_host_is_refused_at_start() -> None:
    with pytest.raises(ValueError, match="FULL_APP_API_KEYS"):
        settings(api_keys="", host="0.0.0.0")  # noqa: S104  # the mistake under test


def test_x_user_id_does_not_make_another_caller(http: httpx2.Client) -> None:
    request = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "x"}]}
    job = http.post("/v1/jobs", json={"requests": [request]}).json()
    other = {"Authorization": f"Bearer {OTHER_KEY}", "X-User-ID": "alpha"}

    assert http.get(f"/v1/jobs/{job['id']}").status_code == 200
    assert http.get(f"/v1/jobs/{job['id']}", headers=other).status_code == 404


@pytest.mark.parametrize("given", ["abc-1_2.3", "a" * 64])
def test_a_good_request_id_is_kept(http: httpx2.Client, given: str) -> None:
    answer = http.get("/v1/models", headers={"X-Request-ID": given})

    assert answer.headers["x-request-id"] == given


@pytest.mark.parametrize("given", ["", "a" * 65, "a b", "<script>", "a/b", "ü"])
def test_another_request_id_is_replaced(http: httpx2.Client, given: str) -> None:
    answer = http.get("/v1/models", headers=[(b"X-Request-ID", given.encode())])

    assert re.fullmatch(r"req_[0-9a-f]{32}", answer.headers["x-request-id"])
