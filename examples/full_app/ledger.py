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
from examples.full_app.ledger_scripts import RESERVE, SETTLE, STANDING
from examples.full_app.limits import Lease, Limiter, caller_tag
from examples.full_app.money import Account, as_usd

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Hold:
    """What one call has reserved: of the limits and, where it has an `id`, of money."""

    lease: Lease
    id: str | None = None


@dataclass(frozen=True, slots=True)
class _Settlement:
    """How a hold ends: its cost, the tokens used beyond its lease, its slot."""

    hold_id: str
    cost: int
    tokens: int
    slot: str


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
        slot = self.limiter.new_slot()
        keys, args = self.limiter.script_part(subject, (1, tokens), slot)
        keys = [*_keys(subject), *keys]
        args = [hold_id, cost, budget, math.ceil(seconds * 1000), *args]
        release = _Settlement(hold_id, 0, -tokens, slot)
        reply = await self._take(subject, keys, args, release)
        enough, spent, reserved, verdict, *numbers = reply
        if not enough:
            account = Account(budget, int(spent), int(reserved))
            raise _exceeded(account, cost, self.limiter.headers(numbers))
        lease = self.limiter.lease(subject, tokens, verdict, numbers, slot)
        return Hold(lease, hold_id)

    async def settle(self, hold: Hold, tokens: int, cost: int | None) -> None:
        """Charge `cost`; give back what was not used, or take what was used beyond.

        Never raises: what Redis cannot be told now, it is told before the next call.
        """
        if hold.id is None:
            await self.limiter.settle(hold.lease, tokens)
            return
        subject = hold.lease.subject
        beyond, slot = tokens - hold.lease.tokens, hold.lease.slot
        self.limiter.forget(slot)
        end = _Settlement(hold.id, cost or 0, beyond, slot)
        self._untold[subject].append(end)
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
        keys, args = self.limiter.script_part(
            subject, (0, end.tokens), end.slot, force=True
        )
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
