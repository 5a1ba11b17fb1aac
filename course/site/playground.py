"""The playground: a page on which a section's module runs in the reader's browser.

`page` fills the page; `build` puts Python for the browser beside it. Without that the
page says why, and the rest of the site is as always.
"""

import ast
import html
import json
import re
import shutil
from pathlib import Path

from markdown_it import MarkdownIt

from course.exercises import source as exercises
from course.exercises.source import Exercise
from course.manifest import Rung, Section, find_app, sections
from course.offline_docs import RECORDED_ANSWERS
from course.places import ROOT, CourseError, say
from course.site import playground_assets
from course.source import parse
from course.tryit import Request, requests

NOTES = {
    "s1": (
        "A tab has no threads; here a plain def route is called on the event loop. A "
        "sleep in it lets others run where the browser can suspend Python, as Chrome "
        "can. In an async def route a sleep blocks everybody, as on a server. A "
        "WebSocket needs a server."
    ),
    "s1.3": (
        "A tab has no threads. A sleep in a plain def route lets others run where the "
        "browser can suspend Python, as Chrome can; in an async def route it blocks "
        "everybody, as on a server."
    ),
    "s3": "The webhook is delivered within the tab: httpx2 has no sockets here.",
    "s4": (
        "The embedded Redis runs in this tab, but no Lua: the limiter's script fails, "
        "and the limiter lets every request pass, as it does when Redis is away."
    ),
}
LEFT_OUT = {
    "s4.4": "its script needs Lua, which does not run in a browser",
    "full_app": "it needs Lua, a job queue and background threads",
}
_ROUTE = re.compile(r'@app\.(get|post)\("([^"]+)"')
# A thread is played by suspending Python, which not every browser can do (JSPI).
SUSPENDING = {"s1b"}


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
    lines = []
    for key, why in LEFT_OUT.items():
        lines.append(f"- **{find_app(key).title}**: {why}.")
    for one in exercises.exercises():
        if one.short in SUSPENDING:
            why = "it is here only where the browser can suspend Python, as Chrome can"
            lines.append(f"- the exercise **{one.title}**: {why}.")
    return "\n".join(lines)


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
    """What can be chosen: of each section its steps, its module and its exercises."""
    found = []
    for section in sections():
        for rung in section.rungs():
            lesson = _lesson(rung, f"{rung.id}: {rung.title}", NOTES.get(rung.id, ""))
            if rung.id not in LEFT_OUT and lesson["requests"]:
                found.append(lesson)
        if section.id in LEFT_OUT:
            continue
        title = f"{section.id}: {section.title}"
        lesson = _lesson(section, title, NOTES.get(section.id, ""))
        if not lesson["requests"]:
            raise CourseError(f"{section.stem} has no try-it lines.")
        found.append(lesson)
        for exercise in exercises.exercises():
            if exercise.section == section.id:
                found.append(_task(exercise))
    return found


def _task(exercise: Exercise) -> dict[str, object]:
    """An exercise as a lesson: the starter to change, and what checks it."""
    route = _ROUTE.search(exercise.solution)
    asked = []
    if route:
        body = "{}" if route[1] == "post" else None
        headers = {"Content-Type": "application/json"} if body else {}
        made = Request("", route[1].upper(), route[2], headers, body)
        asked = [_request(made)]
    return {
        "id": exercise.short,
        "stem": "answer",
        "title": f"{exercise.short}: {exercise.title} (exercise)",
        "source": exercise.starter,
        "note": "",
        "requests": asked,
        "task": {
            "id": exercise.id,
            "text": MarkdownIt().render(exercise.task),
            "minutes": exercise.minutes,
            "suspends": exercise.short in SUSPENDING,
            "hints": [MarkdownIt().renderInline(hint) for hint in exercise.hints],
            "solution": exercise.solution,
            "names": exercise.names,
            "checks": exercise.checks,
            "mistakes": [
                {"check": it.check, "source": it.source, "words": it.words}
                for it in exercise.mistakes
            ],
        },
    }


def _lesson(app: Section | Rung, title: str, note: str) -> dict[str, object]:
    path = ROOT / f"{app.module.replace('.', '/')}.py"
    source = path.read_text(encoding="utf-8")
    asked = requests(ast.get_docstring(parse(source), clean=False) or "")
    recorded = json.loads(RECORDED_ANSWERS.read_text(encoding="utf-8"))
    return {
        "id": app.id,
        "stem": app.stem,
        "title": title,
        "source": source,
        "answers": recorded.get(app.module, {}),
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
