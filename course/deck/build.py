"""Decks and handouts as plain files: they open from a disk, without any network.

reveal.js is taken from the `sphinx-revealjs` package, which carries it.
"""

import html
import shutil
import string
from dataclasses import dataclass
from importlib import util
from pathlib import Path

from course.deck import cells, code, render
from course.deck.source import SLIDES, Deck, decks
from course.notebook.files import paths
from course.places import CourseError

ASSETS = Path(__file__).parent / "assets"
REVEAL = ("dist/reveal.js", "dist/reveal.css", "plugin/notes/notes.js")
THEME = "course-theme.css"


@dataclass(frozen=True)
class Built:
    """A deck that was built. Paths are relative to the target folder."""

    stem: str
    title: str
    slides: int
    minutes: float
    page: str
    handout: str


def build(target: Path, folder: Path = SLIDES) -> list[Built]:
    """Write `<stem>/index.html` and `<stem>/handout.html` for every deck.

    Raises CourseError, with file and line, if a slide's code is not its source's.
    """
    found = decks(folder)
    if wrong := [line for deck in found for line in code.check(deck.path)]:
        mend = "\n`python3 -m course sync` writes the code into the slides anew."
        raise CourseError("\n".join(wrong) + mend)
    _assets(target / "assets", folder)
    return [_deck(deck, target) for deck in found]


def notebooks(target: Path) -> list[str]:
    """Write `<stem>/notebook.html`, slides too, for every notebook; their addresses.

    They use what `build` puts beside them.
    """
    written = []
    for path in paths():
        made = cells.pages(path)
        sections = [cells.section(it, number) for number, it in enumerate(made, 1)]
        page = target / path.stem / "notebook.html"
        page.parent.mkdir(parents=True, exist_ok=True)
        _write(page, "deck.html", f"{made[0].title}: notebook", "\n".join(sections))
        written.append(f"{path.stem}/notebook.html")
    return written


def reveal() -> Path:
    """Where reveal.js is. Raises CourseError if its package is not installed."""
    spec = util.find_spec("sphinx_revealjs")
    if spec is None or spec.origin is None:
        raise CourseError("The decks need their group: python3 -m course setup docs")
    return Path(spec.origin).parent / "_static" / "revealjs"


def _assets(target: Path, folder: Path) -> None:
    target.mkdir(parents=True, exist_ok=True)
    for name in REVEAL:
        shutil.copy(reveal() / name, target)
    for own in ("deck.js", "deck.css"):
        shutil.copy(ASSETS / own, target)
    theme = (folder / THEME).read_text(encoding="utf-8")
    # A Marp theme speaks of `section` and `:root`: nested, it means our slides.
    (target / THEME).write_text(f".reveal .slides {{\n{theme}\n}}\n", encoding="utf-8")
    (target / "code.css").write_text(render.styles(), encoding="utf-8")


def _deck(deck: Deck, target: Path) -> Built:
    folder = target / deck.stem
    folder.mkdir(parents=True, exist_ok=True)
    slides = [render.section(it, deck, n) for n, it in enumerate(deck.slides, 1)]
    _write(folder / "index.html", "deck.html", deck.title, "\n".join(slides))
    pages = [_page(deck, number) for number in range(len(deck.slides))]
    _write(folder / "handout.html", "handout.html", deck.title, "\n".join(pages))
    return Built(
        stem=deck.stem,
        title=deck.title,
        slides=len(deck.slides),
        minutes=deck.minutes,
        page=f"{deck.stem}/index.html",
        handout=f"{deck.stem}/handout.html",
    )


def _page(deck: Deck, index: int) -> str:
    slide = deck.slides[index]
    number = index + 1
    return (
        f'<article id="slide-{number}" class="{" ".join(slide.classes)}">\n'
        f'<p class="number"><a href="index.html#/slide-{number}">Slide {number}</a>'
        "</p>\n"
        f"{render.slide_html(slide, deck.path.parent)}\n"
        f"<details><summary>Notes</summary>{render.notes_html(slide)}</details></article>"
    )


def _write(path: Path, template: str, title: str, body: str) -> None:
    text = string.Template((ASSETS / template).read_text(encoding="utf-8"))
    page = text.substitute(title=html.escape(title), body=body)
    path.write_text(page, encoding="utf-8")
