"""Webhook endpoints: who wants to be told, where, and signed with which secrets.

An endpoint is one JSON document in Redis; changes are compare-and-set, so that two
rotations at once cannot lose a secret that was already handed out.
Source: Standard Webhooks (rotation with two signatures; endpoints that answer 410, or
fail for days, are not called any more).
"""

import secrets as randomness
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from redis.asyncio import Redis

from examples.full_app.egress.client import EgressPolicy, check_url
from examples.full_app.errors import ConflictError, NotFoundError
from examples.full_app.webhooks.models import (
    EndpointRecord,
    SigningSecret,
    WebhookEndpoint,
    check_secret,
)
from examples.s3_patterns import new_webhook_secret

MAX_ENDPOINTS = 50  # of one owner
KEEP_SECONDS = 7 * 24 * 3600  # longer than the longest schedule of retries
MAX_SECRETS = 4  # valid at once: each adds a signature to every delivery
ROTATION_SECONDS = 24 * 3600
DAY = 24 * 3600

CREATE = """
if redis.call('ZCARD', KEYS[2]) >= tonumber(ARGV[1]) then return 0 end
redis.call('SET', KEYS[1], ARGV[2])
redis.call('ZADD', KEYS[2], ARGV[3], ARGV[4])
return 1
"""
CHANGE = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'KEEPTTL')
return 1
"""


class EndpointNotFoundError(NotFoundError):
    """No such endpoint, or another caller's: the two look alike on purpose."""

    code = "webhook_endpoint_not_found"
    recovery = "Check the id; list your endpoints to see those that exist."


class TooManyEndpointsError(ConflictError):
    """The owner has as many endpoints as one may have."""

    code = "too_many_webhook_endpoints"
    recovery = "Delete an endpoint that is not needed any more."


class EndpointStore:
    """Endpoints in Redis, each owner's apart from the others'.

    Owners are the subjects of identities. Another owner's endpoint, like one that does
    not exist, raises EndpointNotFoundError (404).
    """

    def __init__(self, redis: Redis, *, policy: EgressPolicy | None = None) -> None:
        self.redis = redis
        self.policy = policy or EgressPolicy()
        self._create = redis.register_script(CREATE)
        self._change = redis.register_script(CHANGE)

    async def create(
        self,
        owner: str,
        url: str,
        *,
        name: str = "",
        event_types: Sequence[str] = (),
    ) -> WebhookEndpoint:
        """Register `url`; the answer carries the secret, this once.

        Raises ForbiddenTargetError (400) and TooManyEndpointsError (409).
        """
        record = self._new(
            owner, url, name=name, event_types=tuple(dict.fromkeys(event_types))
        )
        created = await self._create(
            keys=[_key(record.id), _owned(owner)],
            args=[MAX_ENDPOINTS, record.model_dump_json(), time.time(), record.id],
        )
        if not created:
            raise TooManyEndpointsError(f"You have {MAX_ENDPOINTS} endpoints already.")
        return record.shown(with_secret=True)

    async def create_ephemeral(
        self, owner: str, url: str, *, secret: str | None = None
    ) -> WebhookEndpoint:
        """The callback of one job, signed with `secret` or with one made here.

        Raises ForbiddenTargetError and, for an unusable secret, RequestError (400).
        """
        if secret is not None:
            check_secret(secret)
        record = self._new(owner, url, secret=secret, ephemeral=True)
        await self.redis.set(_key(record.id), record.model_dump_json(), ex=KEEP_SECONDS)
        return record.shown(with_secret=True)

    async def list(self, owner: str) -> Sequence[WebhookEndpoint]:
        """The owner's endpoints, newest first; there are at most MAX_ENDPOINTS."""
        return [record.shown() for record in await self._records(owner)]

    async def get(self, owner: str, endpoint_id: str) -> WebhookEndpoint:
        """One endpoint, without its secret."""
        return (await self.load(endpoint_id, owner)).shown()

    async def delete(self, owner: str, endpoint_id: str) -> None:
        """Forget an endpoint; deliveries that still wait for it are dropped."""
        await self.load(endpoint_id, owner)
        async with self.redis.pipeline(transaction=True) as pipe:
            pipe.delete(_key(endpoint_id))
            pipe.zrem(_owned(owner), endpoint_id)
            await pipe.execute()

    async def load(self, endpoint_id: str, owner: str | None = None) -> EndpointRecord:
        """The stored record, secrets included; `owner` None: whoever's it is."""
        stored = await self.redis.get(_key(endpoint_id))
        record = None if stored is None else EndpointRecord.model_validate_json(stored)
        if record is None or owner not in (None, record.owner):
            raise EndpointNotFoundError("There is no such webhook endpoint.")
        return record

    async def subscribed(self, owner: str, event_type: str) -> Sequence[str]:
        """The ids of the owner's endpoints that want events of this type."""
        records = await self._records(owner)
        return [record.id for record in records if record.wants(event_type)]

    async def change(
        self, owner: str, endpoint_id: str, changes: Mapping[str, Any]
    ) -> WebhookEndpoint:
        """Set `url`, `name` or `event_types`. Raises ForbiddenTargetError (400)."""
        if "url" in changes:
            check_url(changes["url"], self.policy)
        stored = dict(changes)
        if "event_types" in stored:
            stored["event_types"] = tuple(dict.fromkeys(stored["event_types"]))
        record = await self._update(endpoint_id, lambda _: stored, owner)
        return record.shown()

    async def rotate(
        self, owner: str, endpoint_id: str, *, keep_old_seconds: int = ROTATION_SECONDS
    ) -> WebhookEndpoint:
        """A new secret, shown this once; the old one signs too for a while.

        `keep_old_seconds=0` ends every older secret now: for one that has leaked.
        """
        newest = SigningSecret(value=new_webhook_secret())
        now = int(time.time())
        until = now + keep_old_seconds

        def rotated(record: EndpointRecord) -> dict[str, Any]:
            ends = [min(old.expires_at or until, until) for old in record.secrets]
            older = [
                SigningSecret(value=old.value, expires_at=end)
                for old, end in zip(record.secrets, ends, strict=True)
                if end > now
            ]
            return {"secrets": (newest, *older[: MAX_SECRETS - 1])}

        record = await self._update(endpoint_id, rotated, owner)
        return record.shown(with_secret=True)

    async def disable(self, endpoint_id: str, reason: str) -> None:
        """Deliver nothing more to it, and keep why."""
        await self._update(endpoint_id, lambda _: {"disabled_reason": reason})

    async def enable(self, owner: str, endpoint_id: str) -> WebhookEndpoint:
        """Deliver to it again; how long it had failed is forgotten."""
        changes = {"disabled_reason": None, "failing_since": None}
        return (await self._update(endpoint_id, lambda _: changes, owner)).shown()

    async def record_outcome(
        self, record: EndpointRecord, *, delivered: bool, now: int, disable_after: float
    ) -> None:
        """Remember since when an endpoint fails; disable it after so many seconds.

        It is written when that changes only, not at every delivery.
        """
        since = record.failing_since
        if delivered:
            if since is not None:
                await self._update(record.id, lambda _: {"failing_since": None})
        elif since is None:
            await self._update(record.id, lambda _: {"failing_since": now})
        elif now - since >= disable_after:
            days = f"{disable_after / DAY:g}"
            reason = f"Nothing could be delivered for {days} days."
            await self.disable(record.id, reason)

    def _new(
        self, owner: str, url: str, *, secret: str | None = None, **fields: Any
    ) -> EndpointRecord:
        check_url(url, self.policy)
        return EndpointRecord(
            id=f"we_{randomness.token_hex(16)}",
            owner=owner,
            url=url,
            created_at=int(time.time()),
            secrets=(SigningSecret(value=secret or new_webhook_secret()),),
            **fields,
        )

    async def _records(self, owner: str) -> Sequence[EndpointRecord]:
        ids = await self.redis.zrevrange(_owned(owner), 0, -1)
        keys = [_key(_text(endpoint_id)) for endpoint_id in ids]
        stored = await self.redis.mget(keys) if keys else []
        return [EndpointRecord.model_validate_json(text) for text in stored if text]

    async def _update(
        self,
        endpoint_id: str,
        change: Callable[[EndpointRecord], dict[str, Any]],
        owner: str | None = None,
    ) -> EndpointRecord:
        """Compare and set: whoever comes second reads again and changes that."""
        while True:
            record = await self.load(endpoint_id, owner)
            changed = record.model_copy(update=change(record))
            args = [record.model_dump_json(), changed.model_dump_json()]
            if await self._change(keys=[_key(endpoint_id)], args=args):
                return changed


def _key(endpoint_id: str) -> str:
    return f"webhook:endpoint:{endpoint_id}"


def _owned(owner: str) -> str:
    return f"webhook:endpoints:{owner}"


def _text(value: Any) -> str:
    """Clients answer bytes, or text when they were made to decode."""
    return value.decode() if isinstance(value, bytes) else str(value)
