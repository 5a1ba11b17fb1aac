"""The page of exercises shows every task unsolved, with the solution folded."""

import itertools
import re

import pytest

from course.exercises import quiz, source
from course.exercises.source import Exercise
from course.manifest import Section, sections
from course.site import exercises, pages


def test_every_exercise_is_on_the_page_with_its_solution_folded() -> None:
    page = pages.expand(pages.PAGES / "exercises.md")

    for one in source.exercises():
        assert f"### {one.title}" in page
        assert one.starter in page
        assert one.solution not in page  # indented: it is inside a folded block
    assert page.count('??? note "Show solution"') == len(source.exercises())


def test_every_question_is_on_the_page_and_each_answer_folds_its_reply() -> None:
    page = exercises.listed()

    for question in quiz.read("s3"):
        assert f"**{question.text}**" in page
        for answer in question.answers:
            assert f'??? note "{answer.text}"\n\n    {answer.words}' in page


@pytest.mark.parametrize("section", sections(), ids=lambda section: section.id)
def test_the_page_of_a_section_leads_to_its_exercises_and_asks_its_questions(
    section: Section,
) -> None:
    everything = exercises.listed()
    linked = exercises.linked(section.id)
    place = "full-app/index" if section.id == "full_app" else f"sections/{section.stem}"
    page = (pages.PAGES / f"{place}.md").read_text(encoding="utf-8")

    assert f"{{{{ exercises_of {section.id} }}}}" in page
    assert f"{{{{ quiz {section.id} }}}}" in page
    anchors = re.findall(r"exercises\.md#([\w-]+)\)", linked)
    assert len(anchors) >= 2
    for anchor in anchors:
        assert f"{{ #{anchor} }}" in everything


@pytest.mark.parametrize("section", sections(), ids=lambda section: section.id)
def test_an_objective_names_an_exercise_that_trains_it_if_there_is_one(
    section: Section,
) -> None:
    mine = [it for it in source.exercises() if it.section == section.id]

    for objective in section.objectives:
        training = [it.short for it in mine if objective.anchor in it.objectives]
        assert objective.exercise in (training or [""]), objective.text


@pytest.mark.parametrize("exercise", source.exercises(), ids=lambda one: str(one.id))
def test_a_starter_keeps_the_blank_lines_between_its_parts(exercise: Exercise) -> None:
    lines = exercise.starter.splitlines()

    for before, line in itertools.pairwise(lines):
        if before.startswith("    ") and re.match(r"[a-z@]", line):
            pytest.fail(f"no blank line before: {line}")
