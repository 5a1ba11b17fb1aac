"""Section 4: dependency injection. A route names what it needs; FastAPI hands it over.

Run it with one of these:

    python -m course run s4
    python examples/s4_dependency_injection.py
    uvicorn --no-proxy-headers examples.s4_dependency_injection:app

Try it:

    curl -s http://127.0.0.1:8000/services
    curl -s http://127.0.0.1:8000/ask -H 'Content-Type: application/json' \\
        -d '{"prompt": "What is a token bucket?"}'
    curl -s http://127.0.0.1:8000/redis
    curl -si http://127.0.0.1:8000/limits/default
    curl -si http://127.0.0.1:8000/limits/strict
    curl -s http://127.0.0.1:8000/whoami -H 'X-Request-ID: demo-1' -H 'X-User-ID: ada'
"""

import asyncio
import hashlib
import logging
import math
import re
import secrets
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Protocol, TypedDict

import httpx2
from fastapi import Body, Depends, FastAPI, HTTPException
from pydantic import Field, PositiveInt, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict
from redis.asyncio import BlockingConnectionPool, Redis, RedisError
from redis.asyncio.retry import Retry
from redis.backoff import ConstantBackoff
from starlette.requests import HTTPConnection

# --- Settings ---
# Settings come from environment variables and are checked when the server starts. The
# first dependency hands them to every route that asks for a `SettingsDep`.


class Settings(BaseSettings):
    """What an operator can set. Each field is an environment variable of that name."""

    model_config = SettingsConfigDict(env_ignore_empty=True, hide_input_in_errors=True)

    redis_url: str | None = Field(
        default=None, description="Without it, a Redis inside this process is used."
    )
    redis_max_connections: PositiveInt = 10
    openai_base_url: str | None = Field(
        default=None, description="Without it, an echo answers."
    )
    openai_api_key: SecretStr = SecretStr("")
    api_keys: dict[str, Annotated[str, Field(pattern="^[0-9a-f]{64}$")]] = Field(
        default={},
        description="The SHA-256 of each caller's key, by the caller's name.",
    )


async def get_settings(connection: HTTPConnection) -> Settings:
    """The settings that the lifespan has read.

    An `HTTPConnection` is what a request and a WebSocket have in common, so this
    dependency serves both. Its `state` holds what the lifespan has built.
    """
    settings: Settings = connection.state["settings"]
    return settings


SettingsDep = Annotated[Settings, Depends(get_settings)]


# --- A service behind a protocol ---
# Routes talk to one `LLMService`, and the service talks to a provider. A provider is
# any object with a `complete` method. So a test, or a developer without a key, can use
# a simple provider.


class LLMProvider(Protocol):
    """Anything that completes a prompt. A provider does not inherit from this class."""

    async def complete(self, prompt: str) -> str:
        """The model's answer to `prompt`."""
        ...


class EchoProvider:
    """A provider that needs no network and no key: it repeats the prompt."""

    async def complete(self, prompt: str) -> str:
        """The prompt, as a sentence."""
        return f"You said: {prompt}"


@dataclass
class OpenAIProvider:
    """A provider that asks a server with OpenAI's API.

    The base URL of `client` is the one that `chat/completions` belongs to.
    """

    client: httpx2.AsyncClient
    model: str = "gpt-4o-mini"

    async def complete(self, prompt: str) -> str:
        """The model's answer to `prompt`. Raises httpx2.HTTPError if there is none."""
        message = {"role": "user", "content": prompt}
        body = {"model": self.model, "messages": [message]}
        response = await self.client.post("chat/completions", json=body)
        response.raise_for_status()
        content: str = response.json()["choices"][0]["message"]["content"]
        return content


class LLMService:
    """What routes ask. It hides which provider answers."""

    built: ClassVar[int] = 0  # how many services this process has made, for /services

    def __init__(self, primary_provider: LLMProvider) -> None:
        """Answer with `primary_provider`."""
        LLMService.built += 1
        self.primary_provider = primary_provider

    async def ask(self, prompt: str) -> str:
        """The primary provider's answer to `prompt`."""
        return await self.primary_provider.complete(prompt)


async def get_llm_service(connection: HTTPConnection) -> LLMService:
    """The one service of this process, which the lifespan has built."""
    service: LLMService = connection.state["llm_service"]
    return service


LLMServiceDep = Annotated[LLMService, Depends(get_llm_service)]


# --- Redis, with clean-up ---
# A client of Redis keeps a pool of open connections, so one client serves all requests.
# `open_redis` opens and closes it; `get_redis` lends it to one request. Both have a
# `yield`: what stands before it is set-up, what stands after it is clean-up.


@asynccontextmanager
async def open_redis(settings: Settings) -> AsyncIterator[Redis]:
    """One client with one pool of connections, closed at the end of the block."""
    async with Redis.from_pool(connection_pool(settings)) as redis:
        yield redis


async def get_redis(connection: HTTPConnection) -> AsyncIterator[Redis]:
    """Lend the client to a request. Raises HTTPException 503 if Redis fails in it.

    FastAPI runs the route at the `yield`, and an error of the route arrives there.
    """
    redis: Redis = connection.state["redis"]
    try:
        yield redis
    except RedisError as error:
        raise HTTPException(503, "Redis does not answer.") from error


RedisDep = Annotated[Redis, Depends(get_redis)]


# --- Built once: the lifespan ---
# The lifespan runs once for the whole server: up to its `yield` before the first
# request, and the rest after the last one. What it yields is the `state` that the
# dependencies above read. So a service is built once, and what it holds is closed.


class State(TypedDict):
    """What the lifespan yields. The dependencies work in every app with these keys."""

    settings: Settings
    redis: Redis
    llm_service: LLMService


@asynccontextmanager
async def open_provider(settings: Settings) -> AsyncIterator[LLMProvider]:
    """The provider that the settings name, closed at the end of the block."""
    if settings.openai_base_url is None:
        yield EchoProvider()
        return
    headers = {}
    key = settings.openai_api_key.get_secret_value()
    if key:
        headers["Authorization"] = f"Bearer {key}"
    async with httpx2.AsyncClient(
        base_url=settings.openai_base_url, headers=headers, timeout=30
    ) as client:
        yield OpenAIProvider(client)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[State]:
    """Build what all requests share, and close it when the server stops."""
    settings = Settings()
    async with open_redis(settings) as redis, open_provider(settings) as provider:
        service = LLMService(primary_provider=provider)
        yield State(settings=settings, redis=redis, llm_service=service)


# --- Whom a limit counts ---
# A rate limit counts for each caller. A dependency may have dependencies of its own:
# this one asks for the settings.


async def get_subject(connection: HTTPConnection, settings: SettingsDep) -> str:
    """The owner of a known API key (`key:ada`), else the caller's address (`peer:...`).

    The header `X-User-ID` does not decide, because any caller can write any name there.
    """
    authorization = connection.headers.get("authorization", "")
    owner = owner_of_key(authorization, settings.api_keys)
    if owner is not None:
        return f"key:{owner}"
    if connection.client is None:
        return "peer:unix"  # a Unix socket: its callers have no address
    return f"peer:{connection.client.host}"


SubjectDep = Annotated[str, Depends(get_subject)]


# --- A token bucket ---
# A bucket holds `limit` tokens and refills evenly over `window` milliseconds. A request
# takes a token; without a token it is refused and told how long to wait.
#
# In each millisecond limit/window tokens come back, a fraction. A sum of fractions is
# not exact, and a caller could be refused in the very millisecond in which it was told
# to come back. So the script counts in parts of a token: one token is `window` parts,
# and `limit` parts come back in each millisecond. All its numbers are whole.
#
# Redis lets no other command in between while a script runs. So of many requests at the
# same moment, no two can take the same token.

TOKEN_BUCKET = """
local limit = tonumber(ARGV[1])   -- tokens in a full bucket
local window = tonumber(ARGV[2])  -- milliseconds until an empty bucket is full
local cost = tonumber(ARGV[3])    -- tokens to take
local full = limit * window       -- parts in a full bucket
local price = cost * window       -- parts to take

-- Read: the clock of Redis in milliseconds, and "parts time" as they were last written.
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local saved = redis.pcall('GET', KEYS[1])
local parts = nil
local written = nil
if type(saved) == 'string' then
  parts, written = string.match(saved, '^(%d+) (%d+)$')
end
parts = tonumber(parts) or full     -- a new or damaged bucket is full
written = tonumber(written) or now

-- Refill: `limit` parts for each millisecond, up to a full bucket.
local elapsed = math.max(0, now - written)
parts = math.min(full, parts + elapsed * limit)

-- Decide: take the price, or say how many milliseconds are missing.
local wait = 0
if parts >= price then
  parts = parts - price
else
  wait = math.ceil((price - parts) / limit)
end

-- Write: a bucket that is full again need not be remembered, so the key expires then.
local reset = math.ceil((full - parts) / limit)
local bucket = string.format('%.0f %.0f', parts, now)
redis.call('SET', KEYS[1], bucket, 'PX', reset)
local remaining = math.floor(parts / window)
return {remaining, wait, reset}
"""  # noqa: S105 - these tokens are no password


@dataclass(frozen=True)
class Decision:
    """What a limiter has decided about one request."""

    allowed: bool
    limit: int  # tokens in a full bucket
    remaining: int  # tokens that are left
    retry_after_ms: int  # until the same request would be allowed; 0 if it is
    reset_ms: int  # until the bucket is full


@dataclass(frozen=True)
class RateLimiter:
    """A token bucket for each caller.

    A full bucket lets `requests` requests in at once, and an empty one is full again
    after `window_seconds`. An instance can be called, so it is a dependency:
    `Depends(strict_rate_limit)`. Two limiters that differ in a field share no bucket.
    """

    requests: int = 100
    window_seconds: float = 60
    name: str = "default"

    async def __call__(self, redis: RedisDep, subject: SubjectDep) -> Decision:
        """Take one token for the caller. Raises HTTPException 429 if there is none."""
        decision = await take_or_let_pass(self, redis, subject)
        if not decision.allowed:
            raise self.refusal(decision)
        return decision

    async def take(self, redis: Redis, subject: str, cost: int = 1) -> Decision:
        """Take `cost` tokens from the bucket of `subject`, or none if it has fewer.

        Raises ValueError for a cost that a full bucket could not pay, and RedisError.
        """
        window_ms = round(self.window_seconds * 1000)
        if window_ms < 1 or not 1 <= cost <= self.requests:
            raise ValueError(f"{cost} can never be taken from {self}")
        script = redis.register_script(TOKEN_BUCKET)
        remaining, wait_ms, reset_ms = await script(
            keys=[self.key(subject)], args=[self.requests, window_ms, cost]
        )
        return Decision(
            allowed=wait_ms == 0,
            limit=self.requests,
            remaining=remaining,
            retry_after_ms=wait_ms,
            reset_ms=reset_ms,
        )

    def key(self, subject: str) -> str:
        """The name of a bucket in Redis: short, and without the caller's name in it."""
        owner = f"{self.name!r} {self.requests} {self.window_seconds} {subject}"
        digest = hashlib.blake2b(owner.encode(), digest_size=16).hexdigest()
        return f"rl:{self.name}:{digest}"

    def refusal(self, decision: Decision) -> Exception:
        """The error for a refused request. A subclass may return an error of its own.

        `Retry-After` (RFC 9110) has whole seconds; `retry-after-ms` is exact, and the
        official OpenAI client reads it.
        """
        seconds = math.ceil(decision.retry_after_ms / 1000)
        headers = {
            "Retry-After": str(seconds),
            "retry-after-ms": str(decision.retry_after_ms),
        }
        return HTTPException(429, "Too many requests.", headers)


default_rate_limit = RateLimiter(requests=100, window_seconds=60, name="default")
strict_rate_limit = RateLimiter(requests=10, window_seconds=60, name="strict")


# --- The context of a request ---
# One object carries what logs and errors need to know about a request: its id, what the
# caller calls itself, and how long it has taken so far.


@dataclass(frozen=True)
class RequestContext:
    """Facts about one request."""

    request_id: str
    user_id: str | None = None  # what the caller says: a label, no proof
    started: float = field(default_factory=time.monotonic)

    @property
    def elapsed_ms(self) -> float:
        """Milliseconds since the context was made.

        The monotonic clock only runs forwards. The wall clock can be set back.
        """
        return (time.monotonic() - self.started) * 1000


async def get_request_context(connection: HTTPConnection) -> RequestContext:
    """The context of this request, from the headers X-Request-ID and X-User-ID.

    An empty X-User-ID counts as none, and a long one is cut to 64 characters.
    """
    request_id = request_id_of(connection)
    user_id = connection.headers.get("x-user-id", "")[:64]
    if not user_id:
        return RequestContext(request_id)
    return RequestContext(request_id, user_id)


RequestContextDep = Annotated[RequestContext, Depends(get_request_context)]


# --- The routes ---
# Each route names what it needs, as a parameter. A dependency whose result a route does
# not use, such as a limiter, stands in the decorator.

app = FastAPI(title="Section 4: dependency injection", lifespan=lifespan)

LIMITED: dict[int | str, dict[str, Any]] = {
    429: {"description": "Too many requests. Wait for Retry-After seconds."}
}


@app.get("/services", tags=["service"], summary="How many services were built")
async def services(service: LLMServiceDep) -> dict[str, int]:
    """How many services were built in this process: one, however many requests came."""
    return {"built": LLMService.built, "id": id(service)}


@app.post(
    "/ask",
    tags=["service"],
    summary="Ask the service",
    dependencies=[Depends(default_rate_limit)],
    responses=LIMITED,
)
async def ask(
    prompt: Annotated[str, Body(embed=True, min_length=1, max_length=10_000)],
    service: LLMServiceDep,
) -> str:
    """Answer a prompt. The limiter runs first."""
    return await service.ask(prompt)


@app.get("/redis", tags=["redis"], summary="Whether Redis answers")
async def redis(client: RedisDep, settings: SettingsDep) -> dict[str, bool]:
    """Say whether Redis answers, and whether it is the one inside this process."""
    pong = await client.ping()
    return {"ping": pong, "embedded": settings.redis_url is None}


@app.get(
    "/limits/default",
    tags=["limits"],
    summary="At most 100 requests per minute",
    dependencies=[Depends(default_rate_limit)],
    responses=LIMITED,
)
async def limited_by_default() -> str:
    """Admit 100 requests in 60 seconds from each caller."""
    return "admitted; the 101st /limits/default in a row is not"


@app.get(
    "/limits/strict",
    tags=["limits"],
    summary="At most 10 requests per minute",
    dependencies=[Depends(strict_rate_limit)],
    responses=LIMITED,
)
async def limited_strictly() -> str:
    """Admit 10 requests in 60 seconds from each caller."""
    return "admitted; the eleventh /limits/strict in a row is not"


@app.get("/whoami", tags=["context"], summary="Who asks")
async def whoami(context: RequestContextDep, subject: SubjectDep) -> dict[str, Any]:
    """What the service knows about this request, and whom the limits count."""
    return {
        "request_id": context.request_id,
        "user_id": context.user_id,
        "subject": subject,
        "elapsed_ms": context.elapsed_ms,
    }


# --- What production adds ---
# The code above calls these functions. They handle what goes wrong in use: a Redis that
# is slow or down, keys that must stay secret, and headers that anybody can write.

logger = logging.getLogger(__name__)

DECISION_SECONDS = 0.25
WELL_FORMED_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


def connection_pool(settings: Settings) -> BlockingConnectionPool:
    """A pool in which callers wait for a free connection for up to 5 seconds.

    A command fails after one second without an answer and is tried once more. Without a
    `redis_url` the pool belongs to a new, empty Redis inside this process.
    """
    options: dict[str, Any] = {
        "max_connections": settings.redis_max_connections,
        "timeout": 5,
        "socket_connect_timeout": 1,
        "socket_timeout": 1,
        "retry": Retry(ConstantBackoff(0.02), retries=1),
        "decode_responses": True,
    }
    if settings.redis_url is not None:
        return BlockingConnectionPool.from_url(settings.redis_url, **options)
    from fakeredis import FakeAsyncRedisConnection, FakeServer

    options["connection_class"] = FakeAsyncRedisConnection
    options["server"] = FakeServer()
    return BlockingConnectionPool(**options)


async def take_or_let_pass(
    limiter: RateLimiter, redis: Redis, subject: str
) -> Decision:
    """Take one token, or let the request pass if Redis cannot decide within 250 ms.

    A limiter protects the service. When the limiter itself fails, a service without a
    limit is better than no service. The warning tells the operator.
    """
    try:
        async with asyncio.timeout(DECISION_SECONDS):
            return await limiter.take(redis, subject)
    except (RedisError, TimeoutError) as error:
        logger.warning("limit %s lets a request pass: %r", limiter.name, error)
        return Decision(
            allowed=True,
            limit=limiter.requests,
            remaining=limiter.requests,
            retry_after_ms=0,
            reset_ms=0,
        )


def owner_of_key(authorization: str, api_keys: Mapping[str, str]) -> str | None:
    """The name that `Authorization: Bearer KEY` belongs to; None for an unknown key.

    The service stores only the SHA-256 of a key, and compares in constant time, so that
    neither a leaked setting nor the time of an answer gives a key away.
    """
    scheme, _, key = authorization.partition(" ")
    if scheme.lower() != "bearer":
        return None
    digest = hashlib.sha256(key.strip().encode("latin-1")).hexdigest()
    for owner, known in api_keys.items():
        if secrets.compare_digest(digest, known):
            return owner
    return None


def request_id_of(connection: HTTPConnection) -> str:
    """The id of this request: a middleware's, else the caller's, else a new one.

    A caller's id counts only if it is well formed, because it is written into logs and
    answers. The id is kept in the state, so that every later call returns the same one.
    """
    if not hasattr(connection.state, "request_id"):
        request_id = connection.headers.get("x-request-id", "")
        if not WELL_FORMED_ID.fullmatch(request_id):
            request_id = f"req_{secrets.token_hex(16)}"
        connection.state.request_id = request_id
    kept: str = connection.state.request_id
    return kept


if __name__ == "__main__":
    import uvicorn

    # By default uvicorn believes the header X-Forwarded-For of a caller on this
    # machine, and the limits would count whatever address it names.
    uvicorn.run(app, host="127.0.0.1", port=8000, proxy_headers=False)
