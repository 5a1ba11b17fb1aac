"""A student's code may do anything: it is answered with a sentence, in bounded time."""

import os
import sys
import time
from pathlib import Path

import pytest

from course.exercises import runner, source

EXERCISE = source.find("s5a")
RIGHT = EXERCISE.solution


def check(code: str, folder: Path, limit: float = 30.0) -> runner.Outcome:
    answer = folder / "s5a_error_class.py"
    answer.write_text(code, encoding="utf-8")
    return runner.check(EXERCISE, answer, limit)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("raise SystemExit", "ends the process (exit or sys.exit)"),
        ("import os\nos._exit(0)", "ended the process in the middle of the check"),
        ("def f(): return f()\nf()", "calls itself without end"),
        ("import nowhere_to_be_found", "No module named 'nowhere_to_be_found'"),
        ("def broken(:\n    pass", "SyntaxError"),
        ("x = 1", "There is no `ContextLengthError` in your file."),
        ("1 / 0", "line 1:\n    1 / 0\n"),
    ],
)
def test_a_file_that_cannot_be_checked_is_answered_with_a_sentence(
    code: str, words: str, tmp_path: Path
) -> None:
    outcome = check(code, tmp_path)

    assert not outcome.solved
    assert words in outcome.words
    assert "Traceback" not in outcome.words + outcome.printed


def test_an_endless_loop_is_stopped_and_says_where(tmp_path: Path) -> None:
    outcome = check("while True: pass", tmp_path, limit=5)

    assert "after 5 s and was stopped, while the file was loaded" in outcome.words
    assert "uvicorn.run" in outcome.words


def test_an_endless_loop_in_a_check_names_the_check(tmp_path: Path) -> None:
    code = f"{RIGHT}\n\ndef endless(self, *a, **b):\n    while True:\n        pass\n"
    code += "\nContextLengthError.__init__ = endless\n"

    outcome = check(code, tmp_path, limit=8)

    assert outcome.failed == EXERCISE.names[0]
    assert f"was stopped, in {outcome.failed}" in outcome.words


def test_megabytes_that_are_printed_end_the_process(tmp_path: Path) -> None:
    outcome = check("while True: print('x' * 10_000)", tmp_path)

    assert outcome.words == runner.PRINTED
    assert len(outcome.printed) <= runner.SHOWN


def test_a_little_that_is_printed_is_shown(tmp_path: Path) -> None:
    outcome = check(f"{RIGHT}\nprint('seen', 2 + 3)\n", tmp_path)

    assert outcome.solved
    assert outcome.printed == "seen 5"


@pytest.mark.skipif(sys.platform in {"win32", "darwin"}, reason="no limit of memory")
def test_memory_is_bounded(tmp_path: Path) -> None:
    outcome = check("x = bytearray(3 * 1024**3)", tmp_path)

    assert "more than 2 GiB" in outcome.words


@pytest.mark.skipif(sys.platform == "win32", reason="taskkill ends them there")
def test_a_process_that_the_answer_left_behind_is_ended(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    code = (
        "import pathlib, subprocess, sys\n"
        "code = 'import time; time.sleep(50)'\n"
        "child = subprocess.Popen([sys.executable, '-c', code])\n"
        f"pathlib.Path({str(pid_file)!r}).write_text(str(child.pid))\n"
    )

    outcome = check(f"{code}{RIGHT}", tmp_path)

    assert outcome.solved
    pid = int(pid_file.read_text(encoding="utf-8"))
    assert _is_gone(pid)


def _is_gone(pid: int) -> bool:
    """Whether the process ends before the deadline; a zombie has ended."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        status = Path(f"/proc/{pid}/stat")
        if status.exists() and ") Z " in status.read_text(encoding="utf-8"):
            return True
        time.sleep(0.02)
    return False


def test_the_main_block_of_a_file_does_not_run(tmp_path: Path) -> None:
    outcome = check(f"{RIGHT}\nif __name__ == '__main__':\n    1 / 0\n", tmp_path)

    assert outcome.solved
