"""A route without FastAPI's steps between a parsed body and the endpoint.

FastAPI walks a route's dependencies, headers and defaults anew for every request: ten
microseconds a dependency, half of what a short answer costs. A direct route's endpoint
takes its body and the request, and reads what it needs off the request's state.
"""

from collections.abc import Callable
from typing import Any

from pydantic import TypeAdapter, ValidationError
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from examples.full_app.web.error_responses import invalid_body
from examples.full_app.web.idempotency import IdempotentRoute
from examples.full_app.web.json_body import JSONRequest


class DirectRoute(IdempotentRoute):
    """For `async def endpoint(body: Model, request: Request) -> Response`.

    Mistakes read as they do elsewhere. FastAPI still has every body that is no object,
    and every request that an OpenTelemetry SDK records. Raises TypeError for an
    endpoint that asks for more: it would not get it.
    """

    def __init__(self, path: str, endpoint: Callable[..., Any], **given: Any) -> None:
        super().__init__(path, endpoint, **given)
        asked, body = self.dependant, self.body_field
        model: Any = None if body is None else body.field_info.annotation
        others = asked.dependencies or asked.path_params or asked.query_params
        others = others or asked.header_params or asked.cookie_params
        if not model or others or asked.request_param_name != "request":
            raise TypeError(f"{path}: a direct route takes a body and the request.")
        self._validate = TypeAdapter(model).validate_python

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or have FastAPI do it."""
        if scope["method"] not in (self.methods or ()) or "fastapi.telemetry" in scope:
            await super().handle(scope, receive, send)
            return
        request = JSONRequest(scope, receive, send)
        most = scope["state"]["settings"].max_body_bytes
        await request.load(most, self.json_limits)
        try:
            response = await self.respond(request, self._directly)
        except _NotAnObject:
            await super().handle(scope, _again(await request.body(), receive), send)
            return
        await response(scope, receive, send)

    async def _directly(self, request: Request) -> Response:
        given = await request.json()
        if not isinstance(given, dict):
            raise _NotAnObject
        try:
            body = self._validate(given)
        except ValidationError as error:
            raise invalid_body(error) from None
        response: Response = await self.endpoint(body, request)
        return response


class _NotAnObject(Exception):
    """The body is a list, a string, null."""


def _again(body: bytes, receive: Receive) -> Receive:
    """What has been received, for a second reader."""
    first = [{"type": "http.request", "body": body, "more_body": False}]

    async def received() -> Message:
        return first.pop() if first else await receive()

    return received
