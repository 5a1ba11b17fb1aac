"""Run the notebooks in real kernels: to renew what is committed, or to compare it.

An output that says the same as before is kept as it was, image included, so that a
refresh changes only what is new. To have a figure drawn anew, clear its output first.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from course.notebook.files import Notebook, code_cells, read, write
from course.notebook.lab import kernel_environment
from course.notebook.normal import summary
from course.places import CourseError, say

CELL_SECONDS = 60


def refresh(paths: Sequence[Path]) -> int:
    """Run each notebook and save its outputs; 0. CourseError if a cell fails."""
    for path in paths:
        changed = merge(old := read(path), run(path))
        write(path, old)
        say(f"{path.name}: {len(changed)} outputs changed")
    return 0


def compare(paths: Sequence[Path]) -> int:
    """Run each notebook and write nothing; 1 if any output differs, else 0."""
    status = 0
    for path in paths:
        changed = merge(read(path), run(path))
        say(f"{path.name}: {'as committed' if not changed else 'differs'}")
        for difference in changed:
            say(difference)
            status = 1
    return status


def run(path: Path) -> Notebook:
    """The notebook as its kernel leaves it. Raises CourseError if a cell fails."""
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook,
        timeout=CELL_SECONDS,
        kernel_name="python3",
        record_timing=False,
        extra_arguments=["--IPKernelApp.log_level=40"],  # it warns of loopback TCP
        resources={"metadata": {"path": str(path.parent)}},
    )
    try:
        done: Notebook = client.execute(env=kernel_environment())
    except CellExecutionError as error:
        raise CourseError(f"{path.name}: {error.ename}: {error.evalue}") from error
    return done


def merge(old: Notebook, new: Notebook) -> list[str]:
    """Put into `old` the outputs of `new` that say something else; what changed."""
    return list(_merge(old, new))


def _merge(old: Notebook, new: Notebook) -> Iterator[str]:
    pairs = zip(code_cells(old), code_cells(new), strict=True)
    for count, (before, after) in enumerate(pairs, 1):
        before["execution_count"] = count
        was, now = summary(before["outputs"]), summary(after["outputs"])
        if was != now:
            before["outputs"] = [_kept(output, count) for output in after["outputs"]]
            yield f"  cell {before['id']}\n    was: {was}\n    now: {now}"


def _kept(output: dict[str, Any], count: int) -> dict[str, Any]:
    fresh = {**output}
    if fresh["output_type"] == "execute_result":
        fresh["execution_count"] = count
    for name in ("text", "data"):
        if name in fresh:
            fresh[name] = _lines(fresh[name])
    return fresh


def _lines(value: Any) -> Any:
    """Text as a list of lines, which is how a diff reads best; images stay whole."""
    if isinstance(value, dict):
        return {
            kind: text if kind.startswith("image/") else _lines(text)
            for kind, text in value.items()
        }
    return value.splitlines(keepends=True) if isinstance(value, str) else value
