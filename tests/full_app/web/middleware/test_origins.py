"""No foreign page may use a service without keys; browser apps are let in by name."""

from collections.abc import Iterator

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from pydantic import ValidationError
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from examples.full_app.main import create_app
from examples.full_app.web.middleware.authentication import is_same_origin
from examples.full_app.web.middleware.cors import EXPOSED_HEADERS
from tests.full_app.conftest import KEY, settings
from tests.servers import serve

HOST = "127.0.0.1:8000"
APP, FOREIGN = "https://app.example.com", "https://elsewhere.example"
CHAT = "/v1/chat/completions"
ASK = {"model": "offline-echo", "messages": [{"role": "user", "content": "hi"}]}
PREFLIGHT = {
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "authorization,content-type,x-stainless-os",
}


def client_of(app: FastAPI, host: str = HOST) -> TestClient:
    """A client on this machine, as a browser's connection would be."""
    return TestClient(
        app,
        client=("127.0.0.1", 5),
        base_url=f"http://{host}",
        raise_server_exceptions=False,
    )


@pytest.fixture(scope="module")
def keyless() -> Iterator[TestClient]:
    with client_of(create_app(settings(api_keys=""))) as client:
        yield client


@pytest.fixture(scope="module")
def open_to_app() -> Iterator[TestClient]:
    app = create_app(settings(api_keys=f"alpha:{KEY}", cors_origins=APP))

    @app.get("/v1/broken", include_in_schema=False)
    async def broken() -> None:
        raise RuntimeError("a bug")

    with client_of(app) as client:
        yield client


# --- Without keys ---


@pytest.mark.parametrize(
    "origin",
    [
        FOREIGN,
        "null",
        "http://localhost:8000",  # the same machine, another origin all the same
        "http://127.0.0.1:8001",
        "http://127.0.0.1",
        "http://127.0.0.1:8000.elsewhere.example",
        "https://elsewhere.example/http://127.0.0.1:8000",
        "chrome-extension://abcdefgh",
        "",
    ],
)
def test_a_page_of_another_origin_is_refused_on_every_route(
    keyless: TestClient, origin: str
) -> None:
    for method, path in (
        ("POST", CHAT),
        ("GET", "/v1/models"),
        ("GET", "/"),
        ("GET", "/metrics"),
        ("OPTIONS", CHAT),
        ("GET", "/nowhere"),
    ):
        answer = keyless.request(
            method, path, headers={"Origin": origin, **PREFLIGHT}, json=ASK
        )
        assert answer.status_code == 403, (method, path)
        assert answer.json()["code"] == "origin_not_allowed"
        assert "access-control-allow-origin" not in answer.headers
        assert "elsewhere" not in answer.text


@pytest.mark.parametrize("origin", [f"http://{HOST}", f"HTTP://{HOST}", None])
def test_its_own_pages_and_clients_without_origin_are_served(
    keyless: TestClient, origin: str | None
) -> None:
    headers = {} if origin is None else {"Origin": origin}

    assert keyless.post(CHAT, json=ASK, headers=headers).status_code == 200


@pytest.mark.parametrize(
    ("origin", "host", "same"),
    [
        ("http://localhost", "localhost:80", True),
        ("https://localhost:443", "localhost", True),
        ("https://localhost", "localhost:443", True),
        ("http://[::1]:8000", "[::1]:8000", True),
        ("http://localhost:8080", "localhost", False),
        ("http://localhost", "localhost:8080", False),
        ("http://localhost", "", False),
        ("ftp://localhost", "localhost", False),
        ("localhost", "localhost", False),
        ("http://", "", True),  # no browser sends it, and `Host` is checked before
    ],
)
def test_an_origin_is_the_hosts_own_up_to_the_default_port(
    origin: str, host: str, same: bool
) -> None:
    assert is_same_origin(origin, host) is same


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost:8000", 200),
        ("LOCALHOST", 200),
        ("[::1]:8000", 200),
        ("rebound.example", 403),
        ("rebound.example:8000", 403),
        ("localhost.rebound.example", 403),
        ("127.0.0.2:8000", 403),
        ("", 403),
    ],
)
def test_a_host_that_is_not_this_machine_is_refused_on_every_route(
    keyless: TestClient, host: str, status: int
) -> None:
    for path in ("/v1/models", "/", "/docs", "/health/live", "/console/console.js"):
        answer = keyless.get(path, headers={"Host": host})
        assert answer.status_code == status, path
        assert status == 200 or answer.json()["code"] == "host_not_allowed"


def test_a_unix_socket_does_not_make_every_host_this_machine() -> None:
    with TestClient(create_app(settings(api_keys="")), client=None) as client:  # type: ignore[arg-type]
        refused = client.get("/v1/models", headers={"Host": "rebound.example"})
        served = client.get("/v1/models", headers={"Host": "localhost"})

    assert (refused.status_code, served.status_code) == (403, 200)


def test_another_host_is_accepted_where_a_setting_names_it() -> None:
    app = create_app(settings(api_keys="", allowed_hosts="Host.docker.internal, pot"))
    with client_of(app, "host.docker.internal:8000") as client:
        assert client.get("/v1/models").status_code == 200
        assert client.get("/v1/models", headers={"Host": "pot"}).status_code == 200
        assert client.get("/v1/models", headers={"Host": "jug"}).status_code == 403


def test_with_keys_host_and_origin_decide_nothing(open_to_app: TestClient) -> None:
    headers = {"Authorization": f"Bearer {KEY}", "Host": "api.example", "Origin": "x"}

    assert open_to_app.get("/v1/models", headers=headers).status_code == 200


# --- The WebSocket ---


@pytest.mark.wire
def test_a_foreign_page_cannot_open_the_websocket_and_a_known_one_can() -> None:
    app = create_app(settings(api_keys="", cors_origins=APP))
    with serve(app) as url:
        socket = f"{url.replace('http', 'ws', 1)}/v1/live"
        for origin in (FOREIGN, "null", "http://localhost:1"):
            with (
                pytest.raises(InvalidStatus) as refused,
                connect(socket, additional_headers={"Origin": origin}),
            ):
                pass
            assert refused.value.response.status_code == 403
        for headers in ({"Origin": url}, {"Origin": APP}, {}):
            with connect(socket, additional_headers=headers) as connection:
                connection.send("{}")
                assert '"error"' in str(connection.recv(timeout=20))


# --- Browser apps ---


def test_a_preflight_request_needs_no_key(open_to_app: TestClient) -> None:
    answer = open_to_app.options(CHAT, headers={"Origin": APP, **PREFLIGHT})

    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == APP
    assert "POST" in answer.headers["access-control-allow-methods"]
    assert "authorization" in answer.headers["access-control-allow-headers"]
    assert "access-control-allow-credentials" not in answer.headers
    assert answer.headers["x-request-id"]


def test_a_page_may_be_told_that_this_machine_is_within_reach(
    open_to_app: TestClient,
) -> None:
    asked = {
        "Origin": APP,
        **PREFLIGHT,
        "Access-Control-Request-Private-Network": "true",
    }
    answer = open_to_app.options(CHAT, headers=asked)

    assert answer.headers["access-control-allow-private-network"] == "true"


def test_a_preflight_request_of_another_origin_is_refused_with_our_body(
    open_to_app: TestClient,
) -> None:
    answer = open_to_app.options(CHAT, headers={"Origin": FOREIGN, **PREFLIGHT})

    assert (answer.status_code, answer.json()["code"]) == (403, "origin_not_allowed")
    assert "access-control-allow-origin" not in answer.headers
    assert answer.json()["request_id"] == answer.headers["x-request-id"]


def test_a_preflight_request_for_a_strange_method_is_refused_with_our_body(
    open_to_app: TestClient,
) -> None:
    asked = {"Origin": APP, "Access-Control-Request-Method": "BREW"}
    answer = open_to_app.options(CHAT, headers=asked)

    assert (answer.status_code, answer.json()["code"]) == (405, "method_not_allowed")


def test_answers_and_errors_alike_are_shown_to_the_page(
    open_to_app: TestClient,
) -> None:
    key = {"Authorization": f"Bearer {KEY}"}
    seen = {}
    for path, headers, body in (
        (CHAT, key, ASK),
        (CHAT, key, {}),
        (CHAT, {}, ASK),
        ("/nowhere", key, ASK),
        ("/v1/broken", key, None),
    ):
        method = "GET" if body is None else "POST"
        answer = open_to_app.request(
            method, path, headers={"Origin": APP, **headers}, json=body
        )
        seen[answer.status_code] = answer
        assert answer.headers["access-control-allow-origin"] == APP
        assert "Origin" in answer.headers["vary"]
        exposed = answer.headers["access-control-expose-headers"].split(", ")
        assert {"X-Request-ID", "RateLimit", "Retry-After"} < set(exposed)

    assert seen.keys() == {200, 400, 401, 404, 500}


def test_every_header_of_a_chat_answer_is_exposed(open_to_app: TestClient) -> None:
    """`Content-Type` and `Content-Length` are always exposed (Fetch, section 2.2.2)."""
    headers = {"Authorization": f"Bearer {KEY}", "Origin": APP}
    answer = open_to_app.post(CHAT, json=ASK, headers=headers)
    ours = {name for name in answer.headers if not name.startswith("access-control-")}
    ours -= {"content-type", "content-length", "vary"}

    assert ours <= {name.lower() for name in EXPOSED_HEADERS}


def test_another_origin_sees_no_header_that_lets_its_page_read(
    open_to_app: TestClient,
) -> None:
    headers = {"Authorization": f"Bearer {KEY}", "Origin": FOREIGN}
    answer = open_to_app.get("/v1/models", headers=headers)

    assert "access-control-allow-origin" not in answer.headers


def test_without_the_setting_no_page_is_let_in() -> None:
    with client_of(create_app(settings())) as client:
        headers = {"Authorization": f"Bearer {KEY}", "Origin": APP}
        answer = client.get("/v1/models", headers=headers)
        preflight = client.options(CHAT, headers={"Origin": APP, **PREFLIGHT})

    assert "access-control-allow-origin" not in answer.headers
    assert preflight.status_code == 401


def test_without_keys_a_named_origin_may_use_everything() -> None:
    app = create_app(settings(api_keys="", cors_origins=[APP, "http://localhost:3000"]))
    with client_of(app) as client:
        for origin in (APP, "http://localhost:3000"):
            answer = client.post(CHAT, json=ASK, headers={"Origin": origin})
            assert answer.status_code == 200
            assert answer.headers["access-control-allow-origin"] == origin
        refused = client.post(CHAT, json=ASK, headers={"Origin": FOREIGN})
        assert refused.status_code == 403


# --- The settings ---


def test_every_page_is_let_in_only_where_keys_are_needed() -> None:
    with pytest.raises(ValidationError, match="FULL_APP_API_KEYS"):
        settings(api_keys="", cors_origins="*")

    assert settings(cors_origins="*").cors_origins == ("*",)


@pytest.mark.parametrize(
    "written", ["app.example.com", "https://app.example.com/path", "https://", "null"]
)
def test_an_origin_that_no_browser_sends_is_refused_at_start(written: str) -> None:
    with pytest.raises(ValidationError, match="write an origin as"):
        settings(cors_origins=written)


def test_origins_are_written_with_commas_or_as_a_list(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    both = (APP, "http://localhost:3000")
    for written in (f"{APP}/, http://LOCALHOST:3000", f'["{both[0]}", "{both[1]}"]'):
        monkeypatch.setenv("FULL_APP_CORS_ORIGINS", written)
        assert settings().cors_origins == both


def test_a_host_is_written_without_a_port() -> None:
    with pytest.raises(ValidationError, match="write a host name"):
        settings(allowed_hosts="pot:8000")
