"""The pages of the notebooks: unsolved, and what answers a question is folded."""

import textwrap
from pathlib import Path

import pytest

from course.exercises import quiz
from course.manifest import Section, sections
from course.notebook.exercise import SOLVED
from course.notebook.figures import bars
from course.notebook.files import code_cells, path_of, read
from course.notebook.normal import joined
from course.site import notebooks


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the pages."""
    folder = tmp_path_factory.mktemp("pages") / "notebooks"
    notebooks.write(folder)
    return folder


@pytest.mark.parametrize("section", sections(), ids=lambda section: section.id)
def test_a_page_shows_stubs_and_folds_our_solutions(
    written: Path, section: Section
) -> None:
    path = path_of(section)
    page = (written / f"{path.stem}.md").read_text(encoding="utf-8")
    tasks = [it for it in code_cells(read(path)) if "course" in it["metadata"]]

    assert page.count('??? note "Show solution"') == len(tasks)
    for task in tasks:
        solution = joined(task["metadata"]["course"]["solution"])
        assert f"\n````python\n{joined(task['source'])}\n````\n" in page
        assert f"\n{solution}\n" not in page
        assert textwrap.indent(solution, "    ") in page
    assert SOLVED not in page
    assert "<details>" not in page


@pytest.mark.parametrize("section", sections(), ids=lambda section: section.id)
def test_a_page_folds_what_is_predicted_and_asks_the_quiz(
    written: Path, section: Section
) -> None:
    page = (written / f"{path_of(section).stem}.md").read_text(encoding="utf-8")

    assert '??? note "Show the output"' in page
    for question in quiz.read(section.id):
        assert f"**{question.text}**" in page
        for answer in question.answers:
            assert f'??? note "{answer.text}"\n\n    {answer.words}' in page


def test_a_figure_is_there_in_light_and_in_dark_colours(written: Path) -> None:
    page = (written / "s1_why_fastapi.md").read_text(encoding="utf-8")
    light = sorted(written.glob("s1_why_fastapi-*-light.svg"))
    dark = sorted(written.glob("s1_why_fastapi-*-dark.svg"))

    assert len(light) == len(dark) >= 4
    for path in light:
        assert f"({path.name}#only-light)" in page
        assert "--paper:" not in path.read_text(encoding="utf-8")
    for path in dark:
        drawing = path.read_text(encoding="utf-8")
        assert f"({path.name}#only-dark)" in page
        assert "<style>.course-figure{--paper:#10171f;" in drawing
        assert "prefers-color-scheme" not in drawing


def test_the_same_figure_is_the_same_text_and_says_what_it_shows() -> None:
    pytest.importorskip("matplotlib")
    figure = bars("Calls", {"one": 1, "two": 2}, unit="ms", guesses={"one": ...})

    assert figure.svg() == figure.svg()
    assert 'aria-label="Calls: one 1 ms, two 2 ms."' in figure.svg()
    assert "your guess" not in figure.svg()
    assert (
        "your guess" in bars("Calls", {"one": 1}, unit="ms", guesses={"one": 3}).svg()
    )
