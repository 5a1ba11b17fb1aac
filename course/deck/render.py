"""Slides as HTML: Markdown by markdown-it-py, code by Pygments, diagrams inline."""

import html
import re
from collections.abc import Sequence
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markdown_it.utils import EnvType, OptionsDict
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_by_name

from course.deck.code import attributes_of
from course.deck.source import Deck, Slide
from course.places import CourseError

_SIZE = re.compile(r"\b([wh]):(\d+)\b")


def code_html(code: str, language: str, attributes: dict[str, str]) -> str:
    """Code in its colours, row by row, under the name of its source."""
    lexer = get_lexer_by_name(language, stripnl=False)
    lines = highlight(code, lexer, HtmlFormatter(nowrap=True))
    rows = "".join(
        f'<span class="row">{row or " "}</span>\n'
        for row in lines.rstrip("\n").split("\n")
    )
    steps = html.escape(attributes.get("steps", ""))
    source = attributes.get("src", "").replace("::", " · ")
    caption = f"<figcaption>{html.escape(source)}</figcaption>" if source else ""
    opening = f'<figure class="code" data-steps="{steps}">'
    pre = f'<pre tabindex="0"><code class="{language}">{rows}</code></pre>'
    return f"{opening}{caption}{pre}</figure>\n"


class _Html(RendererHTML):
    """markdown-it's HTML, with our code blocks and images."""

    def fence(
        self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType
    ) -> str:
        token = tokens[idx]
        language = token.info.split(" ", 1)[0] or "text"
        attributes = attributes_of(token.info)
        return code_html(token.content, language, attributes)

    def table_open(
        self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType
    ) -> str:
        return '<table tabindex="0">\n'  # on a phone it scrolls, also by keyboard

    def image(
        self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType
    ) -> str:
        token = tokens[idx]
        path: Path = env["folder"] / str(token.attrs["src"])
        if path.suffix != ".svg" or not path.is_file():
            raise CourseError(f"slides/{token.attrs['src']} is not an SVG of ours")
        sizes = dict(_SIZE.findall(token.content))
        style = "".join(
            f"{'max-width' if side == 'w' else 'max-height'}:{value}px;"
            for side, value in sizes.items()
        )
        svg = path.read_text(encoding="utf-8")
        return f'<span class="drawing" tabindex="0" style="{style}">{svg}</span>'


MARKDOWN = MarkdownIt("commonmark", {"html": True}, renderer_cls=_Html).enable("table")


def slide_html(slide: Slide, folder: Path) -> str:
    """A slide's body."""
    return str(MARKDOWN.render(slide.body, {"folder": folder}))


def notes_html(slide: Slide) -> str:
    """A slide's notes."""
    return str(MARKDOWN.render(slide.notes, {}))


def sections(deck: Deck) -> list[str]:
    """The slides as reveal.js wants them.

    `data-timing` is the slide's time in seconds: the speaker's window compares the sum
    with the clock. The notes begin with the plan: "2 min: from 3 to 5 of 20".
    """
    made = []
    begins = 0.0
    for number, slide in enumerate(deck.slides, 1):
        ends = begins + slide.minutes
        plan = f"{slide.minutes:g} min: from {begins:g} to {ends:g} of {deck.minutes:g}"
        classes = html.escape(" ".join(slide.classes))
        seconds = round(slide.minutes * 60)
        made.append(
            f'<section id="slide-{number}" class="{classes}" data-timing="{seconds}">'
            f'<div class="slide">\n{slide_html(slide, deck.path.parent)}</div>\n'
            f'<aside class="notes"><p>{plan}</p>{notes_html(slide)}</aside></section>'
        )
        begins = ends
    return made
