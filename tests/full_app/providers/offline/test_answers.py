"""Common questions get written answers; any other question does not."""

import pytest

from examples.full_app.providers.offline.answers import (
    ANSWERS,
    MAX_LETTERS,
    MAX_WORDS,
    written_answer,
)


@pytest.mark.parametrize(
    ("question", "words"),
    [
        ("Why is async good for AI?", "waiting"),
        ("Why async?", "waiting"),
        ("Why does streaming feel faster?", "first word"),
        ("Why do streams break?", "Last-Event-ID"),
        ("What is a token?", "four characters"),
        ("What are tokens?", "four characters"),
        ("Why does a token bucket let bursts through?", "refills evenly"),
        ("What is a queue?", "workers"),
        ("What is backpressure?", "slow reader"),
        ("What do you cost?", "Decimal"),
        ("WHAT IS A WEBHOOK", "signed"),
        ("Why is the sky blue?", "blue light"),
    ],
)
def test_a_common_question_has_its_answer(question: str, words: str) -> None:
    assert words in (written_answer(question) or "")


@pytest.mark.parametrize(
    "question",
    [
        "My parcel has not arrived. What can I do?",
        "Hello?",
        "",
        "What is the weather in Lisbon?",
        "Summarise this: " + "a token bucket is what it is and so on " * 4,
    ],
    ids=["parcel", "greeting", "empty", "weather", "long"],
)
def test_any_other_question_has_none(question: str) -> None:
    assert written_answer(question) is None


def test_each_written_answer_is_found_by_each_of_its_questions() -> None:
    """No answer hides behind another one with the same words."""
    for answer in ANSWERS:
        for question in answer.questions.split(","):
            assert written_answer(question) == answer.text, question


def test_each_written_answer_ends_on_a_sentence_and_fits_the_page() -> None:
    assert len(ANSWERS) >= 40
    for answer in ANSWERS:
        assert answer.text.endswith(".")
        assert 25 <= len(answer.text.split()) <= 60, answer.text


def test_a_long_text_with_the_words_of_a_question_in_it_is_not_that_question() -> None:
    question = "What is backpressure"
    assert written_answer(question) is not None
    many_words = f"{question} {'and so on ' * MAX_WORDS}"
    assert written_answer(many_words[:MAX_LETTERS]) is None
    assert written_answer(f"{question} {'a' * MAX_LETTERS}") is None


def test_a_question_may_have_as_many_words_and_letters_as_the_limits_say() -> None:
    question = "What is backpressure"
    words = f"{question} {'please ' * (MAX_WORDS - 3)}".strip()
    letters = f"{question} {'a' * (MAX_LETTERS - len(question) - 1)}"

    assert (len(words.split()), len(letters)) == (MAX_WORDS, MAX_LETTERS)
    assert written_answer(words) is not None
    assert written_answer(letters) is not None
    assert written_answer(f"{words} please") is None
    assert written_answer(f"{letters}a") is None
