"""`course notebook`: students write in copies, which nothing overwrites."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from course import cli, environment
from course.groups import satisfied
from course.notebook import copies, lab
from course.notebook.files import code_cells, paths, read
from course.notebook.normal import joined
from tests.servers import ROOT

FIRST = paths()[0]


@pytest.fixture
def started(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> list[tuple[Path, Path | None]]:
    """What JupyterLab was started with: its folder, and what it opens."""
    if not satisfied("notebooks"):
        assert not os.environ.get("COURSE_REQUIRE_NOTEBOOKS"), "the group is missing"
        pytest.skip("needs `python3 -m course setup notebooks`")
    calls: list[tuple[Path, Path | None]] = []

    def start(
        folder: Path, notebook: Path | None, port: int, *, browser: bool = True
    ) -> int:
        del port, browser
        calls.append((folder, notebook))
        return 0

    monkeypatch.setattr(lab, "start", start)
    monkeypatch.setattr(environment, "ensure", lambda *_: None)
    monkeypatch.setattr(copies, "FOLDER", tmp_path / "notebooks")
    return calls


def change(path: Path) -> None:
    """What a student does: she writes into the first code cell, and saves."""
    notebook = json.loads(path.read_text(encoding="utf-8"))
    code_cells(notebook)[0]["source"] = ["mine = 1"]
    path.write_text(json.dumps(notebook), encoding="utf-8")


def test_the_command_opens_a_copy_and_leaves_the_courses_file(
    started: list[tuple[Path, Path | None]], tmp_path: Path
) -> None:
    before = FIRST.read_bytes()

    assert cli.main(["notebook", "s1"]) == 0
    own = tmp_path / "notebooks" / FIRST.name
    change(own)

    assert started == [(own.parent, own)]
    assert FIRST.read_bytes() == before


def test_a_second_start_keeps_what_the_student_wrote(
    started: list[tuple[Path, Path | None]], tmp_path: Path
) -> None:
    cli.main(["notebook", "s1"])
    own = tmp_path / "notebooks" / FIRST.name
    change(own)
    mine = own.read_bytes()

    cli.main(["notebook", "s1"])

    assert own.read_bytes() == mine
    assert len(started) == 2


def test_without_a_section_every_notebook_has_a_copy(
    started: list[tuple[Path, Path | None]], tmp_path: Path
) -> None:
    cli.main(["notebook"])

    assert started == [(tmp_path / "notebooks", None)]
    made = sorted(path.name for path in (tmp_path / "notebooks").iterdir())
    assert made == sorted(path.name for path in paths())


def test_a_reset_keeps_the_students_file_beside_the_new_one(
    started: list[tuple[Path, Path | None]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    cli.main(["notebook", "s1"])
    own = tmp_path / "notebooks" / FIRST.name
    change(own)
    mine = own.read_bytes()

    cli.main(["notebook", "s1", "--reset"])

    assert read(own)["cells"] == read(FIRST)["cells"]
    assert (own.parent / f"{FIRST.stem}.backup-1.ipynb").read_bytes() == mine
    assert f"kept as {FIRST.stem}.backup-1.ipynb" in capsys.readouterr().out
    assert started


def test_a_newer_notebook_of_the_course_is_announced_and_changes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    course = tmp_path / FIRST.name
    course.write_bytes(FIRST.read_bytes())
    own = copies.copy(course, folder=tmp_path / "own")
    mine = own.read_bytes()
    assert capsys.readouterr().out == ""
    course.write_bytes(FIRST.read_bytes() + b"\n")

    copies.copy(course, folder=tmp_path / "own")

    assert own.read_bytes() == mine
    assert "has a newer s1_why_fastapi.ipynb" in capsys.readouterr().out


@pytest.mark.parametrize("text", ["", "{", "[]", '{"metadata": {}}'])
def test_a_copy_that_cannot_be_read_is_kept(
    tmp_path: Path, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    own = tmp_path / FIRST.name
    own.write_text(text, encoding="utf-8")

    assert copies.copy(FIRST, folder=tmp_path) == own
    assert own.read_text(encoding="utf-8") == text
    assert capsys.readouterr().out == ""


def test_authors_open_the_courses_own_notebooks(
    started: list[tuple[Path, Path | None]], tmp_path: Path
) -> None:
    cli.main(["notebook", "s1", "--edit"])

    assert started == [(FIRST.parent, FIRST)]
    assert not (tmp_path / "notebooks").exists()


@pytest.mark.parametrize("folder", ["notebooks", "work/notebooks", "."])
def test_the_first_cell_finds_the_course_from_any_of_its_folders(folder: str) -> None:
    place = ROOT / folder
    place.mkdir(parents=True, exist_ok=True)
    code = joined(code_cells(read(FIRST))[0]["source"])
    neutral = {name: it for name, it in os.environ.items() if name != "PYTHONPATH"}

    subprocess.run(
        [sys.executable, "-P", "-c", f"{code}\nimport course.notebook"],
        cwd=place,
        env=neutral,
        check=True,
    )


def test_outside_of_the_course_the_first_cell_says_so(tmp_path: Path) -> None:
    code = joined(code_cells(read(FIRST))[0]["source"])

    done = subprocess.run(
        [sys.executable, "-P", "-c", code],
        cwd=tmp_path,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )

    assert "Keep this notebook inside the folder of the course." in done.stderr
