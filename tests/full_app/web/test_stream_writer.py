"""Frames that are ready together go together, and none waits for another."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable

import anyio
import pytest
from starlette.types import Message

from examples.full_app.lifecycle import ConnectionAborted
from examples.full_app.web.event_stream import MAX_WAITING_BYTES, EventStream

SCOPE = {"type": "http"}
Frames = AsyncGenerator[bytes, None]


class Client:
    """What a server would be told; `blocked` is a socket that is full."""

    def __init__(self) -> None:
        self.sent: list[Message] = []
        self.blocked = asyncio.Event()
        self.blocked.set()
        self.failure: Exception | None = None
        self.came = asyncio.Event()

    async def receive(self) -> Message:
        await asyncio.Event().wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        if self.failure and message["type"] == "http.response.body":
            raise self.failure
        await self.blocked.wait()
        self.sent.append(message)
        self.came.set()

    async def read(self, frames: Frames, heartbeat: float = 60) -> None:
        stream = EventStream(frames, bytes, heartbeat=heartbeat)
        async with asyncio.timeout(5):
            await stream(SCOPE, self.receive, self.send)

    @property
    def bodies(self) -> list[bytes]:
        return [m["body"] for m in self.sent if m["type"] == "http.response.body"]

    @property
    def complete(self) -> bool:
        return self.sent[-1].get("more_body") is False


async def test_what_is_ready_together_is_one_write_and_the_last_says_so() -> None:
    client = Client()

    async def frames() -> Frames:
        yield b"first"
        for _ in range(100):
            yield b"."

    await client.read(frames())

    assert client.bodies[0] == b"first"  # at once
    assert b"".join(client.bodies) == b"first" + b"." * 100
    assert len(client.bodies) <= 5
    assert client.complete


async def test_a_frame_does_not_wait_for_the_next() -> None:
    client = Client()

    async def frames() -> Frames:
        for number in range(3):
            client.came.clear()
            yield b"%d" % number
            await client.came.wait()  # the next is made when this was written

    await client.read(frames())

    assert [body for body in client.bodies if body] == [b"0", b"1", b"2"]


async def test_a_reader_that_does_not_read_stops_the_production() -> None:
    client, made = Client(), 0

    async def frames() -> Frames:
        nonlocal made
        while made < 100:
            made += 1
            yield b"." * (MAX_WAITING_BYTES // 4)

    reading = asyncio.create_task(client.read(frames()))
    await client.came.wait()
    client.blocked.clear()
    for _ in range(100):
        await asyncio.sleep(0)
    assert made <= 12  # what is being written, and what waits
    client.blocked.set()
    await reading

    assert sum(map(len, client.bodies)) == 100 * (MAX_WAITING_BYTES // 4)


@pytest.mark.parametrize("error", [RuntimeError("bug"), ConnectionAborted()])
async def test_what_came_before_a_failure_is_written_and_no_end(
    error: Exception,
) -> None:
    client = Client()

    async def frames() -> Frames:
        yield b"first"
        yield b"second"
        raise error

    if isinstance(error, ConnectionAborted):
        await client.read(frames())
    else:
        with pytest.raises(RuntimeError, match="bug"):
            await client.read(frames())

    assert b"".join(client.bodies) == b"firstsecond"
    assert not client.complete


async def test_a_send_that_fails_stops_the_frames() -> None:
    client, ended = Client(), []
    client.failure = OSError("gone")

    async def frames() -> Frames:
        try:
            yield b"first"
            await asyncio.Event().wait()
        finally:
            ended.append(True)

    with pytest.raises(OSError, match="gone"):
        await client.read(frames())

    assert ended == [True]


async def test_silence_is_filled_also_before_the_first_frame() -> None:
    client = Client()

    async def frames() -> Frames:
        while client.bodies != [b": ping\n"] * 2:
            await client.came.wait()
            client.came.clear()
        yield b"late"

    await client.read(frames(), heartbeat=0.01)

    assert client.bodies[:3] == [b": ping\n", b": ping\n", b"late"]


async def test_nothing_is_left_running(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    client, before = Client(), asyncio.all_tasks()
    loop, timers = asyncio.get_running_loop(), []
    call_later: Callable[..., asyncio.TimerHandle] = loop.call_later

    def counted(*args: object) -> asyncio.TimerHandle:
        timers.append(call_later(*args))
        return timers[-1]

    async def frames() -> Frames:
        yield b"only"

    monkeypatch.setattr(loop, "call_later", counted)
    await client.read(frames())

    assert asyncio.all_tasks() == before
    assert timers
    assert all(timer.cancelled() for timer in timers)


async def test_a_stream_that_is_cancelled_from_outside_is_closed_to_its_end() -> None:
    """A cancelled scope of anyio cancels every wait in it, those of closing, too."""
    client, closed = Client(), asyncio.Event()

    async def frames() -> Frames:
        yield b"first"
        await asyncio.Event().wait()

    async def close() -> None:
        await asyncio.sleep(0)
        closed.set()

    async def leave() -> None:
        await client.came.wait()
        scope.cancel()

    stream = EventStream(frames(), bytes, heartbeat=60, close=close)
    with anyio.CancelScope() as scope:
        leaving = asyncio.create_task(leave())
        await stream(SCOPE, client.receive, client.send)
    await leaving

    assert closed.is_set()


async def test_among_many_busy_streams_each_writes_what_its_turn_has_made() -> None:
    """Counted from a turn's end, those of others took one's own: a write a frame."""
    clients = [Client() for _ in range(60)]

    async def frames() -> Frames:
        for _ in range(20):
            ends = time.monotonic() + 0.0002
            while time.monotonic() < ends:
                pass
            yield b"."

    await asyncio.gather(*(client.read(frames()) for client in clients))

    assert sum(len(client.bodies) for client in clients) < 10 * len(clients)
