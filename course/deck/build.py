"""Decks and handouts, each as one file: it opens from a disk, without any network.

Style sheets and scripts are written into every page, so that a page can be copied
alone. reveal.js is taken from the `sphinx-revealjs` package, which carries it.
"""

import html
import string
from dataclasses import dataclass
from importlib import util
from pathlib import Path

from course import tokens
from course.deck import cells, code, render
from course.deck.source import SLIDES, Deck, decks
from course.notebook.files import paths
from course.places import CourseError

ASSETS = Path(__file__).parent / "assets"
REVEAL_STYLE = "dist/reveal.css"
REVEAL_SCRIPTS = ("dist/reveal.js", "plugin/notes/notes.js")
THEME = "course-theme.css"
# A deck, a notebook and a page have the same subject: in a tab one sees which it is.
SLIDES_OF, NOTEBOOK = "Slides", "Notebook as slides"


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
    target.mkdir(parents=True, exist_ok=True)
    _write(target / "check.html", "check.html", "Is the screen large enough?", "")
    return [_deck(deck, target) for deck in found]


def notebooks(target: Path) -> list[str]:
    """Write `<stem>/notebook.html`, slides too, for every notebook; their addresses."""
    written = []
    for path in paths():
        made = cells.pages(path)
        sections = [cells.section(it, number) for number, it in enumerate(made, 1)]
        page = target / path.stem / "notebook.html"
        page.parent.mkdir(parents=True, exist_ok=True)
        title = f"{NOTEBOOK}: {made[0].title}"
        _write(page, "deck.html", title, "\n".join(sections))
        written.append(f"{path.stem}/notebook.html")
    return written


def reveal() -> Path:
    """Where reveal.js is. Raises CourseError if its package is not installed."""
    spec = util.find_spec("sphinx_revealjs")
    if spec is None or spec.origin is None:
        raise CourseError("The decks need their group: python3 -m course setup docs")
    return Path(spec.origin).parent / "_static" / "revealjs"


def _styles(*, slides: bool) -> str:
    """The style sheets of a deck, or of a handout, as one text."""
    colours = tokens.style_sheet(":root", ".dark")
    own = (ASSETS / "deck.css").read_text(encoding="utf-8")
    if not slides:
        return f"{colours}\n{own}"
    theme = (SLIDES / THEME).read_text(encoding="utf-8")
    reveal_style = (reveal() / REVEAL_STYLE).read_text(encoding="utf-8")
    # A Marp theme speaks of `section` and `:root`: nested, it means our slides.
    nested = f".reveal .slides {{\n{theme}\n}}\n"
    return "\n".join([reveal_style, colours, own, nested])


def _scripts(*, slides: bool) -> str:
    """The scripts of a deck, or of a handout, each in an element of its own."""
    files = [reveal() / name for name in REVEAL_SCRIPTS] if slides else []
    files.append(ASSETS / "deck.js")
    return "\n".join(
        f"<script>{in_html(path.read_text(encoding='utf-8'))}</script>"
        for path in files
    )


def in_html(script: str) -> str:
    """A script whose texts cannot end, or hide the end of, its `<script>` element.

    In the texts of a script `\\!` is `!` and `\\/` is `/`, so nothing else changes
    (https://html.spec.whatwg.org/multipage/scripting.html,
    "Restrictions for contents of script elements").
    """
    return script.replace("<!--", "<\\!--").replace("</script", "<\\/script")


def _deck(deck: Deck, target: Path) -> Built:
    folder = target / deck.stem
    folder.mkdir(parents=True, exist_ok=True)
    slides = render.sections(deck)
    title = f"{SLIDES_OF}: {deck.title}"
    _write(folder / "index.html", "deck.html", title, "\n".join(slides))
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
    slides = template == "deck.html"
    text = string.Template((ASSETS / template).read_text(encoding="utf-8"))
    page = text.substitute(
        title=html.escape(title),
        body=body,
        styles=_styles(slides=slides),
        scripts=_scripts(slides=slides),
        icon=tokens.icon(),
    )
    path.write_text(page, encoding="utf-8")
