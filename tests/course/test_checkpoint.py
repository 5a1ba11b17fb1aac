"""`course checkpoint`: the file for live coding, and what was there before."""

from pathlib import Path

import pytest

from course import checkpoint, manifest
from course.places import ROOT, CourseError

STEP = ROOT / "examples" / "steps" / "s2_3_embeddings.py"


def test_a_checkpoint_is_the_step_letter_by_letter(tmp_path: Path) -> None:
    live = tmp_path / "work" / "live.py"

    assert checkpoint.restore("s2.3", live) == 0
    assert live.read_bytes() == STEP.read_bytes()
    assert not (tmp_path / "work" / "backups").exists()


def test_what_was_there_is_kept_each_time(tmp_path: Path) -> None:
    live = tmp_path / "live.py"
    for text in ("first", "second"):
        live.write_text(text, encoding="utf-8")
        checkpoint.restore("s2.3", live)

    kept = [tmp_path / "backups" / f"live-{number}.py" for number in (1, 2)]
    assert [path.read_text(encoding="utf-8") for path in kept] == ["first", "second"]


def test_an_unchanged_file_needs_no_backup(tmp_path: Path) -> None:
    live = tmp_path / "live.py"
    checkpoint.restore("s2.3", live)
    checkpoint.restore("s2.1", live)
    checkpoint.restore("s2.1", live)

    assert len(list((tmp_path / "backups").iterdir())) == 1


@pytest.mark.parametrize("word", ["s2", "full_app"])
def test_a_section_is_no_checkpoint(word: str, tmp_path: Path) -> None:
    with pytest.raises(CourseError, match="is not a step"):
        checkpoint.restore(word, tmp_path / "live.py")


def test_the_live_file_is_served_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    live = tmp_path / "live.py"
    monkeypatch.setattr(manifest, "LIVE_FILE", live)
    with pytest.raises(CourseError, match="course checkpoint"):
        manifest.find_app("live")

    live.write_text("", encoding="utf-8")
    assert manifest.find_app("live").module == "work.live"
