"""Strings and numbers for a JSON Schema, candidates only: the caller checks them.

Source: JSON Schema 2020-12, validation, sections 6.2, 6.3 and 7.3.
"""

import itertools
import math
import random
import re
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Any

from examples.full_app.providers.offline.json_check import exact
from examples.full_app.providers.offline.json_keywords import (
    Steps,
    UnsupportedSchemaError,
)
from examples.full_app.providers.offline.patterns import samples
from examples.full_app.providers.offline.prose import keywords, names

MAX_TEXT = 10_000  # characters of one string
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


class Words:
    """What the values of one answer are made of: the prompt's words and numbers."""

    def __init__(self, prompt: str, dice: random.Random) -> None:
        self.dice = dice
        quoted = [text.strip() for text in re.findall(r'"([^"]{1,80})"', prompt)]
        found = [*filter(None, quoted), *names(prompt), *keywords(prompt)]
        self._words = list(dict.fromkeys(found)) or ["example"]
        self._given = 0
        matches = itertools.islice(_NUMBER.finditer(prompt), 50)
        self.numbers = [Fraction(match[0]) for match in matches]

    def next(self) -> str:
        """Quoted words first, then names, then all that tell much; then "word 2"."""
        number, at = divmod(self._given, len(self._words))
        self._given += 1
        return f"{self._words[at]} {number + 1}" if number else self._words[at]

    def use(self, number: float) -> None:
        """Each number of the prompt is used once."""
        if (used := exact(number)) in self.numbers:
            self.numbers.remove(used)

    def shuffled(self, values: Sequence[Any]) -> list[Any]:
        """`values` in an order that the dice decide."""
        return self.dice.sample(values, len(values))


def string_candidates(
    schema: Mapping[str, Any], words: Words, steps: Steps
) -> Iterator[str]:
    """Strings for `schema`. Raises UnsupportedSchemaError for unread patterns."""
    if (usual := FORMATS.get(schema.get("format", ""))) is not None:
        yield usual
    least, most = schema.get("minLength", 0), schema.get("maxLength", MAX_TEXT)
    if least > MAX_TEXT:
        raise UnsupportedSchemaError("A string in the schema is too long.")
    text = words.next()
    while len(text) < least:
        text += f" {words.next()}"
    text = text[: max(least, min(most, len(text)))]
    text = f"{text[:-1]}." if text.endswith(" ") else text
    yield from dict.fromkeys((text, text.lower(), text.upper(), text.capitalize()))
    if "pattern" in schema:
        yield from samples(schema["pattern"], words.dice, steps)


def number_candidates(
    schema: Mapping[str, Any], words: Words, *, whole: bool
) -> Iterator[int | float]:
    """Numbers for `schema`: the prompt's, thrown ones, and those at the bounds."""
    low, high = (
        [exact(schema[name]) for name in found if name in schema]
        for found in (("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum"))
    )
    step = exact(schema["multipleOf"]) if "multipleOf" in schema else Fraction(0)
    if whole:
        step = Fraction((step or Fraction(1)).numerator)
    thrown = words.dice.randint(1, 9) + (Fraction(0) if step else Fraction(1, 2))
    wishes = [*words.numbers, thrown, *_between(low, high)]
    for wish in wishes:
        if not step or wish in words.numbers:  # as it is, or not at all
            near = [] if step and wish % step else [wish]
        else:
            below = wish // step * step
            near = [below, below + step, below - step]
        for number in near:
            yield from _as_json(number, whole=whole)


def _between(low: list[Fraction], high: list[Fraction]) -> Iterator[Fraction]:
    if low and high:
        yield (max(low) + min(high)) / 2
    for bound in low:
        yield from (bound, bound + 1, *_beside(bound, math.inf))
    for bound in high:
        yield from (bound, bound - 1, *_beside(bound, -math.inf))


def _beside(bound: Fraction, towards: float) -> Iterator[Fraction]:
    """The float next to `bound`, where one more or less is lost in rounding."""
    for number in _as_json(bound, whole=False):
        beside = math.nextafter(number, towards)
        if math.isfinite(beside):
            yield exact(beside)


def _as_json(number: Fraction, *, whole: bool) -> Iterator[int | float]:
    if whole:
        yield int(number)
        return
    try:
        yield float(number)
    except OverflowError:
        return
