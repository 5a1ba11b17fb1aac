"""Errors: one body whatever goes wrong, and the class and code the client raises."""

import json
import secrets
from typing import Any

import httpx2
import openai
import pytest

from examples.full_app.web.error_responses import render
from examples.s5_error_handling import AIError, ModelError
from tests.full_app.conftest import CHAT_ONLY_KEY, KEY
from tests.full_app.contract.asks import ASK, MODEL, PATH, PLAIN
from tests.full_app.contract.conftest import Stage
from tests.servers import wait_until

CLASSES: dict[int, type[openai.APIStatusError]] = {
    400: openai.BadRequestError,
    401: openai.AuthenticationError,
    402: openai.APIStatusError,
    403: openai.PermissionDeniedError,
    404: openai.NotFoundError,
    405: openai.APIStatusError,
    408: openai.APIStatusError,
    409: openai.ConflictError,
    410: openai.APIStatusError,
    413: openai.APIStatusError,
    415: openai.APIStatusError,
    422: openai.UnprocessableEntityError,
    429: openai.RateLimitError,
    499: openai.APIStatusError,
    500: openai.InternalServerError,
    502: openai.InternalServerError,
    503: openai.InternalServerError,
    504: openai.InternalServerError,
}


@pytest.mark.wire
@pytest.mark.parametrize("change", [{"foo": 1}, {"Model": "x"}, {"max_token": 5}])
def test_an_unknown_field_is_named(
    http: httpx2.Client, change: dict[str, object]
) -> None:
    answer = http.post(PATH, json={**PLAIN, **change})
    error = answer.json()["error"]

    assert answer.status_code == 400
    assert error["code"] == "unknown_parameter"
    assert error["param"] == next(iter(change))


@pytest.mark.wire
@pytest.mark.parametrize(("status", "expected"), CLASSES.items())
@pytest.mark.parametrize("stream", [False, True])
def test_a_status_raises_its_class_with_our_code(
    stage_client: openai.OpenAI,
    stage: Stage,
    status: int,
    expected: type[openai.APIStatusError],
    stream: bool,
) -> None:
    stage.refusal = AIError("It did not work.", "some_code", status)
    with pytest.raises(expected) as caught:
        stage_client.chat.completions.create(
            model=MODEL, messages=ASK, stream=stream, extra_headers={"x-s": "1"}
        )

    error = caught.value
    assert type(error) is expected
    assert (error.status_code, error.code) == (status, "some_code")
    assert error.type
    assert error.request_id == error.response.headers["x-request-id"]


@pytest.mark.wire
def test_the_text_of_an_exception_says_what_went_wrong(
    client: openai.OpenAI,
) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model=MODEL, messages=ASK, temperature=9)

    assert "temperature: Input should be less than" in str(caught.value)
    assert caught.value.message in str(caught.value)


@pytest.mark.wire
def test_the_body_of_an_exception_has_the_details(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(
            model=MODEL, messages=ASK, temperature=9, extra_body={"foo": 1}
        )

    assert isinstance(caught.value.body, dict)
    told = caught.value.body["details"]["errors"]
    assert {item["param"] for item in told} == {"temperature", "foo"}


Refusals = dict[str, httpx2.Response]


@pytest.fixture(scope="module")
def refused(base_url: str, staged: tuple[str, Stage]) -> Refusals:
    """What went wrong, each for a cause of its own; named by the status."""
    headers = {"Authorization": f"Bearer {KEY}"}
    with httpx2.Client(base_url=base_url, headers=headers, timeout=20) as http:
        found = {
            "400": http.post(PATH, json={**PLAIN, "temperature": 9}),
            "401": http.get("/v1/models", headers={"Authorization": "Bearer no"}),
            "403": http.get(
                "/v1/jobs", headers={"Authorization": f"Bearer {CHAT_ONLY_KEY}"}
            ),
            "404": http.get("/v1/nowhere"),
            "404 model": http.get("/v1/models/nobody"),
            "405": http.get(PATH),
            "409": _conflict(http),
            "413": http.post(PATH, json={**PLAIN, "user": "x" * (3 * 1024 * 1024)}),
            "415": http.post(PATH, content="x", headers={"Content-Type": "text/csv"}),
            "422": _reused(http),
            "429": http.post(PATH, json={**PLAIN, "model": "fault-429"}),
            "503": http.post(PATH, json={**PLAIN, "model": "fault-503"}),
            "504": http.post(PATH, json={**PLAIN, "model": "fault-timeout"}),
        }
    stage = staged[1]
    with httpx2.Client(base_url=staged[0], headers=headers, timeout=20) as http:
        for name, failure in (
            ("500", KeyError("a secret")),
            ("502", None),
        ):
            stage.__dict__.update(Stage().__dict__)
            stage.refusal, stage.finish = failure, False
            found[name] = http.post(PATH, json=PLAIN)
    return found


def _conflict(http: httpx2.Client) -> httpx2.Response:
    """The answer to cancelling what has ended."""
    request = {"model": "offline-echo", "messages": ASK}
    job = http.post("/v1/jobs", json={"requests": [request]}).json()
    path = f"/v1/jobs/{job['id']}"
    wait_until(lambda: bool(http.get(path).json()["status"] == "succeeded"))
    return http.delete(path)


def _reused(http: httpx2.Client) -> httpx2.Response:
    """The answer to another request under the same Idempotency-Key."""
    key = {"Idempotency-Key": secrets.token_hex(16)}
    http.post(PATH, json=PLAIN, headers=key).raise_for_status()
    return http.post(PATH, json={**PLAIN, "seed": 1}, headers=key)


@pytest.mark.wire
def test_every_error_has_the_same_body(refused: Refusals) -> None:
    assert len(refused) == 15
    for name, answer in refused.items():
        body = answer.json()
        assert answer.status_code == int(name[:3]), name
        assert answer.headers["content-type"] == "application/json"
        assert body.keys() == {"error", "code", "request_id", "details"}, name
        error = body["error"]
        known = {"message", "type", "param", "code", "request_id", "details"}
        assert error.keys() == known, name
        assert error["message"]
        for key in ("code", "request_id", "details"):
            assert error[key] == body[key]
        assert len(answer.content) <= 8192


@pytest.mark.wire
def test_every_error_has_the_request_id_in_its_header(refused: Refusals) -> None:
    for name, answer in refused.items():
        assert answer.headers["x-request-id"].startswith("req_"), name
        assert answer.headers["x-request-id"] == answer.json()["request_id"], name
    ids = {answer.headers["x-request-id"] for answer in refused.values()}
    assert len(ids) == len(refused)


def test_every_error_says_whether_to_try_again(refused: Refusals) -> None:
    told = {name: a.headers["x-should-retry"] for name, a in refused.items()}

    again = {name for name, value in told.items() if value == "true"}
    assert set(told.values()) == {"true", "false"}
    assert again == {"429", "502", "503", "504"}


@pytest.mark.wire
@pytest.mark.parametrize("stream", [False, True])
def test_a_bug_is_a_500_without_its_traceback(
    stage_http: httpx2.Client, stage: Stage, stream: bool
) -> None:
    stage.refusal = RuntimeError("the secret of the bug")
    answer = stage_http.post(PATH, json={**PLAIN, "stream": stream})

    assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")
    for word in ("Traceback", "secret", "RuntimeError"):
        assert word not in answer.text


@pytest.mark.wire
@pytest.mark.parametrize("path", ["/v1/models", PATH, "/v1/nowhere", "/", "//", "/v1/"])
@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "TRACE", "PATCH"])
def test_other_methods_and_paths_are_answered_sanely(
    http: httpx2.Client, method: str, path: str
) -> None:
    answer = http.request(method, path)

    assert answer.status_code in (200, 404, 405)
    assert answer.headers["x-request-id"]
    if answer.status_code == 405:
        assert answer.headers["allow"]
    if method == "HEAD":
        assert answer.content == b""
    elif answer.is_error:
        assert answer.json()["error"]["message"]


@pytest.mark.wire
@pytest.mark.parametrize(
    ("path", "method", "allowed"),
    [
        (PATH, "GET", "POST"),
        ("/v1/jobs", "PUT", "GET, POST, HEAD"),
        ("/v1/jobs/x", "OPTIONS", "GET, DELETE, HEAD"),
        ("/v1/webhook_endpoints/x", "PATCH", "GET, POST, DELETE, HEAD"),
        ("/v1/models/a/b", "DELETE", "GET, HEAD"),
        ("/console/console.js", "POST", "GET, HEAD"),
    ],
)
def test_a_wrong_method_is_told_all_that_the_path_has(
    http: httpx2.Client, path: str, method: str, allowed: str
) -> None:
    answer = http.request(method, path)

    assert (answer.status_code, answer.json()["code"]) == (405, "method_not_allowed")
    assert answer.headers["allow"] == allowed
    assert answer.headers["x-should-retry"] == "false"


@pytest.mark.wire
def test_an_unknown_path_says_not_found(http: httpx2.Client) -> None:
    answer = http.get("/v1/nowhere")

    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


@pytest.mark.parametrize("details", [{"a": "y" * 100_000}, {"a": "y" * 2_000}, None])
def test_an_error_of_any_length_fits_into_8_kib(
    details: dict[str, str] | None,
) -> None:
    error = ModelError("x" * 100_000, details)
    body = render(error, "req_1").body

    assert len(body) <= 8192
    told = json.loads(bytes(body))["error"]
    assert told["message"].startswith("xxx")
    assert bool(told["details"]) == (details is not None and len(details["a"]) < 3_000)


def test_a_route_of_openai_that_is_missing_names_what_to_use(
    client: openai.OpenAI,
) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        client.completions.create(model=MODEL, prompt="hi")

    assert caught.value.code == "route_not_served"
    assert "chat/completions" in caught.value.message


@pytest.mark.wire
@pytest.mark.parametrize("extra", [{"foo": 1}, {"temperatur": 1}])
def test_a_field_of_extra_body_is_refused_with_the_nearest_known_one(
    client: openai.OpenAI, extra: dict[str, Any]
) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model=MODEL, messages=ASK, extra_body=extra)

    assert caught.value.code == "unknown_parameter"
    assert caught.value.param == next(iter(extra))
    assert ("'temperature'" in caught.value.message) is ("temperatur" in extra)
