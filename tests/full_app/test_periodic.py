"""What beats beside a block ends with it."""

import asyncio

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from examples.full_app.periodic import repeating


@pytest.mark.parametrize("swallowed", [False, True], ids=["plain", "as redis-py may"])
async def test_it_ends_with_the_block_also_when_redis_swallows_the_cancellation(
    swallowed: bool,
) -> None:
    told, before = asyncio.Event(), asyncio.all_tasks()

    async def tell() -> None:
        told.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            if not swallowed:
                raise
            raise RedisConnectionError("cancelled") from None

    async with asyncio.timeout(5):
        async with repeating(0.001, tell):
            await told.wait()

    assert asyncio.all_tasks() == before


async def test_a_beat_that_fails_is_followed_by_another() -> None:
    beats = asyncio.Queue[int]()

    async def tell() -> None:
        beats.put_nowait(1)
        raise RedisConnectionError("away")

    async with asyncio.timeout(5), repeating(0.001, tell):
        for _ in range(3):
            await beats.get()
