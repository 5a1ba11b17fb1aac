"""The score as a small picture for a README, in the course's colours."""

import html

from course import tokens
from course.score.results import Report

LABEL = "wire score"
LETTER = 7  # pixels, about, at a font size of 11
PADDING = 8
HEIGHT = 22
GOOD_SHARE = 0.9


def svg(report: Report) -> str:
    """An SVG of one line: what it is, and how many checks held of those asked."""
    figure = f"{report.held} of {len(report.asked)}"
    share = report.held / max(1, len(report.asked))
    colours = tokens.light()
    if report.is_full:
        ground = colours["good"]
    else:
        ground = colours["warn"] if share >= GOOD_SHARE else colours["warm"]
    left = len(LABEL) * LETTER + 2 * PADDING
    right = len(figure) * LETTER + 2 * PADDING
    words = html.escape(f"{LABEL}: {figure}")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + right}" '
        f'height="{HEIGHT}" role="img" aria-label="{words}">'
        f"<title>{words}</title>"
        f'<rect width="{left + right}" height="{HEIGHT}" rx="4" '
        f'fill="{colours["ink"]}"/>'
        f'<path d="M{left} 0h{right - 4}a4 4 0 0 1 4 4v{HEIGHT - 8}'
        f'a4 4 0 0 1 -4 4h-{right - 4}z" fill="{ground}"/>'
        f'<g fill="{colours["paper"]}" font-family="{html.escape(colours["text"])}" '
        'font-size="11" text-anchor="middle">'
        f'<text x="{left / 2}" y="15">{LABEL}</text>'
        f'<text x="{left + right / 2}" y="15">{figure}</text>'
        "</g></svg>\n"
    )
