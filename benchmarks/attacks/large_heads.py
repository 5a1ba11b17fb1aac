"""Kind 2: heads of megabytes, millions of headers and false hosts, sent without a key.

    python -m benchmarks.attacks.large_heads [--heads 60] [--hosts 400]

Every other head is one header of 160 MB, the others are two million headers.
"""

import asyncio
import contextlib
from collections.abc import Iterable, Iterator

from benchmarks.attacks.run import Figures, run, what_went_wrong
from benchmarks.attacks.service import Service, running

BEGIN = b"GET /health/live HTTP/1.1\r\n"
GET = BEGIN + b"Host: 127.0.0.1\r\n"
MIB = 1024 * 1024
ONE_HEADER_MIB = 160
HEADERS = 2_000_000
AT_ONCE = 10
GROWTH_KIB = 50 * 1024
HOSTS = (
    b"Host: localhost\r\nHost: localhost\r\n",
    b"Host: localhost:evil.example\r\n",
    b"Host: user@localhost\r\n",
    b"Host: evil.example/localhost\r\n",
)


def one_header() -> Iterator[bytes]:
    """A head with one header of 160 MB, in pieces, without its end."""
    yield GET + b"X-Much: "
    for _ in range(ONE_HEADER_MIB):
        yield b"x" * MIB


def many_headers() -> Iterator[bytes]:
    """A head with two million headers, in pieces, without its end."""
    yield GET
    batch = 10_000
    for _ in range(HEADERS // batch):
        yield b"x: 1\r\n" * batch


async def status_of(port: int, pieces: Iterable[bytes]) -> str:
    """Send the pieces until an answer comes: its status; `closed` without one."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    answer = asyncio.create_task(reader.read(12))
    try:
        with contextlib.suppress(OSError):
            for piece in pieces:
                if answer.done():
                    break
                writer.write(piece)
                await writer.drain()
        async with asyncio.timeout(30):
            return (await answer)[9:].decode("ascii") or "closed"
    except (OSError, TimeoutError):
        return "closed"
    finally:
        answer.cancel()
        writer.transport.abort()


async def attack(service: Service, heads: int, hosts: int) -> dict[str, list[str]]:
    """The statuses that heads and hosts were answered with."""
    limit = asyncio.Semaphore(AT_ONCE)

    async def send(pieces: Iterable[bytes]) -> str:
        async with limit:
            return await status_of(service.port, pieces)

    large = [one_header() if i % 2 else many_headers() for i in range(heads)]
    false = [[BEGIN + HOSTS[i % len(HOSTS)] + b"\r\n"] for i in range(hosts)]
    return {
        "heads": await asyncio.gather(*map(send, large)),
        "hosts": await asyncio.gather(*map(send, false)),
    }


def measure(heads: int, hosts: int) -> Figures:
    """What each was answered, and how much memory the service took for it."""
    with running() as service, service.client() as http:
        assert http.get("/v1/models").is_success  # noqa: S101 - warm, and as it should be
        before = service.peak_kib()
        statuses = asyncio.run(attack(service, heads, hosts))
        growth = service.peak_kib() - before
        honest = http.get("/v1/models").status_code
    count = {kind: statuses[kind].count for kind in statuses}
    return {
        "heads": heads,
        "answered_431": count["heads"]("431"),
        "closed_without_an_answer": count["heads"]("closed"),
        "hosts": hosts,
        "answered_400": count["hosts"]("400"),
        "growth_kib": growth,
        "wrong": what_went_wrong(
            {
                "a head was not refused": not {*statuses["heads"]} <= {"431", "closed"},
                "a head was closed without an answer": "closed" in statuses["heads"],
                "a false host was not refused": {*statuses["hosts"]} != {"400"},
                "the memory grew": growth > GROWTH_KIB,
                "an honest call failed": honest != 200,
            }
        ),
    }


if __name__ == "__main__":
    run(__doc__, measure, heads=60, hosts=400)
