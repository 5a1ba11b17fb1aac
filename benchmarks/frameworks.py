"""The chapter's table of frameworks: simple JSON, and the I/O-bound cases.

Every server runs alone. Rounds are interleaved (each server once, then again), so that
a machine that slows down slows all; medians of the rounds are kept.
"""

import os
import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from pydantic import BaseModel

from benchmarks.load import Load, Target, Tool
from benchmarks.servers import SERVERS, Server, serving


class Row(BaseModel):
    """A server under one load: medians of `rounds`, errors summed."""

    server: str
    async_: str
    workload: str
    connections: int
    workers: int
    requests_per_second: float
    p50_ms: float
    p99_ms: float
    errors: int
    rounds: list[float]


@dataclass(frozen=True)
class Case:
    """One load: a path, how many connections, how many worker processes."""

    workload: str
    connections: int
    workers: int = 1

    def target(self, base: str, seconds: float) -> Target:
        """This case against the server at `base`."""
        return Target(f"{base}/{self.workload}", self.connections, seconds)


QUICK = (Case("json", 32), Case("model", 64))


def full() -> tuple[Case, ...]:
    """Rising concurrency on one worker, then one worker a core."""
    one = [Case("json", c) for c in (1, 32, 256)]
    one += [Case("model", c) for c in (1, 32, 256)]
    one += [Case("fanout", c) for c in (1, 32)]
    cores = os.cpu_count() or 1
    many = [Case("json", 64, cores), Case("model", 256, cores)] if cores > 1 else []
    return (*one, *many)


Told = Callable[[str], None]


def measure(
    tool: Tool, cases: tuple[Case, ...], rounds: int, seconds: float, told: Told
) -> tuple[list[Row], dict[str, str]]:
    """The rows, and why a server was skipped. `told` hears of each load before it."""
    skipped = {s.name: why for s in SERVERS if (why := s.missing())}
    present = [server for server in SERVERS if server.name not in skipped]
    found: dict[tuple[Server, Case], list[Load]] = {}
    for workers in sorted({case.workers for case in cases}):
        mine = [case for case in cases if case.workers == workers]
        for number in range(rounds):
            for server in present:
                label = f"{server.name}, round {number + 1} of {rounds}"
                for case, load in _one(tool, server, mine, seconds, label, told):
                    found.setdefault((server, case), []).append(load)
    return [_row(server, case, loads) for (server, case), loads in found.items()], (
        skipped
    )


def _one(
    tool: Tool,
    server: Server,
    cases: list[Case],
    seconds: float,
    label: str,
    told: Told,
) -> Iterator[tuple[Case, Load]]:
    with serving(server, cases[0].workers) as base:
        tool(Target(f"{base}/json", 8, 0.5))  # warm
        for case in cases:
            told(f"{label}: /{case.workload}, {case.connections} at once")
            yield case, tool(case.target(base, seconds))


def _row(server: Server, case: Case, loads: list[Load]) -> Row:
    return Row(
        server=server.name,
        async_=server.async_,
        workload=case.workload,
        connections=case.connections,
        workers=case.workers,
        requests_per_second=statistics.median(it.requests_per_second for it in loads),
        p50_ms=statistics.median(it.p50_ms for it in loads),
        p99_ms=statistics.median(it.p99_ms for it in loads),
        errors=sum(it.errors for it in loads),
        rounds=[round(it.requests_per_second, 1) for it in loads],
    )
