"""Renew what the cells say without Jupyter: enough after a change of a section's code.

What they draw stays. Where a figure's words have changed it has to be drawn anew, which
is said, and left to `--refresh`.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from course.notebook.files import Cell, Notebook, code_cells
from course.notebook.merge import merge
from course.notebook.normal import is_setting, summary
from course.notebook.session import Session
from course.notebook.solved import read_solved, write_unsolved
from course.places import say

REDRAW = "{path}: the figure of {id} has changed; renew it with --refresh"


def sync(paths: Sequence[Path]) -> int:
    """Run each notebook here and save what it says; 1 if a figure is out of date."""
    status = 0
    with without_settings():
        for path in paths:
            notebook = read_solved(path)
            new = run(path, notebook)
            for before, after in zip(
                code_cells(notebook), code_cells(new), strict=True
            ):
                if not draws(before):
                    continue
                if words(before) != words(after):
                    say(REDRAW.format(path=path.name, id=before["id"]))
                    status = 1
                after["outputs"] = before["outputs"]
            say(f"{path.name}: {len(merge(notebook, new))} outputs changed")
            write_unsolved(path, notebook)
    return status


def run(path: Path, notebook: Notebook) -> Notebook:
    """The notebook with the outputs of this process; figures are words only."""
    with Session(path) as session:
        cells = [
            {**cell, "outputs": [*map(_plain, session.run(cell))]}
            for cell in code_cells(notebook)
        ]
    return {**notebook, "cells": cells}


def draws(cell: Cell) -> bool:
    """Whether an image is among the cell's outputs."""
    return any(kind.startswith("image/") for kind, _ in summary(cell["outputs"]))


def words(cell: Cell) -> list[tuple[str, str]]:
    """What the cell says, images left out."""
    said = summary(cell["outputs"])
    return [(kind, text) for kind, text in said if not kind.startswith("image/")]


@contextmanager
def without_settings() -> Iterator[None]:
    """Meanwhile the environment has nothing that changes what the sections say."""
    kept = {name: os.environ.pop(name) for name in filter(is_setting, [*os.environ])}
    try:
        yield
    finally:
        os.environ.update(kept)


def _plain(output: dict[str, Any]) -> dict[str, Any]:
    """As nbformat wants it."""
    return output if output["output_type"] == "stream" else {**output, "metadata": {}}
