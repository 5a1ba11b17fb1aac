"""Deltas become one whole answer, or it broke off."""

from collections.abc import AsyncIterator, Sequence

import pytest

from examples.full_app.chat.answers import collect
from examples.full_app.providers.base import Delta
from examples.full_app.schemas.answers import (
    ChatCompletion,
    ChoiceLogprobs,
    FunctionDelta,
    TokenLogprob,
    ToolCallDelta,
)
from examples.s2_models import PRICES_PER_1K, Usage
from examples.s5_error_handling import ModelError

LONGEST_TEXT = 1_000_000  # characters
USAGE = Usage(prompt_tokens=1234, completion_tokens=567)
CALL = ToolCallDelta(index=0, id="call-1", function=FunctionDelta(name="f"))
CHANCES = ChoiceLogprobs(content=[TokenLogprob(token="a", logprob=-0.1)])

TEXTS = ["", "Why?", 'a "quote" \\ /', "\x00\x1f\x7f\r\n\t", "é \u2028 日本 🎉 \ufeff"]
ANSWERS: dict[str, list[Delta | Usage]] = {
    **{
        f"text {number}": [Delta(content=text, finish_reason="stop"), USAGE]
        for number, text in enumerate(TEXTS)
    },
    "pieces": [Delta(content="a"), Delta(content="b"), Delta(finish_reason="length")],
    "choices": [
        Delta(1, "second", finish_reason="content_filter"),
        Delta(0, "first", finish_reason="stop"),
    ],
    "calls": [Delta(tool_calls=(CALL,)), Delta(finish_reason="tool_calls")],
    "text and calls": [
        Delta(content="so", tool_calls=(CALL,), finish_reason="tool_calls")
    ],
    "chances": [Delta(content="a", logprobs=CHANCES, finish_reason="stop")],
    "more in the usage": [
        Delta(content="a", finish_reason="stop"),
        Usage.model_validate(
            {"prompt_tokens": 1, "completion_tokens": 2, "reasoning": {"tokens": 1}}
        ),
    ],
}


async def stream_of(items: Sequence[Delta | Usage]) -> AsyncIterator[Delta | Usage]:
    for item in items:
        yield item
    if not any(isinstance(item, Usage) for item in items):
        yield USAGE


@pytest.mark.parametrize("model", [*PRICES_PER_1K, "gpt-4o-mini-2024-07-18", 'o"1'])
@pytest.mark.parametrize("name", ANSWERS)
async def test_a_whole_answer_survives_the_wire(name: str, model: str) -> None:
    whole = await collect(stream_of(ANSWERS[name]), model, "chatcmpl-1")

    assert ChatCompletion.model_validate_json(whole.model_dump_json()) == whole


async def test_pieces_are_joined_and_choices_are_ordered() -> None:
    pieces = await collect(stream_of(ANSWERS["pieces"]), "gpt-4o", "chatcmpl-1")
    choices = await collect(stream_of(ANSWERS["choices"]), "gpt-4o", "chatcmpl-1")

    assert pieces.choices[0].message.content == "ab"
    assert pieces.choices[0].finish_reason == "length"
    assert [each.message.content for each in choices.choices] == ["first", "second"]


async def test_an_answer_of_calls_alone_has_no_content() -> None:
    whole = await collect(stream_of(ANSWERS["calls"]), "gpt-4o", "chatcmpl-1")

    assert whole.choices[0].message.content is None
    assert whole.choices[0].message.tool_calls


async def test_a_text_arrives_however_long_it_is() -> None:
    pieces = [
        Delta(content="a" * LONGEST_TEXT),
        Delta(content="b"),
        Delta(finish_reason="stop"),
    ]

    whole = await collect(stream_of(pieces), "gpt-4o", "chatcmpl-1")

    assert whole.choices[0].message.content == "a" * LONGEST_TEXT + "b"


async def test_fewer_choices_than_were_asked_for_are_an_answer() -> None:
    one: list[Delta | Usage] = [Delta(1, "second", finish_reason="stop"), USAGE]

    whole = await collect(stream_of(one), "gpt-4o", "chatcmpl-1")

    assert [choice.index for choice in whole.choices] == [1]


@pytest.mark.parametrize(
    "items",
    [
        [Delta(content="a"), USAGE],
        [USAGE],
        [Delta(0, "a", finish_reason="stop"), Delta(1, "b"), USAGE],
    ],
)
async def test_an_answer_that_broke_off_is_none(items: list[Delta | Usage]) -> None:
    with pytest.raises(ModelError):
        await collect(stream_of(items), "gpt-4o", "chatcmpl-1")
