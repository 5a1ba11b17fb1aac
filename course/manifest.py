"""course.toml: the one list of sections. Everything that lists them reads it here."""

import textwrap
import tomllib
from dataclasses import dataclass

from course.places import ROOT, CourseError, command, say


@dataclass(frozen=True)
class Section:
    """One section: `minutes` of teaching, `module` with an ASGI `app`."""

    id: str
    chapter: str
    title: str
    module: str
    minutes: int
    objectives: tuple[str, ...]

    @property
    def stem(self) -> str:
        """The name that its module, tests, notebook, deck and page share."""
        return self.module.removeprefix("examples.").removesuffix(".main")


def sections() -> list[Section]:
    """All sections, in teaching order."""
    text = (ROOT / "course.toml").read_text(encoding="utf-8")
    rows = tomllib.loads(text)["section"]
    return [Section(**row | {"objectives": tuple(row["objectives"])}) for row in rows]


def find(word: str) -> Section:
    """The section called `word`: its id, stem, or number. Raises CourseError."""
    known = sections()
    for number, section in enumerate(known, 1):
        if word.lower() in {section.id, section.stem, str(number), f"s{number}"}:
            return section
    names = ", ".join(section.id for section in known)
    raise CourseError(f"There is no section {word!r}. There are: {names}.")


def show() -> int:
    """Print the sections."""
    for section in sections():
        say(f"{section.id:9} {section.minutes:3} min  {section.title}")
        for objective in section.objectives:
            indent = " " * 20
            say(
                textwrap.fill(
                    objective,
                    88,
                    initial_indent=indent[:-2] + "- ",
                    subsequent_indent=indent,
                )
            )
    total = sum(section.minutes for section in sections())
    say(f"{'':9} {total:3} min  in all. Serve one with: {command('course run s1')}")
    return 0
