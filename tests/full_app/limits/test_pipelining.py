"""Calls of scripts share pipelines, and nothing else: each has its own answer."""

import asyncio
import contextlib
import contextvars
import gc
import json
import threading
import time
from collections.abc import AsyncIterator, Iterator

import httpx2
import pytest
import redis as sync_redis
from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from examples.full_app.limits.pipelining import (
    MAX_CALLS,
    Pipelining,
    RedisSilentError,
    Script,
    regardless,
)
from examples.full_app.main import create_app
from examples.s4_dependency_injection import open_redis
from tests.conftest import running_redis
from tests.full_app.conftest import KEY, OTHER_KEY, settings
from tests.full_app.limits.test_ledger import Wire, over_a_wire
from tests.servers import free_port, serve, wait_until

ECHO = Script("return ARGV[1]")
COUNT = Script("return redis.call('INCRBY', KEYS[1], ARGV[1])")
FAIL = Script("return redis.error_reply('ERR ' .. ARGV[1])")


@pytest.fixture
async def redis(redis_url: str | None) -> AsyncIterator[Redis]:
    apart = redis_url and f"{redis_url}/11"  # no other test's keys are flushed
    async with open_redis(settings(redis_url=apart)) as client:
        await client.flushdb()
        yield client


@pytest.fixture
async def wired(redis: Redis) -> AsyncIterator[tuple[Pipelining, Wire]]:
    """Calls over a wire, on which a first one has connected."""
    async with over_a_wire(redis) as (client, wire):
        scripts = Pipelining(client)
        await scripts.call(ECHO, [], ["connected"])
        wire.sent = 0
        yield scripts, wire


async def test_calls_of_one_turn_are_one_pipeline_and_each_gets_its_own(
    wired: tuple[Pipelining, Wire],
) -> None:
    scripts, wire = wired
    answers = await asyncio.gather(
        *(scripts.call(ECHO, [], [number]) for number in range(9)),
        scripts.call(FAIL, [], ["mine alone"]),
        *(scripts.call(COUNT, ["count"], [number]) for number in (1, 10)),
        return_exceptions=True,
    )

    error = answers.pop(9)
    assert answers == [*map(str, range(9)), 1, 11]
    assert isinstance(error, ResponseError)
    assert "mine alone" in str(error)
    assert wire.sent == 1


async def test_calls_made_while_a_pipeline_is_on_its_way_share_the_next(
    wired: tuple[Pipelining, Wire],
) -> None:
    scripts, wire = wired
    wire.hold_back = True
    calls = [scripts.call(COUNT, ["count"], [1])]
    await wire.arrived.wait()
    for _ in range(5):
        calls.append(scripts.call(COUNT, ["count"], [1]))
        await asyncio.sleep(0)
    wire.go_on.set()

    assert await asyncio.gather(*calls) == [1, 2, 3, 4, 5, 6]
    assert wire.sent == 2


async def test_a_pipeline_has_so_many_calls_and_the_rest_follows(
    wired: tuple[Pipelining, Wire],
) -> None:
    scripts, wire = wired
    calls = [scripts.call(ECHO, [], [number]) for number in range(2 * MAX_CALLS + 1)]

    assert await asyncio.gather(*calls) == [*map(str, range(2 * MAX_CALLS + 1))]
    assert wire.sent == 3


async def test_scripts_that_redis_has_forgotten_are_told_again(redis: Redis) -> None:
    scripts = Pipelining(redis)
    for _ in range(2):
        calls = [scripts.call(COUNT, ["count"], [1]) for _ in range(4)]
        calls.append(scripts.call(ECHO, [], ["end"]))
        await asyncio.gather(*calls)
        await redis.script_flush()

    assert await scripts.call(COUNT, ["count"], [0]) == 8
    assert calls[-1].result() == "end"


async def test_who_leaves_harms_nobody_else(wired: tuple[Pipelining, Wire]) -> None:
    scripts, wire = wired
    wire.hold_back = True
    on_its_way = [scripts.call(COUNT, ["count"], [1]) for _ in range(2)]
    await wire.arrived.wait()
    queued = [scripts.call(COUNT, ["count"], [10]) for _ in range(2)]
    on_its_way[0].cancel()
    queued[0].cancel()
    wire.go_on.set()

    assert await on_its_way[1] == 2
    assert await queued[1] == 12  # what was cancelled before it was sent, never ran


async def test_whose_time_is_over_takes_nobody_along(
    wired: tuple[Pipelining, Wire],
) -> None:
    scripts, wire = wired
    wire.hold_back = True
    scripts.timeout = 0.01
    hurried = [scripts.call(ECHO, [], [number]) for number in range(2)]
    scripts.timeout = 60
    patient = scripts.call(ECHO, [], ["late, and in time"])
    await wire.arrived.wait()
    for call in hurried:
        with pytest.raises(TimeoutError):
            await call
    wire.go_on.set()

    assert await patient == "late, and in time"


async def test_a_process_that_was_busy_does_not_call_redis_silent(
    wired: tuple[Pipelining, Wire], redis_url: str | None
) -> None:
    scripts, wire = wired
    scripts.timeout = 0.5
    answer = scripts.call(ECHO, [], ["now"])
    sent = asyncio.Event()
    wire.on_send = sent.set
    await sent.wait()
    ends = time.monotonic() + 0.6
    while time.monotonic() < ends:
        pass  # as if many requests had come at once
    if redis_url is not None:
        with sync_redis.Redis.from_url(redis_url) as other:
            other.ping()  # Redis answers in the order in which it was asked

    assert await answer == "now"


async def test_after_a_lost_answer_the_whole_pipeline_is_sent_once_more(
    wired: tuple[Pipelining, Wire],
) -> None:
    scripts, wire = wired
    wire.keep, wire.lose = 2, 1
    calls = [scripts.call(COUNT, [f"count-{number}"], [1]) for number in range(4)]

    assert await asyncio.gather(*calls) == [2, 2, 2, 2]
    assert wire.lose == 0
    assert await scripts.call(COUNT, ["count-0"], [0]) == 2


async def test_what_nobody_awaits_is_done_before_it_is_idle(
    redis: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    scripts = Pipelining(redis)
    for _ in range(3):
        scripts.call(COUNT, ["count"], [1])
    ended = regardless(scripts.call(FAIL, [], ["unheard"]))
    cancelled = regardless(scripts.call(COUNT, ["count"], [1]))
    cancelled.cancel()
    await scripts.idle()

    gc.collect()
    assert not caplog.records  # that nobody heard of an error is no mistake here
    assert ended.done()
    assert await redis.get("count") == "4"


async def test_a_pipeline_is_not_sent_in_the_context_of_a_caller(
    wired: tuple[Pipelining, Wire],
) -> None:
    scripts, wire = wired
    request = contextvars.ContextVar[str]("request")
    seen: list[str | None] = []
    wire.on_send = lambda: seen.append(request.get(None))
    request.set("mine")
    await scripts.call(ECHO, [], ["a"])

    assert seen == [None]


async def test_without_a_redis_everybody_hears_so(redis: Redis) -> None:
    url = f"redis://127.0.0.1:{free_port()}"
    async with open_redis(settings(redis_url=url)) as away:
        scripts = Pipelining(away, timeout=5)
        calls = [scripts.call(ECHO, [], [number]) for number in range(3)]
        errors = await asyncio.gather(*calls, return_exceptions=True)

    assert all(isinstance(error, RedisError) for error in errors)
    assert not scripts._waiting


async def test_with_a_silent_redis_nobody_waits_longer_than_the_timeout() -> None:
    connected: list[asyncio.StreamWriter] = []

    def silent(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connected.append(writer)

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    url = f"redis://127.0.0.1:{port}"
    async with open_redis(settings(redis_url=url)) as client:
        scripts = Pipelining(client, timeout=0.05)
        early = scripts.call(ECHO, [], [1])
        await asyncio.sleep(0.01)
        late = scripts.call(ECHO, [], [2])
        for call in (early, late):
            with pytest.raises(TimeoutError):
                await call
    for writer in connected:
        writer.close()
    server.close()


async def test_a_redis_that_is_silent_is_asked_by_one_call_at_a_time(
    wired: tuple[Pipelining, Wire],
) -> None:
    scripts, wire = wired
    scripts.timeout = 0.05
    wire.hold_back = True
    with pytest.raises(TimeoutError):
        await scripts.call(COUNT, ["count"], [1])
    scripts.timeout = 60
    probe = scripts.call(COUNT, ["count"], [10])
    refused = [scripts.call(COUNT, ["count"], [100]) for _ in range(5)]
    errors = await asyncio.gather(*refused, return_exceptions=True)

    assert scripts.is_silent
    assert all(isinstance(error, RedisSilentError) for error in errors)
    wire.go_on.set()
    assert await probe == 11  # what was refused was never sent
    assert not scripts.is_silent
    assert await scripts.call(COUNT, ["count"], [100]) == 111


async def test_a_redis_that_is_away_is_asked_again_by_the_next_call(
    wired: tuple[Pipelining, Wire],
) -> None:
    scripts, wire = wired
    wire.lose = 2  # also the answer to the second try
    with pytest.raises(RedisError):
        await scripts.call(ECHO, [], ["lost"])

    assert await scripts.call(ECHO, [], ["there again"]) == "there again"


# What a request costs Redis


@contextlib.contextmanager
def monitored(asking: "sync_redis.Redis", url: str) -> Iterator[list[str]]:
    """The commands that clients send in the block, but for those of the test."""
    commands: list[str] = []
    listening, end = threading.Event(), "MONITORED"

    def listen() -> None:
        with sync_redis.Redis.from_url(url) as client, client.monitor() as monitor:
            listening.set()
            for heard in monitor.listen():
                if end in heard["command"]:
                    return
                if heard["client_type"] != "lua":  # what a script does
                    commands.append(heard["command"].split()[0].lower())

    thread = threading.Thread(target=listen)
    thread.start()
    listening.wait(10)
    yield commands
    asking.echo(end)
    thread.join(10)


@pytest.fixture(scope="module")
def lonely_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Redis on which nothing happens but what the test asks for."""
    with running_redis(tmp_path_factory.mktemp("redis")) as (url, _):
        yield url


@pytest.mark.deep
@pytest.mark.parametrize("key", [KEY, OTHER_KEY], ids=["budget", "no_budget"])
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_a_request_is_one_script_to_come_in_and_one_to_leave(
    lonely_redis: str, key: str, stream: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("examples.full_app.limits.ledger.COUNT_SECONDS", 600)
    keys = [
        {"name": "alpha", "key": KEY, "budget_usd": "1"},
        {"name": "beta", "key": OTHER_KEY},
    ]
    app = create_app(
        settings(
            redis_url=lonely_redis,
            api_keys=json.dumps(keys),
            job_worker=False,
            slot_lease_seconds=600,  # it is not renewed meanwhile
        )
    )
    ask = {
        "model": "gpt-4o-mini",
        "messages": [{"role": "user", "content": "hi"}],
        "stream": stream,
    }
    with (
        serve(app) as url,
        httpx2.Client(base_url=url, headers={"Authorization": f"Bearer {key}"}) as http,
        sync_redis.Redis.from_url(lonely_redis) as client,
    ):

        def post(times: int) -> None:
            for _ in range(times):
                assert http.post("/v1/chat/completions", json=ask).status_code == 200
            wait_until(lambda: not client.exists("slots:overall"))

        post(2)  # connects, and tells Redis the scripts
        with monitored(client, lonely_redis) as commands:
            post(10)

    assert [each for each in commands if each != "exists"] == ["evalsha"] * 20
