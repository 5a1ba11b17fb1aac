"""A module that cannot be imported: its file, line, a caret, and one sentence.

A traceback would begin with files of the course and of the libraries; a student needs
the one line of her own that she can change.
"""

import traceback
from dataclasses import dataclass
from pathlib import Path

from course.places import ROOT

STUDENTS = ROOT / "examples"


@dataclass(frozen=True)
class Place:
    """A part of one line; `start` and `end` count its characters from 0."""

    file: Path
    line: int
    text: str
    start: int
    end: int

    def shown(self) -> str:
        """The place in three lines: where it is, its text, a caret."""
        file = self.file
        if file.is_relative_to(ROOT):
            file = file.relative_to(ROOT)
        text = self.text.rstrip().expandtabs(1)
        margin = len(text) - len(text.lstrip())
        start = min(max(self.start, margin), len(text)) - margin
        width = max(min(self.end, len(text)) - margin - start, 1)
        return (
            f"{file.as_posix()}, line {self.line}:\n"
            f"    {text[margin:]}\n"
            f"    {' ' * start}{'^' * width}"
        )


def explain(error: BaseException, below: Path = STUDENTS) -> str | None:
    """Where and why importing a module failed.

    None if no line of a file in the folder `below` took part: then the mistake is not
    the student's.
    """
    place = _of_syntax(error) if isinstance(error, SyntaxError) else None
    if place is None or not place.file.is_relative_to(below):
        place = _of_exception(error, below)
    if place is None:
        return None
    return f"{place.shown()}\n{sentence(error)}"


def sentence(error: BaseException) -> str:
    """The kind of the error and the first line of what it says."""
    if isinstance(error, SyntaxError):
        words = f"{type(error).__name__}: {error.msg}"
    else:
        words = "".join(traceback.format_exception_only(error)).strip().splitlines()[0]
    return words if words.endswith((".", "?", "!")) else f"{words}."


def _of_syntax(error: SyntaxError) -> Place | None:
    if error.filename is None or error.lineno is None:
        return None
    file = Path(error.filename)
    text = error.text if error.text is not None else _line(file, error.lineno)
    start = (error.offset or 1) - 1
    end = start + 1
    if error.end_lineno == error.lineno and error.end_offset:
        end = error.end_offset - 1
    return Place(file, error.lineno, text, start, end)


def _of_exception(error: BaseException, below: Path) -> Place | None:
    """The deepest line in a file below `below`."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        file = Path(frame.filename)
        if not file.is_relative_to(below) or frame.lineno is None:
            continue
        text = _line(file, frame.lineno)
        start = _characters(text, frame.colno or 0)
        end = start + 1
        if frame.end_lineno == frame.lineno and frame.end_colno is not None:
            end = _characters(text, frame.end_colno)
        elif frame.end_lineno is not None:
            end = len(text)
        return Place(file, frame.lineno, text, start, end)
    return None


def _line(file: Path, number: int) -> str:
    """One line of a file; empty where it cannot be read any more."""
    try:
        lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    return lines[number - 1] if 0 < number <= len(lines) else ""


def _characters(text: str, column: int) -> int:
    """A column in bytes, as Python counts them, in characters."""
    return len(text.encode()[:column].decode(errors="replace"))
