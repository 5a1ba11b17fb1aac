"""Money: exact, never more than the budget, and back to nothing reserved."""

import asyncio
import re
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as effort
from hypothesis import strategies as st
from redis.asyncio import ConnectionPool, Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from examples.full_app.errors import BudgetExceededError, NotReadyError
from examples.full_app.limits.ledger import Hold, Ledger
from examples.full_app.limits.rates import Limiter, RateLimit, RequestTooExpensiveError
from examples.full_app.money import Account, Prices, as_usd, nano_usd
from examples.s2_models import PRICES_PER_1K, price_usd
from examples.s4_dependency_injection import open_redis
from examples.s5_error_handling import RateLimitExceededError
from tests.conftest import running_redis
from tests.full_app.conftest import settings
from tests.servers import free_port

MANY = 1_000_000
PRICES = Prices()
MINUTE = 60.0
names = count()


@pytest.fixture
async def redis(redis_url: str | None) -> AsyncIterator[Redis]:
    apart = redis_url and f"{redis_url}/6"  # no other test's keys are flushed
    async with open_redis(settings(redis_url=apart)) as client:
        await client.flushdb()
        yield client


def ledger(
    redis: Redis,
    budget: int,
    *,
    requests: int = MANY,
    tokens: int = MANY,
    timeout: float | None = None,
) -> Ledger:
    """A ledger in which `ada` and `bob` have this budget and `eve` has none."""
    limits = RateLimit("requests", requests), RateLimit("tokens", tokens)
    limiter = Limiter(redis, *limits, timeout)
    return Ledger(limiter, {"ada": budget, "bob": budget})


async def standing(ledger: Ledger, subject: str = "ada") -> tuple[int, int, int]:
    """Spent, reserved and left of a caller."""
    account = await ledger.account(subject)
    assert account is not None
    assert account.spent + account.reserved + account.left == account.budget
    return account.spent, account.reserved, account.left


@pytest.mark.parametrize("model", PRICES_PER_1K)
def test_every_price_of_a_token_is_a_whole_number_of_nano_usd(model: str) -> None:
    for tokens in ((1, 0), (0, 1), (12_345, 678)):
        cost = PRICES.cost_of(model, *tokens)
        assert cost is not None
        assert Decimal(cost) / 10**9 == price_usd(model, *tokens)


def test_a_fraction_of_a_nano_usd_is_refused_and_not_rounded() -> None:
    assert nano_usd(Decimal("1.5")) == 1_500_000_000
    with pytest.raises(ValueError, match="whole number"):
        nano_usd(Decimal("0.0000000015"))


@pytest.mark.parametrize(
    ("amount", "usd"),
    [(0, "0"), (1, "0.000000001"), (10**12, "1000"), (-1_500_000_000, "-1.5")],
)
def test_amounts_are_written_exactly_and_without_exponent(
    amount: int, usd: str
) -> None:
    assert as_usd(amount) == usd
    assert nano_usd(Decimal(usd)) == amount


async def test_what_is_reserved_is_settled_at_what_it_cost(redis: Redis) -> None:
    purse = ledger(redis, 1_000)
    hold = await purse.reserve("ada", 10, 600, seconds=MINUTE)
    assert await standing(purse) == (0, 600, 400)
    await purse.settle(hold, 7, 250)

    assert await standing(purse) == (250, 0, 750)


async def test_what_failed_before_anything_costs_nothing(redis: Redis) -> None:
    purse = ledger(redis, 1_000)
    hold = await purse.reserve("ada", 10, 600, seconds=MINUTE)
    await purse.release(hold)

    assert await standing(purse) == (0, 0, 1_000)


async def test_of_many_at_once_exactly_those_that_can_be_paid_get_in(
    redis: Redis,
) -> None:
    purse = ledger(redis, 1_000)

    async def one() -> bool:
        try:
            await purse.reserve("ada", 1, 90, seconds=MINUTE)
        except BudgetExceededError:
            return False
        return True

    assert sum(await asyncio.gather(*(one() for _ in range(40)))) == 11
    assert await standing(purse) == (0, 990, 10)


async def test_the_last_of_a_budget_can_be_spent_and_not_one_nano_more(
    redis: Redis,
) -> None:
    purse = ledger(redis, 1_000)
    hold = await purse.reserve("ada", 1, 1_000, seconds=MINUTE)
    await purse.settle(hold, 1, 1_000)
    await purse.release(await purse.reserve("ada", 1, 0, seconds=MINUTE))
    with pytest.raises(BudgetExceededError) as caught:
        await purse.reserve("ada", 1, 1, seconds=MINUTE)

    refusal = caught.value
    assert (refusal.status_code, refusal.retryable) == (429, False)
    assert refusal.retry_after is None
    assert refusal.details == {
        "budget_usd": "0.000001",
        "spent_usd": "0.000001",
        "reserved_usd": "0",
    }


async def test_millions_of_dollars_are_counted_to_the_nano(redis: Redis) -> None:
    million = 10**6 * 10**9
    purse = ledger(redis, million)
    hold = await purse.reserve("ada", 1, million - 1, seconds=MINUTE)
    await purse.settle(hold, 1, million - 1)
    with pytest.raises(BudgetExceededError):
        await purse.reserve("ada", 1, 2, seconds=MINUTE)
    await purse.settle(await purse.reserve("ada", 1, 1, seconds=MINUTE), 1, 1)

    assert await standing(purse) == (million, 0, 0)


async def test_who_cannot_pay_has_not_used_up_a_limit(redis: Redis) -> None:
    purse = ledger(redis, 100, requests=5, tokens=100)
    for _ in range(3):
        with pytest.raises(BudgetExceededError) as caught:
            await purse.reserve("ada", 60, 101, seconds=MINUTE)
    assert caught.value.headers["x-ratelimit-remaining-requests"] == "5"
    hold = await purse.reserve("ada", 60, 100, seconds=MINUTE)

    assert hold.lease.headers["x-ratelimit-remaining-requests"] == "4"
    assert hold.lease.headers["x-ratelimit-remaining-tokens"] == "40"


async def test_who_is_refused_by_a_limit_has_no_money_reserved(redis: Redis) -> None:
    purse = ledger(redis, 1_000, requests=2, tokens=100)
    with pytest.raises(RequestTooExpensiveError):
        await purse.reserve("ada", 101, 100, seconds=MINUTE)
    await purse.reserve("ada", 60, 100, seconds=MINUTE)
    with pytest.raises(RateLimitExceededError):
        await purse.reserve("ada", 60, 100, seconds=MINUTE)
    await purse.reserve("ada", 0, 100, seconds=MINUTE)
    with pytest.raises(RateLimitExceededError):
        await purse.reserve("ada", 0, 100, seconds=MINUTE)

    assert await standing(purse) == (0, 200, 800)


async def test_settling_gives_unused_tokens_back_to_the_limit(redis: Redis) -> None:
    purse = ledger(redis, 1_000, tokens=100)
    for used in (30, 130):  # of 100 reserved, and of 70: beyond is owed
        hold = await purse.reserve("ada", 100 if used == 30 else 70, 1, seconds=MINUTE)
        await purse.settle(hold, used, 1)
    with pytest.raises(RateLimitExceededError) as caught:
        await purse.reserve("ada", 1, 1, seconds=MINUTE)

    assert caught.value.retry_after == pytest.approx(36.6, abs=0.5)


async def test_what_cost_more_than_was_reserved_is_a_debt(redis: Redis) -> None:
    purse = ledger(redis, 1_000)
    hold = await purse.reserve("ada", 1, 900, seconds=MINUTE)
    await purse.settle(hold, 1, 1_200)
    assert await standing(purse) == (1_200, 0, -200)
    with pytest.raises(BudgetExceededError, match="0 USD of the budget"):
        await purse.reserve("ada", 1, 0, seconds=MINUTE)
    topped_up = ledger(redis, 1_500)
    await topped_up.reserve("ada", 1, 300, seconds=MINUTE)

    assert await standing(topped_up) == (1_200, 300, 0)


async def test_callers_do_not_share_a_budget(redis: Redis) -> None:
    purse = ledger(redis, 100)
    await purse.reserve("ada", 1, 100, seconds=MINUTE)
    await purse.reserve("bob", 1, 100, seconds=MINUTE)
    with pytest.raises(BudgetExceededError):
        await purse.reserve("ada", 1, 1, seconds=MINUTE)


async def test_what_a_crashed_process_had_reserved_lapses(redis: Redis) -> None:
    await ledger(redis, 100).reserve("ada", 1, 100, seconds=0)
    other = ledger(redis, 100)
    hold = await other.reserve("ada", 1, 100, seconds=MINUTE)
    await other.settle(hold, 1, 40)

    assert await standing(other) == (40, 0, 60)


async def test_a_hold_does_not_lapse_before_its_time(redis: Redis) -> None:
    purse = ledger(redis, 100)
    await purse.reserve("ada", 1, 100, seconds=MINUTE)
    with pytest.raises(BudgetExceededError):
        await purse.reserve("ada", 1, 100, seconds=MINUTE)


async def test_a_call_that_outlived_its_hold_still_pays_once(redis: Redis) -> None:
    purse = ledger(redis, 100)
    hold = await purse.reserve("ada", 1, 60, seconds=0)
    assert await standing(purse) == (0, 0, 100)
    for _ in range(2):
        await purse.settle(hold, 1, 60)

    assert await standing(purse) == (60, 0, 40)


async def test_a_hold_that_nobody_settled_is_forgotten_after_a_day(
    redis: Redis,
) -> None:
    purse = ledger(redis, 100)
    hold = await purse.reserve("ada", 1, 60, seconds=0)
    assert hold.id is not None
    await standing(purse)
    (account,) = await redis.keys("ledger:*}")
    (lapses,) = await redis.keys("ledger:*:holds")
    for hours, known in ((23, True), (1, False)):
        await redis.zincrby(lapses, -hours * 60 * 60 * 1000, hold.id)
        assert await standing(purse) == (0, 0, 100)
        assert await redis.hexists(account, hold.id) == known

    assert not await redis.exists(lapses)


async def test_settling_twice_charges_and_refunds_once(redis: Redis) -> None:
    purse = ledger(redis, 1_000, tokens=100)
    hold = await purse.reserve("ada", 80, 600, seconds=MINUTE)
    await purse.reserve("ada", 20, 100, seconds=MINUTE)
    for _ in range(2):
        await purse.settle(hold, 40, 250)
    again = await purse.reserve("ada", 40, 0, seconds=MINUTE)

    assert await standing(purse) == (250, 100, 650)
    assert again.lease.headers["x-ratelimit-remaining-tokens"] == "0"


async def test_nothing_but_the_sums_is_kept(redis: Redis) -> None:
    purse = ledger(redis, 1_000)
    for _ in range(3):
        hold = await purse.reserve("ada", 5, 100, seconds=MINUTE)
        await purse.settle(hold, 0, 70)
    (account,) = await redis.keys("ledger:*")

    assert await redis.hgetall(account) == {"spent": "210", "reserved": "0"}
    assert await redis.ttl(account) == -1


async def test_all_keys_of_a_caller_are_in_one_slot_and_do_not_name_it(
    redis: Redis,
) -> None:
    purse = ledger(redis, 1_000, requests=10, tokens=100)
    await purse.reserve("ada", 5, 100, seconds=MINUTE)
    keys = [str(key) for key in await redis.keys("*")]

    assert len(keys) == 4
    assert len({re.findall(r"\{(.+)\}", key)[0] for key in keys}) == 1
    assert "ada" not in "".join(keys)


async def test_a_caller_without_a_budget_never_touches_the_money(redis: Redis) -> None:
    purse = ledger(redis, 0)
    hold = await purse.reserve("eve", 5, 10**9, seconds=MINUTE)
    await purse.settle(hold, 3, 10**9)

    assert await purse.account("eve") is None
    assert await redis.keys("ledger:*") == []
    assert hold.lease.headers["x-ratelimit-remaining-tokens"] == str(MANY - 5)


async def test_a_model_without_a_price_costs_nothing(redis: Redis) -> None:
    purse = ledger(redis, 0)
    hold = await purse.reserve(
        "ada", 5, PRICES.cost_of("llama-3", 5, 5), seconds=MINUTE
    )
    await purse.settle(hold, 3, PRICES.cost_of("llama-3", 3, 3))

    assert await standing(purse) == (0, 0, 0)
    assert await redis.keys("ledger:*") == []


# The wire to Redis, as a test wants it


@dataclass
class Wire:
    """Counts what is sent; loses the next answers, or holds them back, if told."""

    sent: int = 0
    keep: int = 0  # answers that come through before any is lost
    lose: int = 0
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    go_on: asyncio.Event = field(default_factory=asyncio.Event)
    hold_back: bool = False
    on_send: Callable[[], None] = lambda: None

    async def answered(self) -> None:
        """Redis has answered: what becomes of that?"""
        if self.hold_back:
            self.hold_back = False
            self.arrived.set()
            await self.go_on.wait()
        if self.lose and self.keep:
            self.keep -= 1
        elif self.lose:
            self.lose -= 1
            raise RedisConnectionError("the answer was lost")


@asynccontextmanager
async def over_a_wire(redis: Redis) -> AsyncIterator[tuple[Redis, Wire]]:
    """Another client of the same Redis, over a `Wire`."""
    base, wire = redis.connection_pool.connection_class, Wire()

    async def send(self: Any, *args: Any, **given: Any) -> None:
        wire.sent += 1
        wire.on_send()
        await base.send_packed_command(self, *args, **given)

    async def read(self: Any, *args: Any, **given: Any) -> Any:
        answer = await base.read_response(self, *args, **given)
        try:
            await wire.answered()
        except BaseException:
            await self.disconnect(nowait=True)
            raise
        return answer

    wired = type("Wired", (base,), {"send_packed_command": send, "read_response": read})
    options = {**redis.connection_pool.connection_kwargs, "connection_class": wired}
    async with Redis.from_pool(ConnectionPool(**options)) as client:
        yield client, wire


def unplugged() -> None:
    """Nothing gets through."""
    raise RedisConnectionError("no way through")


# (The first step of each kind also loads its script.)


async def test_limits_and_money_are_one_round_trip(redis: Redis) -> None:
    async with over_a_wire(redis) as (client, wire):
        purse = ledger(client, 1_000)
        await purse.release(await purse.reserve("ada", 0, 0, seconds=MINUTE))
        before = wire.sent
        hold = await purse.reserve("ada", 5, 10, seconds=MINUTE)
        assert wire.sent == before + 1
        await purse.settle(hold, 3, 10)

        assert wire.sent == before + 2


async def test_steps_whose_answers_are_lost_count_once(redis: Redis) -> None:
    async with over_a_wire(redis) as (client, wire):
        purse = ledger(client, 1_000, requests=10, tokens=100)
        await purse.release(await purse.reserve("ada", 0, 0, seconds=MINUTE))
        before, wire.lose = wire.sent, 1
        hold = await purse.reserve("ada", 60, 600, seconds=MINUTE)
        assert await standing(purse) == (0, 600, 400)
        assert hold.lease.headers["x-ratelimit-remaining-requests"] == "8"
        assert hold.lease.headers["x-ratelimit-remaining-tokens"] == "40"
        wire.lose = 1
        await purse.settle(hold, 50, 250)
        last = await purse.reserve("ada", 50, 0, seconds=MINUTE)

        assert wire.lose == 0
        assert wire.sent > before + 3  # they were tried again
        assert await standing(purse) == (250, 0, 750)
        assert last.lease.headers["x-ratelimit-remaining-tokens"] == "0"


async def test_a_reservation_of_which_nothing_was_heard_is_given_back(
    redis: Redis,
) -> None:
    async with over_a_wire(redis) as (client, wire):
        purse = ledger(client, 1_000)
        await purse.release(await purse.reserve("ada", 0, 0, seconds=MINUTE))
        wire.lose = 2  # also the answer to the second try
        with pytest.raises(NotReadyError):
            await purse.reserve("ada", 60, 600, seconds=MINUTE)
        assert await standing(ledger(redis, 1_000)) == (0, 600, 400)

        await purse.reserve("ada", 60, 1_000, seconds=MINUTE)


async def test_a_charge_of_which_nothing_was_heard_is_told_again(redis: Redis) -> None:
    async with over_a_wire(redis) as (client, wire):
        purse = ledger(client, 1_000)
        hold = await purse.reserve("ada", 60, 600, seconds=MINUTE)
        wire.lose = 2
        await purse.settle(hold, 60, 250)

        assert await standing(purse) == (250, 0, 750)


async def test_what_was_not_heard_is_told_again_without_another_call(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("examples.full_app.limits.ledger.RESEND_SECONDS", 0.01)
    async with over_a_wire(redis) as (client, wire):
        purse, elsewhere = ledger(client, 1_000), ledger(redis, 1_000)
        async with purse.sending_unsent():
            hold = await purse.reserve("ada", 60, 600, seconds=MINUTE)
            wire.on_send = unplugged
            await purse.settle(hold, 60, 250)
            assert await standing(elsewhere) == (0, 600, 400)
            wire.on_send = lambda: None
            async with asyncio.timeout(10):
                while await standing(elsewhere) != (250, 0, 750):
                    pass


async def test_what_was_not_heard_is_told_before_the_process_ends(
    redis: Redis,
) -> None:
    async with over_a_wire(redis) as (client, wire):
        purse = ledger(client, 1_000)
        async with purse.sending_unsent():
            holds = [
                await purse.reserve("ada", 1, 300, seconds=MINUTE) for _ in range(2)
            ]
            wire.on_send = unplugged
            await purse.settle(holds[0], 1, 250)
            wire.on_send = lambda: None
            purse.settle(holds[1], 1, 100)

        assert await standing(ledger(redis, 1_000)) == (350, 0, 650)


async def test_an_outage_leaves_no_more_to_tell_than_it_interrupted(
    redis: Redis,
) -> None:
    async with over_a_wire(redis) as (client, wire):
        purse = ledger(client, 1_000)
        await purse.release(await purse.reserve("ada", 0, 0, seconds=MINUTE))
        wire.lose = MANY
        for _ in range(20):
            with pytest.raises(NotReadyError):
                await purse.reserve("ada", 1, 1, seconds=MINUTE)
        wire.lose, before = 0, wire.sent

        assert await standing(purse) == (0, 0, 1_000)
        assert wire.sent - before < 10


async def test_calls_refused_in_an_outage_leave_little_to_send_and_few_lines(
    redis: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    async with over_a_wire(redis) as (client, wire):
        purse = ledger(client, 1_000_000)
        holds = [await purse.reserve("ada", 1, 10, seconds=MINUTE) for _ in range(250)]
        wire.hold_back = True
        purse.scripts.timeout = 0.05
        outcomes = await refused_at_once(purse, 300)
        for hold in holds:
            purse.settle(hold, 1, 7)
        outcomes += await refused_at_once(purse, 300)
        purse.scripts.timeout = 60
        wire.go_on.set()
        await purse.scripts.idle()
        before = wire.sent
        await purse.send_unsent()
        sent = wire.sent - before

        assert all(isinstance(each, NotReadyError) for each in outcomes)
        assert sent <= 12  # batches of 100: 300 releases, twice, and 250 settlements
        assert await standing(purse) == (1_750, 0, 998_250)
        lines = [record.getMessage() for record in caplog.records]
        assert len(lines) == len(set(lines))  # one for each message


async def refused_at_once(purse: Ledger, count: int) -> list[object]:
    """What as many reservations at once raise."""
    steps = [purse.reserve("ada", 1, 1, seconds=MINUTE) for _ in range(count)]
    return list(await asyncio.gather(*steps, return_exceptions=True))


async def test_who_leaves_while_money_is_reserved_has_none_reserved(
    redis: Redis,
) -> None:
    async with over_a_wire(redis) as (client, wire):
        purse = ledger(client, 1_000, tokens=100)
        await purse.release(await purse.reserve("ada", 0, 0, seconds=MINUTE))
        wire.hold_back = True
        reserving = asyncio.create_task(purse.reserve("ada", 60, 600, seconds=MINUTE))
        await wire.arrived.wait()
        other = ledger(redis, 1_000, tokens=100)
        assert await standing(other) == (0, 600, 400)
        reserving.cancel()
        wire.go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await reserving

        assert await standing(other) == (0, 0, 1_000)
        await other.reserve("ada", 100, 0, seconds=MINUTE)


# Redis away

Step = Callable[[Ledger], Awaitable[object]]


async def reserve(purse: Ledger) -> Hold:
    """Something that costs."""
    return await purse.reserve("ada", 1, 1, seconds=MINUTE)


async def read(purse: Ledger) -> Account | None:
    """Where `ada` stands."""
    return await purse.account("ada")


@pytest.mark.parametrize("step", [reserve, read])
async def test_a_redis_that_is_away_closes_the_money(step: Step) -> None:
    url = f"redis://127.0.0.1:{free_port()}"
    async with open_redis(settings(redis_url=url)) as away:
        with pytest.raises(NotReadyError) as caught:
            await step(ledger(away, 1_000))

    assert (caught.value.status_code, caught.value.retryable) == (503, True)


async def test_a_redis_that_is_away_is_no_matter_without_a_budget_or_a_price() -> None:
    url = f"redis://127.0.0.1:{free_port()}"
    async with open_redis(settings(redis_url=url)) as away:
        purse = ledger(away, 1_000)
        for subject, cost in (("eve", 1_000), ("ada", None)):
            hold = await purse.reserve(subject, 1, cost, seconds=MINUTE)
            await purse.settle(hold, 1, cost)


async def test_a_redis_that_does_not_answer_is_waited_for_no_longer_than_said(
    tmp_path: Path,
) -> None:
    """`ping` waits for as long as the connection does, at least a second."""
    with running_redis(tmp_path) as (url, server):
        async with open_redis(settings(redis_url=url)) as client:
            purse = ledger(client, 1_000, timeout=0.1)
            held = await reserve(purse)
            server.send_signal(signal.SIGSTOP)  # its connections stay open
            ping = asyncio.create_task(outcome(client.ping()))
            with pytest.raises(NotReadyError):
                await reserve(purse)
            with pytest.raises(NotReadyError):
                await read(purse)
            await purse.settle(held, 1, 700)
            free = await purse.reserve("eve", 1, 1_000, seconds=MINUTE)
            await purse.settle(free, 9, 1_000)
            assert not ping.done()
            server.send_signal(signal.SIGCONT)
            assert not isinstance(await outcome(client.ping()), RedisError)
            await ping
            await purse.send_unsent()

            assert await standing(ledger(client, 1_000)) == (700, 0, 300)


async def outcome(work: Awaitable[object]) -> object:
    """What `work` returns, or the RedisError that it raises."""
    try:
        return await work
    except RedisError as error:
        return error


# Any sequence of steps

amounts = st.integers(0, 600)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("reserve"), amounts),
        st.tuples(st.just("crash"), amounts),
        st.tuples(st.just("settle"), st.integers(0, 9), amounts),
        st.tuples(st.just("release"), st.integers(0, 9)),
    ),
    max_size=15,
)


@given(steps)
@effort(
    max_examples=25,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_the_sum_balances_after_any_sequence_of_steps(
    redis_url: str | None, script: list[tuple[Any, ...]]
) -> None:
    asyncio.run(play(redis_url, script))


async def play(redis_url: str | None, script: list[tuple[Any, ...]]) -> None:
    """Do what the script says and hold the ledger against plain arithmetic."""
    budget, spent = 1_000, 0
    held: dict[int, int] = {}  # what each hold reserves, as long as it does
    holds: list[Hold | None] = []
    apart = redis_url and f"{redis_url}/6"
    subject = f"caller {next(names)}"
    async with open_redis(settings(redis_url=apart)) as client:
        limits = RateLimit("requests", MANY), RateLimit("tokens", MANY)
        purse = Ledger(Limiter(client, *limits), {subject: budget})
        for verb, *numbers in script:
            if verb in {"reserve", "crash"}:
                lives = MINUTE if verb == "reserve" else 0
                try:
                    hold = await purse.reserve(subject, 1, numbers[0], seconds=lives)
                except BudgetExceededError:
                    assert numbers[0] > budget - spent - sum(held.values())
                else:
                    assert numbers[0] <= budget - spent - sum(held.values())
                    if verb == "reserve":
                        held[len(holds)] = numbers[0]
                    holds.append(hold)
            elif numbers[0] < len(holds) and (ended := holds[numbers[0]]) is not None:
                cost = numbers[1] if verb == "settle" else 0
                await purse.settle(ended, 1, cost)
                spent += cost
                held.pop(numbers[0], None)
                await purse.settle(ended, 1, cost)  # tried again
                holds[numbers[0]] = None
            reserved = sum(held.values())
            left = budget - spent - reserved
            assert await standing(purse, subject) == (spent, reserved, left)
        for last in filter(None, holds):
            await purse.release(last)
        assert await standing(purse, subject) == (spent, 0, budget - spent)
