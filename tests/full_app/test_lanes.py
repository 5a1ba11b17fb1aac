"""Each call to an upstream has its own connection, and the last one used is next."""

import asyncio
from collections.abc import AsyncIterator

import httpx2
import pytest

from examples.full_app.providers import lanes as module
from examples.full_app.providers.lanes import Lanes

ASK = httpx2.Request("POST", "http://upstream/", content=b"{}")


class Said(httpx2.AsyncByteStream):
    """What an upstream says."""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield b"said"


class Lane(httpx2.AsyncBaseTransport):
    """Stands in for a connection."""

    def __init__(self) -> None:
        self.asked, self.closed, self.failure = 0, False, False

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        self.asked += 1
        if self.failure:
            raise httpx2.ReadError("reset")
        return httpx2.Response(200, stream=Said())

    async def aclose(self) -> None:
        self.closed = True


class Opened(list[Lane]):
    """All that were opened."""

    def __call__(self) -> Lane:
        self.append(Lane())
        return self[-1]


@pytest.fixture
def opened() -> Opened:
    return Opened()


@pytest.fixture
def lanes(opened: Opened) -> Lanes:
    return Lanes(opened, most=3)


async def test_calls_one_after_the_other_are_one_lanes(
    lanes: Lanes, opened: Opened
) -> None:
    for _ in range(5):
        answer = await lanes.handle_async_request(ASK)
        assert await answer.aread() == b"said"
        await answer.aclose()
        await answer.aclose()  # twice is once

    assert [lane.asked for lane in opened] == [5]


async def test_calls_at_once_have_a_lane_each_and_the_last_used_is_next(
    lanes: Lanes, opened: Opened
) -> None:
    answers = [await lanes.handle_async_request(ASK) for _ in range(3)]
    for number in (0, 2, 1):
        await answers[number].aclose()
    await lanes.handle_async_request(ASK)

    assert [lane.asked for lane in opened] == [1, 2, 1]


async def test_who_finds_none_waits_for_one_as_long_as_it_may(
    lanes: Lanes, opened: Opened
) -> None:
    answers = [await lanes.handle_async_request(ASK) for _ in range(3)]
    hasty = httpx2.Request("GET", "http://upstream/")
    hasty.extensions["timeout"] = {"pool": 0.01}

    with pytest.raises(httpx2.PoolTimeout):
        await lanes.handle_async_request(hasty)
    patient = asyncio.create_task(lanes.handle_async_request(ASK))
    await asyncio.sleep(0)
    await answers[1].aclose()

    assert (await patient).status_code == 200
    assert [lane.asked for lane in opened] == [1, 2, 1]


async def test_a_lane_whose_call_failed_is_free_again(
    lanes: Lanes, opened: Opened
) -> None:
    await (await lanes.handle_async_request(ASK)).aclose()
    opened[0].failure = True
    for _ in range(4):  # more than there are places
        with pytest.raises(httpx2.ReadError):
            await lanes.handle_async_request(ASK)

    assert [lane.asked for lane in opened] == [5]


async def test_an_old_one_that_is_idle_is_closed_by_whoever_comes(
    lanes: Lanes, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    for answer in [await lanes.handle_async_request(ASK) for _ in range(3)]:
        await answer.aclose()
    await lanes.handle_async_request(ASK)
    assert not any(lane.closed for lane in opened)

    monkeypatch.setattr(module, "KEPT_SECONDS", -1.0)
    await lanes.handle_async_request(ASK)

    assert [lane.closed for lane in opened] == [True, False, False]


async def test_all_are_closed_at_the_end(lanes: Lanes, opened: Opened) -> None:
    answers = [await lanes.handle_async_request(ASK) for _ in range(2)]
    await answers[0].aclose()

    await lanes.aclose()

    assert [lane.closed for lane in opened] == [True, True]
