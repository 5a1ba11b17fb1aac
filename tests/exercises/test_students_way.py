"""A student's whole way at a terminal, by the command line's own words."""

import re
import sys
from pathlib import Path

import pytest

from course.exercises import source
from tests.exercises import transcript
from tests.exercises.transcript import at_terminal

pytestmark = [
    pytest.mark.deep,
    pytest.mark.timeout(400),
    pytest.mark.skipif(sys.platform == "win32", reason="no pseudo-terminal there"),
]


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """What a student has after a clone: the course without anybody's work."""
    return transcript.clone(tmp_path)


def test_the_transcript_of_the_docs_is_what_a_terminal_shows(clone: Path) -> None:
    page = transcript.PAGE.read_text(encoding="utf-8")

    assert transcript.play(page, clone) == page


def test_the_transcript_leads_from_the_clone_to_the_last_exercise() -> None:
    page = transcript.PAGE.read_text(encoding="utf-8")
    commands = re.findall(r"^\$ python3 -m course ?(\w*)", page, re.MULTILINE)

    assert commands[:3] == ["", "list", "check"]
    assert {"hint", "solution", "quiz", "progress"} < set(commands)
    assert f"{source.exercises()[-1].id}: " in page
    assert "All exercises are solved." in page
    assert "Traceback" not in page


def test_a_student_goes_from_the_list_to_a_solved_exercise(clone: Path) -> None:
    exercise = source.find("s1a")
    answer = clone / "work" / "s1a_all_at_once.py"

    code, shown = at_terminal(clone, "list")
    assert code == 0
    following = re.search(r"Next: .* course check (\w+)", shown)
    assert following is not None
    assert following[1] == "s1a"

    code, shown = at_terminal(clone, "check")
    assert code == 1
    assert "Your file is work/s1a_all_at_once.py" in shown

    gather = source.wrong_answer(exercise, exercise.mistakes[0])
    answer.write_text(gather, encoding="utf-8")
    code, shown = at_terminal(clone, "check")
    assert code == 1
    assert "asyncio.gather reports the first failure" in shown
    assert "\x1b[31m  ✘ a failure stops the others" in shown
    assert "Traceback" not in shown

    hints = [at_terminal(clone, "hint")[1] for _ in range(3)]
    assert "3. Keep the tasks" in hints[2]
    assert at_terminal(clone, "solution", "s1a")[0] == 1

    answer.write_text(exercise.solution, encoding="utf-8")
    code, shown = at_terminal(clone, "check")
    assert code == 0
    assert "Solved." in shown
    assert "course check s1b" in shown
    assert at_terminal(clone, "solution", "s1a")[0] == 0

    code, shown = at_terminal(clone, "progress")
    assert code == 0
    assert "You can: Call several models at once" in shown

    page = clone / "hand-in.html"
    code, _ = at_terminal(clone, "progress", "--html", str(page), "--name", "Ada")
    assert code == 0
    assert "1 of 21 exercises are solved" in page.read_text(encoding="utf-8")
