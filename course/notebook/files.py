"""The notebooks on disk: which there are, and JSON that does not change for nothing."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from course.manifest import Section, sections
from course.places import ROOT, CourseError

NOTEBOOKS = ROOT / "notebooks"
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}
METADATA = {"kernelspec": KERNEL, "language_info": {"name": "python"}}
Notebook = dict[str, Any]
Cell = dict[str, Any]


def path_of(section: Section) -> Path:
    """The section's notebook. Raises CourseError where it has none."""
    found = [*NOTEBOOKS.glob(f"*{section.stem}.ipynb")]
    if not found:
        raise CourseError(f"There is no notebook of {section.id} in {NOTEBOOKS}.")
    return found[0]


def paths() -> list[Path]:
    """The notebooks of all sections, in teaching order."""
    return [path_of(section) for section in sections()]


def read(path: Path) -> Notebook:
    """A notebook, in the form of nbformat 4.5."""
    notebook: Notebook = json.loads(path.read_text(encoding="utf-8"))
    return notebook


def write(
    path: Path, notebook: Notebook, metadata: Mapping[str, Any] = METADATA
) -> None:
    """Put it on disk the way Jupyter does, without what differs between machines."""
    notebook = {**notebook, "metadata": metadata}
    text = json.dumps(notebook, ensure_ascii=False, indent=1, sort_keys=True)
    path.write_text(text + "\n", encoding="utf-8", newline="\n")


def code_cells(notebook: Notebook) -> list[Cell]:
    """The cells that run."""
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
