"""`/inbox`: a receiver of webhooks for the page at `/`, on a developer's machine only.

It verifies with the dependency that students copy (`webhooks/receiving.py`). `main.py`
serves it where everything is embedded and no keys are set, nowhere else.
"""

import secrets
import time
from base64 import b64encode
from collections import deque
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request

from examples.full_app.webhooks.models import WebhookEvent
from examples.full_app.webhooks.receiving import HEADERS, signed_webhook
from examples.s4_dependency_injection import get_redis

KEPT = 20


def inbox_router() -> APIRouter:
    """Routes over an inbox of their own: its secret and events live in this process."""
    router = APIRouter(prefix="/inbox", include_in_schema=False)
    secret = f"whsec_{b64encode(secrets.token_bytes(32)).decode('ascii')}"
    received: deque[dict[str, Any]] = deque(maxlen=KEPT)

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
