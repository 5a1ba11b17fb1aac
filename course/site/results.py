"""The committed results of the benchmarks, as tables and figures.

Every JSON file of `benchmarks/results` is a heading: its lists become tables, its
`machine` a sentence, and the SVG files that begin with its name are shown above, in the
colours of the page.
"""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from course.places import ROOT

RESULTS = ROOT / "benchmarks" / "results"
NO_RESULTS = (
    "No results are committed yet. `python3 -m course bench` measures on your machine "
    "and writes JSON and plots to `benchmarks/results/here`."
)
SKIPPED = {"rounds"}  # the single runs: the file has them


def benchmarks(_: str = "") -> str:
    """What the committed result files say."""
    files = sorted(RESULTS.glob("*.json"))
    alone = sorted(set(RESULTS.glob("*.svg")) - set(RESULTS.glob("*-*.svg")))
    parts = [*map(_file, files), *map(_drawing, alone)]
    return "\n\n".join(parts) or NO_RESULTS


def copy_plots(folder: Path) -> None:
    """Put the figures beside the page."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in RESULTS.glob("*.svg"):
        shutil.copy(path, folder)


def _file(path: Path) -> str:
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    parts = [f"## {_words(path.stem).capitalize()}", *_machine(content)]
    parts += [_plot(path.stem, name) for name in _plots(path.stem)]
    for name, rows in content.items():
        if isinstance(rows, list) and rows and isinstance(rows[0], dict):
            if name not in {path.stem, "rows"}:
                parts.append(f"### {_words(path.stem)}: {_words(name)}")
            parts.append(_table(rows))
    return "\n\n".join(parts)


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


def _drawing(path: Path) -> str:
    found = re.search(r"<title>([^<]+)</title>", path.read_text(encoding="utf-8"))
    words = found[1] if found else _words(path.stem)
    heading = f"## {_words(path.stem).capitalize()}"
    return f"{heading}\n\n[![{words}]({path.name})]({path.name})"


def _table(rows: list[dict[str, Any]]) -> str:
    names = [it for it in rows[0] if it not in SKIPPED]
    numbers = {it for it in names if isinstance(rows[0][it], int | float)}
    rule = ("--:" if it in numbers else "---" for it in names)
    lines = [[_words(it) for it in names], list(rule)]
    lines += [[_cell(row.get(it)) for it in names] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


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
