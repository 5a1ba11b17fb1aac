"""Section 5 against hostile input: one small body, one id, and no 500 by mistake."""

import json
import logging
import pickle
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Annotated, Any, Literal

import httpx2
import pytest
from fastapi import FastAPI, HTTPException, WebSocket
from fastapi.testclient import TestClient
from pydantic import AfterValidator, BaseModel, Field
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocketDisconnect

from examples import s5_error_handling as s5
from tests.servers import serve
from tests.tryit import try_lines

CLASSES: dict[str, tuple[type[s5.AIError], int, bool]] = {
    "validation_error": (s5.InvalidRequestError, 422, False),
    "rate_limit_exceeded": (s5.RateLimitExceededError, 429, True),
    "model_error": (s5.ModelError, 502, True),
    "context_length_exceeded": (s5.ContextLengthError, 400, False),
    "content_filtered": (s5.ContentFilteredError, 400, False),
    "service_unavailable": (s5.ModelOverloadedError, 503, True),
    "internal_error": (s5.InternalError, 500, False),
    "timeout": (s5.ModelTimeoutError, 504, True),
}
SAMPLES: list[s5.AIError] = [
    s5.AIError("no tea", "teapot", 418, {"a": 1}, retry_after=2.5, headers={"X": "y"}),
    s5.InvalidRequestError("wrong", {"param": "model"}),
    s5.RateLimitExceededError(0.3),
    s5.ModelError("half an answer", retry_after=1),
    s5.ContextLengthError(9, 8),
    s5.ContentFilteredError("refused"),
    s5.ModelOverloadedError(),
    s5.InternalError("oops"),
    s5.ModelTimeoutError("late"),
]
MARK = "S3CRET"


class Cat(BaseModel):
    kind: Literal["cat"]


class Dog(BaseModel):
    kind: Literal["dog"]


def complain(_: str) -> str:
    raise ValueError("w" * 10_000)


class Wide(BaseModel):
    """Accepts so much that one body can hold 50,000 errors."""

    model_config = {"extra": "forbid"}
    numbers: list[int] = []
    wordy: Annotated[str, AfterValidator(complain)] = ""
    pet: Annotated[Cat | Dog, Field(discriminator="kind")] | None = None


def build(**options: Any) -> FastAPI:
    """An app of its own, whose routes fail in every way a route can."""
    app = FastAPI()
    s5.setup_error_handlers(app, **options)

    @app.post("/wide")
    async def wide(body: Wide) -> None: ...

    @app.get("/http/{status}")
    async def http(status: int) -> None:
        raise HTTPException(status, headers={"Retry-After": "7"})

    @app.get("/detail")
    async def detail() -> None:
        raise HTTPException(
            409, {"field": [float("nan"), "\ud800"], 3: object, "\udfff": 1}
        )

    @app.get("/huge")
    async def huge() -> None:
        raise HTTPException(409, {"field": "x" * 1_000_000})

    @app.get("/long")
    async def long() -> None:
        raise StarletteHTTPException(400, "\U0001f600" * 100_000 + "\ud800")

    @app.get("/surrogate")
    async def surrogate() -> None:
        raise s5.ContentFilteredError("\ud800", {"said": "\udfff", "\ud800": 1})

    @app.get("/wait/{seconds}")
    async def wait(seconds: float) -> None:
        raise s5.RateLimitExceededError(seconds)

    @app.get("/caused")
    async def caused() -> None:
        try:
            raise OSError("connection reset")
        except OSError as error:
            raise s5.ModelError("The provider hung up.") from error

    @app.get("/bug")
    async def bug() -> None:
        raise RuntimeError(MARK)

    @app.get("/id")
    async def own_id() -> str | None:
        return s5.request_id_var.get()

    @app.websocket("/ws")
    async def accepts(socket: WebSocket) -> None:
        await socket.accept()
        await socket.send_text(socket.state.request_id)
        await socket.close()

    @app.websocket("/denied")
    async def denied(socket: WebSocket) -> None:
        raise HTTPException(403)

    return app


def caller(app: ASGIApp) -> TestClient:
    return TestClient(app, raise_server_exceptions=False)


@pytest.fixture(scope="module", name="client")
def _client() -> TestClient:
    return caller(build())


@pytest.fixture(scope="module", name="section")
def _section() -> TestClient:
    return caller(s5.app)


@pytest.fixture(scope="module", name="live")
def _live() -> Iterator[httpx2.Client]:
    with (
        serve(s5.app) as url,
        httpx2.Client(base_url=url, trust_env=False) as client,
    ):
        yield client


def checked(response: httpx2.Response, status: int, code: str) -> s5.ErrorResponse:
    """The error body, after everything that holds for each of them."""
    assert response.status_code == status, response.text
    assert len(response.content) <= 8 * 1024
    assert response.content.isascii()
    assert response.headers["Content-Type"] == "application/json"
    body = s5.ErrorResponse.model_validate(response.json(), extra="forbid")
    assert set(response.json()) == {"error", "code", "request_id", "details"}
    assert body.code == code
    assert body.request_id
    assert response.headers.get_list("X-Request-ID") == [body.request_id]
    assert MARK not in response.text
    return body


# The codes and their classes


def test_the_codes_are_the_eight_of_the_chapter_and_print_as_themselves() -> None:
    assert [str(code) for code in s5.ErrorCode] == list(CLASSES)
    assert f"{s5.ErrorCode.TIMEOUT}" == "timeout"


def test_every_code_has_one_class_with_status_advice_and_retry_information() -> None:
    assert list(s5.ERROR_CLASSES) == list(s5.ErrorCode)
    for code, (cls, status, retryable) in CLASSES.items():
        assert s5.ERROR_CLASSES[code] is cls
        assert (cls.code, cls.status_code, cls.retryable) == (code, status, retryable)
    assert len({cls.recovery for cls in s5.ERROR_CLASSES.values()}) == 8


def test_the_signatures_of_the_chapter_are_kept() -> None:
    plain = s5.AIError("text", "code")
    assert (plain.status_code, plain.details, plain.retry_after) == (500, None, None)
    assert plain.headers == {}
    assert s5.ModelOverloadedError().details == {"retry_after": 60}
    assert s5.ModelOverloadedError(retry_after=5).retry_after == 5
    too_long = s5.ContextLengthError(tokens_used=130_000, max_tokens=128_000)
    assert too_long.details == {"tokens_used": 130_000, "max_tokens": 128_000}


@pytest.mark.parametrize("error", SAMPLES, ids=lambda error: str(error.code))
def test_an_error_reads_as_its_message_and_survives_pickling(error: s5.AIError) -> None:
    assert str(error) == error.message
    again = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes
    assert type(again) is type(error)
    assert str(again) == str(error)
    assert vars(again) == vars(error)


def test_a_subclass_with_arguments_of_its_own_survives_pickling() -> None:
    again = pickle.loads(pickle.dumps(Special(param="model")))  # noqa: S301
    assert (again.param, again.code, str(again)) == ("model", "special", "mend model")


class Special(s5.AIError):
    """What full_app does: a more specific code, one more attribute."""

    def __init__(self, *, param: str) -> None:
        super().__init__(f"mend {param}", "special", 422)
        self.param = param


# What each failure answers


@pytest.mark.parametrize("code", CLASSES)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_each_error_can_be_raised_on_demand(
    section: TestClient, method: str, code: str
) -> None:
    answer = section.request(method, f"/errors/{code}")
    body = checked(answer, CLASSES[code][1], code)
    waits = {"rate_limit_exceeded": "30", "service_unavailable": "60"}
    assert answer.headers.get("Retry-After") == waits.get(code)
    if code in waits:
        assert body.details == {"retry_after": int(waits[code])}


def test_the_catalogue_is_read_off_the_classes(section: TestClient) -> None:
    rows = section.get("/errors").json()
    assert rows == [
        {
            "name": cls.__name__,
            "code": code,
            "status_code": status,
            "retryable": retryable,
            "recovery": cls.recovery,
        }
        for code, (cls, status, retryable) in CLASSES.items()
    ]


def test_an_unknown_code_is_a_validation_error(section: TestClient) -> None:
    body = checked(section.get(f"/errors/{MARK}"), 422, "validation_error")
    assert body.details is not None
    assert body.details["errors"][0]["loc"][:2] == ["path", "code"]


def test_an_unknown_path_is_answered_like_everything_else(client: TestClient) -> None:
    assert checked(client.get("/nowhere"), 404, "http_error").error == "Not Found"


def test_a_wrong_method_still_names_the_right_ones(client: TestClient) -> None:
    answer = client.get("/wide")
    checked(answer, 405, "http_error")
    assert answer.headers["Allow"] == "POST"


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, "validation_error"),
        (401, "http_error"),
        (409, "http_error"),
        (413, "http_error"),
        (422, "validation_error"),
        (429, "rate_limit_exceeded"),
        (499, "http_error"),
        (500, "internal_error"),
        (502, "model_error"),
        (503, "service_unavailable"),
        (504, "timeout"),
    ],
)
def test_an_http_exception_gets_a_code_that_fits_and_keeps_its_headers(
    client: TestClient, status: int, code: str
) -> None:
    answer = client.get(f"/http/{status}")
    checked(answer, status, code)
    assert answer.headers["Retry-After"] == "7"


def test_an_http_exception_has_the_advice_of_its_code() -> None:
    busy = s5.from_exception(StarletteHTTPException(429))
    assert (busy.code, busy.retryable) == ("rate_limit_exceeded", True)
    assert busy.recovery == s5.RateLimitExceededError.recovery
    conflict = s5.from_exception(StarletteHTTPException(409))
    assert (conflict.code, conflict.retryable) == ("http_error", False)
    assert conflict.recovery == s5.AIError.recovery


def test_a_status_without_a_body_gets_none() -> None:
    with serve(build()) as url, httpx2.Client(base_url=url, trust_env=False) as client:
        for status in (204, 205, 304):
            answer = client.get(f"/http/{status}")
            assert (answer.status_code, answer.content) == (status, b"")
            assert answer.headers["X-Request-ID"].startswith("req_")
            assert answer.headers["Retry-After"] == "7"
            checked(client.get("/nowhere"), 404, "http_error")


def test_a_structured_detail_becomes_details_that_any_parser_reads(
    client: TestClient,
) -> None:
    body = checked(client.get("/detail"), 409, "http_error")
    assert body.details == {
        "detail": {"field": ["NaN", "\ud800"], "3": str(object), "\udfff": 1}
    }


def test_details_that_are_too_large_are_left_out(client: TestClient) -> None:
    assert checked(client.get("/huge"), 409, "http_error").details is None


def test_a_long_message_is_cut(client: TestClient) -> None:
    assert checked(client.get("/long"), 400, "validation_error").error == "😀" * 300


def test_lone_surrogates_in_an_error_do_not_break_its_answer(
    client: TestClient,
) -> None:
    body = checked(client.get("/surrogate"), 400, "content_filtered")
    assert body.error == "\ud800"
    assert body.details == {"said": "\udfff", "\ud800": 1}


@pytest.mark.parametrize(("seconds", "header"), [(0.2, "1"), (7, "7"), (-3, "0")])
def test_retry_after_is_whole_seconds_and_never_too_early(
    client: TestClient, seconds: float, header: str
) -> None:
    answer = client.get(f"/wait/{seconds}")
    assert answer.headers["Retry-After"] == header
    body = checked(answer, 429, "rate_limit_exceeded")
    assert body.details == {"retry_after": seconds}


def test_an_errors_own_headers_are_sent() -> None:
    error = s5.AIError("no", "denied", 401, headers={"WWW-Authenticate": "Bearer"})
    answer = s5.render_error(error, "an-id")
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert answer.headers["X-Request-ID"] == "an-id"


def test_a_bug_tells_its_id_and_nothing_else(client: TestClient) -> None:
    answer = client.get("/bug", headers={"X-Request-ID": "mine"})
    body = checked(answer, 500, "internal_error")
    assert (body.request_id, body.details) == ("mine", None)
    assert body.error == "An unexpected error."


def test_after_a_bug_the_server_hangs_up_and_says_so(live: httpx2.Client) -> None:
    for _ in range(5):
        answer = live.get("/errors/unexpected")
        checked(answer, 500, "internal_error")
        assert answer.headers["Connection"] == "close"
        checked(live.get("/nowhere"), 404, "http_error")


async def test_http_2_which_knows_no_connection_header_gets_none() -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "http.request"}

    scope = {"type": "http", "http_version": "2", "method": "GET", "path": "/bug"}
    with pytest.raises(RuntimeError):
        await build()(scope | {"headers": [], "query_string": b""}, receive, send)
    assert sent[0]["status"] == 500
    assert b"connection" not in dict(sent[0]["headers"])


def test_an_error_of_another_middleware_has_an_id_too() -> None:
    class Broken:
        def __init__(self, app: ASGIApp) -> None: ...

        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            raise s5.ModelOverloadedError(retry_after=3)

    app = build()
    app.add_middleware(Broken)
    answer = caller(app).get("/id")
    checked(answer, 503, "service_unavailable")
    assert answer.headers["Retry-After"] == "3"


@pytest.mark.parametrize("path", ["/nowhere", "/bug", "/wide?", "/wait/1", "/http/204"])
def test_another_renderer_answers_every_failure_with_a_body(path: str) -> None:
    def render(error: s5.AIError, request_id: str) -> Response:
        return Response(f"{error.code} {request_id}", error.status_code)

    answer = caller(build(render=render)).get(path)
    request_id = answer.headers["X-Request-ID"]
    bodiless = answer.status_code == 204
    assert answer.text.endswith(f" {request_id}") is not bodiless


# The request id


def test_ids_are_generated_and_never_repeat(client: TestClient) -> None:
    ids = [client.get("/nowhere").headers["X-Request-ID"] for _ in range(50)]
    assert len(set(ids)) == 50
    assert all(len(found) == 36 and found.startswith("req_") for found in ids)


@pytest.mark.parametrize("given", ["a", "A.b_c-9", "x" * 64])
def test_a_callers_wellformed_id_is_kept_everywhere(
    client: TestClient, given: str
) -> None:
    headers = {"X-Request-ID": given}
    answer = client.get("/id", headers=headers)
    assert (answer.headers["X-Request-ID"], answer.json()) == (given, given)
    assert checked(
        client.get("/no", headers=headers), 404, "http_error"
    ).request_id == (given)


@pytest.mark.parametrize(
    "given", [b"", b"x" * 65, b"a b", b"<script>", b"a\n", b"\xe9", b"a/b", b"a\0"]
)
def test_any_other_id_is_replaced(client: TestClient, given: bytes) -> None:
    answer = client.get("/id", headers={b"X-Request-ID": given})
    assert answer.headers["X-Request-ID"].startswith("req_")
    assert answer.json() == answer.headers["X-Request-ID"]


def test_a_websocket_has_an_id_whether_accepted_or_denied(client: TestClient) -> None:
    with client.websocket_connect("/ws") as socket:
        stamped: Any = socket.extra_headers
        assert stamped == [(b"x-request-id", socket.receive_text().encode())]
    with (
        pytest.raises(WebSocketDisconnect) as denied,
        client.websocket_connect("/denied"),
    ):
        pass
    assert isinstance(denied.value, httpx2.Response)
    checked(denied.value, 403, "http_error")


def test_start_up_and_shut_down_pass_through() -> None:
    seen = []

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        seen.append("up")
        yield
        seen.append("down")

    app = FastAPI(lifespan=lifespan)
    s5.setup_error_handlers(app)
    with caller(app) as client:
        checked(client.get("/"), 404, "http_error")
    assert seen == ["up", "down"]


# The log


def logged(caplog: pytest.LogCaptureFixture) -> dict[str, Any]:
    (record,) = [it for it in caplog.records if it.name == s5.logger.name]
    assert MARK not in record.getMessage()
    assert MARK not in str(vars(record)["details"])
    return vars(record)


def test_an_error_is_logged_with_id_code_and_details(
    client: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    client.get("/wait/4", headers={"X-Request-ID": "mine"})
    record = logged(caplog)
    assert (record["request_id"], record["error_code"]) == (
        "mine",
        "rate_limit_exceeded",
    )
    assert (record["details"], record["levelname"]) == ({"retry_after": 4}, "INFO")
    assert record["exc_info"] is None


def test_a_server_error_is_logged_with_its_traceback_and_cause(
    client: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    client.get("/caused")
    record = logged(caplog)
    assert record["levelname"] == "ERROR"
    assert "connection reset" in caplog.text
    assert "The provider hung up." in caplog.text


def test_the_traceback_of_a_bug_is_left_to_the_server(
    client: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    client.get("/bug")
    record = logged(caplog)
    assert (record["levelname"], record["exc_info"]) == ("ERROR", None)
    with pytest.raises(RuntimeError, match=MARK):
        TestClient(build()).get("/bug")


def test_what_was_sent_is_never_logged(
    client: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    client.post("/wide", json={"numbers": [MARK], "pet": {"kind": MARK}})
    assert logged(caplog)["error_code"] == "validation_error"
    assert MARK not in caplog.text


# Hostile JSON


def nested(depth: int) -> str:
    return "[" * depth + "]" * depth


HOSTILE: dict[str, str | bytes] = {
    "NaN": f'{{"text": "{MARK}", "count": NaN}}',
    "NaN deep inside": f'{{"text": "{MARK}", "metadata": {{"a": [NaN]}}}}',
    "Infinity": f'{{"text": "{MARK}", "count": Infinity}}',
    "1e999": f'{{"text": "{MARK}", "metadata": {{"a": -1e999}}}}',
    "surrogate refused": f'{{"text": "x", "count": "{MARK}\\ud800"}}',
    "surrogate in text": f'{{"text": "{MARK}\\ud800"}}',
    "surrogate in unknown key": f'{{"text": "{MARK}", "\\ud800": 1}}',
    "5,000 deep": nested(5_000),
    "5,000 deep in a field": f'{{"text": {nested(5_000)}}}',
    "5,000 deep in free form": f'{{"text": "x", "metadata": {{"a": {nested(5_000)}}}}}',
    "900 deep in free form": f'{{"text": "x", "metadata": {{"a": {nested(900)}}}}}',
    "100,000 deep": nested(100_000),
    "4,000 digits": f'{{"text": "x", "count": {"9" * 4_000}}}',
    "5,000 digits": f'{{"text": "x", "count": {"9" * 5_000}}}',
    "not UTF-8": f'{{"text": "{MARK}'.encode() + b'\xff\xfe"}',
    "a 10 MB field": f'{{"text": "{MARK * 1_700_000}"}}',
    "a 10 MB unknown field": f'{{"text": "x", "more": "{MARK * 1_700_000}"}}',
    "a 10 MB key": f'{{"text": "x", "{"k" * 10_000_000}": "{MARK}"}}',
    "20,000 unknown fields": json.dumps(dict.fromkeys(map(str, range(20_000)), MARK)),
    "not an object": f'["{MARK}"]',
    "cut off": f'{{"text": "{MARK}',
    "nothing": "",
}


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("server", ["section", "live"])
def test_hostile_json_is_a_small_4xx_that_echoes_nothing(
    name: str, server: str, request: pytest.FixtureRequest
) -> None:
    client: httpx2.Client = request.getfixturevalue(server)
    answer = client.post(
        "/echo", content=HOSTILE[name], headers={"Content-Type": "application/json"}
    )
    assert answer.status_code in (400, 422)
    body = checked(answer, answer.status_code, "validation_error")
    for echoed in ("k" * 41, "9" * 20, "[[["):
        assert echoed not in answer.text
    if answer.status_code == 422:
        assert body.details is not None
        assert len(body.details["errors"]) <= 20


@pytest.mark.parametrize(
    "metadata",
    [
        {"größe": [1.5, None, {"a": True}], "big": 10**4_000},
        {"a": "\udfff", "b": ["\ud800"], "\ud800": {"\ud800": 1}},
    ],
    ids=["plain", "lone surrogates"],
)
@pytest.mark.parametrize("server", ["section", "live"])
def test_a_valid_body_comes_back_as_it_was(
    server: str, metadata: Any, request: pytest.FixtureRequest
) -> None:
    client: httpx2.Client = request.getfixturevalue(server)
    sent = {"text": "😀 é", "count": 2, "metadata": metadata}
    headers = {"Content-Type": "application/json"}
    answer = client.post("/echo", content=json.dumps(sent), headers=headers)
    assert (answer.status_code, answer.json()) == (200, sent)


@pytest.mark.parametrize("count", [0, 101, "12", True, 1.0, None])
def test_a_count_is_a_whole_number_from_1_to_100(
    section: TestClient, count: object
) -> None:
    answer = section.post("/echo", json={"text": "x", "count": count})
    checked(answer, 422, "validation_error")


def test_a_wrong_field_is_named_with_type_and_message(section: TestClient) -> None:
    answer = section.post("/echo", json={"text": "x", "count": 500})
    assert checked(answer, 422, "validation_error").details == {
        "errors": [
            {
                "loc": ["body", "count"],
                "type": "less_than_equal",
                "msg": "Input should be less than or equal to 100",
            }
        ],
        "error_count": 1,
    }


def test_of_50_000_errors_20_are_listed_and_all_are_counted(client: TestClient) -> None:
    answer = client.post("/wide", json={"numbers": ["x"] * 50_000})
    details = checked(answer, 422, "validation_error").details
    assert details is not None
    assert len(details["errors"]) == 20
    assert details["errors"][3]["loc"] == ["body", "numbers", 3]
    assert details["error_count"] == 50_000


def test_the_callers_own_keys_are_cut(client: TestClient) -> None:
    keys = {f"{number:02}" + "k" * 1_000: 1 for number in range(30)}
    details = checked(client.post("/wide", json=keys), 422, "validation_error").details
    assert details is not None
    assert (len(details["errors"]), details["error_count"]) == (20, 30)
    assert details["errors"][0]["loc"] == ["body", "00" + "k" * 38]


@pytest.mark.parametrize("letter", ["😀", "\x01"])
def test_keys_that_would_swell_the_body_cost_it_its_details(
    client: TestClient, letter: str
) -> None:
    keys = {f"{number:02}" + letter * 1_000: 1 for number in range(30)}
    answer = client.post("/wide", json=keys)
    assert checked(answer, 422, "validation_error").details is None


def test_a_validators_long_message_is_cut(client: TestClient) -> None:
    answer = client.post("/wide", json={"wordy": "x"})
    details = checked(answer, 422, "validation_error").details
    assert details is not None
    assert details["errors"][0]["msg"] == "Value error, " + "w" * 187


def test_a_path_into_the_body_is_cut_after_eight_parts(section: TestClient) -> None:
    payload = f'{{"text": "x", "metadata": {{"a": {nested(900)}}}}}'
    answer = section.post(
        "/echo", content=payload, headers={"Content-Type": "application/json"}
    )
    details = checked(answer, 422, "validation_error").details
    assert details is not None
    assert len(details["errors"][0]["loc"]) == 8


def test_an_unknown_tag_of_a_union_is_not_quoted(client: TestClient) -> None:
    answer = client.post("/wide", json={"pet": {"kind": MARK}})
    details = checked(answer, 422, "validation_error").details
    assert details is not None
    assert details["errors"][0]["msg"] == "Unknown tag"


# What the docs say


def test_openapi_documents_the_error_body_on_every_route(section: TestClient) -> None:
    document = section.get("/openapi.json").json()
    reference = {"$ref": "#/components/schemas/ErrorResponse"}
    for path in document["paths"].values():
        for operation in path.values():
            assert operation["summary"]
            failures = {
                status: answer["content"]["application/json"]["schema"]
                for status, answer in operation["responses"].items()
                if status != "200"
            }
            statuses = {str(status) for _, status, _ in CLASSES.values()}
            assert failures == dict.fromkeys(statuses, reference)
    assert "HTTPValidationError" not in document["components"]["schemas"]


def test_the_try_it_lines_show_what_they_promise(live: httpx2.Client) -> None:
    answers = [line.send(live) for line in try_lines(s5.__doc__)]
    assert [answer.status_code for answer in answers] == [200, 429, 500, 422]
    listed, limited, bug, refused = answers
    assert len(listed.json()) == 8
    assert limited.headers["Retry-After"] == "30"
    assert bug.headers["X-Request-ID"] == "lesson-5"
    details = checked(refused, 422, "validation_error").details
    assert details is not None
    assert details["errors"][0]["loc"] == ["body", "count"]
