"""The offline provider: the same answer every time, and every feature of the wire."""

import asyncio
import json
import subprocess
import sys
from enum import Enum
from typing import Any

import httpx2
import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from examples.full_app.providers.json_answers import json_answer
from examples.full_app.providers.json_keywords import UnsupportedSchemaError
from examples.full_app.providers.offline import OfflineProvider
from examples.full_app.providers.offline_models import DEFAULT_MODEL
from examples.full_app.providers.prose import seeded
from examples.full_app.providers.protocol import CallContext, Delta
from examples.full_app.schemas.chat import ChatCompletionRequest
from examples.full_app.tokens import EstimateTokenizer, count_messages
from examples.s2_models import Usage
from tests.servers import ROOT

PATH = "/v1/chat/completions"
QUESTION = "Why does a token bucket let bursts through?"


def request(**given: Any) -> ChatCompletionRequest:
    body = {
        "model": DEFAULT_MODEL,
        "messages": [{"role": "user", "content": QUESTION}],
        **given,
    }
    return ChatCompletionRequest.model_validate(body)


async def run(asked: ChatCompletionRequest) -> list[Delta | Usage]:
    stream = OfflineProvider(pace=0).stream(asked, CallContext("req"))
    return [item async for item in stream]


def texts(items: list[Delta | Usage], choices: int = 1) -> list[str]:
    """The text of each choice."""
    found = [""] * choices
    for item in items:
        if isinstance(item, Delta):
            found[item.index] += item.content or ""
    return found


async def test_the_same_question_gets_the_same_answer_and_a_seed_another() -> None:
    first, again, other = [
        texts(await run(request(seed=seed))) for seed in (None, None, 5)
    ]

    assert first == again != other
    assert QUESTION in first[0]


def test_another_process_says_the_same() -> None:
    """Nothing rests on Python's own hash, which differs in every process."""
    code = (
        "import asyncio; from tests.full_app.test_offline_provider import *; "
        "print(texts(asyncio.run(run(request(seed=3))))[0])"
    )
    said = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=True
    )

    here = texts(asyncio.run(run(request(seed=3))))[0]
    assert said.stdout.decode("utf-8").strip() == here


async def test_it_streams_in_words_that_join_to_the_text() -> None:
    items = await run(request())
    pieces = [i.content for i in items if isinstance(i, Delta) and i.content]

    assert len(pieces) > 20
    assert all(len(piece.split()) == 1 for piece in pieces)


async def test_pauses_are_scaled_by_the_pace_and_gone_at_zero() -> None:
    async def slept(pace: float) -> float:
        total = 0.0

        async def sleep(seconds: float) -> None:
            nonlocal total
            total += seconds

        provider = OfflineProvider(pace=pace, sleep=sleep)
        async for _ in provider.stream(request(), CallContext("req")):
            pass
        return total

    assert await slept(0) == 0
    assert await slept(1) > 0.5
    assert await slept(2) == pytest.approx(2 * await slept(1))


async def test_n_choices_differ_and_come_in_order() -> None:
    items = await run(request(n=3))
    seen = list(dict.fromkeys(i.index for i in items if isinstance(i, Delta)))
    finishes = [i.index for i in items if isinstance(i, Delta) and i.finish_reason]

    assert seen == finishes == [0, 1, 2]
    assert len(set(texts(items, 3))) == 3


async def test_an_answer_stops_before_a_stop_sequence() -> None:
    whole = texts(await run(request()))[0]
    stop = whole[40:55]  # across the boundaries of pieces
    items = await run(request(stop=["never said", stop]))

    assert texts(items)[0] == whole[: whole.index(stop)]
    assert [i.finish_reason for i in items if isinstance(i, Delta)][-1] == "stop"


@pytest.mark.parametrize("limit", [1, 5, 17])
async def test_an_answer_over_the_limit_is_cut_at_it(limit: int) -> None:
    items = await run(request(max_completion_tokens=limit))
    usage = items[-1]

    assert isinstance(usage, Usage)
    assert (
        EstimateTokenizer().count(texts(items)[0]) == usage.completion_tokens == limit
    )
    assert [i.finish_reason for i in items if isinstance(i, Delta)][-1] == "length"


async def test_usage_is_what_the_tokenizer_counts() -> None:
    asked = request(n=2)
    items = await run(asked)
    usage = items[-1]
    count = EstimateTokenizer().count

    assert isinstance(usage, Usage)
    assert usage.prompt_tokens == count_messages(EstimateTokenizer(), asked.messages)
    assert usage.completion_tokens == sum(count(text) for text in texts(items, 2))


def test_the_echo_keeps_every_character(http: httpx2.Client) -> None:
    odd = "  indented\r\n\u2028\u0085 \U0001f600  end \n"
    body = {"model": "offline-echo", "messages": [{"role": "user", "content": odd}]}
    answer = http.post(PATH, json=body).json()

    assert answer["choices"][0]["message"]["content"] == odd


# --- tools ------------------------------------------------------------------

WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The forecast of a city.",
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"type": "string"},
                "days": {"type": "integer", "minimum": 1, "maximum": 7},
                "unit": {"enum": ["C", "F"]},
            },
            "required": ["city", "days", "unit"],
            "additionalProperties": False,
        },
    },
}
NEWS: Any = {"type": "function", "function": {"name": "read_news"}}


async def called(**given: Any) -> list[tuple[str, Any]]:
    """Names and arguments of the tools an answer calls."""
    names: dict[int, str] = {}
    arguments: dict[int, str] = {}
    for item in await run(request(**given)):
        for piece in item.tool_calls if isinstance(item, Delta) else ():
            if piece.function.name:
                names[piece.index] = piece.function.name
            more = piece.function.arguments or ""
            arguments[piece.index] = arguments.get(piece.index, "") + more
    return [(names[i], json.loads(arguments[i])) for i in sorted(names)]


def asking(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


async def test_a_tool_is_called_when_the_question_is_about_it() -> None:
    question = asking("What weather will Lisbon have in the next 3 days?")
    ((name, arguments),) = await called(messages=question, tools=[WEATHER, NEWS])

    assert name == "get_weather"
    assert (arguments["city"], arguments["days"]) == ("Lisbon", 3)
    assert arguments["unit"] in ("C", "F")


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ("none", []),
        ("auto", []),
        ("required", ["get_weather"]),
        ({"type": "function", "function": {"name": "read_news"}}, ["read_news"]),
    ],
)
async def test_tool_choice_decides(choice: Any, expected: list[str]) -> None:
    calls = await called(tools=[WEATHER, NEWS], tool_choice=choice)

    assert [name for name, _ in calls] == expected


@pytest.mark.parametrize(("parallel", "count"), [(True, 2), (False, 1)])
async def test_two_tools_are_called_side_by_side_unless_forbidden(
    parallel: bool, count: int
) -> None:
    calls = await called(
        messages=asking("The weather, and the news, please."),
        tools=[WEATHER, NEWS],
        parallel_tool_calls=parallel,
    )

    assert len(calls) == count


async def test_a_result_ends_the_calling() -> None:
    call = {"id": "c", "type": "function", "function": {"name": "get_weather"}}
    messages: list[Any] = [
        *asking("The weather?"),
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c", "content": "sunny"},
    ]
    asked = request(messages=messages, tools=[WEATHER])

    assert await called(messages=messages, tools=[WEATHER]) == []
    assert "sunny" in texts(await run(asked))[0]


# --- JSON -------------------------------------------------------------------


class Mood(Enum):
    """An enum in the schema."""

    GOOD = "good"
    BAD = "bad"


class Leaf(BaseModel):
    """A nested, recursive object with every kind of bound."""

    name: str = Field(min_length=3, max_length=5)
    mood: Mood
    score: float = Field(gt=0, lt=1)
    even: int = Field(ge=10, le=21, multiple_of=2)
    tags: list[str] = Field(min_length=1, max_length=2)
    pair: tuple[int, str]
    child: "Leaf | None" = None
    either: int | bool | None = None


def test_parse_gets_an_object_of_the_given_model(client: openai.OpenAI) -> None:
    answer = client.chat.completions.parse(
        model=DEFAULT_MODEL,
        messages=[{"role": "user", "content": "Invent one, 12 of 20."}],
        response_format=Leaf,
    )

    assert isinstance(answer.choices[0].message.parsed, Leaf)


def test_json_object_answers_an_object(http: httpx2.Client) -> None:
    body = {
        "model": DEFAULT_MODEL,
        "messages": asking("Give me JSON."),
        "response_format": {"type": "json_object"},
    }
    content = http.post(PATH, json=body).json()["choices"][0]["message"]["content"]

    assert isinstance(json.loads(content), dict)


def test_a_cut_answer_raises_what_the_client_documents(client: openai.OpenAI) -> None:
    with pytest.raises(openai.LengthFinishReasonError):
        client.chat.completions.parse(
            model=DEFAULT_MODEL,
            messages=[{"role": "user", "content": "Invent one."}],
            response_format=Leaf,
            max_tokens=2,
        )
    with pytest.raises(openai.ContentFilterFinishReasonError):
        client.chat.completions.parse(
            model="fault-content-filter-late",
            messages=[{"role": "user", "content": "Invent one."}],
            response_format=Leaf,
        )


def fill(schema: Any, prompt: str = "the question") -> Any:
    return json_answer(schema, prompt, seeded(request(), 0))


@pytest.mark.parametrize(
    ("schema", "good"),
    [
        ({"type": "string", "pattern": "^[A-Z]+$"}, lambda v: v.isupper()),
        ({"type": "string", "minLength": 30}, lambda v: len(v) >= 30),
        ({"type": "string", "maxLength": 2}, lambda v: len(v) <= 2),
        ({"type": "string", "format": "uuid"}, lambda v: v.count("-") == 4),
        ({"type": "integer", "multipleOf": 7, "minimum": 50}, lambda v: v % 7 == 0),
        ({"type": "number", "exclusiveMaximum": -5}, lambda v: v < -5),
        ({"type": "boolean"}, lambda v: isinstance(v, bool)),
        ({"type": "null"}, lambda v: v is None),
        ({"type": ["null", "integer"]}, lambda v: v is None or isinstance(v, int)),
        ({"const": 5}, lambda v: v == 5),
        ({}, lambda v: isinstance(v, str)),
        ({"type": "array", "minItems": 4}, lambda v: len(v) == 4),
        ({"type": "array", "maxItems": 0}, lambda v: v == []),
        ({"type": "object", "required": ["a"]}, lambda v: list(v) == ["a"]),
        (
            {"allOf": [{"properties": {"a": {"const": 1}}}, {"required": ["a"]}]},
            lambda v: v == {"a": 1},
        ),
        ({"oneOf": [{"type": "null"}, {"const": 2}]}, lambda v: v == 2),
        (
            {"type": "array", "uniqueItems": True, "items": {"enum": ["x"]}},
            lambda v: v == ["x"],
        ),
    ],
)
def test_a_value_satisfies_its_schema(schema: Any, good: Any) -> None:
    assert good(fill(schema))


@pytest.mark.parametrize(
    "schema",
    [
        {"not": {"type": "string"}},
        {"type": "string", "pattern": "(?=a)"},
        {"type": "string", "pattern": "^abc$", "maxLength": 2},
        {"type": "string", "pattern": "["},
        {"type": "integer", "minimum": 5, "maximum": 4},
        {"type": "date"},
        {"$ref": "#/$defs/nowhere"},
        {"anyOf": []},
        {"properties": {"a": 5}},
        {"type": "array", "minItems": 2, "uniqueItems": True, "items": {"const": 1}},
    ],
)
def test_a_schema_that_cannot_be_satisfied_is_refused(schema: Any) -> None:
    with pytest.raises(UnsupportedSchemaError):
        fill(schema)


def test_a_schema_without_end_is_a_400_and_not_a_500(http: httpx2.Client) -> None:
    endless = {
        "type": "object",
        "properties": {"self": {"$ref": "#"}},
        "required": ["self"],
    }
    for schema in (endless, {"$ref": "#"}, {"allOf": [{"$ref": "#"}]}):
        wanted = {"name": "x", "schema": schema}
        body = {
            "model": DEFAULT_MODEL,
            "messages": asking("x"),
            "response_format": {"type": "json_schema", "json_schema": wanted},
        }
        answer = http.post(PATH, json=body)

        assert (answer.status_code, answer.json()["code"]) == (
            400,
            "unsupported_schema",
        )


def test_a_schema_that_branches_for_ever_is_cut_short() -> None:
    parts = {str(n): {"anyOf": [{"$ref": "#"}, True]} for n in range(30)}
    value = fill({"type": "object", "properties": parts})

    assert len(json.dumps(value)) < 200_000


SCALARS = st.sampled_from(
    [{"type": "string"}, {"type": "integer"}, {"type": "boolean"}, {"enum": [1, "a"]}]
)
SCHEMAS = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.builds(lambda items: {"type": "array", "items": items}, inner),
        st.builds(
            lambda parts: {
                "type": "object",
                "properties": parts,
                "required": list(parts),
            },
            st.dictionaries(st.text("abc", min_size=1, max_size=3), inner, max_size=3),
        ),
    ),
    max_leaves=8,
)


@given(schema=SCHEMAS, prompt=st.text(max_size=40))
def test_values_of_any_nesting_have_the_types_asked_for(
    schema: Any, prompt: str
) -> None:
    assert satisfies(fill(schema, prompt), schema)


def satisfies(value: Any, schema: Any) -> bool:
    """Whether `value` is what these generated schemas ask for."""
    if "enum" in schema:
        return value in schema["enum"]
    match schema["type"]:
        case "string":
            return isinstance(value, str)
        case "integer":
            return isinstance(value, int)
        case "boolean":
            return isinstance(value, bool)
        case "array":
            return all(satisfies(item, schema["items"]) for item in value)
    parts = schema["properties"]
    return value.keys() == parts.keys() and all(
        satisfies(value[name], part) for name, part in parts.items()
    )


# --- the rest ---------------------------------------------------------------


def test_logprobs_come_with_as_many_alternatives_as_asked(http: httpx2.Client) -> None:
    body = {
        "model": DEFAULT_MODEL,
        "messages": asking("x"),
        "logprobs": True,
        "top_logprobs": 3,
    }
    choice = http.post(PATH, json=body).json()["choices"][0]
    tokens = choice["logprobs"]["content"]

    assert "".join(token["token"] for token in tokens) == choice["message"]["content"]
    assert all(len(token["top_logprobs"]) == 3 for token in tokens)
    assert all(token["logprob"] <= 0 for token in tokens)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (PATH, {"model": "text-embedding-3-small", "messages": asking("x")}),
        ("/v1/embeddings", {"model": "gpt-4o", "input": "x"}),
        (
            "/v1/embeddings",
            {"model": "text-embedding-3-small", "input": "x", "dimensions": 1537},
        ),
    ],
)
def test_a_model_asked_for_what_it_does_not_do_is_a_400(
    http: httpx2.Client, path: str, body: Any
) -> None:
    assert http.post(path, json=body).status_code == 400


@pytest.mark.parametrize("given", ["", "   ", [], [""], [[]], ["a", 1], [True], [-1]])
def test_empty_and_mixed_embedding_inputs_are_refused(
    http: httpx2.Client, given: Any
) -> None:
    body = {"model": "text-embedding-3-small", "input": given}
    answer = http.post("/v1/embeddings", json=body)

    assert answer.status_code == 400
    assert answer.json()["error"]["param"].startswith("input")


def test_vectors_have_length_one_also_when_shortened(http: httpx2.Client) -> None:
    for dimensions in (None, 1, 64):
        body = {
            "model": "text-embedding-3-large",
            "input": "a b c",
            "dimensions": dimensions,
        }
        answer = http.post("/v1/embeddings", json={k: v for k, v in body.items() if v})
        (item,) = answer.json()["data"]

        assert len(item["embedding"]) == (dimensions or 3072)
        assert sum(x * x for x in item["embedding"]) == pytest.approx(1)


@given(st.text(max_size=200), st.text(max_size=200))
def test_the_estimate_never_shrinks_when_text_is_added(one: str, two: str) -> None:
    count = EstimateTokenizer().count

    assert count(one) <= count(one + two) <= count(one) + count(two)
    assert (count(one) == 0) == (one == "")


def test_other_scripts_are_not_counted_as_if_they_were_english() -> None:
    assert EstimateTokenizer().count("\u6f22" * 100) == 100
    assert EstimateTokenizer().count("a" * 100) == 25
