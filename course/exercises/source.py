"""An exercise is one Markdown file: task, code, hints, wrong answers and checks.

The code block is the solution. Lines between `# solution:` and `# starter:` are what
the student writes; the commented lines between `# starter:` and `# end` stand in their
place in the starter. Each wrong answer is a diff of the solution, so the three cannot
drift apart. The format is described in `exercises/README.md`.
"""

import difflib
import re
import textwrap
import tomllib
from dataclasses import dataclass
from pathlib import Path

from course import manifest
from course.places import ROOT, CourseError, command

FOLDER = ROOT / "exercises"
WORK = ROOT / "work"

_FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_CHECK = re.compile(r"^(?:async )?def (check_\w+)\(", re.MULTILINE)
_HINT = re.compile(r"^(?:\d+)\. ", re.MULTILINE)


@dataclass(frozen=True)
class Mistake:
    """A plausible wrong answer, and what a student who gave it should hear.

    It is recognised when the check named `check` fails and the regular expression
    `source` occurs in her code. An empty `source` occurs in any code. `diff` turns the
    solution into the wrong answer.
    """

    title: str
    check: str
    source: str
    words: str
    diff: str


@dataclass(frozen=True)
class Exercise:
    """One exercise. `minutes` is the time that a student needs.

    `objectives` are anchors of the section's objectives in course.toml.
    """

    id: str  # "s2a_message", the name of its file
    title: str
    task: str
    minutes: int
    objectives: tuple[str, ...]
    starter: str
    solution: str
    hints: tuple[str, ...]
    mistakes: tuple[Mistake, ...]
    checks: str
    names: tuple[str, ...]  # of the checks, in their order

    @property
    def short(self) -> str:
        """What a student types: `s2a`."""
        return self.id.partition("_")[0]

    @property
    def section(self) -> str:
        """The id of its section in course.toml."""
        return "full_app" if self.id.startswith("full") else self.id[:2]

    @property
    def file(self) -> Path:
        """Where the student writes."""
        return WORK / f"{self.id}.py"

    def handout(self) -> str:
        """The file as the student gets it: the task in comments, then the starter."""
        paragraphs = [self.title, *self.task.split("\n\n")]
        lines: list[str] = []
        for paragraph in paragraphs:
            lines += [f"# {line}" for line in textwrap.wrap(paragraph, 86)]
            lines.append("#")
        lines.append(f"# Check it with: {command(f'course check {self.short}')}")
        return "\n".join(lines) + "\n\n" + self.starter


def read(path: Path) -> Exercise:
    """The exercise in a file. Raises ValueError where it is not one."""
    text = path.read_text(encoding="utf-8")
    head, *parts = re.split(r"^## ", text, flags=re.MULTILINE)
    rooms = {part.partition("\n")[0]: part.partition("\n")[2] for part in parts}
    if list(rooms) != ["Code", "Hints", "Mistakes", "Checks"]:
        raise ValueError(f"{path.name}: its headings are {', '.join(rooms)}")
    facts = tomllib.loads(_fenced(head, "toml"))
    title, _, rest = head.partition("\n")
    code = _fenced(rooms["Code"], "python")
    checks = _fenced(rooms["Checks"], "python")
    return Exercise(
        id=path.stem,
        title=title.removeprefix("# "),
        task=_FENCE.sub("", rest).strip(),
        minutes=facts["minutes"],
        objectives=tuple(facts["objectives"]),
        starter=starter_of(code),
        solution=solution_of(code),
        hints=_hints(rooms["Hints"]),
        mistakes=tuple(_mistakes(rooms["Mistakes"])),
        checks=checks,
        names=tuple(_CHECK.findall(checks)),
    )


def exercises(folder: Path = FOLDER) -> list[Exercise]:
    """All exercises in the order of the sections, those of the service last."""
    files = (path for path in folder.glob("*.md") if path.stem != "README")
    read_all = [read(path) for path in files]
    return sorted(read_all, key=lambda one: (one.id.startswith("full"), one.id))


def find(word: str, folder: Path = FOLDER) -> Exercise:
    """The exercise called `word`: "s2a", "s2a_message", "work/s2a_message.py".

    Raises CourseError with near names.
    """
    wanted = word.replace("\\", "/").rpartition("/")[2].lower().removesuffix(".py")
    known = exercises(folder)
    for exercise in known:
        if wanted in {exercise.id, exercise.short, exercise.id.partition("_")[2]}:
            return exercise
    every = [name for one in known for name in (one.short, one.id)]
    inside = [one.id for one in known if len(wanted) > 2 and wanted in one.id]
    of_section = [one.short for one in known if one.section == wanted]
    like = difflib.get_close_matches(wanted, every, n=3)
    near = list(dict.fromkeys([*of_section, *inside, *like]))[:4]
    meant = f"Did you mean {' or '.join(near)}? " if near else ""
    raise CourseError(
        f"There is no exercise {word!r}. {meant}"
        f"`{command('course list')}` shows all of them."
    )


def objectives_of(exercise: Exercise) -> list[str]:
    """The texts of the exercise's objectives, as course.toml has them."""
    for section in manifest.sections():
        if section.id == exercise.section:
            texts = {one.anchor: one.text for one in section.objectives}
            return [texts[anchor] for anchor in exercise.objectives]
    raise ValueError(f"{exercise.id} belongs to no section")


def starter_of(code: str) -> str:
    """The code with the starter's lines in place of the solution's."""
    return _parts(code, "starter")


def solution_of(code: str) -> str:
    """The code without marks and without the starter's lines."""
    return _parts(code, "solution")


def written_by_student(code_starter: str, code_solution: str) -> list[str]:
    """The lines of the solution that the starter does not have."""
    old = code_starter.splitlines()
    new = code_solution.splitlines()
    return [line[2:] for line in difflib.ndiff(old, new) if line.startswith("+ ")]


def wrong_answer(exercise: Exercise, mistake: Mistake) -> str:
    """The solution with the mistake in it. Raises ValueError where it does not fit."""
    text = exercise.solution
    for hunk in re.split(r"^@@.*\n", mistake.diff, flags=re.MULTILINE):
        lines = hunk.splitlines()
        old = "".join(f"{line[1:]}\n" for line in lines if line[:1] != "+")
        new = "".join(f"{line[1:]}\n" for line in lines if line[:1] != "-")
        if not old or text.count(old) != 1:
            raise ValueError(
                f"{exercise.id}, {mistake.title!r}: the solution does not have these "
                f"lines once:\n{old}"
            )
        text = text.replace(old, new)
    return text


def _parts(code: str, wanted: str) -> str:
    """The lines outside the marks and those of the part called `wanted`."""
    part = ""
    kept: list[str] = []
    for line in code.splitlines():
        mark = line.strip()
        if mark in {"# solution:", "# starter:", "# end"}:
            while part == wanted and kept and not kept[-1].strip():
                kept.pop()  # the formatter's blank lines before a mark
            part = mark.removeprefix("# ").removesuffix(":")
            part = "" if part == "end" else part
        elif part == "":
            kept.append(line)
        elif part == wanted == "starter":
            kept.append(re.sub(r"# ?", "", line, count=1))
        elif part == wanted:
            kept.append(line)
    return "\n".join(kept).strip("\n") + "\n"


def _fenced(text: str, language: str) -> str:
    """The first fenced block of a language. Raises ValueError if there is none."""
    for found, body in _FENCE.findall(text):
        if found == language:
            return str(body)
    raise ValueError(f"there is no block of {language}")


def _hints(text: str) -> tuple[str, ...]:
    return tuple(" ".join(hint.split()) for hint in _HINT.split(text)[1:])


def _mistakes(text: str) -> list[Mistake]:
    found = []
    for part in re.split(r"^### ", text, flags=re.MULTILINE)[1:]:
        title, _, body = part.partition("\n")
        facts = tomllib.loads(_fenced(body, "toml"))
        found.append(
            Mistake(
                title=title,
                check=facts["check"],
                source=facts.get("source", ""),
                words=" ".join(_FENCE.sub("", body).split()),
                diff=_fenced(body, "diff"),
            )
        )
    return found
