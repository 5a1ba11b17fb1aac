"""The page on the score: its output is today's, and its figures are those of a run."""

import json
from typing import Any

import pytest

from course.places import CourseError
from course.score import report, run, server
from course.score.groups import GROUPS
from course.site import results, scores
from tests.course.score.bad_servers import GOOD
from tests.servers import ROOT

PAGE = ROOT / "docs" / "full-app" / "score.md"
SHOWN = "http://127.0.0.1:8000/v1"
BROKEN = "half_an_error"


def found() -> dict[str, Any]:
    """The committed run."""
    path = results.RESULTS / scores.NAME
    value: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return value


async def printed(base: str, name: str) -> list[str]:
    """What the command prints about a server, as if it had the address on the page."""
    url = f"{base}/{name}/v1"
    async with server.connected(url, key=None, headers={}, patience=30) as it:
        it.model = await run.choose_model(it, None)
        lines = report.lines(await run.run(it))
    return [
        line.replace(url, SHOWN).replace(f"/{name}/v1/", "/v1/").rstrip()
        for line in lines
    ]


async def test_the_page_shows_what_the_command_prints(keyless: str) -> None:
    lines = "\n".join(await printed(keyless, GOOD))

    assert lines in PAGE.read_text(encoding="utf-8"), lines


async def test_the_page_shows_what_a_failure_looks_like(keyless: str) -> None:
    lines = await printed(keyless, BROKEN)
    at = next(n for n, line in enumerate(lines) if line.startswith("FAIL"))

    shown = "\n".join([lines[at - 1], *lines[at : at + 2]])
    assert shown in PAGE.read_text(encoding="utf-8"), shown


def test_the_committed_run_asked_todays_checks() -> None:
    ours = [
        {"group": group, "name": it.name, "title": it.title, "source": it.source}
        for group, checks in GROUPS.items()
        for it in checks
    ]

    assert found()["checks"] == ours


def test_the_committed_run_has_full_app_and_its_peers() -> None:
    rows = {(it["name"], it["how"]): it for it in found()["servers"]}
    names = {name for name, _ in rows}

    assert names >= {"full_app", "LiteLLM", "Portkey", "LitServe", "rolter"}
    assert found()["skipped"] == {}
    for (name, _), row in rows.items():
        outcomes = [it["outcome"] for it in row["missing"].values()]
        assert row["asked"] == len(found()["checks"]) - outcomes.count("not asked")
        assert row["held"] == len(found()["checks"]) - len(outcomes)
        assert name != "full_app" or (row["held"], row["asked"]) == (50, 50)


def test_the_table_says_what_the_run_found() -> None:
    text = scores.table()

    assert f"Measured on {found()['date']}" in text
    for row in found()["servers"]:
        by_itself = ", by itself" if row["how"] == "answers by itself" else ""
        # Its version stands before the mode: "a gateway 1.0, in this mode".
        words = [*row["name"].split(", "), row["version"]]
        lines = [it for it in text.splitlines() if all(word in it for word in words)]
        score = f"{by_itself} | {row['held']}/{row['asked']} |"
        assert any(score in line for line in lines)
    for title in (each["title"] for each in found()["checks"]):
        assert title in scores.checks()


def test_every_failure_of_the_run_has_its_evidence() -> None:
    text = scores.missing()

    assert "??? note" in text
    for row in found()["servers"]:
        for each in row["missing"].values():
            assert each["evidence"]
    assert all(line.strip().count(" | ") <= 1 for line in text.splitlines())


def test_without_a_run_the_page_says_what_makes_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(scores, "NAME", "nobody.json")
    with pytest.raises(CourseError, match=r"python -m benchmarks\.scores"):
        scores.table()
