"""Each exercise: the starter fails, the solution passes, mistakes are answered."""

import ast
from pathlib import Path

import pytest

from course import manifest
from course.exercises import runner, source
from course.exercises.source import Exercise, Mistake

EXERCISES = source.exercises()
MISTAKES = [(one, mistake) for one in EXERCISES for mistake in one.mistakes]
TIME = 30.0  # seconds: a busy machine is no wrong answer


def name(exercise: Exercise) -> str:
    return exercise.id


def mistake_name(pair: tuple[Exercise, Mistake]) -> str:
    return f"{pair[0].id}: {pair[1].title}"


def outcome_of(exercise: Exercise, code: str, folder: Path) -> runner.Outcome:
    answer = folder / f"{exercise.id}.py"
    answer.write_text(code, encoding="utf-8")
    return runner.check(exercise, answer, TIME)


@pytest.mark.deep
@pytest.mark.parametrize("exercise", EXERCISES, ids=name)
def test_the_starter_fails_with_a_sentence(exercise: Exercise, tmp_path: Path) -> None:
    outcome = outcome_of(exercise, exercise.handout(), tmp_path)

    assert not outcome.solved
    assert outcome.failed  # the starter itself can be loaded
    assert outcome.words.endswith((".", "?", ")"))


@pytest.mark.deep
@pytest.mark.parametrize("exercise", EXERCISES, ids=name)
def test_the_solution_passes_every_check(exercise: Exercise, tmp_path: Path) -> None:
    outcome = outcome_of(exercise, exercise.solution, tmp_path)

    assert outcome.words == ""
    assert outcome.solved
    assert outcome.passed == exercise.names


@pytest.mark.deep
@pytest.mark.parametrize("pair", MISTAKES, ids=mistake_name)
def test_a_wrong_answer_hears_its_own_words(
    pair: tuple[Exercise, Mistake], tmp_path: Path
) -> None:
    exercise, mistake = pair

    outcome = outcome_of(exercise, source.wrong_answer(exercise, mistake), tmp_path)

    assert (outcome.failed, outcome.words) == (mistake.check, mistake.words), (
        outcome.seen
    )
    assert outcome.seen  # and what the check saw


@pytest.mark.deep
@pytest.mark.parametrize("exercise", EXERCISES, ids=name)
def test_an_answer_that_is_commented_out_fails(
    exercise: Exercise, tmp_path: Path
) -> None:
    code = "".join(f"# {line}\n" for line in exercise.solution.splitlines())

    outcome = outcome_of(exercise, code, tmp_path)

    assert not outcome.solved
    assert "There is no `" in outcome.words or outcome.seen


@pytest.mark.parametrize("exercise", EXERCISES, ids=name)
def test_there_are_three_hints_and_only_the_third_shows_a_line(
    exercise: Exercise,
) -> None:
    assert len(exercise.hints) == 3
    lines = source.written_by_student(exercise.starter, exercise.solution)
    shown = [line.strip() for line in lines if len(line.strip()) > 15]
    assert shown
    for hint in exercise.hints[:2]:
        assert [line for line in shown if line in hint] == []


@pytest.mark.parametrize("exercise", EXERCISES, ids=name)
def test_three_mistakes_are_expected_and_one_hard_codes_the_answer(
    exercise: Exercise,
) -> None:
    assert len(exercise.mistakes) >= 3
    assert any("hard-coded" in mistake.title for mistake in exercise.mistakes)
    assert len({mistake.words for mistake in exercise.mistakes}) == len(
        exercise.mistakes
    )
    assert {mistake.check for mistake in exercise.mistakes} <= set(exercise.names)


@pytest.mark.parametrize("exercise", EXERCISES, ids=name)
def test_an_exercise_takes_8_to_20_minutes_the_last_an_hour_and_names_its_objectives(
    exercise: Exercise,
) -> None:
    if exercise == EXERCISES[-1]:
        assert exercise.minutes == 60
    else:
        assert 8 <= exercise.minutes <= 20
    assert source.objectives_of(exercise)


@pytest.mark.parametrize("exercise", EXERCISES, ids=name)
def test_starter_and_solution_parse_and_fit_the_screen(exercise: Exercise) -> None:
    for code in (exercise.handout(), exercise.solution, exercise.checks):
        ast.parse(code)
        assert [line for line in code.splitlines() if len(line) > 92] == []


def test_every_section_has_two_or_more_and_the_service_three() -> None:
    counts = {
        section.id: sum(one.section == section.id for one in EXERCISES)
        for section in manifest.sections()
    }

    assert all(count >= 2 for count in counts.values()), counts
    assert counts["full_app"] >= 3
    assert len(EXERCISES) >= 20


def test_short_names_are_unique() -> None:
    assert len({one.short for one in EXERCISES}) == len(EXERCISES)
