"""What real clients send that is not quite what they should: it is served, or named."""

import json
import logging
import re
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest
from fastapi.testclient import TestClient
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from examples.full_app.main import create_app
from examples.full_app.observability.logs import access_log
from examples.full_app.web.connection.protocol import FastProtocol
from examples.full_app.web.error_responses import PATTERNS_IN_WORDS
from tests.full_app.conftest import KEY, settings
from tests.servers import free_port, process, serve, wait_for_http, wait_until

CHAT = "/v1/chat/completions"
ASK: dict[str, Any] = {
    "model": "offline-echo",
    "messages": [{"role": "user", "content": "The kettle is on."}],
}
BODY = json.dumps(ASK).encode()
H2C = (
    b"Connection: Upgrade, HTTP2-Settings\r\n"
    b"Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQBAAAAAAIAAAAA\r\n"
)
KEYED = {"Authorization": f"Bearer {KEY}"}


def head(
    url: str,
    more: bytes = b"",
    *,
    path: str = CHAT,
    length: int = len(BODY),
    method: str = "POST",
) -> bytes:
    """The head of a request, as bytes."""
    lines = [
        f"{method} {path} HTTP/1.1",
        f"Host: {urlsplit(url).netloc}",
        f"Authorization: Bearer {KEY}",
    ]
    if length:
        lines += ["Content-Type: application/json", f"Content-Length: {length}"]
    return "\r\n".join([*lines, ""]).encode() + more + b"\r\n"


@contextmanager
def connected(url: str) -> Iterator[socket.socket]:
    """A connection to a server, without any client's help."""
    place = urlsplit(url)
    with socket.create_connection((place.hostname, place.port), timeout=20) as raw:
        yield raw


def answer_on(raw: socket.socket) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of the next answer on a connection."""
    with raw.makefile("rb") as lines:
        status = int(lines.readline().split()[1])
        headers = {}
        while line := lines.readline().strip().decode():
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        return status, headers, lines.read(int(headers.get("content-length", 0)))


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with serve(create_app(settings(request_timeout_seconds=1))) as address:
        yield address


@pytest.fixture(scope="module")
def http() -> Iterator[TestClient]:
    with TestClient(create_app(settings()), headers=KEYED) as client:
        yield client


# --- A request that offers another protocol ---


def test_a_body_is_read_although_another_protocol_is_offered(url: str) -> None:
    with connected(url) as raw:
        raw.sendall(head(url, H2C) + BODY)
        status, _, body = answer_on(raw)

    assert status == 200
    assert json.loads(body)["choices"][0]["message"]["content"] == "The kettle is on."


def test_such_a_request_may_come_byte_by_byte(url: str) -> None:
    with connected(url) as raw:
        for byte in head(url, H2C) + BODY:
            raw.sendall(bytes([byte]))
        assert answer_on(raw)[0] == 200


def test_such_a_request_may_follow_others_and_others_may_follow_it(url: str) -> None:
    with connected(url) as raw:
        for more in (b"", H2C, b"", H2C):
            raw.sendall(head(url, more) + BODY)
            assert answer_on(raw)[0] == 200


def test_a_get_may_offer_another_protocol(url: str) -> None:
    with connected(url) as raw:
        raw.sendall(head(url, H2C, path="/v1/models", length=0, method="GET"))
        status, _, body = answer_on(raw)

    assert (status, json.loads(body)["object"]) == (200, "list")


def test_a_body_that_speaks_of_an_upgrade_is_a_body(url: str) -> None:
    text = b"{\r\n\r\nUpgrade: h2c\r\n\r\n}"
    for pieces in ([head(url, length=len(text)) + text], [text[:9], text[9:]]):
        with connected(url) as raw:
            if len(pieces) > 1:
                raw.sendall(head(url, length=len(text)))
            for piece in pieces:
                raw.sendall(piece)
            status, _, body = answer_on(raw)
        assert (status, json.loads(body)["code"]) == (400, "invalid_json")


@pytest.mark.parametrize("line", ["G@T / HTTP/1.1", "GET / HTTP/9.9", "hello"])
def test_bytes_that_are_no_http_are_answered_with_our_body(url: str, line: str) -> None:
    with connected(url) as raw:
        raw.sendall(f"{line}\r\nHost: localhost\r\n\r\n".encode())
        status, headers, body = answer_on(raw)

    assert (status, json.loads(body)["code"]) == (400, "invalid_http")
    assert headers["connection"] == "close"
    assert headers["x-request-id"] == json.loads(body)["request_id"]


def test_the_rest_of_a_connection_that_was_handed_over_has_our_body_too(
    url: str,
) -> None:
    with connected(url) as raw:
        raw.sendall(head(url, H2C) + BODY)
        answer_on(raw)
        raw.sendall(b"G@T / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        status, _, body = answer_on(raw)

    assert (status, json.loads(body)["code"]) == (400, "invalid_http")


def test_the_protocol_is_a_public_class_of_uvicorn_with_the_names_that_we_use() -> None:
    assert issubclass(FastProtocol, HttpToolsProtocol)
    for name in (
        "data_received",
        "on_header",
        "on_headers_complete",
        "on_message_complete",
        "on_response_complete",
        "pause_writing",
        "resume_writing",
        "send_400_response",
    ):
        assert hasattr(HttpToolsProtocol, name)


# --- A body that does not come ---


def test_a_body_that_never_comes_ends_with_408_in_time(url: str) -> None:
    with connected(url) as raw:
        raw.sendall(head(url))
        status, headers, body = answer_on(raw)

    assert (status, json.loads(body)["code"]) == (408, "request_timeout")
    assert headers["connection"] == "close"
    assert headers["x-should-retry"] == "true"


def test_a_body_that_comes_in_pieces_without_end_ends_with_408(url: str) -> None:
    with connected(url) as raw:
        raw.sendall(head(url, length=100_000))
        raw.settimeout(0.05)
        for _ in range(400):
            raw.sendall(b" ")
            try:
                first = raw.recv(12)
            except TimeoutError:
                continue
            break

    assert first == b"HTTP/1.1 408"


@pytest.mark.parametrize("sent", [b"", BODY[:10]], ids=["nothing", "a part"])
def test_a_caller_who_leaves_while_it_sends_its_body_is_a_departure_and_no_bug(
    sent: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    with serve(create_app(settings())) as url:
        with connected(url) as raw:
            raw.sendall(head(url) + sent)
        wait_until(lambda: statuses_of(url, CHAT) != [], what="the end of the request")

        assert statuses_of(url, CHAT) == ["499"]
    facts = [one.__dict__ for one in caplog.records if one.name == access_log.name]
    assert [one["status"] for one in facts if one["route"] == CHAT] == [499]
    assert "answered with client_closed_request" in caplog.messages
    assert not [one for one in caplog.records if one.levelno >= logging.ERROR]
    assert not [one for one in caplog.records if one.exc_info]


def statuses_of(url: str, route: str) -> list[str]:
    """The statuses of the requests of a route that the metrics have counted."""
    page = httpx2.get(f"{url}/metrics", headers=KEYED).text
    lines = [line for line in page.splitlines() if f'route="{route}"' in line]
    return sorted(set(re.findall(r'status="(\d+)"', "\n".join(lines))))


def test_a_slow_body_that_comes_in_time_is_served(url: str) -> None:
    with connected(url) as raw:
        raw.sendall(head(url))
        for byte in BODY:
            raw.sendall(bytes([byte]))
        assert answer_on(raw)[0] == 200


@pytest.mark.deep
@pytest.mark.skipif(sys.platform == "win32", reason="Windows knows no SIGTERM")
def test_a_body_that_never_comes_holds_up_no_shutdown() -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = ("-m", "uvicorn", "examples.full_app.main:app", "--port", str(port))
    given = {"FULL_APP_API_KEYS": KEY, "FULL_APP_DRAIN_SECONDS": "0.5", "REDIS_URL": ""}
    with process(*command, env=given) as server:
        wait_for_http(f"{url}/health/live", seconds=120)
        with connected(url) as raw:
            raw.sendall(head(url))
            with httpx2.Client(trust_env=False) as client:  # the request has begun
                client.get(f"{url}/health/live")
            server.send_signal(signal.SIGTERM)
            status = answer_on(raw)[0]
        server.wait(30)

    assert status == 408


# --- Paths ---


@pytest.mark.parametrize("path", [CHAT, "/v1/embeddings", "/v1/models", "/v1/usage"])
def test_a_trailing_slash_is_served(http: TestClient, path: str) -> None:
    methods = http.app.openapi()["paths"][path]  # type: ignore[attr-defined]
    body = {**ASK, "input": "hi"}
    asked = {name: body[name] for name in ("model", "messages") if path == CHAT}
    if path == "/v1/embeddings":
        asked = {"model": "text-embedding-3-small", "input": "hi"}
    method = next(iter(methods))
    answers = [
        http.request(method, f"{path}{slash}", json=asked or None)
        for slash in ("", "/")
    ]

    assert [answer.status_code for answer in answers] == [200, 200]
    assert answers[1].history == []


def test_a_trailing_slash_needs_the_same_key_and_scope() -> None:
    keys = [{"name": "alpha", "key": KEY, "scopes": ["chat"]}]
    with TestClient(create_app(settings(api_keys=keys))) as client:
        assert client.post(f"{CHAT}/", json=ASK).status_code == 401
        assert client.post("/v1/embeddings/", headers=KEYED).status_code == 403


@pytest.mark.parametrize(
    "path",
    [
        "/chat/completions",
        "/embeddings",
        "/models",
        "/models/gpt-4o",
        "/v1/v1/chat/completions",
        "/v1//chat/completions",
        "/api/v1/chat/completions",
        "/openai/v1/chat/completions",
        "/chat/completions/",
    ],
)
def test_a_base_url_that_is_not_quite_right_is_answered_with_the_right_one(
    http: TestClient, path: str
) -> None:
    answer = http.post(path, json=ASK)

    assert answer.status_code == 404
    assert answer.json()["code"] == "wrong_base_url"
    assert "base URL" in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    ("path", "named"),
    [
        ("/v1/messages", "/v1/chat/completions"),
        ("/v1/messages/count_tokens", "/v1/chat/completions"),
        ("/api/tags", "/v1/models"),
        ("/api/chat", "/v1/chat/completions"),
        ("/api/generate", "/v1/chat/completions"),
        ("/openai/deployments/gpt-4o/chat/completions", "AzureOpenAI"),
        ("/v1beta/models/gemini:generateContent", "/v1/chat/completions"),
        ("/v1/completions", "/v1/chat/completions"),
    ],
)
def test_a_route_of_another_api_is_answered_with_what_to_use(
    http: TestClient, path: str, named: str
) -> None:
    for method in ("GET", "POST"):
        answer = http.request(method, path)
        assert (answer.status_code, answer.json()["code"]) == (404, "route_not_served")
        assert named in answer.json()["error"]["message"]


def test_a_path_that_resembles_nothing_is_just_not_found(http: TestClient) -> None:
    assert http.get("/nowhere").json()["code"] == "not_found"
    assert http.get("/v1/").json()["code"] == "not_found"


@pytest.mark.parametrize("name", ["api-key", "x-api-key", "x-goog-api-key"])
def test_a_key_in_the_header_of_another_api_is_refused_with_the_right_header(
    http: TestClient, name: str
) -> None:
    answer = http.get("/v1/models", headers={"Authorization": "", name: KEY})

    assert answer.status_code == 401
    assert name in answer.json()["error"]["message"]
    assert KEY not in answer.text


# --- Mistakes in a body ---

SCHEMA_WITHOUT_NAME = {"type": "json_schema", "json_schema": {"schema": {}}}
TOOL = {"type": "function", "function": {"name": "a b"}}
PARAMS: dict[str, tuple[dict[str, Any], str]] = {
    "missing in a union": (
        {"response_format": SCHEMA_WITHOUT_NAME},
        "response_format.json_schema.name",
    ),
    "missing at its top": (
        {"response_format": {"type": "json_schema"}},
        "response_format.json_schema",
    ),
    "unknown in a union": (
        {"response_format": {"type": "text", "strict": True}},
        "response_format.strict",
    ),
    "in a list": ({"tools": [TOOL]}, "tools[0].function.name"),
    "in a choice": (
        {"tool_choice": {"type": "function", "function": {"name": "a b"}}},
        "tool_choice.function.name",
    ),
    "in a message": (
        {"messages": [{"role": "user", "content": 5}]},
        "messages[0].content",
    ),
    "a name that is missing": ({"messages": [{"role": "user"}]}, "messages[0].content"),
    "at the top": ({"temperature": 3}, "temperature"),
    "a choice of two types": ({"stop": 5}, "stop"),
}


@pytest.mark.parametrize(
    ("more", "param"), PARAMS.values(), ids=[name.replace(" ", "-") for name in PARAMS]
)
def test_param_is_the_path_that_a_person_would_write(
    http: TestClient, more: dict[str, Any], param: str
) -> None:
    answer = http.post(CHAT, json={**ASK, **more})

    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == param


def test_param_of_a_job_and_of_embeddings_is_such_a_path_too(http: TestClient) -> None:
    request = {**ASK, "response_format": SCHEMA_WITHOUT_NAME}
    job = http.post("/v1/jobs", json={"requests": [request]}).json()
    vectors = http.post("/v1/embeddings", json={"model": "m", "input": [[1.5]]}).json()

    expected = "requests[0].response_format.json_schema.name"
    assert job["error"]["param"] == expected
    assert vectors["error"]["param"] == "input[0][0]"


def test_a_message_says_what_to_do_and_shows_no_pattern(http: TestClient) -> None:
    bad_id = http.get("/v1/webhook_endpoints/none").json()["error"]["message"]
    bad_tool = http.post(CHAT, json={**ASK, "tools": [TOOL]}).json()["error"]["message"]

    assert bad_id.endswith("Send the id of a webhook endpoint: it begins with `we_`.")
    assert bad_tool == "tools[0].function.name: Use letters, digits, `_` and `-` only."


def patterns(value: object) -> set[str]:
    """Every pattern in an OpenAPI document."""
    if isinstance(value, dict):
        here = {value["pattern"]} if isinstance(value.get("pattern"), str) else set()
        return here.union(*map(patterns, value.values()))
    if isinstance(value, list):
        return set().union(*map(patterns, value))
    return set()


def test_every_pattern_of_the_api_is_said_in_words(http: TestClient) -> None:
    found = patterns(http.app.openapi())  # type: ignore[attr-defined]
    of_answers = {r"^chatcmpl-[A-Za-z0-9]+$"} | {
        one
        for one in found
        if one.startswith("^(?!^[-+.]*$)")  # amounts of money
    }

    assert len(found & PATTERNS_IN_WORDS.keys()) > 4
    assert found - of_answers <= PATTERNS_IN_WORDS.keys()
