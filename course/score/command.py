"""`course score URL`: ask, show, write the files that are wanted, give the status."""

import asyncio
import sys
from dataclasses import dataclass, field
from pathlib import Path

from course.places import UsageError, say, show_progress
from course.score import badge, report, run, server
from course.score.results import Report

PATIENCE_SECONDS = 20.0  # for one answer
STDOUT = "-"


@dataclass(frozen=True)
class Options:
    """What was typed. `json` is a path, or "-" for the standard output."""

    url: str
    key: str | None = None
    model: str | None = None
    spend: bool = False
    headers: list[str] = field(default_factory=list)
    json: str | None = None
    badge: Path | None = None


def score(options: Options) -> int:
    """Judge a server: 0 if all that was asked held, else 1.

    Raises UsageError (status 2) for a server that cannot be asked.
    """
    judged = asyncio.run(_judge(options))
    if options.badge:
        options.badge.write_text(badge.svg(judged), encoding="utf-8")
    if options.json == STDOUT:
        sys.stdout.write(run.written(judged))
    else:
        say("\n".join(report.lines(judged)))
    if options.json and options.json != STDOUT:
        Path(options.json).write_text(run.written(judged), encoding="utf-8")
    return 0 if judged.is_full else 1


async def _judge(options: Options) -> Report:
    url = server.base_url(options.url)
    headers = dict(map(header, options.headers))
    key = one_line(options.key, "--key") if options.key else None
    async with server.connected(
        url, key=key, headers=headers, patience=PATIENCE_SECONDS
    ) as judged:
        judged.model = await run.choose_model(judged, options.model)
        quiet = options.json == STDOUT
        return await run.run(
            judged, spend=options.spend, progress=_nothing if quiet else _progress
        )


def header(text: str) -> tuple[str, str]:
    """Name and value of `Name: value`. Raises UsageError for anything else."""
    name, colon, value = one_line(text, "--header").partition(":")
    if not colon or not name.strip() or " " in name.strip():
        raise UsageError(f"--header wants 'Name: value', and not {text!r}.")
    return name.strip(), value.strip()


def one_line(text: str, option: str) -> str:
    """A text that can be sent in a header. Raises UsageError for one that cannot."""
    if not text.isascii() or not text.isprintable():
        raise UsageError(f"The value of {option} has letters that no header may have.")
    return text


def _progress(done: int, total: int) -> None:
    show_progress(done, total, "checks")


def _nothing(done: int, total: int) -> None:
    """Print nothing: the standard output is for JSON."""
