"""Settings of the service: section 4's, and what a service under load needs besides.

From the environment with the prefix `FULL_APP_`; `REDIS_URL` has none, because every
tool around Redis calls it so. That Redis must run with `maxmemory-policy noeviction`:
money and jobs are kept there. A start with another policy logs a warning.
"""

import itertools
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Self

from pydantic import (
    AliasChoices,
    BeforeValidator,
    Field,
    SecretStr,
    model_validator,
)
from pydantic_settings import NoDecode, SettingsConfigDict

from examples import s4_dependency_injection as s4
from examples.full_app.keys import Digest, Grant, parse_key_list, parse_keys

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


class Settings(s4.Settings):
    """Everything an operator can set, with defaults that suit one laptop."""

    model_config = SettingsConfigDict(
        env_prefix="FULL_APP_",
        env_ignore_empty=True,
        hide_input_in_errors=True,
        populate_by_name=True,
    )

    redis_url: str | None = Field(
        default=None, validation_alias=AliasChoices("redis_url", "REDIS_URL")
    )
    redis_max_connections: int = Field(default=50, ge=1)
    redis_timeout_seconds: float = Field(default=0.25, gt=0)
    api_keys: Annotated[dict[str, Digest], NoDecode, BeforeValidator(parse_keys)] = (
        Field(default_factory=dict)
    )
    key_grants: dict[str, Grant] = Field(
        default_factory=dict,
        description="By key name. The list form of `api_keys` brings its own.",
    )
    host: str = "127.0.0.1"

    upstream_base_url: str | None = None
    upstream_api_key: SecretStr | None = None
    fallback_base_url: str | None = Field(
        default=None, description="Asked when the upstream cannot begin an answer."
    )
    fallback_api_key: SecretStr | None = None
    fallback_model: str | None = Field(
        default=None, description="Asked there instead of the model that was named."
    )
    offline_pace: float = Field(default=1.0, ge=0, description="0 turns pauses off.")

    requests_per_minute: int = Field(default=6_000, ge=1)
    tokens_per_minute: int = Field(default=2_000_000, ge=1)
    concurrent_calls: int = Field(
        default=2_000, ge=1, description="Calls of a model at once, of all callers."
    )
    concurrent_calls_per_key: int = Field(default=1_000, ge=1)
    slot_lease_seconds: float = Field(
        default=15,
        gt=0,
        description="After so long a process that was killed holds no slots any more.",
    )
    queue_places: int = Field(
        default=100, ge=0, description="Calls that may wait for a slot, a process."
    )
    queue_seconds: float = Field(default=2, ge=0, description="How long they may.")
    live_idle_seconds: float = Field(
        default=300, gt=0, description="A WebSocket may be silent while nothing runs."
    )
    live_send_seconds: float = Field(
        default=20, gt=0, description="It is closed if it does not read for so long."
    )
    max_body_bytes: int = Field(default=2 * 1024 * 1024, ge=1024)
    request_timeout_seconds: float = Field(default=120, gt=0)
    heartbeat_seconds: float = Field(default=10, gt=0)
    resume_seconds: int = Field(
        default=600, ge=1, description="How long a resumable answer is kept."
    )
    resume_grace_seconds: float = Field(
        default=15,
        gt=0,
        description="A resumable answer goes on without a reader for so long.",
    )
    drain_seconds: float = Field(
        default=10,
        ge=0,
        description="After SIGTERM what runs may finish for so long, then it is ended.",
    )
    drain_notice_seconds: float = Field(
        default=0,
        ge=0,
        description="Unready at least so long: until load balancers have seen it.",
    )
    job_lease_seconds: float = Field(
        default=30, ge=1, description="How long after its worker a job may lie idle."
    )
    job_attempts: int = Field(
        default=5, ge=1, description="In a row without one more request done."
    )
    job_keep_seconds: int = Field(default=24 * 3600, ge=60)
    jobs_per_caller: int = Field(default=4, ge=1, description="Running at a time.")
    webhook_schedule: tuple[float, ...] | None = Field(
        default=None,
        min_length=1,
        description="Seconds before each attempt, as JSON; by default 28 hours in 8.",
    )
    webhook_disable_after_days: float = Field(
        default=5, gt=0, description="An endpoint that fails for so long is disabled."
    )
    idempotency_seconds: float = Field(
        default=24 * 3600, gt=0, description="How long answers to a key are replayed."
    )

    log_json: bool = Field(
        default=False, description="Log one line of JSON a request, to standard error."
    )
    job_worker: bool = Field(
        default=True, description="Work jobs off in this process too."
    )
    allow_loopback_webhooks: bool | None = Field(
        default=None,
        description="For development; by default on only without Redis and keys.",
    )

    @model_validator(mode="before")
    @classmethod
    def take_key_list_apart(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Digests into `api_keys`, which section 4 knows; the rest into `key_grants`.

        The list: `[{"name": "ops", "key": "sk-...", "scopes": ["chat"],
        "budget_usd": "1.50"}]`, with `sha256` in place of `key` if you like.
        """
        entries = parse_key_list(values.get("api_keys"))
        if entries is None:
            return values
        digests = {entry.name: entry.digest for entry in entries}
        grants = {
            entry.name: Grant(scopes=entry.scopes, budget_usd=entry.budget_usd)
            for entry in entries
        }
        return {**values, "api_keys": digests, "key_grants": grants}

    @model_validator(mode="after")
    def grants_belong_to_keys(self) -> Self:
        """A budget under a misspelt name would limit nobody."""
        if not self.key_grants.keys() <= self.api_keys.keys():
            raise ValueError("key_grants names a key that api_keys does not")
        if len(set(self.api_keys.values())) != len(self.api_keys):
            raise ValueError("two names share a key: whose scopes and budget count?")
        return self

    @property
    def embedded(self) -> bool:
        """Whether everything lives in this one process."""
        return self.redis_url is None

    @property
    def loopback_webhooks(self) -> bool:
        """Whether webhooks may go to this machine."""
        if self.allow_loopback_webhooks is not None:
            return self.allow_loopback_webhooks
        return self.embedded and not self.api_keys

    @model_validator(mode="after")
    def keys_before_strangers(self) -> Self:
        """Without keys anyone who reaches the service may use it: loopback only."""
        if not self.api_keys and self.host not in LOOPBACK:
            raise ValueError("set FULL_APP_API_KEYS to serve other machines")
        return self

    @model_validator(mode="after")
    def upstream_before_fallback(self) -> Self:
        """A fallback alone would never be asked."""
        if self.fallback_base_url is not None and self.upstream_base_url is None:
            raise ValueError("set FULL_APP_UPSTREAM_BASE_URL to use a fallback")
        return self

    @model_validator(mode="after")
    def redis_before_processes(self) -> Self:
        """Embedded, every process would have limits and jobs of its own."""
        if self.embedded and configured_processes(sys.argv, os.environ) > 1:
            raise ValueError("set REDIS_URL to run more than one process")
        return self


def configured_processes(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """How many processes uvicorn was asked for, by `--workers` or WEB_CONCURRENCY."""
    asked = environ.get("WEB_CONCURRENCY", "1")
    for option, value in itertools.pairwise([*argv, ""]):
        if option == "--workers":
            asked = value
        elif option.startswith("--workers="):
            asked = option.partition("=")[2]
    return int(asked) if asked.isdecimal() else 1
