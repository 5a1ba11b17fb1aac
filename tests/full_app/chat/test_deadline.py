"""One deadline for many waits: it cuts short what waits, and nothing else."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import pytest

from examples.full_app.chat.call import Deadline, current_task

T = TypeVar("T")
FAR = 3600.0
SOON = 0.01


async def wait_for(deadline: Deadline, step: Coroutine[Any, Any, T]) -> T:
    """Wait in this task."""
    return await deadline.wait_for(step, current_task())


async def forever() -> None:
    await asyncio.Event().wait()


def still_cancelling() -> int:
    task = asyncio.current_task()
    return task.cancelling() if task else -1


async def test_what_waits_too_long_is_cancelled() -> None:
    ended = []

    async def step() -> None:
        try:
            await forever()
        finally:
            ended.append(True)

    with pytest.raises(TimeoutError):
        await wait_for(Deadline(time.monotonic() + SOON), step())

    assert ended == [True]
    assert still_cancelling() == 0


async def test_every_wait_after_the_time_is_cut_short_too() -> None:
    deadline = Deadline(time.monotonic() - 1)
    for _ in range(2):
        with pytest.raises(TimeoutError):
            await wait_for(deadline, forever())


async def test_what_is_ready_is_never_too_late() -> None:
    async def step() -> int:
        return 1

    deadline = Deadline(time.monotonic() - 1)

    assert await wait_for(deadline, step()) == 1
    await asyncio.sleep(0)  # nobody waits when the timer goes off
    assert await wait_for(deadline, step()) == 1


async def test_it_can_be_moved_while_something_waits() -> None:
    deadline = Deadline(time.monotonic() + SOON)
    step = asyncio.ensure_future(wait_for(deadline, asyncio.sleep(5 * SOON, "late")))
    await asyncio.sleep(0)
    deadline.at = time.monotonic() + FAR

    assert await step == "late"


async def test_a_ring_cuts_short_what_waits_and_nothing_else() -> None:
    deadline = Deadline(None)
    deadline.cut_short()  # nobody waits
    step = asyncio.ensure_future(wait_for(deadline, forever()))
    await asyncio.sleep(0)
    deadline.cut_short()
    deadline.cut_short()

    with pytest.raises(TimeoutError):
        await step


@pytest.mark.parametrize("rings", [False, True])
async def test_the_cancellation_of_another_stays_one(rings: bool) -> None:
    deadline = Deadline(None)
    step = asyncio.ensure_future(wait_for(deadline, forever()))
    await asyncio.sleep(0)
    if rings:
        deadline.cut_short()
    step.cancel()
    await asyncio.wait({step})

    assert step.cancelled()


async def test_a_step_that_was_ready_at_the_same_moment_leaves_nothing_behind() -> None:
    deadline = Deadline(None)

    async def stubborn() -> str:
        try:
            await forever()
        except asyncio.CancelledError:
            return "ready"
        return ""

    async def reader() -> tuple[str, int]:
        return await wait_for(deadline, stubborn()), still_cancelling()

    step = asyncio.ensure_future(reader())
    await asyncio.sleep(0)
    deadline.cut_short()

    assert await step == ("ready", 0)


async def test_many_waits_have_one_timer(monkeypatch: pytest.MonkeyPatch) -> None:
    loop, made = asyncio.get_running_loop(), []
    call_later: Callable[..., asyncio.TimerHandle] = loop.call_later

    def counted(*args: Any) -> asyncio.TimerHandle:
        made.append(call_later(*args))
        return made[-1]

    async def step() -> None:
        ready: asyncio.Future[None] = loop.create_future()
        loop.call_soon(ready.set_result, None)
        await ready

    deadline = Deadline(time.monotonic() + FAR)
    monkeypatch.setattr(loop, "call_later", counted)
    for _ in range(10):
        await wait_for(deadline, step())
    deadline.close()

    assert [timer.cancelled() for timer in made] == [True]
