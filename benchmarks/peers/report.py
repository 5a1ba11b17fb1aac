"""A run as tables in the terminal, and as Markdown beside its JSON."""

from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.peers.bodies import BARE
from benchmarks.peers.results import Cell, Kind, Mode, Results
from benchmarks.peers.targets import sentences

NAME = "peers"
BEFORE = "peers_before"
TITLES: dict[tuple[Mode, Kind], str] = {
    ("offline", "whole"): "Whole answers, each contestant's own",
    ("offline", "stream"): "Streams, each contestant's own",
    ("proxy", "whole"): "Whole answers of an upstream, passed on",
    ("proxy", "stream"): "Streams of an upstream, passed on",
}
VOID = "void"  # in place of the figures of a cell with errors, or without answers
Rows = tuple[str, list[str], list[list[str]]]


def save(results: Results, out: Path) -> list[Path]:
    """Write `peers.json` and `peers.md` into `out`; their paths.

    A whole run that is there already is kept as the run before: two are compared.
    """
    out.mkdir(parents=True, exist_ok=True)
    data, text = out / f"{NAME}.json", out / f"{NAME}.md"
    if data.exists() and not results.quick and not _read(data).quick:
        data.replace(out / f"{BEFORE}.json")
    data.write_text(results.model_dump_json(indent=2) + "\n", encoding="utf-8")
    text.write_text(markdown(results, before(data)), encoding="utf-8")
    return [data, text]


def before(data: Path) -> Results | None:
    """The run before the one of this file, if there is one."""
    path = data.with_name(f"{BEFORE}.json")
    return _read(path) if path.exists() else None


def _read(path: Path) -> Results:
    return Results.model_validate_json(path.read_text(encoding="utf-8"))


def show(results: Results, console: Console) -> None:
    """Print what `markdown` writes, as tables."""
    console.print(_machine(results))
    for sentence in sentences(results):
        console.print(sentence.replace("**", ""), markup=False)
    for title, head, rows in tables(results):
        table = Table(title=title)
        for number, name in enumerate(head):
            table.add_column(name, justify="right" if number else "left")
        for row in rows:
            table.add_row(*row)
        console.print(table)
    for name, why in results.skipped.items():
        console.print(f"skipped: {name}: {why}", markup=False)


def markdown(results: Results, earlier: Results | None = None) -> str:
    """Four sentences and the tables of a run; its targets beside the run before."""
    opening = [f"{number}. {it}" for number, it in enumerate(sentences(results), 1)]
    lines = [
        "# full_app beside its peers and its limit",
        "",
        *opening,
        "",
        "Written by `python3 -m course bench --peers`, one run on one machine:",
        f"{_machine(results)}.",
        "Every contestant had one worker, the same body, and 200 chunks a stream.",
        "Rounds of all contestants alternate; a figure is the median of its rounds.",
        "Compare within a table; figures of another machine are others.",
        f"`{VOID}`: there were errors, or in some round nothing came to its end.",
    ]
    for title, head, rows in tables(results, earlier):
        rule = ["---", *["--:"] * (len(head) - 1)]
        used = [n for n, _ in enumerate(head) if any(row[n] for row in rows)]
        lines += ["", f"## {title}", ""]
        lines += [
            f"| {' | '.join(row[n] for n in used)} |" for row in (head, rule, *rows)
        ]
    if results.skipped:
        lines += ["", "## Left out", ""]
        lines += [f"- {name}: {why}" for name, why in results.skipped.items()]
    return "\n".join(lines) + "\n"


def tables(results: Results, earlier: Results | None = None) -> list[Rows]:
    """Title, head and rows of each table."""
    made: list[Rows] = [_targets(results, earlier)]
    for (mode, kind), title in TITLES.items():
        cells = [it for it in results.cells if (it.mode, it.kind) == (mode, kind)]
        if cells:
            made.append((title, *_cells(cells)))
    made += [_waiting(results), _memory(results), _scales(results)]
    made.append(_figures(results))
    return [table for table in made if table[2]]


def _machine(results: Results) -> str:
    machine = results.machine
    names = ", ".join(f"{name} {it}" for name, it in results.versions.items())
    packages = ", ".join(f"{name} {it}" for name, it in machine.packages.items())
    return (
        f"{machine.system}, {machine.cores} cores, Python {machine.python}; load by "
        f"{results.tool}; load average before: {machine.load}; {names}; {packages}"
    )


def _targets(results: Results, earlier: Results | None) -> Rows:
    head = ["what was to be reached", "wanted", "measured", "held"]
    words = {True: "yes", False: "no", None: "-"}
    rows = [[it.what, it.wanted, it.measured, words[it.held]] for it in results.targets]
    if earlier is not None:
        head += ["the run before", "held then"]
        then = {it.what: it for it in earlier.targets}
        for row in rows:
            target = then.get(row[0])
            row += [target.measured, words[target.held]] if target else ["", ""]
    return ("Targets", head, rows)


def _cells(cells: list[Cell]) -> tuple[list[str], list[list[str]]]:
    """Head and rows. A void cell has no figures: they would be compared."""
    head = ["contestant", "at once", "req/s", "of bare", "events/s"]
    head += ["p50 ms", "p99 ms", "CPU s / 1,000", "errors"]
    rows = []
    for cell in cells:
        bare = [
            it.requests_per_second
            for it in cells
            if it.contestant == BARE and it.connections == cell.connections and it.valid
        ]
        share = f"{cell.requests_per_second / bare[0]:.2f}" if bare else ""
        if not cell.valid:
            load = [cell.contestant, str(cell.connections)]
            rows.append([*load, VOID, "", "", "", "", "", str(cell.errors)])
            continue
        events = cell.events_per_second
        rows.append(
            [
                cell.contestant,
                str(cell.connections),
                f"{cell.requests_per_second:,.0f}",
                share,
                f"{events:,.0f}" if events is not None else "",
                f"{cell.p50_ms:.1f}",
                f"{cell.p99_ms:.1f}",
                f"{cell.cpu_seconds_per_1000:.2f}",
                str(cell.errors),
            ]
        )
    return head, rows


def _waiting(results: Results) -> Rows:
    head = ["contestant", "mode", "first text p50 ms", "p50 ms", "p99 ms", "errors"]
    rows = [
        [
            it.contestant,
            it.mode,
            f"{it.first_text_p50_ms:.1f}",
            f"{it.p50_ms:.1f}" if it.p50_ms is not None else "too slow",
            f"{it.p99_ms:.1f}" if it.p99_ms is not None else "too slow",
            str(it.errors),
        ]
        for it in results.waiting
    ]
    rate = results.waiting[0].rate if results.waiting else 0
    return (f"First text, and whole answers at {rate} requests a second", head, rows)


def _memory(results: Results) -> Rows:
    head = ["contestant", "open streams", "idle MB", "kB a stream"]
    rows = [
        [
            it.contestant,
            f"{it.streams:,}",
            f"{it.idle_bytes / 1e6:.0f}",
            f"{it.per_stream_bytes / 1e3:.0f}",
        ]
        for it in results.memory
    ]
    return ("Memory of open streams", head, rows)


def _scales(results: Results) -> Rows:
    head = ["full_app with", "CPU ms a request", "req/s"]
    rows = [
        [
            f"{it.number:,} {it.what if it.number > 1 else it.what.removesuffix('s')}",
            f"{it.cpu_ms:.2f}",
            f"{it.requests_per_second:,.0f}",
        ]
        for it in results.scales
    ]
    return ("What grows with what", head, rows)


def _figures(results: Results) -> Rows:
    rows = [
        [it.what, _number(it.value), it.unit.replace("CPU us", "µs of CPU")]
        for it in results.figures
    ]
    title = "Jobs, resuming, the limiter: full_app alone"
    return (title, ["what", "figure", "unit"], rows)


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
