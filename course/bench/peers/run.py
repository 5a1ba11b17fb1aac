"""The whole comparison: offline, then proxying, then what grows with what."""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from course.bench import load
from course.bench.frameworks import Told
from course.bench.peers import (
    bodies,
    cells,
    contestants,
    inside,
    report,
    scales,
    targets,
)
from course.bench.peers.arena import Runner, arena
from course.bench.peers.processes import redis_server
from course.bench.peers.results import Results
from course.bench.report import Machine


@dataclass(frozen=True)
class Plan:
    """How much is measured: `rounds` of `seconds` a load."""

    rounds: int
    seconds: float
    connections: tuple[int, ...]
    firsts: int
    paced_seconds: float
    streams: tuple[int, ...]


QUICK = Plan(1, 1, (32,), 20, 2, (200,))
WHOLE = Plan(3, 3, (1, 32, 256), 100, 8, (1_000, 5_000))


def run(*, quick: bool, out: Path) -> int:
    """Measure, print, write `peers.json` and `peers.md` into `out`; exit status 0."""
    plan = QUICK if quick else WHOLE
    console = Console()
    if not console.is_terminal:
        console = Console(width=120)  # a file has no edge to fold tables at
    found = Results(
        quick=quick,
        tool=load.tool().name,
        machine=Machine(),
        versions=contestants.VERSIONS,
        skipped={},
        cells=[],
        waiting=[],
        memory=[],
        scales=[],
    )
    with contextlib.ExitStack() as stack:
        try:
            redis_url = stack.enter_context(redis_server())
        except OSError as error:
            redis_url = None
            found.skipped["full_app on Redis"] = f"{error}; embedded instead"
        with console.status("Starting") as status:
            measure(found, plan, redis_url, _telling(status.update))
    found.targets = targets.judged(found)
    report.show(found, console)
    for path in report.save(found, out):
        console.print(f"Wrote {path.name}")
    return 0


def measure(found: Results, plan: Plan, redis_url: str | None, told: Told) -> None:
    """Fill `found`."""
    tool = load.tool()
    everybody = contestants.offline(redis_url)
    with arena(everybody, None, found.skipped, told) as runners:
        _loads(found, plan, tool, runners, told)
        holding = [it for it in runners if it.name in {bodies.BARE, bodies.FULL}]
        told("open streams")
        found.memory += scales.memory(holding, plan.streams, found.skipped)
    with contestants.UPSTREAM.start(None) as upstream:
        passing = contestants.proxying(redis_url)
        with arena(passing, upstream.url, found.skipped, told) as runners:
            _loads(found, plan, tool, runners, told)
    with arena([contestants.full_app(redis_url)], None, found.skipped, told) as runners:
        for runner in runners:
            found.scales += scales.callers_and_messages(
                tool, runner, plan.rounds, plan.seconds, told
            )
    try:
        found.scales += scales.workers(tool, redis_url, plan.rounds, plan.seconds, told)
    except OSError as error:
        found.skipped["two workers"] = str(error)
    found.figures += inside.measure(found.quick, redis_url, found.skipped, told)


def _loads(
    found: Results, plan: Plan, tool: load.Tool, runners: list[Runner], told: Told
) -> None:
    found.cells += cells.cells(
        tool, runners, plan.connections, plan.rounds, plan.seconds, told
    )
    told("first texts, and a constant rate")
    found.waiting += cells.waiting(runners, plan.firsts, plan.paced_seconds)


def _telling(update: Callable[[str], None]) -> Told:
    return lambda label: update(label)
