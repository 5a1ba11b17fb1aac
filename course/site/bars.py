"""Horizontal bars as SVG that follows the page's colours; the figures stand beside."""

import html
import textwrap

LABEL, BAR, FIGURE, ROW = 290, 270, 90, 24


def chart(title: str, rows: list[tuple[str, float]], unit: str) -> str:
    """One bar a row, as long as its number; `unit` is named once, above."""
    most = max((value for _, value in rows), default=0) or 1
    drawn = "".join(
        _row(number, label, value, most) for number, (label, value) in enumerate(rows)
    )
    told = "; ".join(f"{label} {_number(value)}" for label, value in rows)
    said = html.escape(f"{title}: {unit}")
    size = f"0 0 {LABEL + BAR + FIGURE} {ROW * len(rows) + 6}"
    return (
        f'<figure class="bars"><figcaption>{said}</figcaption>'
        f'<div class="scroll" tabindex="0" role="region" aria-label="{said}">'
        f'<svg viewBox="{size}" role="img" aria-label="{html.escape(told)}">{drawn}'
        "</svg></div></figure>"
    )


def _row(number: int, label: str, value: float, most: float) -> str:
    at = ROW * number + 4
    short = textwrap.shorten(label, 42, placeholder="…")
    width = max(1.0, value / most * BAR)
    return (
        f'<text x="{LABEL - 8}" y="{at + 14}" text-anchor="end">{html.escape(short)}'
        f'</text><rect x="{LABEL}" y="{at}" width="{width:.1f}" height="{ROW - 6}"/>'
        f'<text x="{LABEL + width + 6:.1f}" y="{at + 14}">{_number(value)}</text>'
    )


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
