"""Which outputs a new run of a notebook changes; those alone are taken over."""

import difflib
from collections.abc import Iterator
from typing import Any

from course.notebook.files import Notebook, code_cells
from course.notebook.normal import Summary, summary


def merge(old: Notebook, new: Notebook) -> list[str]:
    """Put into `old` the outputs of `new` that say something else; what changed."""
    return list(_merge(old, new))


def _merge(old: Notebook, new: Notebook) -> Iterator[str]:
    pairs = zip(code_cells(old), code_cells(new), strict=True)
    for count, (before, after) in enumerate(pairs, 1):
        before["execution_count"] = count
        was, now = summary(before["outputs"]), summary(after["outputs"])
        if was != now:
            before["outputs"] = [_kept(output, count) for output in after["outputs"]]
            yield "\n".join([f"  cell {before['id']}", *_difference(was, now)])


def _difference(was: Summary, now: Summary) -> Iterator[str]:
    """The lines that went and came; an image that did by its kind."""
    before, after = (
        [line for kind, text in said for line in (f"{kind}:", *text.splitlines())]
        for said in (was, now)
    )
    lines = difflib.unified_diff(before, after, lineterm="", n=0)
    return (
        f"    {line}" for line in lines if not line.startswith(("---", "+++", "@@"))
    )


def _kept(output: dict[str, Any], count: int) -> dict[str, Any]:
    fresh = {**output}
    if fresh["output_type"] == "execute_result":
        fresh["execution_count"] = count
    for name in ("text", "data"):
        if name in fresh:
            fresh[name] = _lines(fresh[name])
    return fresh


def _lines(value: Any) -> Any:
    """Text as a list of lines, which is how a diff reads best; images stay whole."""
    if isinstance(value, dict):
        return {
            kind: text if kind.startswith("image/") else _lines(text)
            for kind, text in value.items()
        }
    return value.splitlines(keepends=True) if isinstance(value, str) else value
