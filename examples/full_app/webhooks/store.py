"""What webhooks keep in Redis: events to send, attempts made, events that failed."""

from collections.abc import Iterable, Sequence

from redis.asyncio import Redis

from examples.full_app.egress.rules import EgressPolicy
from examples.full_app.observability.tracing import traceparent
from examples.full_app.webhooks.endpoints import KEEP_SECONDS, EndpointStore
from examples.full_app.webhooks.models import (
    DeadLetter,
    DeliveryAttempt,
    StoredEvent,
    WebhookEvent,
)

KEPT_ATTEMPTS = 100  # of each endpoint
KEPT_DEAD_LETTERS = 1_000  # of each owner


class WebhookStore:
    """The events to deliver, the delivery log and the dead letters, beside `endpoints`.

    `policy` says which addresses an endpoint may have.
    """

    def __init__(self, redis: Redis, *, policy: EgressPolicy | None = None) -> None:
        self.redis = redis
        self.endpoints = EndpointStore(redis, policy=policy)

    async def publish(
        self, owner: str, news: WebhookEvent, *, also: Iterable[str] = ()
    ) -> Sequence[str]:
        """Keep the event; the ids of the endpoints to deliver it to.

        Those are the owner's that want its type, and `also`. Call it when what the
        event is about can be read: receivers fetch it at once.
        """
        await self.save_event(news)
        return list(
            dict.fromkeys([*also, *await self.endpoints.subscribed(owner, news.type)])
        )

    async def save_event(self, news: WebhookEvent) -> StoredEvent:
        """Keep the bytes to send for as long as there may be retries."""
        body = news.model_dump_json().encode("utf-8")
        stored = StoredEvent(news.id, body, traceparent())
        kept = f"{stored.traceparent or ''}\n".encode() + body
        await self.redis.set(f"webhook:event:{news.id}", kept, ex=KEEP_SECONDS)
        return stored

    async def load_event(self, event_id: str) -> StoredEvent | None:
        """The bytes that were saved; None when it was too long ago."""
        kept = await self.redis.get(f"webhook:event:{event_id}")
        if kept is None:
            return None
        text = kept.decode("utf-8") if isinstance(kept, bytes) else kept
        trace, _, body = text.partition("\n")
        return StoredEvent(event_id, body.encode(), trace or None)

    async def log(self, attempt: DeliveryAttempt) -> None:
        """Put an attempt on its endpoint's record; the oldest drop out."""
        key = f"webhook:log:{attempt.endpoint_id}"
        await self._push(key, attempt.model_dump_json(), KEPT_ATTEMPTS)

    async def attempts(
        self, owner: str, endpoint_id: str, *, limit: int = 20
    ) -> Sequence[DeliveryAttempt]:
        """The latest attempts, newest first. Raises EndpointNotFoundError."""
        await self.endpoints.load(endpoint_id, owner)
        entries = await self.redis.lrange(f"webhook:log:{endpoint_id}", 0, limit - 1)
        return [DeliveryAttempt.model_validate_json(text) for text in entries]

    async def bury(self, owner: str, letter: DeadLetter) -> None:
        """Put an undelivered event where its owner finds it."""
        key = f"webhook:dead:{owner}"
        await self._push(key, letter.model_dump_json(), KEPT_DEAD_LETTERS)

    async def dead_letters(
        self, owner: str, *, limit: int | None = 100
    ) -> Sequence[DeadLetter]:
        """The owner's undelivered events, newest first; None: all that are kept."""
        last = (limit or KEPT_DEAD_LETTERS) - 1
        entries = await self.redis.lrange(f"webhook:dead:{owner}", 0, last)
        return [DeadLetter.model_validate_json(text) for text in entries]

    async def take_dead_letter(
        self, owner: str, endpoint_id: str, event_id: str
    ) -> bool:
        """Remove a dead letter in order to send it again: True for one taker only."""
        taken = 0
        for letter in await self.dead_letters(owner, limit=None):
            if (letter.endpoint_id, letter.event_id) == (endpoint_id, event_id):
                key, text = f"webhook:dead:{owner}", letter.model_dump_json()
                taken += await self.redis.lrem(key, 0, text)
        return taken > 0

    async def _push(self, key: str, text: str, kept: int) -> None:
        async with self.redis.pipeline(transaction=True) as pipe:
            pipe.lpush(key, text)
            pipe.ltrim(key, 0, kept - 1)
            pipe.expire(key, KEEP_SECONDS)
            await pipe.execute()
