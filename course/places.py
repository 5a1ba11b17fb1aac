"""Where things are, and the one exception that a student is meant to read."""

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
LOCKS = ROOT / "requirements"
WINDOWS = os.name == "nt"
GREEN, RED, YELLOW, BOLD = "32", "31", "33", "1"  # of a terminal (ECMA-48, SGR)


class CourseError(Exception):
    """What went wrong and what to do about it, in sentences: no traceback."""

    status = 1  # of the command that it ends


class UsageError(CourseError):
    """The command was typed wrongly; the status is the one that argparse uses."""

    status = 2


def venv_python(venv: Path = VENV) -> Path:
    """The interpreter inside an environment."""
    return venv / ("Scripts/python.exe" if WINDOWS else "bin/python")


def base_python() -> Path:
    """The interpreter that this environment was made from, or the running one.

    `pyvenv.cfg` names its folder (https://docs.python.org/3/library/venv.html).
    """
    settings = Path(sys.prefix) / "pyvenv.cfg"
    if not settings.is_file():
        return Path(sys.executable)
    for line in settings.read_text(encoding="utf-8").splitlines():
        name, _, value = line.partition("=")
        if name.strip() == "home":
            major, minor = sys.version_info[:2]
            file = "python.exe" if WINDOWS else f"python{major}.{minor}"
            return Path(value.strip()) / file
    return Path(sys.executable)


def site_packages(venv: Path = VENV) -> list[Path]:
    """Where an environment keeps its packages; empty for one that is not there."""
    return [*venv.glob("lib/python*/site-packages"), *venv.glob("Lib/site-packages")]


def command(words: str) -> str:
    """`words` as typed after this machine's name for Python: `course run`."""
    python = "py" if WINDOWS else "python3"
    return f"{python} -m {words}"


def say(line: str) -> None:
    """Print a line at once: what follows may replace this process."""
    print(line, flush=True)


def coloured(text: str, colour: str) -> str:
    """The text in a colour on a terminal, plain in a pipe or with NO_COLOR.

    Source: https://no-color.org.
    """
    if not sys.stdout.isatty() or os.environ.get("NO_COLOR"):
        return text
    return f"\x1b[{colour}m{text}\x1b[0m"


def show_progress(done: int, total: int, what: str) -> None:
    """One line on a terminal that says how far a long work is; nothing in a pipe."""
    if sys.stdout.isatty():
        end = "\n" if done == total else ""
        print(f"\r{done:4} of {total} {what}", end=end, flush=True)


def complain(line: str) -> None:
    """Print a line on standard error."""
    print(line, file=sys.stderr, flush=True)
