"""The playground: a page on which a section's module runs in the reader's browser.

`page` fills the page; `build` puts Python for the browser beside it. Without that the
page says why, and the rest of the site is as always.
"""

import ast
import html
import json
import shutil
from pathlib import Path

from course.manifest import Section, sections
from course.places import ROOT, CourseError, say
from course.site import playground_assets
from course.tryit import Request, requests

NOTES = {
    "s1": (
        "A tab has no threads: the thread pool makes one call after the other, and a "
        "sleep that would block a server lets other requests run. WebSockets need one."
    ),
    "s3": "The webhook is delivered within the tab: httpx2 has no sockets here.",
}
LEFT_OUT = {
    "s4": "it needs a connection to Redis, and a browser opens none",
    "full_app": "it needs Redis or its Lua engine, a job queue and background threads",
}
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
    told = json.dumps([_lesson(it) for it in sections() if it.id not in LEFT_OUT])
    told = told.replace("<", "\\u003c")
    return markup.replace("{imports}", _import_map()).replace("{lessons}", told).strip()


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


def _lesson(section: Section) -> dict[str, object]:
    source = (ROOT / "examples" / f"{section.stem}.py").read_text(encoding="utf-8")
    asked = requests(ast.get_docstring(ast.parse(source), clean=False) or "")
    if not asked:
        raise CourseError(f"{section.stem} has no try-it lines for the playground.")
    return {
        "id": section.id,
        "stem": section.stem,
        "title": section.title,
        "source": source,
        "note": NOTES.get(section.id, ""),
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
