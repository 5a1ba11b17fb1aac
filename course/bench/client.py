"""A small load generator: asyncio, keep-alive, a request at a time a connection.

python -m course.bench.client http://127.0.0.1:8000/json 32 3 ""
"""

import asyncio
import contextlib
import sys
import time
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from course.bench.load import Load, Target


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
    request = _request(url.path or "/", url.netloc, target.body)
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
                writer.write(request)
                status = await _answer(reader)
                tally.seconds.append(time.perf_counter() - begun)
                tally.errors += not 200 <= status < 300
        except (OSError, EOFError, ValueError):
            tally.errors += 1
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


def _request(path: str, host: str, body: str | None) -> bytes:
    data = (body or "").encode()
    lines = [f"{'POST' if data else 'GET'} {path} HTTP/1.1", f"Host: {host}"]
    if data:
        lines += ["Content-Type: application/json", f"Content-Length: {len(data)}"]
    return "\r\n".join([*lines, "", ""]).encode() + data


async def _answer(reader: asyncio.StreamReader) -> int:
    """Read one answer whole; its status."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
    if "transfer-encoding: chunked" in head:
        while size := int(await reader.readline(), 16):
            await reader.readexactly(size + 2)
        await reader.readline()
    elif "content-length:" in head:
        length = head.split("content-length:", 1)[1].split("\r\n", 1)[0]
        await reader.readexactly(int(length))
    return int(head.split(" ", 2)[1])


if __name__ == "__main__":
    address, connections, seconds, text = sys.argv[1:]
    asked = Target(address, int(connections), float(seconds), text or None)
    sys.stdout.write(asyncio.run(measure(asked)).model_dump_json())
