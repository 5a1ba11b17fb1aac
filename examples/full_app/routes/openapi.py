"""What the OpenAPI document says of every route: error answers, headers, streams."""

import json
from typing import Any

from fastapi import FastAPI

from examples.full_app.errors import ErrorBody

_ERRORS = {
    400: "The request breaks a rule; `param` names the field.",
    401: "No API key, or an unknown one.",
    403: "The caller may not do this.",
    404: "There is no such thing.",
    408: "The body did not arrive in time.",
    409: "The thing is in a state in which this cannot be done.",
    410: "It existed, and is not kept any more.",
    413: "The body is larger than the service reads.",
    415: "The body is not application/json.",
    422: "The Idempotency-Key was used for a different request.",
    429: "A limit was reached; `Retry-After` says when to come back.",
    500: "A bug; quote the request id.",
    502: "The model behind this service failed.",
    503: "Overloaded; `Retry-After` says when to come back.",
    504: "The model did not answer in time.",
}
FASTAPI_ERROR = "/HTTPValidationError"  # the schema that its 422 refers to
COMMON = (401, 403, 429, 500)
BODY = (400, 408, 413, 415)
ONCE = (409, 422)
MODEL = (404, 502, 503, 504)


def errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """`responses=` for a route that can answer these and the common statuses."""
    return {
        status: {"model": ErrorBody, "description": _ERRORS[status]}
        for status in sorted({*statuses, *COMMON})
    }


STREAM_DOCUMENT: dict[str, Any] = {
    "description": "A whole completion, or with `stream: true` chunks as events.",
    "content": {
        "text/event-stream": {
            "schema": {"type": "string"},
            "example": (
                'data: {"object":"chat.completion.chunk", ...}\n\ndata: [DONE]\n\n'
            ),
        }
    },
}
IDEMPOTENCY_KEY: dict[str, Any] = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "Sent again with the same body: the same answer, not worked "
    "again, with `Idempotent-Replayed: true`. Not for streams.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255},
}


def parameters(*headers: dict[str, Any]) -> dict[str, Any]:
    """`openapi_extra=` for a route that reads these headers by itself."""
    return {"parameters": list(headers)}


def without_unused_422(app: FastAPI) -> None:
    """Take FastAPI's own 422 out of the document: this service answers 400 instead."""
    document = app.openapi

    def corrected() -> dict[str, Any]:
        schema = document()
        for operations in schema["paths"].values():
            for operation in operations.values():
                if FASTAPI_ERROR in json.dumps(operation["responses"].get("422", {})):
                    del operation["responses"]["422"]
        return schema

    app.openapi = corrected  # type: ignore[method-assign]  # FastAPI's documented way
