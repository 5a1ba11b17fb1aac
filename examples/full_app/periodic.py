"""An action that is repeated while a block runs, and not after it."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable

from redis.asyncio import RedisError

log = logging.getLogger(__name__)


@contextlib.asynccontextmanager
async def repeating(
    seconds: float, action: Callable[[], Awaitable[object]]
) -> AsyncIterator[None]:
    """Await `action()` every `seconds` beside the block; a RedisError is logged.

    redis-py may turn a cancellation into a RedisError. A loop that only waits to be
    cancelled would then go on for ever: hence the flag.
    """
    ended = False

    async def repeat() -> None:
        while not ended:
            await asyncio.sleep(seconds)
            try:
                await action()
            except RedisError as error:
                log.warning("not renewed", extra={"reason": repr(error)})

    task = asyncio.create_task(repeat())
    try:
        yield
    finally:
        ended = True
        task.cancel()
        await asyncio.wait({task})
