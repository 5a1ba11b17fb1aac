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
    return [f"../../slides/{it}/index.html" for it in names() if it == section.stem]


def build(target: Path) -> None:
    """Write every deck below `target`, in the built site."""
    if available():
        deck = importlib.import_module("course.deck.build")
        deck.build(target)
        deck.notebooks(target)
