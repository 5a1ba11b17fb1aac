"""How many calls run at once: leases, the queue before them, and clients that leave."""

import asyncio
import contextlib
import json
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator, Mapping

import httpx2
import pytest
from redis.asyncio import Redis
from websockets.sync.client import connect

from examples.full_app.limits.ledger import Ledger
from examples.full_app.limits.rates import Limiter, RateLimit, UnheardReservation
from examples.full_app.limits.scripts import DECIDE
from examples.full_app.limits.slots import (
    MOST_RETRY_AFTER,
    RETRY_AFTER,
    ConcurrencyLimitError,
    DurationEstimate,
    NoSlotError,
    OverloadedError,
    Slots,
)
from examples.full_app.limits.waiting import WaitingQueue
from examples.full_app.main import create_app
from examples.s4_dependency_injection import open_redis
from tests.full_app.conftest import KEY, OTHER_KEY, settings
from tests.full_app.limits.test_ledger import over_a_wire
from tests.full_app.scripted import Scripted, scripted
from tests.full_app.upstreams import HELLO, SSE
from tests.servers import serve, wait_until

MANY = 1_000_000
PATH = "/v1/chat/completions"
HEADERS = {"Authorization": f"Bearer {KEY}"}
OTHER = {"Authorization": f"Bearer {OTHER_KEY}"}
HUNG = {"model": "any", "messages": [{"role": "user", "content": "hi"}]}
QUICK = {**HUNG, "model": "offline-echo"}


@pytest.fixture
async def redis(redis_url: str | None) -> AsyncIterator[Redis]:
    apart = redis_url and f"{redis_url}/10"  # no other test's keys are flushed
    async with open_redis(settings(redis_url=apart)) as client:
        await client.flushdb()
        yield client


def process_of(
    redis: Redis, *, each: int = 9, overall: int = 9, lease: float = 60
) -> Limiter:
    """The limiter of one process: what it holds, no other one renews."""
    slots = Slots(redis, each=each, overall=overall, lease_seconds=lease)
    return Limiter(
        redis, RateLimit("requests", 100), RateLimit("tokens", 100), slots=slots
    )


async def test_each_caller_and_all_together_have_so_many_slots(redis: Redis) -> None:
    limiter = process_of(redis, each=2, overall=3)
    first = await limiter.reserve("ada", 1)
    await limiter.reserve("ada", 1)
    with pytest.raises(ConcurrencyLimitError):
        await limiter.reserve("ada", 1)
    await limiter.reserve("bob", 1)
    with pytest.raises(OverloadedError):
        await limiter.reserve("bob", 1)
    await limiter.settle(first, 1)

    # Refused calls took nothing: of 100 requests two are gone, this is the third.
    lease = await limiter.reserve("bob", 1)
    assert lease.headers["x-ratelimit-remaining-requests"] == "98"


async def test_with_a_budget_a_slot_is_part_of_the_same_step(redis: Redis) -> None:
    limiter = process_of(redis, each=1)
    ledger = Ledger(limiter, {"ada": 1000})
    hold = await ledger.reserve("ada", 1, 10, seconds=60)
    with pytest.raises(ConcurrencyLimitError):
        await ledger.reserve("ada", 1, 10, seconds=60)
    account = await ledger.account("ada")
    await ledger.settle(hold, 1, 10)

    assert account is not None
    assert account.reserved == 10
    await ledger.release(await ledger.reserve("ada", 1, 10, seconds=60))


async def test_what_a_killed_process_held_comes_back_and_nothing_else(
    redis: Redis,
) -> None:
    alive = process_of(redis, each=2, lease=1.0)
    killed = process_of(redis, each=2, lease=1.0)
    assert alive.slots is not None
    async with alive.slots.renewed():
        await alive.reserve("ada", 1)
        await killed.reserve("ada", 1)
        with pytest.raises(NoSlotError):
            await alive.reserve("ada", 1)
        deadline = time.monotonic() + 10
        while True:
            with contextlib.suppress(NoSlotError):
                await alive.reserve("ada", 1)
                break
            assert time.monotonic() < deadline
            await asyncio.sleep(0.05)
        with pytest.raises(NoSlotError):  # the first is renewed still
            await alive.reserve("ada", 1)


async def test_a_call_that_redis_was_too_slow_for_gives_its_slot_and_tokens_back(
    redis: Redis,
) -> None:
    async with over_a_wire(redis) as (client, wire):
        limiter = process_of(client, each=1)
        await limiter.settle(await limiter.reserve("ada", 0), 0)
        limiter.scripts.timeout = 0.05
        wire.hold_back = True
        lease = await limiter.reserve("ada", 50)  # it passes, without a limit
        assert await redis.zcard("slots:overall") == 1
        with pytest.raises(TimeoutError):
            await limiter.undo_unheard()  # Redis is silent still
        limiter.scripts.timeout = 60
        wire.go_on.set()
        await limiter.scripts.idle()
        await limiter.undo_unheard()

        other = process_of(redis, each=1)
        again = await other.reserve("ada", 0)
        await limiter.undo_unheard()  # once more, and then never again
    assert lease.slot == ""
    assert again.headers["x-ratelimit-remaining-requests"] == "98"
    assert again.headers["x-ratelimit-remaining-tokens"] == "100"
    assert await redis.zcard("slots:overall") == 1  # the other's
    assert not limiter._unheard


async def test_a_reservation_that_redis_reads_after_its_undoing_is_undone(
    redis: Redis,
) -> None:
    """It waited on a connection of its own while Redis was stopped."""
    limiter, late = process_of(redis, each=1), process_of(redis, each=1)
    slot = late.new_slot()
    limiter._unheard.append(UnheardReservation("ada", 50, slot))
    await limiter.undo_unheard()
    keys, args = late.script_part("ada", (1, 50), slot)
    assert (await late.scripts.call(DECIDE, keys, args))[0] == 1
    await limiter.undo_unheard()

    assert await redis.zcard("slots:overall") == 0


async def test_an_admission_whose_answer_was_lost_counts_once(redis: Redis) -> None:
    async with over_a_wire(redis) as (client, wire):
        limiter = process_of(client, each=1)
        await limiter.settle(await limiter.reserve("ada", 0), 0)
        wire.lose = 1  # redis-py sends the whole pipeline again
        lease = await limiter.reserve("ada", 40)
        assert wire.lose == 0

        assert lease.headers["x-ratelimit-remaining-requests"] == "98"
        assert lease.headers["x-ratelimit-remaining-tokens"] == "60"
        await limiter.settle(lease, 40)
        again = await limiter.reserve("ada", 0)
    assert again.headers["x-ratelimit-remaining-requests"] == "97"
    assert again.headers["x-ratelimit-remaining-tokens"] == "60"


async def test_who_leaves_while_the_answer_is_on_its_way_holds_no_slot(
    redis: Redis,
) -> None:
    async with over_a_wire(redis) as (client, wire):
        limiter = process_of(client, each=1)
        await limiter.settle(await limiter.reserve("ada", 0), 0)
        wire.hold_back = True
        leaving = asyncio.create_task(limiter.reserve("ada", 1))
        await wire.arrived.wait()
        leaving.cancel()
        wire.go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await leaving

        await process_of(redis, each=1).reserve("ada", 1)


async def test_who_leaves_then_gets_back_all_that_was_taken(redis: Redis) -> None:
    async with over_a_wire(redis) as (client, wire):
        limiter = process_of(client)
        await limiter.settle(await limiter.reserve("ada", 0), 0)
        wire.hold_back = True
        leaving = asyncio.create_task(limiter.reserve("ada", 50))
        await wire.arrived.wait()
        leaving.cancel()
        wire.go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await leaving

        lease = await process_of(redis).reserve("ada", 0)
    assert lease.headers["x-ratelimit-remaining-requests"] == "98"
    assert lease.headers["x-ratelimit-remaining-tokens"] == "100"


async def test_who_was_refused_and_leaves_gets_nothing_back(redis: Redis) -> None:
    full = process_of(redis, each=1)
    await full.reserve("ada", 60)
    async with over_a_wire(redis) as (client, wire):
        limiter = process_of(client, each=1)
        await limiter.settle(await limiter.reserve("bob", 0), 0)
        wire.hold_back = True
        leaving = asyncio.create_task(limiter.reserve("ada", 10))
        await wire.arrived.wait()
        leaving.cancel()
        wire.go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await leaving

        lease = await process_of(redis).reserve("ada", 0)
    assert lease.headers["x-ratelimit-remaining-tokens"] == "40"


@pytest.mark.wire
@pytest.mark.parametrize("lasts", [0.2, 4.0, 45.0, 600.0])
async def test_who_is_refused_a_slot_is_told_when_one_is_like_to_be_free(
    redis: Redis, lasts: float
) -> None:
    now = 0.0
    slots = Slots(redis, each=1, overall=9, lease_seconds=60, clock=lambda: now)
    limiter = Limiter(
        redis, RateLimit("requests", 100), RateLimit("tokens", 100), None, slots
    )
    for _ in range(20):
        lease = await limiter.reserve("ada", 0)
        now += lasts
        await limiter.settle(lease, 0)
    lease = await limiter.reserve("ada", 0)
    ends = now + lasts
    now += lasts / 4
    with pytest.raises(ConcurrencyLimitError) as refused:
        await limiter.reserve("ada", 0)

    wait = refused.value.retry_after
    assert wait is not None
    if lasts < RETRY_AFTER:
        assert wait == RETRY_AFTER
    elif lasts > MOST_RETRY_AFTER:
        assert wait == MOST_RETRY_AFTER
    else:
        assert ends <= now + wait < ends + lasts / 4


@pytest.mark.wire
def test_the_estimate_covers_calls_that_last_now_this_long_now_that() -> None:
    estimate, too_short = DurationEstimate(), 0
    for number in range(200):
        lasted = (1.0, 9.0, 4.0, 2.0)[number % 4]
        too_short += number > 8 and estimate.seconds < lasted
        estimate.add(lasted)

    assert too_short == 0
    assert 9 < estimate.seconds < 25


class Unhurried(Scripted):
    """Every answer takes it the same time."""

    seconds = 1.5

    async def _silence(self) -> None:
        await asyncio.sleep(self.seconds)


@pytest.mark.wire
@pytest.mark.deep  # the waiting itself is tried
@pytest.mark.parametrize("whose", ["concurrent_calls", "concurrent_calls_per_key"])
def test_who_waits_for_a_slot_as_long_as_told_gets_one(whose: str) -> None:
    provider = Unhurried()
    app = create_app(settings(queue_places=0, **{whose: 1}), provider=provider)
    with (
        serve(app) as base,
        httpx2.Client(base_url=base, headers=HEADERS, timeout=10) as http,
    ):
        for _ in range(3):
            assert http.post(PATH, json=HUNG).status_code == 200
        with asking(base, HUNG):
            wait_until(lambda: provider.started == 4)
            refused = http.post(PATH, json=HUNG)
            told = int(refused.headers["retry-after-ms"]) / 1000
            threading.Event().wait(told)
            assert http.post(PATH, json=HUNG).status_code == 200

    assert refused.status_code in (429, 503)
    assert RETRY_AFTER < told < 3 * Unhurried.seconds


async def test_the_queue_is_in_order_bounded_and_short() -> None:
    free, tries, order = 0, 0, []
    room = WaitingQueue(3, 60)

    async def admit(number: int) -> None:
        async def attempt() -> None:
            nonlocal free, tries
            tries += 1
            if not free:
                raise OverloadedError("full")
            free -= 1
            order.append(number)

        await room.admitted("ada", attempt)

    waiting = [asyncio.create_task(admit(number)) for number in range(3)]
    await asyncio.sleep(0)
    with pytest.raises(OverloadedError):
        await admit(3)
    before = tries
    room.notify()
    for _ in range(20):
        await asyncio.sleep(0)
    assert tries == before + 1  # only the first in line looks
    for _ in range(3):
        free += 1
        room.notify()
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        waiting = [task for task in waiting if not task.done()]
    room.max_wait_seconds = 0.01
    with pytest.raises(OverloadedError):
        await admit(4)

    assert (order, room.taken) == ([0, 1, 2], 0)


class Upstream:
    """Says so much of an answer, then nothing until its caller hangs up."""

    def __init__(self, server: socket.socket) -> None:
        self.server = server
        self.says = b""
        self.asked = 0
        self.left = 0

    def run(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(
                    target=self._answer, args=[self.server.accept()[0]], daemon=True
                ).start()

    def _answer(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            request = connection.recv(65_536)
            if request.startswith(b"GET"):
                connection.sendall(b"HTTP/1.1 404 X\r\ncontent-length: 0\r\n\r\n")
                return
            connection.sendall(self.says)
            self.asked += 1
            while connection.recv(65_536):
                pass
        self.left += 1


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        upstream = Upstream(server)
        threading.Thread(target=upstream.run, daemon=True).start()
        yield upstream
        server.shutdown(socket.SHUT_RDWR)


@pytest.fixture(scope="module")
def base(upstream: Upstream) -> Iterator[str]:
    """full_app where a key may run one call, two may run in all, and nobody waits."""
    keys = [
        {"name": "alpha", "key": KEY, "budget_usd": "1"},
        {"name": "beta", "key": OTHER_KEY},
        {"name": "gamma", "key": f"{KEY}-third"},
    ]
    app = create_app(
        settings(
            api_keys=json.dumps(keys),
            upstream_base_url=f"http://127.0.0.1:{upstream.server.getsockname()[1]}/v1",
            unpriced_models="free",
            concurrent_calls=2,
            concurrent_calls_per_key=1,
            queue_places=0,
            heartbeat_seconds=0.05,
            request_timeout_seconds=600,
        )
    )
    with serve(app) as url:
        yield url


@contextlib.contextmanager
def asking(base: str, body: Mapping[str, object]) -> Iterator[socket.socket]:
    """A client that has asked, and hangs up at the end of the block."""
    content = json.dumps(body).encode()
    host, port = base.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as client:
        head = (
            "POST /v1/chat/completions HTTP/1.1",
            "Host: localhost",
            "Content-Type: application/json",
            f"Authorization: Bearer {KEY}",
            f"Content-Length: {len(content)}",
        )
        client.sendall("\r\n".join([*head, "", ""]).encode() + content)
        yield client


def leave_in_the_middle(base: str, kind: str, upstream: Upstream) -> None:
    """Ask, wait until the upstream was asked, and hang up."""
    before = upstream.asked
    body = {**HUNG, "model": "gpt-4o-mini"}
    if kind == "live":
        address = base.replace("http", "ws", 1) + "/v1/live"
        with connect(address, additional_headers=HEADERS) as socket_:
            socket_.send(json.dumps({"type": "chat.create", "request": body}))
            wait_until(lambda: upstream.asked > before)
        return
    with asking(base, {**body, "stream": kind == "stream"}) as client:
        wait_until(lambda: upstream.asked > before)
        if kind == "stream":
            client.recv(1)  # the head of the answer, and more where there is more


@pytest.mark.wire
@pytest.mark.parametrize("said", [b"", SSE + HELLO * 3], ids=["before", "after_3"])
@pytest.mark.parametrize("kind", ["sync", "stream", "live"])
def test_a_client_that_leaves_frees_upstream_slot_money_and_tasks(
    base: str, upstream: Upstream, kind: str, said: bytes
) -> None:
    """The upstream would hang, and the call last, for longer than this test waits."""
    upstream.says = said
    left = upstream.left

    def served() -> bool:
        return http.post(PATH, json=QUICK).status_code == 200

    def says_that_one_request_runs() -> bool:  # the one that asks
        return "http_server_active_requests 1.0" in http.get("/metrics").text

    with httpx2.Client(base_url=base, headers=HEADERS, timeout=10) as http:
        spent = float(http.get("/v1/usage").json()["spent_usd"])
        leave_in_the_middle(base, kind, upstream)
        wait_until(served, what="a free slot")
        wait_until(lambda: upstream.left > left, what="hanging up")
        wait_until(says_that_one_request_runs, what="the end of the request")
        usage = http.get("/v1/usage").json()

    assert usage["reserved_usd"] == "0"
    assert (float(usage["spent_usd"]) > spent) == bool(said)


@pytest.mark.wire
def test_without_a_slot_it_is_429_for_ones_own_and_503_for_all(
    base: str, upstream: Upstream
) -> None:
    upstream.says = SSE + HELLO
    hung = {**HUNG, "stream": True}
    with (
        httpx2.Client(base_url=base, headers=HEADERS, timeout=10) as http,
        http.stream("POST", PATH, json=hung) as first,
    ):
        lines = first.iter_lines()  # dropped, it would hang up
        next(lines)
        own = http.post(PATH, json=QUICK)
        with httpx2.stream("POST", f"{base}{PATH}", json=hung, headers=OTHER) as second:
            more = second.iter_lines()
            next(more)
            embed = {"model": "text-embedding-3-small", "input": "x"}
            all_of_them = http.post(
                "/v1/embeddings",
                json=embed,
                headers={"Authorization": f"Bearer {KEY}-third"},
            )
            exempt = [http.get(path) for path in ("/health/ready", "/metrics")]

    assert (own.status_code, own.json()["code"]) == (429, "rate_limit_exceeded")
    assert own.headers["x-should-retry"] == "true"
    assert own.headers["retry-after"] == "1"
    assert own.headers["x-ratelimit-limit-requests"]
    assert (all_of_them.status_code, all_of_them.json()["code"]) == (503, "overloaded")
    assert all_of_them.headers["x-should-retry"] == "true"
    assert all_of_them.headers["retry-after"] == "1"
    assert [answer.status_code for answer in exempt] == [200, 200]


def test_who_leaves_the_queue_frees_its_place_and_the_next_is_served() -> None:
    given = {"concurrent_calls": 1, "queue_places": 1, "queue_seconds": 60}
    with (
        scripted(**given) as (base, provider),
        httpx2.Client(base_url=base, headers=HEADERS, timeout=10) as http,
    ):

        def waiting(calls: int) -> bool:
            return f"calls_waiting {calls}.0" in http.get("/metrics").text

        provider.silent = True
        with asking(base, HUNG):
            wait_until(lambda: provider.started == 1)
            with asking(base, HUNG):
                wait_until(lambda: waiting(1), what="waiting")
                turned_away = http.post(PATH, json=HUNG)
            wait_until(lambda: waiting(0), what="leaving the queue")
            with asking(base, HUNG) as next_one:
                wait_until(lambda: waiting(1))
                provider.silent = False
                served = next_one.recv(20)

    assert turned_away.status_code == 503
    assert served.startswith(b"HTTP/1.1 200")
    assert provider.started == 2
