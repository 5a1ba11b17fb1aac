"""The drawings of the decks for pages, in the colours of the reader's scheme.

A page shows one with `![alt](../assets/diagrams/token-bucket.svg)` on a line of its
own. A drawing takes its dark colours from the system's setting, but a reader of the
site may have chosen the other scheme. So each drawing is written twice, and the page
shows the one that fits. On a narrow screen it scrolls, so that its words stay legible.
"""

import re
from pathlib import Path

from course.places import ROOT

DIAGRAMS = ROOT / "slides" / "diagrams"
_DARK = re.compile(
    r"<style>@media \(prefers-color-scheme:dark\)\{(?P<rules>.*?)\}</style>", re.DOTALL
)
_SHOWN = re.compile(
    r"^(!\[[^\]]+\]\([^)\s]*assets/diagrams/[\w-]+)\.svg\)$", re.MULTILINE
)
_BOTH = r"""<div class="scroll diagram" markdown>

\1-light.svg#only-light)\1-dark.svg#only-dark)

</div>"""


def write(folder: Path) -> None:
    """Write `NAME-light.svg` and `NAME-dark.svg` for each drawing."""
    folder.mkdir(parents=True)
    for path in sorted(DIAGRAMS.glob("*.svg")):
        drawing = path.read_text(encoding="utf-8")
        light = _DARK.sub("", drawing)
        dark = _DARK.sub(lambda found: f"<style>{found['rules']}</style>", drawing)
        (folder / f"{path.stem}-light.svg").write_text(light, encoding="utf-8")
        (folder / f"{path.stem}-dark.svg").write_text(dark, encoding="utf-8")


def in_both_schemes(text: str) -> str:
    """Markdown where each drawing is named in both variants; one is hidden."""
    return _SHOWN.sub(_BOTH, text)
