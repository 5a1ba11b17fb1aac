"""Plays the commands of `docs/transcript.md` at a pseudo-terminal.

A fence `console` holds one command after `$ ` and what the terminal shows. A comment
before a fence says what the student writes meanwhile: `<!-- writes s1a: mistake -->`,
`<!-- writes s1a: solution -->` or `<!-- solves all before full4 -->`.

`python -m tests.exercises.transcript` writes the page anew.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from course.exercises import source
from tests.servers import ROOT

PAGE = ROOT / "docs" / "transcript.md"
PROMPT = b"Your answer: "
STEP = re.compile(
    r"^<!-- writes (?P<id>\w+): (?P<what>mistake|solution) -->$"
    r"|^<!-- solves all before (?P<before>\w+) -->$"
    r"|^```console\n\$ python3 -m course ?(?P<words>.*)\n(?P<shown>(?:.*\n)*?)```$",
    re.MULTILINE,
)
COLOUR = re.compile(r"\x1b\[\d*m")


def clone(folder: Path) -> Path:
    """What a student has after a clone: the course without anybody's work."""
    for name in ("course", "examples", "exercises"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, folder / name, ignore=ignored)
    shutil.copy(ROOT / "course.toml", folder)
    return folder


def at_terminal(
    folder: Path, *words: str, typed: tuple[str, ...] = ()
) -> tuple[int, str]:
    """The exit code of a command at a pseudo-terminal, and what it showed.

    `typed` are the answers to its prompts, in order.
    """
    import pty

    # The command line's own set-up is tested elsewhere; the packages are here.
    start = (
        "import sys; from course import environment, cli; "
        "environment.ensure = lambda group, arguments: None; "
        f"sys.exit(cli.main({list(words)!r}))"
    )
    ours, theirs = pty.openpty()
    environment = {key: value for key, value in os.environ.items() if key != "NO_COLOR"}
    process = subprocess.Popen(
        [sys.executable, "-c", start],
        cwd=folder,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=environment,
    )
    os.close(theirs)
    shown = b""
    answers = list(typed)
    while True:
        try:
            block = os.read(ours, 4096)
        except OSError:  # Linux says so when the other end is closed
            break
        if not block:
            break
        shown += block
        if answers and shown.endswith(PROMPT):
            os.write(ours, answers.pop(0).encode() + b"\n")
    os.close(ours)
    return process.wait(), shown.decode().replace("\r\n", "\n")


def play(page: str, folder: Path) -> str:
    """The page with what the terminal shows today; `folder` is a clone."""

    def step(found: re.Match[str]) -> str:
        if found["id"]:
            exercise = source.find(found["id"])
            text = exercise.solution
            if found["what"] == "mistake":
                text = source.wrong_answer(exercise, exercise.mistakes[0])
            place = folder / "work" / f"{exercise.id}.py"
            place.write_text(text, encoding="utf-8")
            return found[0]
        if found["before"]:
            solve_before(found["before"], folder)
            return found[0]
        words = found["words"]
        typed = tuple(re.findall(r"^Your answer: (\w)$", found["shown"], re.MULTILINE))
        _, shown = at_terminal(folder, *shlex.split(words), typed=typed)
        shown = COLOUR.sub("", shown).replace(f"{folder}{os.sep}", "")
        command = f"$ python3 -m course {words}".rstrip()
        lines = [line.rstrip() for line in shown.strip("\n").splitlines()]
        return "\n".join(["```console", command, *lines, "```"])

    return STEP.sub(step, page)


def solve_before(word: str, folder: Path) -> None:
    """Write into the student's state that every exercise before this one is solved."""
    file = folder / "work" / "progress.json"
    known = json.loads(file.read_text(encoding="utf-8"))
    for exercise in source.exercises():
        if exercise.short == word:
            break
        entry = known["exercises"].setdefault(exercise.id, {"tries": 2, "hints": 0})
        entry["solved"] = "2026-11-02T09:00:00+00:00"
        entry["passed"] = list(exercise.names)
    file.write_text(json.dumps(known), encoding="utf-8")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as made:
        text = play(PAGE.read_text(encoding="utf-8"), clone(Path(made)))
    PAGE.write_text(text, encoding="utf-8", newline="\n")
