"""Recorded answers as the examples of an OpenAPI document.

Without examples `/docs` would invent them from the types: a time in the year 33658, a
price of 0. This module imports nothing else of the service: so the sections and the
playground, which runs in a browser, show their own recorded answers with it as well.
"""

import json
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any

from fastapi import FastAPI

# Made by `python -m course.site.record_answers`, from a service that ran.
RECORDED_ANSWERS = Path(__file__).with_name("recorded_answers.json")
FIRST_ERROR_STATUS = 400


def document_answers(app: FastAPI, recorded: Mapping[str, Any] | None = None) -> None:
    """Show in the OpenAPI document what the routes really answered.

    `recorded` holds the answers of this service by default; its keys are method, path
    of the document and status. An error has the same body everywhere, so that of
    another route stands in where a route has none of its own. An error that was
    recorded is shown even if its route does not declare it.
    """
    document = app.openapi
    if recorded is None:
        recorded = json.loads(RECORDED_ANSWERS.read_text(encoding="utf-8"))
    answers = dict(recorded)

    def with_answers() -> dict[str, Any]:
        schema = document()
        declare_recorded_errors(schema, answers)
        for path, operations in schema["paths"].items():
            for method, operation in operations.items():
                for status, response in operation["responses"].items():
                    answer = recorded_answer(answers, method.upper(), path, status)
                    if answer is not None:
                        show_answer(response, answer, status)
        return schema

    app.openapi = with_answers  # type: ignore[method-assign]  # FastAPI's documented way


def declare_recorded_errors(schema: dict[str, Any], answers: Mapping[str, Any]) -> None:
    """Add the errors that a route has answered and does not declare."""
    for request in answers:
        method, path, status = request.split(" ")
        operation = schema["paths"].get(path, {}).get(method.lower())
        if operation is None or int(status) < FIRST_ERROR_STATUS:
            continue
        phrase = HTTPStatus(int(status)).phrase
        operation["responses"].setdefault(status, {"description": phrase})


def recorded_answer(
    answers: Mapping[str, Any], method: str, path: str, status: str
) -> Any:
    """The answer of a route; for an error without one, that of another route."""
    own = answers.get(f"{method} {path} {status}")
    if own is not None or int(status) < FIRST_ERROR_STATUS:
        return own
    for request, answer in answers.items():
        if request.endswith(f" {status}"):
            return answer
    return None


def show_answer(response: dict[str, Any], answer: Any, status: str) -> None:
    """Write `answer` into a response of the document.

    A text is one of events, or for an error plain text, unless the document already
    says another kind.
    """
    kind = "application/json"
    if isinstance(answer, str):
        failed = int(status) >= FIRST_ERROR_STATUS
        kind = "text/plain" if failed else "text/event-stream"
    content = response.setdefault("content", {})
    if kind not in content and content:
        kind = next(iter(content))
    content.setdefault(kind, {})["example"] = answer
