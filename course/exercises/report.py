"""The page that a student hands in: one HTML file with what is solved."""

import html
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from course import manifest
from course.exercises import room, source, state
from course.places import ROOT, say

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark">
<title>Exercises of {name}</title>
<style>
body {{ font: 1rem/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; }}
table {{ border-collapse: collapse; width: 100%; }}
th, td {{ text-align: left; padding: .25rem .75rem; border-bottom: 1px solid #8888; }}
</style>
</head>
<body>
<h1>Exercises</h1>
<p>Name: {name}<br>Date: {date}<br>Version of the course: {commit}</p>
<p>{solved} of {total} exercises are solved, {minutes} minutes of work.</p>
{sections}
</body>
</html>
"""


def write(path: Path, name: str) -> int:
    """Write the page for the student called `name`."""
    state.write_whole(path, page(name, state.load()))
    say(f"The page is {path}.")
    return 0


def page(name: str, known: dict[str, Any]) -> str:
    """The whole page. `known` is the student's state."""
    every = source.exercises()
    solved = [one for one in every if state.status(known, one.id) == "solved"]
    return PAGE.format(
        name=html.escape(name or "not given"),
        date=datetime.now(UTC).date().isoformat(),
        commit=commit(),
        solved=len(solved),
        total=len(every),
        minutes=sum(one.minutes for one in solved),
        sections="\n".join(_section(one, known) for one in manifest.sections()),
    )


def commit(folder: Path = ROOT) -> str:
    """The commit of the course; `unknown` without git or outside a clone."""
    try:
        words = ["git", "-C", str(folder), "rev-parse", "--short=12", "HEAD"]
        asked = subprocess.run(words, capture_output=True, text=True, check=True)  # noqa: S603
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return asked.stdout.strip()


def _section(section: manifest.Section, known: dict[str, Any]) -> str:
    mine = [one for one in source.exercises() if one.section == section.id]
    rows = []
    for one in mine:
        entry = known["exercises"].get(one.id, {})
        passed = ", ".join(room.label(name) for name in entry.get("passed", []))
        cells = [
            one.title,
            str(entry.get("solved") or state.status(known, one.id)),
            f"{len(entry.get('passed', []))} of {len(one.names)}: {passed}",
            str(entry.get("tries", 0)),
            str(entry.get("hints", 0)),
        ]
        rows.append("".join(f"<td>{html.escape(cell)}</td>" for cell in cells))
    head = "".join(
        f'<th scope="col">{word}</th>'
        for word in ("exercise", "solved", "checks passed", "checks", "hints")
    )
    body = "\n".join(f"<tr>{row}</tr>" for row in rows)
    reached = "".join(
        f"<li>{html.escape(text)}</li>" for text in room.reached(mine, known)
    )
    objectives = f"<p>Objectives reached:</p><ul>{reached}</ul>" if reached else ""
    return (
        f"<h2>{html.escape(section.title)}</h2>\n"
        f"<table><thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody></table>\n"
        f"{objectives}"
    )
