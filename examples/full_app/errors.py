"""Section 5's hierarchy, extended to what an OpenAI client expects to read.

Section 5's body is flat. The official client reads `error` as an object and
loses code and message of anything else, so here `error` is an object, and the flat
fields stay beside it."""

import json
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from examples.s5_error_handling import AIError, CodedError, ErrorCode

MAX_MESSAGE = 1_000  # characters
MAX_DETAILS = 3_000  # characters of JSON: a body holds them twice, within 8 KiB


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


class RequestError(CodedError):
    """Base of errors the caller must mend: the same request again cannot succeed.

    `param` names the field at fault, as OpenAI does.
    """

    code: str = ErrorCode.VALIDATION_ERROR
    status_code: int = 400
    recovery = "Correct the request; `param` names the field."
    param: str | None = None

    def __init__(
        self,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        details: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message, details, headers=headers)
        self.code = code or self.code
        self.param = param


class InvalidJSONError(RequestError):
    """The body is not JSON in the strict sense of RFC 8259."""

    code = "invalid_json"
    recovery = "Send UTF-8 JSON without NaN, duplicate keys or deep nesting."


class InvalidAPIKeyError(RequestError):
    """No API key, or one this service does not know (RFC 6750, section 3)."""

    code, status_code = "invalid_api_key", 401
    recovery = "Send `Authorization: Bearer <key>` with a configured key."

    def __init__(self, message: str) -> None:
        super().__init__(message, headers={"WWW-Authenticate": "Bearer"})


class PermissionDeniedError(RequestError):
    """The caller is known and may not do this."""

    code, status_code = "permission_denied", 403
    recovery = "Use a key with the scope that the message names."


class OriginNotAllowedError(PermissionDeniedError):
    """A web page of another origin asks a service that has no API keys."""

    code = "origin_not_allowed"
    recovery = "Add the page's origin to FULL_APP_CORS_ORIGINS, if you trust the page."

    def __init__(self) -> None:
        super().__init__("Web pages of this origin may not use the service.")


class HostNotAllowedError(PermissionDeniedError):
    """The header `Host` names another host than this machine.

    A page whose name was made to lead here (DNS rebinding) sends its own name.
    """

    code = "host_not_allowed"
    recovery = "Use localhost, or add the name to FULL_APP_ALLOWED_HOSTS."

    def __init__(self) -> None:
        super().__init__("Without configured API keys the host must be localhost.")


class NotFoundError(RequestError):
    """The thing a path names does not exist, or is not the caller's."""

    code, status_code = "not_found", 404
    recovery = "Check the id; finished jobs are kept for a limited time."


class ModelNotFoundError(NotFoundError):
    """No provider of this service serves the model."""

    code = "model_not_found"
    recovery = "Pick a model that GET /v1/models lists."


class ConflictError(RequestError):
    """The thing is in a state in which this cannot be done."""

    code, status_code = "conflict", 409
    recovery = "Read the thing again before deciding what to do."


class RequestTooLargeError(RequestError):
    """The body is larger than the service reads."""

    code, status_code = "request_too_large", 413
    recovery = "Send less: split the batch, or shorten the conversation."

    def __init__(self, max_bytes: int) -> None:
        super().__init__(
            f"The body is larger than {max_bytes} bytes.",
            details={"max_bytes": max_bytes},
        )


class SlowUploadError(CodedError):
    """The body did not arrive within the time of a request (RFC 9110, 15.5.9)."""

    code, status_code, retryable = "request_timeout", 408, True
    recovery = "Send the whole body at once; the connection was closed."

    def __init__(self) -> None:
        super().__init__(
            "The body did not arrive in time.", headers={"Connection": "close"}
        )


class TooManyValuesError(RequestTooLargeError):
    """The body holds more than any request needs: `most` of `what` are read."""

    def __init__(self, limit: int, what: str) -> None:
        message = f"The body holds more than {limit} {what}."
        RequestError.__init__(self, message, details={"max_values": limit})


class UnsupportedMediaTypeError(RequestError):
    """The body is not application/json, or it is compressed."""

    code, status_code = "unsupported_media_type", 415
    recovery = "Send `Content-Type: application/json` and no content encoding."


class BudgetExceededError(RequestError):
    """The call may cost more than is left of the caller's budget.

    429 as at OpenAI, but waiting does not help: its type says so, and
    `x-should-retry: false` stops the clients' own retries.
    """

    code, status_code, type = "budget_exceeded", 429, "insufficient_quota"
    recovery = "Ask for fewer tokens or a cheaper model, or for a larger budget."


class ModelNotPricedError(RequestError):
    """A key with a budget asks for a model whose price is not known.

    Nobody could say what such a call takes from the budget.
    """

    code, status_code, type = "model_not_priced", 403, "insufficient_quota"
    recovery = "Use a model with a price, or have one set in FULL_APP_PRICES."

    def __init__(self) -> None:
        super().__init__(
            "This model has no price here, and your key has a budget.", param="model"
        )


class ModelNotAllowedError(PermissionDeniedError):
    """The caller's key has a list of models, and this one is not in it."""

    code = "model_not_allowed"
    recovery = "Use a model that GET /v1/models lists for your key."

    def __init__(self) -> None:
        super().__init__("Your key may not use this model.")
        self.param = "model"


class NotReadyError(CodedError):
    """This process should not be sent work now: shutting down, or without Redis."""

    code, status_code, retryable = ErrorCode.SERVICE_UNAVAILABLE, 503, True
    recovery = "Try again after `Retry-After`; another process may answer."

    def __init__(self, message: str, *, retry_after: float = 1) -> None:
        super().__init__(message, retry_after=retry_after)


def error_body(error: AIError, request_id: str | None) -> ErrorBody:
    """The body alone, as events of a stream and job records carry it."""
    details = dict(error.details) if error.details else None
    if details and len(json.dumps(details, default=str)) > MAX_DETAILS:
        details = None
    return ErrorBody(
        error=ErrorObject(
            message=error.message[:MAX_MESSAGE],
            type=getattr(error, "type", None) or _type_of(error.status_code),
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
