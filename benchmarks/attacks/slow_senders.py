"""Kind 3: connections that say nothing or too little, when file descriptors are few.

    python -m benchmarks.attacks.slow_senders [--connections 300] [--files 256]

One wave after the other: silence, half a head, a head of a byte a second, a body of a
byte a second. All settings are the service's own, but that a body must arrive within 20
seconds. An honest caller calls on a new connection every half second. The service must
cut each wave, and must not be deaf for longer than the wave lasts.
"""

import asyncio
import contextlib
import time

from benchmarks.attacks.run import Figures, run, what_went_wrong
from benchmarks.attacks.service import Service, running

GET = b"GET /health/live HTTP/1.1\r\nHost: 127.0.0.1\r\n"
POST = (
    b"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9999\r\n"
    b"Content-Type: application/json\r\nAuthorization: Bearer sk-hostile\r\n\r\n"
)
BODY_SECONDS = 20
CUT_SECONDS = {
    "silence": 15,
    "half a head": 15,
    "a head of a byte a second": 15,
    "a body of a byte a second": BODY_SECONDS,
}
BEGINNINGS = {"half a head": GET, "a body of a byte a second": POST + b"{"}
SLACK_SECONDS = 5.0


async def hostile(port: int, wave: str, patience: float) -> bool:
    """Misbehave in this way: whether the service ended it in time."""
    try:
        async with asyncio.timeout(patience):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                writer.write(BEGINNINGS.get(wave, b""))
                end = asyncio.create_task(reader.read())
                while not end.done():
                    await asyncio.wait({end}, timeout=1.0)
                    if "byte" in wave:
                        writer.write(b"x")
                with contextlib.suppress(OSError):
                    await end
            finally:
                writer.transport.abort()
    except OSError as error:
        return not isinstance(error, TimeoutError)
    return True


async def is_answered(port: int) -> bool:
    """Whether a new connection gets an answer within a second."""
    try:
        async with asyncio.timeout(1.0):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                writer.write(GET + b"Connection: close\r\n\r\n")
                return (await reader.read(12)).endswith(b"200")
            finally:
                writer.transport.abort()
    except OSError:
        return False


async def longest_silence(port: int, over: asyncio.Event) -> float:
    """The longest time without an answer to the honest caller, in seconds."""
    longest = 0.0
    heard = time.monotonic()
    while True:
        was_over = over.is_set()
        if await is_answered(port):
            longest = max(longest, time.monotonic() - heard)
            heard = time.monotonic()
            if was_over:
                return longest
        elif time.monotonic() - heard > 60:
            return 60.0
        await asyncio.sleep(0.5)


async def attack(service: Service, wave: str, connections: int) -> Figures:
    """One wave: how it ended, and for how long the service was deaf meanwhile."""
    over = asyncio.Event()
    honest = asyncio.create_task(longest_silence(service.port, over))
    await asyncio.sleep(0.5)
    began = time.monotonic()
    patience = CUT_SECONDS[wave] + 2 * SLACK_SECONDS
    peers = [hostile(service.port, wave, patience) for _ in range(connections)]
    ended = await asyncio.gather(*peers)
    seconds = time.monotonic() - began
    over.set()
    return {
        "connections": connections,
        "ended_by_the_service": sum(ended),
        "all_ended_after_seconds": round(seconds, 1),
        "deaf_seconds": round(await honest, 1),
        "must_end_after_seconds": CUT_SECONDS[wave],
    }


def limit_files(service: Service, files: int) -> None:
    """Let the service have so many file descriptors, where the system can do that."""
    try:
        import resource
    except ImportError:  # Windows
        return
    if hasattr(resource, "prlimit"):
        limits = (files, files)
        resource.prlimit(service.process.pid, resource.RLIMIT_NOFILE, limits)


def measure(connections: int, files: int) -> Figures:
    """All waves against one service."""
    given = {"FULL_APP_REQUEST_TIMEOUT_SECONDS": str(BODY_SECONDS)}
    with running(**given) as service, service.client() as http:
        http.get("/v1/models")
        limit_files(service, files)
        before = service.open_files()
        waves = {
            wave: asyncio.run(attack(service, wave, connections))
            for wave in CUT_SECONDS
        }
        after = service.open_files()
    late = [
        one["all_ended_after_seconds"] - one["must_end_after_seconds"]
        for one in waves.values()
    ]
    deaf = [
        one["deaf_seconds"] - one["must_end_after_seconds"] for one in waves.values()
    ]
    left = [one["connections"] - one["ended_by_the_service"] for one in waves.values()]
    return {
        "file_descriptors": files,
        "waves": waves,
        "longest_deaf_seconds": max(one["deaf_seconds"] for one in waves.values()),
        "wrong": what_went_wrong(
            {
                "a connection was not ended": any(left),
                "a wave was ended late": max(late) > SLACK_SECONDS,
                "the service was deaf for longer than a wave": (
                    max(deaf) > SLACK_SECONDS
                ),
                "file descriptors are still in use": after > before + 5,
            }
        ),
    }


if __name__ == "__main__":
    run(__doc__, measure, connections=300, files=256)
