"""A rate limiter: a dependency that is an object, and says no.

Run it: `python -m course run s4.4`. Try it three times in a row:

    curl -si http://127.0.0.1:8000/limited

The bucket holds two tokens, so the third answer is a 429. Its `Retry-After` says after
how many seconds one token is back: wait so long, and you are let in.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated

from fakeredis import FakeAsyncRedis
from fastapi import Depends, FastAPI, HTTPException, Request
from redis.asyncio import Redis

TOKEN_BUCKET = """
local limit = tonumber(ARGV[1])         -- tokens in a full bucket
local rate = limit / tonumber(ARGV[2])  -- tokens back per second
local clock = redis.call('TIME')
local now = clock[1] + clock[2] / 1000000
local saved = redis.call('HMGET', KEYS[1], 'tokens', 'time')  -- read
local tokens = tonumber(saved[1] or limit)
local elapsed = now - tonumber(saved[2] or now)
tokens = math.min(limit, tokens + elapsed * rate)  -- refill
local wait = math.max(0, (1 - tokens) / rate)  -- decide
if wait == 0 then tokens = tokens - 1 end
redis.call('HSET', KEYS[1], 'tokens', tokens, 'time', now)  -- write
return math.ceil(wait)
"""  # noqa: S105 - these tokens are no password


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, Redis]]:
    """One client of Redis for all requests."""
    async with FakeAsyncRedis() as redis:
        yield {"redis": redis}


async def get_redis(request: Request) -> Redis:
    """Hand out the client."""
    redis: Redis = request.state.redis
    return redis


@dataclass(frozen=True)
class RateLimiter:
    """A bucket of `requests` tokens for each caller, refilled over `window_seconds`."""

    requests: int = 100
    window_seconds: int = 60

    async def __call__(
        self, request: Request, redis: Annotated[Redis, Depends(get_redis)]
    ) -> None:
        """Take a token. Raises HTTPException 429 if there is none."""
        caller = request.client.host if request.client else "unknown"
        take = redis.register_script(TOKEN_BUCKET)
        arguments = [self.requests, self.window_seconds]
        wait = await take([f"bucket:{caller}"], arguments)
        if wait > 0:
            headers = {"Retry-After": str(wait)}
            raise HTTPException(429, "Too many requests.", headers)


two_per_minute = RateLimiter(requests=2, window_seconds=60)

app = FastAPI(title="A rate limiter", lifespan=lifespan)


@app.get("/limited", dependencies=[Depends(two_per_minute)])
async def limited() -> str:
    """Say that you are in. The limiter has let you."""
    return "admitted"
