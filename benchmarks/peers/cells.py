"""The loads: each contestant in turn, then all again, medians of the rounds."""

import asyncio
import statistics
from dataclasses import dataclass, field

from benchmarks.client import quantile
from benchmarks.frameworks import Told
from benchmarks.load import Load, Target, Tool
from benchmarks.peers.arena import Runner
from benchmarks.peers.bodies import CHAT
from benchmarks.peers.results import Cell, Kind, Waiting
from benchmarks.peers.streams import at_rate, first_tokens

RATE = 400
KINDS: tuple[Kind, ...] = ("whole", "stream")


@dataclass
class _Rounds:
    loads: list[Load] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    @property
    def void(self) -> bool:
        """Whether a round had errors, or nothing was answered in it."""
        return any(load.errors or not load.requests for load in self.loads)


def measured(tool: Tool, runner: Runner, target: Target) -> tuple[Load, float]:
    """One load, and the CPU seconds a thousand requests it took."""
    with runner.tree.awake():
        before = runner.tree.cpu_seconds()
        load = tool(target)
        used = runner.tree.cpu_seconds() - before
    return load, 1000 * used / max(1, load.requests)


def target(runner: Runner, kind: Kind, connections: int, seconds: float) -> Target:
    """The load of one cell."""
    ask = runner.ask(stream=kind == "stream")
    url = f"{runner.tree.url}{CHAT}"
    return Target(url, connections, seconds, ask.body, ask.headers)


def cells(
    tool: Tool,
    runners: list[Runner],
    connections: tuple[int, ...],
    rounds: int,
    seconds: float,
    told: Told,
) -> list[Cell]:
    """Every runner under every load.

    A cell with a round that says nothing is void, whatever the others say: it gets no
    further round.
    """
    found: dict[tuple[str, Kind, int], _Rounds] = {}
    for number in range(rounds):
        for kind in KINDS:
            for at_once in connections:
                for runner in [it for it in runners if kind in it.kinds]:
                    row = found.setdefault((runner.name, kind, at_once), _Rounds())
                    if row.void:
                        continue
                    told(
                        f"{runner.mode}, {kind}, {at_once} at once: {runner.name}, "
                        f"round {number + 1} of {rounds}"
                    )
                    wanted = target(runner, kind, at_once, seconds)
                    load, cpu = measured(tool, runner, wanted)
                    row.loads.append(load)
                    row.cpu.append(cpu)
    by_name = {runner.name: runner for runner in runners}
    return [
        _cell(by_name[name], kind, at_once, row)
        for (name, kind, at_once), row in found.items()
    ]


def _cell(runner: Runner, kind: Kind, connections: int, row: _Rounds) -> Cell:
    speed = statistics.median(load.requests_per_second for load in row.loads)
    return Cell(
        contestant=runner.name,
        mode=runner.mode,
        kind=kind,
        connections=connections,
        requests_per_second=speed,
        events_per_second=speed * runner.chunks if kind == "stream" else None,
        p50_ms=statistics.median(load.p50_ms for load in row.loads),
        p99_ms=statistics.median(load.p99_ms for load in row.loads),
        cpu_seconds_per_1000=statistics.median(row.cpu),
        errors=sum(load.errors for load in row.loads),
        rounds=[round(load.requests_per_second, 1) for load in row.loads],
    )


@dataclass
class _Waits:
    first: list[float] = field(default_factory=list)
    p50: list[float] = field(default_factory=list)
    p99: list[float] = field(default_factory=list)
    errors: int = 0


def waiting(
    runners: list[Runner],
    measured_cells: list[Cell],
    count: int,
    rounds: int,
    seconds: float,
    skipped: dict[str, str],
    told: Told,
) -> list[Waiting]:
    """First texts, and whole answers at a constant rate, in interleaved rounds.

    A contestant whose cell of whole answers is slower than the rate is not asked for
    it: its queue would only grow. One that can no longer be reached has no row: it goes
    into `skipped`, with the reason, and the others are measured on.
    """
    rows = {runner.name: _Waits() for runner in runners}
    slow = {
        cell.contestant
        for cell in measured_cells
        if cell.kind == "whole" and cell.requests_per_second < RATE
    }
    for number in range(rounds):
        for runner in [it for it in runners if it.name in rows]:
            told(
                f"{runner.mode}, first texts and {RATE} requests a second: "
                f"{runner.name}, round {number + 1} of {rounds}"
            )
            row, paced = rows[runner.name], runner.name not in slow
            try:
                _wait(runner, row, count, seconds, paced=paced)
            except (OSError, EOFError) as error:
                skipped[f"{runner.name}, {runner.mode}, first texts"] = str(error)
                del rows[runner.name]
    asked = [(it, rows[it.name]) for it in runners if it.name in rows]
    return [
        Waiting(
            contestant=runner.name,
            mode=runner.mode,
            first_text_p50_ms=statistics.median(row.first),
            rate=RATE,
            p50_ms=statistics.median(row.p50) if row.p50 else None,
            p99_ms=statistics.median(row.p99) if row.p99 else None,
            errors=row.errors,
        )
        for runner, row in asked
    ]


def _wait(
    runner: Runner, row: _Waits, count: int, seconds: float, *, paced: bool
) -> None:
    """One round of one contestant."""
    with runner.tree.awake():
        first = asyncio.run(first_tokens(runner.ask(stream=True), count))
        row.first.append(1000 * statistics.median(first.seconds))
        row.errors += first.errors
        if paced:
            tally = asyncio.run(at_rate(runner.ask(stream=False), RATE, seconds))
            ordered = sorted(tally.seconds)
            row.p50.append(1000 * quantile(ordered, 0.5))
            row.p99.append(1000 * quantile(ordered, 0.99))
            row.errors += tally.errors
