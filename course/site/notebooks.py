"""Notebook pages: the unsolved cells as Markdown, images as files.

What would answer a question is folded: our solutions, and the outputs that a student
predicts.
"""

import json
import re
from pathlib import Path
from typing import Any

from course import manifest
from course.notebook.figures import SVG, dark, light
from course.notebook.normal import joined
from course.notebook.solved import answers, quiz_of, recorded_file
from course.places import ROOT
from course.site import decks, exercises, playground

NOTEBOOKS = ROOT / "notebooks"
# The empty corner of a table: a header that says nothing to a screen reader.
_CORNER = re.compile(r"^\|\s*\|(?=.*\n\|[-: |]+\|\s*$)", re.MULTILINE)
_SOLUTION = re.compile(r"^```python\n.*?^```$", re.DOTALL | re.MULTILINE)
_PATTERN = re.compile(r"^\|.*\]\[.*\|$", re.MULTILINE)
LEFT_OUT = {"find-course"}  # a cell for kernels, not for readers


def materials(section: str) -> str:
    """Links of a section: its notebook, its deck where there is one, its file."""
    chosen = manifest.find(section)
    lines = []
    if (path := path_of(chosen)).is_file():
        lines.append(f"- [The notebook](../notebooks/{path.stem}.md), unsolved")
    lines += [f"- [The slides]({it})" for it in decks.links(chosen)]
    if path.is_file() and decks.available():
        address = f"../../slides/{path.stem}/notebook.html"
        lines.append(f"- [The notebook as slides]({address})")
    if chosen.id not in playground.LEFT_OUT:
        here = f"../../playground/?section={chosen.id}"
        lines.append(f"- [The playground]({here}): change it, here in the browser")
    if steps := chosen.rungs():
        first = f"`python3 -m course run {steps[0].id}`"
        lines.append(
            f"- The {len(steps)} steps, in `examples/steps/`: {first} is the first"
        )
    lines.append(f"- The module: `{chosen.module.replace('.', '/')}.py`")
    return "\n".join(lines)


def path_of(section: manifest.Section) -> Path:
    """The committed notebook of a section; it may not be there."""
    named = sorted(NOTEBOOKS.glob(f"*{section.stem}.ipynb"))
    return named[0] if named else NOTEBOOKS / f"{section.stem}.ipynb"


def write(folder: Path) -> None:
    """One page for each committed notebook."""
    folder.mkdir(parents=True)
    for path in sorted(NOTEBOOKS.glob("*.ipynb")):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        recorded = json.loads(recorded_file(path).read_text(encoding="utf-8"))
        folded = answers(cells)
        parts = []
        for number, cell in enumerate(cells):
            name = f"{path.stem}-{number}"
            if cell["id"] in LEFT_OUT:
                continue
            if cell["id"] not in folded:
                parts += _cell(cell, folder, name)
                continue
            parts += _code(cell)
            if "check(" not in joined(cell["source"]):
                outputs = recorded.get(cell["id"], [])
                parts += _folded(_outputs(outputs, folder, name))
        note = (
            f"`python3 -m course notebook {path.stem.split('_')[0]}` opens a copy that "
            "is yours to write in."
        )
        # The search lists headings: it has to say which page is a notebook.
        first = [part.replace("# ", "# Notebook: ", 1) for part in parts[:1]]
        text = "\n\n".join([*first, note, *parts[1:]])
        # a pattern in a table cell, `[a-z][0-9]`, is no link
        text = _PATTERN.sub(lambda row: row[0].replace("][", "]\\["), text)
        text = _CORNER.sub("| what |", text).replace("<th></th>", "<td></td>")
        (folder / f"{path.stem}.md").write_text(text + "\n", encoding="utf-8")


def _cell(cell: dict[str, Any], folder: Path, name: str) -> list[str]:
    if cell["metadata"].get("slideshow", {}).get("slide_type") == "notes":
        return []
    if section := quiz_of(cell):
        return exercises.questions(manifest.find(section).id)
    if cell["cell_type"] == "code":
        return [*_code(cell), *_outputs(cell["outputs"], folder, name)]
    text = joined(cell["source"]).strip()
    if cell["metadata"].get("course", {}).get("shows") == "solution":
        code = _SOLUTION.findall(text)
        return [exercises.folded("Show solution", "\n".join(code))]
    return [text]


def _code(cell: dict[str, Any]) -> list[str]:
    text = joined(cell["source"]).strip()
    return [f"````python\n{text}\n````"] if text else []


def _folded(parts: list[str]) -> list[str]:
    """The outputs that a student predicts, as one block; nothing without outputs."""
    if not parts:
        return []
    return [exercises.folded("Show the output", "\n\n".join(parts))]


def _outputs(outputs: list[dict[str, Any]], folder: Path, name: str) -> list[str]:
    shown = [_output(it, folder, f"{name}-{at}") for at, it in enumerate(outputs)]
    return [it for it in shown if it]


def _output(output: dict[str, Any], folder: Path, name: str) -> str:
    if output["output_type"] == "stream":
        return _text(joined(output["text"]))
    data: dict[str, Any] = output.get("data", {})
    if SVG in data:
        return _image(data, folder, name)
    if "text/markdown" in data:
        return joined(data["text/markdown"])
    return _text(joined(data.get("text/plain", "")))


def _image(data: dict[str, Any], folder: Path, name: str) -> str:
    """A figure in both schemes; the page shows the one of its reader."""
    said = joined(data.get("text/plain", "A figure")).strip("<>'\" ")
    words = said.replace("[", "(").replace("]", ")").replace("\n", " ")
    shown = []
    for scheme, paint in (("light", light), ("dark", dark)):
        file = f"{name}-{scheme}.svg"
        (folder / file).write_text(paint(joined(data[SVG])), encoding="utf-8")
        shown.append(f"![{words}]({file}#only-{scheme})")
    return "\n".join(shown)


def _text(text: str) -> str:
    return f'````text title="output"\n{text.rstrip()}\n````' if text.strip() else ""
