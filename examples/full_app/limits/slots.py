"""How many calls run at once: a lease for each, in the pools of its caller and of all.

A pool is a sorted set of calls by the time at which each lease ends, on Redis' clock.
Each process renews the leases of its running calls, so a process that was killed gives
its slots back when their leases end, and none is lost. Taking a slot and leaving it are
parts of the limiter's scripts: they cost no round trip of their own.

A refusal says when the oldest call will have ended, if it is like those before it. That
is no promise: a call may last longer, and other callers come back too. (Then the queue
of `waiting` helps, if there is one.)
"""

import contextlib
import logging
import secrets
import time
from collections.abc import AsyncIterator, Callable
from itertools import islice

from redis.asyncio import Redis

from examples.full_app.periodic import repeating
from examples.s5_error_handling import CodedError, ErrorCode

log = logging.getLogger(__name__)

RETRY_AFTER = 1.0  # at least: sooner, all would come back at once
MOST_RETRY_AFTER = 60.0  # clients take a longer one for "never"
BATCH = 500  # leases renewed in one script

# `now_ms` is the time in milliseconds, as the limiter's script defines it.
SLOTS = """
-- keys: one a pool. args: id, lease in ms, then the size of each pool.
-- Answers: which pool is full (0: none), and what to call to take a slot in each.
-- Leases that have ended are taken out of a pool that looks full.
local function is_full(key, id, size)
  if redis.call('ZCARD', key) < size then return false end
  redis.call('ZREMRANGEBYSCORE', key, '-inf', now_ms)
  return redis.call('ZCARD', key) >= size and not redis.call('ZSCORE', key, id)
end
local function slots(keys, args)
  local full = 0
  for i, key in ipairs(keys) do
    if full == 0 and is_full(key, args[1], tonumber(args[i + 2])) then full = i end
  end
  return full, function()
    for _, key in ipairs(keys) do
      redis.call('ZADD', key, now_ms + args[2], args[1])
      redis.call('PEXPIRE', key, args[2])
    end
  end
end
"""
# A slot that was left, or taken out of its pool, is not renewed. KEYS: pools, a call's
# beside one another; ARGV: lease in ms, then the id for each pool.
RENEW = """
local time = redis.call('TIME')
local until_ms = time[1] * 1000 + math.floor(time[2] / 1000) + ARGV[1]
for i, key in ipairs(KEYS) do
  redis.call('ZADD', key, 'XX', until_ms, ARGV[i + 1])
  redis.call('PEXPIRE', key, ARGV[1])
end
"""


class NoSlotError(CodedError):
    """All slots of a pool are taken; one may be free soon."""

    code, status_code, retryable = "overloaded", 503, True
    recovery = "Try again after `Retry-After`, with fewer calls at once."

    def __init__(self, message: str, retry_after: float = RETRY_AFTER) -> None:
        super().__init__(message, retry_after=retry_after)


class ConcurrencyLimitError(NoSlotError):
    """The caller runs as many calls at once as it may: others are not affected."""

    code, status_code = ErrorCode.RATE_LIMIT_EXCEEDED, 429
    recovery = "Wait for one of your running calls to end."


class OverloadedError(NoSlotError):
    """The service runs as many calls at once as it can."""


class DurationEstimate:
    """How long a call is likely to last at most, from those that have ended.

    As TCP does for an acknowledgement: the mean and four deviations, of late more than
    of old. Source: RFC 6298, section 2.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self._mean: float | None = None
        self._deviation = 0.0

    def add(self, lasted: float) -> None:
        """One more has ended, after `lasted` seconds."""
        if self._mean is None:
            self._mean, self._deviation = lasted, lasted / 2
        else:
            self._deviation += (abs(lasted - self._mean) - self._deviation) / 4
            self._mean += (lasted - self._mean) / 8
        self.seconds = self._mean + 4 * self._deviation


class Slots:
    """The pools, and the leases that this process holds in them."""

    def __init__(
        self,
        redis: Redis,
        *,
        each: int,
        overall: int,
        lease_seconds: float = 15.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """A caller gets `each` slots, all callers together `overall`."""
        self.each, self.overall = each, overall
        self._lease = lease_seconds
        self._clock = clock
        self._held: dict[str, tuple[list[str], float]] = {}  # pools, since when
        self._duration = DurationEstimate()
        self._renew = redis.register_script(RENEW)

    def new(self) -> str:
        """The id of a slot that is to be taken."""
        return secrets.token_hex(16)

    def keys(self, tag: str) -> list[str]:
        """The pools in which the caller with this tag takes its slots."""
        return [f"slots:{tag}", "slots:overall"]

    def args(self, slot: str, each: int | None = None) -> list[str | int]:
        """The arguments of the script's `slots`; `each` replaces the general size."""
        return [slot, int(self._lease * 1000), each or self.each, self.overall]

    def hold(self, slot: str, tag: str) -> None:
        """Renew this slot from now on."""
        self._held[slot] = self.keys(tag), self._clock()

    def forget(self, slot: str) -> None:
        """Renew it no longer: its call is over."""
        if held := self._held.pop(slot, None):
            self._duration.add(self._clock() - held[1])

    def refusal(self, pool: int, tag: str, each: int | None = None) -> NoSlotError:
        """What to say when the pool with this number, from 1, is full.

        `each` is the size of the caller's own pool, where it is not the general one.
        """
        wait = self._until_one_ends(self.keys(tag)[pool - 1])
        if pool == 1:
            size = each or self.each
            return ConcurrencyLimitError(
                f"You run {size} calls at once already, as many as you may.", wait
            )
        return OverloadedError(
            "The service is busy with as many calls as it can take.", wait
        )

    def _until_one_ends(self, pool: str) -> float:
        """Seconds until the oldest call in a pool, of this process, is like to end."""
        now = self._clock()
        since = (since for pools, since in self._held.values() if pool in pools)
        wait = self._duration.seconds - (now - next(since, now))
        return min(max(wait, RETRY_AFTER), MOST_RETRY_AFTER)

    async def renew(self) -> None:
        """Make every lease that is held last again. Raises RedisError."""
        held = iter(tuple(self._held.items()))
        while batch := list(islice(held, BATCH)):
            pairs = [(key, slot) for slot, (keys, _) in batch for key in keys]
            ids = [slot for _, slot in pairs]
            lease = int(self._lease * 1000)
            await self._renew([key for key, _ in pairs], [lease, *ids])

    @contextlib.asynccontextmanager
    async def renewed(self) -> AsyncIterator[None]:
        """Renew beside the block, three times a lease."""
        async with repeating(self._lease / 3, self.renew):
            yield
