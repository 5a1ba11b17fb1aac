"""Section 4: dependency injection. Routes name what they need; FastAPI hands it over.

Run it: `python -m course run s4`, `python examples/s4_dependency_injection.py` or
`uvicorn --no-proxy-headers examples.s4_dependency_injection:app`. Try it:
    curl -s http://127.0.0.1:8000/whoami -H 'X-Request-ID: demo-1' -H 'X-User-ID: ada'
    curl -si http://127.0.0.1:8000/limits/default
    curl -si http://127.0.0.1:8000/limits/strict
    curl -s http://127.0.0.1:8000/ask --json '{"prompt": "What is a token bucket?"}'
    curl -s http://127.0.0.1:8000/services
    curl -s http://127.0.0.1:8000/redis
"""

import asyncio
import hashlib
import itertools
import logging
import math
import re
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Annotated, Any, Protocol, cast

import httpx2
from fastapi import Body, Depends, FastAPI, HTTPException
from pydantic import Field, PositiveInt, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict
from redis.asyncio import BlockingConnectionPool, Redis, RedisError
from redis.asyncio.retry import Retry
from redis.backoff import ConstantBackoff
from starlette.requests import HTTPConnection


class Settings(BaseSettings):  # environment variables of the same names
    model_config = SettingsConfigDict(env_ignore_empty=True, hide_input_in_errors=True)
    redis_url: str | None = None  # None: a Redis inside this process
    redis_max_connections: PositiveInt = 10
    openai_base_url: str | None = None  # None: an echo answers
    openai_api_key: SecretStr = SecretStr("")
    api_keys: dict[str, Annotated[str, Field(pattern="^[0-9a-f]{64}$")]] = {}  # SHA-256


class LLMProvider(Protocol):
    async def complete(self, prompt: str) -> str: ...


class EchoProvider:
    async def complete(self, prompt: str) -> str:
        return f"You said: {prompt}"


@dataclass
class OpenAIProvider:
    client: httpx2.AsyncClient  # its base URL has OpenAI's `POST chat/completions`
    model: str = "gpt-4o-mini"

    async def complete(self, prompt: str) -> str:
        ask = {"model": self.model, "messages": [{"role": "user", "content": prompt}]}
        answer = await self.client.post("chat/completions", json=ask)
        return str(answer.raise_for_status().json()["choices"][0]["message"]["content"])


@dataclass
class LLMService:
    primary_provider: LLMProvider
    number: int = field(default_factory=itertools.count(1).__next__)  # built so far

    async def ask(self, prompt: str) -> str:
        return await self.primary_provider.complete(prompt)


@asynccontextmanager
async def open_redis(settings: Settings) -> AsyncIterator[Redis]:
    """One client, one pool. (A client a request made 200 connections of 200.)"""
    chosen: dict[str, Any] = {"socket_connect_timeout": 1, "socket_timeout": 1}
    chosen |= {"retry": Retry(ConstantBackoff(0.02), 1), "decode_responses": True}
    chosen |= {"max_connections": settings.redis_max_connections, "timeout": 5}
    if settings.redis_url is None:
        from fakeredis import FakeAsyncRedisConnection, FakeServer

        chosen |= {"connection_class": FakeAsyncRedisConnection, "server": FakeServer()}
    pool = BlockingConnectionPool.from_url(settings.redis_url or "redis://", **chosen)
    async with Redis.from_pool(pool) as redis:
        yield redis


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[dict[str, Any]]:
    """Build once. The dependencies below work in any app whose state has these keys."""
    settings = Settings()
    url, key = settings.openai_base_url or "", settings.openai_api_key
    bearer = {"Authorization": f"Bearer {key.get_secret_value()}"} if key else {}
    http = httpx2.AsyncClient(base_url=url, headers=bearer, timeout=30)
    async with open_redis(settings) as redis, http:
        service = LLMService(OpenAIProvider(http) if url else EchoProvider())
        yield {"settings": settings, "redis": redis, "llm_service": service}


async def get_settings(conn: HTTPConnection) -> Settings:
    return cast(Settings, conn.state["settings"])


# Was an lru_cache, which does not lock: 20 first requests built 18 services.
async def get_llm_service(conn: HTTPConnection) -> LLMService:
    return cast(LLMService, conn.state["llm_service"])


async def get_redis(conn: HTTPConnection) -> AsyncIterator[Redis]:
    try:
        yield conn.state["redis"]
    except RedisError as error:
        raise HTTPException(503, "Redis does not answer.") from error


SettingsDep = Annotated[Settings, Depends(get_settings)]
LLMServiceDep = Annotated[LLMService, Depends(get_llm_service)]
RedisDep = Annotated[Redis, Depends(get_redis)]


async def get_subject(conn: HTTPConnection, settings: SettingsDep) -> str:
    """A known key's owner, else the peer address. (X-User-ID was anyone's to write.)"""
    scheme, _, key = conn.headers.get("authorization", "").partition(" ")
    digest = hashlib.sha256(key.strip().encode("latin-1")).hexdigest()
    for owner, known in settings.api_keys.items():
        if secrets.compare_digest(digest, known) and scheme.lower() == "bearer":
            return f"key:{owner}"
    return f"peer:{conn.client.host if conn.client else 'unix'}"


SubjectDep = Annotated[str, Depends(get_subject)]

# Whole numbers: a token is `window` drops; `limit` drops flow in each millisecond.
TOKEN_BUCKET = """
local limit, window, cost = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local clock, saved = redis.call('TIME'), redis.pcall('GET', KEYS[1])
local now, full = clock[1] * 1000 + math.floor(clock[2] / 1000), limit * window
local drops, at = string.match(type(saved) == 'string' and saved or '', '^(%d+) (%d+)$')
drops = math.min(full, (drops or full) + math.max(0, now - (at or now)) * limit)
local wait = math.max(0, math.ceil((cost * window - drops) / limit))
if wait == 0 then drops = drops - cost * window end
local reset = math.ceil((full - drops) / limit)
redis.call('SET', KEYS[1], string.format('%.0f %.0f', drops, now), 'PX', reset)
return {math.floor(drops / window), wait, reset}
"""  # noqa: S105 - tokens of a bucket, no password


@dataclass(frozen=True)
class Decision:
    allowed: bool
    limit: int
    remaining: int
    retry_after_ms: int
    reset_ms: int  # until the bucket is full


@dataclass(frozen=True)
class RateLimiter:
    """A token bucket a caller: `requests` at once, refilled over `window_seconds`."""

    requests: int = 100
    window_seconds: float = 60
    name: str = "default"  # two that differ share no bucket; the lecture's shared all

    async def take(self, redis: Redis, subject: str, cost: int = 1) -> Decision:
        """Take `cost` tokens or none. Raises RedisError, ValueError for a bad cost."""
        window_ms = round(self.window_seconds * 1000)
        if not 1 <= cost <= self.requests or window_ms < 1:
            raise ValueError(f"{cost} can never be taken from {self}")
        tag = hashlib.blake2b(f"{self} {subject}".encode(), digest_size=16).hexdigest()
        remaining, wait_ms, reset_ms = await redis.register_script(TOKEN_BUCKET)(
            keys=[f"rl:{self.name}:{tag}"], args=[self.requests, window_ms, cost]
        )
        return Decision(wait_ms == 0, self.requests, remaining, wait_ms, reset_ms)

    async def __call__(self, redis: RedisDep, subject: SubjectDep) -> None:
        """Raises HTTPException 429. Redis down: lets pass, decided within 250 ms."""
        try:
            decision = await asyncio.wait_for(self.take(redis, subject), 0.25)
        except (RedisError, TimeoutError) as error:
            logging.getLogger(__name__).warning("limit %s open: %r", self.name, error)
            return
        if not decision.allowed:
            ms = decision.retry_after_ms
            wait = {"Retry-After": str(math.ceil(ms / 1000)), "retry-after-ms": str(ms)}
            raise HTTPException(429, "Too many requests.", wait)


default_rate_limit = RateLimiter(requests=100, window_seconds=60, name="default")
strict_rate_limit = RateLimiter(requests=10, window_seconds=60, name="strict")


@dataclass(frozen=True)
class RequestContext:
    request_id: str
    user_id: str | None = None  # what the caller says: a label, no proof
    started: float = field(default_factory=time.monotonic)

    @property
    def elapsed_ms(self) -> float:
        return (time.monotonic() - self.started) * 1000


async def get_request_context(conn: HTTPConnection) -> RequestContext:
    """The id a middleware gave, else a well-formed X-Request-ID, else a new one."""
    sent = re.fullmatch(r"[A-Za-z0-9._-]{1,64}", conn.headers.get("x-request-id", ""))
    new = sent[0] if sent else f"req_{secrets.token_hex(16)}"
    request_id = conn.scope.setdefault("state", {}).setdefault("request_id", new)
    return RequestContext(request_id, conn.headers.get("x-user-id", "")[:64] or None)


RequestContextDep = Annotated[RequestContext, Depends(get_request_context)]
Prompt = Annotated[str, Body(embed=True, min_length=1, max_length=10_000)]
REFUSED: dict[int | str, Any] = {429: {"description": "Wait Retry-After seconds."}}
app = FastAPI(title="Section 4", lifespan=lifespan, responses=REFUSED)


@app.get("/whoami", tags=["context"], summary="Who asks, as whom the limits count them")
async def whoami(context: RequestContextDep, subject: SubjectDep) -> dict[str, Any]:
    who: dict[str, Any] = {"request_id": context.request_id, "user_id": context.user_id}
    return who | {"subject": subject, "elapsed_ms": context.elapsed_ms}


@app.get("/limits/default", tags=["limits"], dependencies=[Depends(default_rate_limit)])
@app.get("/limits/strict", tags=["limits"], dependencies=[Depends(strict_rate_limit)])
async def limited() -> str:
    return "admitted; the eleventh /limits/strict in a row is not"


@app.post("/ask", tags=["service"], dependencies=[Depends(default_rate_limit)])
async def ask(prompt: Prompt, service: LLMServiceDep) -> str:
    return await service.ask(prompt)


@app.get("/services", tags=["service"], summary="How many were built: one")
async def services(service: LLMServiceDep) -> dict[str, int]:
    return {"built": service.number, "id": id(service)}


@app.get("/redis", tags=["redis"], summary="One pooled client, embedded or real")
async def redis(client: RedisDep, settings: SettingsDep) -> dict[str, Any]:
    return {"ping": await client.ping(), "embedded": settings.redis_url is None}


if __name__ == "__main__":  # uvicorn believes a local X-Forwarded-For; limits must not
    import uvicorn

    uvicorn.run(app, host="127.0.0.1", port=8000, proxy_headers=False)
