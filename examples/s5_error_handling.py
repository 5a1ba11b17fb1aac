"""Section 5: error handling. Eight codes, one class each, one body for every failure.

Run it: `python -m course run s5`, `uvicorn examples.s5_error_handling:app` or
`python examples/s5_error_handling.py`; the docs are at http://127.0.0.1:8000/docs.

Try it:
    curl -s http://127.0.0.1:8000/errors
    curl -si http://127.0.0.1:8000/errors/rate_limit_exceeded
    curl -si -H 'X-Request-ID: lesson-5' http://127.0.0.1:8000/errors/unexpected
    curl -si -X DELETE http://127.0.0.1:8000/errors
    curl -s http://127.0.0.1:8000/echo --json '{"text": "hello", "metadata": {"a": 1}}'
    curl -s http://127.0.0.1:8000/echo --json '{"text": "hello", "count": NaN}'
"""

import json
import logging
import math
import re
import secrets
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from enum import StrEnum
from functools import partial
from typing import Annotated, Any, ClassVar, Literal

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.utils import is_body_allowed_for_status_code
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

log = logging.getLogger(__name__)
request_id_var: ContextVar[str | None] = ContextVar("request_id", default=None)
BUG = "An unexpected error occurred."
MAX_DETAILS = 3_500  # bytes of JSON; with a message of 300 characters: under 8 KiB


class ErrorCode(StrEnum):
    """What went wrong, for programs. (`(str, Enum)` printed `ErrorCode.TIMEOUT`.)"""

    VALIDATION_ERROR = "validation_error"
    RATE_LIMIT_EXCEEDED = "rate_limit_exceeded"
    MODEL_ERROR = "model_error"
    CONTEXT_LENGTH_EXCEEDED = "context_length_exceeded"
    CONTENT_FILTERED = "content_filtered"
    SERVICE_UNAVAILABLE = "service_unavailable"
    INTERNAL_ERROR = "internal_error"
    TIMEOUT = "timeout"


class ErrorResponse(BaseModel):
    """The one error body of every route."""

    error: str
    code: str
    request_id: str | None = None
    details: dict[str, Any] | None = None


class AIError(Exception):
    """A failure the caller is told about; `retry_after` in seconds, `details` JSON."""

    code: str
    status_code: int
    recovery: ClassVar[str] = "Read the status and the message; do not just retry."
    retryable: ClassVar[bool] = False

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
        super().__init__(message)  # without it the lecture's `str(error)` was empty
        self.message, self.code, self.status_code = message, code, status_code
        self.details: dict[str, Any] | None = sendable(details)
        self.retry_after, self.headers = retry_after, dict(headers or {})

    def __reduce__(self) -> tuple[Any, ...]:  # the lecture's could not be unpickled
        return Exception.__new__, (type(self), self.message), self.__dict__


def sendable(details: object) -> Any:
    """`details` as JSON that every parser accepts, if that fits in `MAX_DETAILS`."""
    try:
        text = json.dumps(details, default=str, ensure_ascii=False)
        plain = json.loads(clean(text), parse_constant=str)
        return plain if len(json.dumps(plain)) <= MAX_DETAILS else {"omitted": "size"}
    except (TypeError, ValueError, RecursionError):
        return {"omitted": "not JSON"}


def clean(text: object, length: int | None = None) -> str:
    """At most `length` characters, without lone surrogates: UTF-8 has none."""
    return str(text)[:length].encode("utf-8", "replace").decode()


class CodedError(AIError):
    """An `AIError` whose class knows code and status: raise it with a message."""

    def __init__(self, message: str, details: Any = None, **rest: Any) -> None:
        super().__init__(message, self.code, self.status_code, details, **rest)


class InvalidRequestError(CodedError):
    """The request breaks a rule of this API."""

    code, status_code = ErrorCode.VALIDATION_ERROR, 422
    recovery = "Correct what the message and the details name, then send it again."


class RateLimitExceededError(CodedError):
    """The caller is too fast; it may go on in `retry_after` seconds."""

    code, status_code, retryable = ErrorCode.RATE_LIMIT_EXCEEDED, 429, True
    recovery = "Wait for Retry-After seconds, then send the same request again."

    def __init__(self, retry_after: float) -> None:
        told = {"retry_after": retry_after}
        super().__init__("Too many requests.", told, retry_after=retry_after)


class ModelError(CodedError):
    """The model, or the provider that runs it, gave no usable answer."""

    code, status_code, retryable = ErrorCode.MODEL_ERROR, 502, True
    recovery = "Retry with growing, random pauses; then use another model."


class ContextLengthError(CodedError):
    """Prompt and answer, in tokens, do not fit into the context window."""

    code, status_code = ErrorCode.CONTEXT_LENGTH_EXCEEDED, 400
    recovery = "Shorten the messages or lower max_tokens; a retry will not fit either."

    def __init__(self, tokens_used: int, max_tokens: int) -> None:
        told = {"tokens_used": tokens_used, "max_tokens": max_tokens}
        super().__init__(f"{tokens_used} tokens; at most {max_tokens} fit.", told)


class ContentFilteredError(CodedError):
    """A content policy refused the prompt or the answer."""

    code, status_code = ErrorCode.CONTENT_FILTERED, 400
    recovery = "Rephrase the prompt; sent unchanged it is refused again."


class ModelOverloadedError(CodedError):
    """No capacity is free; ask again in `retry_after` seconds."""

    code, status_code, retryable = ErrorCode.SERVICE_UNAVAILABLE, 503, True
    recovery = "Wait for Retry-After seconds; if it lasts, use another model."

    def __init__(self, retry_after: float = 60) -> None:
        told = {"retry_after": retry_after}
        super().__init__("The model is overloaded.", told, retry_after=retry_after)


class InternalError(CodedError):
    """A bug of ours; the caller learns no more than its request id."""

    code, status_code = ErrorCode.INTERNAL_ERROR, 500
    recovery = "Report the request id; retrying repeats the bug."


class ModelTimeoutError(CodedError):
    """The model did not answer in time."""

    code, status_code, retryable = ErrorCode.TIMEOUT, 504, True
    recovery = "Retry once, streamed or with fewer max_tokens; both may be billed."


ERROR_CLASSES = {cls.code: cls for cls in CodedError.__subclasses__()}
CODES = {cls.status_code: code for code, cls in ERROR_CLASSES.items()}
CODES |= dict.fromkeys((400, 413, 415), ErrorCode.VALIDATION_ERROR)


def new_request_id() -> str:
    """Unguessable: the lecture's milliseconds gave 500 requests 100 ids."""
    return f"req_{secrets.token_hex(16)}"


class RequestIDMiddleware:
    """One id a request, on every response; pure ASGI, so streams pass untouched."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            return await self.app(scope, receive, send)
        # Unchecked, a caller's 60 kB of HTML came back in header, body and log.
        given = Headers(scope=scope).get("X-Request-ID", "")
        kept = re.fullmatch(r"[A-Za-z0-9._-]{1,64}", given)
        request_id = given if kept else new_request_id()
        scope.setdefault("state", {})["request_id"] = request_id

        async def stamped(message: Message) -> None:
            if message["type"].endswith((".response.start", ".accept")):
                message.setdefault("headers", [])
                MutableHeaders(scope=message)["X-Request-ID"] = request_id
            await send(message)

        token = request_id_var.set(request_id)
        try:
            await self.app(scope, receive, stamped)
        finally:
            request_id_var.reset(token)


def from_exception(exc: Exception) -> AIError:
    """The `AIError` to answer any exception with; of a bug it tells nothing."""
    if isinstance(exc, HTTPException):
        return from_http_exception(exc)
    if isinstance(exc, RequestValidationError):
        return from_validation_error(exc)
    return exc if isinstance(exc, AIError) else InternalError(BUG)


def from_http_exception(exc: HTTPException) -> AIError:
    """FastAPI's and Starlette's own; `headers` keep 405's Allow, 429's Retry-After."""
    code, plain = CODES.get(exc.status_code, "http_error"), isinstance(exc.detail, str)
    error = AIError.__new__(ERROR_CLASSES.get(code, AIError))
    message = exc.detail if plain else "The request was refused."
    details = None if plain else {"detail": exc.detail}
    AIError.__init__(
        error, message, code, exc.status_code, details, headers=exc.headers
    )
    return error


def from_validation_error(exc: RequestValidationError) -> InvalidRequestError:
    """At most 20 errors, bounded, without the input: echoing it made a 422 a 500."""
    shown = [_told(error) for error in exc.errors()[:20]]
    while len(json.dumps(shown)) > MAX_DETAILS - 100:
        shown.pop()
    told = {"errors": shown, "error_count": len(exc.errors())}
    return InvalidRequestError("The request is not valid.", told)


def _told(error: dict[str, Any]) -> dict[str, Any]:
    loc = [at if isinstance(at, int) else clean(at, 40) for at in error["loc"][:8]]
    tag = error["type"] == "union_tag_invalid"  # its message quotes the input
    message = "Unknown tag" if tag else clean(error["msg"], 200)
    return {"loc": loc, "type": error["type"], "msg": message}


def render_error(error: AIError, request_id: str) -> Response:
    """The chapter's body; Retry-After in whole seconds (RFC 9110, section 10.2.3)."""
    told = ErrorResponse(error=clean(error.message, 300), code=error.code)
    told.request_id, told.details = request_id, error.details
    body = told.model_dump_json(ensure_ascii=True)
    response = Response(body, error.status_code, error.headers, "application/json")
    response.headers["X-Request-ID"] = request_id
    if error.retry_after is not None:
        response.headers["Retry-After"] = str(math.ceil(max(0, error.retry_after)))
    return response


def log_error(error: AIError, request_id: str, cause: Exception | None) -> None:
    """One structured line, never the input; of a server error with its traceback."""
    fault = error.status_code >= 500
    level, cause = (logging.ERROR, cause) if fault else (logging.INFO, None)
    told = {
        "request_id": request_id,
        "error_code": error.code,
        "details": error.details,
    }
    log.log(level, "answered with %s", error.code, exc_info=cause, extra=told)


def setup_error_handlers(
    app: FastAPI, *, render: Callable[[AIError, str], Response] = render_error
) -> None:
    """Answer every exception of `app` through `render`; call it after other middleware.

    The lecture's missed Starlette's 404 and 405, lost headers, and left a 500 no id.
    """

    async def answer(
        request: Request, exc: Exception, *, reraised: bool = False
    ) -> Response:
        error = from_exception(exc)
        request_id = getattr(request.state, "request_id", None) or new_request_id()
        log_error(error, request_id, None if reraised else exc)
        if is_body_allowed_for_status_code(error.status_code):
            response = render(error, request_id)
        else:  # a 204 with a body breaks the connection
            response = Response(None, error.status_code, error.headers)
        response.headers["X-Request-ID"] = request_id  # a bug's passes no middleware
        if reraised and request.scope["http_version"] < "2":
            # uvicorn hangs up after a bug; unannounced, the next request is reset.
            response.headers["Connection"] = "close"
        return response

    app.add_middleware(RequestIDMiddleware)
    for known in (AIError, HTTPException, RequestValidationError):
        app.add_exception_handler(known, answer)
    # Starlette raises a bug again, and the server logs its traceback.
    app.add_exception_handler(Exception, partial(answer, reraised=True))


def unicode_only(value: Any) -> Any:
    """Refuses lone surrogates, which JSON can spell but no UTF-8 answer can carry."""
    json.dumps(value, ensure_ascii=False).encode()
    return value


class Echo(BaseModel):
    """Something to post hostile JSON at."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)
    text: Annotated[str, Field(max_length=1_000), AfterValidator(unicode_only)]
    count: Annotated[int, Field(ge=1, le=100, strict=True)] = 1
    metadata: Annotated[dict[str, JsonValue], AfterValidator(unicode_only)] = {}


RESPONSES: dict[int | str, dict[str, Any]] = {
    cls.status_code: {"model": ErrorResponse} for cls in ERROR_CLASSES.values()
}
app = FastAPI(title="Section 5: error handling", responses=RESPONSES)
setup_error_handlers(app)


@app.get("/errors", summary="All codes, and what to do about each")
async def catalogue() -> list[dict[str, str | int | bool]]:
    """Read off the classes, so it cannot be out of date."""
    names = ("__name__", "code", "status_code", "retryable", "recovery")
    rows = ([getattr(cls, name) for name in names] for cls in ERROR_CLASSES.values())
    return [dict(zip(["class", *names[1:]], row, strict=True)) for row in rows]


@app.get("/errors/{code}", summary="Raise the error of a code, or a bug")
@app.post("/errors/{code}", summary="Raise the error of a code, or a bug")
async def raise_error(code: ErrorCode | Literal["unexpected"]) -> None:
    """Every failure on demand; `unexpected` is one that nobody planned for."""
    if code == "unexpected":
        raise RuntimeError("a bug")
    told: dict[str, Any] = {"rate_limit_exceeded": [30], "service_unavailable": [60]}
    told["context_length_exceeded"] = [130_000, 128_000]
    raise ERROR_CLASSES[code](*told.get(code, ["Raised on demand."]))


@app.post("/echo", summary="Post hostile JSON here")
async def echo(body: Echo) -> Echo:
    """Answers with the body, if that is fit to be sent."""
    return body


if __name__ == "__main__":
    import uvicorn

    uvicorn.run(app, host="127.0.0.1", port=8000)
