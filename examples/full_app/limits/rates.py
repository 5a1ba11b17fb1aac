"""How much a caller may use: requests and tokens a minute, decided in one Redis call.

GCRA (the generic cell rate algorithm, ITU-T I.371) keeps one time a budget: when it
will be full again. All budgets of a call are taken together or not at all; tokens are
reserved before and settled after, so a refund or a debt is exact.
Headers: OpenAI's `x-ratelimit-*`, and `RateLimit`/`RateLimit-Policy` of
draft-ietf-httpapi-ratelimit-headers. Section 4's `RateLimiter` is a token bucket.
"""

import asyncio
import functools
import hashlib
import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import anyio
from redis.asyncio import Redis
from redis.exceptions import RedisError

from examples.full_app.errors import RequestError
from examples.full_app.limits.pipelining import (
    MAX_CALLS,
    Pipelining,
    RedisSilentError,
    Script,
    regardless,
)
from examples.full_app.limits.scripts import DECIDE, LEAVE, UNDO
from examples.full_app.limits.slots import Slots
from examples.full_app.observability.logs import ThrottledLog
from examples.s4_dependency_injection import RateLimiter
from examples.s5_error_handling import RateLimitExceededError

warnings = ThrottledLog(logging.getLogger(__name__))


KNOWN_CALLERS = 10_000  # whose keys are not made anew for each call

# For routes that manage things: section 4's token bucket, as it is.
management_limit = RateLimiter(requests=6_000, window_seconds=60, name="management")


@dataclass(frozen=True, slots=True)
class RateLimit:
    """`limit` units every `window_seconds`; a burst may use them all at once.

    The units are requests or tokens. Limits of money are called budgets (`ledger`).
    """

    name: str
    limit: int
    window_seconds: int = 60


@dataclass(frozen=True)
class CallerRates:
    """The limits of one caller. `concurrent_calls`: None means as many as all have."""

    requests: RateLimit
    tokens: RateLimit
    concurrent_calls: int | None = None

    @functools.cached_property
    def fixed_headers(self) -> Mapping[str, str]:
        """The headers that are the same in every answer."""
        return fixed_headers((self.requests, self.tokens))


class Lease(NamedTuple):
    """What a call has reserved. `headers` tell the caller where it stands."""

    subject: str
    tokens: int
    headers: Mapping[str, str]
    slot: str = ""


class UnheardReservation(NamedTuple):
    """A reservation whose answer was lost: perhaps Redis has it, perhaps not."""

    subject: str
    tokens: int
    slot: str
    times_undone: int = 0


class Limiter:
    """Reserves before the work and settles after it.

    Redis down, or silent for `timeout` seconds: requests pass, with a logged warning; a
    limiter that is out must not take the service with it. (Money is closed: `ledger`.)
    """

    def __init__(
        self,
        redis: Redis,
        requests: RateLimit,
        tokens: RateLimit,
        timeout: float | None = None,
        slots: Slots | None = None,
        own: Mapping[str, "CallerRates"] | None = None,
    ) -> None:
        """`own` are the limits of callers that have limits of their own."""
        self.requests, self.tokens, self.slots = requests, tokens, slots
        self.scripts = Pipelining(redis, timeout)
        self._general = CallerRates(requests, tokens)
        self._own = own or {}
        self._unheard: list[UnheardReservation] = []

    def rates_of(self, subject: str) -> "CallerRates":
        """The limits that count for one caller."""
        return self._own.get(subject, self._general)

    async def reserve(self, subject: str, tokens: int) -> Lease:
        """Take a request, `tokens` tokens and a slot; or RateLimitExceededError.

        Raises RequestTooExpensiveError where `tokens` is over the limit for good, and
        NoSlotError where only a slot is missing.
        """
        slot = self.new_slot()
        keys, args = self.script_part(subject, (1, tokens), slot)
        try:
            verdict, *numbers = await self.scripts.call(DECIDE, keys, args)
        except (RedisError, TimeoutError) as error:
            warnings.warning("rate limit not checked", error)
            if slot and not isinstance(error, RedisSilentError):
                self._unheard.append(UnheardReservation(subject, tokens, slot))
            return Lease(subject, 0, {})
        except asyncio.CancelledError:  # and perhaps it was taken
            keys, args = self.script_part(subject, (-1, -tokens), slot, force=True)
            with anyio.CancelScope(shield=True):
                await self._leave(UNDO, keys, args)
            raise
        return self.lease(subject, tokens, verdict, numbers, slot)

    async def undo_unheard(self) -> None:
        """Give back what was reserved for calls that never heard of it.

        It is done twice. Redis may read the first undoing before the reservation, which
        came over another connection. Raises RedisError and TimeoutError: what was not
        undone is kept for the next time.
        """
        unheard, self._unheard = self._unheard, []
        while unheard:
            size = 1 if self.scripts.is_silent else MAX_CALLS
            batch, unheard = unheard[:size], unheard[size:]
            try:
                await asyncio.gather(*map(self._undo, batch))
            except (RedisError, TimeoutError):
                self._unheard += batch + unheard
                raise
            for one in batch:
                if one.times_undone == 0:
                    self._unheard.append(one._replace(times_undone=1))

    def _undo(self, one: UnheardReservation) -> asyncio.Future[None]:
        keys, args = self.script_part(
            one.subject, (-1, -one.tokens), one.slot, force=True
        )
        return self.scripts.call(UNDO, keys, args)

    def settle(self, lease: Lease, used: int) -> asyncio.Future[None]:
        """Leave the slot; give back what was not used, or take what was used beyond.

        It happens all the same if nobody awaits it, and never raises.
        """
        self.forget(lease.slot)
        costs = (0, used - lease.tokens)
        keys, args = self.script_part(lease.subject, costs, lease.slot, force=True)
        return self._leave(LEAVE, keys, args)

    def _leave(
        self, script: Script, keys: list[str], args: list[str | int]
    ) -> asyncio.Future[None]:
        left = self.scripts.call(script, keys, args)
        left.add_done_callback(_warn_of_failure)
        return regardless(left)

    def new_slot(self) -> str:
        """The id of a slot to ask for; empty where none are counted."""
        return self.slots.new() if self.slots else ""

    def forget(self, slot: str) -> None:
        """The call with this slot is over: its lease is renewed no longer."""
        if self.slots:
            self.slots.forget(slot)

    def script_part(
        self, subject: str, costs: tuple[int, int], slot: str, *, force: bool = False
    ) -> tuple[list[str], list[str | int]]:
        """Keys and arguments of the script's `admit` and `leave`."""
        rates = self.rates_of(subject)
        tag, requests, tokens = caller_hash_tag(subject), rates.requests, rates.tokens
        keys = [f"limit:{tag}:{requests.name}", f"limit:{tag}:{tokens.name}"]
        args: list[str | int] = [int(force)]
        args += (requests.limit, requests.window_seconds * 1000, costs[0])
        args += (tokens.limit, tokens.window_seconds * 1000, costs[1])
        if self.slots and slot:
            keys += self.slots.keys(tag)
            args += self.slots.args(slot, rates.concurrent_calls)
        return keys, args

    def lease(
        self,
        subject: str,
        tokens: int,
        verdict: int,
        numbers: Sequence[int],
        slot: str,
    ) -> Lease:
        """What the script's answer means. Raises as `reserve` does."""
        rates = self.rates_of(subject)
        headers = self.headers(subject, numbers)
        if verdict == -1:
            raise RequestTooExpensiveError(tokens, rates.tokens.limit, headers)
        if verdict == 0:
            wait_ms = max(numbers[1], numbers[4], 1)
            refusal = RateLimitExceededError(retry_after=wait_ms / 1000)
            refusal.headers = {**refusal.headers, **headers}
            raise refusal
        if self.slots and verdict < -1:
            full = self.slots.refusal(
                -1 - verdict, caller_hash_tag(subject), rates.concurrent_calls
            )
            full.headers = {**full.headers, **headers}
            raise full
        if self.slots and slot:
            self.slots.hold(slot, caller_hash_tag(subject))
        return Lease(subject, tokens, headers, slot)

    def headers(self, subject: str, numbers: Sequence[int]) -> dict[str, str]:
        """A caller's headers for the numbers that the script answered."""
        rates = self.rates_of(subject)
        standing = standing_headers((rates.requests, rates.tokens), numbers)
        return {**rates.fixed_headers, **standing}


def _warn_of_failure(left: asyncio.Future[None]) -> None:
    if not left.cancelled() and (error := left.exception()) is not None:
        warnings.warning("rate limit not settled", error)


@functools.lru_cache(maxsize=KNOWN_CALLERS)
def caller_hash_tag(subject: str) -> str:
    """A caller in the names of keys: unreadable, and in one slot of a cluster.

    Source: Redis Cluster specification, hash tags."""
    digest = hashlib.blake2b(subject.encode(), digest_size=16).hexdigest()
    return f"{{{digest}}}"


class RequestTooExpensiveError(RequestError):
    """One request that asks for more tokens than a whole window has."""

    code, status_code = "request_too_large", 413
    recovery = "Ask for fewer tokens, or send less."

    def __init__(self, tokens: int, limit: int, headers: Mapping[str, str]) -> None:
        super().__init__(
            f"The request may use {tokens} tokens; the limit a minute is {limit}.",
            headers=headers,
        )


def fixed_headers(limits: Sequence[RateLimit]) -> dict[str, str]:
    """The headers that say how large these limits are."""
    policies = [f'"{one.name}";q={one.limit};w={one.window_seconds}' for one in limits]
    amounts = {f"x-ratelimit-limit-{one.name}": str(one.limit) for one in limits}
    return {"RateLimit-Policy": ", ".join(policies), **amounts}


def standing_headers(
    limits: Sequence[RateLimit], numbers: Sequence[int]
) -> dict[str, str]:
    """A caller's headers; `numbers` are left, wait and reset of each limit."""
    headers, standings = {}, []
    for number, limit in enumerate(limits):
        left, _, reset_ms = numbers[3 * number : 3 * number + 3]
        standings.append(f'"{limit.name}";r={left};t={math.ceil(reset_ms / 1000)}')
        headers[f"x-ratelimit-remaining-{limit.name}"] = str(left)
        headers[f"x-ratelimit-reset-{limit.name}"] = _duration(reset_ms)
    headers["RateLimit"] = ", ".join(standings)
    return headers


def _duration(ms: int) -> str:
    """Milliseconds as OpenAI writes them: `12ms`, `1.5s`, `6m0s`."""
    if ms < 1000:
        return f"{ms}ms"
    minutes, rest = divmod(ms, 60_000)
    seconds = f"{rest / 1000:g}s"
    return f"{minutes}m{seconds}" if minutes else seconds
