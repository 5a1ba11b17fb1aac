"""The slides, where this checkout can build them: `course.deck` makes the files."""

import importlib
import importlib.util
from pathlib import Path

from course.manifest import Section
from course.places import ROOT

SLIDES = ROOT / "slides"


def available() -> bool:
    """Whether there are slides and something that builds them."""
    return bool(names()) and importlib.util.find_spec("course.deck") is not None


def names() -> list[str]:
    """The stems of the decks, in order."""
    return sorted(path.stem for path in SLIDES.glob("s*.md"))


def links(section: Section) -> list[str]:
    """Addresses of a section's decks, as seen from its page."""
    if not available():
        return []
    return [
        f"../../slides/{name}/index.html"
        for name in names()
        if name == section.stem or name.partition("_")[2] == section.stem
    ]


def table(_: str = "") -> str:
    """Every deck with its handout, and the notebooks as slides."""
    if not available():
        return "Nothing here builds slides: `python3 -m course setup docs` installs it."
    rows = ["| deck | its handout | its notebook as slides |", "|---|---|---|"]
    found = importlib.import_module("course.deck.source").decks(SLIDES)
    books = {it.stem for it in (ROOT / "notebooks").glob("*.ipynb")}
    for deck in found:
        stem = deck.path.stem
        at = f"../slides/{stem}"
        book = f"[notebook]({at}/notebook.html)" if stem in books else ""
        shown = f"[{deck.title}]({at}/index.html)"
        rows.append(f"| {shown} | [handout]({at}/handout.html) | {book} |")
    return "\n".join(rows)


def build(target: Path) -> None:
    """Write every deck below `target`, in the built site."""
    if available():
        deck = importlib.import_module("course.deck.build")
        deck.build(target)
        deck.notebooks(target)
