"""What changes at an endpoint: its address, its secrets, whether it is delivered to.

Source: Standard Webhooks (rotation with two signatures; endpoints that answer 410, or
fail for days, are not called any more).
"""

import time
from collections.abc import Mapping
from typing import Any

from examples.full_app.egress.client import check_url
from examples.full_app.webhooks.endpoints import EndpointStore
from examples.full_app.webhooks.models import (
    EndpointRecord,
    SigningSecret,
    WebhookEndpoint,
)
from examples.s3_patterns import new_webhook_secret

MAX_SECRETS = 4  # valid at once: each adds a signature to every delivery
ROTATION_SECONDS = 24 * 3600
DAY = 24 * 3600


class EndpointChanges(EndpointStore):
    """Endpoints, changed by compare-and-set; all raise EndpointNotFoundError."""

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

    async def note(
        self, record: EndpointRecord, *, delivered: bool, now: int, patience: float
    ) -> None:
        """Remember since when an endpoint fails; disable it after `patience` seconds.

        It is written when that changes only, not at every delivery.
        """
        since = record.failing_since
        if delivered:
            if since is not None:
                await self._update(record.id, lambda _: {"failing_since": None})
        elif since is None:
            await self._update(record.id, lambda _: {"failing_since": now})
        elif now - since >= patience:
            days = f"{patience / DAY:g}"
            reason = f"Nothing could be delivered for {days} days."
            await self.disable(record.id, reason)
