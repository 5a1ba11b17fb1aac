"""Answers, data and verdicts as text that fits a slide."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from course.notebook.display import Shown, fenced

WIDEST = 72


def data(value: Any) -> Shown:
    """`value` as indented JSON."""
    text = _json(value)
    return Shown(text, fenced(text, "json"))


def wire(answer: Any, *headers: str) -> Shown:
    """An HTTP answer: its status, those of `headers` that it has, its body.

    `answer` is an httpx2 response.
    """
    head = [f"HTTP {answer.status_code} {reason(answer)}".rstrip()]
    head += [
        f"{name}: {answer.headers[name]}" for name in headers if name in answer.headers
    ]
    text = "\n".join(head)
    if not answer.content:
        return Shown(text, fenced(text))
    language, body = _body(answer)
    return Shown(f"{text}\n\n{body}", f"{fenced(text)}\n\n{fenced(body, language)}")


def reason(answer: Any) -> str:
    """The reason phrase of RFC 9110 section 15, on every Python.

    Before 3.13 Python calls 422 by its name of RFC 4918, "Unprocessable Entity".
    """
    if answer.status_code == 422:
        return "Unprocessable Content"
    return str(answer.reason_phrase)


def table(rows: Iterable[Mapping[str, Any]]) -> Shown:
    """Rows of equal keys as a table; the keys are its head."""
    listed = [{key: _cell(value) for key, value in row.items()} for row in rows]
    head = list(listed[0]) if listed else []
    widths = {key: max(len(key), *(len(row[key]) for row in listed)) for key in head}
    lines = [[key.ljust(widths[key]) for key in head]]
    lines += [[row[key].ljust(widths[key]) for key in head] for row in listed]
    text = "\n".join("  ".join(line).rstrip() for line in lines)
    marked = [
        head,
        ["---"] * len(head),
        *([row[key] for key in head] for row in listed),
    ]
    escaped = (" | ".join(it.replace("|", "\\|") for it in line) for line in marked)
    return Shown(text, "\n".join(f"| {line} |" for line in escaped))


def judge(model: type[BaseModel], candidates: Mapping[str, Any]) -> Shown:
    """What `model` says of each candidate: accepted, or the first reason why not."""
    return table(
        {"sent": label, "verdict": verdict(model, candidate)}
        for label, candidate in candidates.items()
    )


def verdict(model: type[BaseModel], candidate: Any) -> str:
    """`accepted`, or `field: reason` of the first error."""
    try:
        model.model_validate(candidate)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        path = ".".join(str(part) for part in first["loc"])
        return f"{path}: {first['msg']}" if path else first["msg"]
    return "accepted"


def _body(answer: Any) -> tuple[str, str]:
    if "json" in answer.headers.get("content-type", ""):
        return "json", _json(answer.json())
    return "text", answer.text


def _json(value: Any) -> str:
    if isinstance(value, BaseModel):
        value = value.model_dump(mode="json")
    short = json.dumps(value, ensure_ascii=False)
    if len(short) <= WIDEST:
        return short
    return json.dumps(value, ensure_ascii=False, indent=2)


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "" if value is None else str(value)
