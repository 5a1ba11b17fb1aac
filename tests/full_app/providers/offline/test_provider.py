"""The offline provider: the same answer every time, and every feature of the wire."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from enum import Enum
from typing import Any

import httpx2
import openai
import pytest
from pydantic import BaseModel, Field

from examples.full_app.providers.base import CallContext, Delta, EmbeddingCall
from examples.full_app.providers.offline.models import DEFAULT_MODEL
from examples.full_app.providers.offline.provider import OfflineProvider
from examples.full_app.providers.offline.tools import text_of
from examples.full_app.schemas.chat import ChatCompletionRequest
from examples.full_app.tokens import EstimateTokenizer, count_messages
from examples.s2_models import Usage
from tests.servers import ROOT

PATH = "/v1/chat/completions"
QUESTION = "Why do small dams let floods through?"  # it has no written answer


BODY: dict[str, Any] = {
    "model": DEFAULT_MODEL,
    "messages": [{"role": "user", "content": QUESTION}],
}
CALL = CallContext("req")


def request(**given: Any) -> ChatCompletionRequest:
    return ChatCompletionRequest.model_validate({**BODY, **given})


async def run(
    asked: ChatCompletionRequest,
    provider: OfflineProvider | None = None,
    call: CallContext = CALL,
) -> list[Delta | Usage]:
    provider = provider or OfflineProvider(pace=0)
    return [item async for item in provider.stream(asked, call)]


async def embedded(
    inputs: Sequence[str] | Sequence[Sequence[int]], dimensions: int | None = None
) -> Sequence[Sequence[float]]:
    call = EmbeddingCall("text-embedding-3-small", inputs, dimensions)
    return (await OfflineProvider(pace=0).embed(call, CALL)).vectors


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


ELSEWHERE = """
import asyncio, sys
from examples.full_app.providers.offline.provider import OfflineProvider
from examples.full_app.providers.base import CallContext, EmbeddingCall
from examples.full_app.schemas.chat import ChatCompletionRequest

async def main(asked):
    offline, call = OfflineProvider(pace=0), CallContext("req")
    print([repr(item) async for item in offline.stream(asked, call)])
    embedding = EmbeddingCall("text-embedding-3-small", ["a b"], 4)
    print((await offline.embed(embedding, call)).vectors)

asyncio.run(main(ChatCompletionRequest.model_validate_json(sys.argv[1])))
"""


def test_another_process_says_and_embeds_the_same() -> None:
    """Nothing rests on Python's own hash, which differs in every process."""
    anything = {"type": "object", "required": ["a", "b", "c", "d"]}
    tool = {"type": "function", "function": {"name": "f", "parameters": anything}}
    body = {**BODY, "seed": 3, "n": 2, "tools": [tool], "tool_choice": "required"}
    said = subprocess.run(
        [sys.executable, "-c", ELSEWHERE, json.dumps(body)],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": "7"},
        capture_output=True,
        check=True,
    )

    here = [repr(item) for item in asyncio.run(run(request(**body)))]
    vectors = asyncio.run(embedded(["a b"], dimensions=4))
    assert said.stdout.decode("utf-8").splitlines() == [str(here), str(vectors)]


async def test_it_streams_in_words_that_join_to_the_text() -> None:
    items = await run(request())
    pieces = [i.content for i in items if isinstance(i, Delta) and i.content]

    assert len(pieces) > 20
    assert all(len(piece.split()) == 1 for piece in pieces)


async def test_an_answer_whose_pieces_nobody_reads_comes_whole() -> None:
    whole = CallContext("req", whole=True)
    first, *others, usage = await run(request(n=2), call=whole)

    assert [first, *others] == [
        Delta(index, text, finish_reason="stop")
        for index, text in enumerate(texts(await run(request(n=2)), 2))
    ]
    assert usage == (await run(request(n=2)))[-1]


async def test_whole_answers_too_keep_their_pauses() -> None:
    async def sleep(seconds: float) -> None:
        """As long as it takes to notice."""

    paced = OfflineProvider(pace=1, sleep=sleep)
    assert len(await run(request(), paced, CallContext("req", whole=True))) > 20


async def slept(asked: ChatCompletionRequest, pace: float) -> list[float]:
    """The pauses of an answer, in seconds."""
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    await run(asked, OfflineProvider(pace=pace, sleep=sleep))
    return pauses


async def test_pauses_are_like_a_models_and_scaled_by_the_pace() -> None:
    first, *others = await slept(request(), 1)

    assert first == 0.2
    assert all(0.015 <= pause <= 0.045 for pause in others)
    assert await slept(request(), 2) == [2 * pause for pause in (first, *others)]


async def test_without_pauses_others_still_have_their_turn() -> None:
    pauses = await slept(request(), 0)

    assert set(pauses) == {0}
    assert len(pauses) >= 3


async def test_an_answer_does_not_depend_on_the_pace() -> None:
    async def sleep(seconds: float) -> None:
        """As long as it takes to notice."""

    paced = OfflineProvider(pace=1, sleep=sleep)
    for asked in (
        request(n=2, logprobs=True, top_logprobs=2),
        request(tools=[WEATHER, NEWS], messages=asking("Weather and news?")),
    ):
        assert await run(asked, paced) == await run(asked)


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
NAME = "read_news"
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


async def test_a_call_comes_in_pieces_the_first_of_which_says_what_it_is() -> None:
    asked = request(tools=[NEWS, WEATHER], tool_choice="required", n=2)
    items = [item for item in await run(asked) if isinstance(item, Delta)]

    for choice in (0, 1):
        first, *others = [
            piece for i in items if i.index == choice for piece in i.tool_calls
        ]
        assert (first.index, first.type, first.function.name) == (0, "function", NAME)
        assert (first.id or "").startswith("call_")
        assert first.function.arguments == ""
        assert others
        assert {(o.id, o.type, o.function.name) for o in others} == {(None, None, None)}
    assert [i.finish_reason for i in items if i.finish_reason] == ["tool_calls"] * 2
    assert len({p.id for i in items for p in i.tool_calls if p.id}) == 2


@pytest.mark.parametrize("limit", [1, 2, 3, 5, 8, 13, 21, 34])
async def test_calls_too_are_cut_at_the_limit(limit: int) -> None:
    tools = [WEATHER, NEWS]
    asked = request(
        messages=asking("The weather, and the news, of Lisbon?"),
        tools=tools,
        max_tokens=limit,
    )
    *deltas, last, usage = await run(asked)
    pieces = [p for d in deltas if isinstance(d, Delta) for p in d.tool_calls]
    whole = await run(request(**asked.model_dump(exclude={"max_tokens"})))
    names = {p.function.name for p in pieces if p.function.name}
    named = {p.index for p in pieces if p.function.name}
    said = "".join(map(text_of, pieces))

    assert isinstance(usage, Usage)
    assert usage.completion_tokens == EstimateTokenizer().count(said) <= limit
    assert names <= {"get_weather", "read_news"}
    assert named == {p.index for p in pieces}
    assert isinstance(last, Delta)
    full = "".join(
        text_of(p) for d in whole if isinstance(d, Delta) for p in d.tool_calls
    )
    assert full.startswith(said)
    assert last.finish_reason == ("tool_calls" if said == full else "length")


async def test_results_end_the_calling_and_are_told() -> None:
    calls = [
        {"id": str(n), "type": "function", "function": {"name": "get_weather"}}
        for n in range(2)
    ]
    messages: list[Any] = [
        *asking("The weather?"),
        {"role": "assistant", "tool_calls": calls},
        {"role": "tool", "tool_call_id": "0", "content": "sunny"},
        {"role": "tool", "tool_call_id": "1", "content": "then {rain}"},
    ]

    assert await called(messages=messages, tools=[WEATHER]) == []
    assert (
        "sunny then {rain}"
        in texts(await run(request(messages=messages, tools=[WEATHER])))[0]
    )


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


@pytest.mark.wire
def test_a_cut_answer_raises_what_the_client_documents(
    client: openai.OpenAI,
) -> None:
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


async def test_similar_texts_are_nearer_than_different_ones() -> None:
    texts = [
        "How do I cancel my subscription?",
        "cancelling a subscription, how does that work?",
        "The volcano erupted at dawn.",
    ]
    question, similar, different = await embedded(texts)

    def product(one: Sequence[float], other: Sequence[float]) -> float:
        return sum(a * b for a, b in zip(one, other, strict=True))

    assert product(question, similar) > 0.3 > product(question, different)
    assert product(question, question) == pytest.approx(1)


async def test_token_ids_are_embedded_as_well_and_their_order_counts() -> None:
    one, same, turned, shared = await embedded([[1, 2, 3], [1, 2, 3], [3, 2, 1], [1]])

    assert one == same != turned
    assert shared != one
    assert len(one) == 1536


async def test_a_long_text_is_embedded_in_turns() -> None:
    turns = 0

    async def sleep(seconds: float) -> None:
        nonlocal turns
        turns += 1

    call = EmbeddingCall("text-embedding-3-small", ["word " * 4_000])
    embeddings = await OfflineProvider(sleep=sleep).embed(call, CALL)

    assert turns >= 4
    assert embeddings.prompt_tokens == 5_000


def test_an_unknown_model_is_named_in_the_404(http: httpx2.Client) -> None:
    answer = http.post(PATH, json={**BODY, "model": "gpt-40"})

    assert (answer.status_code, answer.json()["code"]) == (404, "model_not_found")
    assert "'gpt-40'" in answer.json()["error"]["message"]
    assert "GET /v1/models" in answer.json()["error"]["message"]


async def test_every_model_is_described() -> None:
    for model in await OfflineProvider().models():
        assert model.description
