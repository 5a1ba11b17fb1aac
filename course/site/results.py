"""The committed results of the benchmarks, as tables and figures.

Four claims in words come first. Every JSON file of `benchmarks/results` is a heading:
its lists become tables, its `machine` a sentence, and lists named in `BARS` are drawn.
`peers.json` has a reader of its own,
benchmarks/peers/report.py, and a word where it is not there.
"""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.peers import report
from benchmarks.peers.results import Results
from benchmarks.peers.targets import CONNECTIONS, sentences
from course.places import ROOT
from course.site import bars

RESULTS = ROOT / "benchmarks" / "results"
NO_RESULTS = (
    "No results are committed yet. `python3 -m course bench` measures on your machine "
    "and writes JSON and plots to `benchmarks/results/here`."
)
PEERS, PEERS_BEFORE = "peers.json", f"{report.BEFORE}.json"
SHARES = "proxied_shares.json"
NO_PEERS = (
    "## full_app beside its peers\n\nNo run of `python3 -m course bench --peers` is "
    "committed yet: it sets full_app beside a bare FastAPI route and other gateways. "
    "What it finds will stand here."
)
# What a bar is as long as, and its unit, for the lists that are drawn.
BARS = {
    ("full_app_layers", "rows"): ("microseconds", "µs of CPU per request"),
    ("full_app_layers", "tokens"): ("microseconds", "µs of CPU per token"),
    ("keys_flat", "rows"): ("microseconds", "µs of CPU per request"),
}
WORKLOADS = {
    "model": "One model call of 200 ms",
    "fanout": "Ten model calls at once, of 200 ms each",
    "json": "Small JSON answers",
}
TITLES = {  # of lists, by their names in the files
    "frameworks": "Every load",
    "pydantic": "Pydantic 1 and 2",
    "practices": "Habits",
    "tokens": "A streamed token",
}
UNITS = {"us": "µs", "microseconds": "µs", "v1_us": "v1 (µs)", "v2_us": "v2 (µs)"}
HEADINGS = {
    "frameworks": "The chapter's table, measured",
    "full_app_layers": "What each layer of full_app costs",
    "keys_flat": "What one request costs with 1 to 1,000 keys",
    "calls": "How many Python functions an answer calls",
    "full_app_flame": "Where the time of whole answers goes",
    "full_app_flame_streams": "Where the time of streams goes",
    "full_app_flame_proxied": "Where the time of proxied whole answers goes",
    "full_app_flame_proxied_before": "Proxied whole answers in an older version",
    "full_app_flame_proxied_streams": "Where the time of proxied streams goes",
    "full_app_flame_proxied_streams_before": "Proxied streams in an older version",
}
FEW = 12  # rows; a longer table is folded
SKIPPED = {"rounds"}  # the single runs: the file has them
LAYERS = "full_app_layers"
FASTAPI, FULL_APP = "FastAPI", "full_app"


def benchmarks(_: str = "") -> str:
    """What the committed result files say: four claims first, then the figures."""
    apart = {
        RESULTS / name
        for name in (PEERS, PEERS_BEFORE, SHARES, "scores.json", "survival.json")
    }
    files = sorted(set(RESULTS.glob("*.json")) - apart, key=_place)
    alone = sorted(RESULTS.glob("*.svg"))
    parts = [*map(_file, files), *map(_drawing, alone)]
    if not parts:
        return NO_RESULTS
    first = [claims(), *parts[:1]]
    whole = [peers(RESULTS / PEERS), costs(), proxied()]
    return "\n\n".join([*first, *whole, *parts[1:]])


def _place(path: Path) -> tuple[bool, bool, str]:
    """What a result file is sorted by: the chapter's table first, long lists last."""
    return path.stem != "frameworks", path.stem == "calls", path.stem


def claims() -> str:
    """Four sentences, each with its figure from a run that is committed."""
    found = _content("frameworks")
    answers, waiting = (drawn_rows(found["frameworks"], it) for it in ("json", "model"))
    ratios = [pair["ratio"] for pair in found["pydantic"]]
    listed = (
        "**FastAPI is a fast framework.** With 256 connections it sends "
        f"{answers[FASTAPI]:,.0f} small JSON answers per second, Flask "
        f"{answers['Flask']:,.0f} and Django {answers['Django']:,.0f}.",
        "**Waiting well matters more.** When each answer waits 200 ms for a model, "
        f"FastAPI sends {waiting[FASTAPI]:,.0f} per second. Flask has eight threads "
        f"for that and sends {waiting['Flask']:,.0f}.",
        "**Pydantic 2 is faster than Pydantic 1.** It checks the chat request of this "
        f"course {min(ratios):.1f} to {max(ratios):.1f} times as fast. The chapter "
        "says 5 to 50 times.",
        f"**A gateway in Python can be fast.** {_gateway()} That is with "
        f"{CONNECTIONS} connections.",
    )
    lines = "\n".join(f"{number}. {it}" for number, it in enumerate(listed, 1))
    return (
        f"## Four claims, measured\n\n{lines}\n\n"
        "Each figure is from one run on a shared machine with two cores. Compare "
        "figures within a table: another machine has others."
    )


def costs() -> str:
    """Why one request has three costs on this page; the figures are of the files."""
    layers = {row["layer"]: row["microseconds"] for row in _content(LAYERS)["rows"]}
    keys = {
        (row["redis"], row["keys"]): row["microseconds"]
        for row in _content("keys_flat")["rows"]
    }
    scale = next(
        it["cpu_ms"]
        for it in _content("peers")["scales"]
        if (it["what"], it["number"]) == ("keys", 1)
    )
    rows = [
        (
            "Beside its peers",
            "the server's process only, on Redis, many requests at once: their calls "
            "of Redis share round trips",
            f"{scale * 1000:,.0f} µs",
        ),
        (
            "What each layer costs",
            "client and service in one process, on Redis, one request at a time",
            f"{layers['full_app, on Redis']:,.0f} µs",
        ),
        (
            "1 to 1,000 keys",
            "the same with a budget for each key, so money is reserved and settled; "
            "the machine was busier",
            f"{keys['on Redis', 1]:,.0f} µs",
        ),
    ]
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join(
        [
            "## One request, three costs",
            "",
            "A chat request costs a different amount of CPU time in three runs on this "
            "page, because the runs count different things.",
            "",
            "| run | what is counted | per request |",
            "|---|---|--:|",
            *lines,
        ]
    )


def proxied() -> str:
    """Where the CPU time of one proxied whole answer goes, layer by layer.

    The time is that of the committed run with peers.
    """
    cells = Results.model_validate(_content("peers")).cells
    total = next(
        1000 * it.cpu_seconds_per_1000
        for it in cells
        if (it.contestant, it.mode, it.kind, it.connections)
        == (FULL_APP, "proxy", "whole", 32)
    )
    rows = _content("proxied_shares")["rows"]
    shares = {row["layer"]: row["share"] for row in rows}
    ours = sum(share for layer, share in shares.items() if layer.startswith(FULL_APP))
    table = [
        f"| {layer} | {share * total:,.0f} µs | {share:.0%} |"
        for layer, share in shares.items()
    ]
    return "\n".join(
        [
            "## Where the time of one proxied answer goes",
            "",
            "With every feature on, 32 callers and one worker, a whole answer takes "
            f"{total:,.0f} µs of CPU time. Four rows are full_app's own code: "
            f"{ours:.0%}. If that took no time at all, {1 / (1 - ours):.1f} times as "
            "many answers would pass. So a gateway of ordinary routes, on public "
            "interfaces of these libraries, stays behind one that is compiled.",
            "",
            "| layer | per answer | share |",
            "|---|--:|--:|",
            *table,
            f"| all | {total:,.0f} µs | 100% |",
            "",
            "Python's own modules are counted for the layer that calls them. The "
            "shares come from a timer of CPU time (`python -m benchmarks.shares`), the "
            "sum is that of the run with peers above.",
        ]
    )


def _content(stem: str) -> dict[str, Any]:
    text = (RESULTS / f"{stem}.json").read_text(encoding="utf-8")
    content: dict[str, Any] = json.loads(text)
    return content


def drawn_rows(rows: list[dict[str, Any]], workload: str) -> dict[str, float]:
    """Requests per second by server: one worker, the most connections, no errors."""
    single = [it for it in rows if it["workload"] == workload and it["workers"] == 1]
    most = max(it["connections"] for it in single)
    return {
        it["server"]: it["requests_per_second"]
        for it in single
        if it["connections"] == most and not it["errors"]
    }


def _gateway() -> str:
    """The first of the sentences that the run with peers begins with, as a claim."""
    text = (RESULTS / PEERS).read_text(encoding="utf-8")
    first = sentences(Results.model_validate_json(text))[0].partition(":** ")[2]
    return f"{first[0].upper()}{first[1:]}"


def peers(path: Path) -> str:
    """The tables of a run with peers, one level down; a sentence without one."""
    if not path.is_file():
        return NO_PEERS
    results = Results.model_validate_json(path.read_text(encoding="utf-8"))
    drawn = {
        title: _peer_bars(title, rows) for title, _, rows in report.tables(results)
    }
    text = report.markdown(results, report.before(path))
    parts: list[str] = []
    for part in re.split(r"^(?=#)", text, flags=re.MULTILINE):
        title = part.partition("\n")[0].lstrip("# ")
        heading, _, rest = part.partition("\n")
        figure = drawn.get(title, "")
        shown = _folded(rest.strip(), "All figures") if figure else rest
        parts.append(f"#{heading}\n\n{figure}\n\n{shown}\n" if part else "")
    return "".join(parts).replace("\n#", "\n\n#").strip()


def _peer_bars(title: str, rows: list[list[str]]) -> str:
    if title not in report.TITLES.values():
        return ""
    valid = [row for row in rows if row[2] != report.VOID]
    most = max((int(row[1]) for row in valid if row[0] == FULL_APP), default=0)
    shown = [
        (row[0], float(row[2].replace(",", ""))) for row in valid if int(row[1]) == most
    ]
    unit = f"requests per second, {most} at once"
    return bars.chart(title, shown, unit, ours=FULL_APP, titled=True)


def copy_plots(folder: Path) -> None:
    """Put the figures beside the page."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in RESULTS.glob("*.svg"):
        shutil.copy(path, folder)


def _file(path: Path) -> str:
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    parts = [f"## {_heading(path)}", *_machine(content)]
    if path.stem == "frameworks":
        parts += _framework_bars(content["frameworks"])
    for name, rows in content.items():
        if isinstance(rows, list) and rows and isinstance(rows[0], dict):
            if name != "rows":
                parts.append(f"### {TITLES.get(name, _words(name).capitalize())}")
            parts += [_bars(path.stem, name, rows), _table(rows)]
    return "\n\n".join(filter(None, parts))


def _framework_bars(rows: list[dict[str, Any]]) -> Iterator[str]:
    """One drawing for each kind of work, with FastAPI marked."""
    for workload, title in WORKLOADS.items():
        shown = list(drawn_rows(rows, workload).items())
        yield bars.chart(title, shown, "requests per second, 1 worker", ours=FASTAPI)


def _machine(content: dict[str, Any]) -> Iterator[str]:
    machine = content.get("machine")
    if isinstance(machine, dict):
        told = (f"{_words(name)} {_cell(it)}" for name, it in machine.items())
        yield f"Measured on: {', '.join(told)}."


def _bars(stem: str, name: str, rows: list[dict[str, Any]]) -> str:
    if (stem, name) not in BARS:
        return ""
    column, unit = BARS[stem, name]
    keys = list(rows[0])[: list(rows[0]).index(column)]
    shown = [
        (", ".join(_label(it, row[it]) for it in keys), row[column]) for row in rows
    ]
    title = TITLES.get(name, HEADINGS[stem])
    return bars.chart(title, shown, unit, titled=True)


def _label(name: str, value: Any) -> str:
    """A cell as a label: a number says what it counts."""
    if name == "keys":
        return "1 key" if value == 1 else f"{value:,} keys"
    return _cell(value)


def _drawing(path: Path) -> str:
    found = re.search(r"<title>([^<]+)</title>", path.read_text(encoding="utf-8"))
    words = found[1] if found else _words(path.stem)
    return f"## {_heading(path)}\n\n[![{words}]({path.name})]({path.name})"


def _table(rows: list[dict[str, Any]]) -> str:
    names = [it for it in rows[0] if it not in SKIPPED]
    numbers = {it for it in names if isinstance(rows[0][it], int | float)}
    rule = ("--:" if it in numbers else "---" for it in names)
    lines = [[UNITS.get(it, _words(it)) for it in names], list(rule)]
    lines += [[_cell(row.get(it)) for it in names] for row in rows]
    shown = [f"| {' | '.join(line)} |" for line in lines]
    if len(rows) <= FEW:
        return "\n".join(shown)
    return _folded("\n".join(shown), f"All {len(rows)} rows")


def _folded(text: str, title: str) -> str:
    """`text` behind a line that opens it."""
    inner = "\n".join(f"    {line}" for line in text.splitlines())
    return f'??? note "{title}"\n\n{inner}'


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
    return UNITS.get(str(value), str(value)).replace("|", "\\|")
