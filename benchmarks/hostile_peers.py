"""Honest callers beside hostile peers: what the second cost the first, and the memory.

    python -m benchmarks.hostile_peers [--seconds 600] [--callers 40]

A service in a process of its own, embedded and without pauses, answers honest callers,
alone at first and then beside a tenth as many hostile peers, for half of the time each.
A hostile peer does one hostile thing after another: a head of megabytes, half a head,
silence, a stream of which it reads nothing, two `Host` headers, and a request for
millions of log probabilities. Exit status 1 when an honest call failed, when the 99th
percentile of the honest calls more than doubled, or when the memory grew by more than
`GROWTH` beside the hostile peers.
"""

import argparse
import asyncio
import contextlib
import itertools
import json
import sys
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmarks.attacks.service import Service, request, running
from benchmarks.job_chaos import end_on_sigterm

PAUSE_SECONDS = 0.2  # between two calls of an honest caller
GROWTH = 0.2  # of the memory that the service had when hostile peers came
SLOWER = 2.0  # times the 99th percentile without hostile peers
LIMITS = {
    "FULL_APP_HEADER_TIMEOUT_SECONDS": "2",
    "FULL_APP_STREAM_SEND_SECONDS": "2",
}


@dataclass
class Tally:
    """What peers have seen: seconds of each honest call, failures, hostile acts."""

    seconds: list[float] = field(default_factory=list)
    failed: int = 0
    acts: dict[str, int] = field(default_factory=dict)


LONG_STREAM = request(
    "hostile", stream=True, messages=[{"role": "user", "content": "word " * 20_000}]
)
AMPLIFIED = request("hostile", n=16, max_tokens=16_384, logprobs=True, top_logprobs=20)
GET = b"GET /health/live HTTP/1.1\r\nHost: 127.0.0.1\r\n"
ACTS = {
    "a head of megabytes": (GET + b"X-Much: " + b"x" * 4_000_000, 5.0),
    "half a head": (GET, 10.0),
    "silence": (b"", 10.0),
    "a stream that is not read": (LONG_STREAM, 0.0),
    "two hosts": (GET + b"Host: evil.example\r\n\r\n", 5.0),
    "millions of log probabilities": (AMPLIFIED, 5.0),
}


async def honest(port: int, ends: float, tally: Tally) -> None:
    """Call, read the whole answer, and pause, until the time is over."""
    asked = request("honest")
    while time.monotonic() < ends:
        began = time.monotonic()
        try:
            async with asyncio.timeout(30):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(asked)
                answer = await reader.read()
                writer.close()
        except (OSError, TimeoutError):
            answer = b""
        if answer.startswith(b"HTTP/1.1 200"):
            tally.seconds.append(time.monotonic() - began)
        else:
            tally.failed += 1
        await asyncio.sleep(PAUSE_SECONDS)


async def hostile(port: int, ends: float, tally: Tally) -> None:
    """One hostile thing after another, until the time is over."""
    for name, (data, patience) in itertools.cycle(ACTS.items()):
        if time.monotonic() >= ends:
            return
        tally.acts[name] = tally.acts.get(name, 0) + 1
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(patience or 10.0):
                await misbehave(port, data, reads=patience > 0)


async def misbehave(port: int, data: bytes, *, reads: bool) -> None:
    """Send `data`; then wait for the end of the connection, with or without reading."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)
    try:
        writer.write(data)
        await writer.drain()
        if reads:
            while await reader.read(65_536):
                pass
        else:
            await writer.wait_closed()
    finally:
        writer.transport.abort()


Peer = Callable[[int, float, Tally], Coroutine[Any, Any, None]]


async def beside(service: Service, peers: Sequence[Peer], seconds: float) -> Tally:
    """What all these peers have seen in so many seconds."""
    tally = Tally()
    ends = time.monotonic() + seconds
    async with asyncio.TaskGroup() as group:
        for peer in peers:
            group.create_task(peer(service.port, ends, tally))
    return tally


def percentile_99(seconds: list[float]) -> float:
    """The time that 99 of 100 calls did not take, in milliseconds."""
    ordered = sorted(seconds)
    return round(ordered[len(ordered) * 99 // 100] * 1000, 1) if ordered else 0.0


async def measure(seconds: float, callers: int) -> dict[str, Any]:
    """The figures of one run."""
    attackers = max(1, callers // 10)
    with running(**LIMITS) as service:
        await beside(service, [honest] * callers, min(5.0, seconds / 4))  # warm
        alone = await beside(service, [honest] * callers, seconds / 2)
        before = service.resident_kib()
        peers: list[Peer] = [*[honest] * callers, *[hostile] * attackers]
        crowded = await beside(service, peers, seconds / 2)
        after = service.resident_kib()
    return {
        "seconds": seconds,
        "honest_callers": callers,
        "hostile_peers": attackers,
        "hostile_acts": crowded.acts,
        "honest_calls": len(alone.seconds) + len(crowded.seconds),
        "honest_failed": alone.failed + crowded.failed,
        "p99_ms_alone": percentile_99(alone.seconds),
        "p99_ms_beside": percentile_99(crowded.seconds),
        "resident_kib_before": before,
        "resident_kib_after": after,
    }


def verdict(found: dict[str, Any]) -> list[str]:
    """What did not hold, in words; nothing if all did."""
    wrong = []
    if found["honest_failed"] or not found["honest_calls"]:
        wrong.append("an honest call failed")
    if found["p99_ms_beside"] > SLOWER * found["p99_ms_alone"]:
        wrong.append("the 99th percentile more than doubled")
    if found["resident_kib_after"] > (1 + GROWTH) * found["resident_kib_before"]:
        wrong.append("the memory grew")
    return wrong


def main() -> int:
    """Run, print the figures as JSON, and say by the status whether all held."""
    end_on_sigterm()
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--callers", type=int, default=40)
    given = parser.parse_args()
    found = asyncio.run(measure(given.seconds, given.callers))
    found["wrong"] = verdict(found)
    print(json.dumps(found, indent=2))
    return 1 if found["wrong"] else 0


if __name__ == "__main__":
    sys.exit(main())
