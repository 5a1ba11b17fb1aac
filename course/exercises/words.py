"""What a failed check means for the student, in sentences.

The process of `course check` uses this, and so does the playground: it imports the
standard library only.
"""

import re
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import Protocol, TypeVar

from course import mistakes


class Known(Protocol):
    """A wrong answer that is expected: see `source.Mistake`."""

    @property
    def check(self) -> str:
        """The check that finds it."""

    @property
    def source(self) -> str:
        """A regular expression that its code matches."""

    @property
    def words(self) -> str:
        """What somebody who gave it should hear."""


T = TypeVar("T", bound=Known)


def in_words(error: BaseException, answer: Path, module: ModuleType) -> str:
    """What an exception means for the student; never a traceback."""
    if type(error).__name__ == "NotYet":
        return str(error)
    if isinstance(error, BaseExceptionGroup):
        return in_words(error.exceptions[0], answer, module)
    if isinstance(error, SystemExit):
        return "Your code ends the process (exit or sys.exit). Take that line out."
    if isinstance(error, MemoryError):
        return (
            "Your code asked for more than 2 GiB of memory. Is there an endless list?"
        )
    if isinstance(error, RecursionError):
        return "A function of yours calls itself without end."
    if isinstance(error, AttributeError) and error.obj is module:
        return f"There is no `{error.name}` in your file."
    placed = mistakes.explain(error, answer.parent)
    return placed or f"The check met {mistakes.sentence(error)}"


def recognised(expected: Iterable[T], failed: str, code: str) -> T | None:
    """The first expected mistake with this failed check and this code."""
    code = without_comments(code)
    for mistake in expected:
        if mistake.check == failed and re.search(mistake.source, code):
            return mistake
    return None


def without_comments(code: str) -> str:
    """The lines of the code that are not comments."""
    lines = (line.rstrip() for line in code.splitlines())
    return "\n".join(line for line in lines if not line.lstrip().startswith("#"))
