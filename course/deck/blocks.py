"""The parts of a notebook's slide: HTML, and how high it will be.

The sizes are those of `.cells` in assets/deck.css, in pixels of a slide of 1280 by 720;
a test in Chromium sees whether every slide of every notebook fits.
"""

import html
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, groupby, islice
from typing import Any

from markdown_it.token import Token

from course.deck.render import MARKDOWN, code_html

HEIGHT = 630  # of a slide's content
TITLE, RUNNING, SOURCE, ROW, LINE, CODE, PANEL = 72, 54, 29, 48, 33, 24, 36
ACROSS, TITLE_ACROSS, TABLE_ACROSS = 92, 54, 95  # characters of a line
LEAST = 5  # lines of code that are worth a slide
FEW = 3  # rows of a table that are worth one


@dataclass(frozen=True)
class Block:
    """Text of a known height, or rows (of code; with `head`, of a table).

    `hidden`: it comes with the next key. `joined`: it belongs to what follows.
    `title`: what it calls the slides from here on.
    """

    body: str = ""
    height: float = 0
    rows: Sequence[str] = ()
    language: str = ""
    head: str = ""
    title: str = ""
    hidden: bool = False
    joined: bool = False

    def html(self) -> str:
        """As a slide shows it."""
        body = self.body
        if self.head:
            body = f'<table tabindex="0">{self.head}{"".join(self.rows)}</table>'
        elif self.rows:
            body = code_html("\n".join(self.rows), self.language, {})
        return f'<div class="fragment">{body}</div>' if self.hidden else body

    def size(self) -> float:
        """Its height in pixels."""
        if self.head:
            return ROW * (1 + sum(_lines(self.rows))) + 12
        return self.height + (PANEL + CODE * len(self.rows) if self.rows else 0)

    def divide(self, room: float) -> tuple["Block", "Block"] | None:
        """What fits into `room` pixels, and the rest; None if nothing much does."""
        if self.head:
            until = accumulate(_lines(self.rows), initial=1)
            most = sum(ROW * lines + 12 <= room for lines in until) - 1
            return self._at(most) if most >= FEW else None
        most = min(int((room - PANEL) / CODE), len(self.rows) - LEAST)
        if most < LEAST:
            return None
        return self._at(_cut(self.rows, most))

    def _at(self, count: int) -> tuple["Block", "Block"]:
        rest = list(self.rows[count:])
        while rest and not rest[0].strip():
            rest.pop(0)
        return replace(self, rows=self.rows[:count]), replace(self, rows=rest)


def _cut(rows: Sequence[str], limit: int) -> int:
    """After how many rows a listing goes on elsewhere, at most `limit`.

    Never inside a docstring, because the rest of it would be coloured as code; at a
    blank line before the least indented line if that is not too early, else between
    two statements.
    """
    before = {at: "\n".join(rows[:at]) for at in range(LEAST, limit + 1)}
    outside = [at for at, it in before.items() if it.count('"""') % 2 == 0]
    blank = [at for at in outside if not rows[at].strip() and at >= limit / 2]
    blank.sort(key=lambda at: _indentation(rows[at + 1 :]), reverse=True)
    whole = [at for at in outside if _brackets_are_closed(before[at])]
    return next((it[-1] for it in (blank, whole, outside) if it), limit)


def _indentation(rows: Sequence[str]) -> int:
    first = next((row for row in rows if row.strip()), "")
    return len(first) - len(first.lstrip())


def _brackets_are_closed(code: str) -> bool:
    return all(
        code.count(pair[0]) == code.count(pair[1]) for pair in ("()", "[]", "{}")
    )


def text(printed: str) -> Block:
    """What a cell printed."""
    return Block(rows=printed.rstrip("\n").split("\n"), language="text")


def markdown(source: str) -> Iterator[Block]:
    """Every top-level part of a Markdown text."""
    env: dict[str, Any] = {}
    for group in _groups(MARKDOWN.parse(source)):
        kind = group[0].type
        if kind == "fence":
            rows = group[0].content.rstrip().split("\n")
            yield Block(rows=rows, language=group[0].info or "text")
            continue
        body = str(MARKDOWN.renderer.render(group, MARKDOWN.options, env))
        if kind == "table_open":
            yield _table(body)
        elif kind == "heading_open":
            title = "".join(_words(group[1]))
            lines = math.ceil(len(title) / TITLE_ACROSS)
            yield Block(body, TITLE + 42 * (lines - 1), title=title)
        else:
            yield Block(body, sum(map(_height, group)) + 12)


def _table(body: str) -> Block:
    head, _, rest = body.partition("<tbody>")
    rows = rest.partition("</tbody>")[0].split("</tr>\n")[:-1]
    return Block(rows=[f"{row}</tr>\n" for row in rows], head=head.partition(">")[2])


def _groups(tokens: Sequence[Token]) -> Iterator[list[Token]]:
    """A token that stands alone, or one from its opening to its closing."""
    depth, number, numbers = 0, 0, []
    for token in tokens:
        depth += token.nesting
        numbers.append(number)
        number += depth == 0
    walk = iter(tokens)
    for _, run in groupby(numbers):
        yield list(islice(walk, len(list(run))))


def _words(inline: Token) -> Iterator[str]:
    return (it.content or " " for it in inline.children or ())


def _height(token: Token) -> float:
    """Of a paragraph or an item of a list."""
    if token.type != "inline":
        return 0
    return LINE * math.ceil(len("".join(_words(token))) / ACROSS) + 8


def _lines(rows: Sequence[str]) -> list[int]:
    """How many lines each row of a table takes, generously.

    A column is as wide as its longest cell, if all of them fit beside each other.
    """
    table = [[len(_shown(it)) for it in row.split("</td>")[:-1]] for row in rows]
    if sum(map(max, zip(*table, strict=True))) <= TABLE_ACROSS:
        return [1] * len(rows)
    across = TABLE_ACROSS / max(map(len, table))
    return [max(math.ceil(it / across) for it in cells) for cells in table]


def _shown(cell: str) -> str:
    return html.unescape(cell.partition("<td")[2].partition(">")[2])
