"""A Marp deck, read: slides with their class, notes and minutes.

The subset of Marp that the decks use: front matter, `---` between slides, the
directive `_class`, and every other comment as speaker notes (its first line says
`minutes: 2`). Images may be sized with `w:` and `h:`, as Marp does.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path

from course.places import ROOT, CourseError

SLIDES = ROOT / "slides"
_FENCE = re.compile(r"^(```+|~~~+)")
_COMMENT = re.compile(r"<!--(.*?)-->\n?", re.DOTALL)
_CLASS = re.compile(r"\s*_class:\s*([\w -]+?)\s*")
_MINUTES = re.compile(r"\s*minutes:\s*(\d+(?:\.\d+)?)\s*\n?")


@dataclass
class Slide:
    """One slide. `line` is where it begins in its file; `body` is its Markdown."""

    line: int
    body: str
    classes: list[str] = field(default_factory=list)
    notes: str = ""
    minutes: float = 0.0

    @property
    def title(self) -> str:
        """Its first heading."""
        found = re.search(r"^#{1,3}\s+(.+)$", self.body, re.MULTILINE)
        return found[1] if found else ""


@dataclass
class Deck:
    """A file of slides. `stem` names it everywhere: `s2_models`."""

    path: Path
    front: dict[str, str]
    slides: list[Slide]

    @property
    def stem(self) -> str:
        """`s2_models`."""
        return self.path.stem

    @property
    def title(self) -> str:
        """The front matter's title."""
        return self.front.get("title", self.stem)

    @property
    def minutes(self) -> float:
        """How long presenting it takes."""
        return sum(slide.minutes for slide in self.slides)


def decks(folder: Path = SLIDES) -> list[Deck]:
    """Every deck, in order."""
    return [read(path) for path in sorted(folder.glob("s[0-9]_*.md"))]


def read(path: Path) -> Deck:
    """One deck. Raises CourseError, with the line, for a slide that cannot be read."""
    lines = path.read_text(encoding="utf-8").split("\n")
    if lines[0] != "---" or "---" not in lines[1:]:
        raise CourseError(f"{path.name}:1: a deck begins with its front matter")
    end = lines.index("---", 1)
    front = dict(line.split(": ", 1) for line in lines[1:end] if ": " in line)
    slides = [
        _slide(path, line, text) for line, text in _split(lines[end + 1 :], end + 2)
    ]
    return Deck(path, {k: v.strip('"') for k, v in front.items()}, slides)


def _split(lines: list[str], first: int) -> list[tuple[int, str]]:
    """The slides' texts, each with the number of its first line."""
    pieces: list[tuple[int, list[str]]] = [(first, [])]
    fence = ""
    for number, line in enumerate(lines, first):
        mark = _FENCE.match(line)
        if mark and not fence:
            fence = mark[1]
        elif fence and line.startswith(fence):
            fence = ""
        if line == "---" and not fence:
            pieces.append((number + 1, []))
        else:
            pieces[-1][1].append(line)
    return [(number, "\n".join(text)) for number, text in pieces]


def _slide(path: Path, line: int, text: str) -> Slide:
    slide = Slide(line, "")
    notes: list[str] = []
    for comment in _COMMENT.findall(text):
        if directive := _CLASS.fullmatch(comment):
            slide.classes += directive[1].split()
            continue
        if found := _MINUTES.match(comment):
            slide.minutes += float(found[1])
            comment = comment[found.end() :]
        notes.append(comment.strip())
    slide.notes = "\n\n".join(notes)
    slide.body = _COMMENT.sub("", text).strip("\n")
    if not slide.body.strip():
        raise CourseError(f"{path.name}:{line}: an empty slide")
    return slide
