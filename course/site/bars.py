"""Horizontal bars as SVG that follows the page's colours; the figures stand beside."""

import html
import textwrap

LABEL, BAR, FIGURE, ROW = 320, 250, 90, 24


def chart(
    title: str, rows: list[tuple[str, float]], unit: str, *, ours: str = ""
) -> str:
    """One bar for each row, the longest first; `unit` is named once, above.

    The row whose label is `ours` is marked, in its colour and in bold letters.
    """
    longest = max((value for _, value in rows), default=0) or 1
    ordered = sorted(rows, key=lambda row: row[1], reverse=True)
    drawn = "".join(
        _row(number, label, value, longest, marked=label == ours)
        for number, (label, value) in enumerate(ordered)
    )
    in_words = "; ".join(f"{label} {_number(value)}" for label, value in ordered)
    caption = html.escape(f"{title}: {unit}")
    size = f"0 0 {LABEL + BAR + FIGURE} {ROW * len(rows) + 6}"
    return (
        f'<figure class="bars"><figcaption>{caption}</figcaption>'
        f'<div class="scroll" tabindex="0" role="region" aria-label="{caption}">'
        f'<svg viewBox="{size}" role="img" aria-label="{html.escape(in_words)}">'
        f"{drawn}</svg></div></figure>"
    )


def _row(number: int, label: str, value: float, longest: float, *, marked: bool) -> str:
    top = ROW * number + 4
    short = html.escape(textwrap.shorten(label, 50, placeholder="…"))
    width = max(1.0, value / longest * BAR)
    mark = ' class="ours"' if marked else ""
    return (
        f'<text{mark} x="{LABEL - 8}" y="{top + 14}" text-anchor="end">{short}</text>'
        f'<rect{mark} x="{LABEL}" y="{top}" width="{width:.1f}" height="{ROW - 6}"/>'
        f'<text{mark} x="{LABEL + width + 6:.1f}" y="{top + 14}">{_number(value)}'
        "</text>"
    )


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
