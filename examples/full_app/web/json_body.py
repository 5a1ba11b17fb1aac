"""Reading request bodies: bounded, UTF-8, and JSON in the strict sense of RFC 8259.

FastAPI's own reader guesses the encoding, keeps the last of two equal keys and lets
NaN, lone surrogates and 5,000 levels of nesting through to where they become a 500.
"""

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
    TooManyValuesError,
    UnsupportedMediaTypeError,
)
from examples.full_app.web.json_shape import (
    DEFAULT_LIMITS,
    MAX_DEPTH,
    MAX_KEYS,
    JSONLimits,
    check_depth,
    check_shape,
)

_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


def parse_json(body: bytes, limits: JSONLimits = DEFAULT_LIMITS) -> Any:
    """The value of a JSON text. Raises InvalidJSONError for everything doubtful.

    Refused: not UTF-8, NaN and infinities (also by overflow), a key twice in one
    object, lone surrogates, numbers over 64 digits, nesting over 64 levels. Raises
    TooManyValuesError for more than `limits`, before it reads them.
    """
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        raise InvalidJSONError("The body is not UTF-8.") from None
    decoder = _CAREFUL if check_shape(body, limits) else _DECODER
    try:
        value = decoder.decode(text)
    except json.JSONDecodeError as error:
        raise InvalidJSONError(
            f"The body is not valid JSON: {error.msg} at character {error.pos}."
        ) from None
    except RecursionError:
        raise InvalidJSONError("The body is nested too deeply.") from None
    if body.count(b"[") + body.count(b"{") > MAX_DEPTH:
        check_depth(value)
    if _SURROGATE.search(body):
        _check_surrogates(value)
    return value


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
    if len(pairs) > MAX_KEYS:
        raise TooManyValuesError(MAX_KEYS, "keys in one object")
    found = dict(pairs)
    if len(found) != len(pairs):
        raise InvalidJSONError("A key appears twice in one object.")
    return found


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant, object_pairs_hook=_unique)
_CAREFUL = json.JSONDecoder(  # where a number may overflow; else a call a number
    parse_constant=_refuse_constant, parse_float=_finite, object_pairs_hook=_unique
)


class JSONRequest(Request):
    """A request whose body was already read and parsed by `load`."""

    _parsed: Any = None

    async def load(self, max_bytes: int, limits: JSONLimits = DEFAULT_LIMITS) -> None:
        """Read and parse. Raises RequestTooLarge-, UnsupportedMediaType- or
        InvalidJSONError; reads at most `max_bytes` bytes and one chunk more.
        """
        headers = self.headers
        media_type = headers.get("content-type", "").partition(";")[0].strip()
        if media_type.lower() != "application/json":
            raise UnsupportedMediaTypeError("Send the body as application/json.")
        if headers.get("content-encoding", "identity").lower() != "identity":
            raise UnsupportedMediaTypeError("Send the body without content encoding.")
        declared = headers.get("content-length", "0")
        if declared.isdecimal() and int(declared) > max_bytes:
            raise RequestTooLargeError(max_bytes)
        self._body = await self._read(max_bytes)
        self._parsed = parse_json(self._body, limits)

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

    json_limits = DEFAULT_LIMITS

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """FastAPI's handler, handed a request that is already parsed."""
        inner = super().get_route_handler()
        if self.body_field is None:
            return inner

        async def handler(request: Request) -> Response:
            strict = JSONRequest(request.scope, request.receive)
            most = request.state.settings.max_body_bytes
            await strict.load(most, self.json_limits)
            return await self.respond(strict, inner)

        return handler

    def respond(
        self, request: JSONRequest, answer: Callable[[Request], Awaitable[Response]]
    ) -> Awaitable[Response]:
        """`answer` to the parsed request; subclasses do more around it."""
        return answer(request)
