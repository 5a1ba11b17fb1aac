"""Redis with clean-up: a dependency that yields.

Run it: `python -m course run s4.3`. Try it:

    curl -s http://127.0.0.1:8000/visits
    curl -s http://127.0.0.1:8000/visits
    curl -s http://127.0.0.1:8000/fail
    curl -s http://127.0.0.1:8000/visits

The second answer says that the client was given back once: by the first request, after
its answer was made. The third request fails, and the last answer shows that its client
was given back all the same.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from fakeredis import FakeAsyncRedis
from fastapi import Depends, FastAPI, HTTPException, Request
from redis.asyncio import Redis


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, Redis]]:
    """Open one client for all requests, and close it when the server stops."""
    async with FakeAsyncRedis(decode_responses=True) as redis:
        yield {"redis": redis}


async def get_redis(request: Request) -> AsyncIterator[Redis]:
    """Lend the client; what stands after the `yield` is clean-up."""
    redis: Redis = request.state.redis
    try:
        yield redis
    finally:
        await redis.incr("given_back")


RedisDep = Annotated[Redis, Depends(get_redis)]

app = FastAPI(title="Redis with clean-up", lifespan=lifespan)


@app.get("/visits")
async def visits(redis: RedisDep) -> dict[str, int]:
    """Count this visit, and say how often the client was given back before it."""
    number = await redis.incr("visits")
    given_back = await redis.get("given_back")
    return {"visits": number, "given_back": int(given_back or 0)}


@app.get("/fail")
async def fail(redis: RedisDep) -> None:
    """Fail with the client in hand."""
    await redis.incr("failures")
    raise HTTPException(500, "This route always fails.")
