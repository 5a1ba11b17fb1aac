"""Settings of the service: section 4's, and what a service under load needs besides.

From the environment with the prefix `FULL_APP_`; `REDIS_URL` has none, because every
tool around Redis calls it so. That Redis must run with `maxmemory-policy noeviction`:
money and jobs are kept there. A start with another policy logs a warning.

API keys come in a short form, or as a list with scopes and budgets. Only digests are
kept: no setting, log or error holds a key. Keys are visible ASCII: RFC 6750 (section
2.1) knows no other, and RFC 9110 (section 5.5) gives other bytes of a header no
meaning, so each client would send them in an encoding of its own.
"""

import hashlib
import itertools
import json
import os
import re
import sys
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    TypeAdapter,
    model_validator,
)
from pydantic_settings import NoDecode, SettingsConfigDict

from examples import s4_dependency_injection as s4
from examples.full_app.money import BudgetPeriod, ModelPrice

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


# --- API keys ---

Digest = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


def digest_of(key: str) -> str:
    """What is kept of a key. Raises ValueError for one that no header could carry."""
    if not re.fullmatch("[!-~]+", key):
        raise ValueError("a key must be visible ASCII characters, without spaces")
    return hashlib.sha256(key.encode("ascii")).hexdigest()


def parse_keys(value: object) -> object:
    """`key`, `name:key` or `name:sha256:<hex>`, comma-separated, as name to digest.

    Only digests are kept. A JSON object of section 4's form is taken as it is; a JSON
    list was taken apart before, by `Settings.take_key_list_apart`.
    """
    if not isinstance(value, str):
        return value
    if value.lstrip().startswith("{"):
        try:
            return json.loads(value)
        except ValueError:
            raise ValueError("not a JSON object of digests") from None
    keys = {}
    for position, entry in enumerate(filter(None, map(str.strip, value.split(","))), 1):
        name, _, secret = entry.rpartition(":")
        if name.endswith(":sha256"):
            keys[name.removesuffix(":sha256")] = secret.lower()
        else:
            keys[name or f"key{position}"] = digest_of(secret)
    return keys


KeyScope = Literal["chat", "embeddings", "jobs", "webhooks", "metrics"]
BudgetUSD = Annotated[Decimal, Field(ge=0, le=1_000_000, decimal_places=9)]


class Grant(BaseModel):
    """What a key may do, and spend; None: everything, without a limit of its own.

    A budget counts for each day or month of UTC, or without `budget_period` in all.
    `models` are names, in which `*` stands for any characters. The last three replace
    the settings of the same names.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    scopes: Annotated[frozenset[KeyScope], Field(min_length=1)] | None = None
    budget_usd: BudgetUSD | None = None
    budget_period: BudgetPeriod | None = None
    models: Annotated[frozenset[str], Field(min_length=1)] | None = None
    requests_per_minute: Annotated[int, Field(ge=1)] | None = None
    tokens_per_minute: Annotated[int, Field(ge=1)] | None = None
    concurrent_calls_per_key: Annotated[int, Field(ge=1)] | None = None

    @model_validator(mode="after")
    def period_of_a_budget(self) -> Self:
        """A period alone would limit nothing."""
        if self.budget_period is not None and self.budget_usd is None:
            raise ValueError("give `budget_usd` to use `budget_period`")
        return self


class KeyEntry(Grant):
    """A key in the list form of `FULL_APP_API_KEYS`: in clear, or its SHA-256."""

    name: Annotated[str, Field(min_length=1, max_length=64)]
    key: Annotated[SecretStr, Field(min_length=1)] | None = None
    sha256: Digest | None = None

    @model_validator(mode="after")
    def one_secret(self) -> Self:
        """Two could differ, and without any nobody could use the key."""
        if (self.key is None) == (self.sha256 is None):
            raise ValueError("give `key` or `sha256`")
        if self.key is not None:
            digest_of(self.key.get_secret_value())
        return self

    @property
    def digest(self) -> str:
        """What is kept of the key."""
        if self.key is None:
            return self.sha256 or ""
        return digest_of(self.key.get_secret_value())


KEY_LIST = TypeAdapter(list[KeyEntry], config=ConfigDict(hide_input_in_errors=True))


def parse_key_list(value: object) -> list[KeyEntry] | None:
    """The entries of a JSON list of keys; None for the other forms."""
    if isinstance(value, str):
        if not value.lstrip().startswith("["):
            return None
        try:
            value = json.loads(value)
        except ValueError:
            raise ValueError("not a JSON list of keys") from None  # it quotes no key
    if not isinstance(value, list):
        return None
    entries = KEY_LIST.validate_python(value)
    if len({entry.name for entry in entries}) != len(entries):
        raise ValueError("two keys have the same name")
    return entries


# --- Lists that are written with commas ---

ORIGIN_FORM = re.compile(r"[a-z][a-z0-9+.-]*://[^\s/?#@,]+")
HOST_FORM = re.compile(r"[a-z0-9._-]+|\[[0-9a-f:.]+\]")


def split_list(value: object) -> object:
    """`a, b` as a list of two texts. A JSON list, or a list, is taken as it is."""
    if not isinstance(value, str):
        return value
    if value.lstrip().startswith("["):
        return json.loads(value)
    return [entry.strip() for entry in value.split(",") if entry.strip()]


def check_origin(origin: str) -> str:
    """An origin in the form in which browsers send it. Raises ValueError.

    Source: RFC 6454, section 6.2 (scheme, host and port, without a path).
    """
    origin = origin.lower().removesuffix("/")
    if origin != "*" and not ORIGIN_FORM.fullmatch(origin):
        raise ValueError("write an origin as https://app.example.com, without a path")
    return origin


def check_host(host: str) -> str:
    """A host name, without a port, in lower case. Raises ValueError."""
    host = host.lower()
    if not HOST_FORM.fullmatch(host):
        raise ValueError("write a host name without scheme, port and path")
    return host


Origin = Annotated[str, AfterValidator(check_origin)]
Host = Annotated[str, AfterValidator(check_host)]


# --- Settings ---


class Settings(s4.Settings):
    """Everything an operator can set, with defaults that suit one laptop."""

    model_config = SettingsConfigDict(
        env_prefix="FULL_APP_",
        env_ignore_empty=True,
        hide_input_in_errors=True,
        populate_by_name=True,
    )

    redis_url: str | None = Field(
        default=None,
        validation_alias=AliasChoices("redis_url", "REDIS_URL"),
        description="The address of a Redis. Without it, the state is in the process.",
    )
    redis_max_connections: int = Field(
        default=50,
        ge=1,
        description="Connections of one process to Redis. The job queue has its own.",
    )
    redis_timeout_seconds: float = Field(
        default=0.25, gt=0, description="How long the service waits for Redis."
    )
    api_keys: Annotated[dict[str, Digest], NoDecode, BeforeValidator(parse_keys)] = (
        Field(
            default_factory=dict,
            description="Who may use the service: `name:key,name:key`, or a JSON list. "
            "A SHA-256 digest may stand in place of a key.",
        )
    )
    key_grants: dict[str, Grant] = Field(
        default_factory=dict,
        description="Scopes, budget, models and limits for each key name. "
        "The list form of `api_keys` sets them itself.",
    )
    host: str = Field(
        default="127.0.0.1",
        description="The address to listen on. "
        "An address that other machines can reach needs `api_keys`.",
    )
    cors_origins: Annotated[
        tuple[Origin, ...], NoDecode, BeforeValidator(split_list)
    ] = Field(
        default=(),
        description="Origins whose web pages may use the service, WebSocket included: "
        "`https://app.example.com,http://localhost:3000`. `*` means every page, and "
        "needs `api_keys`. By default only the service's own pages may use it.",
    )
    allowed_hosts: Annotated[
        tuple[Host, ...], NoDecode, BeforeValidator(split_list)
    ] = Field(
        default=(),
        description="Without `api_keys`: names in the header `Host` that are "
        "accepted besides `localhost`, `127.0.0.1` and `[::1]`.",
    )

    upstream_base_url: str | None = Field(
        default=None,
        description="The OpenAI-compatible service that answers. "
        "Without it, the offline model answers.",
    )
    upstream_api_key: SecretStr | None = Field(
        default=None, description="The key for `upstream_base_url`."
    )
    fallback_base_url: str | None = Field(
        default=None,
        description="The service to call if the upstream cannot begin an answer.",
    )
    fallback_api_key: SecretStr | None = Field(
        default=None, description="The key for `fallback_base_url`."
    )
    fallback_model: str | None = Field(
        default=None,
        description="The model to ask for there, in place of the requested one.",
    )
    unknown_fields: Literal["pass", "refuse"] = Field(
        default="pass",
        description="What happens to fields of a request for an upstream's model that "
        "OpenAI does not define: `pass` sends them on, `refuse` answers with 400. "
        "For the models that answer without an upstream they are always refused.",
    )
    upstream_responses: Literal["translate", "pass"] = Field(
        default="translate",
        description="How an upstream is asked for what comes by `/v1/responses`: "
        "`translate` asks it for chat completions, which every upstream has; `pass` "
        "asks it by its own `/v1/responses`.",
    )
    context_window: int = Field(
        default=2_000_000,
        ge=1,
        le=1_000_000_000,
        description="How many tokens a question to an upstream's model may have, "
        "together with its answer. Without an upstream there may be 128,000.",
    )
    max_text_chars: int = Field(
        default=8_000_000,
        ge=1,
        description="How many characters the texts of one message to an upstream's "
        "model may have, and those of one request for embeddings. Without an upstream "
        "a text may have 100,000.",
    )
    offline_pace: float = Field(
        default=1.0,
        ge=0,
        description="A factor for the pauses of the offline model. 0 means none.",
    )

    prices: dict[str, ModelPrice] = Field(
        default_factory=dict,
        description="USD for a million tokens of a model, as a JSON object: "
        '`{"gpt-5*": {"input": "1.25", "cached_input": "0.125", "output": "10"}}`. '
        "`*` stands for any characters. A family's price is that of its dated "
        "snapshots. `gpt-4o`, `gpt-4o-mini` and `text-embedding-3-*` have prices "
        "already.",
    )
    unpriced_models: Literal["refuse", "free"] = Field(
        default="refuse",
        description="What happens if a key with a budget asks for an upstream's model "
        "that has no price: `refuse` answers with 403, `free` charges nothing.",
    )

    requests_per_minute: int = Field(
        default=6_000, ge=1, description="The limit of requests for each caller."
    )
    tokens_per_minute: int = Field(
        default=2_000_000,
        ge=1,
        description="The limit of tokens for each caller. "
        "Tokens that were reserved and not used are given back.",
    )
    concurrent_calls: int = Field(
        default=2_000,
        ge=1,
        description="How many calls of models may run at once for all callers.",
    )
    concurrent_calls_per_key: int = Field(
        default=1_000,
        ge=1,
        description="How many calls of models may run at once for each caller.",
    )
    slot_lease_seconds: float = Field(
        default=15,
        gt=0,
        description="How long a process that was killed still occupies its calls.",
    )
    queue_places: int = Field(
        default=100,
        ge=0,
        description="How many calls may wait in one process when too many run.",
    )
    queue_seconds: float = Field(
        default=2, ge=0, description="How long such a call may wait."
    )
    live_idle_seconds: float = Field(
        default=300,
        gt=0,
        description="A WebSocket that is silent for so long, and asks for nothing, "
        "is closed.",
    )
    live_send_seconds: float = Field(
        default=20,
        gt=0,
        description="A WebSocket whose client reads nothing for so long is closed.",
    )
    stream_send_seconds: float = Field(
        default=20,
        gt=0,
        description="A client that reads nothing of an answer, whole or streamed, for "
        "so long is cut off. What its answer holds is given back.",
    )
    header_timeout_seconds: float = Field(
        default=15,
        gt=0,
        description="A connection is closed if no complete request head arrives for so "
        "long. Between two requests uvicorn's `timeout_keep_alive` counts.",
    )
    max_body_bytes: int = Field(
        default=2 * 1024 * 1024,
        ge=1024,
        description="The largest request body. A larger one is answered with 413.",
    )
    max_logprobs: int = Field(
        default=25_000,
        ge=1,
        description="The maximum of log probabilities per request: `n` "
        "times `max_tokens` times (`top_logprobs` + 1). More are answered with 400.",
    )
    max_answer_bytes: int = Field(
        default=16 * 1024 * 1024,
        ge=1024,
        description="The largest answer to a chat request. The answer of a model that "
        "says more breaks off with an error.",
    )
    job_results_bytes: int = Field(
        default=64 * 1024 * 1024,
        ge=1024,
        description="How much the results of one job may fill. A job that has more "
        "fails, and keeps the results that it has.",
    )
    request_timeout_seconds: float = Field(
        default=120,
        gt=0,
        description="The longest time for one call, with its retries and its fallback.",
    )
    heartbeat_seconds: float = Field(
        default=10,
        gt=0,
        description="A stream without an event for so long sends a comment.",
    )
    resume_seconds: int = Field(
        default=600, ge=1, description="How long a resumable answer is kept."
    )
    resume_grace_seconds: float = Field(
        default=15,
        gt=0,
        description="How long a resumable answer goes on while nobody reads it.",
    )
    response_keep_seconds: int = Field(
        default=30 * 24 * 3600,
        ge=60,
        description="How long a stored response (`store: true`) can be read and "
        "continued.",
    )
    response_bytes_per_caller: int = Field(
        default=32 * 1024 * 1024,
        ge=64 * 1024,
        description="How much room the stored responses of each caller may take. The "
        "oldest make room for the newest.",
    )
    unsupported_tools: Literal["refuse", "drop"] = Field(
        default="refuse",
        description="What happens on `/v1/responses` to tools that only OpenAI runs, "
        "such as `web_search`: `refuse` answers with 400, `drop` goes on without them "
        "and names them in the header `x-dropped-tools`.",
    )
    drain_seconds: float = Field(
        default=10,
        ge=0,
        description="How long running work may go on after SIGTERM before it is ended.",
    )
    drain_notice_seconds: float = Field(
        default=0,
        ge=0,
        description="How long the service stays up after SIGTERM, not ready, so that "
        "load balancers notice.",
    )
    job_lease_seconds: float = Field(
        default=30,
        ge=1,
        description="How long a job of a worker that was killed waits for another one.",
    )
    job_attempts: int = Field(
        default=5,
        ge=1,
        description="How many attempts in a row may fail before the job fails.",
    )
    job_keep_seconds: int = Field(
        default=24 * 3600,
        ge=60,
        description="How long a job can be read after it has ended.",
    )
    jobs_per_caller: int = Field(
        default=4, ge=1, description="How many jobs may run at once for each caller."
    )
    deliveries_per_caller: int = Field(
        default=5,
        ge=1,
        description="How many webhooks may be on their way at once for each caller. A "
        "receiver that hangs holds up those of its own caller only.",
    )
    webhook_schedule: tuple[float, ...] | None = Field(
        default=None,
        min_length=1,
        description="The seconds before each attempt of a delivery, as a JSON list. "
        "By default there are 8 attempts in 28 hours.",
    )
    webhook_disable_after_days: float = Field(
        default=5,
        gt=0,
        description="A webhook endpoint that fails for so long is disabled.",
    )
    idempotency_seconds: float = Field(
        default=24 * 3600,
        gt=0,
        description="How long the answer to an idempotency key is kept.",
    )

    log_json: bool = Field(
        default=False,
        description="Log one line of JSON for each request, to standard error.",
    )
    job_worker: bool = Field(
        default=True, description="Whether this process also works on jobs."
    )
    allow_loopback_webhooks: bool | None = Field(
        default=None,
        description="Whether webhooks may go to this machine. "
        "By default only without Redis and without keys: for development.",
    )

    @model_validator(mode="before")
    @classmethod
    def take_key_list_apart(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Digests into `api_keys`, which section 4 knows; the rest into `key_grants`.

        The list: `[{"name": "ops", "key": "sk-...", "scopes": ["chat"],
        "budget_usd": "1.50", "budget_period": "day", "models": ["gpt-4o*"]}]`, with
        `sha256` in place of `key` if you like.
        """
        entries = parse_key_list(values.get("api_keys"))
        if entries is None:
            return values
        digests = {entry.name: entry.digest for entry in entries}
        grants = {
            entry.name: Grant(
                **entry.model_dump(include=set(Grant.model_fields), exclude_unset=True)
            )
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
    def keys_before_every_page(self) -> Self:
        """`*` without keys would let every web page spend the operator's money."""
        if "*" in self.cors_origins and not self.api_keys:
            raise ValueError("set FULL_APP_API_KEYS to allow the pages of every origin")
        return self

    @model_validator(mode="after")
    def names_without_upstream_are_refused(self) -> Self:
        """Here a provider is called an upstream. Section 4's names would do nothing."""
        for name in ("base_url", "api_key"):
            if f"openai_{name}" in self.model_fields_set:
                variable = name.upper()
                raise ValueError(
                    f"set FULL_APP_UPSTREAM_{variable}, not FULL_APP_OPENAI_{variable}"
                )
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
