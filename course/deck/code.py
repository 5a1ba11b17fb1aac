"""Code on slides: a fence names the symbol that it shows, and shows just that.

    ```python src="examples/s2_models.py::Message" lines="2-8" steps="1-2|4"

`lines` counts within the symbol, from 1, and may leave some out: `2-4,8`; `steps`
counts within what is shown. Marp ignores everything after the language, so the deck
stays valid Marp.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from course.places import ROOT, CourseError
from course.source import extract

MOST_LINES = 14
MOST_COLUMNS = 72
_FENCE = re.compile(r"^```(\w+)([^\n]*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_ATTRIBUTE = re.compile(r'(\w+)="([^"]*)"')


@dataclass(frozen=True)
class Fence:
    """A block of code in a deck. `start` and `end` delimit its code in the text."""

    language: str
    attributes: dict[str, str]
    code: str
    line: int
    start: int
    end: int

    @property
    def source(self) -> str | None:
        """`examples/s2_models.py::Message`, if it names one."""
        return self.attributes.get("src")

    def expected(self) -> str:
        """What its source says today. Raises LookupError, OSError, ValueError."""
        path, _, symbol = (self.source or "").partition("::")
        text = extract((ROOT / path).read_text(encoding="utf-8"), symbol)
        if span := self.attributes.get("lines"):
            text = _dedented(list(_chosen(text.splitlines(), span)))
        return text + "\n"


def _chosen(lines: list[str], spans: str) -> Iterator[str]:
    """Those of `lines` that `1-2,5` names."""
    for span in spans.split(","):
        first, _, last = span.partition("-")
        yield from lines[int(first) - 1 : int(last or first)]


def _dedented(lines: list[str]) -> str:
    margin = min(len(line) - len(line.lstrip()) for line in lines if line.strip())
    return "\n".join(line[margin:] for line in lines)


def attributes_of(info: str) -> dict[str, str]:
    """The attributes behind a fence's language: `src="..." lines="2-8"`."""
    return dict(_ATTRIBUTE.findall(info))


def fences(text: str) -> Iterator[Fence]:
    """Every block of code in a deck's text."""
    for found in _FENCE.finditer(text):
        line = text.count("\n", 0, found.start()) + 1
        attributes = attributes_of(found[2])
        yield Fence(found[1], attributes, found[3], line, found.start(3), found.end(3))


def check(path: Path) -> list[str]:
    """What is wrong with the code on a deck's slides: sentences, with their lines."""
    wrong = []
    for fence in fences(path.read_text(encoding="utf-8")):
        where = f"slides/{path.name}:{fence.line}"
        rows = fence.code.splitlines()
        if len(rows) > MOST_LINES:
            wrong.append(f"{where}: {len(rows)} lines of code, {MOST_LINES} at most")
        if rows and (widest := max(map(len, rows))) > MOST_COLUMNS:
            wrong.append(f"{where}: {widest} columns, {MOST_COLUMNS} at most")
        if fence.source is None:
            continue
        try:
            if fence.code != fence.expected():
                wrong.append(f"{where}: the code differs from {fence.source}")
        except (LookupError, OSError, ValueError) as error:
            wrong.append(f"{where}: {fence.source}: {error}")
    return wrong


def sync(path: Path) -> bool:
    """Rewrite a deck's code from its sources; whether anything changed.

    Raises CourseError where a source is not there any more.
    """
    text = path.read_text(encoding="utf-8")
    new = text
    for fence in reversed(list(fences(text))):
        if fence.source is not None:
            try:
                new = new[: fence.start] + fence.expected() + new[fence.end :]
            except (LookupError, OSError, ValueError) as error:
                where = f"slides/{path.name}:{fence.line}"
                raise CourseError(f"{where}: {fence.source}: {error}") from error
    if new != text:
        path.write_text(new, encoding="utf-8")
    return new != text
