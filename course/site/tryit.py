"""Try-it tabs in three languages, with outputs that a running server has just sent.

`{{ try_it s2 }}` sends the lines of a section's docstring. A fence of the kind
`try s2`, `try s2.1` or `try full_app` has `curl` lines of its own, which are sent in
order to one server of that section or step. In a fence

- a line that begins with `# ` is the heading of the command that follows it;
- any other text is a paragraph before the command that follows it;
- `until: TEXT` repeats the command that follows it until its answer contains TEXT;
- `LAST_ID` stands for the `id` of the answer before.
"""

import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass

import httpx2

from course import manifest, source
from course.places import ROOT, CourseError
from course.site import live
from course.tryit import Request, bash, joined, parse, powershell, python, requests

MAX_LINES = 40
FEW_MORE = 5  # lines: a note about them would take as much room
LAST_ID = "LAST_ID"
UNTIL = "until:"
UNTIL_SECONDS = 20.0


@dataclass(frozen=True)
class Step:
    """One command of a fence: its heading, its paragraph, its `curl` line.

    `heading`, `text` and `until` may be empty.
    """

    heading: str
    text: str
    until: str
    line: str


def tabs(section: str) -> str:
    """One block a `curl` line of the section's docstring: three languages, output."""
    chosen = manifest.find(section)
    path = ROOT / (chosen.module.replace(".", "/") + ".py")
    with live.served(chosen.module) as client:
        return "\n\n".join(
            block(f"`{one.method} {one.path}`", one, live.output(client, one))
            for one in requests(source.docstring(path))
        )


def fence(name: str, text: str) -> str:
    """The blocks of a `try` fence for the section or step `name`."""
    listed = steps(text)
    with live.served(manifest.find_app(name).module) as client:
        return "\n\n".join(_sent(client, listed))


def steps(text: str) -> list[Step]:
    """A fence taken apart.

    Raises CourseError for a fence without commands, and for a heading or a text that
    no command follows.
    """
    found: list[Step] = []
    heading = until = ""
    paragraph: list[str] = []
    for line in joined(text).splitlines():
        if line.startswith("curl "):
            found.append(Step(heading, " ".join(paragraph), until, line))
            heading = until = ""
            paragraph = []
        elif line.startswith("# "):
            if heading:
                raise CourseError(f"no command follows {heading!r}.")
            heading = line.removeprefix("# ").strip()
        elif line.startswith(UNTIL):
            until = line.removeprefix(UNTIL).strip()
        else:
            paragraph += line.split()
    if heading or until or paragraph:
        raise CourseError(f"no command follows {heading or until or paragraph[0]!r}.")
    if not found:
        raise CourseError("a `try` fence has no command.")
    return found


def _sent(client: httpx2.Client, listed: list[Step]) -> Iterator[str]:
    last_id = ""
    for step in listed:
        request = parse(step.line.replace(LAST_ID, last_id))
        shown = _output(client, request, step.until)
        named = re.search(r'"id": ?("[^"]+")', shown)
        last_id = json.loads(named[1]) if named else last_id
        yield block(step.heading, request, shown, step.text)


def _output(client: httpx2.Client, request: Request, until: str) -> str:
    """What the command printed; repeated until `until` is in it. Raises CourseError."""
    deadline = time.monotonic() + UNTIL_SECONDS
    while until not in (shown := live.output(client, request)):
        if time.monotonic() > deadline:
            raise CourseError(f"{until!r} did not appear in:\n{shown}")
        time.sleep(0.05)
    return shown


def block(heading: str, request: Request, output: str, text: str = "") -> str:
    """The tabs of one command, and below them what it printed."""
    lines = output.splitlines()
    if len(lines) > MAX_LINES + FEW_MORE:
        lines = [*lines[:MAX_LINES], f"… {len(lines) - MAX_LINES} more lines"]
    parts = [
        *([f"### {heading}"] if heading else []),
        *([text] if text else []),
        _tab("bash", "bash", bash(request)),
        _tab("PowerShell", "powershell", powershell(request)),
        _tab("Python", "python", python(request)),
        _output_fence("\n".join(lines)),
    ]
    return "\n\n".join(parts)


def _tab(label: str, language: str, text: str) -> str:
    fenced = _fenced(language, text).replace("\n", "\n    ")
    return f'=== "{label}"\n\n    {fenced}'


def _output_fence(text: str) -> str:
    """What came back, in the colours of its format; long lines wrap.

    Server-sent events have no colours of their own, and are read as YAML: a name, a
    colon, and mostly JSON.
    """
    language = "text"
    if text.startswith("HTTP/"):
        language = "http"
    elif text.startswith(("{", "[", '"')):
        language = "json"
    elif text.startswith(("id: ", "event: ", "data: ")):
        language = "yaml"
    title = "what came back"
    if f"data: {{{live.SAME}, " in text:
        title += f" ({live.SAME} stands for what the event before had as well)"
    return f'````{{ .{language} .output title="{title}" }}\n{text}\n````'


def _fenced(language: str, text: str, rest: str = "") -> str:
    return f"````{language}{rest}\n{text}\n````"
