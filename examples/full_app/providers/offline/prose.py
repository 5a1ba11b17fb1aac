"""What the offline provider says: readable, about the question, and always the same."""

import hashlib
import itertools
import random
import re
from collections.abc import Container, Sequence

from examples.full_app.providers.offline.answers import written_answer
from examples.full_app.providers.offline.models import ECHOES
from examples.full_app.schemas.chat import (
    ChatCompletionRequest,
    ChatMessage,
    ToolMessage,
    UserMessage,
)

_UNUSED = random.Random(0)  # noqa: S311  # nobody throws it
_WORD = re.compile(r"[^\W\d_][\w'-]*")
_TOKEN = re.compile(r"[^\W\d_][\w'-]*|[^\w\s]")
_COMMON = frozenset(
    word
    for line in (
        "about after again also because before between could does doing from give",
        "have here into just like make many more most much need only other over",
        "please should show some such tell than that their them then there these they",
        "this those through under very want what when where which while will with",
        "without would write your",
    )
    for word in line.split()
)
_OPENINGS = (
    "Short answer first: it comes down to {first}.",
    "Let us take {first} step by step.",
    "There are two sides to {first}, and the second is the useful one.",
    "Think of {first} as something you can watch happen.",
)
_MIDDLES = (
    "What is easily missed: {first} meets {second}. Move one, and both move.",
    "Start with {second}, because it is cheap to check, and only then look at {first}.",
    "A small experiment says more than a text: hold {second} still and vary {first}.",
    "Most trouble with {first} is trouble with {second}, seen from the other side.",
)
_ENDINGS = (
    "Run it, change one line, and run it again.",
    "If the result surprises you, that is the part worth reading twice.",
    "Measure it once before you believe it, this answer included.",
    "That is all there is to it; the rest is practice.",
)


def seeded(request: ChatCompletionRequest, index: int) -> random.Random:
    """The dice of one choice: the same for the same conversation, seed and index."""
    facts = [repr((request.model, request.seed, index))]
    facts += [message.model_dump_json() for message in request.messages]
    digest = hashlib.blake2b("\0".join(facts).encode("utf-8"), digest_size=16).digest()
    return random.Random(digest)  # noqa: S311  # reproducible on purpose


def dice_of(
    request: ChatCompletionRequest, index: int, echoes: Container[str] = ECHOES
) -> random.Random:
    """The dice of one choice; of an echo, which throws none, one that is at hand."""
    thrown = request.model not in echoes or request.logprobs or request.tools
    return seeded(request, index) if thrown or request.response_format else _UNUSED


def last_question(messages: Sequence[ChatMessage]) -> str:
    """The content of the last user message, else of the last message with any."""
    questions = [
        m.content for m in messages if isinstance(m, UserMessage) and m.content
    ]
    texts = [m.content for m in messages if m.content]
    return (questions or texts or [""])[-1]


def keywords(text: str) -> list[str]:
    """The telling words of a text, in order, each once."""
    words = (word for word in _WORD.findall(text[:4000]) if len(word) > 3)
    return list(dict.fromkeys(w for w in words if w.lower() not in _COMMON))


def names(text: str) -> list[str]:
    """Capitalised words that do not open a sentence, neighbours together."""
    phrases: list[str] = []
    before = "."
    for token in _TOKEN.findall(text[:4000]):
        if len(token) > 1 and token[0].isupper() and before not in ".?!":
            if phrases and phrases[-1].split()[-1] == before:
                token = f"{phrases.pop()} {token}"
            phrases.append(token)
        before = token.split()[-1]
    return list(dict.fromkeys(phrases))


def compose(
    messages: Sequence[ChatMessage], dice: random.Random, *, written: bool = False
) -> str:
    """The answer to the conversation's last question, always whole sentences.

    With `written`, a common question gets its written answer. Any other one gets
    a few sentences about its words, which the dice choose.
    """
    question = last_question(messages)
    shown = " ".join(question.split())
    quote = shown if len(shown) <= 80 else f"{shown[:80].rsplit(' ', 1)[0]} ..."
    if results := _results(messages):
        return f'You asked: "{quote}" The tool says: {results}'
    if written and (answer := written_answer(question)):
        return answer
    words = keywords(question) or ["it"]
    first = dice.choice(words)
    second = dice.choice([word for word in words if word != first] or ["the rest"])
    sentences = [
        dice.choice(_OPENINGS),
        *dice.sample(_MIDDLES, 2),
        dice.choice(_ENDINGS),
    ]
    answer = " ".join(sentences).format(first=first, second=second)
    return f'You asked: "{quote}" {answer}'


def _results(messages: Sequence[ChatMessage]) -> str:
    """What the tools answered, if that is what came last."""
    last = itertools.takewhile(lambda m: isinstance(m, ToolMessage), messages[::-1])
    return " ".join([message.content or "" for message in last][::-1])
