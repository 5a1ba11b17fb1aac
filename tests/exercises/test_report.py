"""The page to hand in names the student, the version, and every exercise."""

from pathlib import Path

from course.exercises import report, source, state


def test_the_page_lists_every_exercise_and_the_checks_passed(tmp_path: Path) -> None:
    known = state.load(tmp_path / "progress.json")
    entry = state.entry(known, "s2b_window")
    entry["solved"] = "2026-11-28T10:00:00+00:00"
    entry["passed"] = list(source.find("s2b").names)

    page = report.page("Ada <b>", known)

    assert "Ada &lt;b&gt;" in page
    assert "1 of 21 exercises are solved, 8 minutes of work." in page
    assert "5 of 5: a short request is accepted" in page
    assert "2026-11-28T10:00:00+00:00" in page
    assert "<li>Model chat and embedding requests" in page
    assert all(one.title in page for one in source.exercises())


def test_a_folder_without_git_has_an_unknown_version(tmp_path: Path) -> None:
    assert report.commit(tmp_path / "nowhere") == "unknown"
