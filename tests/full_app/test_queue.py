"""The queue: whoever hangs, hangs alone."""

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import AsyncIterator

import anyio
import pytest
from fakeredis import FakeAsyncRedis
from redis.asyncio import Redis

from examples.full_app import fair_shares
from examples.full_app import queue as queues
from examples.full_app.queue import CONCURRENCY, Queue, open_queue, work

MANY = 2 * CONCURRENCY
SHARE = 2  # of one caller


class Work:
    """What the queue has run; what belongs to `hanging` does not end before `go_on`."""

    def __init__(self, hanging: str) -> None:
        self.hanging = hanging
        self.go_on = asyncio.Event()
        self.begun: list[str] = []
        self.attempts: list[int] = []
        self.delays: list[float] = []  # until what was delivered is tried again
        self._began: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)

    async def run_job(self, job_id: str) -> bool:
        await self._run(job_id)
        return True

    async def deliver(
        self, endpoint_id: str, event_id: str, attempt: int
    ) -> float | None:
        self.attempts.append(attempt)
        await self._run(endpoint_id)
        if endpoint_id.startswith("broken"):
            raise ConnectionError
        return self.delays.pop(0) if self.delays else None

    async def sweep(self) -> None:
        """There is nothing to sweep."""

    async def until_begun(self, name: str, *, times: int = 1) -> None:
        with anyio.fail_after(30):
            while self.begun.count(name) < times:
                self._began[name].clear()
                await self._began[name].wait()

    async def _run(self, name: str) -> None:
        self.begun.append(name)
        self._began[name].set()
        if name.startswith(self.hanging):
            await self.go_on.wait()


@pytest.fixture(params=["embedded", "redis"])
async def queue(request: pytest.FixtureRequest) -> AsyncIterator[Queue]:
    url = None
    redis: Redis = FakeAsyncRedis()
    if request.param == "redis":
        url = f"{request.getfixturevalue('redis_server')}/11"
        redis = Redis.from_url(url)
    async with redis, open_queue(url, redis, deliveries_per_caller=SHARE) as queue:
        await redis.flushdb()
        yield queue


def running(
    queue: Queue, hanging: str, *, sweep_seconds: float = 60
) -> tuple[Work, contextlib.AbstractAsyncContextManager[None]]:
    todo = Work(hanging)
    queue.handle_jobs(todo.run_job, per_caller=SHARE)
    queue.handle_deliveries(todo.deliver, todo.sweep, sweep_seconds=sweep_seconds)
    return todo, work(queue, drain_seconds=5, lease=60)


async def test_a_receiver_that_hangs_holds_up_no_delivery_of_another_caller(
    queue: Queue,
) -> None:
    todo, workers = running(queue, "hanging")
    for number in range(MANY):
        await queue.add_delivery("ada", "hanging", f"evt_{number}")
    await queue.add_delivery("bob", "quick", "evt_bob")
    async with workers:
        await todo.until_begun("quick")
        await todo.until_begun("hanging", times=SHARE)
        assert todo.begun.count("hanging") == SHARE
        todo.go_on.set()


async def test_of_many_deliveries_of_one_caller_its_share_alone_is_on_the_docket(
    queue: Queue,
) -> None:
    todo, workers = running(queue, "hanging")
    for number in range(MANY):
        await queue.add_delivery("ada", f"endpoint_{number:02}", f"evt_{number}")
    waiting = await queue.deliveries.snapshot()
    async with workers:
        for number in range(MANY):
            await todo.until_begun(f"endpoint_{number:02}")

    assert waiting.total_tasks == SHARE
    assert len(set(todo.begun)) == MANY
    assert await queue.shares.owners() == []


async def test_a_delivery_that_is_to_be_tried_again_is_when_its_time_has_come(
    queue: Queue,
) -> None:
    todo, workers = running(queue, "hanging")
    todo.delays = [0.2, 0.0]
    async with workers:
        await queue.add_delivery("ada", "endpoint", "evt_1")
        await todo.until_begun("endpoint", times=3)

    assert todo.attempts == [1, 2, 3]


async def test_a_delivery_that_raises_is_tried_again_and_gives_its_place_to_the_next(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queues, "PAUSE_SECONDS", 0.2)
    todo, workers = running(queue, "hanging")
    for number in range(SHARE):
        await queue.add_delivery("ada", f"broken_{number}", f"evt_{number}")
    await queue.add_delivery("ada", "endpoint", "evt")
    async with workers:
        await todo.until_begun("endpoint")
        await todo.until_begun("broken_0", times=queues.MAX_FAILED_ATTEMPTS)

    assert max(todo.attempts) == queues.MAX_FAILED_ATTEMPTS


async def test_callers_take_turns_where_all_have_more_than_there_are_slots(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without turns the slots would be the first callers' until nothing waits."""
    monkeypatch.setattr(queues, "TURN_SECONDS", 0.0)
    todo, workers = running(queue, "hanging")
    callers = [f"caller_{number}" for number in range(MANY)]
    for number in range(8):
        for caller in callers:
            await queue.add_delivery(caller, caller, f"evt_{number}")
    async with workers:
        await todo.until_begun(callers[-1], times=8)

    first_of_the_last = todo.begun.index(callers[-1])
    assert first_of_the_last < len(todo.begun) / 2


async def test_a_delivery_that_an_earlier_worker_was_through_with_is_not_repeated(
    queue: Queue,
) -> None:
    """As when a worker dies after the delivery, and docket hands it out again."""
    todo, workers = running(queue, "hanging")
    again = queue.deliveries.add("deliver_in_turn", key="evt_1 endpoint 1")
    await again("ada", "endpoint", "evt_1", 1)
    await queue.add_delivery("bob", "quick", "evt_2")
    async with workers:
        await todo.until_begun("quick")

    assert todo.begun == ["quick"]


@pytest.mark.parametrize("begun", [True, False], ids=["begun", "due"])
async def test_a_delivery_that_no_process_began_is_found_by_the_sweep(
    queue: Queue, begun: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process died before it could put the delivery on the docket."""
    monkeypatch.setattr(fair_shares, "LOST_AFTER_SECONDS", 0.0)
    await queue.shares.add("ada", "evt_1 endpoint 1", 0 if begun else 0.001)
    todo, workers = running(queue, "hanging", sweep_seconds=0.1)
    async with workers:
        await todo.until_begun("endpoint")


async def test_receivers_that_take_all_slots_hold_up_no_job(queue: Queue) -> None:
    todo, workers = running(queue, "hanging")
    async with workers:
        for number in range(MANY):
            await queue.add_delivery(f"ada_{number}", "hanging", f"evt_{number}")
        await todo.until_begun("hanging")
        await queue.add_job("job_ada", "ada")
        await todo.until_begun("job_ada")
        todo.go_on.set()


async def test_many_jobs_of_one_caller_hold_up_no_job_of_another(queue: Queue) -> None:
    todo, workers = running(queue, "hanging")
    for number in range(MANY):
        await queue.add_job(f"hanging_{number}", "ada")
    async with workers:
        await todo.until_begun("hanging_0")
        await queue.add_job("quick", "bob")
        await todo.until_begun("quick")
        assert len(todo.begun) == 3, "of one caller's jobs two run at once"
        todo.go_on.set()


async def test_what_an_older_version_has_queued_is_done(queue: Queue) -> None:
    todo, workers = running(queue, "hanging")
    await queue.deliveries.add("deliver_webhook")("endpoint", "evt_1", 1)
    await queue.deliveries.add("deliver")("ada", "owned", "evt_1", 3)
    await queue.deliveries.add("run_job", key="job_1")("job_1", "ada")
    async with workers:
        await todo.until_begun("endpoint")
        await todo.until_begun("owned")
        await todo.until_begun("job_1")
