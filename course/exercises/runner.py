"""Runs a student's code in a process of its own, with bounds, and says what happened.

Time, printed text and (except on Windows) memory are bounded; when the check is over,
every process that the answer started in its group is ended, so no port stays open.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from course.exercises.source import Exercise
from course.exercises.words import recognised
from course.places import ROOT, WINDOWS

TIME_LIMIT = 10.0  # seconds for loading and all checks together
MOST_PRINTED = 1_000_000  # bytes; more ends the process
SHOWN = 1_000  # characters of printed text that are shown

ENDED = (
    "Your code ended the process in the middle of the check, without an error. "
    "Is there an os._exit, or a call that kills processes?"
)
PRINTED = (
    f"Your code printed more than {MOST_PRINTED // 1_000_000} MB and was stopped. "
    "Is there a loop that prints?"
)
SLOW = "It was still running after {limit:g} s and was stopped, {where}. {why}"
SERVER = "Does a line start a server (uvicorn.run)? The check does that itself."
ENDLESS = "Is there a loop that never ends, or an await for what never comes?"


@dataclass(frozen=True)
class Outcome:
    """What a check found. `failed` is the check's name, or empty while loading.

    `words` say what is wrong; `seen` is what the check itself saw, where a recognised
    mistake explains it. Both are empty when the exercise is solved.
    """

    solved: bool
    passed: tuple[str, ...]
    failed: str = ""
    words: str = ""
    seen: str = ""
    printed: str = ""


def check(exercise: Exercise, answer: Path, limit: float = TIME_LIMIT) -> Outcome:
    """Check the file `answer`. `limit` is in seconds."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        report = Path(folder) / "report.jsonl"
        report.touch()
        stopped, printed = _run(exercise, answer, report, limit)
        events = [json.loads(line) for line in _whole_lines(report)]
    passed = tuple(event["check"] for event in events if event["event"] == "passed")
    last = events[-1] if events else {"event": "starting"}
    if last["event"] == "solved" and not stopped:
        return Outcome(solved=True, passed=passed, printed=printed)
    failed = last.get("check", "")
    if last["event"] == "failed":
        words = last["words"]
    elif stopped == "printed":
        words = PRINTED
    elif stopped == "time":
        where = f"in {failed}" if failed else "while the file was loaded"
        why = ENDLESS if failed else f"{ENDLESS} {SERVER}"
        words = SLOW.format(limit=limit, where=where, why=why)
    elif not events:
        words = f"The check could not start. It said: {printed}"
    else:
        words = ENDED
    code = answer.read_text(encoding="utf-8", errors="replace")
    mistake = recognised(exercise.mistakes, failed, code)
    if mistake is not None and last["event"] == "failed":
        return Outcome(False, passed, failed, mistake.words, words, printed)
    return Outcome(False, passed, failed, words, "", printed)


def _run(
    exercise: Exercise, answer: Path, report: Path, limit: float
) -> tuple[str, str]:
    """Why the process had to be stopped (or nothing), and what it printed."""
    words = [sys.executable, "-m", "course.exercises.child"]
    process = subprocess.Popen(  # noqa: S603 - this interpreter and our own module
        [*words, exercise.id, str(answer), str(report)],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, "PYTHONIOENCODING": "utf-8", "PYTHONUNBUFFERED": "1"},
        start_new_session=not WINDOWS,
    )
    if process.stdout is None:
        raise RuntimeError("a pipe was asked for")
    output = _Output(process.stdout)
    output.start()
    deadline = time.monotonic() + limit
    stopped = ""
    while process.poll() is None:
        if output.size > MOST_PRINTED:
            stopped = "printed"
            break
        if time.monotonic() > deadline:
            stopped = "time"
            break
        time.sleep(0.01)
    end(process)
    output.join(timeout=1)
    return stopped, output.text()


def end(process: subprocess.Popen[bytes]) -> None:
    """End the process and those that it started."""
    if sys.platform == "win32":
        if process.poll() is None:
            taskkill = ["taskkill", "/F", "/T", "/PID", str(process.pid)]
            subprocess.run(taskkill, capture_output=True, check=False)  # noqa: S603
    else:
        # An error here means that nobody is left in the group.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    process.wait()


class _Output(threading.Thread):
    """Reads what is printed, keeps the beginning and counts the rest."""

    def __init__(self, pipe: IO[bytes]) -> None:
        super().__init__(daemon=True)
        self.pipe = pipe
        self.size = 0
        self.kept = b""

    def run(self) -> None:
        """Read until the pipe is closed."""
        while block := os.read(self.pipe.fileno(), 65_536):
            self.size += len(block)
            if len(self.kept) < SHOWN:
                self.kept += block[:SHOWN]
        self.pipe.close()

    def text(self) -> str:
        """The beginning of what was printed."""
        return self.kept[:SHOWN].decode(errors="replace").strip()


def _whole_lines(report: Path) -> list[str]:
    """The lines that were written to their end."""
    lines = report.read_text(encoding="utf-8").splitlines(keepends=True)
    return [line for line in lines if line.endswith("\n")]
