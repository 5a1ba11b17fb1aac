"""The steps of section 5: codes, a hierarchy, handlers, and a request id."""

import logging

import httpx2
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from course.tryit import curl_lines
from examples.steps import s5_1_codes as codes
from examples.steps import s5_2_hierarchy as hierarchy
from examples.steps import s5_3_handlers as handlers
from examples.steps import s5_4_request_id as request_id
from tests.tryit import try_lines


def statuses(client: TestClient, docstring: str | None) -> list[int]:
    """The status of the answer to each try-it line of a step."""
    assert curl_lines(docstring)
    return [line.send(client).status_code for line in try_lines(docstring)]


# s5.1: codes


def test_the_first_step_lists_eight_codes_with_a_recovery_for_each() -> None:
    listed = TestClient(codes.app).get("/errors").json()
    assert list(listed) == list(codes.ErrorCode)
    assert len(listed) == 8
    assert all(listed.values())


def test_a_code_prints_its_value_in_a_sentence() -> None:
    sentence = TestClient(codes.app).get("/errors/timeout").json()
    assert sentence == "After timeout: retry once, with fewer max_tokens."


def test_a_word_that_is_no_code_is_refused() -> None:
    assert statuses(TestClient(codes.app), codes.__doc__) == [200, 200, 422]


# s5.2: hierarchy


def test_one_except_catches_both_classes() -> None:
    client = TestClient(hierarchy.app)
    assert statuses(client, hierarchy.__doc__) == [200, 400, 503]


def test_a_context_that_is_too_long_is_told_with_both_figures() -> None:
    answer = TestClient(hierarchy.app).get("/answer?tokens=130000")
    assert answer.json() == {
        "error": "130000 tokens; at most 128000 fit.",
        "code": "context_length_exceeded",
        "details": {"tokens_used": 130_000, "max_tokens": 128_000},
    }


def test_a_context_that_just_fits_is_answered() -> None:
    answer = TestClient(hierarchy.app).get("/answer?tokens=128000")
    assert answer.json() == {"answer": "Hello!"}


def test_an_overloaded_model_is_told_with_the_time_to_wait() -> None:
    assert str(hierarchy.ModelOverloadedError()) == "The model is overloaded."
    assert hierarchy.ModelOverloadedError().details == {"retry_after": 60}


# s5.3: handlers


def client_of(app: FastAPI) -> TestClient:
    """A client that reads the answer to a bug, and does not raise the bug again."""
    return TestClient(app, raise_server_exceptions=False)


def test_four_failures_have_four_statuses() -> None:
    client = client_of(handlers.app)
    assert statuses(client, handlers.__doc__) == [503, 404, 422, 500]


@pytest.mark.parametrize("path", ["/busy", "/nowhere", "/double/three", "/bug"])
def test_every_failure_has_the_same_two_fields(path: str) -> None:
    assert set(client_of(handlers.app).get(path).json()) == {"error", "code"}


def test_the_answer_to_a_bug_says_nothing_about_it() -> None:
    answer = client_of(handlers.app).get("/bug")
    assert answer.json() == {"error": "An unexpected error.", "code": "internal_error"}


def test_a_request_without_a_failure_is_answered_as_usual() -> None:
    assert client_of(handlers.app).get("/double/21").json() == 42


# s5.4: request id


def id_of(answer: httpx2.Response) -> str:
    """The request id that an answer carries in its header."""
    return answer.headers["X-Request-ID"]


def test_a_request_without_an_id_gets_a_new_one() -> None:
    client = client_of(request_id.app)
    first = id_of(client.get("/hello"))
    second = id_of(client.get("/hello"))
    assert first.startswith("req_")
    assert first != second


def test_a_callers_own_id_is_kept() -> None:
    answer = client_of(request_id.app).get(
        "/hello", headers={"X-Request-ID": "lesson-5"}
    )
    assert id_of(answer) == "lesson-5"
    assert answer.json() == "Hello, lesson-5!"


def test_a_bug_has_its_id_in_header_body_and_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.ERROR)
    answer = client_of(request_id.app).get("/bug", headers={"X-Request-ID": "lesson-5"})
    assert answer.status_code == 500
    assert id_of(answer) == "lesson-5"
    assert answer.json()["request_id"] == "lesson-5"
    assert "request_id=lesson-5" in caplog.text
