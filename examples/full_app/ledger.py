"""What a caller may spend: reserved before the work, settled after it, or released.

`spent + reserved + left` is the budget after every step, because a step is one script.
A hold has an id, so that a step that is tried again, after an answer that was lost,
counts once; and a time at which it lapses, so that a process that crashed leaves
nothing reserved. Redis must not evict keys (`noeviction`).
"""

import asyncio
import logging
import math
import secrets
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import anyio
from redis.asyncio import Redis
from redis.exceptions import RedisError

from examples.full_app.errors import BudgetExceededError, NotReadyError
from examples.full_app.limits import GCRA, Lease, Limiter, caller_tag
from examples.full_app.money import Account, as_usd

log = logging.getLogger(__name__)

# KEYS[1], a hash: `spent`, `reserved`, and the amount of each hold under its id.
# KEYS[2], a sorted set: when each hold lapses. A lapsed hold reserves nothing, and is
# remembered for a day: its call may only have been slow, and pays when it ends.
ACCOUNT = """
local time = redis.call('TIME')
local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)
local function whole(number) return string.format('%.0f', number) end
local function add(field, amount)
  redis.call('HINCRBY', KEYS[1], field, whole(amount))
end
local function keep(id, amount, ms)
  redis.call('HSET', KEYS[1], id, amount)
  redis.call('ZADD', KEYS[2], whole(now_ms + ms), id)
end
local function forget(id)
  redis.call('HDEL', KEYS[1], id)
  redis.call('ZREM', KEYS[2], id)
end
local function standing()
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', whole(now_ms))) do
    local amount = redis.call('HGET', KEYS[1], id)
    if amount == 'lapsed' then forget(id)
    else
      add('reserved', 0 - amount)
      keep(id, 'lapsed', 24 * 60 * 60 * 1000)
    end
  end
  local sums = redis.call('HMGET', KEYS[1], 'spent', 'reserved')
  return sums[1] or '0', sums[2] or '0'
end
"""

# ARGV: id, amount, budget, ms until it lapses, then the limiter's. Answers: enough
# money (1 or 0), spent and reserved as they were, then what the limiter's answers.
RESERVE = f"""{GCRA}{ACCOUNT}
local spent, reserved = standing()
local again = redis.call('HEXISTS', KEYS[1], ARGV[1]) == 1
local enough = again or tonumber(ARGV[2]) <= ARGV[3] - spent - reserved
local verdict, finish = gcra({{unpack(KEYS, 3)}}, {{unpack(ARGV, 5)}})
if again then verdict = 1 end
local take = enough and verdict == 1 and not again
if take then
  keep(ARGV[1], ARGV[2], ARGV[4])
  add('reserved', ARGV[2])
end
return {{enough and 1 or 0, spent, reserved, verdict, unpack(finish(take))}}
"""

# ARGV: id, cost, then the limiter's. A hold that is not there was settled before, by a
# try whose answer was lost, or it was never taken: either way nothing is to be done.
SETTLE = f"""{GCRA}{ACCOUNT}
local amount = redis.call('HGET', KEYS[1], ARGV[1])
if not amount then return 0 end
if amount ~= 'lapsed' then add('reserved', 0 - amount) end
add('spent', ARGV[2])
forget(ARGV[1])
local _, finish = gcra({{unpack(KEYS, 3)}}, {{unpack(ARGV, 3)}})
finish(true)
return 1
"""
STANDING = f"{ACCOUNT} return {{standing()}}"


@dataclass(frozen=True, slots=True)
class Hold:
    """What one call has reserved: of the limits and, where it has an `id`, of money."""

    lease: Lease
    id: str | None = None


@dataclass(frozen=True, slots=True)
class _Settlement:
    """How a hold ends: what it cost, and the tokens used beyond its lease."""

    hold_id: str
    cost: int
    tokens: int


class Ledger:
    """Budgets by caller, in nano-USD, reserved together with the limits.

    Callers without a budget, and calls of models without a price, never touch the
    money. Where it counts and Redis is down, or silent for `timeout` seconds, calls
    are refused: what cannot be written down is not spent.
    """

    def __init__(
        self,
        redis: Redis,
        limiter: Limiter,
        budgets: Mapping[str, int],
        timeout: float | None = None,
    ) -> None:
        self.limiter, self.budgets, self.timeout = limiter, budgets, timeout
        self._reserve = redis.register_script(RESERVE)
        self._settle = redis.register_script(SETTLE)
        self._standing = redis.register_script(STANDING)
        self._untold: defaultdict[str, list[_Settlement]] = defaultdict(list)

    async def reserve(
        self, subject: str, tokens: int, cost: int | None, *, seconds: float
    ) -> Hold:
        """Take a request, `tokens` tokens and `cost` nano-USD, or none of them.

        The money lapses after `seconds`. Raises BudgetExceededError, NotReadyError
        while Redis is away, and what `Limiter.reserve` raises.
        """
        budget = self.budgets.get(subject)
        if budget is None or cost is None:
            return Hold(await self.limiter.reserve(subject, tokens))
        hold_id = f"hold:{secrets.token_hex(16)}"
        keys, args = self.limiter.script_part(subject, (1, tokens))
        keys = [*_keys(subject), *keys]
        args = [hold_id, cost, budget, math.ceil(seconds * 1000), *args]
        release = _Settlement(hold_id, 0, -tokens)
        reply = await self._take(subject, keys, args, release)
        enough, spent, reserved, verdict, *numbers = reply
        if not enough:
            account = Account(budget, int(spent), int(reserved))
            raise _exceeded(account, cost, self.limiter.headers(numbers))
        return Hold(self.limiter.lease(subject, tokens, verdict, numbers), hold_id)

    async def settle(self, hold: Hold, tokens: int, cost: int | None) -> None:
        """Charge `cost`; give back what was not used, or take what was used beyond.

        Never raises: what Redis cannot be told now, it is told before the next call.
        """
        if hold.id is None:
            await self.limiter.settle(hold.lease, tokens)
            return
        subject = hold.lease.subject
        beyond = tokens - hold.lease.tokens
        self._untold[subject].append(_Settlement(hold.id, cost or 0, beyond))
        await self._try_to_catch_up(subject)

    async def release(self, hold: Hold) -> None:
        """Give back everything: the call failed before anything was produced."""
        await self.settle(hold, 0, 0)

    async def account(self, subject: str) -> Account | None:
        """Where a caller stands; None without a budget. Raises NotReadyError."""
        budget = self.budgets.get(subject)
        if budget is None:
            return None
        try:
            async with asyncio.timeout(self.timeout):
                await self._catch_up(subject)
                spent, reserved = await self._standing(keys=_keys(subject))
        except (RedisError, TimeoutError) as error:
            raise _closed(error) from error
        return Account(budget, int(spent), int(reserved))

    async def close(self) -> None:
        """Tell Redis, if it answers, what it has not been told yet."""
        for subject in self._untold:
            await self._try_to_catch_up(subject)

    async def _take(
        self,
        subject: str,
        keys: list[str],
        args: Sequence[str | int],
        release: _Settlement,
    ) -> list[Any]:
        """The answer of RESERVE; without one, nothing stays taken."""
        sent = False
        try:
            async with asyncio.timeout(self.timeout):
                await self._catch_up(subject)
                sent = True
                reply: list[Any] = await self._reserve(keys=keys, args=args)
        except (RedisError, TimeoutError, asyncio.CancelledError) as error:
            if sent:  # and perhaps taken all the same
                self._untold[subject].append(release)
            if not isinstance(error, asyncio.CancelledError):
                raise _closed(error) from error
            with anyio.CancelScope(shield=True):
                await self._try_to_catch_up(subject)
            raise
        return reply

    async def _catch_up(self, subject: str) -> None:
        """Tell Redis what it was not told yet of this caller. Raises RedisError."""
        untold = self._untold[subject]
        while untold:
            settlement = untold.pop()
            try:
                await self._tell(subject, settlement)
            except BaseException:
                untold.append(settlement)
                raise

    async def _try_to_catch_up(self, subject: str) -> None:
        try:
            async with asyncio.timeout(self.timeout):
                await self._catch_up(subject)
        except (RedisError, TimeoutError) as error:
            log.warning("money not settled yet", extra={"reason": repr(error)})

    async def _tell(self, subject: str, end: _Settlement) -> None:
        keys, args = self.limiter.script_part(subject, (0, end.tokens), force=True)
        args = [end.hold_id, end.cost, *args]
        await self._settle(keys=[*_keys(subject), *keys], args=args)


def _keys(subject: str) -> list[str]:
    account = f"ledger:{caller_tag(subject)}"
    return [account, f"{account}:holds"]


def _closed(error: Exception) -> NotReadyError:
    log.warning("money closed", extra={"reason": repr(error)})
    return NotReadyError("The budget cannot be checked: Redis does not answer.")


def _exceeded(
    account: Account, cost: int, headers: Mapping[str, str]
) -> BudgetExceededError:
    left = as_usd(max(0, account.left))
    return BudgetExceededError(
        f"The call may cost {as_usd(cost)} USD; {left} USD of the budget of "
        f"{as_usd(account.budget)} USD are left.",
        details={
            "budget_usd": as_usd(account.budget),
            "spent_usd": as_usd(account.spent),
            "reserved_usd": as_usd(account.reserved),
        },
        headers=headers,
    )
