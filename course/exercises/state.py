"""What a student has tried and solved: one JSON file in `work/`, which git ignores.

It is replaced in one step, so a crash leaves the old one or the new one. A file that
cannot be read is put aside, never overwritten. Fields we do not know are kept.
"""

import copy
import json
import os
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from course.exercises.source import WORK
from course.places import say

FILE = WORK / "progress.json"
EMPTY: dict[str, Any] = {"version": 1, "exercises": {}, "quizzes": {}}


def now() -> str:
    """The time in UTC, to the second, as ISO 8601 writes it."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def load(file: Path | None = None) -> dict[str, Any]:
    """The state; an empty one where there is no file or none that can be read."""
    file = file or FILE
    try:
        state = json.loads(file.read_text(encoding="utf-8"))
        if not isinstance(state.get("exercises"), dict):
            raise TypeError("no exercises")
    except FileNotFoundError:
        return copy.deepcopy(EMPTY)
    except (ValueError, TypeError, AttributeError):
        aside = beside(file, "broken")
        file.rename(aside)
        say(f"{file.name} could not be read. It is kept as {aside.name}.")
        return copy.deepcopy(EMPTY)
    return {**copy.deepcopy(EMPTY), **state}


def save(state: dict[str, Any], file: Path | None = None) -> None:
    """Write the state in one step."""
    write_whole(file or FILE, json.dumps(state, indent=1, sort_keys=True) + "\n")


def write_whole(file: Path, text: str) -> None:
    """Write a file so that a reader sees the old text or the new, never a part."""
    file.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as opened:
            opened.write(text)
            opened.flush()
            os.fsync(opened.fileno())
        Path(name).replace(file)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def entry(state: dict[str, Any], exercise_id: str) -> dict[str, Any]:
    """What is known of one exercise; it is made where there is nothing."""
    known: dict[str, Any] = state["exercises"].setdefault(exercise_id, {})
    known.setdefault("tries", 0)
    known.setdefault("hints", 0)
    return known


def status(state: dict[str, Any], exercise_id: str) -> str:
    """`solved`, `tried` or `open`."""
    known = state["exercises"].get(exercise_id, {})
    if known.get("solved"):
        return "solved"
    return "tried" if known.get("tries") else "open"


def beside(file: Path, word: str) -> Path:
    """A free name beside the file: `name.word-1.ending`."""
    number = 1
    while (
        path := file.with_name(f"{file.stem}.{word}-{number}{file.suffix}")
    ).exists():
        number += 1
    return path
