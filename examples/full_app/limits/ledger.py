"""What a caller may spend: reserved before the work, settled after it, or released.

`spent + reserved + left` is the budget after every step, because a step is one script.
A hold has an id, so that a step that is tried again, after an answer that was lost,
counts once; and a time at which it lapses, so that a process that crashed leaves
nothing reserved. (Of a call that it was about to settle then, nothing is charged:
answers do not wait for their settlement.) Redis must not evict keys (`noeviction`).

`CallerLimits` is the ledger as one caller sees it, which a dependency hands to a route.
Section 4's `RateLimiter` takes one request before the route runs. A chat call cannot be
decided so early: how many tokens and how much money it may use is known only from its
body. So the dependency hands over the limits, and the service reserves from them.
"""

import asyncio
import contextlib
import logging
import math
import secrets
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import anyio
from redis.exceptions import RedisError

from examples.full_app.errors import BudgetExceededError, NotReadyError
from examples.full_app.limits.pipelining import regardless
from examples.full_app.limits.rates import Lease, Limiter, caller_hash_tag
from examples.full_app.limits.scripts import RESERVE, SETTLE, STANDING
from examples.full_app.limits.slots import NoSlotError
from examples.full_app.limits.waiting import WaitingQueue
from examples.full_app.money import Account, as_usd
from examples.full_app.periodic import repeating

log = logging.getLogger(__name__)

RESEND_SECONDS = 5.0  # between two attempts to send what Redis has not confirmed


class Hold(NamedTuple):
    """What one call has reserved: of the limits and, where it has an `id`, of money."""

    lease: Lease
    id: str | None = None


class _Settlement(NamedTuple):
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

    def __init__(self, limiter: Limiter, budgets: Mapping[str, int]) -> None:
        self.limiter, self.budgets = limiter, budgets
        self.scripts = limiter.scripts
        self._unsent: defaultdict[str, list[_Settlement]] = defaultdict(list)

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

    def settle(self, hold: Hold, tokens: int, cost: int | None) -> asyncio.Future[None]:
        """Charge `cost`; give back what was not used, or take what was used beyond.

        It happens all the same if nobody awaits it, and never raises: what Redis
        does not confirm is sent again before the caller's next call, or by
        `sending_unsent`.
        """
        if hold.id is None:
            return self.limiter.settle(hold.lease, tokens)
        beyond, slot = tokens - hold.lease.tokens, hold.lease.slot
        self.limiter.forget(slot)
        end = _Settlement(hold.id, cost or 0, beyond, slot)
        return regardless(self._send(hold.lease.subject, end))

    def release(self, hold: Hold) -> asyncio.Future[None]:
        """Give back everything: the call failed before anything was produced."""
        return self.settle(hold, 0, 0)

    async def account(self, subject: str) -> Account | None:
        """Where a caller stands; None without a budget. Raises NotReadyError."""
        budget = self.budgets.get(subject)
        if budget is None:
            return None
        try:
            await self._catch_up(subject)
            spent, reserved = await self.scripts.call(STANDING, _keys(subject), [])
        except (RedisError, TimeoutError) as error:
            raise _closed(error) from error
        return Account(budget, int(spent), int(reserved))

    async def send_unsent(self) -> None:
        """Send the settlements that Redis has not confirmed; what fails is kept."""
        unsent = map(self._catch_up, tuple(self._unsent))
        await asyncio.gather(*unsent, return_exceptions=True)

    @contextlib.asynccontextmanager
    async def sending_unsent(self) -> AsyncIterator[None]:
        """Send unconfirmed settlements beside the block, and at its end the rest."""
        try:
            async with repeating(RESEND_SECONDS, self.send_unsent):
                yield
        finally:
            await self.scripts.idle()
            await self.send_unsent()

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
            await self._catch_up(subject)
            sent = True
            reply: list[Any] = await self.scripts.call(RESERVE, keys, args)
        except (RedisError, TimeoutError) as error:
            if sent:  # and perhaps taken all the same
                self._unsent[subject].append(release)
            raise _closed(error) from error
        except asyncio.CancelledError:
            if sent:
                with anyio.CancelScope(shield=True):
                    await regardless(self._send(subject, release))
            raise
        return reply

    async def _catch_up(self, subject: str) -> None:
        """Send this caller's unconfirmed settlements. Raises as a script does."""
        for answer in [
            self._send(subject, end) for end in self._unsent.pop(subject, ())
        ]:
            await answer

    def _send(self, subject: str, end: _Settlement) -> asyncio.Future[Any]:
        keys, args = self.limiter.script_part(
            subject, (0, end.tokens), end.slot, force=True
        )
        args = [end.hold_id, end.cost, *args]
        answer = self.scripts.call(SETTLE, [*_keys(subject), *keys], args)
        answer.add_done_callback(partial(self._keep_if_failed, subject, end))
        return answer

    def _keep_if_failed(
        self, subject: str, end: _Settlement, answer: asyncio.Future[Any]
    ) -> None:
        error = None if answer.cancelled() else answer.exception()
        if answer.cancelled() or error is not None:
            self._unsent[subject].append(end)
            log.warning("money not settled yet", extra={"reason": repr(error)})


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of all callers of this process: budgets, rates, slots and a queue."""

    ledger: Ledger
    waiting: WaitingQueue

    def of(self, subject: str) -> "CallerLimits":
        """The limits of the caller that `subject` names (`key:alpha`, `peer:::1`)."""
        return CallerLimits(self, subject)


@dataclass(frozen=True, slots=True)
class CallerLimits:
    """What one caller may use. `subject` is whom limits and budgets belong to."""

    limits: Limits
    subject: str

    async def reserve(
        self, tokens: int, cost: int | None, *, seconds: float, queue: bool
    ) -> Hold:
        """Take a request, `tokens` tokens, a slot and `cost` nano-USD, or none of them.

        The money lapses after `seconds`. With `queue`, a call that finds no free slot
        waits in the queue for a while. Raises what `Ledger.reserve` raises, and
        NoSlotError.
        """

        def attempt() -> Awaitable[Hold]:
            ledger = self.limits.ledger
            return ledger.reserve(self.subject, tokens, cost, seconds=seconds)

        waiting = self.limits.waiting
        if queue and waiting.taken:
            return await waiting.admitted(self.subject, attempt)
        try:
            return await attempt()
        except NoSlotError:
            if not queue or not waiting.places:
                raise
        return await waiting.wait(self.subject, attempt)

    def settle(self, hold: Hold, tokens: int, cost: int | None) -> asyncio.Future[None]:
        """Charge `tokens` and `cost`, and give back what was reserved beyond them.

        It happens even if nobody awaits it, and never raises.
        """
        settled = self.limits.ledger.settle(hold, tokens, cost)
        settled.add_done_callback(self._slot_freed)
        return settled

    def _slot_freed(self, _: object) -> None:
        """Let the first in the queue try at once, if there is a queue."""
        if self.limits.waiting.taken:
            self.limits.waiting.notify()

    async def account(self) -> Account | None:
        """Where the caller's budget stands; None without one. Raises NotReadyError."""
        return await self.limits.ledger.account(self.subject)


def _keys(subject: str) -> list[str]:
    account = f"ledger:{caller_hash_tag(subject)}"
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
