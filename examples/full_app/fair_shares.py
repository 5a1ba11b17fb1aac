"""Whose turn it is: of each owner's items a few at a time, while the others wait.

What waits is an entry in Redis and not on the queue, where thousands of one owner would
stand before a single one of another. So it costs nothing until there is room for it.
"""

from collections.abc import Sequence

from redis.asyncio import Redis

LOST_AFTER_SECONDS = 40.0  # more than an item takes

# KEYS: items that were begun, items that wait (both by time), all owners.
# ARGV: owner, share, an item that has ended or '', an item to add or '', its delay.
# Answers the items to begin: those that are due, as far as there is room.
TURN = """
local clock = redis.call('TIME')
local now = tonumber(clock[1]) + tonumber(clock[2]) / 1000000
local function at(seconds) return string.format('%.3f', now + seconds) end
local owner, share, ended, added = ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4]

if ended ~= '' then redis.call('ZREM', KEYS[1], ended) end
if added ~= '' and not redis.call('ZSCORE', KEYS[1], added) then
  redis.call('ZADD', KEYS[2], 'NX', at(tonumber(ARGV[5])), added)
end
local due = {}
local room = share - redis.call('ZCARD', KEYS[1])
if room > 0 then
  due = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', at(0), 'LIMIT', 0, room)
end
for _, item in ipairs(due) do
  redis.call('ZREM', KEYS[2], item)
  redis.call('ZADD', KEYS[1], at(0), item)
end
if redis.call('EXISTS', KEYS[1], KEYS[2]) == 0 then
  redis.call('SREM', KEYS[3], owner)
else
  redis.call('SADD', KEYS[3], owner)
end
return due
"""

# KEYS: items that were begun. ARGV: seconds. Answers those begun longer ago, once.
LOST = """
local clock = redis.call('TIME')
local now = tonumber(clock[1]) + tonumber(clock[2]) / 1000000
local before = string.format('%.3f', now - tonumber(ARGV[1]))
local lost = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', before)
for _, item in ipairs(lost) do
  redis.call('ZADD', KEYS[1], string.format('%.3f', now), item)
end
return lost
"""


class FairShares:
    """The turns of all owners, in Redis; `share` items of one owner run at a time.

    Each method answers with the items to begin now. Who begins one says at its end that
    it has ended. An item is a text, and there once at a time.
    """

    def __init__(self, redis: Redis, name: str, *, share: int) -> None:
        """`name` tells these items from those of other shares."""
        self.name = name
        self.share = share
        self._redis = redis
        self._turn = redis.register_script(TURN)
        self._lost = redis.register_script(LOST)

    async def add(self, owner: str, item: str, delay: float = 0) -> Sequence[str]:
        """Have the item wait for its turn, which comes in `delay` seconds at first.

        No item begins by itself when the delay is over: ask `due` then.
        """
        return await self._next(owner, added=item, delay=delay)

    async def end(self, owner: str, item: str) -> Sequence[str]:
        """The item has ended, well or not."""
        return await self._next(owner, ended=item)

    async def has_begun(self, owner: str, item: str) -> bool:
        """Whether the item was begun and has not ended."""
        return await self._redis.zscore(self._begun(owner), item) is not None

    async def due(self, owner: str) -> Sequence[str]:
        """What the owner may begin by now."""
        return await self._next(owner)

    async def owners(self) -> Sequence[str]:
        """All owners of an item that waits or was begun."""
        return [_text(owner) for owner in await self._redis.smembers(self._owners)]

    async def lost(self, owner: str) -> Sequence[str]:
        """Items begun so long ago that whoever began them may have died."""
        args = [LOST_AFTER_SECONDS]
        return list(map(_text, await self._lost(keys=[self._begun(owner)], args=args)))

    async def _next(
        self, owner: str, *, ended: str = "", added: str = "", delay: float = 0
    ) -> Sequence[str]:
        begun = self._begun(owner)
        waiting = f"{self.name}:{{{owner}}}:waiting"
        items = await self._turn(
            keys=[begun, waiting, self._owners],
            args=[owner, self.share, ended, added, delay],
        )
        return list(map(_text, items))

    def _begun(self, owner: str) -> str:
        return f"{self.name}:{{{owner}}}:begun"

    @property
    def _owners(self) -> str:
        return f"{self.name}:owners"


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
