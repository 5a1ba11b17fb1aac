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
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any, NamedTuple

import anyio
from redis.exceptions import RedisError

from examples.full_app.errors import (
    BudgetExceededError,
    ModelNotAllowedError,
    ModelNotPricedError,
    NotReadyError,
)
from examples.full_app.limits.pipelining import (
    MAX_CALLS,
    RedisSilentError,
    regardless,
)
from examples.full_app.limits.rates import Lease, Limiter, caller_hash_tag
from examples.full_app.limits.scripts import COUNT, COUNTS, RESERVE, SETTLE, STANDING
from examples.full_app.limits.slots import NoSlotError
from examples.full_app.limits.waiting import WaitingQueue
from examples.full_app.money import (
    Account,
    BudgetPeriod,
    Price,
    Prices,
    as_usd,
    fits,
    period_bounds,
)
from examples.full_app.observability.logs import ThrottledLog
from examples.full_app.periodic import repeating
from examples.full_app.settings import Grant

warnings = ThrottledLog(logging.getLogger(__name__))

RESEND_SECONDS = 1.0  # between two attempts to send what Redis has not confirmed
COUNT_SECONDS = 1.0  # between two times at which the counts of models are written
MAX_MODELS = 200  # with counts of their own, for each caller
DAY_SECONDS = 24 * 3600
# An account is kept a while after its period: calls that began in it settle there.
KEPT_SECONDS: Mapping[BudgetPeriod | None, int] = {
    None: 0,
    "day": 3 * DAY_SECONDS,
    "month": 40 * DAY_SECONDS,
}


class Hold(NamedTuple):
    """What one call has reserved: of the limits and, where it has an `id`, of money.

    It is settled in `account`, the one that it was reserved from.
    """

    lease: Lease
    id: str | None = None
    account: str = ""


@dataclass(slots=True)
class ModelUsage:
    """What the calls of one model have used; `spent` is in nano-USD."""

    requests: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    spent: int = 0

    def add(self, more: "ModelUsage") -> None:
        """Add what further calls have used."""
        self.requests += more.requests
        self.prompt_tokens += more.prompt_tokens
        self.cached_tokens += more.cached_tokens
        self.completion_tokens += more.completion_tokens
        self.spent += more.spent

    def counts(self) -> list[int]:
        """The numbers in the order in which the script takes them."""
        return [
            self.requests,
            self.prompt_tokens,
            self.cached_tokens,
            self.completion_tokens,
            self.spent,
        ]


class _Settlement(NamedTuple):
    """How a hold ends: its cost, the tokens used beyond its lease, its slot.

    `times` is how often it is to be sent. It is 2 for a hold whose reservation was not
    answered: Redis may read the release before the reservation, which came over another
    connection.
    """

    hold_id: str
    cost: int
    tokens: int
    slot: str
    account: str
    times: int = 1


class Ledger:
    """Budgets by caller, in nano-USD, reserved together with the limits.

    Callers without a budget, and calls of models without a price, never touch the
    money. Where it counts and Redis is down, or silent for `timeout` seconds, calls
    are refused: what cannot be written down is not spent.
    """

    def __init__(
        self,
        limiter: Limiter,
        budgets: Mapping[str, int],
        periods: Mapping[str, BudgetPeriod] | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """`periods` names the callers whose budget begins anew each day or month."""
        self.limiter, self.budgets = limiter, budgets
        self.scripts = limiter.scripts
        self._periods = periods or {}
        self._clock = clock
        self._unsent: defaultdict[str, list[_Settlement]] = defaultdict(list)
        self._counts: defaultdict[str, defaultdict[str, ModelUsage]] = defaultdict(
            lambda: defaultdict(ModelUsage)
        )
        self._kept_seconds: dict[str, int] = {}

    def period_of(self, subject: str) -> tuple[BudgetPeriod, datetime, datetime] | None:
        """The period that runs, its beginning and its end; None without periods."""
        period = self._periods.get(subject)
        if period is None:
            return None
        return (period, *period_bounds(period, self._clock()))

    def account_of(self, subject: str) -> str:
        """The name of the account from which a caller spends now."""
        name = f"ledger:{caller_hash_tag(subject)}"
        running = self.period_of(subject)
        return f"{name}:{running[1]:%Y-%m-%d}" if running else name

    def _seconds_kept(self, subject: str) -> int:
        return KEPT_SECONDS[self._periods.get(subject)]

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
        account_name = self.account_of(subject)
        keys = [*_keys(account_name), *keys]
        kept = self._seconds_kept(subject)
        args = [hold_id, cost, budget, math.ceil(seconds * 1000), kept, *args]
        release = _Settlement(hold_id, 0, -tokens, slot, account_name)
        reply = await self._take(subject, keys, args, release)
        enough, spent, reserved, verdict, *numbers = reply
        if not enough:
            account = Account(budget, int(spent), int(reserved))
            raise _exceeded(account, cost, self.limiter.headers(subject, numbers))
        lease = self.limiter.lease(subject, tokens, verdict, numbers, slot)
        return Hold(lease, hold_id, account_name)

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
        end = _Settlement(hold.id, cost or 0, beyond, slot, hold.account)
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
            while self._unsent.get(subject):
                await self._catch_up(subject)
            keys = _keys(self.account_of(subject))
            spent, reserved = await self.scripts.call(STANDING, keys, [])
        except (RedisError, TimeoutError) as error:
            raise _closed(error) from error
        return Account(budget, int(spent), int(reserved))

    def count(self, subject: str, model: str, used: ModelUsage, account: str) -> None:
        """Count what a call has used; it is written down within a second.

        The counts explain what was spent, and decide nothing: of a process that is
        killed the last second is missing.
        """
        name = account or self.account_of(subject)
        self._kept_seconds[name] = self._seconds_kept(subject)
        self._counts[name][model].add(used)

    async def write_counts(self) -> None:
        """Write down what was counted; what Redis does not take is kept."""
        for name in tuple(self._counts):
            models = self._counts.pop(name)
            args: list[str | int] = [MAX_MODELS, self._kept_seconds.pop(name)]
            kept = args[1]
            for model, used in models.items():
                args += [model, *used.counts()]
            try:
                await self.scripts.call(COUNT, [f"{name}:models"], args)
            except (RedisError, TimeoutError) as error:
                warnings.warning("usage not counted yet", error)
                self._kept_seconds[name] = int(kept)
                for model, used in models.items():
                    self._counts[name][model].add(used)

    async def used(self, subject: str) -> dict[str, ModelUsage]:
        """What a caller has used of each model, in the period that runs.

        Raises NotReadyError.
        """
        await self.write_counts()
        name = f"{self.account_of(subject)}:models"
        try:
            fields = await self.scripts.call(COUNTS, [name], [])
        except (RedisError, TimeoutError) as error:
            raise _closed(error) from error
        found: defaultdict[str, ModelUsage] = defaultdict(ModelUsage)
        for key, value in zip(fields[::2], fields[1::2], strict=True):
            count, _, model = _text(key).partition("|")
            setattr(found[model], count, int(value))
        return dict(sorted(found.items()))

    async def send_unsent(self) -> None:
        """Send the settlements that Redis has not confirmed, in batches.

        What fails is kept. While Redis is silent one is sent, as its probe.
        """
        with contextlib.suppress(RedisError, TimeoutError):
            await self.limiter.undo_unheard()
        for subject in tuple(self._unsent):
            for _ in range(len(self._unsent[subject])):
                if self.scripts.is_probing or not self._unsent.get(subject):
                    break
                try:
                    await self._catch_up(subject)
                except (RedisError, TimeoutError):
                    break

    @contextlib.asynccontextmanager
    async def sending_unsent(self) -> AsyncIterator[None]:
        """Send unconfirmed settlements beside the block, and at its end the rest."""
        try:
            async with (
                repeating(RESEND_SECONDS, self.send_unsent),
                repeating(COUNT_SECONDS, self.write_counts),
            ):
                yield
        finally:
            await self.scripts.idle()
            await self.send_unsent()
            await self.write_counts()

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
            if sent and not isinstance(error, RedisSilentError):  # perhaps taken
                self._unsent[subject].append(release._replace(times=2))
            raise _closed(error) from error
        except asyncio.CancelledError:
            if sent:
                with anyio.CancelScope(shield=True):
                    await regardless(self._send(subject, release))
            raise
        return reply

    async def _catch_up(self, subject: str) -> None:
        """Send a batch of this caller's unconfirmed settlements.

        A Redis that was silent gets one of them. Raises as a script does.
        """
        if not self._unsent.get(subject):
            return
        if self.scripts.is_probing:
            raise RedisSilentError
        size = 1 if self.scripts.is_silent else MAX_CALLS
        unsent = self._unsent.pop(subject)
        batch, later = unsent[:size], unsent[size:]
        if later:
            self._unsent[subject] = later
        for answer in [self._send(subject, end) for end in batch]:
            await answer

    def _send(self, subject: str, end: _Settlement) -> asyncio.Future[Any]:
        keys, args = self.limiter.script_part(
            subject, (0, end.tokens), end.slot, force=True
        )
        args = [end.hold_id, end.cost, *args]
        answer = self.scripts.call(SETTLE, [*_keys(end.account), *keys], args)
        answer.add_done_callback(partial(self._keep_if_failed, subject, end))
        return answer

    def _keep_if_failed(
        self, subject: str, end: _Settlement, answer: asyncio.Future[Any]
    ) -> None:
        error = None if answer.cancelled() else answer.exception()
        if answer.cancelled() or error is not None:
            self._unsent[subject].append(end)
            warnings.warning("money not settled yet", error)
        elif end.times > 1:
            self._unsent[subject].append(end._replace(times=end.times - 1))


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of all callers of this process: budgets, rates, slots and a queue."""

    ledger: Ledger
    waiting: WaitingQueue
    prices: Prices = field(default_factory=Prices)
    grants: Mapping[str, Grant] = field(default_factory=dict)  # by subject
    free_providers: frozenset[str] = frozenset()  # whose models cost nothing
    unpriced_models_are_free: bool = False

    def of(self, subject: str) -> "CallerLimits":
        """The limits of the caller that `subject` names (`key:alpha`, `peer:::1`)."""
        return CallerLimits(self, subject)


@dataclass(frozen=True, slots=True)
class CallerLimits:
    """What one caller may use. `subject` is whom limits and budgets belong to."""

    limits: Limits
    subject: str

    @property
    def grant(self) -> Grant:
        """What the caller may do; everything, if nothing else was said."""
        return self.limits.grants.get(self.subject, _EVERYTHING)

    def may_use(self, model: str) -> bool:
        """Whether the caller's key may use `model`."""
        models = self.grant.models
        return models is None or any(fits(pattern, model) for pattern in models)

    def price_of(self, model: str, provider: str) -> Price | None:
        """What `model` costs the caller; None where nothing is charged.

        `provider` is the name of the one that answers. Raises ModelNotAllowedError,
        and ModelNotPricedError where a budget could not be counted.
        """
        if not self.may_use(model):
            raise ModelNotAllowedError
        limits = self.limits
        price = limits.prices.of(model)
        free = limits.unpriced_models_are_free or provider in limits.free_providers
        if price is None and not free and self.subject in limits.ledger.budgets:
            raise ModelNotPricedError
        return price

    async def used(self) -> dict[str, ModelUsage]:
        """What the caller has used of each model. Raises NotReadyError."""
        return await self.limits.ledger.used(self.subject)

    async def reserve(
        self, tokens: int, cost: int | None, *, seconds: float, queue: bool
    ) -> Hold:
        """Take a request, `tokens` tokens, a slot and `cost` nano-USD, or none of them.

        The money lapses after `seconds`. With `queue`, a call that finds no free slot
        waits in the queue for a while. Raises what `Ledger.reserve` raises, and
        NoSlotError.
        """
        reserve = self.limits.ledger.reserve
        attempt = partial(reserve, self.subject, tokens, cost, seconds=seconds)
        waiting = self.limits.waiting
        if queue and waiting.taken:
            return await waiting.admitted(self.subject, attempt)
        try:
            return await attempt()
        except NoSlotError:
            if not queue or not waiting.places:
                raise
        return await waiting.wait(self.subject, attempt)

    def count(self, hold: Hold, model: str, used: ModelUsage) -> None:
        """Count what a call has used, for `GET /v1/usage`."""
        self.limits.ledger.count(self.subject, model, used, hold.account)

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


_EVERYTHING = Grant()


def _keys(account: str) -> list[str]:
    return [account, f"{account}:holds"]


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value


def _closed(error: Exception) -> NotReadyError:
    warnings.warning("money closed", error)
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
