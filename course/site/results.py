"""The committed results of the benchmarks, as tables and figures.

Every JSON file of `benchmarks/results` is a heading: its lists become tables, its
`machine` a sentence, and the SVG files that begin with its name are shown above, in the
colours of the page. Lists named in `BARS` are drawn as well. `peers.json` has a reader
of its own, benchmarks/peers/report.py, and a word where it is not there.
"""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.peers import report
from benchmarks.peers.results import Results
from course.places import ROOT
from course.site import bars

RESULTS = ROOT / "benchmarks" / "results"
NO_RESULTS = (
    "No results are committed yet. `python3 -m course bench` measures on your machine "
    "and writes JSON and plots to `benchmarks/results/here`."
)
PEERS = "peers.json"
NO_PEERS = (
    "## full_app beside its peers\n\nNo run of `python3 -m course bench --peers` is "
    "committed yet: it sets full_app beside a bare FastAPI route and other gateways. "
    "What it finds will stand here."
)
# What a bar is as long as, and its unit, for the lists that are drawn.
BARS = {
    ("full_app_layers", "rows"): ("microseconds", "microseconds of CPU per request"),
    ("full_app_layers", "tokens"): ("microseconds", "microseconds of CPU a token"),
    ("keys_flat", "rows"): ("microseconds", "microseconds of CPU per request"),
}
HEADINGS = {
    "frameworks": "The chapter's table, measured",
    "full_app_layers": "What each layer of full_app costs",
    "keys_flat": "What one request costs with 1 to 1,000 keys",
    "full_app_flame": "Where the time of whole answers goes",
    "full_app_flame_streams": "Where the time of streams goes",
}
FEW = 25  # rows; a longer table is folded
SKIPPED = {"rounds"}  # the single runs: the file has them


def benchmarks(_: str = "") -> str:
    """What the committed result files say."""
    apart = {RESULTS / PEERS, RESULTS / "survival.json"}
    files = sorted(set(RESULTS.glob("*.json")) - apart)
    alone = sorted(set(RESULTS.glob("*.svg")) - set(RESULTS.glob("*-*.svg")))
    parts = [*map(_file, files), *map(_drawing, alone)]
    if not parts:
        return NO_RESULTS
    return "\n\n".join([*parts[:1], peers(RESULTS / PEERS), *parts[1:]])


def peers(path: Path) -> str:
    """The tables of a run with peers, one level down; a sentence without one."""
    if not path.is_file():
        return NO_PEERS
    results = Results.model_validate_json(path.read_text(encoding="utf-8"))
    drawn = {
        title: _peer_bars(title, rows) for title, _, rows in report.tables(results)
    }
    parts = []
    for part in re.split(r"^(?=#)", report.markdown(results), flags=re.MULTILINE):
        title = part.partition("\n")[0].lstrip("# ")
        heading, _, rest = part.partition("\n")
        parts.append(f"#{heading}\n\n{drawn.get(title, '')}\n{rest}" if part else "")
    return "".join(parts).replace("\n#", "\n\n#").strip()


def _peer_bars(title: str, rows: list[list[str]]) -> str:
    if title not in report.TITLES.values():
        return ""
    most = max((int(row[1]) for row in rows), default=0)
    shown = [
        (row[0], float(row[2].replace(",", ""))) for row in rows if int(row[1]) == most
    ]
    return bars.chart(title, shown, f"requests per second, {most} at once")


def copy_plots(folder: Path) -> None:
    """Put the figures beside the page."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in RESULTS.glob("*.svg"):
        shutil.copy(path, folder)


def _file(path: Path) -> str:
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    parts = [f"## {_heading(path)}", *_machine(content)]
    parts += [_plot(path.stem, name) for name in _plots(path.stem)]
    for name, rows in content.items():
        if isinstance(rows, list) and rows and isinstance(rows[0], dict):
            if name not in {path.stem, "rows"}:
                parts.append(f"### {_words(name).capitalize()}")
            parts += [_bars(path.stem, name, rows), _table(rows)]
    return "\n\n".join(filter(None, parts))


def _machine(content: dict[str, Any]) -> Iterator[str]:
    machine = content.get("machine")
    if isinstance(machine, dict):
        told = (f"{_words(name)} {_cell(it)}" for name, it in machine.items())
        yield f"Measured on: {', '.join(told)}."


def _plots(stem: str) -> list[str]:
    named = sorted(RESULTS.glob(f"{stem}-*-light.svg"))
    return [it.name.removesuffix("-light.svg") for it in named]


def _plot(stem: str, name: str) -> str:
    words = (
        f"Bars: {_words(name.removeprefix(f'{stem}-'))}, the figures are in the table"
    )
    return "\n".join(
        f"![{words}]({name}-{kind}.svg#only-{kind})" for kind in ("light", "dark")
    )


def _bars(stem: str, name: str, rows: list[dict[str, Any]]) -> str:
    if (stem, name) not in BARS:
        return ""
    column, unit = BARS[stem, name]
    keys = list(rows[0])[: list(rows[0]).index(column)]
    shown = [(", ".join(_cell(row[it]) for it in keys), row[column]) for row in rows]
    return bars.chart(_words(stem), shown, unit)


def _drawing(path: Path) -> str:
    found = re.search(r"<title>([^<]+)</title>", path.read_text(encoding="utf-8"))
    words = found[1] if found else _words(path.stem)
    return f"## {_heading(path)}\n\n[![{words}]({path.name})]({path.name})"


def _table(rows: list[dict[str, Any]]) -> str:
    names = [it for it in rows[0] if it not in SKIPPED]
    numbers = {it for it in names if isinstance(rows[0][it], int | float)}
    rule = ("--:" if it in numbers else "---" for it in names)
    lines = [[_words(it) for it in names], list(rule)]
    lines += [[_cell(row.get(it)) for it in names] for row in rows]
    shown = [f"| {' | '.join(line)} |" for line in lines]
    if len(rows) <= FEW:
        return "\n".join(shown)
    folded = "\n".join(f"    {line}" for line in shown)
    return f'??? note "All {len(rows)} rows"\n\n{folded}'


def _heading(path: Path) -> str:
    return HEADINGS.get(path.stem, _words(path.stem).capitalize())


def _words(name: str) -> str:
    return name.strip("_").replace("_", " ")


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, list):
        return ": ".join(map(_cell, value))
    if isinstance(value, dict):
        return ", ".join(f"{name} {_cell(it)}" for name, it in value.items())
    return str(value).replace("|", "\\|")
