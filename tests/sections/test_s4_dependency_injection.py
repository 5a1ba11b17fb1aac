"""Section 4 under attack and under load, on the embedded Redis and on a real one.

The figures of the chapter are in tests/test_s4_dependency_injection.py.
"""

import asyncio
import functools
import hashlib
import logging
import math
import re
import runpy
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Any, cast

import httpx2
import pytest
import redis as sync_redis
import uvicorn
from fastapi import Depends, FastAPI, HTTPException, Request, WebSocket
from fastapi.testclient import TestClient
from pydantic import ValidationError
from redis.asyncio import BlockingConnectionPool, Redis
from starlette.types import ASGIApp, Receive, Scope, Send

from examples import s4_dependency_injection as s4
from tests.servers import free_port, serve
from tests.tryit import try_lines

ENVIRONMENT = "REDIS_URL REDIS_MAX_CONNECTIONS OPENAI_BASE_URL OPENAI_API_KEY API_KEYS"
ADA_DIGEST = hashlib.sha256(b"ada's key").hexdigest()
ADA = {"Authorization": "Bearer ada's key"}
A_DAY = 24 * 60 * 60
IN_2286 = 9_999_999_999_999  # milliseconds of Unix time, so nothing is refilled


@pytest.fixture(autouse=True, scope="module")
def clean_environment() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name in ENVIRONMENT.split():
            patch.delenv(name, raising=False)
        patch.setenv("NO_PROXY", "127.0.0.1")
        yield


@pytest.fixture
def real_url(redis_server: str) -> str:
    with sync_redis.Redis.from_url(url := f"{redis_server}/4") as admin:
        admin.flushdb()
    return url


@pytest.fixture(params=["embedded", "real"])
def redis_url(request: pytest.FixtureRequest) -> str | None:
    if request.param == "embedded":
        return None
    return cast(str, request.getfixturevalue("real_url"))


@pytest.fixture
async def redis(redis_url: str | None) -> AsyncIterator[Redis]:
    async with s4.open_redis(s4.Settings(redis_url=redis_url)) as client:
        yield client


@pytest.fixture
def client(
    redis_url: str | None, monkeypatch: pytest.MonkeyPatch
) -> Iterator[TestClient]:
    monkeypatch.setenv("REDIS_URL", redis_url or "")
    monkeypatch.setattr(s4, "DECISION_SECONDS", 20)  # a busy machine is no silent Redis
    with TestClient(s4.app) as running:
        yield running


@pytest.fixture(scope="module")
def offline(clean_environment: None) -> Iterator[TestClient]:
    """The application as it starts without any setting, once for all its tests."""
    with TestClient(s4.app) as running:
        yield running


@pytest.fixture
def overrides() -> Iterator[dict[Any, Any]]:
    yield s4.app.dependency_overrides
    s4.app.dependency_overrides.clear()


# --- the token bucket


async def bucket_of(redis: Redis) -> str:
    """The name of the one bucket there is."""
    (key,) = await redis.keys("rl:*")
    return str(key)


async def age_the_bucket(redis: Redis, milliseconds: int) -> None:
    """Let time pass for the one bucket there is, without waiting."""
    key = await bucket_of(redis)
    parts, written = str(await redis.get(key)).split()
    await redis.set(key, f"{parts} {int(written) - milliseconds}")


async def test_of_200_calls_at_once_exactly_the_limit_is_admitted(redis: Redis) -> None:
    limiter = s4.RateLimiter(requests=10, window_seconds=A_DAY, name="burst")
    calls = [limiter.take(redis, "one caller") for _ in range(200)]
    decisions = await asyncio.gather(*calls)
    assert sum(decision.allowed for decision in decisions) == 10


async def test_steady_use_below_the_rate_is_never_refused(redis: Redis) -> None:
    limiter = s4.RateLimiter(requests=5, window_seconds=0.1, name="steady")
    for _ in range(12):  # a token comes back every 20 ms
        assert (await limiter.take(redis, "polite")).allowed
        await asyncio.sleep(0.022)


@pytest.mark.parametrize("cost", [1, 3])
async def test_after_exactly_retry_after_ms_the_refused_call_passes(
    redis: Redis, cost: int
) -> None:
    limiter = s4.RateLimiter(requests=7, window_seconds=0.2, name="true")
    for _ in range(2):
        while (decision := await limiter.take(redis, "caller", cost)).allowed:
            pass
        await asyncio.sleep(decision.retry_after_ms / 1000)
        assert (await limiter.take(redis, "caller", cost)).allowed


async def test_a_refused_call_stays_refused_until_retry_after_ms(redis: Redis) -> None:
    limiter = s4.RateLimiter(requests=1, window_seconds=A_DAY, name="waiting")
    await limiter.take(redis, "caller")
    refused = await limiter.take(redis, "caller")
    await age_the_bucket(redis, refused.retry_after_ms - 60_000)
    sooner = await limiter.take(redis, "caller")
    assert not sooner.allowed
    assert sooner.retry_after_ms <= 60_000
    await age_the_bucket(redis, sooner.retry_after_ms)
    assert (await limiter.take(redis, "caller")).allowed


async def test_a_wait_that_is_no_whole_millisecond_is_rounded_up(redis: Redis) -> None:
    limiter = s4.RateLimiter(requests=7, window_seconds=100, name="rounding")
    await limiter.take(redis, "caller")
    await redis.set(await bucket_of(redis), f"0 {IN_2286}")
    refused = await limiter.take(redis, "caller")
    assert refused.retry_after_ms == math.ceil(100_000 / 7)


async def test_an_idle_bucket_does_not_overflow(redis: Redis) -> None:
    limiter = s4.RateLimiter(requests=10, window_seconds=A_DAY, name="idle")
    await limiter.take(redis, "caller")
    await age_the_bucket(redis, 30 * A_DAY * 1000)
    decisions = [await limiter.take(redis, "caller") for _ in range(12)]
    assert [decision.allowed for decision in decisions] == [True] * 10 + [False] * 2


async def test_a_refused_call_takes_nothing(redis: Redis) -> None:
    limiter = s4.RateLimiter(requests=10, window_seconds=A_DAY, name="greedy")
    await limiter.take(redis, "caller", cost=6)
    assert not (await limiter.take(redis, "caller", cost=5)).allowed
    assert (await limiter.take(redis, "caller", cost=4)).allowed


async def test_a_decision_says_limit_remaining_and_when_the_bucket_is_full(
    redis: Redis,
) -> None:
    limiter = s4.RateLimiter(requests=4, window_seconds=A_DAY, name="figures")
    first = await limiter.take(redis, "caller")
    assert first == s4.Decision(True, 4, 3, 0, A_DAY * 1000 // 4)
    empty = await limiter.take(redis, "caller", cost=3)
    assert (empty.allowed, empty.remaining, empty.retry_after_ms) == (True, 0, 0)
    refused = await limiter.take(redis, "caller", cost=2)
    assert (refused.allowed, refused.limit, refused.remaining) == (False, 4, 0)
    assert 0 < refused.retry_after_ms <= A_DAY * 1000 // 2 < refused.reset_ms


@pytest.mark.parametrize(
    "other",
    [
        s4.RateLimiter(requests=10, window_seconds=A_DAY, name="other"),
        s4.RateLimiter(requests=11, window_seconds=A_DAY, name="one"),
        s4.RateLimiter(requests=10, window_seconds=60, name="one"),
    ],
    ids=["name", "requests", "window"],
)
async def test_limiters_that_differ_share_no_bucket(
    redis: Redis, other: s4.RateLimiter
) -> None:
    one = s4.RateLimiter(requests=10, window_seconds=A_DAY, name="one")
    await one.take(redis, "caller", cost=10)
    assert not (await one.take(redis, "caller")).allowed
    assert (await other.take(redis, "caller", cost=other.requests)).allowed


async def test_callers_share_no_bucket(redis: Redis) -> None:
    limiter = s4.RateLimiter(requests=1, window_seconds=A_DAY, name="each")
    assert (await limiter.take(redis, "ada")).allowed
    assert (await limiter.take(redis, "bob")).allowed
    assert not (await limiter.take(redis, "ada")).allowed


@pytest.mark.parametrize("cost", [0, -1, 11])
async def test_a_cost_that_can_never_be_taken_is_a_mistake_of_the_caller(
    redis: Redis, cost: int
) -> None:
    with pytest.raises(ValueError, match="can never be taken"):
        await s4.RateLimiter(requests=10, name="cost").take(redis, "caller", cost)


async def test_a_window_below_a_millisecond_is_a_mistake(redis: Redis) -> None:
    with pytest.raises(ValueError, match="can never be taken"):
        await s4.RateLimiter(window_seconds=0, name="zero").take(redis, "caller")


@pytest.mark.parametrize(
    "damage", ["", "nonsense", f"-5 {IN_2286}", f"nan {IN_2286}", "7", b"\xff"]
)
async def test_a_damaged_bucket_counts_as_a_full_one_and_works_again(
    redis: Redis, damage: str | bytes
) -> None:
    limiter = s4.RateLimiter(requests=2, window_seconds=A_DAY, name="damaged")
    await limiter.take(redis, "caller", cost=2)
    await redis.set(await bucket_of(redis), damage)
    decisions = [await limiter.take(redis, "caller") for _ in range(3)]
    assert [decision.allowed for decision in decisions] == [True, True, False]


async def test_a_key_of_another_type_is_replaced(redis: Redis) -> None:
    limiter = s4.RateLimiter(requests=1, window_seconds=A_DAY, name="type")
    await limiter.take(redis, "caller")
    key = await bucket_of(redis)
    await redis.delete(key)
    await redis.rpush(key, "a", "list")
    assert (await limiter.take(redis, "caller")).allowed
    assert not (await limiter.take(redis, "caller")).allowed


async def test_a_clock_set_back_costs_no_caller_more_than_the_wait(
    redis: Redis,
) -> None:
    limiter = s4.RateLimiter(requests=1, window_seconds=100, name="clock")
    await limiter.take(redis, "caller")
    await age_the_bucket(redis, -A_DAY * 1000)  # the bucket is from tomorrow
    refused = await limiter.take(redis, "caller")
    assert (refused.allowed, refused.retry_after_ms) == (False, 100_000)
    await age_the_bucket(redis, 100_000)
    assert (await limiter.take(redis, "caller")).allowed


async def test_only_the_clock_of_redis_counts(
    real_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    limiter = s4.RateLimiter(requests=1, window_seconds=100, name="server-clock")
    async with s4.open_redis(s4.Settings(redis_url=real_url)) as client:
        await limiter.take(client, "caller")
        now = time.time()
        monkeypatch.setattr(time, "time", lambda: now + A_DAY)
        assert not (await limiter.take(client, "caller")).allowed


async def test_a_bucket_is_named_without_its_owner_and_gone_once_full(
    redis: Redis,
) -> None:
    limiter = s4.RateLimiter(requests=2, window_seconds=20, name="names")
    decision = await limiter.take(redis, "secret owner " * 1000)
    key = await bucket_of(redis)
    assert re.fullmatch("rl:names:[0-9a-f]{32}", key)
    assert 0 < await redis.pttl(key) <= decision.reset_ms == 10_000


async def test_a_redis_that_forgot_the_script_is_taught_again(redis: Redis) -> None:
    await s4.strict_rate_limit.take(redis, "caller")
    await redis.script_flush()
    assert (await s4.strict_rate_limit.take(redis, "caller")).remaining == 8


# --- the limiter as a dependency


def test_the_eleventh_strict_request_is_refused_whoever_it_claims_to_be(
    client: TestClient,
) -> None:
    answers = [
        client.get("/limits/strict", headers={"X-User-ID": f"user-{number}"})
        for number in range(11)
    ]
    assert [answer.status_code for answer in answers] == [200] * 10 + [429]
    refused = answers[-1]
    wait_ms = int(refused.headers["retry-after-ms"])
    assert 0 < wait_ms <= 6_000
    assert int(refused.headers["Retry-After"]) == math.ceil(wait_ms / 1000)
    assert client.get("/limits/default").status_code == 200


@pytest.mark.parametrize(
    ("limiter", "method", "path"),
    [
        (s4.default_rate_limit, "GET", "/limits/default"),
        (s4.strict_rate_limit, "GET", "/limits/strict"),
        (s4.default_rate_limit, "POST", "/ask"),
    ],
)
def test_each_limited_route_asks_its_limiter(
    offline: TestClient,
    overrides: dict[Any, Any],
    limiter: s4.RateLimiter,
    method: str,
    path: str,
) -> None:
    def refuse() -> None:
        raise HTTPException(429)

    overrides[limiter] = refuse
    assert offline.request(method, path, json={"prompt": "?"}).status_code == 429


def test_the_owner_of_a_key_has_a_limit_of_their_own(
    client: TestClient, overrides: dict[Any, Any]
) -> None:
    settings = s4.Settings(api_keys={"ada": ADA_DIGEST})
    overrides[s4.get_settings] = lambda: settings
    for _ in range(10):
        assert client.get("/limits/strict", headers=ADA).status_code == 200
    assert client.get("/limits/strict", headers=ADA).status_code == 429
    assert client.get("/limits/strict").status_code == 200


@pytest.mark.parametrize(
    ("authorization", "subject"),
    [
        (b"Bearer ada's key", "key:ada"),
        (b"bearer  ada's key ", "key:ada"),
        ("Bearer clé".encode(), "key:zoë"),
        (b"Basic ada's key", "peer:testclient"),
        (b"Bearer ada's key?", "peer:testclient"),
        (b"Bearer " + ADA_DIGEST.encode(), "peer:testclient"),
        (b"Bearer", "peer:testclient"),
        (b"Bearer \xff\xfe", "peer:testclient"),
    ],
)
def test_only_a_configured_key_changes_who_is_limited(
    offline: TestClient,
    overrides: dict[Any, Any],
    authorization: bytes,
    subject: str,
) -> None:
    keys = {"ada": ADA_DIGEST, "zoë": hashlib.sha256("clé".encode()).hexdigest()}
    settings = s4.Settings(api_keys=keys)
    overrides[s4.get_settings] = lambda: settings
    headers = [(b"Authorization", authorization), (b"X-User-ID", b"zoe")]
    assert offline.get("/whoami", headers=headers).json()["subject"] == subject


async def test_a_caller_without_an_address_is_one_caller() -> None:
    scope: Scope = {"type": "http", "headers": [], "client": None}
    subject = await s4.get_subject(Request(scope), s4.Settings())
    assert subject == "peer:unix"


def test_a_forged_x_forwarded_for_changes_nothing_as_the_section_is_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(s4, "DECISION_SECONDS", 20)
    with (
        serve(s4.app, proxy_headers=False) as url,
        httpx2.Client(base_url=url, trust_env=False) as caller,
    ):
        answers = [
            caller.get("/limits/strict", headers={"X-Forwarded-For": f"192.0.2.{n}"})
            for n in range(11)
        ]
    assert [answer.status_code for answer in answers] == [200] * 10 + [429]


def test_uvicorn_by_default_believes_a_local_x_forwarded_for() -> None:
    forged = {"X-Forwarded-For": "192.0.2.7"}
    with serve(s4.app) as url:
        answer = httpx2.get(f"{url}/whoami", headers=forged, trust_env=False)
    assert answer.json()["subject"] == "peer:192.0.2.7"


def test_the_file_runs_itself_on_loopback_and_believes_no_proxy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    runs: list[tuple[Any, dict[str, Any]]] = []
    monkeypatch.setattr(uvicorn, "run", lambda app, **how: runs.append((app, how)))
    runpy.run_path(str(Path(s4.__file__)), run_name="__main__")
    ((app, how),) = runs
    assert isinstance(app, FastAPI)
    assert how == {"host": "127.0.0.1", "port": 8000, "proxy_headers": False}


def test_with_redis_down_requests_pass_with_a_warning_and_redis_routes_say_503(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("REDIS_URL", f"redis://127.0.0.1:{free_port()}")
    with TestClient(s4.app) as client, caplog.at_level(logging.WARNING):
        passed = [client.get("/limits/strict").status_code for _ in range(12)]
        broken = client.get("/redis")
    assert passed == [200] * 12
    assert len([r for r in caplog.records if r.name == s4.__name__]) == 12
    assert "limit strict lets a request pass" in caplog.text
    assert (broken.status_code, broken.json()) == (
        503,
        {"detail": "Redis does not answer."},
    )


def test_a_redis_that_hangs_holds_no_request(
    offline: TestClient, overrides: dict[Any, Any], caplog: pytest.LogCaptureFixture
) -> None:
    async def hanging() -> AsyncIterator[Redis]:
        url = f"redis://127.0.0.1:{silent.getsockname()[1]}"
        async with Redis.from_url(url, socket_timeout=None) as client:
            yield client

    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        overrides[s4.get_redis] = hanging
        assert offline.get("/limits/strict").status_code == 200
    assert "TimeoutError" in caplog.text


# --- services from the lifespan


async def test_an_lru_cache_builds_more_than_one_service() -> None:
    two_at_once = threading.Barrier(2)
    built: list[s4.LLMService] = []

    @functools.lru_cache
    def cached_service() -> s4.LLMService:
        two_at_once.wait(10)  # opens only if a second service is being built
        service = s4.LLMService(primary_provider=s4.EchoProvider())
        built.append(service)
        return service

    app = FastAPI()

    @app.get("/")
    def index(service: Annotated[s4.LLMService, Depends(cached_service)]) -> int:
        return id(service)

    transport = httpx2.ASGITransport(app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://t") as caller:
        answers = await asyncio.gather(caller.get("/"), caller.get("/"))
    assert {answer.json() for answer in answers} == set(map(id, built))
    assert len(built) == 2


@pytest.mark.parametrize("prompt", ["", "x" * 10_001, None])
def test_a_prompt_is_bounded(offline: TestClient, prompt: str | None) -> None:
    assert offline.post("/ask", json={"prompt": prompt}).status_code == 422


@pytest.mark.parametrize(("key", "sent"), [("k-1", "Bearer k-1"), ("", None)])
def test_a_configured_server_is_asked_the_openai_way(
    monkeypatch: pytest.MonkeyPatch, key: str, sent: str | None
) -> None:
    upstream = FastAPI()

    @upstream.post("/v1/chat/completions")
    def complete(request: Request, body: dict[str, Any]) -> dict[str, Any]:
        seen.append((request.headers.get("authorization"), body))
        return {"choices": [{"message": {"content": "a real answer"}}]}

    seen: list[tuple[str | None, dict[str, Any]]] = []
    with serve(upstream) as url:
        monkeypatch.setenv("OPENAI_BASE_URL", f"{url}/v1")
        monkeypatch.setenv("OPENAI_API_KEY", key)
        with TestClient(s4.app) as client:
            answer = client.post("/ask", json={"prompt": "hello"})
    assert answer.json() == "a real answer"
    messages = [{"role": "user", "content": "hello"}]
    assert seen == [(sent, {"model": "gpt-4o-mini", "messages": messages})]


async def test_an_error_of_a_server_is_no_answer() -> None:
    def fail(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(500, json={"choices": [{"message": {"content": "x"}}]})

    transport = httpx2.MockTransport(fail)
    async with httpx2.AsyncClient(transport=transport, base_url="http://t") as client:
        with pytest.raises(httpx2.HTTPStatusError):
            await s4.LLMService(primary_provider=s4.OpenAIProvider(client)).ask("?")


async def test_a_model_has_30_seconds_and_its_client_is_closed_at_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    async with s4.lifespan(s4.app) as state:
        provider = state["llm_service"].primary_provider
        assert isinstance(provider, s4.OpenAIProvider)
        assert provider.client.timeout == httpx2.Timeout(30)
    assert provider.client.is_closed


def test_the_aliases_serve_any_app_with_the_same_keys_and_websockets_too() -> None:
    settings = s4.Settings()
    service = s4.LLMService(primary_provider=s4.EchoProvider())

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[dict[str, Any]]:
        async with s4.open_redis(settings) as redis:
            yield {"settings": settings, "redis": redis, "llm_service": service}

    app = FastAPI(lifespan=lifespan)

    @app.websocket("/", dependencies=[Depends(s4.strict_rate_limit)])
    async def live(
        socket: WebSocket,
        given: s4.SettingsDep,
        model: s4.LLMServiceDep,
        redis: s4.RedisDep,
        context: s4.RequestContextDep,
    ) -> None:
        await socket.accept()
        same = given is settings and model is service
        ping = await redis.ping()
        await socket.send_json([same, ping, context.request_id])
        await socket.close()

    with (
        TestClient(app) as client,
        client.websocket_connect("/", headers={"X-Request-ID": "ws-1"}) as talk,
    ):
        assert talk.receive_json() == [True, True, "ws-1"]


# --- one Redis client


async def test_200_requests_share_one_pool_of_four(
    real_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REDIS_URL", real_url)
    monkeypatch.setenv("REDIS_MAX_CONNECTIONS", "4")
    with sync_redis.Redis.from_url(real_url) as admin:
        clients_before = len(admin.client_list())
        opened_before = admin.info("stats")["total_connections_received"]
        with serve(s4.app) as url:
            limits = httpx2.Limits(max_connections=50)
            async with httpx2.AsyncClient(
                base_url=url, limits=limits, timeout=30, trust_env=False
            ) as caller:
                calls = [caller.get("/redis") for _ in range(200)]
                answers = await asyncio.gather(*calls)
        opened = admin.info("stats")["total_connections_received"] - opened_before
        clients_after = len(admin.client_list())
    assert {answer.status_code for answer in answers} == {200}
    assert {answer.json()["embedded"] for answer in answers} == {False}
    assert 1 <= opened <= 4
    assert clients_after == clients_before


async def test_a_pool_in_use_makes_callers_wait_their_turn(
    redis_url: str | None,
) -> None:
    settings = s4.Settings(redis_url=redis_url, redis_max_connections=1)
    async with s4.open_redis(settings) as client:
        counts = await asyncio.gather(*(client.incr("count") for _ in range(50)))
    assert sorted(counts) == list(range(1, 51))


async def test_no_command_waits_or_retries_for_long(redis: Redis) -> None:
    chosen = redis.connection_pool.connection_kwargs
    assert (chosen["socket_timeout"], chosen["socket_connect_timeout"]) == (1, 1)
    assert chosen["retry"].get_retries() == 1
    pool = cast(BlockingConnectionPool, redis.connection_pool)
    assert (pool.max_connections, pool.timeout) == (10, 5)


async def test_each_embedded_redis_is_a_server_of_its_own() -> None:
    settings = s4.Settings()
    async with s4.open_redis(settings) as one, s4.open_redis(settings) as other:
        await one.set("color", "blue")
        assert (await one.get("color"), await other.get("color")) == ("blue", None)


def test_the_redis_route_says_which_redis_it_asked(
    client: TestClient, redis_url: str | None
) -> None:
    answer = client.get("/redis").json()
    assert answer == {"ping": True, "embedded": redis_url is None}


# --- the request context


def test_a_well_formed_request_id_is_kept(offline: TestClient) -> None:
    for given in ("a", "demo-1", "A.b_c-9", "x" * 64):
        answer = offline.get("/whoami", headers={"X-Request-ID": given})
        assert answer.json()["request_id"] == given


@pytest.mark.parametrize("given", ["", "x" * 65, "a b", "<b>", "é", "a/b", "a,b"])
def test_any_other_request_id_is_replaced(offline: TestClient, given: str) -> None:
    answer = offline.get("/whoami", headers=[(b"X-Request-ID", given.encode())])
    assert re.fullmatch("req_[0-9a-f]{32}", answer.json()["request_id"])


def test_generated_request_ids_are_all_different(offline: TestClient) -> None:
    ids = {offline.get("/whoami").json()["request_id"] for _ in range(50)}
    assert len(ids) == 50


def test_the_request_id_of_a_middleware_is_the_one_that_counts() -> None:
    class Stamp:
        def __init__(self, app: ASGIApp) -> None:
            self.app = app

        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == "http":
                scope["state"]["request_id"] = "from-the-middleware"
            await self.app(scope, receive, send)

    with TestClient(Stamp(s4.app)) as client:
        answer = client.get("/whoami", headers={"X-Request-ID": "from-the-caller"})
    assert answer.json()["request_id"] == "from-the-middleware"


async def test_who_reads_the_state_later_finds_the_same_request_id() -> None:
    request = Request({"type": "http", "headers": []})
    context = await s4.get_request_context(request)
    assert request.state.request_id == context.request_id
    assert await s4.get_request_context(request) != context
    assert (await s4.get_request_context(request)).request_id == context.request_id


def test_x_user_id_labels_and_is_bounded(offline: TestClient) -> None:
    for given, kept in (("ada", "ada"), ("x" * 65, "x" * 64), ("", None)):
        answer = offline.get("/whoami", headers={"X-User-ID": given}).json()
        assert (answer["user_id"], answer["subject"]) == (kept, "peer:testclient")


def test_elapsed_ms_follows_no_wall_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = iter([10.0, 10.25, 11.0])
    # Only this module's clock: the loops of other tests' servers use the real one.
    clock = SimpleNamespace(time=lambda: 0.0, monotonic=lambda: next(ticks))
    monkeypatch.setattr(s4, "time", clock)
    context = s4.RequestContext("req_1", started=clock.monotonic())
    assert (context.elapsed_ms, context.elapsed_ms) == (250.0, 1000.0)


def test_a_context_starts_when_it_is_made() -> None:
    earlier, later = s4.RequestContext("a"), s4.RequestContext("b")
    assert earlier.started <= later.started <= time.monotonic()
    assert earlier.elapsed_ms >= 0


# --- settings and docs


def test_settings_come_from_the_environment_and_empty_means_not_set(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert s4.Settings().redis_url is None
    monkeypatch.setenv("REDIS_URL", "redis://elsewhere")
    monkeypatch.setenv("API_KEYS", f'{{"ada": "{ADA_DIGEST}"}}')
    monkeypatch.setenv("OPENAI_BASE_URL", "")
    monkeypatch.setenv("OPENAI_API_KEY", "very secret")
    settings = s4.Settings()
    assert settings.redis_url == "redis://elsewhere"
    assert settings.api_keys == {"ada": ADA_DIGEST}
    assert settings.openai_base_url is None
    assert "very secret" not in repr(settings)


def test_a_key_in_the_clear_stops_the_start_and_is_not_printed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("API_KEYS", '{"ada": "not-a-digest"}')
    with pytest.raises(ValidationError) as caught, TestClient(s4.app):
        pass
    assert "not-a-digest" not in str(caught.value)


def test_the_docs_describe_refusals(offline: TestClient) -> None:
    paths = offline.get("/openapi.json").json()["paths"]
    for path in ("/limits/default", "/limits/strict"):
        assert "Retry-After" in paths[path]["get"]["responses"]["429"]["description"]


def test_the_try_it_lines_of_the_docstring_work(
    client: TestClient, redis_url: str | None
) -> None:
    answers = {line.path: line.send(client) for line in try_lines(s4.__doc__)}
    assert {answer.status_code for answer in answers.values()} == {200}
    who = answers["/whoami"].json()
    assert (who["request_id"], who["user_id"]) == ("demo-1", "ada")
    assert who["elapsed_ms"] >= 0
    assert answers["/ask"].json() == "You said: What is a token bucket?"
    assert answers["/services"].json()["built"] >= 1
    assert answers["/redis"].json() == {"ping": True, "embedded": redis_url is None}
