"""A student's whole way through one exercise, at a terminal, by the command line."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from course.exercises import source
from tests.servers import ROOT

pytestmark = [
    pytest.mark.deep,
    pytest.mark.timeout(240),
    pytest.mark.skipif(sys.platform == "win32", reason="no pseudo-terminal there"),
]


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """What a student has after a clone: the course without anybody's work."""
    for folder in ("course", "examples", "exercises"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=ignored)
    shutil.copy(ROOT / "course.toml", tmp_path)
    return tmp_path


def at_terminal(clone: Path, *words: str) -> tuple[int, str]:
    """The exit code of a command at a pseudo-terminal, and what it showed."""
    import pty

    # The command line's own set-up is tested elsewhere; the packages are here.
    start = (
        "import sys; from course import environment, cli; "
        "environment.ensure = lambda group, arguments: None; "
        f"sys.exit(cli.main({list(words)!r}))"
    )
    ours, theirs = pty.openpty()
    environment = {key: value for key, value in os.environ.items() if key != "NO_COLOR"}
    process = subprocess.Popen(
        [sys.executable, "-c", start],
        cwd=clone,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=environment,
    )
    os.close(theirs)
    shown = b""
    while True:
        try:
            block = os.read(ours, 4096)
        except OSError:  # Linux says so when the other end is closed
            break
        if not block:
            break
        shown += block
    os.close(ours)
    return process.wait(), shown.decode().replace("\r\n", "\n")


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
    assert "1 of 20 exercises are solved" in page.read_text(encoding="utf-8")
