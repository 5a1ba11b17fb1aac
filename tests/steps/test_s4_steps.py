"""The ladder of section 4: what each step shows when you try it."""

import math
from types import ModuleType
from typing import Any

import pytest
from fakeredis import FakeAsyncRedis
from fastapi.testclient import TestClient

from examples.steps import (
    s4_1_settings,
    s4_2_service,
    s4_3_redis,
    s4_4_rate_limiter,
    s4_5_context_and_overrides,
)
from tests.tryit import try_lines


def tried(step: ModuleType) -> list[Any]:
    """The bodies that answer the `curl` lines of a step's docstring."""
    with TestClient(step.app) as client:
        return [line.send(client).json() for line in try_lines(step.__doc__)]


@pytest.fixture(autouse=True)
def nobodys_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in s4_1_settings.Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)


# --- s4.1 settings -------------------------------------------------------------------


def test_without_environment_variables_the_defaults_are_shown() -> None:
    (settings,) = tried(s4_1_settings)
    assert settings == {"redis_url": None, "redis_max_connections": 10}


def test_an_environment_variable_is_a_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_MAX_CONNECTIONS", "20")
    (settings,) = tried(s4_1_settings)
    assert settings["redis_max_connections"] == 20


@pytest.mark.parametrize("value", ["many", "0"])
def test_a_setting_is_checked_like_any_other_input(
    monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("REDIS_MAX_CONNECTIONS", value)
    with TestClient(s4_1_settings.app, raise_server_exceptions=False) as client:
        assert client.get("/settings").status_code == 500


# --- s4.2 a service ------------------------------------------------------------------


def test_many_requests_get_the_one_service_that_the_lifespan_has_built() -> None:
    before = s4_2_service.LLMService.built
    with TestClient(s4_2_service.app) as client:
        answers = [client.get("/services").json() for _ in range(20)]
    assert {answer["built"] for answer in answers} == {before + 1}
    assert len({answer["id"] for answer in answers}) == 1


def test_a_route_answers_with_whatever_provider_the_service_has() -> None:
    _, answer = tried(s4_2_service)
    assert answer == "You said: hello"


def test_without_a_lifespan_there_is_no_service() -> None:
    client = TestClient(s4_2_service.app, raise_server_exceptions=False)
    assert client.get("/services").status_code == 500


# --- s4.3 redis ----------------------------------------------------------------------


def test_clean_up_comes_after_the_answer() -> None:
    first, second, _, _ = tried(s4_3_redis)
    assert first == {"visits": 1, "given_back": 0}
    assert second == {"visits": 2, "given_back": 1}


def test_clean_up_also_comes_after_a_failure() -> None:
    _, _, failed, last = tried(s4_3_redis)
    assert failed == {"detail": "This route always fails."}
    assert last == {"visits": 3, "given_back": 3}


def test_each_server_opens_a_client_of_its_own() -> None:
    assert tried(s4_3_redis) == tried(s4_3_redis)


# --- s4.4 a rate limiter -------------------------------------------------------------


def test_a_bucket_of_two_tokens_lets_two_requests_in() -> None:
    with TestClient(s4_4_rate_limiter.app) as client:
        answers = [client.get("/limited") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert 0 < int(answers[2].headers["Retry-After"]) <= 30


async def test_a_token_comes_back_after_the_time_that_was_said() -> None:
    async with FakeAsyncRedis() as redis:
        take = redis.register_script(s4_4_rate_limiter.TOKEN_BUCKET)
        assert await take(["bucket:ada"], [1, 3600]) == 0
        wait = await take(["bucket:ada"], [1, 3600])
        saved = await redis.hgetall("bucket:ada")
        an_hour_ago = float(saved[b"time"]) - wait
        await redis.hset("bucket:ada", mapping={"tokens": 0, "time": an_hour_ago})
        assert await take(["bucket:ada"], [1, 3600]) == 0


async def test_a_bucket_never_holds_more_than_its_limit() -> None:
    async with FakeAsyncRedis() as redis:
        take = redis.register_script(s4_4_rate_limiter.TOKEN_BUCKET)
        await redis.hset("bucket:ada", mapping={"tokens": 2, "time": 0})  # in 1970
        waits = [await take(["bucket:ada"], [2, 3600]) for _ in range(3)]
    assert [math.ceil(wait / 3600) for wait in waits] == [0, 0, 1]


# --- s4.5 context and overrides ------------------------------------------------------


def test_the_context_carries_the_two_headers() -> None:
    ada, _ = tried(s4_5_context_and_overrides)
    assert (ada["request_id"], ada["user_id"]) == ("demo-1", "ada")
    assert ada["elapsed_ms"] >= 0


def test_without_headers_there_is_a_new_id_and_no_name() -> None:
    _, first = tried(s4_5_context_and_overrides)
    _, second = tried(s4_5_context_and_overrides)
    assert first["request_id"].startswith("req_")
    assert first["user_id"] is None
    assert first["request_id"] != second["request_id"]


def test_a_test_puts_a_context_of_its_own_in_place_and_takes_it_away() -> None:
    answer = s4_5_context_and_overrides.ask_in_a_test()
    assert (answer["request_id"], answer["user_id"]) == ("req_test", "ada")
    assert not s4_5_context_and_overrides.app.dependency_overrides
