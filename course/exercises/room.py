"""The commands of the exercise room: check, hint, reset, solution and their words."""

import textwrap
import time
from typing import Any

from course import manifest
from course.exercises import runner, source, state
from course.exercises.source import Exercise
from course.places import (
    BOLD,
    GREEN,
    RED,
    ROOT,
    CourseError,
    coloured,
    command,
    say,
)

POLL = 0.3  # seconds between two looks at a watched file
SIGNS = {"solved": "✔", "tried": "…", "open": " "}


def check(word: str | None, *, watch: bool = False) -> int:
    """Check one exercise, or the current one: 0 when it is solved, else 1."""
    exercise = source.find(word) if word else current()
    if exercise is None:
        say("All exercises are solved.")
        return 0
    seen = _saved_at(exercise)  # before the check: a file may be saved meanwhile
    outcome = check_once(exercise)
    if not watch:
        return outcome
    say("Waiting for the file to be saved. Ctrl+C ends this.")
    while outcome != 0:
        time.sleep(POLL)
        if _saved_at(exercise) != seen:
            seen = _saved_at(exercise)
            outcome = check_once(exercise)
    return outcome


def check_once(exercise: Exercise) -> int:
    """Check the student's file, say the result and keep it: 0 when solved, else 1."""
    say(coloured(f"{exercise.id}: {exercise.title} ({exercise.minutes} min)", BOLD))
    if not exercise.file.exists():
        state.write_whole(exercise.file, exercise.handout())
        say(_wrapped(exercise.task))
        say(f"\nYour file is {_name(exercise)}. Write in it, save it, and check again.")
        return 1
    outcome = runner.check(exercise, exercise.file)
    for name in outcome.passed:
        say(coloured(f"  ✔ {label(name)}", GREEN))
    if outcome.failed:
        say(coloured(f"  ✘ {label(outcome.failed)}", RED))
    if outcome.printed:
        say("Your code printed:")
        say(textwrap.indent(outcome.printed, "    "))
    known = state.load()
    entry = state.entry(known, exercise.id)
    entry["tries"] += 1
    entry.setdefault("first", state.now())
    entry["passed"] = list(outcome.passed)
    entry["checks"] = len(exercise.names)
    if outcome.solved:
        entry.setdefault("solved", state.now())
    state.save(known)
    if outcome.solved:
        say(coloured("Solved.", GREEN))
        say(f"Compare with ours: {command(f'course solution {exercise.short}')}")
        if _was_the_last(exercise, known):
            asks = command(f"course quiz {exercise.section}")
            say(f"All exercises of {exercise.section} are solved. Questions: {asks}")
        say(next_words())
        return 0
    say(_wrapped(outcome.words))
    if outcome.seen:
        say(_wrapped(f"The check says: {outcome.seen}"))
    say(f"For a hint: {command(f'course hint {exercise.short}')}")
    return 1


def hint(word: str | None) -> int:
    """Say the hints asked for so far and one more; there are three."""
    exercise = _chosen(word)
    known = state.load()
    entry = state.entry(known, exercise.id)
    entry["hints"] = min(entry["hints"] + 1, len(exercise.hints))
    state.save(known)
    for number, words in enumerate(exercise.hints[: entry["hints"]], 1):
        say(_wrapped(f"{number}. {words}"))
    left = len(exercise.hints) - entry["hints"]
    say(f"({left} more)" if left else "(That was the last hint.)")
    return 0


def reset(word: str) -> int:
    """Put the starter back; what the student wrote is kept beside it."""
    exercise = source.find(word)
    if exercise.file.exists():
        kept = state.beside(exercise.file, "backup")
        exercise.file.rename(kept)
        say(f"Your file is kept as {kept.relative_to(ROOT).as_posix()}.")
    state.write_whole(exercise.file, exercise.handout())
    say(f"{_name(exercise)} is as it was in the beginning.")
    return 0


def solution(word: str, *, reveal: bool = False) -> int:
    """Print our solution to a student who has solved it, or who insists."""
    exercise = source.find(word)
    if not reveal and state.status(state.load(), exercise.id) != "solved":
        say(
            f"{exercise.id} is not solved yet. Another hint: "
            f"{command(f'course hint {exercise.short}')}. To read the solution "
            f"anyway: {command(f'course solution {exercise.short} --reveal')}"
        )
        return 1
    say(exercise.solution.rstrip())
    return 0


def show() -> int:
    """Print every exercise with its minutes and what the student has done."""
    known = state.load()
    say("\nExercises (✔ solved, … tried)")
    for exercise in source.exercises():
        sign = SIGNS[state.status(known, exercise.id)]
        say(f"  {sign} {exercise.id:26} {exercise.minutes:2} min  {exercise.title}")
    say(next_words())
    return 0


def progress() -> int:
    """Print for each section what is solved, the minutes and the objectives reached."""
    known = state.load()
    every = source.exercises()
    for section in manifest.sections():
        mine = [one for one in every if one.section == section.id]
        solved = [one for one in mine if state.status(known, one.id) == "solved"]
        minutes = sum(one.minutes for one in solved)
        say(
            f"{section.id:9}{len(solved)} of {len(mine)} solved, {minutes} of "
            f"{sum(one.minutes for one in mine)} min"
        )
        for one in mine:
            tries = known["exercises"].get(one.id, {}).get("tries", 0)
            sign = SIGNS[state.status(known, one.id)]
            say(f"  {sign} {one.id:26} {tries} checks")
        for text in reached(mine, known):
            say(f"    You can: {text}.")
    say(next_words())
    return 0


def reached(mine: list[Exercise], known: dict[str, object]) -> list[str]:
    """The objectives of which every exercise among `mine` is solved."""
    solved: dict[str, bool] = {}
    for one in mine:
        done = state.status(known, one.id) == "solved"
        for text in source.objectives_of(one):
            solved[text] = solved.get(text, True) and done
    return [text for text, done in solved.items() if done]


def current() -> Exercise | None:
    """The first exercise that is not solved; None when all are."""
    known = state.load()
    for exercise in source.exercises():
        if state.status(known, exercise.id) != "solved":
            return exercise
    return None


def next_words() -> str:
    """One line about what comes next."""
    if not source.exercises():  # an installation without the folder
        return "There are no exercises here."
    following = current()
    if following is None:
        return "All exercises are solved."
    return f"Next: {command(f'course check {following.short}')} ({following.title})"


def label(name: str) -> str:
    """A check's name as words: `check_roles_are_limited` is "roles are limited"."""
    return name.removeprefix("check_").replace("_", " ")


def _chosen(word: str | None) -> Exercise:
    exercise = source.find(word) if word else current()
    if exercise is None:
        raise CourseError("All exercises are solved.")
    return exercise


def _was_the_last(exercise: Exercise, known: dict[str, Any]) -> bool:
    """Whether every exercise of its section is solved."""
    return all(
        state.status(known, one.id) == "solved"
        for one in source.exercises()
        if one.section == exercise.section
    )


def _name(exercise: Exercise) -> str:
    return exercise.file.relative_to(ROOT).as_posix()


def _saved_at(exercise: Exercise) -> int:
    try:
        return exercise.file.stat().st_mtime_ns
    except FileNotFoundError:  # an editor replaces it at this moment
        return 0


def _wrapped(text: str) -> str:
    """Paragraphs wrapped to a terminal's width; lines of code keep their shape."""
    return "\n\n".join(
        paragraph if "\n    " in paragraph else textwrap.fill(paragraph, 88)
        for paragraph in text.split("\n\n")
    )
