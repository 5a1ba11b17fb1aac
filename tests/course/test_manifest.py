"""course.toml, `course list` and `course doctor`."""

import importlib.util
import subprocess
import sys

import pytest

from course.manifest import Section, find, sections
from course.places import CourseError
from tests.servers import ROOT


def course(*words: str) -> "subprocess.CompletedProcess[str]":
    """Run a command in this checkout."""
    return subprocess.run(
        [sys.executable, "-m", "course", *words],
        cwd=ROOT,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )


def test_every_section_of_the_chapter_is_listed_in_order() -> None:
    listed = [(section.id, section.chapter) for section in sections()]

    chapters = [(f"s{number}", f"3.{number}") for number in range(1, 6)]
    assert listed == [*chapters, ("full_app", "3")]


def test_every_section_is_complete() -> None:
    for section in sections():
        assert importlib.util.find_spec(section.module), section.module
        assert section.title
        assert len(section.objectives) >= 3
        assert all(objective.text for objective in section.objectives)
        tests = f"tests/test_{section.stem}.py", f"tests/{section.stem}"
        assert any((ROOT / path).exists() for path in tests), section.stem


@pytest.mark.parametrize("section", sections(), ids=lambda section: str(section.id))
def test_the_minutes_of_a_section_are_talk_exercise_and_review(
    section: Section,
) -> None:
    assert section.minutes == section.talk + section.exercise + section.review
    assert min(section.talk, section.exercise, section.review) > 0


@pytest.mark.parametrize("word", ["s2", "S2", "s2_models", "2"])
def test_a_section_is_found_by_id_stem_or_number(word: str) -> None:
    assert find(word).id == "s2"


def test_full_app_is_found_by_its_name() -> None:
    assert find("full_app").module == "examples.full_app.main"


@pytest.mark.parametrize("word", ["", "0", "7", "s", "models"])
def test_no_other_word_is_taken_for_a_section(word: str) -> None:
    with pytest.raises(CourseError, match="There are: s1, s2, s3, s4, s5, full_app"):
        find(word)


def test_list_prints_titles_minutes_and_objectives() -> None:
    printed = " ".join(course("list").stdout.split())

    for section in sections():
        assert f"{section.id} {section.minutes} min {section.title}" in printed
        for objective in section.objectives:
            assert objective.text in printed
    assert f"{sum(section.minutes for section in sections())} min in all" in printed


def test_a_command_that_does_not_exist_is_answered_with_those_that_do() -> None:
    done = course("walk")

    assert done.returncode == 2
    for command in ("run", "test", "list", "doctor", "lock"):
        assert command in done.stderr
