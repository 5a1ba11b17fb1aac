"""The context of a request, and another one in its place for a test.

Run it: `python -m course run s4.5`. Try it:

    curl -s http://127.0.0.1:8000/whoami -H 'X-Request-ID: demo-1' -H 'X-User-ID: ada'
    curl -s http://127.0.0.1:8000/whoami

The first answer repeats the two headers; the second has a new id and no name. A test
needs neither the headers nor a server: the last function of this file shows how it puts
a context of its own in the place of the real one. This test calls it:

    python -m course test tests/steps/test_s4_steps.py
"""

import secrets
import time
from dataclasses import dataclass, field
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Header
from fastapi.testclient import TestClient


@dataclass(frozen=True)
class RequestContext:
    """Facts about one request."""

    request_id: str
    user_id: str | None = None
    started: float = field(default_factory=time.monotonic)

    @property
    def elapsed_ms(self) -> float:
        """Milliseconds since then, by a clock that only runs forwards."""
        return (time.monotonic() - self.started) * 1000


async def get_request_context(
    x_request_id: Annotated[str | None, Header()] = None,
    x_user_id: Annotated[str | None, Header()] = None,
) -> RequestContext:
    """The context, from the headers X-Request-ID and X-User-ID."""
    if x_request_id is None:
        x_request_id = f"req_{secrets.token_hex(16)}"
    return RequestContext(x_request_id, x_user_id)


RequestContextDep = Annotated[RequestContext, Depends(get_request_context)]

app = FastAPI(title="The context of a request")


@app.get("/whoami")
async def whoami(context: RequestContextDep) -> dict[str, Any]:
    """Show what is known about this request."""
    return {
        "request_id": context.request_id,
        "user_id": context.user_id,
        "elapsed_ms": context.elapsed_ms,
    }


def fixed_context() -> RequestContext:
    """What a test puts in the place of `get_request_context`."""
    return RequestContext(request_id="req_test", user_id="ada")


def ask_in_a_test() -> Any:
    """Replace the dependency, ask, and take the replacement away."""
    app.dependency_overrides[get_request_context] = fixed_context
    answer = TestClient(app).get("/whoami").json()
    app.dependency_overrides.clear()
    return answer
