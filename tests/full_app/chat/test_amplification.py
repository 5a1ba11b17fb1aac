"""A small request cannot make the service work or answer without measure."""

import json
from typing import Any

import httpx2
import pytest

from examples.full_app.main import create_app
from tests.full_app.conftest import settings
from tests.full_app.scripted import scripted
from tests.full_app.upstreams import (
    ASK,
    HEADERS,
    PATH,
    answering,
    in_front_of,
    inside,
)
from tests.servers import wait_until

ECHO = {**ASK, "model": "offline-echo", "logprobs": True}
LIMIT = 25_000


def with_length(body: bytes) -> bytes:
    """An upstream's answer, as it goes over the wire."""
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode("ascii") + body


def whole(text: str) -> bytes:
    """The whole answer of an upstream that says `text`."""
    choice = {"message": {"content": text}, "finish_reason": "stop"}
    return with_length(json.dumps({"choices": [choice]}).encode("utf-8"))


@pytest.mark.parametrize(
    ("factors", "param"),
    [
        ({"n": 16, "max_tokens": 16_384, "top_logprobs": 20}, "top_logprobs"),
        ({"n": 16, "max_tokens": 2_000}, "n"),
        ({"max_tokens": 16_384, "top_logprobs": 1}, "max_tokens"),
        ({"max_completion_tokens": 16_384, "n": 2}, "max_completion_tokens"),
    ],
)
def test_too_many_log_probabilities_are_refused_before_any_work(
    factors: dict[str, int], param: str
) -> None:
    with (
        scripted() as (url, provider),
        httpx2.Client(base_url=url, headers=HEADERS) as http,
    ):
        asked = {**ASK, "logprobs": True, **factors}
        refused = http.post(PATH, json=asked)
        streamed = http.post(PATH, json={**asked, "stream": True})
        left = http.get("/v1/usage").json()

    for answer in (refused, streamed):
        error = answer.json()["error"]
        assert (answer.status_code, error["code"]) == (400, "too_many_logprobs")
        assert error["param"] == param
        assert f"Lower {param} first." in error["message"]
    assert provider.started == 0
    assert left["models"] == []


@pytest.mark.parametrize(
    ("max_tokens", "status"), [(LIMIT // 25, 200), (LIMIT // 25 + 1, 400)]
)
def test_as_many_log_probabilities_as_the_limit_are_answered(
    max_tokens: int, status: int
) -> None:
    asked = {**ECHO, "n": 5, "top_logprobs": 4, "max_tokens": max_tokens}
    with inside(create_app(settings())) as http:
        assert http.post(PATH, json=asked).status_code == status


def test_without_log_probabilities_the_factors_may_be_as_large_as_they_can() -> None:
    asked = {**ECHO, "logprobs": False, "n": 16, "max_tokens": 16_384}
    with inside(create_app(settings())) as http:
        assert http.post(PATH, json=asked).status_code == 200


def test_the_limit_of_log_probabilities_is_a_setting() -> None:
    asked = {**ECHO, "max_tokens": 10}
    with inside(create_app(settings(max_logprobs=9))) as http:
        assert http.post(PATH, json=asked).status_code == 400


def last_event(answer: httpx2.Response) -> dict[str, Any]:
    """The data of the last event of a stream."""
    lines = [line for line in answer.text.splitlines() if line.startswith("data: ")]
    found: dict[str, Any] = json.loads(lines[-1].removeprefix("data: "))
    return found


@pytest.mark.parametrize("text", ["x" * 2_000, "é" * 1_000])
def test_an_endless_answer_breaks_off_at_its_limit_of_bytes(text: str) -> None:
    with (
        scripted(max_answer_bytes=20_000) as (url, provider),
        httpx2.Client(base_url=url, headers=HEADERS, timeout=20) as http,
    ):
        provider.more = text
        provider.endless = True
        answer = http.post(PATH, json=ASK)
        stream = http.post(PATH, json={**ASK, "stream": True})
        wait_until(lambda: provider.closed == 2, what="the end of both")
        produced = provider.produced

    assert (answer.status_code, answer.json()["code"]) == (502, "answer_too_large")
    assert answer.headers["x-should-retry"] == "false"
    assert last_event(stream)["error"]["code"] == "answer_too_large"
    assert produced <= 2 * (3 + 10)  # a chunk of 2,000 bytes more is one too many


@pytest.mark.parametrize("text", ["x" * 3_000_000, "日" * 1_500_000])
def test_an_answer_of_more_than_a_million_characters_arrives(text: str) -> None:
    with answering(whole(text)) as (upstream, _), in_front_of(upstream) as http:
        answer = http.post(PATH, json=ASK)

    assert answer.status_code == 200
    assert answer.json()["choices"][0]["message"]["content"] == text


def test_an_answer_larger_than_the_limit_is_a_502_and_is_not_paid_for_twice() -> None:
    with (
        answering(whole("x" * 200_000)) as (upstream, requests),
        in_front_of(upstream, max_answer_bytes=100_000) as http,
    ):
        answer = http.post(PATH, json=ASK)

    assert (answer.status_code, answer.json()["code"]) == (502, "answer_too_large")
    assert len(requests) == 1


def test_an_answer_without_end_is_read_to_64_mebibytes_and_asked_for_once() -> None:
    reply = whole("x" * 65 * 1024 * 1024)
    with answering(reply) as (upstream, requests), in_front_of(upstream) as http:
        answer = http.post(PATH, json=ASK)

    assert (answer.status_code, answer.json()["code"]) == (502, "upstream_error")
    assert len(requests) == 1
