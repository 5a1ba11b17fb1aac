"""Webhooks, received: a dependency to copy into your own service.

    def get_secrets() -> list[str]: ...   # one, or two while they are rotated

    Verified = Annotated[WebhookEvent, Depends(signed_webhook(get_secrets, get_redis))]

    @app.post("/hooks", status_code=204)
    async def hook(event: Verified) -> None: ...

It reads the raw bytes (re-serialised JSON has another signature) up to a cap, checks
the signature in constant time and the timestamp against the replay window, and hands
each event to the route once: a repetition is answered 204 without calling it.
Sources: Standard Webhooks; the receiving rules of OpenAI's and Stripe's webhooks.
"""

import hashlib
from collections.abc import AsyncIterator, Callable, Sequence
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import Depends, HTTPException, Request
from pydantic import ValidationError
from redis.asyncio import Redis

from examples.full_app.errors import (
    ConflictError,
    InvalidJSONError,
    RequestError,
    RequestTooLargeError,
)
from examples.full_app.webhooks.models import WebhookEvent
from examples.s3_patterns import WebhookVerificationError, verify_webhook

HEADERS = ("webhook-id", "webhook-timestamp", "webhook-signature")
MAX_BODY_BYTES = 256_000
MAX_HEADER_LENGTH = 4_096
TOLERANCE_SECONDS = 300
REMEMBER_SECONDS = 24 * 3600
HANDLING_SECONDS = 60


class InvalidWebhookHeadersError(RequestError):
    """A signing header is missing, there twice, or too long to be one."""

    code = "invalid_webhook_headers"
    recovery = "Send webhook-id, webhook-timestamp and webhook-signature once each."


class InvalidSignatureError(RequestError):
    """No known secret made this signature, or its timestamp is too far from now."""

    code = "invalid_signature"
    status_code = 401
    recovery = "Sign id, timestamp and the exact body with the endpoint's secret."


class WebhookInProgressError(ConflictError):
    """The same event is being handled at this moment; its outcome is open."""

    code = "webhook_in_progress"
    recovery = "Send it again later."


def signed_webhook(
    get_secrets: Callable[..., Any],
    get_redis: Callable[..., Any],
    *,
    name: str = "default",
    max_bytes: int = MAX_BODY_BYTES,
    tolerance: int = TOLERANCE_SECONDS,
) -> Callable[..., AsyncIterator[WebhookEvent]]:
    """A dependency that gives the verified event, once.

    `get_secrets` and `get_redis` are dependencies themselves; any of the secrets may
    have signed. `name` keeps the replay caches of several receivers apart. Raises 400
    for malformed headers or events, 401 for signatures, 409 while the same event is
    handled, 413 for a body over `max_bytes`.
    """

    async def receive(
        request: Request,
        secrets: Annotated[Sequence[str], Depends(get_secrets)],
        redis: Annotated[Redis, Depends(get_redis)],
    ) -> AsyncIterator[WebhookEvent]:
        headers = signing_headers(request)
        body = await read_capped(request, max_bytes)
        try:
            message_id = verify_webhook(secrets, headers, body, tolerance=tolerance)
        except WebhookVerificationError as error:
            raise InvalidSignatureError("The signature does not verify.") from error
        event = parse_event(body)
        key = _seen(name, message_id)
        await claim(redis, key)
        try:
            yield event
        except BaseException:
            # The route failed: the sender's next attempt must find it unhandled.
            await redis.delete(key)
            raise
        await redis.set(key, "done", ex=REMEMBER_SECONDS)

    return receive


def signing_headers(request: Request) -> dict[str, str]:
    """The three headers, each there exactly once: else a proxy and we might differ."""
    values_of = {name: request.headers.getlist(name) for name in HEADERS}
    for values in values_of.values():
        if len(values) != 1 or len(values[0]) > MAX_HEADER_LENGTH:
            raise InvalidWebhookHeadersError("The webhook headers are not complete.")
    return {name: values[0] for name, values in values_of.items()}


async def read_capped(request: Request, max_bytes: int) -> bytes:
    """The raw body; RequestTooLargeError as soon as it is over `max_bytes`."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > max_bytes:
            raise RequestTooLargeError(max_bytes)
    return bytes(body)


def parse_event(body: bytes) -> WebhookEvent:
    """The event, parsed only after its signature was found good."""
    try:
        return WebhookEvent.model_validate_json(body)
    except ValidationError:
        raise InvalidJSONError("The body is not a webhook event.") from None


async def claim(redis: Redis, key: str) -> None:
    """Go on as the only handler of an event, or answer the repetition.

    The claim is short until the route is through: an event whose handler died is
    handled when it comes again.
    """
    if await redis.set(key, "handling", nx=True, ex=HANDLING_SECONDS):
        return
    if await redis.get(key) in (b"done", "done"):
        raise HTTPException(HTTPStatus.NO_CONTENT)
    raise WebhookInProgressError("This event is being handled.")


def _seen(name: str, message_id: str) -> str:
    return f"webhook:seen:{name}:{hashlib.sha256(message_id.encode()).hexdigest()}"
