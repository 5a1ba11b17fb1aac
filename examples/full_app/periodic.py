"""What is told to Redis again and again while a block runs, and not after it."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable

from redis.asyncio import RedisError

log = logging.getLogger(__name__)


@contextlib.asynccontextmanager
async def beating(
    seconds: float, tell: Callable[[], Awaitable[object]]
) -> AsyncIterator[None]:
    """Await `tell()` every `seconds` beside the block; the next may mend a RedisError.

    redis-py may turn a cancellation into a RedisError. A loop that only waits to be
    cancelled would then go on for ever: hence the flag.
    """
    ended = False

    async def beat() -> None:
        while not ended:
            await asyncio.sleep(seconds)
            try:
                await tell()
            except RedisError as error:
                log.warning("not renewed", extra={"reason": repr(error)})

    task = asyncio.create_task(beat())
    try:
        yield
    finally:
        ended = True
        task.cancel()
        await asyncio.wait({task})
