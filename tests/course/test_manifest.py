"""course.toml, `course list` and `course doctor`."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

from course import manifest
from course.manifest import Section, find, find_app, rungs, sections
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


def headings(path: Path) -> list[str]:
    """The headings of a page or a deck, without those in its code."""
    text = re.sub(
        r"^(```+).*?^\1$",
        "",
        path.read_text(encoding="utf-8"),
        flags=re.MULTILINE | re.DOTALL,
    )
    return re.findall(r"^#{1,3} (.+)$", text, flags=re.MULTILINE)


def slug(heading: str) -> str:
    """The anchor that Markdown's table of contents gives a heading."""
    letters = re.sub(r"[^\w\s-]", "", heading).strip().lower()
    return re.sub(r"[-\s]+", "-", letters)


@pytest.mark.parametrize("section", sections()[:5], ids=lambda section: str(section.id))
def test_each_objective_has_its_slide_its_place_on_the_page_and_its_step(
    section: Section,
) -> None:
    slides = headings(ROOT / "slides" / f"{section.stem}.md")
    places = map(slug, headings(ROOT / "docs" / "sections" / f"{section.stem}.md"))
    steps = [rung.id for rung in section.rungs()]

    assert {objective.slide for objective in section.objectives} <= {*slides}
    assert {objective.anchor for objective in section.objectives} <= {*places}
    assert {objective.rung for objective in section.objectives} <= {*steps}


def test_each_objective_of_the_complete_service_has_its_slide_and_its_place() -> None:
    slides = headings(ROOT / "slides" / "s6_full_app.md")
    text = (ROOT / "docs" / "full-app" / "index.md").read_text(encoding="utf-8")
    places = {
        slug(heading) for heading in re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE)
    }

    assert {objective.anchor for objective in find("full_app").objectives} <= places
    assert {objective.slide for objective in find("full_app").objectives} <= {*slides}


@pytest.mark.parametrize("word", ["s2", "S2", "s2_models", "2"])
def test_a_section_is_found_by_id_stem_or_number(word: str) -> None:
    assert find(word).id == "s2"


def test_full_app_is_found_by_its_name() -> None:
    assert find("full_app").module == "examples.full_app.main"


@pytest.mark.parametrize("word", ["", "0", "7", "s", "models"])
def test_no_other_word_is_taken_for_a_section(word: str) -> None:
    with pytest.raises(CourseError, match="There are: s1, s2, s3, s4, s5, full_app"):
        find(word)


LADDER = {
    "s2_1_message": "One turn of a conversation.",
    "s2_2_request": "A request with ranges.\n\nMore words.",
    "s10_1_last": "A section with two digits.",
    "s2_10_late": "The tenth step.",
}


@pytest.fixture
def ladder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of steps that `rungs` reads in place of `examples/steps`."""
    for stem, docstring in LADDER.items():
        (tmp_path / f"{stem}.py").write_text(f'"""{docstring}"""\n', encoding="utf-8")
    (tmp_path / "__init__.py").touch()
    monkeypatch.setattr(manifest, "rungs", lambda: rungs(tmp_path))
    return tmp_path


def test_the_rungs_are_the_steps_in_order_with_their_first_line_as_title(
    ladder: Path,
) -> None:
    assert [(rung.id, rung.title) for rung in rungs(ladder)] == [
        ("s2.1", "One turn of a conversation"),
        ("s2.2", "A request with ranges"),
        ("s2.10", "The tenth step"),
        ("s10.1", "A section with two digits"),
    ]
    assert rungs(ladder)[0].module == "examples.steps.s2_1_message"


def test_a_broken_step_is_listed_under_the_name_of_its_file(ladder: Path) -> None:
    (ladder / "s2_1_message.py").write_text("def", encoding="utf-8")

    assert rungs(ladder)[0].title == "s2_1_message.py"


@pytest.mark.parametrize(
    "word", ["s2.1", "S2.1", "2.1", "s2_1_message", "s2_1_message.py"]
)
@pytest.mark.usefixtures("ladder")
def test_a_step_is_found_by_its_number_or_its_file(word: str) -> None:
    assert find_app(word).id == "s2.1"


@pytest.mark.usefixtures("ladder")
def test_a_section_is_found_where_a_step_could_be_meant() -> None:
    assert find_app("s2").module == "examples.s2_models"
    assert [rung.id for rung in find("s2").rungs()] == ["s2.1", "s2.2", "s2.10"]


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("message", "Did you mean s2_1_message?"),
        ("s2.3", "Did you mean s2."),
        ("s2_mod", "Did you mean s2_models"),
        ("zzz", "'zzz'. There are: s1, s2, s3, s4, s5, full_app; "),
    ],
)
@pytest.mark.usefixtures("ladder")
def test_an_unknown_section_or_step_is_answered_with_near_names(
    word: str, meant: str
) -> None:
    with pytest.raises(CourseError, match=re.escape(meant)):
        find_app(word)


def test_list_prints_the_steps_under_their_section() -> None:
    printed = course("list").stdout.splitlines()

    for rung in rungs():
        assert any(line.split() == [rung.id, *rung.title.split()] for line in printed)


def test_list_prints_titles_minutes_and_objectives() -> None:
    printed = " ".join(course("list").stdout.split())

    for section in sections():
        assert f"{section.id} {section.minutes} min {section.title}" in printed
        for objective in section.objectives:
            assert objective.text in printed
    assert f"{sum(section.minutes for section in sections())} min in all" in printed


def test_without_a_command_it_says_what_one_does_first() -> None:
    done = course()

    assert done.returncode == 0
    assert "python3 -m course run s1.1" in done.stdout
    assert "python3 -m course list" in done.stdout


def test_a_command_that_does_not_exist_is_answered_with_where_all_are() -> None:
    done = course("walk")

    assert done.returncode == 2
    assert "There is no command 'walk'" in done.stderr
    assert "course --help" in done.stderr


@pytest.mark.parametrize("word", ["full5", "full5_server"])
def test_a_file_that_a_student_has_written_is_found_by_its_exercise(
    word: str, tmp_path: Path
) -> None:
    (tmp_path / "full5_server.py").write_text("app = 1\n", encoding="utf-8")

    own = manifest.find_own(word, tmp_path)

    assert own is not None
    assert own.module == "work.full5_server"
    assert manifest.find_own("full4", tmp_path) is None
