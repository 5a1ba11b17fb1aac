"""full_app of this checkout beside that of another one, in one run.

    python -m benchmarks.before_after ../before [--apps PACKAGE] [--loop asyncio]

Both answer from the offline model and both proxy the same fast upstream, with keys,
limits, budgets, logs and metrics on, on one Redis. The rounds of the two alternate, so
that whatever else the machine does hits both; a figure is the median of its rounds,
and only the ratio counts. `--apps` is the package in which the other checkout keeps
its benchmark apps, and `--loop` the event loop that it ran on. The table is written to
`results/before_after.md`.
"""

import argparse
import contextlib
import sys
from dataclasses import replace
from pathlib import Path

from benchmarks import load
from benchmarks.peers.arena import arena
from benchmarks.peers.cells import cells
from benchmarks.peers.contestants import APPS, UPSTREAM, Contestant, full_app
from benchmarks.peers.processes import redis_server
from benchmarks.peers.results import Cell
from benchmarks.places import ROOT

RESULT = ROOT / "benchmarks" / "results" / "before_after.md"
BEFORE, AFTER = "before", "after"
CONNECTIONS = (32,)


def other(checkout: Path, apps: str, loop: str, redis_url: str) -> Contestant:
    """full_app of another checkout: its modules are found there first."""
    ours = full_app(redis_url)

    def command(port: int, upstream: str | None) -> tuple[list[str], dict[str, str]]:
        words, env = ours.command(port, upstream)
        words = [word.replace(APPS, apps) for word in words]
        more = ["--app-dir", str(checkout), "--loop", loop]
        more += ["--http", "auto"]  # it may lack the class that this one names
        return [*words, *more], {**env, "PYTHONPATH": str(checkout)}

    return replace(ours, name=BEFORE, command=command)


def measure(options: argparse.Namespace) -> list[Cell]:
    """Whole answers and streams, offline and proxied, of both."""
    tool = load.tool()
    measured: list[Cell] = []
    skipped: dict[str, str] = {}
    with contextlib.ExitStack() as stack:
        redis_url = stack.enter_context(redis_server())
        upstream = stack.enter_context(UPSTREAM.start(None))
        contestants = [
            other(options.checkout, options.apps, options.loop, redis_url),
            replace(full_app(redis_url), name=AFTER),
        ]
        for url in (None, upstream.url):
            with arena(contestants, url, skipped, _say) as runners:
                if skipped:
                    sys.exit(f"cannot compare: {skipped}")
                measured += cells(
                    tool, runners, CONNECTIONS, options.rounds, options.seconds, _say
                )
    return measured


def table(measured: list[Cell]) -> str:
    """The figures as Markdown, with the ratio of after to before."""
    rows = [
        "| | before, per second | after, per second | ratio | errors |",
        "|---|--:|--:|--:|--:|",
    ]
    pairs: dict[tuple[str, str], dict[str, Cell]] = {}
    for cell in measured:
        pairs.setdefault((cell.mode, cell.kind), {})[cell.contestant] = cell
    for (mode, kind), pair in pairs.items():
        before, after = pair[BEFORE], pair[AFTER]
        ratio = after.requests_per_second / before.requests_per_second
        errors = before.errors + after.errors
        rows.append(
            f"| {mode}, {kind} | {before.requests_per_second:.0f} "
            f"| {after.requests_per_second:.0f} | {ratio:.2f} | {errors} |"
        )
    return "\n".join(rows)


def main() -> int:
    """Measure both, print the table and write it."""
    parser = argparse.ArgumentParser(description="Compare full_app of two checkouts.")
    parser.add_argument("checkout", type=Path, help="the other checkout")
    parser.add_argument("--apps", default=APPS, help="its package of benchmark apps")
    parser.add_argument("--loop", default="auto", help="its event loop, for uvicorn")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each round")
    options = parser.parse_args()
    options.checkout = options.checkout.resolve()
    text = table(measure(options))
    print(text)
    RESULT.write_text(
        "# full_app before and after the rooms\n\nWritten by `python -m "
        "benchmarks.before_after`, which says how: 32 callers, medians of interleaved "
        f"rounds of one run, one worker each.\n\n{text}\n",
        encoding="utf-8",
    )
    return 0


def _say(label: str) -> None:
    print(label, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
