"""The timetables of course.toml: which part begins when, and what is done in it.

A timetable lists its parts: the id of a section, `s4 talk` for the talk alone,
`opening` or `takeaways`, `pause` or `lunch`. `exercises` says how often the minutes of
an exercise are given: a day has room for two exercises in each section.
"""

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from course.manifest import sections
from course.places import ROOT, CourseError

BREAKS = {"pause": 15, "lunch": 60}
FIRST_MINUTE = 9 * 60  # nine o'clock


@dataclass(frozen=True)
class Row:
    """A part of a timetable, with its minutes. `starts` counts from midnight."""

    starts: int
    title: str
    talk: int = 0
    exercise: int = 0
    review: int = 0
    rest: int = 0

    @property
    def minutes(self) -> int:
        """How long it takes in all."""
        return self.talk + self.exercise + self.review + self.rest

    @property
    def clock(self) -> str:
        """When it begins: "9:07"."""
        return f"{self.starts // 60}:{self.starts % 60:02}"


@dataclass(frozen=True)
class Timetable:
    """One way to teach the course. `minutes` is the time that there is."""

    name: str
    minutes: int
    rows: tuple[Row, ...]

    @property
    def taken(self) -> int:
        """The minutes of all its parts."""
        return sum(row.minutes for row in self.rows)


def frame() -> dict[str, tuple[str, int]]:
    """Titles and minutes of what stands around the sections: opening, takeaways."""
    return {part["id"]: (part["title"], part["talk"]) for part in _manifest("part")}


def timetables() -> list[Timetable]:
    """All timetables, the shortest first. Raises CourseError for an unknown part."""
    found = []
    for table in _manifest("timetable"):
        rows = tuple(rows_of(table["parts"], table.get("exercises", 1)))
        found.append(Timetable(table["name"], table["minutes"], rows))
    return found


def _manifest(name: str) -> list[dict[str, Any]]:
    text = (ROOT / "course.toml").read_text(encoding="utf-8")
    tables: list[dict[str, Any]] = tomllib.loads(text)[name]
    return tables


def rows_of(parts: list[str], exercises: int) -> Iterator[Row]:
    """The rows of these parts, one after the other. Raises CourseError."""
    starts = FIRST_MINUTE
    for part in parts:
        row = _row(part, starts, exercises)
        starts += row.minutes
        yield row


def _row(part: str, starts: int, exercises: int) -> Row:
    around = frame()
    if part in BREAKS:
        return Row(starts, part, rest=BREAKS[part])
    if part in around:
        title, talk = around[part]
        return Row(starts, title, talk)
    name, _, only = part.partition(" ")
    for section in sections():
        if section.id == name and only == "talk":
            return Row(starts, section.title, section.talk)
        if section.id == name and not only:
            exercise = section.exercise * exercises
            return Row(starts, section.title, section.talk, exercise, section.review)
    raise CourseError(f"course.toml: no timetable can have the part {part!r}.")
