"""Try-it tabs in three languages, with outputs that a running server has just sent.

A section's lines are those of its docstring. A page of the complete service writes its
own, in a fence of the kind `try`: a line that begins with `#` is a title, text below a
title is a paragraph, and `LAST_ID` stands for the id of the answer before.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

import httpx2

from course import manifest
from course.places import ROOT, CourseError
from course.site import live, source
from course.site.commands import Command, bash, commands, parse, powershell, python
from course.tryit import curl_lines

MAX_LINES = 40
LAST_ID = "LAST_ID"


@dataclass(frozen=True)
class Told:
    """One command of a page: its title, what is said about it, its `curl` line."""

    title: str
    text: str
    line: str


def tabs(section: str) -> str:
    """One block a `curl` line of the section's docstring: three languages, output."""
    chosen = manifest.find(section)
    path = ROOT / (chosen.module.replace(".", "/") + ".py")
    with live.served(chosen.module) as client:
        return "\n\n".join(
            block(f"`{one.method} {one.path}`", one, live.output(client, one))
            for one in commands(source.docstring(path))
        )


def told(section: str, text: str) -> str:
    """The blocks of a `try` fence, sent in order to one server."""
    listed = steps(text)
    with live.served(manifest.find(section).module) as client:
        return "\n\n".join(_sent(client, listed))


def steps(text: str) -> list[Told]:
    """A fence taken apart. Raises CourseError where a title has no command, or two."""
    found = []
    for part in re.split(r"^# ", text.strip(), flags=re.MULTILINE)[1:]:
        title, _, rest = part.partition("\n")
        words, _, _ = rest.partition("curl ")
        lines = curl_lines(rest)
        if len(lines) != 1:
            raise CourseError(f"{title!r} has {len(lines)} commands, not one.")
        found.append(Told(title, " ".join(words.split()), lines[0]))
    if not found:
        raise CourseError("a `try` fence has no titles.")
    return found


def _sent(client: httpx2.Client, listed: list[Told]) -> Iterator[str]:
    last = ""
    for it in listed:
        command = parse(it.line.replace(LAST_ID, last))
        shown = live.output(client, command)
        named = re.search(r'"id": ?("[^"]+")', shown)
        last = json.loads(named[1]) if named else last
        yield block(it.title, command, shown, it.text)


def block(title: str, command: Command, output: str, text: str = "") -> str:
    """The tabs of one command, and below them what it printed."""
    lines = output.splitlines()
    if len(lines) > MAX_LINES:
        lines = [*lines[:MAX_LINES], f"… {len(lines) - MAX_LINES} more lines"]
    parts = [
        f"### {title}",
        *([text] if text else []),
        _tab("bash", "bash", bash(command)),
        _tab("PowerShell", "powershell", powershell(command)),
        _tab("Python", "python", python(command)),
        _fenced("text", "\n".join(lines), ' title="what came back"'),
    ]
    return "\n\n".join(parts)


def _tab(label: str, language: str, text: str) -> str:
    fenced = _fenced(language, text).replace("\n", "\n    ")
    return f'=== "{label}"\n\n    {fenced}'


def _fenced(language: str, text: str, rest: str = "") -> str:
    return f"````{language}{rest}\n{text}\n````"
