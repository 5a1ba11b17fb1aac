"""`course checkpoint s2.3`: the file for live coding, put into a known state.

Who codes in front of a class works in `work/live.py`, which git ignores, and serves it
with `course run live`. A checkpoint is a step of the ladder: its file is copied there,
and what was there before is kept in `work/backups/`.
"""

from pathlib import Path

from course.manifest import LIVE_FILE, Rung, find_app
from course.places import ROOT, CourseError, command, say


def restore(word: str, target: Path = LIVE_FILE) -> int:
    """Copy the step called `word` to `target`, after a backup; the exit status.

    Raises CourseError for a word that names no step.
    """
    step = find_app(word)
    if not isinstance(step, Rung) or not step.module.startswith("examples.steps."):
        raise CourseError(f"{word!r} is not a step. A step is called: s2.3")
    source = ROOT.joinpath(*step.module.split(".")).with_suffix(".py")
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.is_file() and target.read_bytes() != source.read_bytes():
        say(f"What was there is kept: {back_up(target)}")
    target.write_bytes(source.read_bytes())
    say(f"{target} is now step {step.id}: {step.title}")
    say(f"Serve it with: {command('course run live')}")
    return 0


def back_up(file: Path) -> Path:
    """Copy `file` to the first free number in `backups/` beside it; the copy's path."""
    folder = file.parent / "backups"
    folder.mkdir(exist_ok=True)
    number = 1
    while (copy := folder / f"{file.stem}-{number}{file.suffix}").exists():
        number += 1
    copy.write_bytes(file.read_bytes())
    return copy
