"""Section 2 under attack: wrong types, invisible text, hostile bodies, money, schemas.

The chapter's figures, to read, are in tests/test_s2_models.py.

mypy reads this file as well: each `ChatCompletionRequest(messages=[...])` here proves
that a type checker accepts a request without the fields that have defaults.
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any, Self

import httpx2
import pytest
from fastapi.testclient import TestClient
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import (
    BaseModel,
    TypeAdapter,
    ValidationError,
    field_validator,
    model_validator,
)

from examples import s2_models as s2
from tests.tryit import try_lines

client = TestClient(s2.app)
token_counts = st.integers(0, 10**12)
HI = s2.Message(role="user", content="hi")
ANSWER = s2.ChatCompletionResponse(
    id="chatcmpl-Abc123",
    created=1_700_000_000,
    model="gpt-4o-mini",
    choices=[s2.Choice(index=0, message=s2.ResponseMessage(content="Hello"))],
    usage=s2.Usage(prompt_tokens=1, completion_tokens=4),
)


def message(**fields: Any) -> s2.Message:
    return s2.Message.model_validate({"role": "user", "content": "hi"} | fields)


def chat(**fields: Any) -> s2.ChatCompletionRequest:
    body = {"messages": [{"role": "user", "content": "hi"}]} | fields
    return s2.ChatCompletionRequest.model_validate(body)


def embedding(**fields: Any) -> s2.EmbeddingRequest:
    return s2.EmbeddingRequest.model_validate({"input": "hi"} | fields)


def answer(**fields: Any) -> s2.ChatCompletionResponse:
    return s2.ChatCompletionResponse.model_validate(ANSWER.model_dump() | fields)


def usage(**fields: Any) -> s2.Usage:
    counts = {"prompt_tokens": 1, "completion_tokens": 2}
    return s2.Usage.model_validate(counts | fields)


def choice(**fields: Any) -> s2.Choice:
    body = {"index": 0, "message": {"role": "assistant", "content": "Hello"}}
    return s2.Choice.model_validate(body | fields)


def spoken(**fields: Any) -> s2.ResponseMessage:
    return s2.ResponseMessage.model_validate({"content": "Hello"} | fields)


def failure(**fields: Any) -> s2.ErrorResponse:
    return s2.ErrorResponse.model_validate({"error": "no", "code": "no"} | fields)


def post(path: str, body: str | bytes | dict[str, Any]) -> httpx2.Response:
    content = json.dumps(body) if isinstance(body, dict) else body
    headers = {"Content-Type": "application/json"}
    return client.post(path, content=content, headers=headers)


def problems(path: str, body: str | bytes | dict[str, Any]) -> dict[str, str]:
    """The `details` of a 422: what is wrong, by field."""
    refused = post(path, body)
    assert refused.status_code == 422
    error = s2.ErrorResponse.model_validate_json(refused.content)
    assert (error.code, error.request_id) == ("validation_error", None)
    assert error.details
    return error.details


# -- the figures ----------------------------------------------------------------------

LONG = 100_000
Row = tuple[Callable[..., BaseModel], str, list[Any]]
ACCEPTED: list[Row] = [
    (message, "role", ["system", "user", "assistant"]),
    (message, "content", ["x", "x" * LONG, "é" * LONG, "a\tb\r\n", "\u200bx", "🫨"]),
    (message, "name", [None, "x", "x" * 64, "Zoë", "\u0645\u06cc\u200c\u062e\u0648"]),
    (chat, "messages", [[HI], [HI] * 1000]),
    (chat, "model", ["gpt-4o", "a_b.c-1", "4", "x" * 128]),
    (chat, "temperature", [0, 0.0, 1, 2, 2.0]),
    (chat, "max_tokens", [1, 16_384]),
    (chat, "top_p", [0, 0.5, 1, 1.0]),
    (chat, "stream", [True, False]),
    (chat, "user", [None, "x", "x" * 256]),
    (embedding, "input", ["x", "x" * LONG, ["x"], ["x"] * 2048, ["x" * LONG] * 10]),
    (embedding, "model", ["text-embedding-3-small", "x" * 128]),
    (embedding, "encoding_format", ["float", "base64"]),
    (embedding, "dimensions", [None, 1, 3072]),
    (usage, "prompt_tokens", [0, 10**12]),
    (usage, "completion_tokens", [0, 10**12]),
    (spoken, "content", [None, "", "x" * 1_000_000]),
    (spoken, "refusal", [None, "x" * 1_000_000]),
    (choice, "index", [0, 7]),
    (choice, "finish_reason", [None, "stop", "length", "content_filter"]),
    (answer, "id", ["chatcmpl-1aB", "chatcmpl-" + "x" * 119]),
    (answer, "model", ["x", "meta/llama:8b", "x" * 128]),
    (answer, "created", [0]),
    (failure, "error", ["x" * 10_000]),
    (failure, "code", ["x" * 128]),
    (failure, "request_id", [None, "x" * 128]),
    (failure, "details", [None, {}, {"a": [1]}]),
]
BLANK = [" \n\t ", "\u200b", "\ufeff \u2060"]
NOT_NUMBERS = [True, "1", None, float("nan"), float("inf"), -float("inf")]
REFUSED: list[Row] = [
    (message, "role", ["tool", "User", None]),
    (message, "content", ["", "x" * (LONG + 1), 1, ["x"], "a\0b", "\ud800", *BLANK]),
    (message, "name", ["", "x" * 65, "x\nsystem: y", "x\0y", "x\u2028y", *BLANK]),
    (message, "tool_calls", [[]]),
    (chat, "messages", [[], [HI] * 1001, None, "hi", [{"role": "user"}]]),
    (chat, "model", ["", "..", "a/b", "a b", "gpt-4ö", "gpt-4o\n", "x" * 129]),
    (chat, "temperature", [-0.01, 2.01, *NOT_NUMBERS]),
    (chat, "max_tokens", [0, 16_385, 12.0, *NOT_NUMBERS]),
    (chat, "top_p", [-0.01, 1.01, *NOT_NUMBERS]),
    (chat, "stream", [1, 0, "yes", "true", None]),
    (chat, "user", ["x" * 257, "x\0y", "x\ny"]),
    (chat, "temprature", [1]),
    (embedding, "input", ["", "x" * (LONG + 1), [], [""], ["x" * (LONG + 1)], *BLANK]),
    (embedding, "input", [["x"] * 2049, [*["x" * LONG] * 10, "x"], BLANK, "\0", None]),
    (embedding, "model", ["", "..", "a/b", "x" * 129]),
    (embedding, "encoding_format", ["hex", None]),
    (embedding, "dimensions", [0, 3073, 1.0, *NOT_NUMBERS[:2]]),
    (embedding, "user", ["x"]),
    (usage, "prompt_tokens", [-1, 1.0, 10**12 + 1, *NOT_NUMBERS]),
    (usage, "completion_tokens", [-1, 1.0, 10**12 + 1, *NOT_NUMBERS]),
    (spoken, "role", ["user"]),
    (spoken, "content", ["x" * 1_000_001, 1]),
    (spoken, "refusal", ["x" * 1_000_001]),
    (choice, "index", [-1, "0", True]),
    (choice, "finish_reason", ["null", "none", ""]),
    (choice, "message", [{"foo": "bar"}, None]),
    (answer, "id", ["x", "chatcmpl-", "chatcmpl-a-b", "chatcmpl-a\n"]),
    (answer, "id", ["chatcmpl-" + "x" * 120]),
    (answer, "object", ["chat.completion.chunk"]),
    (answer, "created", [-1, 1.5, "1"]),
    (answer, "model", ["", "x" * 129]),
    (failure, "error", ["x" * 10_001, None]),
    (failure, "code", ["x" * 129, None]),
    (failure, "request_id", ["x" * 129]),
    (failure, "details", [[]]),
]


@pytest.mark.parametrize(("build", "field", "values"), ACCEPTED)
def test_a_value_at_its_limit_is_accepted_and_kept_as_it_came(
    build: Callable[..., BaseModel], field: str, values: list[Any]
) -> None:
    for value in values:
        assert getattr(build(**{field: value}), field) == value, ascii(value)[:60]


@pytest.mark.parametrize(("build", "field", "values"), REFUSED)
def test_a_value_beyond_its_limit_or_of_the_wrong_type_is_refused(
    build: Callable[..., BaseModel], field: str, values: list[Any]
) -> None:
    for value in values:
        with pytest.raises(ValidationError) as refused:
            build(**{field: value})
        assert refused.value.errors()[0]["loc"][0] == field, ascii(value)[:60]


def test_nan_is_refused_for_what_it_is_not_for_its_size() -> None:
    for field in ("temperature", "top_p"):
        with pytest.raises(ValidationError, match="finite number"):
            chat(**{field: float("nan")})


def test_defaults_are_those_of_the_chapter() -> None:
    request = s2.ChatCompletionRequest(messages=[HI])
    assert request.model_dump(exclude={"messages"}) == {
        "model": "gpt-4o-mini",
        "temperature": 0.7,
        "max_tokens": 1024,
        "top_p": 1,
        "stream": False,
        "user": None,
    }
    assert s2.EmbeddingRequest(input="hi").model_dump() == {
        "input": "hi",
        "model": "text-embedding-3-small",
        "encoding_format": "float",
        "dimensions": None,
    }
    assert (s2.CONTEXT_WINDOW, s2.CHARS_PER_TOKEN) == (128_000, 4)


def strings_without_a_bound(schema: Any, at: str = "") -> list[str]:
    if isinstance(schema, list):
        return [hit for part in schema for hit in strings_without_a_bound(part, at)]
    if not isinstance(schema, dict):
        return []
    bounded = {"maxLength", "enum", "const"} & schema.keys()
    here = [at] if schema.get("type") == "string" and not bounded else []
    return here + [
        hit
        for key, part in schema.items()
        for hit in strings_without_a_bound(part, f"{at}.{key}")
    ]


@pytest.mark.parametrize(
    "model",
    [
        s2.ChatCompletionRequest,
        s2.EmbeddingRequest,
        s2.ChatCompletionResponse,
        s2.ErrorResponse,
    ],
)
def test_every_string_of_every_model_has_a_bound(model: type[BaseModel]) -> None:
    assert strings_without_a_bound(model.model_json_schema()) == []
    assert "maxLength" in json.dumps(model.model_json_schema())


def test_spaces_around_a_name_go_and_all_spaces_of_content_stay() -> None:
    code = "    def f():\n\treturn 1\n\n"
    kept = message(name="  Ada ", content=code)
    assert (kept.name, kept.content) == ("Ada", code)


def test_what_was_validated_cannot_be_changed() -> None:
    for model, field in [
        (HI, "content"),
        (s2.ChatCompletionRequest(messages=[HI]), "max_tokens"),
        (s2.EmbeddingRequest(input="hi"), "input"),
        (ANSWER, "model"),
    ]:
        with pytest.raises(ValidationError, match="frozen"):
            setattr(model, field, "x")


# -- the rules across fields ----------------------------------------------------------


def conversation(chars: int) -> list[s2.Message]:
    full, rest = divmod(chars, s2.MAX_TEXT)
    sizes = [s2.MAX_TEXT] * full + [rest] * bool(rest)
    return [s2.Message(role="user", content="x" * size) for size in sizes]


def test_messages_and_answer_may_fill_the_context_window_exactly() -> None:
    room = (s2.CONTEXT_WINDOW - 1024) * s2.CHARS_PER_TOKEN
    for chars in (room, room + 3):  # four characters a token, rounded down
        s2.ChatCompletionRequest(messages=conversation(chars))
    with pytest.raises(ValidationError) as refused:
        s2.ChatCompletionRequest(messages=conversation(room + 4))
    (error,) = refused.value.errors()
    assert error["type"] == "context_length_exceeded"
    assert {"126977", "1024", "128000"} <= set(
        error["msg"].replace("(", " ").replace(")", " ").split()
    )
    s2.ChatCompletionRequest(messages=conversation(room + 4), max_tokens=1023)


def test_validation_errors_can_be_written_as_json() -> None:
    refusals: list[tuple[Callable[..., BaseModel], dict[str, Any]]] = [
        (chat, {"messages": [{"role": "user", "content": "x" * s2.MAX_TEXT}] * 6}),
        (message, {"content": "\0"}),
        (message, {"content": " "}),
        (usage, {"total_tokens": 4}),
        (embedding, {"input": ["x" * s2.MAX_TEXT] * 11}),
    ]
    for build, fields in refusals:
        with pytest.raises(ValidationError) as refused:
            build(**fields)
        assert json.dumps(refused.value.errors())


@pytest.mark.parametrize(
    ("build", "fields", "words"),
    [
        (message, {"content": "a\0b"}, "content must not contain null bytes"),
        (message, {"content": "\u200b"}, "content must not be blank"),
        (message, {"name": "\u200b"}, "name must not be blank"),
        (
            message,
            {"name": "a\nb"},
            "name must be one line, without control characters",
        ),
        (chat, {"user": "a\nb"}, "user must be one line, without control characters"),
        (embedding, {"input": "a\0b"}, "a text must not contain null bytes"),
        (embedding, {"input": ["a", " "]}, "a text must not be blank"),
        (
            embedding,
            {"input": ["x" * LONG] * 11},
            "all texts together must not exceed 1000000 characters",
        ),
    ],
    ids=lambda it: it if isinstance(it, str) else "",
)
def test_a_mistake_is_explained_in_words_a_person_would_write(
    build: Callable[..., BaseModel], fields: dict[str, Any], words: str
) -> None:
    with pytest.raises(ValidationError) as refused:
        build(**fields)
    (error,) = refused.value.errors()
    assert error["msg"] == words


def test_a_subclass_may_replace_the_context_rule_and_allow_no_content() -> None:
    class Turn(s2.Message):
        content: str | None = None  # type: ignore[assignment]

        @field_validator("content")
        @classmethod
        def check_content(  # type: ignore[override]
            cls, content: str | None
        ) -> str | None:
            return None if content is None else super().check_content(content)

    class Request(s2.ChatCompletionRequest):
        messages: list[Turn]  # type: ignore[assignment]

        @model_validator(mode="after")
        def check_context_window(self) -> Self:
            return self

    words = "x" * s2.MAX_TEXT
    request = Request(messages=[Turn(role="user", content=words)] * 6)
    assert len(request.messages) == 6
    assert Turn.model_validate({"role": "assistant", "content": None}).content is None
    with pytest.raises(ValidationError, match="blank"):
        Turn(role="assistant", content="\u200b")


def test_a_wrong_embedding_input_gets_one_error_not_one_for_each_arm() -> None:
    wrongs: list[Any] = [None, 7, {}, "", [7], ["fine", " "]]
    for wrong in wrongs:
        with pytest.raises(ValidationError) as refused:
            embedding(input=wrong)
        assert refused.value.error_count() == 1


def test_a_total_is_computed_and_a_false_one_is_refused() -> None:
    assert usage().total_tokens == 3
    assert usage(total_tokens=3) == usage()
    for lie in (4, 9999, -3, 3.0, "3", None, [3]):
        with pytest.raises(ValidationError, match="total_tokens"):
            usage(total_tokens=lie)
    with pytest.raises(ValidationError, match="total_tokens"):
        usage(prompt_tokens=0, completion_tokens=1, total_tokens=True)


def test_counts_that_a_provider_adds_are_kept() -> None:
    details = {"cached_tokens": 1}
    dump = usage(total_tokens=3, prompt_tokens_details=details).model_dump()
    assert dump == usage().model_dump() | {"prompt_tokens_details": details}


def test_an_object_that_skipped_validation_is_checked_when_it_is_sent() -> None:
    unchecked = s2.Usage.model_construct(prompt_tokens=-5, completion_tokens=1)
    with pytest.raises(ValidationError, match="prompt_tokens"):
        s2.ChatCompletionResponse(model="gpt-4o", choices=[], usage=unchecked)
    lax = ANSWER.model_copy(update={"id": "nonsense"})
    with pytest.raises(ValidationError, match="id"):
        TypeAdapter(s2.ChatCompletionResponse).validate_python(lax)


def test_a_new_answer_has_a_fresh_id_and_the_time() -> None:
    first, second = (
        s2.ChatCompletionResponse(model="gpt-4o", choices=[], usage=ANSWER.usage)
        for _ in range(2)
    )
    assert first.id != second.id
    assert ANSWER.created < first.created <= second.created
    assert s2.ChatCompletionResponse.model_validate(first.model_dump()) == first


# -- money ----------------------------------------------------------------------------


@given(st.sampled_from(["gpt-4o", "gpt-4o-mini"]), token_counts, token_counts)
@settings(max_examples=50, deadline=None)
def test_a_price_is_exact_to_the_last_digit(
    model: str, read: int, written: int
) -> None:
    per_1k = {"gpt-4o": ("0.0025", "0.010"), "gpt-4o-mini": ("0.00015", "0.0006")}
    prompt, completion = map(Fraction, per_1k[model])
    price = s2.price_usd(model, read, written)
    assert price is not None
    assert Fraction(price) == (read * prompt + written * completion) / 1000


def test_a_price_is_the_familys_for_a_snapshot_and_none_for_other_models() -> None:
    million = s2.price_usd("gpt-4o-mini-2024-07-18", 1_000_000, 0)
    assert million == s2.price_usd("gpt-4o-mini", 1_000_000, 0) == Decimal("0.15")
    assert s2.price_usd("gpt-4o-2024-08-06", 1_000_000, 0) == Decimal("2.5")
    for other in ("gpt-4", "gpt-4o-audio", "llama", "2024-07-18", "", "gpt-4o\n"):
        assert s2.price_usd(other, 1, 1) is None
    assert s2.price_usd("gpt-4o-2024-08-06\n", 1, 1) is None


@given(
    st.sampled_from(["gpt-4o", "gpt-4o-mini-2024-07-18", "llama-3"]),
    token_counts,
    token_counts,
    st.none() | st.text(max_size=20),
    st.sampled_from([None, "stop", "length", "content_filter"]),
)
@settings(max_examples=50, deadline=None)
def test_an_answer_is_read_back_from_its_own_dump(
    model: str, read: int, written: int, text: str | None, ended: Any
) -> None:
    message = s2.ResponseMessage(content=text)
    sent = s2.ChatCompletionResponse(
        model=model,
        choices=[s2.Choice(index=0, message=message, finish_reason=ended)],
        usage=s2.Usage(prompt_tokens=read, completion_tokens=written),
    )
    assert s2.ChatCompletionResponse.model_validate(sent.model_dump()) == sent
    wire = sent.model_dump_json()
    assert s2.ChatCompletionResponse.model_validate_json(wire) == sent
    assert s2.ChatCompletionResponse.model_validate(json.loads(wire)) == sent
    cost = json.loads(wire)["cost_usd"]
    if sent.cost_usd is None:
        assert cost is None
    else:
        assert Decimal(cost) == sent.cost_usd
        assert set(cost) <= set("0123456789.")


def test_an_unfinished_answer_says_null_and_a_small_cost_has_no_exponent() -> None:
    wire = json.loads(
        answer(usage={"prompt_tokens": 1, "completion_tokens": 0}).model_dump_json()
    )
    assert wire["choices"][0]["finish_reason"] is None
    assert wire["cost_usd"] == "0.00000015"
    assert isinstance(ANSWER.model_dump()["cost_usd"], Decimal)
    assert wire["usage"]["total_tokens"] == 1


# -- the routes -----------------------------------------------------------------------


def test_the_lines_to_try_answer_as_promised() -> None:
    lines = try_lines(s2.__doc__)
    indented, mistaken, texts, priced = (line.send(client) for line in lines)
    assert indented.json()["messages"][0]["content"] == "    def f(): ..."
    assert indented.json()["temperature"] == 0.7
    assert mistaken.status_code == 422
    assert set(mistaken.json()["details"]) == {"body.messages", "body.temperature"}
    assert texts.json() == s2.EmbeddingRequest(input=["a", "b"]).model_dump()
    assert priced.json()["cost_usd"] == "0.000003"
    assert priced.json()["choices"][0]["message"]["content"] == "What do you cost?"


def test_a_request_comes_back_with_its_defaults_filled_in() -> None:
    sent = {"messages": [{"role": "user", "content": "\n\thi "}], "temperature": 1}
    expected = chat(**sent).model_dump()
    assert post("/validate/chat", sent).json() == expected


def test_every_mistake_is_named_by_its_path() -> None:
    body = {
        "messages": [{"role": "user", "content": "hi"}, {"role": "tool", "to": 1}],
        "temperature": True,
        "max_tokens": "12",
        "temprature": 1,
    }
    assert problems("/validate/chat", body).keys() == {
        "body.messages.1.role",
        "body.messages.1.content",
        "body.messages.1.to",
        "body.temperature",
        "body.max_tokens",
        "body.temprature",
    }


def test_an_answer_stops_at_max_tokens_and_costs_what_it_used() -> None:
    ask = {"messages": [{"role": "user", "content": "x" * 41}], "model": "gpt-4o"}
    whole = post("/complete", ask).json()
    assert whole["choices"][0]["finish_reason"] == "stop"
    assert whole["usage"]["completion_tokens"] == 10
    cut = post("/complete", ask | {"max_tokens": 9}).json()
    assert cut["choices"][0]["finish_reason"] == "length"
    assert cut["choices"][0]["message"]["content"] == "x" * 36
    assert cut["usage"] == {
        "prompt_tokens": 10,
        "completion_tokens": 9,
        "total_tokens": 19,
    }
    assert cut["cost_usd"] == "0.000115"
    assert post("/complete", ask | {"model": "llama-3"}).json()["cost_usd"] is None


SECRET = "s3cret"
HI_JSON = '"messages": [{"role": "user", "content": "hi"}]'


def hi_and(more: str) -> str:
    return "{" + HI_JSON + more + "}"


HOSTILE = {
    "NaN": hi_and(', "temperature": NaN'),
    "infinity by overflow": hi_and(', "top_p": 1e999'),
    "lone surrogate": hi_and(r', "user": "\ud800 s3cret"'),
    "lone surrogate in a key": hi_and(r', "\ud800": 1'),
    "long key": hi_and(', "' + "k" * 1_000_000 + '": 1'),
    "long value": hi_and(f', "model": "{SECRET * 100_000}"'),
    "many errors": hi_and(', "messages": [' + '{"role": "s3cret"}, ' * 999 + "7]"),
    "not an object": '["s3cret"]',
    "not JSON": '{"s3cret"',
    "nothing": "",
}


@pytest.mark.parametrize("body", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_body_gets_a_small_answer_that_does_not_repeat_it(body: str) -> None:
    refused = post("/validate/chat", body)
    assert refused.status_code == 422
    assert SECRET not in refused.text
    assert len(refused.content) < 8_192
    details = s2.ErrorResponse.model_validate_json(refused.content).details
    assert details is not None
    assert 1 <= len(details) <= 20


def test_deep_nesting_and_broken_text_are_the_clients_error() -> None:
    for body in (b'{"messages": ' + b"[" * 5000 + b"]" * 5000 + b"}", b'{"a": "\xff"}'):
        answered = post("/validate/chat", body)
        assert 400 <= answered.status_code < 500
        assert len(answered.content) < 8_192


def test_a_body_over_16_mib_is_not_read() -> None:
    assert s2.MAX_BODY_BYTES == 16 * 1024**2
    full = hi_and("").ljust(s2.MAX_BODY_BYTES)
    assert post("/validate/chat", full).status_code == 200
    assert post("/validate/chat", full + " ").status_code == 413


def test_the_docs_show_the_error_body_and_what_is_computed() -> None:
    spec = client.get("/openapi.json").json()
    for path in ("/validate/chat", "/validate/embeddings", "/complete"):
        operation = spec["paths"][path]["post"]
        (shape,) = operation["responses"]["422"]["content"].values()
        assert shape["schema"] == {"$ref": "#/components/schemas/ErrorResponse"}
        assert operation["summary"]
        assert operation["description"]
        assert operation["tags"]
    schemas = spec["components"]["schemas"]
    assert schemas["Usage"]["properties"]["total_tokens"]["readOnly"] is True
    assert schemas["ChatCompletionResponse"]["properties"]["cost_usd"]["anyOf"] == [
        {"type": "string"},
        {"type": "null"},
    ]
    content = schemas["Message"]["properties"]["content"]
    assert (content["minLength"], content["maxLength"]) == (1, s2.MAX_TEXT)
    messages = schemas["ChatCompletionRequest"]["properties"]["messages"]
    example = chat(messages=messages["examples"][0])
    assert example.messages[0].role == "user"


def test_the_file_runs_alone_in_an_empty_folder(tmp_path: Path) -> None:
    shutil.copy(s2.__file__, tmp_path)
    code = "import s2_models; assert s2_models.app.openapi()['paths']"
    command = [
        sys.executable,
        "-I",
        "-c",
        f"import sys; sys.path.insert(0, '.'); {code}",
    ]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, check=False)
    assert (ran.returncode, ran.stderr) == (0, b"")
