"""What a run found: the JSON that the site and the slides read, and the table."""

import os
import platform
import sys
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

from pydantic import BaseModel, Field
from rich.console import Console
from rich.table import Table

from benchmarks.frameworks import Row
from benchmarks.practice import Practice
from benchmarks.validation import Pair

# The chapter's table: requests a second, p99 in ms; "approximate, simple JSON".
CHAPTER = {
    "FastAPI": (15_000, 10),
    "Flask": (4_000, 40),
    "Django": (3_500, 50),
    "Express": (12_000, 15),
}
PACKAGES = (
    "fastapi",
    "starlette",
    "uvicorn",
    "pydantic",
    "flask",
    "django",
    "gunicorn",
)


class Machine(BaseModel):
    """Where it was measured. No name, no path: only what changes the figures."""

    system: str = Field(
        default_factory=lambda: f"{platform.system()} {platform.machine()}"
    )
    cores: int = Field(default_factory=lambda: os.cpu_count() or 1)
    python: str = Field(default_factory=lambda: sys.version.split()[0])
    load: float | None = Field(
        default_factory=lambda: (
            round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None
        )
    )
    packages: dict[str, str] = Field(
        default_factory=lambda: {name: metadata.version(name) for name in PACKAGES}
    )


class Results(BaseModel):
    """One run of `course bench`."""

    created: datetime = Field(default_factory=lambda: datetime.now(UTC))
    quick: bool
    tool: str
    machine: Machine = Field(default_factory=Machine)
    frameworks: list[Row]
    skipped: dict[str, str]
    pydantic: list[Pair]
    practices: list[Practice]

    def save(self, path: Path) -> None:
        """Write the JSON; folders are made."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self.model_dump_json(indent=2) + "\n", encoding="utf-8")


def show(results: Results, console: Console) -> None:
    """Print every table, the chapter's figures beside ours."""
    machine = results.machine
    console.print(
        f"\n{machine.system}, {machine.cores} cores, Python {machine.python}; "
        f"load by {results.tool}; load average before: {machine.load}"
    )
    for workload in dict.fromkeys(row.workload for row in results.frameworks):
        console.print(_frameworks(workload, results.frameworks))
    for name, why in results.skipped.items():
        console.print(f"skipped: {name}: {why}")
    console.print(_pydantic(results.pydantic))
    console.print(_practices(results.practices))


def verdict(results: Results) -> str:
    """What the run says, in one sentence, about small answers and about waiting.

    It compares FastAPI with Flask on one worker, where both were measured.
    """
    answers, waiting = (_fastest(results, it) for it in ("json", "model"))
    if not answers or not waiting:
        return "This run measured too little for a verdict."
    return (
        f"On this machine FastAPI sends {answers[0]:,.0f} small answers per second "
        f"({answers[0] / answers[1]:.1f} times Flask), and {waiting[0]:,.0f} "
        f"({waiting[0] / waiting[1]:.1f} times) where each waits 200 ms for a model."
    )


def _fastest(results: Results, workload: str) -> tuple[float, float] | None:
    """FastAPI's and Flask's requests per second; None if one of them has none."""
    found = {
        row.server: row.requests_per_second
        for row in sorted(results.frameworks, key=lambda row: row.connections)
        if row.workload == workload and row.workers == 1 and not row.errors
    }
    if not found.get("FastAPI") or not found.get("Flask"):
        return None
    return found["FastAPI"], found["Flask"]


def _frameworks(workload: str, rows: list[Row]) -> Table:
    simple = workload == "json"
    table = Table(title=f"/{workload}")
    table.add_column("server")
    for name in ("at once", "workers", "req/s", "x FastAPI", "p50", "p99 ms", "errors"):
        table.add_column(name, justify="right")
    if simple:
        table.add_column("chapter", justify="right")
    for row in rows:
        if row.workload != workload:
            continue
        cells = [f"{row.server} ({row.async_})", str(row.connections), str(row.workers)]
        cells += [f"{row.requests_per_second:,.0f}", f"{relative(row, rows):.2f}"]
        cells += [f"{row.p50_ms:.1f}", f"{row.p99_ms:.1f}", str(row.errors)]
        told = CHAPTER.get(row.server)
        if simple:
            cells += [f"~{told[0]:,}/s, {told[1]} ms" if told else ""]
        table.add_row(*cells)
    return table


def relative(row: Row, rows: list[Row]) -> float:
    """Requests a second as a multiple of FastAPI's under the same load."""
    same = [
        other.requests_per_second
        for other in rows
        if other.server == "FastAPI"
        and (other.workload, other.connections, other.workers)
        == (row.workload, row.connections, row.workers)
    ]
    return row.requests_per_second / same[0] if same and same[0] else float("nan")


def _pydantic(pairs: list[Pair]) -> Table:
    table = Table(title="Pydantic 1 and 2 (the chapter: 5 to 50 times)")
    for name in ("messages", "body", "v1 µs", "v2 µs", "v1 / v2"):
        table.add_column(name, justify="right")
    for pair in pairs:
        kind = "valid" if pair.valid else "invalid"
        times = (f"{pair.v1_us:,.0f}", f"{pair.v2_us:,.0f}", f"{pair.ratio:.1f}")
        table.add_row(str(pair.messages), kind, *times)
    return table


def _practices(practices: list[Practice]) -> Table:
    table = Table(title="Habits")
    for name in ("what", "one way", "another", "ratio"):
        table.add_column(name)
    for it in practices:
        unit = "µs" if it.unit == "us" else it.unit
        ways = [f"{name}: {value:,.1f} {unit}" for name, value in (it.first, it.second)]
        table.add_row(it.what, *ways, f"{it.ratio:.1f}")
    return table
