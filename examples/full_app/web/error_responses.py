"""Errors as responses: the one body, its headers, and what FastAPI raises in our words.

Validation errors are named, bounded, and never quote the input. An unknown path is 404,
a method that a path lacks 405; Starlette's 405 allows the methods of the first route
that has the path, and the path may have more.
Source: RFC 9110, sections 10.2.1 and 15.5.6 (`Allow` lists all of them).
"""

import difflib
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from examples.full_app.errors import (
    MAX_DETAILS,
    NotFoundError,
    RequestError,
    error_body,
)
from examples.full_app.schemas.catalogue import EmbeddingRequest
from examples.full_app.schemas.chat import ChatCompletionRequest, UserMessage
from examples.full_app.schemas.jobs import JobRequest
from examples.full_app.schemas.responses import ResponseRequest
from examples.s5_error_handling import AIError, ErrorCode

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
MAX_VALIDATION_ERRORS = 20
KNOWN = sorted(
    {*ChatCompletionRequest.model_fields, *EmbeddingRequest.model_fields}
    | {*JobRequest.model_fields, *UserMessage.model_fields}
    | {*ResponseRequest.model_fields}
)


def render(error: AIError, request_id: str) -> Response:
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


def from_validation_error(
    error: RequestValidationError | ValidationError, body: Any = None
) -> RequestError:
    """A validation error as the client sees it: at most 20, none with its input.

    An unknown field is named in `param`, with the nearest known name. `body` is what
    was checked, where `error` does not have it: it tells fields from names of ours.
    """
    errors = error.errors()
    if isinstance(error, RequestValidationError):
        body = error.body
    described = _without_outer(
        [_describe(item, body) for item in errors[:MAX_VALIDATION_ERRORS]]
    )
    count = (errors[0].get("ctx") or {}).get("error_count") if errors else 0
    while len(json.dumps(described)) > MAX_DETAILS - 50:
        described.pop()
    first = (
        described[0] if described else {"param": "", "message": "Invalid.", "type": ""}
    )
    code = _CODES.get(first["type"], ErrorCode.VALIDATION_ERROR)
    message = (
        f"{first['param']}: {first['message']}" if first["param"] else first["message"]
    )
    if first["type"] == "extra_forbidden":
        message = f"Unknown parameter: '{first['param']}'."
        name = first["param"].rpartition(".")[2]
        others = [known for known in KNOWN if known != name]  # of another route
        near = difflib.get_close_matches(name, others, 1)
        message += f" Did you mean '{near[0]}'?" if near else ""
    return RequestError(
        message,
        param=first["param"] or None,
        code=code,
        details={"errors": described, "error_count": count or len(errors)},
    )


_CODES = {
    "extra_forbidden": "unknown_parameter",
    "unknown_parameter": "unknown_parameter",
    "unsupported_parameter": "unsupported_parameter",
    "unsupported_content": "unsupported_content",
    "conflicting_parameters": "parameter_conflict",
}


PATTERNS_IN_WORDS = {
    r"^[A-Za-z0-9][A-Za-z0-9_.:/-]*$": "Begin with a letter or a digit, and use "
    "letters, digits and the signs `_ . : / -` only.",
    r"^[!-~]+$": "Use letters, digits and signs of ASCII, without spaces.",
    r"^[A-Za-z0-9_-]+$": "Use letters, digits, `_` and `-` only.",
    r"^whsec_[A-Za-z0-9+/=]+$": "Send a secret that begins with `whsec_`, followed by "
    "base64.",
    "^we_[0-9a-f]+$": "Send the id of a webhook endpoint: it begins with `we_`.",
    "^evt_[0-9a-f]+$": "Send the id of an event: it begins with `evt_`.",
    r"^[a-z_]+(\.[a-z_]+)*$": "Send the name of an event, such as `job.completed`.",
}


def _describe(item: Mapping[str, Any], body: Any) -> dict[str, str]:
    """One error without `input` and `ctx`: what a client sent is never echoed."""
    context = item.get("ctx") or {}
    param = context.get("param") or _path(_written(item, body))
    message = item["msg"][:300]
    if item["type"] == "string_pattern_mismatch":
        fallback = "The form of this text is not one that is accepted here."
        message = PATTERNS_IN_WORDS.get(context["pattern"], fallback)
    if item["type"] == "union_tag_invalid":  # its text quotes the input
        tag = context["discriminator"].strip("'")
        param = f"{param}.{tag}" if param else tag
        message = f"Input should be one of {context['expected_tags']}"
    return {"param": param, "message": message, "type": item["type"]}


def _without_outer(described: list[dict[str, str]]) -> list[dict[str, str]]:
    """The errors without those that only repeat one further inside.

    An object that may also be a text is wrong twice: it is no text, and it has a
    mistake inside. The second is what a person wants to know.
    """
    params = [item["param"] for item in described]
    return [
        item
        for item in described
        if not any(
            param.startswith((f"{item['param']}.", f"{item['param']}["))
            for param in params
        )
    ]


def _written(item: Mapping[str, Any], body: Any) -> list[str | int]:
    """The location of an error as a person would write it: fields and positions.

    Pydantic also names which member of a union it has tried. Such a name is neither a
    key of what was sent there, nor the field that is missing.
    """
    location = list(item["loc"])
    if location[:1] == ["body"]:
        location = location[1:]
    elif location[:1] in (["path"], ["query"]):
        return location[1:]
    elif body is None or location[:1] == ["header"]:
        return location
    written: list[str | int] = []
    value = body
    for position, step in enumerate(location):
        missing = item["type"] == "missing" and position == len(location) - 1
        if isinstance(step, int) or missing:
            written.append(step)
            value = _inside(value, step)
        elif isinstance(value, dict) and step in value:
            written.append(step)
            value = value[step]
    return written


def _inside(value: Any, step: str | int) -> Any:
    """What is at the position `step` of a list; None where there is nothing."""
    if isinstance(value, list) and isinstance(step, int) and step < len(value):
        return value[step]
    return None


def _path(location: Sequence[str | int]) -> str:
    """`("body", "messages", 2, "content")` as `messages[2].content`, bounded.

    Keys are the caller's text: printable ASCII of each is kept, 64 characters. Names of
    headers are lower case (RFC 9110, section 5.1: they are case-insensitive).
    """
    if list(location[:1]) == ["header"]:
        location = [str(step).lower() for step in location]
    path = ""
    for step in location[:12]:
        if isinstance(step, int):
            path += f"[{step}]"
        elif step != "body" or path:
            clean = "".join(c if " " <= c <= "~" else "?" for c in str(step)[:64])
            path += f".{clean}" if path else clean
    return path


class UnknownPathError(NotFoundError):
    """No route of this service has the path."""

    recovery = "Check the path: the service describes its own at /docs."


class WrongBaseURLError(UnknownPathError):
    """The path would be served, if the client's base URL ended with `/v1`."""

    code = "wrong_base_url"
    recovery = "Set the client's base URL: the address of the service, then `/v1`."


class MethodNotAllowedError(RequestError):
    """The path is served, but not with this method."""

    code, status_code = "method_not_allowed", 405
    recovery = "Use a method that the header `Allow` names."

    def __init__(self, allowed: Iterable[str]) -> None:
        methods = ", ".join(allowed)
        super().__init__(f"Use {methods} with this path.", headers={"Allow": methods})


def allowed_methods(
    app: FastAPI, path: str, named: str | None, otherwise: str | None = "GET"
) -> list[str]:
    """The methods that the path has in the OpenAPI document, and those `named`.

    `named` is the `Allow` header of the route that refused: Starlette knows no other.
    `HEAD` goes wherever `GET` does. A path that has none has `otherwise`: files, which
    no document lists, are read only.
    """
    methods = set(named.split(", ")) if named else set()
    for template, operations in app.openapi()["paths"].items():
        pattern = re.sub(r"\\{\w+\\}", "[^/]+", re.escape(template))
        if re.fullmatch(pattern, path):
            methods |= {operation.upper() for operation in operations}
    ordered = [method for method in METHODS if method in methods]
    if not ordered and otherwise is not None:
        ordered = [otherwise]
    return [*ordered, "HEAD"] if "GET" in ordered else ordered


def in_our_words(request: Request, error: Exception, path: str) -> Exception:
    """What Starlette's router says of `path`, in our words; another error as it is."""
    if not isinstance(error, HTTPException):
        return error
    if error.status_code == 405:
        named = (error.headers or {}).get("Allow")
        return MethodNotAllowedError(allowed_methods(request.app, path, named))
    if error.status_code == 404:
        return unknown_path(request.app, path)
    return error


def unknown_path(app: FastAPI, path: str) -> NotFoundError:
    """The 404 of a path that no route has.

    A path that only lacks `/v1`, or has something else before it, comes from a base URL
    that is not quite right: then the message says which one is.
    """
    tail = re.sub(r"/{2,}", "/", path)
    tail = re.sub(r"^/((api|openai|v1)/)*", "/", tail)
    if tail != "/" and allowed_methods(app, f"/v1{tail}", None, None):
        return WrongBaseURLError(
            "The routes of this API begin with /v1: set the client's base URL to the "
            "address of this service, followed by /v1."
        )
    return UnknownPathError("There is nothing at this path.")
