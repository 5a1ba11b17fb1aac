"""The student's own notebooks, in `work/notebooks`: copies that git ignores.

A copy is made once. What the student has written in it is never overwritten: a reset
puts her file aside first.
"""

import hashlib
import json
from pathlib import Path

from course.exercises import state
from course.exercises.source import WORK
from course.notebook.files import METADATA, read, write
from course.places import command, say

FOLDER = WORK / "notebooks"
NEWER = (
    "The course has a newer {name}; yours is kept. To take the new one and keep yours "
    "beside it: {again}"
)


def copy(path: Path, *, reset: bool = False, folder: Path | None = None) -> Path:
    """The student's copy of the notebook at `path`, made where there is none.

    With `reset`, the copy that is there is kept under another name and made anew.
    """
    own = (folder or FOLDER) / path.name
    if own.exists() and reset:
        kept = state.beside(own, "backup")
        own.rename(kept)
        say(f"Your notebook is kept as {kept.name}.")
    if not own.exists():
        own.parent.mkdir(parents=True, exist_ok=True)
        made_from = {"course": {"sha256": _digest(path)}}
        write(own, read(path), metadata={**METADATA, **made_from})
    elif _made_from(own) not in {_digest(path), ""}:
        word = path.stem.partition("_")[0]
        again = command(f"course notebook {word} --reset")
        say(NEWER.format(name=path.name, again=again))
    return own


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _made_from(own: Path) -> str:
    """The digest of the notebook that this is a copy of; empty if that is unknown."""
    try:
        known = json.loads(own.read_text(encoding="utf-8"))
        return str(known["metadata"]["course"]["sha256"])
    except (ValueError, KeyError, TypeError):
        return ""
