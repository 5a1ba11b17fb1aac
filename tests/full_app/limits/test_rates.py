"""Limits that are exact, and headers that are true."""

import asyncio
import dataclasses
import re
from collections.abc import AsyncIterator

import httpx2
import pytest
from fastapi.testclient import TestClient
from redis.asyncio import Redis

from examples.full_app.limits.rates import (
    Limiter,
    RateLimit,
    RequestTooExpensiveError,
    management_limit,
)
from examples.full_app.main import create_app
from examples.s4_dependency_injection import open_redis
from examples.s5_error_handling import RateLimitExceededError
from tests.full_app.conftest import KEY, OTHER_KEY, settings
from tests.servers import free_port, serve

MANY = 1_000_000
ASK = {
    "model": "offline-echo",
    "messages": [{"role": "user", "content": "hi"}],
    "max_tokens": 10,
}


@pytest.fixture
async def redis(redis_url: str | None) -> AsyncIterator[Redis]:
    apart = redis_url and f"{redis_url}/2"  # no other test's keys are flushed
    async with open_redis(settings(redis_url=apart)) as client:
        await client.flushdb()
        yield client


def limiter(redis: Redis, *, requests: int = MANY, tokens: int = MANY) -> Limiter:
    return Limiter(
        redis, RateLimit("requests", requests, 60), RateLimit("tokens", tokens, 60)
    )


async def admitted(limiter: Limiter, tries: int, tokens: int) -> int:
    """How many of `tries` calls at once get in."""

    async def one() -> bool:
        try:
            await limiter.reserve("someone", tokens)
        except RateLimitExceededError:
            return False
        return True

    return sum(await asyncio.gather(*(one() for _ in range(tries))))


async def test_of_many_at_once_exactly_the_limit_gets_in(redis: Redis) -> None:
    assert await admitted(limiter(redis, requests=20), 100, 1) == 20


async def test_tokens_are_a_limit_of_their_own(redis: Redis) -> None:
    assert await admitted(limiter(redis, tokens=1000), 50, 100) == 10


async def test_who_is_refused_for_tokens_has_not_spent_a_request(redis: Redis) -> None:
    tight = limiter(redis, requests=5, tokens=100)
    await tight.reserve("someone", 100)
    for _ in range(3):
        with pytest.raises(RateLimitExceededError):
            await tight.reserve("someone", 100)
    lease = await limiter(redis, requests=5).reserve("someone", 0)

    assert lease.headers["x-ratelimit-remaining-requests"] == "3"


async def test_callers_do_not_share_a_limit(redis: Redis) -> None:
    tight = limiter(redis, requests=1)
    await tight.reserve("one", 1)
    await tight.reserve("another", 1)
    with pytest.raises(RateLimitExceededError):
        await tight.reserve("one", 1)


async def test_what_was_reserved_and_not_used_is_given_back(redis: Redis) -> None:
    tight = limiter(redis, tokens=100)
    lease = await tight.reserve("someone", 100)
    await tight.settle(lease, 30)

    again = await tight.reserve("someone", 70)
    assert again.headers["x-ratelimit-remaining-tokens"] == "0"


async def test_what_was_used_beyond_is_owed(redis: Redis) -> None:
    tight = limiter(redis, tokens=100)
    lease = await tight.reserve("someone", 10)
    await tight.settle(lease, 150)
    with pytest.raises(RateLimitExceededError) as caught:
        await tight.reserve("someone", 1)

    assert caught.value.retry_after == pytest.approx(30.6, abs=0.5)


@pytest.mark.wire
async def test_who_waits_as_long_as_told_gets_in(redis: Redis) -> None:
    tight = Limiter(redis, RateLimit("requests", 2, 1), RateLimit("tokens", MANY, 1))
    for _ in range(2):
        await tight.reserve("someone", 1)
    with pytest.raises(RateLimitExceededError) as caught:
        await tight.reserve("someone", 1)
    assert caught.value.retry_after is not None
    await asyncio.sleep(caught.value.retry_after)

    await tight.reserve("someone", 1)


async def test_more_than_a_window_holds_is_refused_for_good(redis: Redis) -> None:
    with pytest.raises(RequestTooExpensiveError) as caught:
        await limiter(redis, tokens=100).reserve("someone", 101)

    assert (caught.value.status_code, caught.value.retryable) == (413, False)


async def test_a_redis_that_is_away_lets_requests_pass() -> None:
    url = f"redis://127.0.0.1:{free_port()}"
    async with open_redis(settings(redis_url=url)) as away:
        lease = await limiter(away, requests=1).reserve("someone", 1)
        await limiter(away).settle(lease, 5)

    assert lease.headers == {}


def test_the_headers_say_where_a_caller_stands(redis_url: str | None) -> None:
    app = create_app(
        settings(redis_url=redis_url, requests_per_minute=2, tokens_per_minute=1000)
    )
    other = {"Authorization": f"Bearer {OTHER_KEY}"}
    with (
        serve(app) as url,
        httpx2.Client(base_url=url, headers={"Authorization": f"Bearer {KEY}"}) as http,
    ):
        first, second, refused = (
            http.post("/v1/chat/completions", json={**ASK, "stream": stream})
            for stream in (False, True, False)
        )
        elsewhere = http.post("/v1/chat/completions", json=ASK, headers=other)

    assert (
        first.headers["ratelimit-policy"] == '"requests";q=2;w=60, "tokens";q=1000;w=60'
    )
    assert first.headers["x-ratelimit-limit-requests"] == "2"
    assert first.headers["x-ratelimit-remaining-requests"] == "1"
    assert second.headers["x-ratelimit-remaining-requests"] == "0"
    assert refused.status_code == 429
    assert refused.json()["code"] == "rate_limit_exceeded"
    assert refused.headers["x-should-retry"] == "true"
    seconds, ms = refused.headers["retry-after"], refused.headers["retry-after-ms"]
    assert int(seconds) * 1000 >= int(ms) > (int(seconds) - 1) * 1000 > 0
    assert re.fullmatch(
        r"(\d+m)?[\d.]+s|\d+ms", first.headers["x-ratelimit-reset-requests"]
    )
    assert elsewhere.status_code == 200


async def test_managing_jobs_and_webhooks_has_a_limit_of_its_own(
    redis_url: str | None,
) -> None:
    app = create_app(settings(redis_url=redis_url and f"{redis_url}/3"))
    few = dataclasses.replace(management_limit, requests=2)
    app.dependency_overrides[management_limit] = few
    with TestClient(app, headers={"Authorization": f"Bearer {KEY}"}) as http:
        answers = [http.get(path) for path in ("/v1/jobs", "/v1/webhooks", "/v1/jobs")]
        chat = http.post("/v1/chat/completions", json=ASK)

    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert answers[2].json()["code"] == "rate_limit_exceeded"
    assert 0 < int(answers[2].headers["retry-after"]) <= 30
    assert chat.status_code == 200
