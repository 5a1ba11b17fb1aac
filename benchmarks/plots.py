"""Bars of a run as SVG, one file for light pages and one for dark ones."""

from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

from benchmarks.frameworks import Row
from benchmarks.report import Results

THEMES = {  # of the course's tokens: a test holds them together
    "light": {"ink": "#1c2733", "bar": "#516170", "ours": "#0b6b62"},
    "dark": {"ink": "#e8eef4", "bar": "#a9b8c6", "ours": "#5fd4c4"},
}
TITLES = {
    "json": "Simple JSON: requests a second",
    "model": "One model call of 200 ms: requests a second",
    "fanout": "Ten model calls at once: requests a second",
}


def draw(results: Results, out: Path) -> list[Path]:
    """Write `frameworks-<workload>-<theme>.svg`; the paths."""
    mpl.rcParams["svg.hashsalt"] = "course bench"  # the same figure, the same bytes
    mpl.rcParams["svg.fonttype"] = "none"  # text stays text
    written = []
    for workload in dict.fromkeys(row.workload for row in results.frameworks):
        rows = _busiest([row for row in results.frameworks if row.workload == workload])
        for theme, colours in THEMES.items():
            path = out / f"frameworks-{workload}-{theme}.svg"
            title = f"{TITLES[workload]}, {rows[0].connections} connections, 1 worker"
            figure = _bars(title, rows, colours)
            figure.savefig(path, transparent=True, metadata={"Date": None})
            written.append(path)
    return written


def _busiest(rows: list[Row]) -> list[Row]:
    """One worker, the highest concurrency: the case the plot shows."""
    single = [row for row in rows if row.workers == 1]
    most = max(row.connections for row in single)
    return [row for row in single if row.connections == most]


def _bars(title: str, rows: list[Row], colours: dict[str, str]) -> Figure:
    figure = Figure(figsize=(7, 0.5 * len(rows) + 1), layout="constrained")
    axes = figure.subplots()
    bars = [colours["ours" if row.server == "FastAPI" else "bar"] for row in rows]
    values = [row.requests_per_second for row in rows]
    drawn = axes.barh([row.server for row in rows], values, color=bars)
    axes.bar_label(
        drawn, [f"{v:,.0f}" for v in values], padding=4, color=colours["ink"]
    )
    axes.invert_yaxis()
    axes.set_xlim(0, max(values) * 1.15)
    axes.set_title(title, color=colours["ink"], loc="left", fontsize=11)
    axes.tick_params(colors=colours["ink"], length=0)
    axes.xaxis.set_visible(False)
    for spine in axes.spines.values():
        spine.set_visible(False)
    return figure
