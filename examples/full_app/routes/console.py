"""`/`: the page that shows the four patterns, and what it asks about this service.

`/inbox` receives webhooks for it, on a developer's machine only: `main.py` serves it
where everything is embedded and no keys are set, nowhere else. It verifies them with
the dependency that receivers copy (`webhooks/receiving.py`).
"""

import secrets
import time
from base64 import b64encode
from collections import deque
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Request
from fastapi.responses import FileResponse

from examples.full_app.schemas.base import Answer
from examples.full_app.webhooks.models import WebhookEvent
from examples.full_app.webhooks.receiving import HEADERS, signed_webhook
from examples.s4_dependency_injection import get_redis

CONSOLE = Path(__file__).parent.parent / "console"
KEPT_WEBHOOKS = 20


class About(Answer):
    """What there is: a browser shows an error where a page asks for what is not."""

    object: Literal["about"] = "about"
    inbox: bool
    keys: bool


def console_router(*, inbox: bool, keys: bool) -> APIRouter:
    """The page. `inbox`: `/inbox` is served; `keys`: callers need one."""
    router = APIRouter(include_in_schema=False)

    @router.get("/")
    async def page() -> FileResponse:
        return FileResponse(CONSOLE / "index.html")

    @router.get("/console/about")
    async def about() -> About:
        return About(inbox=inbox, keys=keys)

    return router


def inbox_router() -> APIRouter:
    """Routes over an inbox of their own: its secret and events live in this process."""
    router = APIRouter(prefix="/inbox", include_in_schema=False)
    secret = f"whsec_{b64encode(secrets.token_bytes(32)).decode('ascii')}"
    received: deque[dict[str, Any]] = deque(maxlen=KEPT_WEBHOOKS)

    async def get_secrets() -> list[str]:
        return [secret]

    verified = signed_webhook(get_secrets, get_redis, name="inbox")

    @router.post("", status_code=204)
    async def receive(
        event: Annotated[WebhookEvent, Depends(verified)], request: Request
    ) -> None:
        headers = {name: request.headers[name] for name in HEADERS}
        entry = {"received_at": time.time(), "headers": headers}
        received.appendleft({**entry, "event": event.model_dump(mode="json")})

    @router.get("")
    async def read() -> dict[str, Any]:
        return {"secret": secret, "received": list(received)}

    return router
