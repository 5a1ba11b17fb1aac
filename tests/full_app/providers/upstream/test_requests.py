"""What may be asked of an upstream, how far the settings let it go, and what may not.

What this process answers itself keeps section 2's strictness, beside an upstream too.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx2
import pytest

from examples.full_app.main import create_app
from tests.full_app.conftest import KEY, settings
from tests.full_app.upstreams import (
    ASK,
    FRAMES,
    PATH,
    SSE,
    answering,
    head,
    in_front_of,
    inside,
)

WHOLE = (
    head(200, "application/json")
    + json.dumps(
        {"choices": [{"message": {"content": "Yes."}, "finish_reason": "stop"}]}
    ).encode()
)
VECTOR = head(200, "application/json") + b'{"data": [{"embedding": [1.0]}]}'
IMAGE = {"type": "image_url", "image_url": {"url": "https://tea.example/pot.png"}}


@contextmanager
def asking(
    reply: bytes = WHOLE, **given: object
) -> Iterator[tuple[httpx2.Client, list[str]]]:
    """A service before an upstream, and what the upstream was asked so far."""
    with answering(reply) as (url, requests):
        app = create_app(settings(upstream_base_url=url, upstream_api_key=KEY, **given))
        with inside(app) as http:
            yield http, requests


def body_of(request: str) -> dict[str, Any]:
    """The JSON of a request as the upstream got it."""
    body: dict[str, Any] = json.loads(request.partition("\r\n\r\n")[2])
    return body


def question(content: object, **more: object) -> dict[str, Any]:
    """A request with one message of a user."""
    return {"model": "any", "messages": [{"role": "user", "content": content}], **more}


# --- Settings ---


def test_unknown_fields_can_be_refused_by_a_setting() -> None:
    with asking(unknown_fields="refuse") as (http, requests):
        top = http.post(PATH, json={**ASK, "temprature": 1}).json()["error"]
        inner = http.post(
            PATH,
            json={**ASK, "messages": [{"role": "user", "content": "a", "nme": "b"}]},
        ).json()["error"]

    assert (top["code"], top["param"]) == ("unknown_parameter", "temprature")
    assert "Did you mean 'temperature'?" in top["message"]
    assert (inner["code"], inner["param"]) == ("unknown_parameter", "messages[0].nme")
    assert requests == []


def test_what_openai_or_a_known_server_defines_is_not_unknown() -> None:
    known = {
        "modalities": ["text"],
        "prediction": {"type": "content", "content": "x"},
        "max_tokens": 50_000,
        "messages": [
            {"role": "user", "content": [IMAGE]},
            {"role": "assistant", "content": "No.", "reasoning_content": "Hm."},
            {"role": "user", "content": "Why?"},
        ],
    }
    with asking(unknown_fields="refuse") as (http, requests):
        assert http.post(PATH, json={**ASK, **known}).status_code == 200

    sent = body_of(requests[0])
    assert {name: sent[name] for name in known} == known


def test_the_context_window_of_an_upstream_is_a_setting() -> None:
    with asking(context_window=1_000) as (http, requests):
        fits = http.post(PATH, json={**ASK, "max_tokens": 900})
        not_so = http.post(PATH, json={**ASK, "max_tokens": 1_000})

    assert fits.status_code == 200
    assert not_so.json()["code"] == "context_length_exceeded"
    assert not_so.json()["details"]["max_tokens"] == 1_000
    assert len(requests) == 1


@pytest.mark.parametrize(
    "content", ["tea " * 30, [{"type": "text", "text": "tea " * 15}] * 2]
)
def test_the_length_of_a_text_is_a_setting(content: object) -> None:
    with asking(max_text_chars=100) as (http, requests):
        error = http.post(PATH, json=question(content)).json()["error"]
        fits = http.post(PATH, json=question("tea " * 25))
        texts = {"model": "any", "input": ["tea " * 15] * 2}
        vectors = http.post("/v1/embeddings", json=texts).json()["error"]

    assert error["param"] == "messages[0].content"
    assert "100 characters" in error["message"]
    assert fits.status_code == 200
    assert vectors["param"] == "input"
    assert len(requests) == 1


def test_an_image_is_reserved_for_and_its_data_is_no_text() -> None:
    data = {"type": "image_url", "image_url": {"url": "data:," + "A" * 5_000}}
    with asking(max_text_chars=100, context_window=2_000) as (http, _):
        one = http.post(PATH, json=question([data], max_tokens=100))
        two = http.post(PATH, json=question([data, data], max_tokens=100))

    assert one.status_code == 200
    assert two.json()["code"] == "context_length_exceeded"


# --- The strictness of what is answered here ---

TOO_MUCH: dict[str, tuple[dict[str, Any], str]] = {
    "an unknown field": ({"top_k": 3}, "unknown_parameter"),
    "an image": (question([IMAGE]), "unsupported_content"),
    "max_tokens": ({"max_tokens": 16_385}, "validation_error"),
    "a long text": (question("a" * 100_001), "validation_error"),
    "audio": ({"modalities": ["audio"]}, "unsupported_parameter"),
    "a field of a message": (
        {"messages": [{"role": "user", "content": "a", "cache_control": {}}]},
        "unknown_parameter",
    ),
    "the window": (question("a" * 99_000, max_tokens=16_384), "ok"),
}


@pytest.mark.parametrize(("ask", "code"), TOO_MUCH.values(), ids=TOO_MUCH.keys())
def test_what_is_answered_here_stays_strict_beside_an_upstream(
    ask: dict[str, Any], code: str
) -> None:
    local = {**ASK, **ask, "model": "offline-echo"}
    with asking() as (http, requests), inside(create_app(settings())) as offline:
        answers = [http.post(PATH, json=local), offline.post(PATH, json=local)]
        assert http.post(PATH, json={**local, "model": "any"}).status_code == 200

    assert [answer.json().get("code", "ok") for answer in answers] == [code] * 2
    assert len(requests) == 1


def test_the_smaller_window_holds_for_what_is_answered_here() -> None:
    turns = [{"role": "user", "content": "a" * 100_000}] * 5
    ask = {"model": "offline-echo", "messages": turns, "max_tokens": 10_000}
    with asking() as (http, _):
        here = http.post(PATH, json=ask)
        there = http.post(PATH, json={**ask, "model": "any"})

    assert here.json()["code"] == "context_length_exceeded"
    assert here.json()["details"]["max_tokens"] == 128_000
    assert there.status_code == 200


# --- What is refused all the same, because it would be paid for ---

REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "a blank question": (question("  "), "messages[0].content"),
    "a null byte": (question("a\x00b"), "messages[0].content"),
    "no content": (
        {"model": "any", "messages": [{"role": "user"}]},
        "messages[0].content",
    ),
    "a number": (question(7), "messages[0].content"),
    "parts that are none": (question(["a"]), "messages[0].content"),
    "no messages": ({"model": "any", "messages": []}, "messages"),
    "two limits": (
        {**ASK, "max_tokens": 5, "max_completion_tokens": 6},
        "max_tokens",
    ),
    "no tokens": ({**ASK, "max_tokens": 0}, "max_tokens"),
    "more choices than are read": ({**ASK, "n": 17}, "n"),
    "a name with a space": ({**ASK, "model": "a b"}, "model"),
    "too many parts": (
        question([{"type": "text", "text": "a"}] * 2_049),
        "messages[0].content",
    ),
}


@pytest.fixture(scope="module")
def before_an_upstream() -> Iterator[tuple[httpx2.Client, list[str]]]:
    with asking() as both:
        yield both


@pytest.mark.parametrize(("ask", "param"), REFUSED.values(), ids=REFUSED.keys())
def test_a_mistake_that_would_cost_money_is_refused_here(
    before_an_upstream: tuple[httpx2.Client, list[str]], ask: dict[str, Any], param: str
) -> None:
    http, requests = before_an_upstream
    answer = http.post(PATH, json=ask)

    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == param
    assert requests == []


# --- What arrives ---


def test_what_only_a_clients_library_added_does_not_arrive() -> None:
    call = {
        "index": 0,
        "id": "c" * 4_000,
        "type": "function",
        "function": {"name": "a.b", "arguments": "{}", "parsed_arguments": {}},
    }
    turn = {
        "role": "assistant",
        "content": None,
        "parsed": {"leaf": "green"},
        "audio": None,
        "tool_calls": [call],
    }
    result = {"role": "tool", "tool_call_id": "c" * 4_000, "content": ""}
    messages = [*ASK["messages"], turn, result]
    with asking() as (http, requests):
        assert http.post(PATH, json={**ASK, "messages": messages}).status_code == 200

    _, sent, tool = body_of(requests[0])["messages"]
    assert sent == {
        "role": "assistant",
        "tool_calls": [
            {
                "id": "c" * 4_000,
                "type": "function",
                "function": {"name": "a.b", "arguments": "{}"},
            }
        ],
    }
    assert tool == result


def test_options_of_a_stream_arrive_and_a_usage_is_always_asked_for() -> None:
    options = {"include_usage": False, "continuous_usage_stats": True}
    ask = {**ASK, "stream": True, "stream_options": options}
    with answering(SSE + FRAMES) as (url, requests), in_front_of(url) as http:
        answer = http.post(PATH, json=ask)

    sent = body_of(requests[0])
    assert sent["stream_options"] == {**options, "include_usage": True}
    assert '"usage"' not in answer.text


def test_a_job_keeps_what_only_its_upstream_reads() -> None:
    ask = question([IMAGE], top_k=4, max_tokens=20_000)
    with asking() as (http, requests):
        job = http.post("/v1/jobs", json={"requests": [ask]}).json()
        while job["status"] in ("queued", "running"):
            job = http.get(f"/v1/jobs/{job['id']}").json()

    assert job["results"][0]["error"] is None
    sent = body_of(requests[0])
    assert (sent["top_k"], sent["max_tokens"]) == (4, 20_000)
    assert sent["messages"][0]["content"] == [IMAGE]


def test_fields_of_embeddings_arrive_and_cannot_take_the_place_of_ours() -> None:
    ask = {
        "model": "@pot/vectors",
        "input": "tea",
        "user": "ada",
        "input_type": "query",
        "dimensions": 4_096,
        "encoding_format": "base64",
    }
    with asking(VECTOR) as (http, requests):
        assert http.post("/v1/embeddings", json=ask).status_code == 200

    sent = body_of(requests[0])
    assert sent == {**ask, "input": ["tea"], "encoding_format": "float"}


def test_unknown_fields_of_embeddings_can_be_refused_too() -> None:
    ask = {"model": "any", "input": "tea", "input_type": "query"}
    with asking(VECTOR, unknown_fields="refuse") as (http, requests):
        answer = http.post("/v1/embeddings", json=ask)

    assert answer.json()["error"]["param"] == "input_type"
    assert requests == []
