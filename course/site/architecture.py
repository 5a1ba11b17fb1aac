"""full_app's rooms, drawn from its folders and imports, and one request through them.

The layers are those of the contract in pyproject.toml, which `lint-imports` checks. The
trace is made while the page is built: a request is sent to the service in this process,
and every file that it passes is noted.
"""

import ast
import asyncio
import html
import json
import re
import sys
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import FrameType
from typing import Any

from fastapi import FastAPI

from course import source
from course.groups import pyproject
from course.places import ROOT, CourseError
from course.site import live

PACKAGE = "examples.full_app"
EXAMPLES = ROOT / "examples"
FOLDER = EXAMPLES / "full_app"
SECTION = re.compile(r"s[0-9]_\w+")
QUESTION = {
    "model": "offline-echo",
    "messages": [{"role": "user", "content": "Why async?"}],
}


@cache
def layers() -> list[list[str]]:
    """The rooms of full_app, layer by layer: each may import what is under it.

    A room is a folder, or a module that stands by itself. Raises CourseError when the
    contract and the folders differ.
    """
    contracts = pyproject()["tool"]["importlinter"]["contracts"]
    contract = next(it for it in contracts if it.get("exhaustive"))
    listed = [re.findall(r"\w+", layer) for layer in contract["layers"]]
    if {name for layer in listed for name in layer} != imported().keys():
        raise CourseError(
            "pyproject.toml lists other rooms than examples/full_app has."
        )
    return listed


@cache
def imported() -> dict[str, set[str]]:
    """Which rooms, and which sections of the course, each room imports."""
    rooms: dict[str, set[str]] = {}
    for path in sorted(FOLDER.rglob("*.py")):
        room = path.relative_to(FOLDER).parts[0].removesuffix(".py")
        if room != "__init__":
            rooms.setdefault(room, set()).update(_targets(path) - {room})
    return rooms


def _targets(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(source.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    ours = {it.removeprefix(f"{PACKAGE}.") for it in names if it.startswith(PACKAGE)}
    sections = {it.split(".")[1] for it in names if it.startswith("examples.s")}
    return {it.split(".")[0] for it in ours} | sections


def figure(_: str = "") -> str:
    """The map: a row for each layer; a room opens and says what it is and imports."""
    rows = [
        f'<div class="layer">{"".join(_room(name) for name in sorted(layer))}</div>'
        for layer in layers()
    ]
    sections = sorted({it for them in imported().values() for it in them} - _rooms())
    links = " ".join(f"<code>{html.escape(name)}</code>" for name in sections)
    rows.append(f'<div class="layer ground">{links}</div>')
    arrow = '<div class="below" aria-hidden="true">▼</div>'
    return f'<div class="rooms">{arrow.join(rows)}</div>'


def _rooms() -> set[str]:
    return set(imported())


def _room(name: str) -> str:
    folder = FOLDER / name
    if folder.is_dir():
        init = folder / "__init__.py"
        purpose = _first_sentence(source.docstring(init))
        files = sorted(
            path.relative_to(folder).with_suffix("").as_posix()
            for path in folder.rglob("*.py")
            if path.stem != "__init__"
        )
        inside = f"<p>Files: {_codes(files)}</p>"
        label = f"{name}/"
    else:
        purpose = _first_sentence(source.docstring(FOLDER / f"{name}.py"))
        inside = ""
        label = f"{name}.py"
    imports = _codes(sorted(imported()[name])) or "nothing of ours"
    users = _codes(sorted(it for it, them in imported().items() if name in them))
    return (
        f'<details name="room"><summary>{html.escape(label)}</summary>'
        f"<p>{html.escape(purpose)}</p>{inside}<p>Imports: {imports}</p>"
        f"<p>Imported by: {users or 'nothing'}</p></details>"
    )


def _codes(names: list[str]) -> str:
    return " ".join(f"<code>{html.escape(name)}</code>" for name in names)


def _first_sentence(text: str) -> str:
    paragraph = text.split("\n\n")[0].replace("\n", " ").strip()
    return re.split(r"(?<=[.:]) (?=[A-Z`])", paragraph)[0].removesuffix(":")


@dataclass(frozen=True)
class Step:
    """The first function that a request runs in a file: its place and its purpose."""

    path: str
    function: str
    purpose: str

    @property
    def room(self) -> str:
        """`chat` for full_app/chat/call.py, `s4_dependency_injection` for a section."""
        parts = self.path.removesuffix(".py").split("/")
        return parts[1] if parts[0] == "full_app" else parts[0]


def trace(_: str = "") -> str:
    """One row for each file that a chat request passes, in the order it comes there."""
    rows = ["| step | file and function | what happens there |", "|--:|---|---|"]
    for number, step in enumerate(steps(), 1):
        path = step.path.removeprefix("full_app/")
        purpose = step.purpose.replace("|", "\\|")
        rows.append(f"| {number} | `{path}`<br>`{step.function}` | {purpose} |")
    return "\n".join(rows)


@cache
def steps() -> list[Step]:
    """The files that one whole chat answer passes, each with its first function."""
    return [
        Step(path, function, _purpose(EXAMPLES / path, function))
        for path, function in asyncio.run(_passed())
    ]


async def _passed() -> list[tuple[str, str]]:
    from examples.full_app.main import create_app
    from examples.full_app.settings import Settings

    app = create_app(Settings.model_validate({"offline_pace": 0, "job_worker": False}))
    passed: dict[str, str] = {}

    def note(frame: FrameType, event: str, _: Any) -> None:
        path = Path(frame.f_code.co_filename)
        if event == "call" and path.is_relative_to(EXAMPLES):
            name = path.relative_to(EXAMPLES).as_posix()
            passed.setdefault(name, frame.f_code.co_qualname)

    with live.quiet():
        await _trace_one(app, note)
    return list(passed.items())


async def _trace_one(app: FastAPI, note: Callable[..., None]) -> None:
    """Ask once so that all is built, and again with `note` called at each call."""
    async with app.router.lifespan_context(app) as state:
        await _ask(app, dict(state or {}))  # what is made once is made now
        sys.setprofile(note)
        try:
            await _ask(app, dict(state or {}))
        finally:
            sys.setprofile(None)


async def _ask(
    app: Callable[..., Awaitable[None]], state: MutableMapping[str, Any]
) -> None:
    """Send the question as a server would; what is answered is not looked at."""
    body = json.dumps(QUESTION).encode("utf-8")
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": "/v1/chat/completions",
        "raw_path": b"/v1/chat/completions",
        "query_string": b"",
        "root_path": "",
        "headers": [(b"host", b"localhost"), (b"content-type", b"application/json")],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 8000),
        "state": state,
    }
    waiting = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> dict[str, Any]:
        if waiting:
            return waiting.pop()
        await asyncio.Event().wait()
        return {"type": "http.disconnect"}

    async def send(_: MutableMapping[str, Any]) -> None:
        """The answer goes nowhere."""

    await app(scope, receive, send)


def _purpose(path: Path, function: str) -> str:
    """The first sentence of the function's docstring, else of its class's or file's."""
    tree: ast.AST = source.parse(path.read_text(encoding="utf-8"))
    purpose = _docstring(tree)
    for part in function.split("."):
        inside = next((it for it in _definitions(tree) if it.name == part), None)
        if inside is None:
            break
        tree = inside
        purpose = _docstring(tree) or purpose
    return _first_sentence(purpose)


Definition = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def _definitions(tree: ast.AST) -> list[Definition]:
    body: list[ast.stmt] = getattr(tree, "body", [])
    return [it for it in body if isinstance(it, Definition)]


def _docstring(tree: ast.AST) -> str:
    if isinstance(tree, ast.Module | Definition):
        return ast.get_docstring(tree) or ""
    return ""
