"""The ladder of section 2: what each step shows when you try it."""

import json
from types import ModuleType
from typing import Any

import httpx2
import pytest
from fastapi.testclient import TestClient

from examples.steps import (
    s2_1_message,
    s2_2_request,
    s2_3_embeddings,
    s2_4_usage_and_cost,
    s2_5_answers_and_errors,
)
from tests.tryit import try_lines


def post(step: ModuleType, path: str, body: Any) -> httpx2.Response:
    return TestClient(step.app).post(path, json=body)


def places(refused: httpx2.Response) -> list[str]:
    """Where the mistakes are, by FastAPI's own error body."""
    assert refused.status_code == 422
    return [mistake["loc"][-1] for mistake in refused.json()["detail"]]


def tried(step: ModuleType) -> list[httpx2.Response]:
    """The answers to the `curl` lines of a step's docstring."""
    return [line.send(TestClient(step.app)) for line in try_lines(step.__doc__)]


# --- every limit of a step, one beyond it --------------------------------------------

HI = {"role": "user", "content": "hi"}
REQUEST = (s2_2_request, "/chat/completions", {"messages": [HI]})
EMBEDDING = (s2_3_embeddings, "/embeddings", {"input": "x"})
USAGE = {"model": "gpt-4o", "prompt_tokens": 1000, "completion_tokens": 500}
ONE_BEYOND = {
    "name=65 characters": (s2_1_message, "/messages", HI, {"name": "x" * 65}),
    "messages=1001": (*REQUEST, {"messages": [HI] * 1001}),
    "model=a/b": (*REQUEST, {"model": "a/b"}),
    "temperature=2.01": (*REQUEST, {"temperature": 2.01}),
    "temperature=-0.01": (*REQUEST, {"temperature": -0.01}),
    "max_tokens=0": (*REQUEST, {"max_tokens": 0}),
    "input=100001 characters": (*EMBEDDING, {"input": "x" * 100_001}),
    "prompt_tokens=-1": (s2_4_usage_and_cost, "/usage", USAGE, {"prompt_tokens": -1}),
}


@pytest.mark.parametrize(
    ("step", "path", "accepted", "change"), ONE_BEYOND.values(), ids=ONE_BEYOND.keys()
)
def test_a_value_one_beyond_its_limit_is_refused(
    step: ModuleType, path: str, accepted: dict[str, Any], change: dict[str, Any]
) -> None:
    assert post(step, path, accepted).status_code == 200
    assert post(step, path, accepted | change).status_code == 422


# --- s2.1 a message ------------------------------------------------------------------


def test_a_message_comes_back_and_every_mistake_in_one_is_named() -> None:
    accepted, refused = tried(s2_1_message)
    assert accepted.json()["content"] == "Why is the sky blue?"
    assert places(refused) == ["role", "content"]


def test_a_message_may_have_100000_characters_and_no_more() -> None:
    longest = {"role": "user", "content": "x" * 100_000}
    assert post(s2_1_message, "/messages", longest).status_code == 200
    too_long = {"role": "user", "content": "x" * 100_001}
    assert places(post(s2_1_message, "/messages", too_long)) == ["content"]


def test_a_rule_of_our_own_refuses_a_null_byte_in_our_own_words() -> None:
    refused = post(s2_1_message, "/messages", {"role": "user", "content": "a\0b"})
    assert "content must not contain null bytes" in refused.text


# --- s2.2 a request ------------------------------------------------------------------


def test_a_request_is_completed_with_the_defaults() -> None:
    (accepted,) = tried(s2_2_request)
    assert accepted.json()["model"] == "gpt-4o-mini"
    assert accepted.json()["temperature"] == 0.7
    assert accepted.json()["max_tokens"] == 1024


def test_a_misspelt_field_and_a_number_out_of_range_are_refused() -> None:
    wrong = {"messages": [HI], "temprature": 1, "max_tokens": 16_385}
    refused = post(s2_2_request, "/chat/completions", wrong)
    assert sorted(places(refused)) == ["max_tokens", "temprature"]


def test_a_conversation_must_leave_room_for_its_answer() -> None:
    messages = [{"role": "user", "content": "x" * 100_000}] * 5  # 125,000 tokens
    fits = {"messages": messages, "max_tokens": 3000}
    assert post(s2_2_request, "/chat/completions", fits).status_code == 200
    refused = post(s2_2_request, "/chat/completions", fits | {"max_tokens": 3001})
    assert "exceed 128000 tokens" in refused.text


# --- s2.3 embeddings -----------------------------------------------------------------


def test_one_text_and_a_list_are_accepted_and_a_number_has_two_errors() -> None:
    one, two, number = tried(s2_3_embeddings)
    assert one.json() == {"texts": 1, "characters": 5}
    assert two.json() == {"texts": 2, "characters": 10}
    assert len(places(number)) == 2


def test_a_list_may_have_2048_texts_and_no_more() -> None:
    most = post(s2_3_embeddings, "/embeddings", {"input": ["x"] * 2048})
    assert most.status_code == 200
    more = post(s2_3_embeddings, "/embeddings", {"input": ["x"] * 2049})
    assert more.status_code == 422


def test_an_embedding_may_have_3072_dimensions_and_no_more() -> None:
    most = post(s2_3_embeddings, "/embeddings", {"input": "x", "dimensions": 3072})
    assert most.status_code == 200
    more = post(s2_3_embeddings, "/embeddings", {"input": "x", "dimensions": 3073})
    assert places(more) == ["dimensions"]


# --- s2.4 usage and cost -------------------------------------------------------------


def test_total_and_cost_are_computed_and_exact() -> None:
    (answer,) = tried(s2_4_usage_and_cost)
    assert answer.json()["total_tokens"] == 1500
    assert answer.json()["cost_usd"] == "0.0075"


def test_a_total_that_is_sent_is_not_believed() -> None:
    answer = post(s2_4_usage_and_cost, "/usage", USAGE | {"total_tokens": 99})
    assert answer.json()["total_tokens"] == 1500


def test_a_model_without_a_price_costs_null() -> None:
    answer = post(s2_4_usage_and_cost, "/usage", USAGE | {"model": "llama-3"})
    assert answer.json()["cost_usd"] is None


# --- s2.5 answers and errors ---------------------------------------------------------


def test_an_answer_has_the_fields_of_its_model_and_no_others() -> None:
    (answer,) = tried(s2_5_answers_and_errors)
    assert answer.json() == {"content": "You said hi."}


def test_a_mistake_is_answered_in_the_one_error_format() -> None:
    refused = post(s2_5_answers_and_errors, "/chat", {"content": ""})
    error = s2_5_answers_and_errors.ErrorResponse.model_validate_json(refused.content)
    assert (refused.status_code, error.code) == (422, "validation_error")
    assert error.details is not None
    assert list(error.details) == ["content"]


def test_an_error_does_not_repeat_what_was_sent() -> None:
    refused = post(s2_5_answers_and_errors, "/chat", {"content": ["s3cret"]})
    assert refused.status_code == 422
    assert "s3cret" not in json.dumps(refused.json())
