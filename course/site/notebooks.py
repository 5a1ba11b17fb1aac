"""Notebook pages: the committed cells and outputs as Markdown, images as files."""

import base64
import json
import re
from pathlib import Path
from typing import Any

from course import manifest
from course.places import ROOT
from course.site import decks, playground

NOTEBOOKS = ROOT / "notebooks"
# The empty corner of a table: a header that says nothing to a screen reader.
_CORNER = re.compile(r"^\|\s*\|(?=.*\n\|[-: |]+\|\s*$)", re.MULTILINE)
_PATTERN = re.compile(r"^\|.*\]\[.*\|$", re.MULTILINE)
IMAGES = {"image/svg+xml": "svg", "image/png": "png"}


def materials(section: str) -> str:
    """Links of a section: its notebook, its deck where there is one, its file."""
    chosen = manifest.find(section)
    lines = []
    if (path := path_of(chosen)).is_file():
        lines.append(f"- [The notebook](../notebooks/{path.stem}.md), with its outputs")
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
    """One page a committed notebook."""
    folder.mkdir(parents=True)
    for path in sorted(NOTEBOOKS.glob("*.ipynb")):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        parts = [
            part
            for number, cell in enumerate(cells)
            for part in _cell(cell, folder, f"{path.stem}-{number}")
        ]
        note = f"`python3 -m course notebook {path.stem.split('_')[0]}` opens it."
        text = "\n\n".join([*parts[:1], note, *parts[1:]])
        # a pattern in a table cell, `[a-z][0-9]`, is no link
        text = _PATTERN.sub(lambda row: row[0].replace("][", "]\\["), text)
        text = _CORNER.sub("| what |", text).replace("<th></th>", "<td></td>")
        (folder / f"{path.stem}.md").write_text(text + "\n", encoding="utf-8")


def _cell(cell: dict[str, Any], folder: Path, name: str) -> list[str]:
    text = "".join(cell["source"]).strip()
    if cell["metadata"].get("slideshow", {}).get("slide_type") == "notes":
        return []
    if cell["cell_type"] != "code":
        return [text]
    shown = [f"````python\n{text}\n````"] if text else []
    outputs = [
        _output(it, folder, f"{name}-{at}") for at, it in enumerate(cell["outputs"])
    ]
    return shown + [it for it in outputs if it]


def _output(output: dict[str, Any], folder: Path, name: str) -> str:
    if output["output_type"] == "stream":
        return _text("".join(output["text"]))
    data: dict[str, Any] = output.get("data", {})
    for kind, suffix in IMAGES.items():
        if kind in data:
            return _image(data, kind, folder / f"{name}.{suffix}")
    if "text/markdown" in data:
        return "".join(data["text/markdown"])
    if "text/html" in data:
        inner = "".join(data["text/html"]).replace("\n\n", "\n")
        return f'<div class="scroll output">{inner}</div>'
    return _text("".join(data.get("text/plain", "")))


def _image(data: dict[str, Any], kind: str, path: Path) -> str:
    content = "".join(data[kind])
    raw = content.encode() if kind.endswith("xml") else base64.b64decode(content)
    path.write_bytes(raw)
    said = "".join(data.get("text/plain", "A figure")).strip("<>'\" ")
    words = said.replace("[", "(").replace("]", ")").replace("\n", " ")
    return f"![{words}]({path.name})"


def _text(text: str) -> str:
    return f'````text title="output"\n{text.rstrip()}\n````' if text.strip() else ""
