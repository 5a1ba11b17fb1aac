"""Every cell of every notebook, run again here: it says what is committed."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from course.notebook.exercise import NOT_YET, SOLVED
from course.notebook.files import code_cells, paths, read
from course.notebook.normal import joined, summary
from course.notebook.session import Session
from course.notebook.sync import without_settings, words


@pytest.fixture(autouse=True)
def nobodys_settings() -> Iterator[None]:
    """Outputs are committed for a machine where nothing is set."""
    with without_settings():
        yield


@pytest.mark.parametrize("path", paths(), ids=lambda path: path.stem)
def test_every_cell_says_what_is_committed_and_every_mistake_gets_its_hint(
    path: Path, subtests: pytest.Subtests
) -> None:
    cells = code_cells(read(path))
    with Session(path) as session:
        for cell, following in zip(cells, [*cells[1:], None], strict=True):
            said = summary(session.run(cell))
            with subtests.test(cell["id"]):
                assert said == words(cell)
            for mistake in cell["metadata"].get("course", {}).get("mistakes", []):
                session.run({**cell, "source": mistake["source"]})
                assert following is not None
                [printed] = session.run(following)
                text: str = printed["text"]
                with subtests.test(cell["id"], hint=mistake["hint"]):
                    assert text.startswith(NOT_YET)
                    assert mistake["hint"] in text
            if "course" in cell["metadata"]:
                session.run(cell)  # as the next cells expect it


@pytest.mark.parametrize("path", paths(), ids=lambda path: path.stem)
def test_exercises_are_solved_and_have_mistakes_with_hints(path: Path) -> None:
    cells = code_cells(read(path))
    checks = [cell for cell in cells if "check(" in joined(cell["source"])]

    assert len(checks) >= 2
    for cell in checks:
        before = cells[cells.index(cell) - 1]
        mistakes = before["metadata"]["course"]["mistakes"]
        assert len(mistakes) >= 2, before["id"]
        assert len({joined(it["source"]) for it in mistakes}) == len(mistakes)
        assert summary(cell["outputs"]) == [("stdout", f"{SOLVED}\n")], cell["id"]
