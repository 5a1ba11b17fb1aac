"""A small load generator: asyncio, keep-alive, a request at a time a connection.

It reads a `Target` as JSON from standard input, and prints a `Load`.
"""

import asyncio
import contextlib
import itertools
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from pydantic import TypeAdapter

from benchmarks.load import Load, Target


@dataclass
class Tally:
    """What the connections have seen: seconds of each answer, and how many failed."""

    seconds: list[float] = field(default_factory=list)
    errors: int = 0


async def measure(target: Target) -> Load:
    """Keep `target.connections` requests in flight for `target.seconds`."""
    tally = Tally()
    started = time.perf_counter()
    end = started + target.seconds
    async with asyncio.TaskGroup() as connections:
        for _ in range(target.connections):
            connections.create_task(_connection(target, end, tally))
    took = time.perf_counter() - started
    ordered = sorted(tally.seconds)
    return Load(
        requests=len(ordered),
        requests_per_second=len(ordered) / took,
        p50_ms=quantile(ordered, 0.5) * 1000,
        p99_ms=quantile(ordered, 0.99) * 1000,
        errors=tally.errors,
    )


def quantile(ordered: list[float], share: float) -> float:
    """The value that `share` of `ordered` do not exceed; 0 for an empty list."""
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


async def _connection(target: Target, end: float, tally: Tally) -> None:
    url = urlsplit(target.url)
    requests = _requests(target)
    while time.perf_counter() < end:
        try:
            reader, writer = await asyncio.open_connection(url.hostname, url.port)
        except OSError:
            tally.errors += 1
            await asyncio.sleep(0.05)
            continue
        try:
            while time.perf_counter() < end:
                begun = time.perf_counter()
                writer.write(next(requests))
                status, _ = await read_answer(reader)
                tally.seconds.append(time.perf_counter() - begun)
                tally.errors += not 200 <= status < 300
        except (OSError, EOFError, ValueError):
            tally.errors += 1
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


def _requests(target: Target) -> Iterator[bytes]:
    """The bytes of one request after the other, without end."""
    bearers = [{"Authorization": f"Bearer {key}"} for key in target.keys] or [{}]
    url, body = urlsplit(target.url), target.body
    made = [
        request(url.path or "/", url.netloc, body, {**target.headers, **bearer})
        for bearer in bearers
    ]
    return itertools.cycle(made)


def request(
    path: str, host: str, body: str | None, headers: Mapping[str, str]
) -> bytes:
    """A request as HTTP/1.1 writes it: a POST if it has a body."""
    data = (body or "").encode()
    lines = [f"{'POST' if data else 'GET'} {path} HTTP/1.1", f"Host: {host}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    if data:
        lines += ["Content-Type: application/json", f"Content-Length: {len(data)}"]
    return "\r\n".join([*lines, "", ""]).encode() + data


async def read_answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """Status and body of one answer, read whole. Raises EOFError if it ends early."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
    pieces = []
    if "transfer-encoding: chunked" in head:
        while size := int(await reader.readline(), 16):
            pieces.append((await reader.readexactly(size + 2))[:-2])
        await reader.readline()
    elif "content-length:" in head:
        length = head.split("content-length:", 1)[1].split("\r\n", 1)[0]
        pieces.append(await reader.readexactly(int(length)))
    return int(head.split(" ", 2)[1]), b"".join(pieces)


if __name__ == "__main__":
    asked = TypeAdapter(Target).validate_json(sys.stdin.read())
    sys.stdout.write(asyncio.run(measure(asked)).model_dump_json())
