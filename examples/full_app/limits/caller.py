"""The limits of one caller, as a dependency hands them to a route.

Section 4's `RateLimiter` takes one request before the route runs. A chat call cannot be
decided so early: how many tokens and how much money it may use is known only from its
body. So the dependency hands over `CallerLimits`, and the service reserves from it.
"""

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass

from examples.full_app.limits.ledger import Hold, Ledger
from examples.full_app.limits.slots import NoSlotError
from examples.full_app.limits.waiting import WaitingRoom
from examples.full_app.money import Account


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of all callers of this process: budgets, rates, slots and a queue."""

    ledger: Ledger
    waiting: WaitingRoom

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
            self.limits.waiting.nudge()

    async def account(self) -> Account | None:
        """Where the caller's budget stands; None without one. Raises NotReadyError."""
        return await self.limits.ledger.account(self.subject)
