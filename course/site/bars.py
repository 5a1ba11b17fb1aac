"""Horizontal bars as SVG that follows the page's colours; the figures stand beside."""

import html
import textwrap
from dataclasses import dataclass

BAR, FIGURE, ROW = 250, 90, 24
LETTER, MARGIN = 6.9, 16  # the width of a letter, and of what is left beside a label
LONGEST_LABEL = 50  # letters
SMALLEST, LARGEST = 0.8, 1.2  # pixels for one unit of the drawing


@dataclass(frozen=True)
class Bar:
    """One bar; `part` is its length, where the longest bar has 1."""

    label: str
    value: float
    part: float
    marked: bool


def chart(
    title: str,
    rows: list[tuple[str, float]],
    unit: str,
    *,
    ours: str = "",
    titled: bool = False,
) -> str:
    """One bar for each row, the longest first; `unit` is named once, above.

    So is the title, unless the page is `titled`: then the heading above says it.

    The row whose label is `ours` is marked, in its colour and in bold letters. Labels
    take only the room that they need, so that short ones leave a phone room for bars.
    """
    longest = max((value for _, value in rows), default=0) or 1
    ordered = sorted(rows, key=lambda row: row[1], reverse=True)
    bars = [
        Bar(_short(label), value, value / longest, label == ours)
        for label, value in ordered
    ]
    letters = max((len(bar.label) for bar in bars), default=0)
    left = round(LETTER * letters) + MARGIN
    width = left + BAR + FIGURE
    drawn = "".join(_row(number, bar, left) for number, bar in enumerate(bars))
    in_words = "; ".join(f"{label} {_number(value)}" for label, value in ordered)
    caption = html.escape(f"{title}: {unit}")
    first = unit[:1].upper() if unit[:1].isascii() else unit[:1]  # µs stay small
    shown = html.escape(first + unit[1:]) if titled else caption
    bounds = f"min-width:{SMALLEST * width:.0f}px;max-width:{LARGEST * width:.0f}px"
    return (
        f'<figure class="bars"><figcaption>{shown}</figcaption>'
        f'<div class="scroll" tabindex="0" role="region" aria-label="{caption}">'
        f'<svg viewBox="0 0 {width} {ROW * len(rows) + 6}" style="{bounds}" '
        f'role="img" aria-label="{html.escape(in_words)}">'
        f"{drawn}</svg></div></figure>"
    )


def _short(label: str) -> str:
    return textwrap.shorten(label, LONGEST_LABEL, placeholder="…")


def _row(number: int, bar: Bar, left: int) -> str:
    top = ROW * number + 4
    width = max(1.0, bar.part * BAR)
    mark = ' class="ours"' if bar.marked else ""
    label = html.escape(bar.label)
    return (
        f'<text{mark} x="{left - 8}" y="{top + 14}" text-anchor="end">{label}</text>'
        f'<rect{mark} x="{left}" y="{top}" width="{width:.1f}" height="{ROW - 6}"/>'
        f'<text{mark} x="{left + width + 6:.1f}" y="{top + 14}">{_number(bar.value)}'
        "</text>"
    )


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
