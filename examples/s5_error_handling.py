"""Section 5: error handling. Eight codes, one class each, one body for every failure.

Run it: `python -m course run s5` or `uvicorn examples.s5_error_handling:app`. Try it:
    curl -s http://127.0.0.1:8000/errors
    curl -si http://127.0.0.1:8000/errors/rate_limit_exceeded
    curl -si -H 'X-Request-ID: lesson-5' http://127.0.0.1:8000/errors/unexpected
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
from typing import Any, ClassVar, Literal

import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field, JsonValue
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

log = logging.getLogger(__name__)
request_id_var: ContextVar[str | None] = ContextVar("request_id", default=None)
Render = Callable[["AIError", str], Response]


class ErrorCode(StrEnum):  # the lecture's `(str, Enum)` printed `ErrorCode.TIMEOUT`
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


class AIError(Exception):  # a failure the caller is told about
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
        retry_after: float | None = None,  # seconds
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)  # the lecture forgot it: `str(error)` was empty
        self.code, self.status_code, self.retry_after = code, status_code, retry_after
        self.message, self.details, self.headers = message, details, headers or {}

    def __reduce__(self) -> tuple[Any, ...]:  # the lecture's could not be unpickled
        return Exception.__new__, (type(self), self.message), self.__dict__


class CodedError(AIError):  # its class knows code and status: give it a message
    def __init__(self, message: str, details: Any = None, **rest: Any) -> None:
        super().__init__(message, self.code, self.status_code, details, **rest)


class InvalidRequestError(CodedError):
    code, status_code = ErrorCode.VALIDATION_ERROR, 422
    recovery = "Correct what the message and the details name, then send it again."


class RateLimitExceededError(CodedError):
    code, status_code, retryable = ErrorCode.RATE_LIMIT_EXCEEDED, 429, True
    recovery = "Wait for Retry-After seconds, then send the same request again."

    def __init__(self, retry_after: float) -> None:
        told = {"retry_after": retry_after}
        super().__init__("Too many requests.", told, retry_after=retry_after)


class ModelError(CodedError):
    code, status_code, retryable = ErrorCode.MODEL_ERROR, 502, True
    recovery = "Retry with growing, random pauses; then use another model."


class ContextLengthError(CodedError):
    code, status_code = ErrorCode.CONTEXT_LENGTH_EXCEEDED, 400
    recovery = "Shorten the messages or lower max_tokens; a retry will not fit either."

    def __init__(self, tokens_used: int, max_tokens: int) -> None:
        told = {"tokens_used": tokens_used, "max_tokens": max_tokens}
        super().__init__(f"{tokens_used} tokens; at most {max_tokens} fit.", told)


class ContentFilteredError(CodedError):
    code, status_code = ErrorCode.CONTENT_FILTERED, 400
    recovery = "Rephrase the prompt; sent unchanged it is refused again."


class ModelOverloadedError(CodedError):
    code, status_code, retryable = ErrorCode.SERVICE_UNAVAILABLE, 503, True
    recovery = "Wait for Retry-After seconds; if it lasts, use another model."

    def __init__(self, retry_after: float = 60) -> None:
        told = {"retry_after": retry_after}
        super().__init__("The model is overloaded.", told, retry_after=retry_after)


class InternalError(CodedError):
    code, status_code = ErrorCode.INTERNAL_ERROR, 500
    recovery = "Report the request id; retrying repeats the bug."


class ModelTimeoutError(CodedError):
    code, status_code, retryable = ErrorCode.TIMEOUT, 504, True
    recovery = "Retry once, streamed or with fewer max_tokens; both may be billed."


ERROR_CLASSES = {cls.code: cls for cls in CodedError.__subclasses__()}
CODES = {c.status_code: k for k, c in ERROR_CLASSES.items()} | {400: "validation_error"}


class RequestIDMiddleware:  # one id a request, on every response
    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            return await self.app(scope, receive, send)
        given = Headers(scope=scope).get("X-Request-ID", "")
        kept = re.fullmatch(r"[A-Za-z0-9._-]{1,64}", given)  # or 60 kB came back
        request_id = given if kept else f"req_{secrets.token_hex(16)}"
        scope.setdefault("state", {})["request_id"] = request_id

        async def stamped(message: Message) -> None:
            if message["type"].endswith((".response.start", ".accept")):
                MutableHeaders(scope=message)["X-Request-ID"] = request_id
            await send(message)

        request_id_var.set(request_id)  # in this request's own context
        return await self.app(scope, receive, stamped)


def from_exception(exc: Exception) -> AIError:
    if isinstance(exc, HTTPException):
        return from_http_exception(exc)
    if isinstance(exc, RequestValidationError):
        return from_validation_error(exc)
    return exc if isinstance(exc, AIError) else InternalError("An unexpected error.")


def from_http_exception(exc: HTTPException) -> AIError:
    code, said = CODES.get(exc.status_code, "http_error"), exc.detail
    text, told = (said, None) if said == str(said) else ("Refused.", {"detail": said})
    error = AIError.__new__(ERROR_CLASSES.get(code, AIError))
    AIError.__init__(error, text, code, exc.status_code, told, headers=exc.headers)
    return error


def from_validation_error(exc: RequestValidationError) -> InvalidRequestError:
    shown = []
    for error in exc.errors()[:20]:  # never its input: echoed, a NaN made a 422 a 500
        loc = [at[:40] if isinstance(at, str) else at for at in error["loc"][:8]]
        msg = "Unknown tag" if "tag" in error["type"] else error["msg"][:200]
        shown.append({"loc": loc, "type": error["type"], "msg": msg})
    told = {"errors": shown, "error_count": len(exc.errors())}
    return InvalidRequestError("The request is not valid.", told)


def render_error(error: AIError, request_id: str) -> Response:
    text = json.dumps(error.details, default=str)
    told = json.loads(text if len(text) <= 4_000 else "null", parse_constant=str)
    body = ErrorResponse(error=error.message[:300], code=error.code, details=told)
    headers = {**error.headers, "X-Request-ID": request_id}
    if error.retry_after is not None:  # whole seconds: RFC 9110, section 10.2.3
        headers["Retry-After"] = str(math.ceil(max(0, error.retry_after)))
    content = json.dumps(body.model_dump() | {"request_id": request_id})  # in ASCII
    return Response(content, error.status_code, headers, "application/json")


def setup_error_handlers(app: FastAPI, *, render: Render = render_error) -> None:
    async def answer(request: Request, exc: Exception, bug: bool = False) -> Response:
        error = from_exception(exc)
        rid = getattr(request.state, "request_id", f"req_{secrets.token_hex(16)}")
        told = {"request_id": rid, "error_code": error.code, "details": error.details}
        level = logging.ERROR if error.status_code >= 500 else logging.INFO
        cause = exc if level == logging.ERROR and not bug else None  # servers log bugs
        log.log(level, "answered with %s", error.code, exc_info=cause, extra=told)
        bare = Response(None, error.status_code, error.headers)
        response = bare if error.status_code in (204, 205, 304) else render(error, rid)
        response.headers["X-Request-ID"] = rid  # a bug's answer passes no middleware
        if bug and request.scope["http_version"] < "2":
            response.headers["Connection"] = "close"  # uvicorn closes it: announce that
        return response

    app.add_middleware(RequestIDMiddleware)  # outside of those added before
    for known in (AIError, HTTPException, RequestValidationError):
        app.add_exception_handler(known, answer)
    app.add_exception_handler(Exception, partial(answer, bug=True))


class Echo(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)
    text: str = Field(max_length=1_000)
    count: int = Field(1, ge=1, le=100, strict=True)
    metadata: dict[str, JsonValue] = {}


app = FastAPI(title="Section 5", responses={n: {"model": ErrorResponse} for n in CODES})
setup_error_handlers(app)


@app.get("/errors", summary="All codes, and what to do about each")
async def catalogue() -> list[dict[str, str | int | bool]]:
    row = ("__name__", "code", "status_code", "retryable", "recovery")
    return [{n.strip("_"): getattr(c, n) for n in row} for c in ERROR_CLASSES.values()]


@app.get("/errors/{code}", summary="Raise the error of a code, or a bug")
@app.post("/errors/{code}", summary="Raise the error of a code, or a bug")
async def raise_error(code: ErrorCode | Literal["unexpected"]) -> None:
    told: dict[str, Any] = {"rate_limit_exceeded": [30], "service_unavailable": [60]}
    told["context_length_exceeded"] = [130_000, 128_000]
    raise ERROR_CLASSES[code](*told.get(code, ["On demand."]))  # unexpected: KeyError


@app.post("/echo", summary="Post hostile JSON here", response_model=Echo)
async def echo(body: Echo) -> Response:  # in ASCII, also what UTF-8 could not carry
    return Response(json.dumps(body.model_dump()), media_type="application/json")


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=8000)
