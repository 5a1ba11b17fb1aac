"""Tokens are counted by one estimate, the same before a call and after it."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from examples.full_app.schemas.chat import ChatCompletionRequest
from examples.full_app.tokens import (
    MESSAGE_OVERHEAD,
    EstimateTokenizer,
    Tokenizer,
    count_messages,
)

count = EstimateTokenizer().count


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("", 0),
        ("a", 1),
        ("four", 1),
        ("fives", 2),
        ("a" * 100, 25),
        ("\u6f22" * 100, 100),
        ("\U0001f600", 1),
        ("na\u00efve", 2),
        ("\u2028", 1),
        ("\n\t\r ", 1),
    ],
)
def test_four_ascii_characters_or_one_other_are_a_token(text: str, tokens: int) -> None:
    assert count(text) == tokens


@given(st.text(max_size=200), st.text(max_size=200))
def test_a_count_never_shrinks_when_text_is_added(one: str, two: str) -> None:
    assert count(one) <= count(one + two) <= count(one) + count(two)
    assert (count(one) == 0) == (one == "")


def messages(*given: dict[str, Any]) -> ChatCompletionRequest:
    return ChatCompletionRequest.model_validate({"model": "m", "messages": given})


def test_contents_names_and_calls_of_a_conversation_are_counted() -> None:
    call = {
        "id": "c",
        "type": "function",
        "function": {"name": "lookup", "arguments": '{"a": "bc"}'},
    }
    asked = messages(
        {"role": "system", "content": "a" * 8},
        {"role": "user", "content": "\u6f22\u5b57", "name": "Ada"},
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c", "content": "b" * 12},
    )

    expected = 2 + (2 + 1) + count("lookup" + '{"a": "bc"}') + 3
    counted = count_messages(EstimateTokenizer(), asked.messages)
    assert counted == expected + 4 * MESSAGE_OVERHEAD


def test_any_tokenizer_can_take_the_place_of_the_estimate() -> None:
    class Words:
        """Counts words."""

        def count(self, text: str) -> int:
            """Words in `text`."""
            return len(text.split())

    words: Tokenizer = Words()
    asked = messages({"role": "user", "content": "three short words"})

    assert count_messages(words, asked.messages) == 3 + MESSAGE_OVERHEAD
