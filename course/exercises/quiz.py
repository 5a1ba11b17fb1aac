"""Quizzes: two or three questions a section, each answer with a reply of its own.

One file for each section, `exercises/quizzes/s2.toml`, is what the command line and the
site show. A question names the test that proves its right answer.
"""

import tomllib
from dataclasses import dataclass
from pathlib import Path

from course import manifest
from course.exercises import state
from course.exercises.source import FOLDER
from course.places import CourseError, say

QUIZZES = FOLDER / "quizzes"
LETTERS = "abcdef"


@dataclass(frozen=True)
class Answer:
    """A possible answer, and what somebody who chose it should hear."""

    text: str
    words: str
    right: bool = False


@dataclass(frozen=True)
class Question:
    """A question with exactly one right answer. `proof` is a test: `file::name`."""

    text: str
    proof: str
    answers: tuple[Answer, ...]


def read(section_id: str, folder: Path = QUIZZES) -> list[Question]:
    """The questions of a section. Raises CourseError if it has none."""
    file = folder / f"{section_id}.toml"
    if not file.exists():
        names = ", ".join(path.stem for path in sorted(folder.glob("*.toml")))
        raise CourseError(f"There is no quiz for {section_id}. There are: {names}.")
    found = []
    for row in tomllib.loads(file.read_text(encoding="utf-8"))["question"]:
        answers = tuple(Answer(**each) for each in row["answers"])
        found.append(Question(row["text"], row["proof"], answers))
    return found


def ask(word: str) -> int:
    """Ask the questions of a section at the terminal: 0 when all are right, else 1."""
    section = manifest.find(word)
    questions = read(section.id)
    right = 0
    for number, question in enumerate(questions, 1):
        say(f"\n{number}. {question.text}")
        for letter, answer in zip(LETTERS, question.answers, strict=False):
            say(f"   {letter}) {answer.text}")
        chosen = _chosen(question)
        say(chosen.words)
        right += chosen.right
    known = state.load()
    known["quizzes"][section.id] = {"right": right, "of": len(questions)}
    state.save(known)
    say(f"\n{right} of {len(questions)} right.")
    return 0 if right == len(questions) else 1


def _chosen(question: Question) -> Answer:
    """The answer that was typed. Raises CourseError at the end of the input."""
    letters = LETTERS[: len(question.answers)]
    while True:
        try:
            typed = input("Your answer: ").strip().lower()
        except EOFError:
            raise CourseError("\nThe quiz ended before its last answer.") from None
        if len(typed) == 1 and typed in letters:
            return question.answers[letters.index(typed)]
        say(f"Type one letter: {', '.join(letters)}.")
