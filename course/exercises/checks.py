"""What the checks of exercises are written with.

A check is a function `check_...(answer)`; `answer` is the student's module. It passes
by returning and fails by raising `NotYet` with a sentence for the student.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
from fastapi import FastAPI
from pydantic import BaseModel, ValidationError
from starlette.types import Receive, Scope, Send


class NotYet(AssertionError):
    """The answer is not right; the message is a sentence that says what was seen."""


def expect(condition: object, words: str) -> None:
    """Raise `NotYet` with `words` unless the condition holds."""
    if not condition:
        raise NotYet(words)


def client(app: FastAPI) -> httpx2.AsyncClient:
    """An HTTP client that speaks to the application inside this process.

    A bug of the application becomes the status 500, as on a server. The lifespan does
    not run; with `started` it does.
    """
    transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
    return httpx2.AsyncClient(transport=transport, base_url="http://exercise.test")


@asynccontextmanager
async def started(app: FastAPI) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of the application while its lifespan runs.

    What the lifespan yields is in `request.state`, as on a server.
    """
    async with app.router.lifespan_context(app) as yielded:
        state = dict(yielded or {})

        async def with_state(scope: Scope, receive: Receive, send: Send) -> None:
            scope["state"] = dict(state)
            await app(scope, receive, send)

        transport = httpx2.ASGITransport(app=with_state, raise_app_exceptions=False)
        url = "http://exercise.test"
        async with httpx2.AsyncClient(transport=transport, base_url=url) as http:
            yield http


def accepts(model: type[BaseModel], values: Any) -> bool:
    """Whether the model accepts the values."""
    try:
        model.model_validate(values)
    except ValidationError:
        return False
    return True
