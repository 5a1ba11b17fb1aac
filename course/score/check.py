"""What a check is: a function that asks a server, with the sentence that it holds to.

The function's docstring has the sentence as its first line, and a line `Source: ...`
that names who wants it so. The function returns if the sentence holds. It raises Failed
with one line of evidence, or NotOffered, if it does not.
"""

import inspect
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import httpx2

from course.score.server import Server

Ask = Callable[[Server], Awaitable[None]]
NOT_SERVED = (404, 405, 501)  # what a route answers that a server does not have
BAD_REQUEST = (400, 422)  # OpenAI answers 400, FastAPI's validation 422
SHOWN = 120  # characters of an answer that a line of evidence quotes


class Failed(Exception):
    """The sentence does not hold; the text is the evidence."""


class NotOffered(Exception):
    """The server has no such route; the text says which."""


@dataclass(frozen=True)
class Check:
    """A sentence about a server, and the function that finds out.

    `spends`: asking it generates tokens. `needs_key`: it is about API keys, so it is
    asked only if one is given. `only_local`: it is about servers on this machine.
    """

    name: str
    title: str
    source: str
    ask: Ask
    spends: bool
    needs_key: bool
    only_local: bool


def check(
    *, spends: bool = False, needs_key: bool = False, only_local: bool = False
) -> Callable[[Ask], Check]:
    """Make a check of a function. Raises ValueError if its docstring has no source."""

    def make(ask: Ask) -> Check:
        text = inspect.getdoc(ask) or ""
        title, _, rest = text.partition("\n")
        _, found, source = rest.partition("Source: ")
        if not found:
            raise ValueError(f"{ask.__name__} names no source")
        return Check(
            name=ask.__name__,
            title=title.removesuffix("."),
            source=" ".join(source.split()).removesuffix("."),
            ask=ask,
            spends=spends,
            needs_key=needs_key,
            only_local=only_local,
        )

    return make


def expect(condition: bool, evidence: str) -> None:
    """Raise Failed with `evidence` unless the condition holds."""
    if not condition:
        raise Failed(evidence)


def described(answer: httpx2.Response) -> str:
    """What was asked and what came back, for a line of evidence."""
    request = answer.request
    path = request.url.path
    return f"{request.method} {path} answered {answer.status_code}: {quoted(answer)}"


def quoted(answer: httpx2.Response) -> str:
    """The beginning of an answer's body; "(empty)" if it has none."""
    return answer.text[:SHOWN] or "(empty)"


def refused(
    answer: httpx2.Response, statuses: tuple[int, ...] = BAD_REQUEST
) -> httpx2.Response:
    """The answer, if the request was refused with one of `statuses`.

    Raises NotOffered if the server has no such route, and Failed for any other answer.
    """
    if answer.status_code not in statuses and answer.status_code in NOT_SERVED:
        raise NotOffered(described(answer))
    wanted = " or ".join(map(str, statuses))
    expect(
        answer.status_code in statuses, f"{described(answer)} ({wanted} is expected)"
    )
    return answer


def error_of(answer: httpx2.Response) -> dict[str, Any]:
    """The object `error` of an answer. Raises Failed if there is none."""
    try:
        body = answer.json()
    except ValueError:
        raise Failed(f"the body is no JSON: {described(answer)}") from None
    error = body.get("error") if isinstance(body, dict) else None
    expect(isinstance(error, dict), f"`error` is no object: {described(answer)}")
    return dict(error or {})


def json_object(text: str | None, what: str) -> dict[str, Any]:
    """The JSON object that `text` is. Raises Failed, naming `what`, if it is none."""
    try:
        value = json.loads(text or "")
    except ValueError:
        raise Failed(f"{what} is no JSON: {(text or '')[:SHOWN]!r}") from None
    expect(isinstance(value, dict), f"{what} is no JSON object: {value!r:.{SHOWN}}")
    return dict(value)
