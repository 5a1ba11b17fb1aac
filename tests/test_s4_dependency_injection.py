"""Section 4, with the chapter's figures: settings, service, Redis, limits, context.

What happens under load and under attack is in tests/sections.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator

import httpx2
import pytest
from fastapi.testclient import TestClient
from redis.asyncio import Redis

from examples import s4_dependency_injection as s4
from tests.servers import serve

LIMITERS = [
    pytest.param(s4.RateLimiter(), 100, id="RateLimiter()=100 in 60 s"),
    pytest.param(s4.default_rate_limit, 100, id="default_rate_limit=100 in 60 s"),
    pytest.param(s4.strict_rate_limit, 10, id="strict_rate_limit=10 in 60 s"),
]


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in s4.Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    monkeypatch.setattr(s4, "DECISION_SECONDS", 20)  # a busy machine is no silent Redis
    with TestClient(s4.app) as client:
        yield client
    s4.app.dependency_overrides.clear()


@pytest.fixture
async def redis() -> AsyncIterator[Redis]:
    async with s4.open_redis(s4.Settings()) as redis:
        yield redis


# --- settings, service, Redis --------------------------------------------------------


def test_settings_have_defaults_and_the_environment_changes_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert s4.Settings().redis_url is None
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:6379")
    assert s4.Settings().redis_url == "redis://127.0.0.1:6379"


async def test_20_first_requests_at_once_get_the_one_service_that_was_built() -> None:
    before = s4.LLMService.built
    with serve(s4.app) as url:
        async with httpx2.AsyncClient(base_url=url, trust_env=False) as caller:
            calls = [caller.get("/services") for _ in range(20)]
            answers = [answer.json() for answer in await asyncio.gather(*calls)]
    assert {answer["built"] for answer in answers} == {before + 1}
    assert len({answer["id"] for answer in answers}) == 1


def test_without_a_configured_server_an_echo_answers(client: TestClient) -> None:
    assert client.post("/ask", json={"prompt": "hello"}).json() == "You said: hello"


def test_a_route_gets_a_client_of_redis(client: TestClient) -> None:
    assert client.get("/redis").json() == {"ping": True, "embedded": True}


# --- the rate limiter ----------------------------------------------------------------


@pytest.mark.parametrize(("limiter", "requests"), LIMITERS)
async def test_a_bucket_admits_its_requests_and_is_full_again_after_60_seconds(
    redis: Redis, limiter: s4.RateLimiter, requests: int
) -> None:
    emptied = await limiter.take(redis, "ada", cost=requests)
    assert (emptied.allowed, emptied.remaining) == (True, 0)
    assert emptied.reset_ms == 60_000
    assert not (await limiter.take(redis, "ada")).allowed


def test_the_11th_strict_request_is_a_429_whoever_it_claims_to_be(
    client: TestClient,
) -> None:
    names = [{"X-User-ID": f"user-{number}"} for number in range(11)]
    answers = [client.get("/limits/strict", headers=name) for name in names]
    assert [answer.status_code for answer in answers] == [200] * 10 + [429]
    assert 1 <= int(answers[-1].headers["Retry-After"]) <= 6


async def test_of_20_requests_at_once_exactly_10_are_admitted(redis: Redis) -> None:
    calls = [s4.strict_rate_limit.take(redis, "ada") for _ in range(20)]
    decisions = await asyncio.gather(*calls)
    assert sum(decision.allowed for decision in decisions) == 10


# --- the request context -------------------------------------------------------------


def test_the_context_has_the_headers_or_an_id_of_its_own(client: TestClient) -> None:
    headers = {"X-Request-ID": "demo-1", "X-User-ID": "ada"}
    named = client.get("/whoami", headers=headers).json()
    assert (named["request_id"], named["user_id"]) == ("demo-1", "ada")
    unnamed = client.get("/whoami").json()
    assert unnamed["request_id"].startswith("req_")
    assert unnamed["user_id"] is None


# --- overrides -----------------------------------------------------------------------


def test_a_test_replaces_what_a_route_depends_on(client: TestClient) -> None:
    class Parrot:
        async def complete(self, prompt: str) -> str:
            return prompt[::-1]

    parrot = s4.LLMService(primary_provider=Parrot())
    s4.app.dependency_overrides[s4.get_llm_service] = lambda: parrot
    s4.app.dependency_overrides[s4.strict_rate_limit] = lambda: None
    assert client.post("/ask", json={"prompt": "abc"}).json() == "cba"
    passed = [client.get("/limits/strict").status_code for _ in range(12)]
    assert passed == [200] * 12
