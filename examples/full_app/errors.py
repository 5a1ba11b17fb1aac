"""Section 5's hierarchy, extended to what an OpenAI client expects to read.

Section 5 teaches a flat body. The official client reads `error` as an object and
loses code and message of anything else, so here `error` is an object, and the flat
fields stay beside it."""

import math
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, ClassVar

from pydantic import BaseModel
from starlette.responses import Response

from examples.s5_error_handling import AIError, ErrorCode


class ErrorObject(BaseModel):
    """What the official clients read: `.message`, `.type`, `.param`, `.code`."""

    message: str
    type: str
    param: str | None = None
    code: str
    request_id: str | None = None
    details: dict[str, Any] | None = None


class ErrorBody(BaseModel):
    """The one error body of the service, a superset of section 5's flat one."""

    error: ErrorObject
    code: str
    request_id: str | None = None
    details: dict[str, Any] | None = None


class RequestError(AIError):
    """Base of errors the caller must mend: the same request again cannot succeed."""

    CODE: ClassVar[str] = ErrorCode.VALIDATION_ERROR
    STATUS: ClassVar[HTTPStatus] = HTTPStatus.BAD_REQUEST
    retryable: ClassVar[bool] = False
    recovery: ClassVar[str] = "Correct the request; `param` names the field."

    def __init__(
        self,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        details: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(
            message, code or self.CODE, self.STATUS, details, headers=headers
        )
        self.param = param


class InvalidJSONError(RequestError):
    """The body is not JSON in the strict sense of RFC 8259."""

    CODE = "invalid_json"
    recovery = "Send UTF-8 JSON without NaN, duplicate keys or deep nesting."


class InvalidAPIKeyError(RequestError):
    """No API key, or one this service does not know (RFC 6750, section 3)."""

    CODE = "invalid_api_key"
    STATUS = HTTPStatus.UNAUTHORIZED
    recovery = "Send `Authorization: Bearer <key>` with a configured key."

    def __init__(self, message: str) -> None:
        super().__init__(message, headers={"WWW-Authenticate": "Bearer"})


class PermissionDeniedError(RequestError):
    """The caller is known and may not do this."""

    CODE = "permission_denied"
    STATUS = HTTPStatus.FORBIDDEN
    recovery = "Use a key with the scope that the message names."


class NotFoundError(RequestError):
    """The thing a path names does not exist, or is not the caller's."""

    CODE = "not_found"
    STATUS = HTTPStatus.NOT_FOUND
    recovery = "Check the id; finished jobs are kept for a limited time."


class ConflictError(RequestError):
    """The thing is in a state in which this cannot be done."""

    CODE = "conflict"
    STATUS = HTTPStatus.CONFLICT
    recovery = "Read the thing again before deciding what to do."


class RequestTooLargeError(RequestError):
    """The body is larger than the service reads."""

    CODE = "request_too_large"
    STATUS = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    recovery = "Send less: split the batch, or shorten the conversation."

    def __init__(self, max_bytes: int) -> None:
        super().__init__(
            f"The body is larger than {max_bytes} bytes.",
            details={"max_bytes": max_bytes},
        )


class UnsupportedMediaTypeError(RequestError):
    """The body is not application/json, or it is compressed."""

    CODE = "unsupported_media_type"
    STATUS = HTTPStatus.UNSUPPORTED_MEDIA_TYPE
    recovery = "Send `Content-Type: application/json` and no content encoding."


def render_error(error: AIError, request_id: str) -> Response:
    """The answer to `error`: one body, its headers, and whether to try again.

    `x-should-retry` is obeyed by the official clients, which would otherwise retry
    every 409, 429 and 5xx, also where it cannot help.
    """
    body = error_body(error, request_id).model_dump_json().encode("utf-8")
    headers = {
        **error.headers,
        "X-Request-ID": request_id,
        "x-should-retry": "true" if error.retryable else "false",
    }
    if error.retry_after is not None:
        headers["Retry-After"] = str(max(1, math.ceil(error.retry_after)))
        headers["retry-after-ms"] = str(max(1, math.ceil(error.retry_after * 1000)))
    return Response(body, error.status_code, headers, "application/json")


def error_body(error: AIError, request_id: str | None) -> ErrorBody:
    """The body alone, as events of a stream and job records carry it."""
    details = dict(error.details) if error.details else None
    return ErrorBody(
        error=ErrorObject(
            message=error.message,
            type=_type_of(error.status_code),
            param=getattr(error, "param", None),
            code=error.code,
            request_id=request_id,
            details=details,
        ),
        code=error.code,
        request_id=request_id,
        details=details,
    )


_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}


def _type_of(status: int) -> str:
    """OpenAI's coarse error types."""
    return _TYPES.get(
        status, "server_error" if status >= 500 else "invalid_request_error"
    )
