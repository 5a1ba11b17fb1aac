"""What is not JSON in the strict sense is a small 4xx, on every route that takes it."""

import json
from collections.abc import Iterator

import httpx2
import pytest

from examples.full_app.main import create_app
from tests.full_app.conftest import KEY, settings
from tests.servers import serve

PLAIN = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hi"}]}
TEXT = json.dumps(PLAIN)


def _with(fragment: str) -> bytes:
    """The plain request with one more member, written as it is."""
    return f"{TEXT[:-1]}, {fragment}}}".encode()


HOSTILE = {
    "NaN": _with('"temperature": NaN'),
    "Infinity": _with('"temperature": -Infinity'),
    "a number that overflows": _with('"temperature": 1e999'),
    "an integer of 4,000 digits": _with(f'"seed": {"9" * 4000}'),
    "a lone surrogate in a value": _with(r'"user": "\ud800"'),
    "a lone surrogate in a key": _with(r'"\udfff": 1'),
    "the same key twice": _with('"model": "gpt-4o"'),
    "the same key twice, deep": _with('"metadata": {"a": "1", "a": "2"}'),
    "nesting of 65": _with(f'"metadata": {"[" * 64}{"]" * 64}'),
    "nesting of 100,000": _with(f'"metadata": {"[" * 100_000}{"]" * 100_000}'),
    "brackets that never close": b"[" * 100_000,
    "UTF-16": TEXT.encode("utf-16"),
    "bytes that are not UTF-8": TEXT.encode().replace(b"hi", b"\xff"),
    "nothing": b"",
    "half a body": TEXT.encode()[:-5],
    "two bodies": TEXT.encode() * 2,
}
ROUTES = (
    "/v1/chat/completions",
    "/v1/embeddings",
    "/v1/responses",
    "/v1/jobs",
    "/v1/webhooks",
    "/v1/webhook_endpoints",
    "/v1/webhook_endpoints/we_0",
    "/v1/webhook_endpoints/we_0/rotate_secret",
    "/v1/webhook_endpoints/we_0/test",
)
WRONG = {
    "unknown keys": json.dumps({f"{'k' * 60}{number}": [] for number in range(2_000)}),
    "wrong values": json.dumps(
        {"model": [], "messages": {}, "input": {}, "requests": 0, "name": []}
        | {"url": "@" * 50_000, "event_type": "a." * 50_000}
        | {"event_types": ["?"] * 20_000}
    ),
}


@pytest.fixture(scope="module")
def http() -> Iterator[httpx2.Client]:
    """Embedded only: a body that is refused never gets as far as Redis."""
    headers = {"Authorization": f"Bearer {KEY}"}
    with (
        serve(create_app(settings())) as url,
        httpx2.Client(base_url=url, headers=headers, timeout=20) as http,
    ):
        yield http


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("body", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_json_is_a_small_400_with_one_body(
    http: httpx2.Client, route: str, body: bytes
) -> None:
    answer = http.post(
        route, content=body, headers={"Content-Type": "application/json"}
    )

    assert answer.status_code == 400
    assert len(answer.content) <= 8192
    assert answer.json()["code"] == "invalid_json"
    assert answer.json()["request_id"] == answer.headers["x-request-id"]


def test_every_route_that_takes_a_body_is_tried_here(http: httpx2.Client) -> None:
    paths = http.get("/openapi.json").json()["paths"]
    documented = {
        path.replace("{endpoint_id}", "we_0")
        for path, methods in paths.items()
        if any("requestBody" in method for method in methods.values())
    }

    assert documented == set(ROUTES)


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("body", WRONG.values(), ids=WRONG.keys())
def test_many_mistakes_are_a_small_refusal_on_every_route(
    http: httpx2.Client, route: str, body: str
) -> None:
    kind = {"Content-Type": "application/json"}
    answer = http.post(route, content=body, headers=kind)

    assert answer.status_code in (400, 413)
    assert len(answer.content) <= 8192
    assert answer.json()["request_id"] == answer.headers["x-request-id"]
    assert "@@" not in answer.text


@pytest.mark.parametrize("route", ROUTES)
def test_every_route_refuses_other_types_and_bodies_too_large(
    http: httpx2.Client, route: str
) -> None:
    text = http.post(route, content=TEXT, headers={"Content-Type": "text/plain"})
    large = {"Content-Type": "application/json"}
    more = http.post(route, content=b" " * (2 * 1024 * 1024 + 1), headers=large)

    assert (text.status_code, more.status_code) == (415, 413)
    assert max(len(text.content), len(more.content)) <= 8192


@pytest.mark.parametrize("kind", ["text/plain", "application/xml", ""])
def test_another_content_type_is_415(http: httpx2.Client, kind: str) -> None:
    answer = http.post(
        "/v1/chat/completions", content=TEXT, headers={"Content-Type": kind}
    )

    assert (answer.status_code, answer.json()["code"]) == (
        415,
        "unsupported_media_type",
    )


@pytest.mark.wire
def test_a_compressed_body_is_415(http: httpx2.Client) -> None:
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    answer = http.post("/v1/chat/completions", content=TEXT, headers=headers)

    assert answer.status_code == 415


def test_a_body_over_the_limit_is_413_declared_or_chunked(http: httpx2.Client) -> None:
    large = json.dumps({**PLAIN, "user": "x" * (3 * 1024 * 1024)}).encode()
    headers = {"Content-Type": "application/json"}
    declared = http.post("/v1/chat/completions", content=large, headers=headers)
    chunked = http.post("/v1/chat/completions", content=iter([large]), headers=headers)

    for answer in (declared, chunked):
        assert (answer.status_code, answer.json()["code"]) == (413, "request_too_large")
        assert answer.json()["request_id"] == answer.headers["x-request-id"]


def test_brackets_and_digits_inside_strings_are_only_text(http: httpx2.Client) -> None:
    content = "[" * 200 + "9" * 5000 + '\\" {'
    body = {**PLAIN, "messages": [{"role": "user", "content": content}]}

    assert http.post("/v1/chat/completions", json=body).status_code == 200


@pytest.mark.wire
@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"temperature": True}, "temperature"),
        ({"max_tokens": "12"}, "max_tokens"),
        ({"messages": []}, "messages"),
        ({"messages": "x"}, "messages"),
        ({"messages": [{"role": "nobody", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": "x", "y": 1}]}, "messages[0].y"),
        ({"model": None}, "model"),
        ({"n": 0}, "n"),
    ],
)
def test_a_mistake_is_a_400_that_names_its_place(
    http: httpx2.Client, change: dict[str, object], param: str
) -> None:
    body = {key: item for key, item in {**PLAIN, **change}.items() if item is not None}
    answer = http.post("/v1/chat/completions", json=body)

    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == param


def test_no_mistake_is_answered_with_what_was_sent(http: httpx2.Client) -> None:
    secret = "do-not-repeat-me"
    body = {
        **PLAIN,
        "temperature": secret,
        "messages": [{"role": secret, "content": {secret: secret}}],
    }
    answer = http.post("/v1/chat/completions", json=body)

    assert answer.status_code == 400
    assert secret not in answer.text


def test_a_thousand_mistakes_fit_into_8_kib(http: httpx2.Client) -> None:
    wrong = [{"role": "user", "content": 1, "x" * 90: 1} for _ in range(500)]
    answer = http.post("/v1/chat/completions", json={**PLAIN, "messages": wrong})

    assert answer.status_code == 400
    assert len(answer.content) <= 8192
    assert answer.json()["details"]["error_count"] == 1000


@pytest.mark.parametrize(
    "name",
    ["audio", "functions", "function_call", "prediction", "web_search_options"],
)
def test_a_field_of_openai_that_is_not_served_says_so(
    http: httpx2.Client, name: str
) -> None:
    answer = http.post("/v1/chat/completions", json={**PLAIN, name: {"a": 1}})

    assert answer.json()["code"] == "unsupported_parameter"
    assert answer.json()["error"]["param"] == name


def test_null_means_not_given(http: httpx2.Client) -> None:
    body = {**PLAIN, "temperature": None, "stop": None, "tools": None, "audio": None}

    assert http.post("/v1/chat/completions", json=body).status_code == 200


@pytest.mark.wire
def test_two_token_limits_that_differ_are_refused_and_equal_ones_are_not(
    http: httpx2.Client,
) -> None:
    same = {**PLAIN, "max_tokens": 5, "max_completion_tokens": 5}
    differ = {**PLAIN, "max_tokens": 5, "max_completion_tokens": 6}

    assert http.post("/v1/chat/completions", json=same).status_code == 200
    refused = http.post("/v1/chat/completions", json=differ)
    assert refused.json()["error"]["param"] == "max_tokens"


MISTAKES = {f"k{number}": 1 for number in range(4_000)}


@pytest.mark.parametrize(
    ("route", "body"),
    [
        ("/v1/chat/completions", {**PLAIN, **MISTAKES}),
        ("/v1/chat/completions", {**PLAIN, "metadata": MISTAKES}),
        ("/v1/jobs", {"requests": [MISTAKES]}),
        ("/v1/webhooks", MISTAKES),
    ],
    ids=["chat", "deep in chat", "jobs", "webhooks"],
)
def test_thousands_of_mistakes_are_counted_and_not_described(
    http: httpx2.Client, route: str, body: dict[str, object]
) -> None:
    answer = http.post(route, json=body).json()

    assert answer["code"] == "validation_error"
    assert answer["details"]["error_count"] >= 4_000
    (told,) = answer["details"]["errors"]
    assert told["type"] == "too_many_errors"
