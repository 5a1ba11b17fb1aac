"""Reading request bodies: bounded, UTF-8, and JSON in the strict sense of RFC 8259.

The parser is Pydantic's own, `pydantic_core.from_json`: it refuses NaN, lone surrogates
and deep nesting. It would let three things through that are looked for here: a body of
half a million values, which costs its reader far more than its sender; a key that
appears twice in one object; and a number that overflows, such as 1e999.
"""

import asyncio
import itertools
import math
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, NamedTuple

from fastapi.routing import APIRoute
from pydantic import ValidationError, WrapValidator
from pydantic_core import PydanticCustomError, from_json
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from examples.full_app.errors import (
    InvalidJSONError,
    RequestTooLargeError,
    SlowUploadError,
    TooManyValuesError,
    UnsupportedMediaTypeError,
)
from examples.full_app.lifecycle import Draining
from examples.full_app.schemas.chat import rules_applied
from examples.full_app.settings import Settings

MAX_DEPTH = 64
MAX_INTEGER = 10**64
MAX_DESCRIBED = 1_000  # pydantic makes a dict of each, at ten microseconds or more
MAX_KEYS = 5_000  # of one object; the properties OpenAI reads of a schema

_STEP = {ord("{"): 1, ord("["): 1, ord("}"): -1, ord("]"): -1}
_NOT_BRACKETS = bytes(set(range(256)) - set(_STEP))


class JSONLimits(NamedTuple):
    """What a body may hold: values in lists and objects, objects among them, keys.

    An object costs ten times what a number does, a key five times.
    """

    values: int = 30_000
    objects: int = 20_000
    keys: int = 30_000


DEFAULT_LIMITS = JSONLimits()
LIMITS_BY_PATH = {
    # Up to 10,000 chat requests in one body, of 15 values each.
    "/v1/jobs": JSONLimits(values=150_000, objects=40_000, keys=150_000),
    # OpenAI reads up to 300,000 token ids per request; none of them is an object.
    "/v1/embeddings": JSONLimits(values=310_000, objects=1_000, keys=1_000),
}


def parse_json(body: bytes, limits: JSONLimits = DEFAULT_LIMITS) -> Any:
    """The value of a JSON text. Raises InvalidJSONError for everything doubtful.

    Refused: not UTF-8, NaN and infinities (also by overflow), a key twice in one
    object, lone surrogates, integers over 64 digits, nesting over 64 levels. Raises
    TooManyValuesError for more than `limits`, before it builds them.
    """
    try:
        body.decode("utf-8")
    except UnicodeDecodeError:
        raise InvalidJSONError("The body is not UTF-8.") from None
    punctuation = _without_strings(body, limits)
    _check_breadth(punctuation, limits)
    try:
        value = from_json(body, allow_inf_nan=False)
    except ValueError as error:  # says what and where, and quotes nothing
        raise InvalidJSONError(f"The body is not valid JSON: {error}.") from None
    _check_value(value, keys_written=punctuation.count(b":"))
    return value


def _without_strings(body: bytes, limits: JSONLimits) -> bytes:
    """The text outside of its strings: numbers, brackets, commas and colons.

    Escaped quotes and backslashes go first, so that every quote left begins or ends a
    string. Raises TooManyValuesError if there are more strings than values and keys.
    """
    unescaped = body.replace(rb"\\", b"").replace(rb"\"", b"")
    if unescaped.count(b'"') > 2 * (limits.values + limits.keys) + 2:
        raise TooManyValuesError(limits.values, "values")
    return b"".join(unescaped.split(b'"')[::2])


def _check_breadth(punctuation: bytes, limits: JSONLimits) -> None:
    """Raises TooManyValuesError for more values, objects or keys than `limits`."""
    objects = punctuation.count(b"{")
    written = JSONLimits(
        values=objects + punctuation.count(b"[") + punctuation.count(b","),
        objects=objects,
        keys=punctuation.count(b":"),
    )
    for what, count, limit in zip(written._fields, written, limits, strict=True):
        if count > limit:
            _check_depth_of_text(punctuation)  # a million brackets are deep, not wide
            raise TooManyValuesError(limit, what)


def _check_depth_of_text(punctuation: bytes) -> None:
    brackets = punctuation.translate(None, _NOT_BRACKETS)[:1000]
    depths = itertools.accumulate(_STEP[bracket] for bracket in brackets)
    if max(depths, default=0) > MAX_DEPTH:
        raise _too_deep()


def _check_value(value: Any, keys_written: int) -> None:
    """Look at every value, one level of nesting after the other.

    A key that was written twice is kept once by the parser: then the objects have
    fewer keys than the text has colons.
    """
    keys = 0
    depth = 0
    level = [value]
    while level:
        inside: list[Any] = []
        for item in level:
            kind = type(item)
            if kind is dict:
                if len(item) > MAX_KEYS:
                    raise TooManyValuesError(MAX_KEYS, "keys in one object")
                keys += len(item)
                inside.extend(item.values())
            elif kind is list:
                inside.extend(item)
            elif kind is float and math.isinf(item):
                raise InvalidJSONError("A number in the body is too large.")
            elif kind is int and not -MAX_INTEGER < item < MAX_INTEGER:
                raise InvalidJSONError("A number in the body has too many digits.")
            if depth == MAX_DEPTH and kind in (dict, list):
                raise _too_deep()
        level = inside
        depth += 1
    if keys != keys_written:
        raise InvalidJSONError("A key appears twice in one object.")


def _too_deep() -> InvalidJSONError:
    return InvalidJSONError(f"The body is nested deeper than {MAX_DEPTH} levels.")


def _bounded(value: Any, validate: Callable[[Any], Any]) -> Any:
    try:
        return validate(value)
    except ValidationError as error:
        count = error.error_count()
        if count <= MAX_DESCRIBED:
            raise
        raise PydanticCustomError(
            "too_many_errors",
            "The request has {error_count} mistakes: too many to list.",
            {"error_count": count},
        ) from None


# For the model of a body: one mistake in place of the thousands that fit into one, each
# of which FastAPI would describe before our handler could drop all but 20.
Bounded = WrapValidator(_bounded)


async def read_body(request: Request, max_bytes: int) -> bytes:
    """The body of a request that says it is plain JSON.

    Raises UnsupportedMediaTypeError, RequestTooLargeError, or starlette's
    ClientDisconnect if the client leaves; reads at most `max_bytes` bytes and one chunk
    more.
    """
    headers = request.headers
    media_type = headers.get("content-type", "").partition(";")[0].strip()
    if media_type.lower() != "application/json":
        raise UnsupportedMediaTypeError("Send the body as application/json.")
    if headers.get("content-encoding", "identity").lower() != "identity":
        raise UnsupportedMediaTypeError("Send the body without content encoding.")
    declared = headers.get("content-length", "0")
    if declared.isdecimal() and int(declared) > max_bytes:
        raise RequestTooLargeError(max_bytes)
    body = bytearray()
    more = True
    while more:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        body += message.get("body", b"")
        if len(body) > max_bytes:
            raise RequestTooLargeError(max_bytes)
        more = message.get("more_body", False)
    return bytes(body)


async def read_in_time(request: Request) -> bytes:
    """The body of a request, read within the time that the settings give it.

    While the process shuts down the time is over when draining is. Raises
    SlowUploadError, and what `read_body` raises.
    """
    loop = asyncio.get_running_loop()
    state = request.state
    settings: Settings = state.settings
    draining: Draining = state.draining
    try:
        async with asyncio.timeout(settings.request_timeout_seconds) as limit:
            ended = draining.watch(lambda: limit.reschedule(loop.time()))
            try:
                return await read_body(request, settings.max_body_bytes)
            finally:
                ended()
    except TimeoutError:
        raise SlowUploadError from None


class JSONRequest(Request):
    """A request whose body was read, and parsed strictly, before FastAPI sees it."""

    def __init__(self, request: Request, body: bytes, parsed: Any) -> None:
        super().__init__(request.scope, request.receive)
        self._read = body
        self._parsed = parsed

    async def body(self) -> bytes:
        """The body as it was read."""
        return self._read

    async def json(self) -> Any:
        """The parsed body."""
        return self._parsed


class JSONRoute(APIRoute):
    """A route whose body, if it takes one, is read by `JSONRequest`.

    How much the body may hold is in `LIMITS_BY_PATH`.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """FastAPI's handler, handed a request that is already parsed."""
        inner = super().get_route_handler()
        if self.body_field is None:
            return inner
        limits = LIMITS_BY_PATH.get(self.path, DEFAULT_LIMITS)

        async def handler(request: Request) -> Response:
            body = await read_in_time(request)
            parsed = parse_json(body, limits)
            with rules_applied(request.state.chat_service.upstream_rules):
                return await self.respond(JSONRequest(request, body, parsed), inner)

        return handler

    def respond(
        self, request: JSONRequest, answer: Callable[[Request], Awaitable[Response]]
    ) -> Awaitable[Response]:
        """`answer` to the parsed request; subclasses do more around it."""
        return answer(request)
