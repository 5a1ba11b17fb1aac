"""A notebook as a student gets it, and the same notebook solved.

Committed is the unsolved one. Where the student writes there is a stub, and where she
predicts there is no output. Our solution of a cell is in its metadata
(`course.solution`), and folded in the Markdown cell after its check. The outputs that
would answer a question are in `notebooks/recorded/`, for decks, pages and tests.
"""

import copy
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from course.notebook.files import Cell, Notebook, code_cells, read, write
from course.notebook.normal import joined

Outputs = dict[str, list[dict[str, Any]]]  # by the id of the cell
QUIZ = re.compile(r'^quiz\("(\w+)"\)$')
FOLDED = """<details>
<summary>Show solution</summary>

```python
{solution}
```

</details>"""


def read_solved(path: Path) -> Notebook:
    """The notebook of a file with our solutions and with every output."""
    notebook = read(path)
    file = recorded_file(path)
    outputs: Outputs = {}
    if file.is_file():
        outputs = json.loads(file.read_text(encoding="utf-8"))
    for cell in code_cells(notebook):
        ours = cell["metadata"].get("course", {})
        if "solution" in ours:
            ours["stub"] = cell["source"]
            cell["source"] = ours.pop("solution")
        cell["outputs"] = cell["outputs"] or outputs.get(cell["id"], [])
    return notebook


def write_unsolved(path: Path, notebook: Notebook) -> None:
    """Put a solved notebook on disk: the unsolved one, and its answers beside it."""
    unsolved = copy.deepcopy(notebook)
    answering = answers(unsolved["cells"])
    outputs: Outputs = {}
    solution = ""
    for cell in unsolved["cells"]:
        ours = cell["metadata"].get("course", {})
        if cell["cell_type"] == "markdown":
            if ours.get("shows") == "solution":
                cell["source"] = lines(FOLDED.format(solution=solution))
            continue
        if "stub" in ours:
            solution = joined(cell["source"])
            ours["solution"] = lines(solution)
            cell["source"] = ours.pop("stub")
        cell["execution_count"] = None
        for output in cell["outputs"]:
            if "execution_count" in output:
                output["execution_count"] = None
        if cell["id"] in answering and cell["outputs"]:
            outputs[cell["id"]] = cell["outputs"]
            cell["outputs"] = []
    write(path, unsolved)
    file = recorded_file(path)
    if outputs or file.is_file():
        file.parent.mkdir(exist_ok=True)
        text = json.dumps(outputs, ensure_ascii=False, indent=1, sort_keys=True)
        file.write_text(text + "\n", encoding="utf-8", newline="\n")


def recorded_file(path: Path) -> Path:
    """Where the outputs are that the notebook at `path` does not show."""
    return path.parent / "recorded" / f"{path.stem}.json"


def answers(cells: list[Cell]) -> set[str]:
    """The ids of the cells whose outputs would answer what the student is asked.

    These are the code cells after a prediction or a task, up to the next text. Code
    that is shown with `show` answers nothing.
    """
    return set(_answers(cells))


def _answers(cells: list[Cell]) -> Iterator[str]:
    asked = False
    for cell in cells:
        source = joined(cell["source"])
        if cell["cell_type"] == "markdown":
            asked = "**Predict" in source or "**Change" in source
        elif asked and not source.startswith("show("):
            yield cell["id"]


def quiz_of(cell: Cell) -> str:
    """The id of the section whose quiz a code cell shows; empty for any other cell."""
    found = QUIZ.match(joined(cell["source"]))
    return found[1] if found else ""


def lines(text: str) -> list[str]:
    """Text as nbformat keeps it in a file."""
    return text.splitlines(keepends=True)
