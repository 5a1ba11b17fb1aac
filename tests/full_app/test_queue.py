"""The queue: whoever hangs, hangs alone."""

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import AsyncIterator

import anyio
import pytest

from examples.full_app.queue import CONCURRENCY, Queue, open_queue, work

MANY = 2 * CONCURRENCY


class Work:
    """What the queue has run; what belongs to `hanging` does not end before `go_on`."""

    def __init__(self, hanging: str) -> None:
        self.hanging = hanging
        self.go_on = asyncio.Event()
        self.begun: list[str] = []
        self._began: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)

    async def run_job(self, job_id: str) -> bool:
        await self._run(job_id)
        return True

    async def deliver(self, endpoint_id: str, event_id: str, attempt: int) -> None:
        await self._run(endpoint_id)

    async def sweep(self) -> None:
        """There is nothing to sweep."""

    async def until_begun(self, name: str) -> None:
        with anyio.fail_after(30):
            await self._began[name].wait()

    async def _run(self, name: str) -> None:
        self.begun.append(name)
        self._began[name].set()
        if name.startswith(self.hanging):
            await self.go_on.wait()


@pytest.fixture(params=["embedded", "redis"])
async def queue(request: pytest.FixtureRequest) -> AsyncIterator[Queue]:
    url = None
    if request.param == "redis":
        url = f"{request.getfixturevalue('redis_server')}/11"
    async with open_queue(url) as queue:
        await queue.jobs.clear()
        await queue.deliveries.clear()
        yield queue


def running(
    queue: Queue, hanging: str, *, per_caller: int = 2
) -> tuple[Work, contextlib.AbstractAsyncContextManager[None]]:
    todo = Work(hanging)
    queue.handle_jobs(todo.run_job, per_caller=per_caller)
    queue.handle_deliveries(
        todo.deliver, todo.sweep, per_caller=per_caller, sweep_seconds=60
    )
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
        todo.go_on.set()


async def test_receivers_that_take_all_slots_hold_up_no_job(queue: Queue) -> None:
    todo, workers = running(queue, "hanging", per_caller=MANY)
    async with workers:
        for number in range(MANY):
            await queue.add_delivery("ada", "hanging", f"evt_{number}")
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
    await queue.deliveries.add("run_job", key="job_1")("job_1", "ada")
    async with workers:
        await todo.until_begun("endpoint")
        await todo.until_begun("job_1")
