"""The whole comparison: offline, then proxying, then what grows with what."""

import contextlib
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console

from benchmarks import load
from benchmarks.frameworks import Told
from benchmarks.peers import (
    bodies,
    cells,
    contestants,
    inside,
    report,
    scales,
    targets,
)
from benchmarks.peers.arena import Runner, arena
from benchmarks.peers.processes import redis_server
from benchmarks.peers.results import Cell, Results
from benchmarks.report import Machine


@dataclass(frozen=True)
class Plan:
    """How much is measured: `rounds` of `seconds` a load.

    `extra_rounds` are those of what no target asks for: messages, workers, and the
    waits offline.
    """

    rounds: int
    extra_rounds: int
    seconds: float
    connections: tuple[int, ...]
    firsts: int
    paced_rounds: int
    paced_seconds: float
    streams: tuple[int, ...]


QUICK = Plan(1, 1, 1, (targets.CONNECTIONS,), 20, 1, 2, (200,))
# Less than 14 minutes, so that two whole runs of an idle machine are soon made.
WHOLE = Plan(5, 1, 2, (targets.CONNECTIONS,), 20, 3, 3, (1_000, 5_000))


def run(*, quick: bool, out: Path, rounds: int | None = None) -> int:
    """Measure, print, write `peers.json` and `peers.md` into `out`; exit status 0.

    `rounds` takes the place of the plan's own number of rounds.
    """
    plan = QUICK if quick else WHOLE
    if rounds is not None:
        plan = replace(plan, rounds=rounds)
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
    scales.allow_files(max(plan.streams) + scales.SPARE_FILES)  # servers inherit it
    with contextlib.ExitStack() as stack:
        stack.enter_context(ending_on_signal())
        try:
            redis_url = stack.enter_context(redis_server())
        except OSError as error:
            redis_url = None
            found.skipped["full_app on Redis"] = f"{error}; embedded instead"
        with console.status("Starting") as status:
            measure(found, plan, redis_url, _telling(console, status.update))
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
        told("open streams")
        holding = [it for it in runners if it.name in {bodies.BARE, bodies.FULL}]
        with _guarded(found, "open streams"):
            found.memory += scales.memory(holding, plan.streams, found.skipped)
    with contestants.UPSTREAM.start(None) as upstream:
        passing = contestants.proxying(redis_url)
        with arena(passing, upstream.url, found.skipped, told) as runners:
            _loads(found, plan, tool, runners, told)
    with arena([contestants.full_app(redis_url)], None, found.skipped, told) as runners:
        for runner in runners:
            with _guarded(found, "keys"):
                found.scales += scales.keys(
                    tool, runner, plan.rounds, plan.seconds, told
                )
            with _guarded(found, "messages"):
                found.scales += scales.messages(
                    tool, runner, plan.extra_rounds, plan.seconds, told
                )
            with _guarded(found, "responses"):
                found.figures += scales.apis(
                    tool, runner, plan.rounds, plan.seconds, told
                )
    with _guarded(found, "two workers"):
        found.scales += scales.workers(
            tool, redis_url, plan.extra_rounds, plan.seconds, told
        )
    found.figures += inside.measure(found.quick, redis_url, found.skipped, told)


def _loads(
    found: Results, plan: Plan, tool: load.Tool, runners: list[Runner], told: Told
) -> None:
    mode = runners[0].mode if runners else ""
    measured: list[Cell] = []
    with _guarded(found, f"loads, {mode}"):
        measured = cells.cells(
            tool, runners, plan.connections, plan.rounds, plan.seconds, told
        )
        found.cells += measured
    whole = [it for it in runners if it.kinds == contestants.BOTH]
    with _guarded(found, f"first texts and a constant rate, {mode}"):
        found.waiting += cells.waiting(
            whole,
            measured,
            plan.firsts,
            plan.paced_rounds if mode == "proxy" else plan.extra_rounds,
            plan.paced_seconds,
            found.skipped,
            told,
        )


@contextlib.contextmanager
def _guarded(found: Results, step: str) -> Iterator[None]:
    """A step that fails is left out with its reason, and the run goes on."""
    try:
        yield
    except (OSError, EOFError, ValueError, subprocess.SubprocessError) as error:
        found.skipped[step] = str(error) or type(error).__name__


@contextlib.contextmanager
def ending_on_signal() -> Iterator[None]:
    """SIGTERM ends the run as Ctrl-C does, and with it all that it has started."""

    def leave(*_: object) -> None:
        sys.exit(143)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _telling(console: Console, update: Callable[[str], None]) -> Told:
    """A spinner's label; where there is no terminal, a line a step with its time."""
    if console.is_terminal:
        return lambda label: update(label)
    begun = time.monotonic()

    def told(label: str) -> None:
        console.print(f"{time.monotonic() - begun:6.1f} s  {label}", markup=False)

    return told
