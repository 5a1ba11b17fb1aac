"""Webhooks, sent: signed events, delivered at least once, every attempt on record.

The queue holds `(endpoint_id, event_id, attempt)` and calls `attempt_delivery`, which
answers when to call it again. Nothing is lost when a process dies in between: the
same event goes out once more, under the id that receivers drop repetitions by.
Sources: Standard Webhooks (headers, signatures, statuses); OpenAI's event shape.
"""

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

import httpx2

from examples.full_app.egress.client import ForbiddenTargetError
from examples.full_app.webhooks.endpoints import DAY, EndpointNotFoundError
from examples.full_app.webhooks.models import (
    DeadLetter,
    DeliveryAttempt,
    EndpointRecord,
    StoredEvent,
)
from examples.full_app.webhooks.schedule import (
    MAX_JITTER,
    SCHEDULE,
    next_attempt,
    outcome_of,
    parse_retry_after,
)
from examples.full_app.webhooks.store import WebhookStore
from examples.s3_patterns import sign_webhook

MAX_RESPONSE_BYTES = 20_000
SHOWN_CHARACTERS = 500


class WebhookSender:
    """Delivers events through a guarded client, one attempt at a time.

    `timeout` bounds a whole attempt, in seconds: name, connection, answer, body.
    An endpoint that fails for `disable_after` seconds is disabled.
    """

    def __init__(
        self,
        store: WebhookStore,
        client: httpx2.AsyncClient,
        *,
        schedule: Sequence[float] = SCHEDULE,
        timeout: float = 15.0,
        disable_after: float = 5 * DAY,
        jitter: Callable[[], float] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.store = store
        self.client = client
        self.schedule = schedule
        self.timeout = timeout
        self.disable_after = disable_after
        self._jitter = jitter or _jitter
        self._clock = clock

    async def attempt_delivery(
        self, endpoint_id: str, event_id: str, attempt: int
    ) -> float | None:
        """Make attempt number `attempt` (from 1) and keep what came of it.

        Answers the seconds until the next attempt; None when there is none: it is
        delivered, its endpoint was deleted, or it is a dead letter now.
        """
        try:
            endpoint = await self.store.endpoints.load(endpoint_id)
        except EndpointNotFoundError:
            return None
        stored = await self.store.load_event(event_id)
        if stored is None:
            await self._give_up(endpoint, event_id, attempt, "event expired")
            return None
        if endpoint.disabled_reason is not None:
            await self._give_up(endpoint, event_id, attempt, "endpoint disabled")
            return None
        made = await self.deliver(endpoint, stored, attempt)
        wait = next_attempt(
            attempt, made, schedule=self.schedule, jitter=self._jitter()
        )
        await self.store.log(made.model_copy(update={"next_in": wait}))
        with suppress(EndpointNotFoundError):
            await self._judge(endpoint, made)
        if wait is None and made.outcome != "delivered":
            reason = made.error or f"status {made.status}"
            await self._give_up(endpoint, event_id, attempt, reason)
        return wait

    async def _judge(self, endpoint: EndpointRecord, made: DeliveryAttempt) -> None:
        """Call an endpoint no more that is gone, or has failed for too long."""
        if made.outcome == "gone":
            await self.store.endpoints.disable(endpoint.id, "It answered 410 Gone.")
            return
        await self.store.endpoints.record_outcome(
            endpoint,
            delivered=made.outcome == "delivered",
            now=made.at,
            disable_after=self.disable_after,
        )

    async def deliver(
        self, endpoint: EndpointRecord, news: StoredEvent, attempt: int = 1
    ) -> DeliveryAttempt:
        """One signed POST. What the receiver does wrong is in the answer, not raised.

        The event's id and bytes never change; timestamp and signatures are of now,
        one signature for each valid secret.
        """
        now, started = int(self._clock()), time.monotonic()
        secrets = endpoint.secrets_at(now)
        signatures = [sign_webhook(key, news.id, now, news.body) for key in secrets]
        headers = {
            "Content-Type": "application/json",
            "webhook-id": news.id,
            "webhook-timestamp": str(now),
            "webhook-signature": " ".join(signatures),
        }
        if news.traceparent:
            headers["traceparent"] = news.traceparent
        reply = await self._post(endpoint.url, news.body, headers)
        return DeliveryAttempt(
            event_id=news.id,
            endpoint_id=endpoint.id,
            attempt=attempt,
            at=now,
            outcome=outcome_of(reply.status, reply.error),
            status=reply.status,
            error=reply.error,
            retry_after=parse_retry_after(reply.retry_after, now),
            duration_ms=round((time.monotonic() - started) * 1000),
            response=reply.body.decode("utf-8", "replace")[:SHOWN_CHARACTERS],
        )

    async def _post(self, url: str, body: bytes, headers: dict[str, str]) -> "_Reply":
        """What came back, also when it broke off: a status that came counts."""
        reply = _Reply()
        try:
            async with (
                asyncio.timeout(self.timeout),
                self.client.stream("POST", url, content=body, headers=headers) as got,
            ):
                reply.status = got.status_code
                reply.retry_after = got.headers.get("retry-after")
                async for chunk in got.aiter_raw():
                    reply.body += chunk[: MAX_RESPONSE_BYTES - len(reply.body)]
                    if len(reply.body) >= MAX_RESPONSE_BYTES:
                        break
        except ForbiddenTargetError as error:
            reply.error = error.code
        except (httpx2.HTTPError, TimeoutError) as error:
            reply.error = type(error).__name__
        return reply

    async def _give_up(
        self, endpoint: EndpointRecord, event_id: str, attempt: int, reason: str
    ) -> None:
        letter = DeadLetter(
            endpoint_id=endpoint.id,
            event_id=event_id,
            attempts=attempt,
            at=int(self._clock()),
            reason=reason,
        )
        await self.store.bury(endpoint.owner, letter)


@dataclass(slots=True)
class _Reply:
    status: int | None = None
    retry_after: str | None = None
    body: bytes = b""
    error: str | None = None


def _jitter() -> float:
    return random.SystemRandom().uniform(0, MAX_JITTER)
