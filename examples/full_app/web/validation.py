"""Validation errors as clients see them: named, bounded, and never with the input."""

import difflib
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError, WrapValidator
from pydantic_core import InitErrorDetails, PydanticCustomError

from examples.full_app.errors import MAX_DETAILS, RequestError
from examples.full_app.schemas.catalogue import EmbeddingRequest
from examples.full_app.schemas.chat import ChatCompletionRequest
from examples.full_app.schemas.jobs import JobRequest
from examples.full_app.schemas.messages import UserMessage
from examples.s5_error_handling import ErrorCode

MAX_VALIDATION_ERRORS = 20
MAX_DESCRIBED = 1_000  # pydantic makes a dict of each, at ten microseconds or more
KNOWN = sorted(
    {*ChatCompletionRequest.model_fields, *EmbeddingRequest.model_fields}
    | {*JobRequest.model_fields, *UserMessage.model_fields}
)


def invalid_body(error: ValidationError) -> RequestValidationError:
    """What FastAPI raises for a body with these mistakes; over `MAX_DESCRIBED`, one."""
    if error.error_count() > MAX_DESCRIBED:
        one = InitErrorDetails(type=_too_many(error), input=None)
        error = ValidationError.from_exception_data(error.title, [one])
    found = error.errors(include_url=False, include_input=False)
    return RequestValidationError(
        [{**item, "loc": ("body", *item["loc"])} for item in found]
    )


def _bounded(value: Any, validate: Callable[[Any], Any]) -> Any:
    try:
        return validate(value)
    except ValidationError as error:
        if error.error_count() <= MAX_DESCRIBED:
            raise
        raise _too_many(error) from None


def _too_many(error: ValidationError) -> PydanticCustomError:
    return PydanticCustomError(
        "too_many_errors",
        "The request has {error_count} mistakes: too many to list.",
        {"error_count": error.error_count()},
    )


# Of a body: one mistake in place of the thousands that fit into one, each of which
# FastAPI would describe before our handler could drop all but 20.
Bounded = WrapValidator(_bounded)


def from_validation_error(
    error: RequestValidationError | ValidationError,
) -> RequestError:
    """A validation error as the client sees it: at most 20, none with its input.

    An unknown field is named in `param`, with the nearest known name.
    """
    errors = error.errors()
    found = [_describe(item) for item in errors[:MAX_VALIDATION_ERRORS]]
    count = (errors[0].get("ctx") or {}).get("error_count") if errors else 0
    while len(json.dumps(found)) > MAX_DETAILS - 50:
        found.pop()
    first = found[0] if found else {"param": "", "message": "Invalid.", "type": ""}
    code = _CODES.get(first["type"], ErrorCode.VALIDATION_ERROR)
    message = (
        f"{first['param']}: {first['message']}" if first["param"] else first["message"]
    )
    if code == "unknown_parameter":
        message = f"Unknown parameter: '{first['param']}'."
        near = difflib.get_close_matches(first["param"].rpartition(".")[2], KNOWN, 1)
        message += f" Did you mean '{near[0]}'?" if near else ""
    return RequestError(
        message,
        param=first["param"] or None,
        code=code,
        details={"errors": found, "error_count": count or len(errors)},
    )


_CODES = {
    "extra_forbidden": "unknown_parameter",
    "unsupported_parameter": "unsupported_parameter",
    "unsupported_content": "unsupported_content",
}


def _describe(item: Mapping[str, Any]) -> dict[str, str]:
    """One error without `input` and `ctx`: what a client sent is never echoed."""
    context = item.get("ctx") or {}
    param = context.get("param") or _path(item["loc"])
    message = item["msg"][:300]
    if item["type"] == "union_tag_invalid":  # its text quotes the input
        tag = context["discriminator"].strip("'")
        param = f"{param}.{tag}" if param else tag
        message = f"Input should be one of {context['expected_tags']}"
    return {"param": param, "message": message, "type": item["type"]}


_ROLES = {"system", "developer", "user", "assistant", "tool"}
_INPUTS = {"text", "texts", "ids", "batches"}


def _is_tag(location: Sequence[str | int], position: int) -> bool:
    before = location[position - 1] if position else None
    step = location[position]
    return (step in _ROLES and isinstance(before, int)) or (
        step in _INPUTS and before == "input"
    )


def _path(location: Sequence[str | int]) -> str:
    """`("body", "messages", 2, "content")` as `messages[2].content`, bounded.

    Keys are the caller's text: printable ASCII of each is kept, 64 characters.
    """
    path = ""
    for position, step in enumerate(location[:12]):
        if isinstance(step, int):
            path += f"[{step}]"
        elif _is_tag(location, position):
            continue  # which member of a union was tried, not a field
        elif step != "body" or path:
            clean = "".join(c if " " <= c <= "~" else "?" for c in str(step)[:64])
            path += f".{clean}" if path else clean
    return path
