"""Section 5: eight codes, one class for each, one body and one id for every failure.

What callers send on purpose to break an answer is in `tests/sections/`.
"""

import pytest
from fastapi import FastAPI, HTTPException
from fastapi.testclient import TestClient

from examples import s5_error_handling as s5
from tests.tryit import try_lines

STATUSES = {
    "validation_error": 422,
    "rate_limit_exceeded": 429,
    "model_error": 502,
    "context_length_exceeded": 400,
    "content_filtered": 400,
    "service_unavailable": 503,
    "internal_error": 500,
    "timeout": 504,
}
# It reads the answer to a bug, and does not raise the bug again.
client = TestClient(s5.app, raise_server_exceptions=False)
each_code = pytest.mark.parametrize(("code", "status"), STATUSES.items())


# Codes


def test_the_codes_are_the_eight_of_the_chapter_and_print_as_themselves() -> None:
    assert [str(code) for code in s5.ErrorCode] == list(STATUSES)
    assert f"answered with {s5.ErrorCode.TIMEOUT}" == "answered with timeout"


@each_code
def test_every_code_has_a_class_with_its_status(code: str, status: int) -> None:
    assert s5.ERROR_CLASSES[code].code == code
    assert s5.ERROR_CLASSES[code].status_code == status


# The hierarchy


def test_an_error_has_status_500_and_no_details_unless_it_is_given_others() -> None:
    error = s5.AIError("No tea today.", "teapot")
    assert (error.status_code, error.details) == (500, None)
    assert str(error) == "No tea today."


def test_an_overloaded_model_asks_for_60_seconds() -> None:
    assert s5.ModelOverloadedError().details == {"retry_after": 60}


def test_a_context_that_is_too_long_carries_both_figures() -> None:
    error = s5.ContextLengthError(tokens_used=130_000, max_tokens=128_000)
    assert error.details == {"tokens_used": 130_000, "max_tokens": 128_000}
    assert str(error) == "130000 tokens; at most 128000 fit."


# One body for every failure


@each_code
def test_an_error_is_answered_with_its_status_and_code(code: str, status: int) -> None:
    answer = client.get(f"/errors/{code}")
    assert (answer.status_code, answer.json()["code"]) == (status, code)


@pytest.mark.parametrize(
    ("path", "status"),
    {
        "/nowhere": 404,
        "/echo": 405,
        "/errors/a": 422,
        "/errors/unexpected": 500,
    }.items(),
)
def test_what_nobody_raised_has_the_same_body(path: str, status: int) -> None:
    answer = client.get(path)
    assert answer.status_code == status
    assert set(answer.json()) == {"error", "code", "request_id", "details"}


def test_an_http_exception_keeps_its_retry_after() -> None:
    app = FastAPI()
    s5.setup_error_handlers(app)

    @app.get("/busy")
    async def busy() -> None:
        raise HTTPException(429, headers={"Retry-After": "7"})

    answer = TestClient(app).get("/busy")
    assert answer.json()["code"] == "rate_limit_exceeded"
    assert answer.headers["Retry-After"] == "7"


@pytest.mark.parametrize("count", [0, 101], ids=["count=0", "count=101"])
def test_a_wrong_field_is_named_and_its_value_is_not_repeated(count: int) -> None:
    answer = client.post("/echo", json={"text": "secret", "count": count})
    assert answer.json()["details"]["errors"][0]["loc"] == ["body", "count"]
    assert "secret" not in answer.text


# The request id


def test_header_body_and_log_carry_one_id(caplog: pytest.LogCaptureFixture) -> None:
    answer = client.get("/errors/timeout", headers={"X-Request-ID": "lesson-5"})
    record = next(it for it in caplog.records if it.name == s5.logger.name)
    assert answer.headers["X-Request-ID"] == "lesson-5"
    assert answer.json()["request_id"] == "lesson-5"
    assert vars(record)["request_id"] == "lesson-5"
    assert vars(record)["error_code"] == "timeout"


def test_the_try_it_lines_are_answered_as_promised() -> None:
    answers = [line.send(client) for line in try_lines(s5.__doc__)]
    assert [answer.status_code for answer in answers] == [200, 429, 500, 422]
