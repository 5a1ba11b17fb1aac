"""The drawings of the decks for pages, in the colours of the reader's scheme.

A page shows one with `![alt](../assets/diagrams/token-bucket.svg)` on a line of its
own. On a narrow screen it scrolls, so that its words stay legible.

A drawing that a deck shows step by step is written into the page, where
docs/assets/steps.js gives it the same steps; its colours are those of the page.

Any other is a file. It takes its dark colours from the system's setting, but a reader
of the site may have chosen the other scheme. So it is written twice, and the page shows
the one that fits.
"""

import re
from pathlib import Path

from course.places import ROOT

DIAGRAMS = ROOT / "slides" / "diagrams"
FRAGMENT = 'class="fragment'  # what a deck shows by one step
_DARK = re.compile(
    r"<style>@media \(prefers-color-scheme:dark\)\{(?P<rules>.*?)\}</style>\n?",
    re.DOTALL,
)
_STYLE = re.compile(r"<style>(?P<rules>.*?)</style>", re.DOTALL)
_SHOWN = re.compile(
    r"^(?P<image>!\[[^\]]+\]\([^)\s]*assets/diagrams/(?P<name>[\w-]+))\.svg\)$",
    re.MULTILINE,
)


def write(folder: Path) -> None:
    """Write `NAME-light.svg` and `NAME-dark.svg` for each drawing."""
    folder.mkdir(parents=True)
    for path in sorted(DIAGRAMS.glob("*.svg")):
        drawing = path.read_text(encoding="utf-8")
        light = _DARK.sub("", drawing)
        dark = _DARK.sub(lambda found: f"<style>{found['rules']}</style>", drawing)
        (folder / f"{path.stem}-light.svg").write_text(light, encoding="utf-8")
        (folder / f"{path.stem}-dark.svg").write_text(dark, encoding="utf-8")


def on_page(text: str) -> str:
    """Markdown where each drawing is written as its page shows it."""
    return _SHOWN.sub(_shown, text)


def _shown(found: re.Match[str]) -> str:
    path = DIAGRAMS / f"{found['name']}.svg"
    drawing = path.read_text(encoding="utf-8") if path.is_file() else ""
    if FRAGMENT in drawing:
        return stepwise(found["name"], drawing)
    image = found["image"]
    return (
        '<div class="scroll diagram" markdown>\n\n'
        f"{image}-light.svg#only-light){image}-dark.svg#only-dark)\n\n</div>"
    )


def stepwise(name: str, drawing: str) -> str:
    """HTML of a drawing with steps.

    Its rules are nested in its own id, because the page has other elements of the same
    short class names: the colours of code.
    """
    place = f"drawing-{name}"
    inside = _STYLE.sub(
        lambda found: f"<style>#{place}{{{found['rules'].strip()}}}</style>",
        _DARK.sub("", drawing).strip(),
    )
    return (
        f'<figure class="stepwise" id="{place}"><div class="scroll diagram">\n'
        f"{inside}\n</div></figure>"
    )
