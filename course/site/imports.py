"""full_app's architecture, drawn from what its modules import: no arrow by hand."""

import ast
import html
import re
import textwrap
from collections import Counter
from functools import cache
from pathlib import Path

from course import source
from course.groups import pyproject
from course.places import ROOT, CourseError

PACKAGE = "examples.full_app"
FOLDER = ROOT / "examples" / "full_app"
SECTIONS = "the sections it is made of"
# A room begins at the layer of pyproject.toml that holds this module.
ROOMS = {
    "main": "start",
    "wiring": "routes and wiring",
    "web": "around a request",
    "jobs": "jobs and resumable streams",
    "chat": "chat and webhooks",
    "limits": "limits, events, providers",
    "observability": "logs, metrics, traces, tokens",
    "schemas": "what goes over the wire",
    "errors": "errors, identity, settings",
}
WIDTH, LANE, LINE = 560, 6, 19


@cache
def rooms() -> dict[str, str]:
    """The room of each module, from the layers contract."""
    contracts = pyproject()["tool"]["importlinter"]["contracts"]
    layers = next(it["layers"] for it in contracts if it.get("exhaustive"))
    found: dict[str, str] = {}
    room = ""
    for layer in layers:
        names = re.findall(r"\w+", layer)
        room = next((ROOMS[name] for name in names if name in ROOMS), room)
        found |= dict.fromkeys(names, room)
    if missing := ROOMS.keys() - found.keys():
        raise CourseError(f"pyproject.toml has no layer with {sorted(missing)}.")
    return found


@cache
def imported() -> dict[str, set[str]]:
    """Which modules (`jobs`, `providers`, or a section) each module imports."""
    found: dict[str, set[str]] = {}
    for path in sorted(FOLDER.rglob("*.py")):
        name = path.relative_to(FOLDER).parts[0].removesuffix(".py")
        if name != "__init__":
            found.setdefault(name, set()).update(_targets(path) - {name})
    return found


def _targets(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    ours = {it.removeprefix(f"{PACKAGE}.") for it in names if it.startswith(PACKAGE)}
    theirs = {it.split(".")[1] for it in names if it.startswith("examples.s")}
    return {it.split(".")[0] for it in ours} | theirs


def arrows() -> Counter[tuple[str, str]]:
    """How many imports lead from one room to another."""
    return Counter(
        (room_of(module), room_of(target))
        for module, targets in imported().items()
        for target in targets
        if room_of(module) != room_of(target)
    )


def room_of(module: str) -> str:
    """The room a module is in; a section is in the last one."""
    return SECTIONS if re.match(r"s\d_", module) else rooms()[module]


def figure(_: str = "") -> str:
    """The drawing, as SVG that follows the page's colours."""
    boxes, at, parts = {}, 10, []
    used = {it for them in imported().values() for it in them} | imported().keys()
    for room in [*ROOMS.values(), SECTIONS]:
        words = " · ".join(sorted(it for it in used if room_of(it) == room))
        lines = textwrap.wrap(words, 66) or [""]
        height = 34 + LINE * len(lines)
        boxes[room] = (at, height)
        parts.append(_box(room, lines, at, height))
        at += height + 22
    lanes = sorted(arrows().items(), key=lambda it: -it[1])
    drawn = [
        _arrow(*pair, count, boxes, lane) for lane, (pair, count) in enumerate(lanes)
    ]
    size = f"0 0 {WIDTH + 50 + LANE * len(lanes)} {at}"
    return (
        '<div class="scroll" tabindex="0" role="region" aria-label="Architecture">'
        f'<svg class="arch" viewBox="{size}" role="img" '
        'aria-labelledby="arch-t arch-d">'
        '<title id="arch-t">Modules of full_app and what imports what</title>'
        f'<desc id="arch-d">{html.escape(_told(lanes))}</desc>'
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" '
        'markerHeight="7" orient="auto" markerUnits="userSpaceOnUse">'
        '<path d="M0 0 8 4 0 8z"/></marker></defs>'
        f"{''.join(parts)}{''.join(drawn)}</svg></div>"
    )


def _told(lanes: list[tuple[tuple[str, str], int]]) -> str:
    return "; ".join(f"{a} imports {b} {count} times" for (a, b), count in lanes)


def _box(room: str, lines: list[str], at: int, height: int) -> str:
    rows = "".join(
        f'<text x="16" y="{at + 42 + LINE * number}">{html.escape(line)}</text>'
        for number, line in enumerate(lines)
    )
    return (
        f'<rect x="1" y="{at}" width="{WIDTH}" height="{height}" rx="8"/>'
        f'<text class="room" x="16" y="{at + 21}">{html.escape(room)}</text>{rows}'
    )


def _arrow(
    start: str, end: str, count: int, boxes: dict[str, tuple[int, int]], lane: int
) -> str:
    (top, height), (below, deep) = boxes[start], boxes[end]
    x = WIDTH + 24 + LANE * lane
    y, to = (
        top + 8 + lane * (height - 16) / 30,
        below + deep - 8 - lane * (deep - 16) / 30,
    )
    return (
        f'<path class="arrow" marker-end="url(#tip)" '
        f'd="M{WIDTH + 1} {y:.1f}H{x}V{to:.1f}H{WIDTH + 3}">'
        f"<title>{html.escape(start)} → {html.escape(end)}: {count}</title></path>"
    )


def modules(_: str = "") -> str:
    """One row a module: its place, what it is for, what it imports."""
    rows = ["| module | what it is for | imports |", "|---|---|---|"]
    for name, targets in sorted(imported().items()):
        path = FOLDER / f"{name}.py"
        path = path if path.is_file() else FOLDER / name / "__init__.py"
        first = source.docstring(path).split("\n\n")[0].replace("\n", " ")
        listed = ", ".join(f"`{it}`" for it in sorted(targets))
        rows.append(f"| `{name}` | {first.replace('|', chr(92) + '|')} | {listed} |")
    return "\n".join(rows)
