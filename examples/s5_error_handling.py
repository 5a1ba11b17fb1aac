r"""Section 5: error handling. Eight codes, one class for each, one body for all.

Run it:
    python -m course run s5

Try it:
    curl -s http://127.0.0.1:8000/errors
    curl -si http://127.0.0.1:8000/errors/rate_limit_exceeded
    curl -si http://127.0.0.1:8000/errors/unexpected -H 'X-Request-ID: lesson-5'
    curl -s http://127.0.0.1:8000/echo -H 'Content-Type: application/json' \
        -d '{"text": "hello", "count": NaN}'

The first line lists all codes. The second is an error with a `Retry-After`. The third
is a bug: the answer has your id and no traceback, and the terminal shows the traceback.
The fourth is refused with 422, and the answer does not repeat what you sent.
"""

import json
import logging
import math
import re
import secrets
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from enum import StrEnum
from typing import Any

import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field, JsonValue
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

logger = logging.getLogger(__name__)

# --- Codes ---
# A status such as 400 is too coarse: a prompt that is too long and a prompt that was
# filtered are both 400. A code tells a program which of them it was.


class ErrorCode(StrEnum):
    """What went wrong, as a word that a program can compare.

    A StrEnum prints its value: `f"{ErrorCode.TIMEOUT}"` is `timeout`.
    """

    VALIDATION_ERROR = "validation_error"
    RATE_LIMIT_EXCEEDED = "rate_limit_exceeded"
    MODEL_ERROR = "model_error"
    CONTEXT_LENGTH_EXCEEDED = "context_length_exceeded"
    CONTENT_FILTERED = "content_filtered"
    SERVICE_UNAVAILABLE = "service_unavailable"
    INTERNAL_ERROR = "internal_error"
    TIMEOUT = "timeout"


# --- One body ---
# Every failure has the same four fields, so that a client reads them all with the same
# code: a message for a person, a code for the program, an id for the operator, and
# details.


class ErrorResponse(BaseModel):
    """The body of every failure.

    `details` is null, or holds figures that help to correct the request, such as
    `{"tokens_used": 130000, "max_tokens": 128000}`.
    """

    error: str
    code: str
    request_id: str | None = None
    details: dict[str, Any] | None = None


# --- The base class ---
# Our own code raises exceptions and knows nothing of HTTP answers. What an answer needs
# is therefore stored in the exception.


class AIError(Exception):
    """A failure that the caller is told about.

    Besides the message it carries a code, an HTTP status and details. `retry_after` is
    the number of seconds to wait before another try, or None if we cannot say.
    `headers` are sent with the answer.

    Two attributes belong to the class, not to one error: `retryable` is True when the
    same request may succeed later, and `recovery` says what a client does about it.
    """

    code: str
    status_code: int
    retryable: bool = False
    recovery: str = "Read the status and the message before you try again."

    def __init__(
        self,
        message: str,
        code: str,
        status_code: int = 500,
        details: Mapping[str, Any] | None = None,
        *,
        retry_after: float | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)  # without it, str(error) is empty
        self.message = message
        self.code = code
        self.status_code = status_code
        self.details = details
        self.retry_after = retry_after
        self.headers = headers or {}

    def __reduce__(self) -> tuple[Any, ...]:
        """How to pickle an error; "What production adds" says why this is needed."""
        return create_without_init, (type(self), self.message), self.__dict__


# --- One class for each code ---
# A class fixes the code, the status and the advice. A route that raises one only says
# what happened. `except AIError` catches them all, `except ModelError` only one.


class CodedError(AIError):
    """Base of the errors whose class knows its code and its status."""

    def __init__(
        self,
        message: str,
        details: Mapping[str, Any] | None = None,
        *,
        retry_after: float | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(
            message,
            self.code,
            self.status_code,
            details,
            retry_after=retry_after,
            headers=headers,
        )


class InvalidRequestError(CodedError):
    """The request breaks a rule: a field is missing, unknown or out of range."""

    code = ErrorCode.VALIDATION_ERROR
    status_code = 422
    recovery = "Correct what the message and the details name, then send it again."


class RateLimitExceededError(CodedError):
    """The caller has sent too many requests; `retry_after` is in seconds."""

    code = ErrorCode.RATE_LIMIT_EXCEEDED
    status_code = 429
    retryable = True
    recovery = "Wait for Retry-After seconds, then send the same request again."

    def __init__(self, retry_after: float) -> None:
        super().__init__(
            "Too many requests.",
            {"retry_after": retry_after},
            retry_after=retry_after,
        )


class ModelError(CodedError):
    """The model or its provider failed, or sent an answer that makes no sense."""

    code = ErrorCode.MODEL_ERROR
    status_code = 502
    retryable = True
    recovery = "Retry with growing, random pauses; then use another model."


class ContextLengthError(CodedError):
    """Prompt and answer together need more tokens than the model can hold.

    `tokens_used` is what the request needs, `max_tokens` is what the model can hold.
    """

    code = ErrorCode.CONTEXT_LENGTH_EXCEEDED
    status_code = 400
    recovery = "Shorten the messages or lower max_tokens; a retry will not fit either."

    def __init__(self, tokens_used: int, max_tokens: int) -> None:
        super().__init__(
            f"{tokens_used} tokens; at most {max_tokens} fit.",
            {"tokens_used": tokens_used, "max_tokens": max_tokens},
        )


class ContentFilteredError(CodedError):
    """The model's safety filter refused the prompt or the answer."""

    code = ErrorCode.CONTENT_FILTERED
    status_code = 400
    recovery = "Rephrase the prompt; sent unchanged it is refused again."


class ModelOverloadedError(CodedError):
    """The model has no capacity at the moment; `retry_after` is in seconds."""

    code = ErrorCode.SERVICE_UNAVAILABLE
    status_code = 503
    retryable = True
    recovery = "Wait for Retry-After seconds; if it lasts, use another model."

    def __init__(self, retry_after: float = 60) -> None:
        super().__init__(
            "The model is overloaded.",
            {"retry_after": retry_after},
            retry_after=retry_after,
        )


class InternalError(CodedError):
    """We have a bug. The caller learns the request id, and nothing about the bug."""

    code = ErrorCode.INTERNAL_ERROR
    status_code = 500
    recovery = "Report the request id; retrying repeats the bug."


class ModelTimeoutError(CodedError):
    """The model did not answer in time."""

    code = ErrorCode.TIMEOUT
    status_code = 504
    retryable = True
    recovery = "Retry once, streamed or with fewer max_tokens; both may be billed."


ERROR_CLASSES: dict[str, type[CodedError]] = {
    ErrorCode.VALIDATION_ERROR: InvalidRequestError,
    ErrorCode.RATE_LIMIT_EXCEEDED: RateLimitExceededError,
    ErrorCode.MODEL_ERROR: ModelError,
    ErrorCode.CONTEXT_LENGTH_EXCEEDED: ContextLengthError,
    ErrorCode.CONTENT_FILTERED: ContentFilteredError,
    ErrorCode.SERVICE_UNAVAILABLE: ModelOverloadedError,
    ErrorCode.INTERNAL_ERROR: InternalError,
    ErrorCode.TIMEOUT: ModelTimeoutError,
}

# --- From any exception to an AIError ---
# FastAPI raises errors of its own: an HTTPException for an unknown path, a
# RequestValidationError for a wrong field. They become AIErrors first, so that one
# function can answer all of them.

CODE_BY_STATUS = {
    400: ErrorCode.VALIDATION_ERROR,
    422: ErrorCode.VALIDATION_ERROR,
    429: ErrorCode.RATE_LIMIT_EXCEEDED,
    500: ErrorCode.INTERNAL_ERROR,
    502: ErrorCode.MODEL_ERROR,
    503: ErrorCode.SERVICE_UNAVAILABLE,
    504: ErrorCode.TIMEOUT,
}


def from_exception(exc: Exception) -> AIError:
    """The AIError that says the same as `exc`; anything unknown is an InternalError."""
    if isinstance(exc, AIError):
        return exc
    if isinstance(exc, HTTPException):
        return from_http_exception(exc)
    if isinstance(exc, RequestValidationError):
        return from_validation_error(exc)
    return InternalError("An unexpected error.")


def from_http_exception(exc: HTTPException) -> AIError:
    """An AIError with the status, the headers and the detail of an HTTPException.

    Its code is the one that fits the status, and `http_error` where none does: there is
    no code for 404.
    """
    message = str(exc.detail)
    details = None
    if not isinstance(exc.detail, str):  # FastAPI allows any value
        message = "Refused."
        details = {"detail": exc.detail}

    code = CODE_BY_STATUS.get(exc.status_code)
    if code is None:
        return AIError(
            message, "http_error", exc.status_code, details, headers=exc.headers
        )
    error = AIError(message, code, exc.status_code, details, headers=exc.headers)
    error.retryable = ERROR_CLASSES[code].retryable
    error.recovery = ERROR_CLASSES[code].recovery
    return error


def from_validation_error(exc: RequestValidationError) -> InvalidRequestError:
    """Name the fields that are wrong, without repeating what was sent.

    The details list the first errors and count all of them.
    """
    errors = exc.errors()
    first_errors = errors[:MAX_LISTED_ERRORS]
    details = {
        "errors": [describe_validation_error(error) for error in first_errors],
        "error_count": len(errors),
    }
    return InvalidRequestError("The request is not valid.", details)


# --- The answer ---
# An error becomes an HTTP answer in one place. Another service may want another body;
# it passes a function of its own to `setup_error_handlers`.

Render = Callable[[AIError, str], Response]


def render_error(error: AIError, request_id: str) -> Response:
    """The answer to an error: its status, its headers, and an ErrorResponse.

    `Retry-After` is in whole seconds (RFC 9110, section 10.2.3), rounded up: a client
    that obeys it never comes too early.
    """
    body = ErrorResponse(
        error=error.message[:MAX_MESSAGE_CHARACTERS],
        code=error.code,
        request_id=request_id,
        details=bounded_details(error.details),
    )
    headers = {**error.headers, "X-Request-ID": request_id}
    if error.retry_after is not None:
        headers["Retry-After"] = str(math.ceil(max(0, error.retry_after)))
    return json_response(body.model_dump(), error.status_code, headers)


# --- Handlers ---
# An exception handler is a function that FastAPI calls with an exception that a route
# did not catch. Routes only raise; what the caller reads is decided here.


def setup_error_handlers(app: FastAPI, *, render: Render = render_error) -> None:
    """Answer and log every failure of `app`, and give every request an id.

    `render` makes an answer from an error and a request id.
    """

    async def handle_error(request: Request, exc: Exception) -> Response:
        """Answer an error that a route or FastAPI raised on purpose."""
        error = from_exception(exc)
        request_id = get_request_id(request)
        log_error(error, request_id, cause=exc)
        return respond(error, request_id, render)

    async def handle_unexpected(request: Request, exc: Exception) -> Response:
        """Answer an unexpected exception; the server itself logs its traceback."""
        error = from_exception(exc)
        request_id = get_request_id(request)
        log_error(error, request_id, cause=None)
        response = respond(error, request_id, render)
        announce_close(request, response)
        return response

    app.add_exception_handler(AIError, handle_error)
    app.add_exception_handler(HTTPException, handle_error)
    app.add_exception_handler(RequestValidationError, handle_error)
    app.add_exception_handler(Exception, handle_unexpected)
    app.add_middleware(RequestIDMiddleware)


def log_error(error: AIError, request_id: str, cause: Exception | None) -> None:
    """Log one line with id, code and details, and a traceback if the failure is ours.

    A status below 500 is the caller's mistake: level INFO. What the caller sent is not
    logged, because it may be private.
    """
    fields = {
        "request_id": request_id,
        "error_code": error.code,
        "details": error.details,
    }
    if error.status_code < 500:
        logger.info("answered with %s", error.code, extra=fields)
    else:
        logger.error("answered with %s", error.code, exc_info=cause, extra=fields)


# --- The request id ---
# One id is in the answer's header, in its body and in every line of the log. A caller
# who reports it has told us everything that we need to find the request.

request_id_var: ContextVar[str | None] = ContextVar("request_id", default=None)


class RequestIDMiddleware:
    """Give every HTTP request and every WebSocket an id, and send it as X-Request-ID.

    A caller's own id is kept. A route reads it from `request.state.request_id`; code
    that has no request, such as a log formatter, reads it from `request_id_var`.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection, as the ASGI specification describes it."""
        if scope["type"] == "lifespan":  # start and stop of the server
            await self.app(scope, receive, send)
            return

        given = Headers(scope=scope).get("X-Request-ID", "")
        request_id = given if is_safe_id(given) else new_request_id()
        scope.setdefault("state", {})["request_id"] = request_id
        request_id_var.set(request_id)

        async def send_with_id(message: Message) -> None:
            """Add the header to the message that carries headers."""
            if message["type"] in MESSAGES_WITH_HEADERS:
                MutableHeaders(scope=message)["X-Request-ID"] = request_id
            await send(message)

        await self.app(scope, receive, send_with_id)


MESSAGES_WITH_HEADERS = {
    "http.response.start",
    "websocket.accept",
    "websocket.http.response.start",  # a WebSocket that was refused
}


def new_request_id() -> str:
    """A new id: `req_` and 32 random hexadecimal digits."""
    return f"req_{secrets.token_hex(16)}"


def get_request_id(request: Request) -> str:
    """The id of a request.

    It is a new one if an outer middleware failed before RequestIDMiddleware ran.
    """
    request_id: str | None = getattr(request.state, "request_id", None)
    return request_id or new_request_id()


# --- An app that fails on demand ---
# A request can raise every error by its code, and you can send bad JSON to /echo.

app = FastAPI(
    title="Section 5: error handling",
    responses={status: {"model": ErrorResponse} for status in CODE_BY_STATUS},
)
setup_error_handlers(app)


class ErrorDescription(BaseModel):
    """One code: its class, its status, and what a client does about it."""

    name: str
    code: str
    status_code: int
    retryable: bool
    recovery: str


@app.get("/errors", tags=["codes"], summary="All codes, and what to do about each")
async def list_errors() -> list[ErrorDescription]:
    """Describe all codes; everything is read from the classes."""
    return [
        ErrorDescription(
            name=error_class.__name__,
            code=error_class.code,
            status_code=error_class.status_code,
            retryable=error_class.retryable,
            recovery=error_class.recovery,
        )
        for error_class in ERROR_CLASSES.values()
    ]


# This route comes before /errors/{code}, because the first route that matches wins.
@app.get("/errors/unexpected", tags=["failures"], summary="Run into a bug")
@app.post("/errors/unexpected", tags=["failures"], summary="Run into a bug")
async def run_into_a_bug() -> float:
    """Look up a price that is not there: a KeyError that nobody catches."""
    prices: dict[str, float] = {}
    return prices["gpt-4o"]


@app.get("/errors/{code}", tags=["failures"], summary="Raise the error of a code")
@app.post("/errors/{code}", tags=["failures"], summary="Raise the error of a code")
async def raise_error(code: ErrorCode) -> None:
    """Raise what a service would raise: a class, and what happened this time."""
    match code:
        case ErrorCode.VALIDATION_ERROR:
            raise InvalidRequestError("The request has no messages.")
        case ErrorCode.RATE_LIMIT_EXCEEDED:
            raise RateLimitExceededError(retry_after=30)
        case ErrorCode.MODEL_ERROR:
            raise ModelError("The provider closed the connection.")
        case ErrorCode.CONTEXT_LENGTH_EXCEEDED:
            raise ContextLengthError(tokens_used=130_000, max_tokens=128_000)
        case ErrorCode.CONTENT_FILTERED:
            raise ContentFilteredError("The prompt was refused by the content filter.")
        case ErrorCode.SERVICE_UNAVAILABLE:
            raise ModelOverloadedError(retry_after=60)
        case ErrorCode.INTERNAL_ERROR:
            raise InternalError("The price list could not be read.")
        case ErrorCode.TIMEOUT:
            raise ModelTimeoutError("The model did not answer within 30 s.")


class Echo(BaseModel):
    """A body with one text, one number, and any JSON as metadata."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    text: str = Field(max_length=1_000)
    count: int = Field(default=1, ge=1, le=100, strict=True)
    metadata: dict[str, JsonValue] = {}


@app.post("/echo", tags=["failures"], summary="Send it bad JSON", response_model=Echo)
async def echo(body: Echo) -> Response:
    """Send a valid body back as it came."""
    return json_response(body.model_dump())


# --- What production adds ---
# The code above calls these functions. Whatever a caller sends, they keep the answer to
# an error small and correct, and leave out what was sent.

# Bounds of an answer. A body of 10 MB can hold 50,000 errors, each with a long path;
# the answer to it stays below 8 KiB.
MAX_LISTED_ERRORS = 20
MAX_LOCATION_PARTS = 8
MAX_KEY_CHARACTERS = 40
MAX_REASON_CHARACTERS = 200
MAX_MESSAGE_CHARACTERS = 300
MAX_DETAILS_CHARACTERS = 4_000


def describe_validation_error(error: Mapping[str, Any]) -> dict[str, Any]:
    """One of pydantic's errors as `loc`, `type` and `msg`, all bounded.

    Its `input` and `ctx` are left out. They repeat what was sent: a NaN or half of an
    emoji among it cannot be written as JSON, and would turn this 422 into a 500.
    """
    location = [
        part[:MAX_KEY_CHARACTERS] if isinstance(part, str) else part
        for part in error["loc"][:MAX_LOCATION_PARTS]
    ]
    reason = error["msg"][:MAX_REASON_CHARACTERS]
    if "tag" in error["type"]:  # this message of pydantic quotes the input
        reason = "Unknown tag"
    return {"loc": location, "type": error["type"], "msg": reason}


def bounded_details(details: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """The details as plain JSON values, or None if there are none or too many.

    NaN and infinity become strings, and so does any object that JSON does not know.
    """
    text = json.dumps(details, default=str)
    if len(text) > MAX_DETAILS_CHARACTERS:
        return None
    plain: dict[str, Any] | None = json.loads(text, parse_constant=str)
    return plain


def json_response(
    content: object, status_code: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    r"""A JSON answer in ASCII, with `\u00e9` in place of é.

    JSON can name half of an emoji (`\ud83d`), which UTF-8 cannot express. In ASCII such
    a text comes back as it was sent.
    """
    text = json.dumps(content)
    return Response(text, status_code, headers, media_type="application/json")


STATUSES_WITHOUT_BODY = {204, 205, 304}  # RFC 9110, sections 15.3.5, 15.3.6, 15.4.5


def respond(error: AIError, request_id: str, render: Render) -> Response:
    """The rendered answer, or an empty one where HTTP allows no body.

    X-Request-ID is set here too: the answer to a bug is made outside of every
    middleware.
    """
    if error.status_code in STATUSES_WITHOUT_BODY:
        response = Response(None, error.status_code, error.headers)
    else:
        response = render(error, request_id)
    response.headers["X-Request-ID"] = request_id
    return response


def announce_close(request: Request, response: Response) -> None:
    """Say that the connection ends: uvicorn closes it after an unexpected exception.

    A client that is not told may send its next request into a closed connection. HTTP/2
    has no such header (RFC 9113, section 8.2.2).
    """
    if request.scope["http_version"] < "2":
        response.headers["Connection"] = "close"


SAFE_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


def is_safe_id(given: str) -> bool:
    """Whether a caller's id is short and harmless enough for headers and logs."""
    return SAFE_ID.fullmatch(given) is not None


def create_without_init(error_class: type[AIError], message: str) -> AIError:
    """Make the empty error into which pickle then puts the attributes.

    A process pool or a job queue pickles an exception to send it to another process.
    Python would call `__init__` with the message alone, but `__init__` of
    ContextLengthError needs two numbers.
    """
    return error_class.__new__(error_class, message)


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=8000)
