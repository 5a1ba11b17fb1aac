"""What `course export` writes and prints, made while the page is built."""

import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

from course.export import project
from course.export.names import Names
from course.places import ROOT, CourseError

DEPTH = 2  # folders that are shown one by one
NAMES = Names("assistant")


def tree(_: str = "") -> str:
    """The folders and the files around them, each folder with its number of files."""
    paths = [list(path.parts) for path in exported()]
    folders = Counter(
        tuple(path[:depth])
        for path in paths
        for depth in range(1, min(len(path), DEPTH + 1))
    )
    lines = [f"{NAMES.package}/"]
    for folder, count in sorted(folders.items()):
        lines.append(f"{'  ' * len(folder)}{folder[-1]}/  ({count} files)")
    lines += [f"  {path[0]}" for path in sorted(paths) if len(path) == 1]
    return "\n".join(["```text", *lines, "```"])


def exported() -> list[Path]:
    """The files that the command writes, from its folder on.

    It runs in a process of its own, so that other pages are made meanwhile.
    Raises CourseError if it fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        words = ["-m", "course", "export", folder, "--name", NAMES.package]
        done = subprocess.run(  # noqa: S603 - our own command line
            [sys.executable, *words],
            cwd=ROOT,
            capture_output=True,
            check=False,
            encoding="utf-8",
        )
        if done.returncode:
            raise CourseError(f"`course export` failed:\n{done.stderr.strip()}")
        home = Path(folder)
        return [it.relative_to(home) for it in home.rglob("*") if it.is_file()]


def next_steps(_: str = "") -> str:
    """The commands that the export prints, as a block."""
    return "\n".join(["```text", *project.next_steps(NAMES), "```"])
