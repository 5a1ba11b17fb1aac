"""Strings and numbers for a JSON Schema: candidates only, which the caller checks.

Source: JSON Schema 2020-12, validation, sections 6.2, 6.3 and 7.3.
"""

import itertools
import math
import random
import re
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Any

from examples.full_app.providers.offline.json_keywords import UnsupportedSchemaError
from examples.full_app.providers.offline.json_schema import Document, exact
from examples.full_app.providers.offline.prose import keywords, names

MAX_TEXT = 10_000  # characters of one string
MAX_FLOAT = 10**300
MAX_INTEGER = 10**4_000  # Python writes numbers of up to 4,300 digits
FORMATS = {
    "base64url": "ZXhhbXBsZQ",
    "date": "2026-01-31",
    "date-time": "2026-01-31T12:00:00Z",
    "duration": "P1D",
    "email": "someone@example.com",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "json-string": "{}",
    "time": "12:00:00Z",
    "uri": "https://example.com/",
    "uuid": "6a1f7e52-7c1b-4a36-9d0e-3f1f0a5b8c2d",
    "uuid4": "6a1f7e52-7c1b-4a36-9d0e-3f1f0a5b8c2d",
}
_NUMBER = re.compile(r"(?<![0-9.])(?:(?<!\w)-)?[0-9]{1,15}(?:\.[0-9]{1,6})?(?![0-9])")

Parts = Sequence[Mapping[str, Any]]  # schemas that all hold for one value


class Words:
    """What the values of one answer are made of: the prompt's words and numbers."""

    def __init__(self, prompt: str, dice: random.Random) -> None:
        self.dice = dice
        quoted = [text.strip() for text in re.findall(r'"([^"]{1,80})"', prompt)]
        words = [*filter(None, quoted), *names(prompt), *keywords(prompt)]
        self._words = list(dict.fromkeys(words)) or ["example"]
        self._count = 0
        numbers = itertools.islice(_NUMBER.finditer(prompt), 50)
        self.numbers = [Fraction(number[0]) for number in numbers]

    def next(self) -> str:
        """Quoted words first, then names, then keywords; then "word 2"."""
        number, at = divmod(self._count, len(self._words))
        self._count += 1
        return f"{self._words[at]} {number + 1}" if number else self._words[at]

    def use(self, number: float) -> None:
        """Each number of the prompt is used once."""
        if (used := exact(number)) in self.numbers:
            self.numbers.remove(used)

    def shuffled(self, values: Sequence[Any]) -> list[Any]:
        """`values` in an order that the dice decide."""
        return self.dice.sample(values, len(values))


def values_of(parts: Parts, *keywords: str) -> list[Any]:
    """What the parts say under any of the keywords."""
    return [part[name] for part in parts for name in keywords if name in part]


def string_candidates(parts: Parts, words: Words, document: Document) -> Iterator[str]:
    """Strings for `parts`. Raises UnsupportedSchemaError for unread patterns."""
    for name in values_of(parts, "format"):
        if name in FORMATS:
            yield FORMATS[name]
    lowest = max(values_of(parts, "minLength"), default=0)
    highest = min(values_of(parts, "maxLength"), default=MAX_TEXT)
    if lowest > MAX_TEXT:
        raise UnsupportedSchemaError("A string in the schema is too long.")
    document.steps.take(lowest // 100)
    text = words.next()
    while len(text) < lowest:
        text += f" {words.next()}"
    text = text[: max(lowest, highest)]
    text = f"{text[:-1]}." if text.endswith(" ") else text
    yield from dict.fromkeys((text, text.lower(), text.upper(), text.capitalize()))
    for source in values_of(parts, "pattern"):
        yield from document.pattern(source).samples(words.dice)


def number_candidates(parts: Parts, words: Words, *, whole: bool) -> Iterator[float]:
    """Numbers for `parts`: the prompt's, thrown ones, and those at the bounds."""
    low = [*map(exact, values_of(parts, "minimum", "exclusiveMinimum"))]
    high = [*map(exact, values_of(parts, "maximum", "exclusiveMaximum"))]
    steps = [*map(exact, values_of(parts, "multipleOf"))]
    if whole:
        steps = [Fraction(step.numerator) for step in steps] or [Fraction(1)]
    thrown = words.dice.randint(1, 9) + (Fraction(0) if steps else Fraction(1, 2))
    wishes = [thrown, *_near(low, high)]
    if steps:
        below = [wish // steps[0] * steps[0] for wish in wishes]
        wishes = [number + n * steps[0] for number in below for n in (0, 1, -1)]
    for number in [*words.numbers, *wishes]:
        if whole and number.denominator == 1 and abs(number) < MAX_INTEGER:
            yield int(number)
        elif not whole and abs(number) < MAX_FLOAT:
            yield float(number)


def _near(low: list[Fraction], high: list[Fraction]) -> Iterator[Fraction]:
    """What lies between the bounds, on them and beside them."""
    if low and high:
        yield (max(low) + min(high)) / 2
    for bound in [*low, *high]:
        yield from (bound, bound + 1, bound - 1)
        if abs(bound) < MAX_FLOAT:  # the next float, where 1 is lost in rounding
            yield exact(math.nextafter(float(bound), math.inf))
            yield exact(math.nextafter(float(bound), -math.inf))
