"""What a student has solved survives crashes, updates and a broken file."""

import json
from pathlib import Path

import pytest

from course.exercises import state


def test_what_was_saved_is_loaded(tmp_path: Path) -> None:
    file = tmp_path / "work" / "progress.json"
    known = state.load(file)
    state.entry(known, "s2a_message")["solved"] = state.now()

    state.save(known, file)

    assert state.status(state.load(file), "s2a_message") == "solved"
    assert state.status(state.load(file), "s2b_window") == "open"


@pytest.mark.parametrize("text", ["", "{", "[]", "7", '{"exercises": 1}'], ids=repr)
def test_a_broken_file_is_kept_beside_and_not_overwritten(
    text: str, tmp_path: Path
) -> None:
    file = tmp_path / "progress.json"
    file.write_text(text, encoding="utf-8")

    known = state.load(file)
    state.save(known, file)

    assert (tmp_path / "progress.broken-1.json").read_text(encoding="utf-8") == text
    assert state.load(file) == known


def test_what_a_newer_course_wrote_is_kept(tmp_path: Path) -> None:
    file = tmp_path / "progress.json"
    file.write_text('{"version": 2, "exercises": {}, "new": [1]}', encoding="utf-8")

    state.save(state.load(file), file)

    assert json.loads(file.read_text(encoding="utf-8"))["new"] == [1]


def test_a_write_that_fails_leaves_the_old_file_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "progress.json"
    state.write_whole(file, "old")

    def fail(self: Path, target: Path) -> Path:
        raise OSError("the disk is full")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OSError, match="full"):
        state.write_whole(file, "new")

    assert [path.name for path in tmp_path.iterdir()] == ["progress.json"]
    assert file.read_text(encoding="utf-8") == "old"
