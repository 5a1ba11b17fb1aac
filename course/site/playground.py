"""The playground: a page on which a section's module runs in the reader's browser.

`page` fills the page; `build` puts Python for the browser beside it. Without that the
page says why, and the rest of the site is as always.
"""

import ast
import html
import json
import shutil
from pathlib import Path

from course.manifest import Rung, Section, sections
from course.places import ROOT, CourseError, say
from course.site import playground_assets
from course.source import parse
from course.tryit import Request, requests

NOTES = {
    "s1": (
        "A tab has no threads: the thread pool makes one call after the other, and a "
        "sleep that would block a server lets other requests run. WebSockets need one."
    ),
    "s1.3": "A tab has no threads: here a sleep blocks nobody else.",
    "s3": "The webhook is delivered within the tab: httpx2 has no sockets here.",
}
LEFT_OUT = {
    "s4": "it needs a connection to Redis, and a browser opens none, so only its steps "
    "without Redis are there",
    "full_app": "it needs Redis or its Lua engine, a job queue and background threads",
}
ABSENT = {"fakeredis", "pydantic_settings", "redis"}  # packages the page does not load
HEADERS_OF_OURS = {"Content-Type"}


def page(_: str) -> str:
    """The playground's markup, with every lesson in it."""
    try:
        playground_assets.fetched()
    except playground_assets.MissingAssetsError as error:
        return (
            '!!! info "Not in this build"\n'
            f"    Python for the browser is missing: {html.escape(str(error))}. "
            "With npm and a package index, `python3 -m course docs` fetches it once; "
            "until then `python3 -m course run s2` serves a section on this machine."
        )
    markup = (ROOT / "course" / "site" / "playground.html").read_text(encoding="utf-8")
    listed = json.dumps(lessons()).replace("<", "\\u003c")
    return (
        markup.replace("{imports}", _import_map()).replace("{lessons}", listed).strip()
    )


def left_out(_: str) -> str:
    """What does not run in a browser, and why."""
    named = {section.id: section.title for section in sections()}
    return "\n".join(f"- **{named[key]}**: {why}." for key, why in LEFT_OUT.items())


def build(target: Path) -> None:
    """Put Python for the browser into the folder of the page's scripts."""
    try:
        folder = playground_assets.fetched()
    except playground_assets.MissingAssetsError as error:
        say(f"The playground is left out: {error}")
        return
    for name in ("pyodide", "editor", "wheels"):
        shutil.copytree(folder / name, target / name, dirs_exist_ok=True)
    found = json.dumps(playground_assets.manifest_of(folder), indent=1)
    (target / "assets.json").write_text(found + "\n", encoding="utf-8")


def _import_map() -> str:
    found = playground_assets.imports().items()
    files = {name: f"../assets/playground/{file}" for name, file in found}
    return json.dumps({"imports": files})


def lessons() -> list[dict[str, object]]:
    """What can be chosen: for each section the steps that run here, then its module."""
    found = []
    for section in sections():
        for rung in section.rungs():
            lesson = _lesson(rung, f"{rung.id}: {rung.title}", NOTES.get(rung.id, ""))
            if not _needs(str(lesson["source"])) & ABSENT and lesson["requests"]:
                found.append(lesson)
        if section.id not in LEFT_OUT:
            title = f"{section.id}: {section.title}"
            lesson = _lesson(section, title, NOTES.get(section.id, ""))
            if not lesson["requests"]:
                raise CourseError(f"{section.stem} has no try-it lines.")
            found.append(lesson)
    return found


def _needs(source: str) -> set[str]:
    """The packages that a module imports."""
    names: set[str] = set()
    for node in ast.walk(parse(source)):
        if isinstance(node, ast.Import):
            names.update(alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.partition(".")[0])
    return names


def _lesson(app: Section | Rung, title: str, note: str) -> dict[str, object]:
    path = ROOT / f"{app.module.replace('.', '/')}.py"
    source = path.read_text(encoding="utf-8")
    asked = requests(ast.get_docstring(parse(source), clean=False) or "")
    return {
        "id": app.id,
        "stem": app.stem,
        "title": title,
        "source": source,
        "note": note,
        "requests": [_request(request) for request in asked],
    }


def _request(request: Request) -> dict[str, object]:
    shown = f"{request.method} {request.path}"
    return {
        "shown": f"{shown} {request.body or ''}".strip()[:90],
        "method": request.method,
        "path": request.path,
        "headers": request.headers,
        "body": request.body,
    }
