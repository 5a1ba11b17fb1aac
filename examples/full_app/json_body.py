"""Reading request bodies: bounded, UTF-8, and JSON in the strict sense of RFC 8259.

FastAPI's own reader guesses the encoding, keeps the last of two equal keys and lets
NaN, lone surrogates and 5,000 levels of nesting through to where they become a 500.
"""

import itertools
import json
import re
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from fastapi.routing import APIRoute
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from examples.full_app.errors import (
    InvalidJSONError,
    RequestTooLargeError,
    UnsupportedMediaTypeError,
)
from examples.full_app.headers import headers_of

MAX_DEPTH = 64
MAX_NUMBER_DIGITS = 64

_STRINGS = re.compile(rb'"(?:[^"\\]|\\.)*"?', re.DOTALL)
_LONG_NUMBER = re.compile(rb"[0-9]{%d}" % (MAX_NUMBER_DIGITS + 1))
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_DIGITS = bytes(48 if 48 <= byte < 58 else 0 for byte in range(256))  # all are "0"
_LONG = b"0" * (MAX_NUMBER_DIGITS + 1)
_CONTAINERS = frozenset({dict, list})


def parse_json(body: bytes, *, max_depth: int = MAX_DEPTH) -> Any:
    """The value of a JSON text. Raises InvalidJSONError for everything doubtful.

    Refused: not UTF-8, NaN and infinities (also by overflow), a key twice in one
    object, lone surrogates, numbers over 64 digits, nesting over `max_depth`.
    """
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        raise InvalidJSONError("The body is not UTF-8.") from None
    _check_numbers(body)
    try:
        value = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise InvalidJSONError(
            f"The body is not valid JSON: {error.msg} at character {error.pos}."
        ) from None
    except RecursionError:
        raise InvalidJSONError("The body is nested too deeply.") from None
    if body.count(b"[") + body.count(b"{") > max_depth:
        _check_depth(value, max_depth)
    if _SURROGATE.search(body):
        _check_surrogates(value)
    return value


def _check_numbers(body: bytes) -> None:
    """Length, before a parser multiplies: its time is quadratic in it."""
    if _LONG in body.translate(_DIGITS) and _LONG_NUMBER.search(_outside(body)):
        raise InvalidJSONError("A number in the body has too many digits.")


def _outside(body: bytes) -> bytes:
    return _STRINGS.sub(b'""', body)


def _check_depth(value: Any, max_depth: int) -> None:
    """Level by level: most bodies with many brackets are wide, not deep."""
    level = [value]
    for _ in range(max_depth + 1):
        inside = [
            each.values() if type(each) is dict else each
            for each in level
            if type(each) in _CONTAINERS
        ]
        if not inside:
            return
        level = list(itertools.chain.from_iterable(inside))
    raise InvalidJSONError(f"The body is nested deeper than {max_depth} levels.")


def _check_surrogates(value: Any) -> None:
    try:
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        raise InvalidJSONError("The body has a lone surrogate in a string.") from None


def _refuse_constant(name: str) -> Any:
    raise InvalidJSONError(f"{name} is not a JSON number.")


def _finite(digits: str) -> float:
    number = float(digits)
    if number in (float("inf"), float("-inf")):
        raise InvalidJSONError("A number in the body is too large.")
    return number


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise InvalidJSONError("A key appears twice in one object.")
    return found


_DECODER = json.JSONDecoder(
    parse_constant=_refuse_constant, parse_float=_finite, object_pairs_hook=_unique
)


class JSONRequest(Request):
    """A request whose body was already read and parsed by `load`."""

    _parsed: Any = None

    async def load(self, max_bytes: int) -> None:
        """Read and parse. Raises RequestTooLarge-, UnsupportedMediaType- or
        InvalidJSONError; reads at most `max_bytes` bytes and one chunk more.
        """
        headers = headers_of(self.scope)
        media_type = headers.get("content-type", "").partition(";")[0].strip()
        if media_type.lower() != "application/json":
            raise UnsupportedMediaTypeError("Send the body as application/json.")
        if headers.get("content-encoding", "identity").lower() != "identity":
            raise UnsupportedMediaTypeError("Send the body without content encoding.")
        declared = headers.get("content-length", "0")
        if declared.isdecimal() and int(declared) > max_bytes:
            raise RequestTooLargeError(max_bytes)
        self._body = await self._read(max_bytes)
        self._parsed = parse_json(self._body)

    async def _read(self, max_bytes: int) -> bytes:
        chunks, size, more = [], 0, True
        while more:
            message = await self.receive()
            if message["type"] == "http.disconnect":
                raise ClientDisconnect
            chunks.append(message.get("body", b""))
            size += len(chunks[-1])
            if size > max_bytes:
                raise RequestTooLargeError(max_bytes)
            more = message.get("more_body", False)
        return b"".join(chunks)

    async def json(self) -> Any:
        """The parsed body."""
        return self._parsed


class JSONRoute(APIRoute):
    """A route whose body, if it takes one, is read by `JSONRequest`."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """FastAPI's handler, handed a request that is already parsed."""
        inner = super().get_route_handler()
        if self.body_field is None:
            return inner

        async def handler(request: Request) -> Response:
            strict = JSONRequest(request.scope, request.receive)
            await strict.load(request.state.settings.max_body_bytes)
            return await self.respond(strict, inner)

        return handler

    async def respond(
        self, request: JSONRequest, answer: Callable[[Request], Awaitable[Response]]
    ) -> Response:
        """`answer` to the parsed request; subclasses do more around it."""
        return await answer(request)
