"""The part of the playground that is Python: runs a module and sends its app requests.

It stands where uvicorn stands elsewhere. `Tab.load` executes the source once and enters
its lifespan, so that state survives between requests; `Tab.send` is one request over
ASGI, told as it happens; `Tab.cancel` is a client that leaves.
"""

import asyncio
import contextlib
import contextvars
import inspect
import json
import linecache
import sys
import time
import traceback
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import anyio.to_thread

from examples.full_app.routes.recorded_answers import document_answers

Tell = Callable[[str, str], None]
GRACE_SECONDS = 1.0  # for an app to see that its client has left


COURSE = Path("/course")  # where the page has put the modules that checks import
_in_thread = contextvars.ContextVar("_in_thread", default=False)
_pause = time.sleep  # of Pyodide: others run meanwhile, if the browser can do that


async def _inline(function: Any, *args: Any, **_: Any) -> Any:
    """Stands in for a worker thread: a browser tab starts none."""
    token = _in_thread.set(True)
    try:
        return function(*args)
    finally:
        _in_thread.reset(token)


async def _to_thread(function: Any, *args: Any, **named: Any) -> Any:
    return await _inline(lambda: function(*args, **named))


def _sleep(seconds: float) -> None:
    """`time.sleep` as on a server: it blocks everybody, unless a thread calls it."""
    if _in_thread.get():
        _pause(seconds)
        return
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass


anyio.to_thread.run_sync = _inline
asyncio.to_thread = _to_thread
time.sleep = _sleep


def _no_server(*_: Any, **__: Any) -> None:
    raise RuntimeError("A browser tab has no sockets to serve on.")


def _without_sockets() -> None:
    """What section modules use sockets for ends in this tab instead.

    Nothing is served, and whatever httpx2 is asked to send goes to the module's app.
    """
    sys.modules["uvicorn"] = types.ModuleType("uvicorn")
    sys.modules["uvicorn"].__dict__["run"] = _no_server
    import httpx2

    async def to_this_app(scope: Any, receive: Any, send: Any) -> None:
        await tab.app(scope, receive, send)

    transport = httpx2.ASGITransport(app=to_this_app)
    sys.modules["httpx2._client"].__dict__["AsyncHTTPTransport"] = lambda **_: transport


class Tab:
    """One module at a time, and the requests that run in it."""

    def __init__(self) -> None:
        self.app: Any = None
        self.file = ""
        self.state: dict[str, Any] = {}
        self.lifespan: Any = None
        self.running: dict[int, tuple[asyncio.Task[None], asyncio.Event]] = {}

    async def load(self, name: str, source: str, answers: str = "{}") -> str:
        """Execute `source` as module `name`; "", or as JSON what is wrong and where.

        `answers`, as JSON, are recorded ones: examples for its OpenAPI document.
        """
        await self.unload()
        self.file = f"{name}.py"
        linecache.cache[self.file] = (
            len(source),
            None,
            source.splitlines(keepends=True),
            self.file,
        )
        module = types.ModuleType(name)
        sys.modules[name] = module
        try:
            exec(compile(source, self.file, "exec"), module.__dict__)  # noqa: S102
            self.app = module.__dict__["app"]
            document_answers(self.app, json.loads(answers))
            self.lifespan = self.app.router.lifespan_context(self.app)
            self.state = dict(await self.lifespan.__aenter__() or {})
        except KeyError:
            return json.dumps({"line": 0, "text": "The module has no `app`."})
        except Exception as error:
            return json.dumps(self.fault(error))
        return ""

    async def unload(self) -> None:
        """Cancel what runs and leave the lifespan."""
        for number in list(self.running):
            await self.cancel(number)
        lifespan, self.lifespan, self.app = self.lifespan, None, None
        if lifespan is not None:
            with contextlib.suppress(Exception):
                await lifespan.__aexit__(None, None, None)

    def fault(self, error: BaseException) -> dict[str, Any]:
        """The message of an error, and the line of the module where it came from."""
        line = 0
        if isinstance(error, SyntaxError) and error.filename == self.file:
            line = error.lineno or 0
        for frame in traceback.extract_tb(error.__traceback__):
            if frame.filename == self.file:
                line = frame.lineno or line
        last = "".join(traceback.format_exception_only(error)).strip()
        return {"line": line, "text": last, "trace": _own(error, self.file)}

    async def send(self, number: int, request: str, tell: Tell) -> None:
        """Send one request, as JSON; `tell(kind, text)` hears what comes back."""
        left = asyncio.Event()
        task = asyncio.ensure_future(self._send(json.loads(request), left, tell))
        self.running[number] = task, left
        try:
            await task
        except asyncio.CancelledError:
            tell("cancelled", "")
        except Exception as error:
            if left.is_set():  # whatever an app makes of a client that has left
                tell("cancelled", "")
            else:
                tell("error", json.dumps(self.fault(error)))
        else:
            tell("cancelled" if left.is_set() else "done", "")
        finally:
            self.running.pop(number, None)

    async def check(self, task: str, source: str, tell: Tell) -> None:
        """Run an exercise's checks on `source`; stop at the first that fails.

        `task` is JSON: id, names, checks, and mistakes as the exercise's file has them.
        `tell` hears `passed` for each check, then `solved` or `failed`, as JSON.
        """
        from course.exercises import words

        exercise = json.loads(task)
        expected = [types.SimpleNamespace(**it) for it in exercise["mistakes"]]
        answer = COURSE / "work" / f"{exercise['id']}.py"
        answer.parent.mkdir(exist_ok=True)
        answer.write_text(source, encoding="utf-8")
        module = types.ModuleType("answer")
        sys.modules["answer"] = module  # pydantic looks up annotations there

        def failed(name: str, error: BaseException) -> None:
            seen = words.in_words(error, answer, module)
            mistake = words.recognised(expected, name, source)
            said = (
                {"words": mistake.words, "seen": seen} if mistake else {"words": seen}
            )
            tell("failed", json.dumps({"check": name, **said}))

        checks: dict[str, Any] = {}
        exec(compile(exercise["checks"], "<checks>", "exec"), checks)  # noqa: S102
        try:
            exec(compile(source, str(answer), "exec"), module.__dict__)  # noqa: S102
        except BaseException as error:
            failed("", error)
            return
        for name in exercise["names"]:
            try:
                outcome = checks[name](module)
                if inspect.iscoroutine(outcome):
                    await outcome
            except BaseException as error:
                failed(name, error)
                return
            tell("passed", json.dumps({"check": name}))
        tell("solved", "{}")

    async def cancel(self, number: int) -> None:
        """Leave, as a client does that closes its connection."""
        if number in self.running:
            task, left = self.running[number]
            left.set()
            await asyncio.wait({task}, timeout=GRACE_SECONDS)
            task.cancel()

    async def _send(
        self, request: dict[str, Any], left: asyncio.Event, tell: Tell
    ) -> None:
        body = (request.get("body") or "").encode()
        sent, ended = False, asyncio.Event()

        async def receive() -> dict[str, Any]:
            nonlocal sent
            if not sent:
                sent = True
                return {"type": "http.request", "body": body, "more_body": False}
            waits = [asyncio.ensure_future(it.wait()) for it in (left, ended)]
            try:
                await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for wait in waits:
                    wait.cancel()
            return {"type": "http.disconnect"}

        async def send(message: dict[str, Any]) -> None:
            if left.is_set():
                raise OSError("The client has left.")
            if message["type"] == "http.response.start":
                tell("start", _head(message))
            elif message["type"] == "http.response.body":
                if piece := message.get("body"):
                    tell("chunk", piece.decode("utf-8", "replace"))
                if not message.get("more_body"):
                    ended.set()
            await asyncio.sleep(0)  # so that the page hears it now

        try:
            await self.app(self._scope(request, body), receive, send)
        except OSError:
            if not left.is_set():
                raise

    def _scope(self, request: dict[str, Any], body: bytes) -> dict[str, Any]:
        url = urlsplit(request["path"])
        headers = {"host": "this-tab", "accept": "*/*", **request.get("headers", {})}
        if body:
            headers["content-length"] = str(len(body))
        pairs = [(k.lower().encode(), v.encode()) for k, v in headers.items()]
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": "1.1",
            "method": request["method"],
            "scheme": "http",
            "path": unquote(url.path),
            "raw_path": url.path.encode(),
            "query_string": url.query.encode(),
            "root_path": "",
            "headers": pairs,
            "client": ("127.0.0.1", 1),
            "server": ("this-tab", 80),
            "state": dict(self.state),
        }


def _head(message: dict[str, Any]) -> str:
    headers = [[it.decode("latin-1") for it in pair] for pair in message["headers"]]
    return json.dumps({"status": message["status"], "headers": headers})


def _own(error: BaseException, file: str) -> str:
    """The traceback's lines of the reader's module."""
    frames = traceback.extract_tb(error.__traceback__)
    mine = [frame for frame in frames if frame.filename == file]
    return "".join(traceback.format_list(mine))


tab = Tab()
_without_sockets()
