"""Prices are settings, exact to the nano-USD; keys have models, periods and limits."""

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import httpx2
import pytest
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from redis.asyncio import Redis

from examples.full_app.limits.ledger import Ledger, ModelUsage
from examples.full_app.limits.rates import Limiter, RateLimit
from examples.full_app.main import create_app
from examples.full_app.money import (
    MILLION,
    ModelPrice,
    Price,
    Prices,
    as_usd,
    cached_tokens,
    nano_usd,
    period_bounds,
)
from examples.full_app.providers.base import CallContext, Delta
from examples.full_app.schemas.chat import ChatCompletionRequest
from examples.s2_models import Usage
from examples.s4_dependency_injection import open_redis
from tests.full_app.conftest import KEY, OTHER_KEY, settings
from tests.full_app.scripted import Scripted
from tests.servers import wait_until

CHAT = "/v1/chat/completions"
ASK: dict[str, Any] = {
    "model": "gpt-4o-mini",
    "messages": [{"role": "user", "content": "one two"}],
    "max_tokens": 50,
}
METERED = {"Authorization": f"Bearer {KEY}"}
FREE = {"Authorization": f"Bearer {OTHER_KEY}"}


class Metered(Scripted):
    """Reports the usage that it is told to."""

    usage = Usage(prompt_tokens=1000, completion_tokens=100)

    async def stream(
        self, request: ChatCompletionRequest, call: CallContext
    ) -> AsyncIterator[Delta | Usage]:
        """One word, and the usage."""
        yield Delta(content="hi")
        yield Delta(finish_reason="stop")
        yield self.usage


@contextmanager
def service(
    key: dict[str, Any] | None = None, **given_settings: object
) -> Iterator[tuple[TestClient, Metered]]:
    """A service with one key that is metered and one that is not."""
    keys = [
        {"name": "alpha", "key": KEY, "budget_usd": "1", **(key or {})},
        {"name": "beta", "key": OTHER_KEY},
    ]
    provider = Metered()
    app = create_app(settings(api_keys=keys, **given_settings), provider=provider)
    with TestClient(app, headers=METERED) as client:
        yield client, provider


def usage_of(client: TestClient, headers: dict[str, str] = METERED) -> dict[str, Any]:
    """What `GET /v1/usage` says, once nothing runs."""
    wait_until(
        lambda: (
            client.get("/v1/usage", headers=headers).json()["reserved_usd"]
            in ("0", None)
        ),
        what="the settlement",
    )
    found: dict[str, Any] = client.get("/v1/usage", headers=headers).json()
    return found


# --- Prices ---


@pytest.mark.parametrize(
    ("model", "per_million"),
    [
        ("gpt-4o", ("2.5", "1.25", "10")),
        ("gpt-4o-2024-08-06", ("2.5", "1.25", "10")),
        ("gpt-4o-mini", ("0.15", "0.075", "0.6")),
        ("gpt-4o-mini-2024-07-18", ("0.15", "0.075", "0.6")),
        ("text-embedding-3-small", ("0.02", "0.02", "0")),
        ("text-embedding-3-large", ("0.13", "0.13", "0")),
    ],
)
def test_well_known_models_have_prices(
    model: str, per_million: tuple[str, str, str]
) -> None:
    price = Prices().of(model)

    assert price is not None
    assert tuple(Decimal(as_usd(part)) for part in price) == tuple(
        map(Decimal, per_million)
    )


@pytest.mark.parametrize(
    "model", ["gpt-4o-audio", "gpt-4", "gpt-4o-mini-x", "GPT-4o", "", "gpt-4o-20240806"]
)
def test_a_name_that_only_resembles_one_has_no_price(model: str) -> None:
    assert Prices().of(model) is None


def test_a_name_goes_before_a_family_and_a_long_pattern_before_a_short_one() -> None:
    prices = Prices(
        {
            name: ModelPrice(input=Decimal(number))
            for number, name in enumerate(
                ("*", "pot/*", "pot/full-*", "pot/full-1", "gpt-4o", "a.b*")
            )
        }
    )
    found = {
        model: prices.of(model)
        for model in (
            *("cup", "pot/small", "pot/full-2", "pot/full-1", "pot/full-1-2026-01-31"),
            *("gpt-4o-2024-08-06", "aXb", "a.bc"),
        )
    }

    assert {
        model: price and price.input // nano_usd(Decimal(1))
        for model, price in found.items()
    } == {
        "cup": 0,
        "pot/small": 1,
        "pot/full-2": 2,
        "pot/full-1": 3,
        "pot/full-1-2026-01-31": 3,
        "gpt-4o-2024-08-06": 4,
        "aXb": 0,
        "a.bc": 5,
    }


COUNT = st.integers(0, 10**9)
NANO = st.integers(0, 10**15)


@given(COUNT, COUNT, st.integers(0, 100), NANO, NANO, NANO)
def test_a_cost_is_exact_and_rounded_up_once(
    prompt: int, completion: int, percent: int, first: int, cached: int, second: int
) -> None:
    from_cache = prompt * percent // 100
    cost = Price(first, cached, second).cost(prompt, completion, from_cache)
    exact = Fraction(
        (prompt - from_cache) * first + from_cache * cached + completion * second,
        MILLION,
    )

    assert exact <= cost < exact + 1


@pytest.mark.parametrize(
    ("further", "cached"),
    [
        ({}, 0),
        ({"prompt_tokens_details": {"cached_tokens": 800}}, 800),
        ({"prompt_tokens_details": {"cached_tokens": 1001}}, 1000),
        ({"prompt_tokens_details": {"cached_tokens": -1}}, 0),
        ({"prompt_tokens_details": {"cached_tokens": "800"}}, 0),
        ({"prompt_tokens_details": {"cached_tokens": True}}, 0),
        ({"prompt_tokens_details": {"cached_tokens": None}}, 0),
        ({"prompt_tokens_details": {}}, 0),
        ({"prompt_tokens_details": None}, 0),
        ({"prompt_tokens_details": [800]}, 0),
        ({"prompt_cache_hit_tokens": 300}, 300),
    ],
)
def test_cached_tokens_are_a_part_of_the_prompt_or_none(
    further: dict[str, Any], cached: int
) -> None:
    usage = Usage.model_validate(
        {"prompt_tokens": 1000, "completion_tokens": 1, **further}
    )

    assert cached_tokens(usage) == cached


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize(
    ("model", "cached", "spent"),
    [
        ("gpt-4o-2024-08-06", 800, "0.0025"),
        ("gpt-4o-mini", 0, "0.00021"),
        ("gpt-4o-mini", 1000, "0.000135"),
    ],
)
def test_cached_prompt_tokens_cost_their_own_rate(
    stream: bool, model: str, cached: int, spent: str
) -> None:
    with service() as (client, provider):
        provider.usage = Usage.model_validate(
            {
                "prompt_tokens": 1000,
                "completion_tokens": 100,
                "prompt_tokens_details": {"cached_tokens": cached},
            }
        )
        answer = client.post(CHAT, json={**ASK, "model": model, "stream": stream})
        usage = usage_of(client)

    assert answer.status_code == 200
    assert usage["spent_usd"] == spent
    if not stream:
        assert answer.json()["cost_usd"] == spent


def test_prices_are_settings_and_the_answer_says_what_was_charged(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    prices = {"pot/*": {"input": "0.0375", "cached_input": "0.01", "output": "1.5"}}
    monkeypatch.setenv("FULL_APP_PRICES", json.dumps(prices))
    with service() as (client, _):
        answer = client.post(CHAT, json={**ASK, "model": "pot/full-1"}).json()
        usage = usage_of(client)

    assert usage["spent_usd"] == answer["cost_usd"] == "0.0001875"


@pytest.mark.parametrize(
    "price",
    [{}, {"input": -1}, {"input": "1e-10"}, {"input": 1, "cached": 1}, {"output": 1}],
)
def test_a_price_that_is_none_is_refused_at_start(price: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        settings(prices={"pot": price})


# --- Models without a price ---


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_a_key_with_a_budget_may_not_call_a_model_without_a_price(
    stream: bool,
) -> None:
    with service() as (client, _):
        ask = {**ASK, "model": "pot/unpriced-1", "stream": stream}
        refusal = client.post(CHAT, json=ask)
        allowed = client.post(CHAT, json=ask, headers=FREE)

    assert (refusal.status_code, refusal.json()["code"]) == (403, "model_not_priced")
    assert refusal.headers["x-should-retry"] == "false"
    assert refusal.json()["error"]["param"] == "model"
    assert allowed.status_code == 200


def test_embeddings_of_a_model_without_a_price_are_refused_too() -> None:
    with service() as (client, _):
        body = {"model": "pot/vectors", "input": "hi"}
        assert client.post("/v1/embeddings", json=body).status_code == 403


def test_a_setting_makes_models_without_a_price_free() -> None:
    with service(unpriced_models="free") as (client, _):
        assert client.post(CHAT, json={**ASK, "model": "pot"}).status_code == 200
        assert usage_of(client)["spent_usd"] == "0"


def test_what_this_process_answers_itself_costs_a_budget_nothing() -> None:
    with service() as (client, _):
        answer = client.post(CHAT, json={**ASK, "model": "offline-echo"})
        usage = usage_of(client)

    assert answer.status_code == 200
    assert (usage["spent_usd"], usage["models"][0]["spent_usd"]) == ("0", "0")


# --- What a key may use ---


def test_a_key_uses_its_own_models_only_and_sees_no_other() -> None:
    with service({"models": ["gpt-4o*", "offline-echo"]}) as (client, _):
        allowed = client.post(CHAT, json={**ASK, "model": "gpt-4o-mini"})
        refusal = client.post(CHAT, json={**ASK, "model": "offline-poet"})
        vectors = client.post("/v1/embeddings", json={"model": "x", "input": "hi"})
        listed = {model["id"] for model in client.get("/v1/models").json()["data"]}
        hidden = client.get("/v1/models/fault-429")
        usage = usage_of(client)

    assert allowed.status_code == 200
    for answer in (refusal, vectors):
        assert (answer.status_code, answer.json()["code"]) == (403, "model_not_allowed")
        assert answer.headers["x-should-retry"] == "false"
    assert "offline-echo" in listed
    assert not any(name.startswith("fault-") for name in listed)
    assert hidden.status_code == 404
    assert usage["allowed_models"] == ["gpt-4o*", "offline-echo"]


@pytest.mark.parametrize(
    ("model", "code"),
    [("offline-poet", "model_not_allowed"), ("gpt-4o-free", "model_not_priced")],
)
def test_a_job_with_a_model_that_its_key_may_not_use_is_refused_as_chat_does(
    model: str, code: str
) -> None:
    with service({"models": ["gpt-4o*"]}) as (client, provider):
        batch = [ASK, ASK, {**ASK, "model": model}]
        refusal = client.post("/v1/jobs", json={"requests": batch})
        chat = client.post(CHAT, json=batch[2])
        listed = client.get("/v1/jobs").json()["data"]
        elsewhere = client.post("/v1/jobs", json={"requests": batch}, headers=FREE)

    assert (refusal.status_code, refusal.json()["code"]) == (403, code)
    assert (chat.status_code, chat.json()["code"]) == (403, code)
    assert refusal.json()["error"]["param"] == "requests[2].model"
    assert refusal.headers["x-should-retry"] == "false"
    assert listed == []
    assert provider.started == 0
    assert elsewhere.status_code == 202


def test_a_key_has_limits_of_its_own_and_headers_that_say_so() -> None:
    own = {
        "requests_per_minute": 2,
        "tokens_per_minute": 5_000,
        "concurrent_calls_per_key": 3,
    }
    with service(own) as (client, _):
        answers = [client.post(CHAT, json=ASK) for _ in range(3)]
        other = client.post(CHAT, json=ASK, headers=FREE)
        usage = usage_of(client)
        too_much = client.post(CHAT, json={**ASK, "max_tokens": 6_000})

    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert answers[0].headers["x-ratelimit-limit-requests"] == "2"
    assert answers[0].headers["x-ratelimit-limit-tokens"] == "5000"
    assert '"requests";q=2;w=60' in answers[0].headers["ratelimit-policy"]
    assert other.headers["x-ratelimit-limit-requests"] == "6000"
    assert too_much.status_code == 413
    assert usage["limits"] == {
        "requests_per_minute": 2,
        "tokens_per_minute": 5_000,
        "concurrent_calls": 3,
    }


async def test_a_key_has_as_many_slots_as_it_was_given() -> None:
    app = create_app(
        settings(
            api_keys=[{"name": "alpha", "key": KEY, "concurrent_calls_per_key": 1}],
            job_worker=False,
        )
    )
    async with app.router.lifespan_context(app) as state:
        ledger = dict(state or {})["limits"].ledger
        first = await ledger.limiter.reserve("key:alpha", 1)
        with pytest.raises(Exception, match="You run 1 calls") as refused:
            await ledger.limiter.reserve("key:alpha", 1)
        await ledger.limiter.reserve("key:beta", 1)
        await ledger.limiter.settle(first, 1)
        await ledger.limiter.reserve("key:alpha", 1)

    assert getattr(refused.value, "status_code", None) == 429


# --- Periods ---


@dataclass
class Clock:
    """A clock that a test sets."""

    now: datetime

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
async def redis() -> AsyncIterator[Redis]:
    async with open_redis(settings(redis_url=None)) as client:
        yield client


def purse(redis: Redis, clock: Clock, period: Any) -> Ledger:
    """A ledger in which ada may spend 100 nano-USD for each period."""
    limiter = Limiter(redis, RateLimit("requests", 10**6), RateLimit("tokens", 10**9))
    return Ledger(limiter, {"ada": 100}, {"ada": period}, clock)


@pytest.mark.parametrize(
    ("period", "began", "again"),
    [
        ("day", datetime(2026, 12, 31, 23, 59, tzinfo=UTC), timedelta(minutes=1)),
        ("month", datetime(2026, 12, 1, tzinfo=UTC), timedelta(days=31)),
        ("month", datetime(2028, 2, 29, 23, 0, tzinfo=UTC), timedelta(hours=1)),
    ],
)
async def test_a_budget_begins_anew_with_its_period_and_not_before(
    redis: Redis, period: str, began: datetime, again: timedelta
) -> None:
    clock = Clock(began)
    ledger = purse(redis, clock, period)
    hold = await ledger.reserve("ada", 1, 100, seconds=60)
    await ledger.settle(hold, 1, 100)
    clock.now = began + again - timedelta(microseconds=1)
    before = await ledger.account("ada")
    clock.now = began + again
    after = await ledger.account("ada")
    await ledger.reserve("ada", 1, 100, seconds=60)

    assert before is not None
    assert after is not None
    assert (before.left, after.left) == (0, 100)


async def test_a_call_is_charged_to_the_period_in_which_it_began(redis: Redis) -> None:
    clock = Clock(datetime(2026, 11, 28, 23, 59, tzinfo=UTC))
    ledger = purse(redis, clock, "day")
    hold = await ledger.reserve("ada", 1, 60, seconds=60)
    clock.now += timedelta(minutes=2)
    await ledger.settle(hold, 1, 50)
    today = await ledger.account("ada")
    clock.now -= timedelta(minutes=2)
    yesterday = await ledger.account("ada")

    assert today is not None
    assert yesterday is not None
    assert (today.spent, today.reserved) == (0, 0)
    assert (yesterday.spent, yesterday.reserved) == (50, 0)


async def test_what_a_period_has_left_behind_does_not_stay_for_ever(
    redis: Redis,
) -> None:
    ledger = purse(redis, Clock(datetime(2026, 11, 28, tzinfo=UTC)), "day")
    hold = await ledger.reserve("ada", 1, 60, seconds=60)
    ledger.count("ada", "pot", ModelUsage(1, 2, 0, 3, 60), hold.account)
    await ledger.write_counts()
    names = await redis.keys("ledger:*2026-11-28*")
    ages = [await redis.ttl(name) for name in names]

    assert len(names) == 3
    assert all(86_400 < age <= 3 * 86_400 for age in ages)


@given(st.datetimes(timezones=st.just(UTC)).filter(lambda it: it.year < 9999))
def test_periods_follow_one_another_without_a_gap(now: datetime) -> None:
    for period in ("day", "month"):
        began, ends = period_bounds(period, now)
        assert began <= now < ends
        assert period_bounds(period, ends)[0] == ends
        assert period_bounds(period, began) == (began, ends)


def test_a_period_without_a_budget_is_refused_at_start() -> None:
    with pytest.raises(ValidationError, match="budget_usd"):
        settings(api_keys=[{"name": "a", "key": KEY, "budget_period": "day"}])


# --- What /v1/usage says ---


def test_usage_says_what_each_model_has_cost_and_it_adds_up() -> None:
    with service({"budget_period": "month"}) as (client, provider):
        for model in ("gpt-4o", "gpt-4o-mini", "gpt-4o"):
            client.post(CHAT, json={**ASK, "model": model}).raise_for_status()
        provider.usage = Usage(prompt_tokens=0, completion_tokens=0)
        client.post(CHAT, json=ASK)
        usage = usage_of(client)
        other = usage_of(client, FREE)

    assert [entry["model"] for entry in usage["models"]] == ["gpt-4o", "gpt-4o-mini"]
    assert usage["models"][0] == {
        "model": "gpt-4o",
        "requests": 2,
        "prompt_tokens": 2000,
        "cached_tokens": 0,
        "completion_tokens": 200,
        "spent_usd": "0.007",
    }
    total = sum(Decimal(entry["spent_usd"]) for entry in usage["models"])
    assert total == Decimal(usage["spent_usd"]) == Decimal("0.00721")
    assert (usage["key"], usage["budget_period"]) == ("alpha", "month")
    began, ends = period_bounds("month", datetime.now(UTC))
    assert usage["period_started_at"] == int(began.timestamp())
    assert usage["period_ends_at"] == int(ends.timestamp())
    assert (other["key"], other["models"]) == ("beta", [])


def test_what_a_key_without_a_budget_uses_is_counted_too() -> None:
    with service() as (client, _):
        client.post(CHAT, json=ASK, headers=FREE).raise_for_status()
        usage = usage_of(client, FREE)

    assert usage["models"][0]["spent_usd"] == "0.00021"


async def test_no_caller_can_make_up_counts_without_end(redis: Redis) -> None:
    ledger = purse(redis, Clock(datetime(2026, 11, 28, tzinfo=UTC)), "day")
    for number in range(300):
        ledger.count("ada", f"m{number}", ModelUsage(1, 1, 0, 1, 1), "")
    found = await ledger.used("ada")

    assert len(found) == 201
    assert found["other"].requests == 100
    assert sum(used.spent for used in found.values()) == 300


async def test_counts_that_redis_did_not_take_are_written_later(redis: Redis) -> None:
    ledger = purse(redis, Clock(datetime(2026, 11, 28, tzinfo=UTC)), "day")
    ledger.count("ada", "pot", ModelUsage(1, 2, 1, 3, 4), "")
    good = ledger.scripts
    lost = Redis(host="127.0.0.1", port=1)
    ledger.scripts = type(good)(lost)
    await ledger.write_counts()
    await lost.aclose()
    ledger.scripts = good
    ledger.count("ada", "pot", ModelUsage(1, 2, 1, 3, 4), "")

    assert (await ledger.used("ada"))["pot"] == ModelUsage(2, 4, 2, 6, 8)


def test_usage_is_an_answer_of_the_api(http: httpx2.Client) -> None:
    answer = http.get("/v1/usage").json()

    assert answer["limits"]["requests_per_minute"] == 6_000
    assert isinstance(answer["models"], list)
