"""What `course score` found on full_app and its peers, from `results/scores.json`."""

import html
import json
from collections import Counter
from typing import Any

from course.places import CourseError
from course.site.results import RESULTS

NAME = "scores.json"
NOT_ASKED = "not asked"
BY_ITSELF = "answers by itself"


def table(_: str = "") -> str:
    """One row for each server: its score, and what of it each group gives.

    Raises CourseError if no run is committed.
    """
    found = _found()
    groups = _groups(found)
    heads = ["server", "score", *(_short(name) for name in groups)]
    rows = [
        f"| {' | '.join(heads)} |",
        f"|---|{'--:|' * (len(groups) + 1)}",
    ]
    for server in found["servers"]:
        cells = [
            _named(server),
            f"{server['held']}/{server['asked']}",
            *(_held(server, checks) for checks in groups.values()),
        ]
        rows.append(f"| {' | '.join(cells)} |")
    dated = (
        f"Measured on {found['date']} by `python -m benchmarks.scores`, with version "
        f"{found['client']} of the official client."
    )
    left_out = [f"{name}: {why}." for name, why in found["skipped"].items()]
    return "\n".join([*rows, "", " ".join([dated, *left_out])])


def missing(_: str = "") -> str:
    """For each server what did not hold, with its line of evidence, to be unfolded."""
    found = _found()
    titles = {check["name"]: check["title"] for check in found["checks"]}
    parts = []
    for server in found["servers"]:
        lacking = {
            name: each
            for name, each in server["missing"].items()
            if each["outcome"] != NOT_ASKED
        }
        if not lacking:
            continue
        rows = ["| what does not hold | evidence |", "|---|---|"]
        for name, each in lacking.items():
            evidence = _code(each["evidence"])
            if each["outcome"] == "not offered":
                evidence = f"not offered: {evidence}"
            rows.append(f"| {titles[name]} | {evidence} |")
        body = "\n".join(f"    {row}" for row in rows)
        title = f"{server['name']}: {len(lacking)} of {server['asked']} do not hold"
        parts.append(f'??? note "{title}"\n\n{body}')
    return "\n\n".join(parts)


def checks(_: str = "") -> str:
    """Every check by its group: the sentence, and who wants it so."""
    parts = []
    for group, listed in _groups(_found()).items():
        rows = [f"| {each['title']} | {each['source']} |" for each in listed]
        head = (
            f"### {group.capitalize()}\n\n| what holds | who wants it so |\n|---|---|"
        )
        parts.append("\n".join([head, *rows]))
    return "\n\n".join(parts)


def _found() -> dict[str, Any]:
    path = RESULTS / NAME
    if not path.is_file():
        raise CourseError(f"{NAME} is missing: `python -m benchmarks.scores` makes it.")
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def _groups(found: dict[str, Any]) -> dict[str, list[dict[str, str]]]:
    """The checks by the group they are of, in their order."""
    groups: dict[str, list[dict[str, str]]] = {}
    for check in found["checks"]:
        groups.setdefault(check["group"], []).append(check)
    return groups


def _named(server: dict[str, Any]) -> str:
    """A server with its version, and whether it answered without another behind it."""
    product, comma, mode = str(server["name"]).partition(", ")
    name = f"{product} {server['version'] or ''}".strip() + comma + mode
    shown = f"**{name}**" if server["name"] == "full_app" else name
    return f"{shown}, by itself" if server["how"] == BY_ITSELF else shown


def _short(group: str) -> str:
    """The heading of a column: the first word of a group's name."""
    return group.partition(" ")[0]


def _held(server: dict[str, Any], checks: list[dict[str, str]]) -> str:
    """How many of the checks of a group held, of those that were asked: 5/6."""
    lacking = server["missing"]
    outcomes = Counter(
        lacking[each["name"]]["outcome"] if each["name"] in lacking else "held"
        for each in checks
    )
    return f"{outcomes['held']}/{len(checks) - outcomes[NOT_ASKED]}"


def _code(evidence: str) -> str:
    """A line of evidence in a cell of a table: a server may have sent any letter."""
    text = html.escape(evidence).replace("|", "&#124;")
    return f'<code class="evidence">{text}</code>'
