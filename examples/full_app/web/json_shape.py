"""What a JSON text holds, counted before a parser builds it.

Two MiB have room for a million numbers or 700,000 empty objects: half a second of CPU
a body, for a caller who pays nothing. Here bytes are counted, never looped over.
"""

import itertools
from typing import Any, NamedTuple

from examples.full_app.errors import InvalidJSONError, TooManyValuesError

MAX_DEPTH = 64
MAX_NUMBER_DIGITS = 64
MAX_EXPONENTS = 1_000  # numbers with an exponent are slow to read
MAX_KEYS = 5_000  # of one object; the properties OpenAI reads of a schema

_STEP = {ord("{"): 1, ord("["): 1, ord("}"): -1, ord("]"): -1}
_CONTAINERS = frozenset({dict, list})
_NOT_BRACKETS = bytes(set(range(256)) - set(_STEP))
_MARKS = bytes.maketrans(b"123456789E", b"000000000e")
_LONG_NUMBER = b"0" * (MAX_NUMBER_DIGITS + 1)


class TooDeepError(InvalidJSONError):
    """Lists and objects in one another, over `MAX_DEPTH` of them."""

    def __init__(self) -> None:
        super().__init__(f"The body is nested deeper than {MAX_DEPTH} levels.")


class JSONLimits(NamedTuple):
    """What a body may hold: values in lists and objects, objects among them, keys.

    An object costs ten times what a number does, a key five times.
    """

    values: int = 30_000
    objects: int = 20_000
    keys: int = 30_000


DEFAULT_LIMITS = JSONLimits()


def check_shape(body: bytes, limits: JSONLimits) -> bool:
    """Whether a number in the body may overflow. Raises TooManyValuesError over
    `limits`, InvalidJSONError for numbers over 64 digits.
    """
    opened = body.count(b"[") + body.count(b"{")
    many = opened + body.count(b",") > min(limits)
    marks = body.translate(_MARKS)
    exponents = b"0e" in marks
    if many or exponents or _LONG_NUMBER in marks:
        _check_outside_strings(_outside_strings(body, limits), limits)
    return exponents


def _check_outside_strings(outside: bytes, limits: JSONLimits) -> None:
    brackets = outside.translate(None, _NOT_BRACKETS)
    depths = itertools.accumulate(map(_STEP.__getitem__, brackets[:1000]))
    if max(depths, default=0) > MAX_DEPTH:  # before it is called wide
        raise TooDeepError
    objects = outside.count(b"{")
    found = JSONLimits(
        values=objects + outside.count(b"[") + outside.count(b","),
        objects=objects,
        keys=outside.count(b":"),
    )
    for what, count, most in zip(found._fields, found, limits, strict=True):
        if count > most:
            raise TooManyValuesError(most, what)
    marks = outside.translate(_MARKS)
    if marks.count(b"0e") > MAX_EXPONENTS:
        raise TooManyValuesError(MAX_EXPONENTS, "numbers with an exponent")
    if _LONG_NUMBER in marks:
        raise InvalidJSONError("A number in the body has too many digits.")


def _outside_strings(body: bytes, limits: JSONLimits) -> bytes:
    """The text without its strings. A backslash outside of one hides what follows it,
    which no parser reaches.
    """
    unescaped = body.replace(rb"\\", b"").replace(rb"\"", b"")
    if unescaped.count(b'"') > 2 * (limits.values + limits.keys) + 2:
        raise TooManyValuesError(limits.values, "values")
    return b"".join(unescaped.split(b'"')[::2])


def check_depth(value: Any) -> None:
    """Raises TooDeepError over 64 levels. Most bodies are wide rather than deep."""
    level = [value] if type(value) in _CONTAINERS else []
    for _ in range(MAX_DEPTH):
        inside = [each.values() if type(each) is dict else each for each in level]
        if _CONTAINERS.isdisjoint(map(type, itertools.chain.from_iterable(inside))):
            return
        values = itertools.chain.from_iterable(inside)
        level = [each for each in values if type(each) in _CONTAINERS]
    raise TooDeepError
