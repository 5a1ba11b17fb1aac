"""The whole benchmark, with a progress bar."""

from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks import frameworks, load, practice, report, validation
from benchmarks.servers import SERVERS

RESULTS = "frameworks.json"


def run(*, quick: bool, out: Path) -> int:
    """Measure, print the tables, write JSON and plots into `out`; the exit status."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=110)  # a file has no edge to fold tables at
    tool = load.tool()
    cases = frameworks.QUICK if quick else frameworks.full()
    rounds, seconds = (1, 1.0) if quick else (3, 4.0)
    machine = report.Machine()
    with Progress(
        TextColumn("{task.description:<58}"),
        BarColumn(),
        TimeElapsedColumn(),
        console=console,
    ) as progress:
        steps = len(cases) * rounds * len(SERVERS) + 2
        task = progress.add_task("Starting", total=steps)

        def told(label: str) -> None:
            progress.update(task, description=label, advance=1)

        told("Pydantic 1 and 2")
        pairs = validation.measure(3.0 if quick else 30.0)
        told("Habits")
        practices = practice.measure(1.0 if quick else 6.0)
        rows, skipped = frameworks.measure(tool, cases, rounds, seconds, told)
        progress.update(task, completed=steps, description="Done")
    results = report.Results(
        quick=quick,
        tool=tool.name,
        machine=machine,
        frameworks=rows,
        skipped=skipped,
        pydantic=pairs,
        practices=practices,
    )
    report.show(results, console)
    results.save(out / RESULTS)
    from benchmarks import plots

    drawn = plots.draw(results, out)
    console.print(f"\n{report.verdict(results)}", soft_wrap=True)
    console.print(
        f"The figures are in {out / RESULTS}, with {len(drawn)} drawings beside them.",
        soft_wrap=True,
    )
    return 0
