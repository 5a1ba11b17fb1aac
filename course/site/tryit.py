"""The try-it tabs of a section, with outputs that a running server has just sent."""

from course import manifest
from course.places import ROOT
from course.site import live, source
from course.site.commands import Command, commands, powershell, python

MAX_LINES = 40


def tabs(section: str) -> str:
    """One block a `curl` line of the section's docstring: three languages, output."""
    chosen = manifest.find(section)
    path = ROOT / (chosen.module.replace(".", "/") + ".py")
    listed = commands(source.docstring(path))
    with live.served(chosen.module) as client:
        return "\n\n".join(block(one, live.output(client, one)) for one in listed)


def block(command: Command, output: str) -> str:
    """The tabs of one command, and below them what it printed."""
    lines = output.splitlines()
    if len(lines) > MAX_LINES:
        lines = [*lines[:MAX_LINES], f"… {len(lines) - MAX_LINES} more lines"]
    parts = [
        f"### `{command.method} {command.path}`",
        _tab("bash", "bash", command.shown),
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
