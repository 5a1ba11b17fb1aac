"""Redis must keep what it is given: `maxmemory-policy noeviction`.

Budgets, jobs and limits live in it. A Redis that evicts keys when it is full forgets
money that was spent and jobs that were promised; one that refuses to write is heard.
"""

import logging

from redis.asyncio import Redis
from redis.exceptions import RedisError

log = logging.getLogger(__name__)

POLICY = "noeviction"


async def warn_of_eviction(redis: Redis) -> None:
    """Log a warning where this Redis may evict keys, or does not say."""
    try:
        memory = await redis.info("memory")
    except RedisError as error:
        log.warning("maxmemory-policy unknown", extra={"reason": repr(error)})
        return
    policy = memory.get("maxmemory_policy")
    if policy != POLICY:
        log.warning(
            "Redis may evict keys: set maxmemory-policy to noeviction",
            extra={"reason": f"maxmemory-policy is {policy}"},
        )
