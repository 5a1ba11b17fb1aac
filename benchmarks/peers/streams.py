"""A client for what wrk cannot do: first tokens, a constant rate, open streams.

Plain asyncio connections, so that the client is cheap beside what it measures.
"""

import asyncio
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from benchmarks.client import read_answer, request
from benchmarks.peers.bodies import CHAT

SOMETHING_SAID = re.compile(rb'"content":\s*"[^"]')
PATIENCE_SECONDS = 60


@dataclass(frozen=True)
class Ask:
    """One chat request to the server at `base`."""

    base: str
    body: str
    headers: dict[str, str]

    def bytes(self) -> bytes:
        """As it goes over the wire."""
        return request(CHAT, urlsplit(self.base).netloc, self.body, self.headers)

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A new connection to the server."""
        place = urlsplit(self.base)
        return await asyncio.open_connection(place.hostname, place.port)


@dataclass
class Tally:
    """Seconds of each answer, and how many went wrong."""

    seconds: list[float] = field(default_factory=list)
    errors: int = 0


async def answer_of(ask: Ask) -> tuple[int, bytes]:
    """Status and body of one answer on a connection of its own."""
    reader, writer = await ask.connect()
    try:
        writer.write(ask.bytes())
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await read_answer(reader)
    finally:
        writer.close()


async def first_tokens(ask: Ask, count: int) -> Tally:
    """Seconds until the first text of a stream, one stream at a time."""
    tally = Tally()
    for _ in range(count):
        reader, writer = await ask.connect()
        try:
            begun = time.perf_counter()
            writer.write(ask.bytes())
            seen = b""
            while not SOMETHING_SAID.search(seen):
                piece = await asyncio.wait_for(reader.read(65_536), PATIENCE_SECONDS)
                if not piece:
                    break
                seen += piece
            tally.seconds.append(time.perf_counter() - begun)
            tally.errors += not SOMETHING_SAID.search(seen)
            while b"[DONE]" not in seen[-4_096:]:
                piece = await asyncio.wait_for(reader.read(65_536), PATIENCE_SECONDS)
                if not piece:
                    break
                seen += piece
        finally:
            writer.close()
    return tally


async def at_rate(ask: Ask, rate: int, seconds: float, connections: int = 64) -> Tally:
    """`rate` requests a second, whatever the server does: an open loop.

    An answer's time counts from when its request was due, so that a queue is seen.
    """
    tally, begun = Tally(), time.perf_counter()
    due = iter([begun + number / rate for number in range(int(rate * seconds))])

    async def connection() -> None:
        reader, writer = await ask.connect()
        try:
            for moment in due:
                await asyncio.sleep(max(0.0, moment - time.perf_counter()))
                writer.write(ask.bytes())
                status, _ = await read_answer(reader)
                tally.seconds.append(time.perf_counter() - moment)
                tally.errors += status != 200
        except (OSError, EOFError, ValueError):
            tally.errors += 1
        finally:
            writer.close()

    async with asyncio.timeout(seconds + PATIENCE_SECONDS):
        await asyncio.gather(*(connection() for _ in range(connections)))
    return tally


@asynccontextmanager
async def held(ask: Ask, count: int) -> AsyncIterator[int]:
    """Open `count` streams and leave them open; how many began with status 200."""
    writers: list[asyncio.StreamWriter] = []
    turn = asyncio.Semaphore(64)

    async def begin() -> bool:
        async with turn:
            reader, writer = await ask.connect()
            writers.append(writer)
            writer.write(ask.bytes())
        # Not in turn: a silent stream begins with its first heartbeat, after seconds.
        line = await asyncio.wait_for(reader.readline(), PATIENCE_SECONDS)
        return b" 200 " in line

    try:
        begun = await asyncio.gather(
            *(begin() for _ in range(count)), return_exceptions=True
        )
        yield sum(one is True for one in begun)
    finally:
        for writer in writers:
            writer.close()
        await asyncio.sleep(0)
