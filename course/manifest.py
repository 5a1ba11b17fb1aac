"""The list of sections, read from course.toml, and the rungs found beside them.

Everything that lists sections reads it here. Only the standard library is imported:
`course list` works before the set-up.
"""

import ast
import difflib
import re
import textwrap
import tomllib
from dataclasses import dataclass
from pathlib import Path

from course.places import ROOT, CourseError, command, say
from course.source import parse

STEPS = ROOT / "examples" / "steps"
_RUNG = re.compile(r"s(?P<section>\d+)_(?P<number>\d+)_\w+")


@dataclass(frozen=True)
class Objective:
    """What a student can do after a section, and where it is taught.

    `slide` is a heading of the section's deck, `anchor` the slug of a heading on its
    page, `rung` the id of a step ("s2.1"), `exercise` the short name of an exercise
    ("s2a") or empty.
    """

    text: str
    slide: str
    anchor: str
    rung: str
    exercise: str


@dataclass(frozen=True)
class Rung:
    """A step of a section's ladder: one small app with one idea."""

    id: str  # "s2.1"
    title: str
    module: str

    @property
    def stem(self) -> str:
        """The name of its file without the ending: `s2_1_message`."""
        return self.module.rpartition(".")[2]


@dataclass(frozen=True)
class Section:
    """A section of the chapter, or the complete service; `module` has an ASGI `app`.

    `minutes` in the classroom are the sum of `talk`, `exercise` and `review`.
    """

    id: str
    chapter: str
    title: str
    module: str
    minutes: int
    talk: int
    exercise: int
    review: int
    objectives: tuple[Objective, ...]

    @property
    def stem(self) -> str:
        """The name that its module, tests, notebook, deck and page share."""
        return self.module.removeprefix("examples.").removesuffix(".main")

    def rungs(self) -> list[Rung]:
        """The steps of its ladder, in order; a section may have none."""
        prefix = f"{self.id}."
        return [rung for rung in rungs() if rung.id.startswith(prefix)]


LIVE = Rung(id="live", title="The file for live coding", module="work.live")
LIVE_FILE = ROOT / "work" / "live.py"
OWN = ROOT / "work"  # what a student has written; git ignores it


def sections() -> list[Section]:
    """All sections, in teaching order."""
    text = (ROOT / "course.toml").read_text(encoding="utf-8")
    found = []
    for row in tomllib.loads(text)["section"]:
        objectives = tuple(Objective(**each) for each in row.pop("objectives"))
        found.append(Section(**row, objectives=objectives))
    return found


def rungs(folder: Path = STEPS) -> list[Rung]:
    """The steps of all sections, in order: one for each `sN_K_name.py` of `folder`."""
    found = []
    for path in folder.glob("s*.py"):
        name = _RUNG.fullmatch(path.stem)
        if name is not None:
            numbers = (int(name["section"]), int(name["number"]))
            found.append((numbers, path))
    return [
        Rung(
            id=f"s{section}.{number}",
            title=_first_line(path),
            module=f"examples.steps.{path.stem}",
        )
        for (section, number), path in sorted(found)
    ]


def _first_line(path: Path) -> str:
    """The first line of a module's docstring; the file's name where there is none.

    A student may have broken the file: its title is not worth a traceback.
    """
    try:
        module = parse(path.read_text(encoding="utf-8"))
    except (SyntaxError, ValueError):
        return path.name
    docstring = ast.get_docstring(module) or path.name
    return docstring.splitlines()[0].rstrip(".")


def find(word: str) -> Section:
    """The section called `word`: its id, stem, or number. Raises CourseError."""
    known = sections()
    for number, section in enumerate(known, 1):
        if word.lower() in {section.id, section.stem, str(number), f"s{number}"}:
            return section
    names = ", ".join(section.id for section in known)
    raise CourseError(f"There is no section {word!r}. There are: {names}.")


def find_app(word: str) -> Section | Rung:
    """The section or the rung called `word`. Raises CourseError with near names.

    A rung is called by its id ("s2.1", "2.1") or by its file ("s2_1_message"). `live`
    is the file for live coding, which `course checkpoint` puts there. A file that a
    student has written in `work/` is called as its exercise is ("full5").
    """
    wanted = word.lower().removesuffix(".py")
    if wanted == LIVE.id:
        if not LIVE_FILE.is_file():
            first = command("course checkpoint s2.1")
            raise CourseError(f"There is no {LIVE_FILE.name} yet. First: {first}")
        return LIVE
    listed = rungs()
    for rung in listed:
        if wanted in {rung.id, rung.id.removeprefix("s"), rung.stem}:
            return rung
    own = find_own(wanted)
    if own is not None:
        return own
    try:
        return find(wanted)
    except CourseError:
        pass
    names = [section.id for section in sections()]
    near = _near(wanted, [*names, *(section.stem for section in sections())], listed)
    meant = f"Did you mean {' or '.join(near)}? " if near else ""
    raise CourseError(
        f"There is no section or step {word!r}. {meant}There are: {', '.join(names)}; "
        f"`{command('course list')}` shows their steps."
    )


def find_own(word: str, folder: Path = OWN) -> Rung | None:
    """The student's file called `word` ("full5", "full5_server"), or None."""
    for path in sorted(folder.glob("*.py")):
        if word in {path.stem, path.stem.partition("_")[0]}:
            return Rung(id=path.stem, title=path.stem, module=f"work.{path.stem}")
    return None


def _near(wanted: str, names: list[str], listed: list[Rung]) -> list[str]:
    """At most three names that look or sound like `wanted`."""
    inside = [rung.stem for rung in listed if len(wanted) > 2 and wanted in rung.stem]
    every = [*names, *(rung.id for rung in listed), *(rung.stem for rung in listed)]
    like = difflib.get_close_matches(wanted, every, n=3, cutoff=0.65)
    return list(dict.fromkeys([*inside, *like]))[:3]


def show() -> int:
    """Print the sections with their objectives and steps."""
    indent = " " * 20
    for section in sections():
        say(f"{section.id:9} {section.minutes:3} min  {section.title}")
        for objective in section.objectives:
            first = indent[:-2] + "- "
            text = objective.text
            say(textwrap.fill(text, 88, initial_indent=first, subsequent_indent=indent))
        for rung in section.rungs():
            say(f"{indent[:-2]}{rung.id:6}{rung.title}")
    total = sum(section.minutes for section in sections())
    say(f"{'':9} {total:3} min  in all. Serve one with: {command('course run s1')}")
    return 0
