"""A solved notebook as slides: cells and outputs, by its slideshow metadata.

`slide` begins a slide, `subslide` too unless there is but a title yet; `fragment`
appears with a key, `skip` is left out, `notes` is for the speaker; anything else goes
on below. What a cell prints or draws appears with a key, too: first the question, then
the answer. Of an exercise the stub is there first, and our solution comes with a key.
What does not fit goes on on another slide under the same title; a few lines of code
go there with what they print.
"""

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from course.deck.blocks import HEIGHT, RUNNING, SOURCE, Block, markdown, text
from course.deck.render import MARKDOWN
from course.notebook.figures import SVG, switched_by
from course.notebook.files import Cell
from course.notebook.normal import joined
from course.notebook.solved import read_solved

IMAGE = 450  # pixels that an image is high, at most
IMAGE_WIDTH = 920  # pixels: its 14 points are 20 pixels then
SHORT = 8  # lines of code; they stand on the slide of what they print, if that is less


@dataclass
class Page:
    """A slide of a notebook. `running`: its title was a slide's before."""

    title: str
    running: bool = True
    blocks: list[Block] = field(default_factory=list)
    notes: str = ""

    def room(self) -> float:
        """Pixels that are left."""
        taken = (RUNNING if self.running else 0) + sum(it.size() for it in self.blocks)
        return HEIGHT - taken

    def began(self) -> bool:
        """Whether there is more than a title and a sentence or two."""
        return self.running or any(it.rows for it in self.blocks)

    def html(self) -> str:
        """Its content, under the title that it goes on with."""
        title = f'<p class="running">{html.escape(self.title)}</p>\n'
        body = "\n".join(it.html() for it in self.blocks)
        return (title if self.running else "") + body


def pages(path: Path) -> list[Page]:
    """The slides of a notebook, each as high as a slide at most."""
    made: list[Page] = []
    for cell in read_solved(path)["cells"]:
        kind = cell["metadata"].get("slideshow", {}).get("slide_type", "-")
        if kind == "skip":
            continue
        if kind == "notes":
            made[-1].notes += str(MARKDOWN.render("".join(cell["source"])))
            continue
        if kind == "slide" or not made or (kind == "subslide" and made[-1].began()):
            made.append(Page(made[-1].title if made else ""))
        for block in _blocks(cell):
            hidden = block.hidden or kind == "fragment"
            _place(replace(block, hidden=hidden), made)
    return [it for it in made if it.blocks]


def section(page: Page, number: int) -> str:
    """A slide as reveal.js wants it; number from 1."""
    notes = f'<aside class="notes">{page.notes}</aside>' if page.notes else ""
    return (
        f'<section id="slide-{number}" class="cells"><div class="slide">\n'
        f"{page.html()}</div>\n{notes}</section>"
    )


def _place(block: Block, made: list[Page]) -> None:
    page = made[-1]
    if block.title and not page.blocks:
        page.title, page.running = block.title, False
    while block.size() > page.room():
        fresh = Page(page.title)
        alone = all(it.joined for it in page.blocks)
        divisible = alone or block.size() > fresh.room()
        if divisible and (parts := block.divide(page.room())):
            page.blocks.append(parts[0])
            block = parts[1]
        elif alone:
            break  # higher than a slide, and indivisible: a test sees it
        else:
            while page.blocks[-1].joined:
                fresh.blocks.insert(0, page.blocks.pop())
        made.append(fresh)
        page = fresh
    page.blocks.append(block)


def _blocks(cell: Cell) -> Iterator[Block]:
    source = "".join(cell["source"])
    if cell["cell_type"] != "code":
        yield from markdown(source)
        return
    if source.startswith("show("):
        yield from _listing(source, cell["outputs"][0])
        return
    if stub := cell["metadata"].get("course", {}).get("stub"):
        yield Block(rows=joined(stub).split("\n"), language="python")
        yield Block(rows=source.split("\n"), language="python", hidden=True)
    printed = [block for it in cell["outputs"] for block in _output(it)]
    if source and not stub:
        rows = source.split("\n")
        short = len(rows) <= SHORT and sum(len(it.rows) for it in printed) < SHORT
        texts = bool(printed) and all(it.language for it in printed)
        yield Block(rows=rows, language="python", joined=short and texts)
    for block in printed:
        yield replace(block, hidden=True)


def _listing(source: str, output: dict[str, Any]) -> Iterator[Block]:
    """A section's code under its names, as the decks show it."""
    path, *code = _output(output)
    names = ", ".join(re.findall(r'"([^"]+)"', source))
    caption = f"{path.body[3:-5]} · {html.escape(names)}"
    yield Block(f'<p class="source">{caption}</p>', SOURCE, joined=True)
    yield from code


def _output(output: dict[str, Any]) -> Iterator[Block]:
    if output["output_type"] == "stream":
        yield text("".join(output["text"]))
        return
    data: dict[str, Any] = output["data"]
    if SVG in data:
        yield _image(joined(data[SVG]))
    elif "text/markdown" in data:
        yield from markdown("".join(data["text/markdown"]))
    else:
        yield text("".join(data["text/plain"]))


def _image(drawing: str) -> Block:
    """A figure in the deck's own colours, at most IMAGE pixels high."""
    width, height = _size(drawing)
    across = min(IMAGE_WIDTH, round(IMAGE * width / height))
    high = across * height / width
    picture = re.sub(
        r'width="[^"]*" height="[^"]*"',
        f'width="{across}" height="{high:.0f}"',
        switched_by(".dark", drawing),
        count=1,
    )
    return Block(f'<p class="figure">{picture}</p>', high + 34)


def _size(drawing: str) -> tuple[float, float]:
    found = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', drawing)
    if found is None:
        raise ValueError("a figure has no viewBox")
    return float(found[1]), float(found[2])
