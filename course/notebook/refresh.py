"""Run the notebooks in real kernels: to renew what is committed, or to compare it.

An output that says the same as before is kept as it was, image included, so that a
refresh changes only what is new. To have a figure drawn anew, clear its output first.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from course.notebook.files import Notebook
from course.notebook.lab import environment
from course.notebook.merge import merge
from course.notebook.normal import is_setting
from course.notebook.solved import read_solved, write_unsolved
from course.places import CourseError, say

CELL_SECONDS = 60


def refresh(paths: Sequence[Path]) -> int:
    """Run each notebook and save its outputs; 0. CourseError if a cell fails."""
    for path in paths:
        changed = merge(notebook := read_solved(path), run(path))
        write_unsolved(path, notebook)
        say(f"{path.name}: {len(changed)} outputs changed")
    return 0


def compare(paths: Sequence[Path]) -> int:
    """Run each notebook and write nothing; 1 if any output differs, else 0."""
    status = 0
    for path in paths:
        changed = merge(read_solved(path), run(path))
        say(f"{path.name}: {'differs' if changed else 'as committed'}")
        for difference in changed:
            say(difference)
            status = 1
    return status


def run(path: Path) -> Notebook:
    """The solved notebook as its kernel leaves it. CourseError if a cell fails."""
    notebook = nbformat.reads(json.dumps(read_solved(path)), as_version=4)
    client = NotebookClient(
        notebook,
        timeout=CELL_SECONDS,
        kernel_name="python3",
        record_timing=False,
        extra_arguments=["--IPKernelApp.log_level=40"],  # it warns of loopback TCP
        resources={"metadata": {"path": str(path.parent)}},
    )
    neutral = {name: it for name, it in environment().items() if not is_setting(name)}
    try:
        done: Notebook = client.execute(env=neutral)
    except CellExecutionError as error:
        raise CourseError(f"{path.name}: {error.ename}: {error.evalue}") from error
    return done
