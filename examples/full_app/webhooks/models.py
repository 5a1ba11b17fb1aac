"""The shapes of webhooks: endpoints, events, delivery attempts and dead letters.

Endpoints carry the field names of OpenAI's webhook endpoints, events the shape of
OpenAI's events. All times are Unix seconds.
"""

import secrets as randomness
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from examples.full_app.errors import RequestError
from examples.full_app.schemas.base import Answer
from examples.s3_patterns import sign_webhook

Outcome = Literal["delivered", "failed", "gone", "forbidden"]


class WebhookEndpoint(Answer):
    """An endpoint as its owner sees it."""

    id: str = Field(examples=["we_0123456789abcdef0123456789abcdef"])
    object: Literal["webhook_endpoint"] = "webhook_endpoint"
    url: str
    name: str = ""
    event_types: tuple[str, ...] = Field(
        default=(), description="The types of events it receives; empty: all of them."
    )
    created_at: int
    disabled: bool = False
    disabled_reason: str | None = None
    failing_since: int | None = Field(
        default=None, description="Every delivery failed since; null: the last went."
    )
    signing_secret_hint: str
    signing_secret: str | None = Field(
        default=None,
        description="Shown once: when it is made, at creation and at rotation.",
        repr=False,
        exclude_if=lambda secret: secret is None,
    )


class SigningSecret(BaseModel):
    """A secret, and when it stops being used; None: it is the newest."""

    model_config = ConfigDict(frozen=True)

    value: str = Field(repr=False)
    expires_at: int | None = None


def check_secret(secret: str) -> None:
    """Refuse a secret that cannot sign, as long as its owner can mend it.

    Raises RequestError (400).
    """
    try:
        sign_webhook(secret, "evt_check", 0, b"")
    except ValueError:
        raise RequestError(
            "A webhook secret is whsec_ and 24 to 64 bytes in base64.", param="secret"
        ) from None


class EndpointRecord(BaseModel):
    """An endpoint as it is stored. `secrets` are newest first, and readable.

    `ephemeral`: the callback of one job; it is not listed and goes away by itself.
    """

    model_config = ConfigDict(frozen=True)

    id: str
    owner: str
    url: str
    name: str = ""
    event_types: tuple[str, ...] = ()
    created_at: int
    ephemeral: bool = False
    disabled_reason: str | None = None
    failing_since: int | None = None
    secrets: tuple[SigningSecret, ...]

    def secrets_at(self, now: float) -> list[str]:
        """The secrets to sign with at `now`: more than one while rotating."""
        return [
            secret.value
            for secret in self.secrets
            if secret.expires_at is None or secret.expires_at > now
        ]

    def wants(self, event_type: str) -> bool:
        """Whether it is to be told about events of this type."""
        listed = not self.event_types or event_type in self.event_types
        return listed and self.disabled_reason is None

    def shown(self, *, with_secret: bool = False) -> WebhookEndpoint:
        """What the owner sees of it."""
        newest = self.secrets[0].value
        return WebhookEndpoint(
            id=self.id,
            url=self.url,
            name=self.name,
            event_types=self.event_types,
            created_at=self.created_at,
            disabled=self.disabled_reason is not None,
            disabled_reason=self.disabled_reason,
            failing_since=self.failing_since,
            signing_secret_hint=f"whsec_...{newest[-4:]}",
            signing_secret=newest if with_secret else None,
        )


class WebhookEvent(Answer):
    """What a receiver gets: thin, it names the thing in `data.id`, to be fetched."""

    id: str = Field(examples=["evt_0123456789abcdef0123456789abcdef"])
    object: Literal["event"] = "event"
    created_at: int
    type: str = Field(examples=["job.succeeded"])
    data: dict[str, Any] = Field(examples=[{"id": "job_0123456789abcdef"}])


def event(event_type: str, data: Mapping[str, Any]) -> WebhookEvent:
    """A new event about the thing that `data["id"]` names."""
    return WebhookEvent(
        id=f"evt_{randomness.token_hex(16)}",
        created_at=int(time.time()),
        type=event_type,
        data=dict(data),
    )


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """An event as it is sent: every attempt sends these very bytes."""

    id: str
    body: bytes
    traceparent: str | None = None


class DeliveryAttempt(Answer):
    """One POST and what came of it.

    `status` is None when no answer came; `error` then names the reason. `response` is
    the beginning of the answer's body, `next_in` the seconds until the next attempt.
    """

    event_id: str
    endpoint_id: str
    attempt: int
    at: int
    outcome: Outcome
    status: int | None = None
    error: str | None = None
    retry_after: float | None = None
    duration_ms: int = 0
    response: str = ""
    next_in: float | None = None


class DeadLetter(Answer):
    """An event that one endpoint will not get unless it is sent again by hand."""

    endpoint_id: str
    event_id: str
    attempts: int
    at: int
    reason: str
