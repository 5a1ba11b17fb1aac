"""A whole answer is written around its text: to the byte what the model writes."""

import time
from collections.abc import AsyncIterator, Sequence

import pytest
from pydantic import ValidationError

from examples.full_app.chat import answers
from examples.full_app.chat.answers import LONGEST_TEXT, collect, collect_json
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


async def told(items: Sequence[Delta | Usage]) -> AsyncIterator[Delta | Usage]:
    for item in items:
        yield item
    if not any(isinstance(item, Usage) for item in items):
        yield USAGE


@pytest.fixture(autouse=True)
def one_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: 1_800_000_000.5)


@pytest.mark.parametrize("model", [*PRICES_PER_1K, "gpt-4o-mini-2024-07-18", 'o"1'])
@pytest.mark.parametrize("name", ANSWERS)
async def test_the_bytes_are_what_the_model_writes(name: str, model: str) -> None:
    items, choices = ANSWERS[name], 2 if name == "choices" else 1

    whole = await collect(told(items), model, choices, "chatcmpl-1")
    written = await collect_json(told(items), model, choices, "chatcmpl-1")

    assert written.decode("utf-8") == whole.model_dump_json()
    assert ChatCompletion.model_validate_json(written) == whole


async def test_text_alone_is_written_without_the_models(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr(answers, "ChatCompletion")

    for name in ("text 4", "pieces", "choices"):
        choices = 2 if name == "choices" else 1
        assert await collect_json(told(ANSWERS[name]), "gpt-4o", choices, "chatcmpl-1")
    with pytest.raises(NameError):
        await collect_json(told(ANSWERS["calls"]), "gpt-4o", 1, "chatcmpl-1")


async def test_a_text_that_is_too_long_is_refused_as_the_model_does() -> None:
    longest = Delta(content="a" * LONGEST_TEXT, finish_reason="stop")
    assert await collect_json(told([longest]), "gpt-4o", 1, "chatcmpl-1")

    with pytest.raises(ValidationError):
        await collect_json(
            told([Delta(content="a"), longest]), "gpt-4o", 1, "chatcmpl-1"
        )


@pytest.mark.parametrize(
    "items", [[Delta(content="a"), USAGE], [Delta(0, "a", finish_reason="stop"), USAGE]]
)
async def test_an_answer_that_broke_off_is_none(items: list[Delta | Usage]) -> None:
    with pytest.raises(ModelError):
        await collect_json(told(items), "gpt-4o", 2, "chatcmpl-1")
