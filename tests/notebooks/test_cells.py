"""Every cell of every notebook, run here: solved, unsolved, and with each mistake."""

import copy
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from course.notebook.exercise import NOT_YET, SOLVED
from course.notebook.files import code_cells, paths, read
from course.notebook.normal import joined, summary
from course.notebook.session import Session
from course.notebook.solved import (
    answers,
    read_solved,
    recorded_file,
    write_unsolved,
)
from course.notebook.sync import without_settings, words

each_notebook = pytest.mark.parametrize("path", paths(), ids=lambda path: path.stem)


@pytest.fixture(autouse=True)
def nobodys_settings() -> Iterator[None]:
    """Outputs are committed for a machine where nothing is set."""
    with without_settings():
        yield


@pytest.mark.timeout(240)
@each_notebook
def test_solved_it_says_what_is_recorded_and_every_mistake_gets_its_hint(
    path: Path, subtests: pytest.Subtests
) -> None:
    cells = code_cells(read_solved(path))
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


@pytest.mark.timeout(240)
@each_notebook
def test_unsolved_it_runs_to_its_end_and_no_task_is_solved(path: Path) -> None:
    with Session(path) as session:
        for cell in code_cells(read(path)):
            printed = [it for it in session.run(cell) if "text" in it]
            if "check(" in joined(cell["source"]):
                assert printed[0]["text"].startswith(NOT_YET), cell["id"]


@each_notebook
def test_committed_it_is_unsolved_and_answers_no_question(path: Path) -> None:
    cells = read(path)["cells"]
    answering = answers(cells)
    tasks = [it for it in code_cells(read(path)) if "course" in it["metadata"]]

    assert len(tasks) >= 2
    for cell in code_cells(read(path)):
        if cell["id"] in answering:
            assert cell["outputs"] == [], cell["id"]
    for task in tasks:
        assert task["id"] in answering
        assert joined(task["source"]) != joined(task["metadata"]["course"]["solution"])
    assert SOLVED not in path.read_text(encoding="utf-8")


@each_notebook
def test_after_each_check_our_solution_is_folded(path: Path) -> None:
    cells = read(path)["cells"]

    for task, check, folded in zip(cells, cells[1:], cells[2:], strict=False):
        if "course" not in task["metadata"] or task["cell_type"] != "code":
            continue
        text = joined(folded["source"])
        [code] = re.findall(r"```python\n(.*?)\n```", text, re.DOTALL)
        assert code == joined(task["metadata"]["course"]["solution"])
        assert text.startswith("<details>\n<summary>Show solution</summary>\n\n")
        assert text.endswith("\n</details>")
        assert "check(" in joined(check["source"])


@each_notebook
def test_exercises_have_mistakes_with_hints(path: Path) -> None:
    cells = code_cells(read_solved(path))
    checks = [cell for cell in cells if "check(" in joined(cell["source"])]

    assert len(checks) >= 2
    for cell in checks:
        before = cells[cells.index(cell) - 1]
        mistakes = before["metadata"]["course"]["mistakes"]
        assert len(mistakes) >= 2, before["id"]
        assert len({joined(it["source"]) for it in mistakes}) == len(mistakes)
        assert summary(cell["outputs"]) == [("stdout", f"{SOLVED}\n")], cell["id"]


@each_notebook
def test_what_is_written_is_what_is_committed(path: Path, tmp_path: Path) -> None:
    written = tmp_path / path.name

    write_unsolved(written, read_solved(path))

    assert written.read_bytes() == path.read_bytes()
    assert recorded_file(written).read_bytes() == recorded_file(path).read_bytes()


def test_a_guess_that_an_author_has_run_is_unsolved_again_when_written(
    tmp_path: Path,
) -> None:
    path = tmp_path / "s1_why_fastapi.ipynb"
    solved = read_solved(paths()[0])
    before = copy.deepcopy(solved)

    write_unsolved(path, solved)

    assert solved == before  # what was given is left as it was
    assert json.loads(recorded_file(path).read_bytes()).keys() <= answers(
        solved["cells"]
    )
    again = read_solved(path)
    assert [it["outputs"] for it in code_cells(again)] == [
        it["outputs"] for it in code_cells(solved)
    ]
