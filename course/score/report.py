"""A report for a terminal: a line for each check, the evidence, and the score."""

from collections import Counter

from course.places import GREEN, RED, YELLOW, coloured
from course.score.results import Report, Result

MARKS = {
    "held": ("ok  ", GREEN),
    "failed": ("FAIL", RED),
    "not offered": ("none", YELLOW),
}
INDENT = " " * 6


def lines(report: Report) -> list[str]:
    """The whole report; what was not asked is counted at the end, by its reason."""
    shown = [f"{report.url} with the model {report.model}"]
    for group, results in report.groups().items():
        asked = [it for it in results if it.outcome != "not asked"]
        if not asked:
            continue
        held = sum(it.outcome == "held" for it in asked)
        shown += ["", f"{group}: {held} of {len(asked)}"]
        for it in asked:
            shown += _lines_of(it)
    shown += ["", score(report)]
    left_out = Counter(
        it.evidence for it in report.results if it.outcome == "not asked"
    )
    shown += [f"Not asked: {times} ({reason})" for reason, times in left_out.items()]
    return shown


def score(report: Report) -> str:
    """The score in one line, in a colour on a terminal."""
    text = f"Score: {report.held} of {len(report.asked)}"
    missing = sum(it.outcome == "not offered" for it in report.results)
    if missing:
        text += f" ({missing} not offered)"
    return coloured(text, GREEN if report.is_full else RED)


def _lines_of(result: Result) -> list[str]:
    mark, colour = MARKS[result.outcome]
    first = f"{coloured(mark, colour)}  {result.title}"
    return [first, f"{INDENT}{result.evidence}"] if result.evidence else [first]
