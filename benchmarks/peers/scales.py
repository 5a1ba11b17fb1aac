"""What grows with what: memory with open streams, CPU with keys and messages, speed
with workers.
"""

import asyncio
import json
import statistics
import time

from benchmarks.frameworks import Told
from benchmarks.load import Target, Tool
from benchmarks.peers.arena import Runner
from benchmarks.peers.bodies import (
    CHAT,
    FULL,
    OFFLINE_MODEL,
    SILENT_MODEL,
    TEXT,
    WORDS,
    chat,
)
from benchmarks.peers.cells import measured, target
from benchmarks.peers.contestants import KEYS, full_app
from benchmarks.peers.processes import Tree
from benchmarks.peers.results import Figure, Memory, Scale
from benchmarks.peers.streams import Ask, held
from benchmarks.peers.targets import CHAT as CHAT_FIGURE
from benchmarks.peers.targets import RESPONSES as RESPONSES_FIGURE

SETTLED_SECONDS = 0.5
SPARE_FILES = 200


def memory(
    runners: list[Runner], counts: tuple[int, ...], skipped: dict[str, str]
) -> list[Memory]:
    """Resident memory a stream that is open and silent, from the fewest up."""
    rows = []
    for runner in runners:
        ask = Ask(runner.tree.url, chat(SILENT_MODEL, stream=True), runner.headers)
        idle = runner.tree.resident_bytes()
        for count in counts:
            if not allow_files(count + SPARE_FILES):
                skipped[f"{count} streams"] = "this system allows too few open files"
                continue
            with runner.tree.awake():
                begun, resident = asyncio.run(_holding(ask, count, runner.tree))
            if begun < count:
                skipped[f"{count} streams, {runner.name}"] = f"only {begun} began"
                continue
            grown = resident - idle
            rows.append(
                Memory(
                    contestant=runner.name,
                    streams=count,
                    idle_bytes=idle,
                    per_stream_bytes=grown / count,
                )
            )
    return rows


async def _holding(ask: Ask, count: int, tree: Tree) -> tuple[int, int]:
    async with held(ask, count) as begun:
        await asyncio.sleep(SETTLED_SECONDS)
        return begun, tree.resident_bytes()


def allow_files(wanted: int) -> bool:
    """Whether this process may have so many files open; it asks for them.

    Servers that are started afterwards inherit what it got.
    """
    try:
        import resource
    except ImportError:  # Windows: no such limit
        return True
    now, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if now == resource.RLIM_INFINITY or now >= wanted:
        return True
    if most != resource.RLIM_INFINITY and most < wanted:
        return False
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))
    return True


def keys(
    tool: Tool, runner: Runner, rounds: int, seconds: float, told: Told
) -> list[Scale]:
    """CPU a request with 1 key, and with 1,000 that take turns."""
    url, body = f"{runner.tree.url}{CHAT}", chat(OFFLINE_MODEL)
    loads = {
        number: Target(url, 32, seconds, body, keys=KEYS[1 : number + 1])
        for number in (1, 1_000)
    }
    return _costs("keys", loads, tool, runner, rounds, told)


def messages(
    tool: Tool, runner: Runner, rounds: int, seconds: float, told: Told
) -> list[Scale]:
    """CPU a request with 1 to 1,000 messages."""
    url = f"{runner.tree.url}{CHAT}"
    loads = {
        number: Target(
            url,
            4,
            seconds,
            chat(OFFLINE_MODEL, text=WORDS[0], turns=number),
            runner.headers,
        )
        for number in (1, 10, 100, 1_000)
    }
    return _costs("messages", loads, tool, runner, rounds, told)


def _costs(
    what: str,
    loads: dict[int, Target],
    tool: Tool,
    runner: Runner,
    rounds: int,
    told: Told,
) -> list[Scale]:
    """Every load in turn, then all again. Raises OSError for errors."""
    found: dict[int, list[tuple[float, float]]] = {number: [] for number in loads}
    for _ in range(rounds):
        for number, wanted in loads.items():
            told(f"full_app with {number} {what}")
            load, cpu = measured(tool, runner, wanted)
            if load.errors:
                raise OSError(f"{load.errors} errors with {number} {what}")
            found[number].append((cpu, load.requests_per_second))
    return [_scale(what, number, row) for number, row in found.items()]


def apis(
    tool: Tool, runner: Runner, rounds: int, seconds: float, told: Told
) -> list[Figure]:
    """CPU of a chat completion, and of the same request through /v1/responses.

    Nothing is stored, as chat completions store nothing. Raises OSError for errors.
    """
    asked = {"model": OFFLINE_MODEL, "input": TEXT, "store": False}
    targets = {
        CHAT_FIGURE: target(runner, "whole", 32, seconds),
        RESPONSES_FIGURE: Target(
            f"{runner.tree.url}/v1/responses",
            32,
            seconds,
            json.dumps(asked),
            runner.headers,
        ),
    }
    found: dict[str, list[float]] = {name: [] for name in targets}
    for _ in range(rounds):
        for name, wanted in targets.items():
            told(f"full_app, {name}")
            load, cpu = measured(tool, runner, wanted)
            if load.errors:
                raise OSError(f"{load.errors} errors of {name}")
            found[name].append(cpu)
    return [
        Figure(what=name, value=statistics.median(cpu), unit="CPU ms")
        for name, cpu in found.items()
    ]


def workers(
    tool: Tool, redis_url: str | None, rounds: int, seconds: float, told: Told
) -> list[Scale]:
    """Requests a second with one worker and with two."""
    if redis_url is None:  # embedded, full_app is one process
        return []
    found: dict[int, list[tuple[float, float]]] = {}
    body, key = chat(OFFLINE_MODEL), {"Authorization": f"Bearer {KEYS[0]}"}
    for _ in range(rounds):
        for number in (1, 2):
            told(f"full_app with {number} workers")
            with full_app(redis_url, number).start(None) as tree:
                time.sleep(SETTLED_SECONDS)
                runner = Runner(FULL, "offline", tree, key, 0)
                url = f"{tree.url}{CHAT}"
                tool(Target(url, 32, 1, body, key))  # warm
                load, cpu = measured(tool, runner, Target(url, 64, seconds, body, key))
            found.setdefault(number, []).append((cpu, load.requests_per_second))
    return [_scale("workers", number, row) for number, row in found.items()]


def _scale(what: str, number: int, row: list[tuple[float, float]]) -> Scale:
    return Scale.model_validate(
        {
            "what": what,
            "number": number,
            "cpu_ms": statistics.median(cpu for cpu, _ in row),
            "requests_per_second": statistics.median(speed for _, speed in row),
        }
    )
