"""One section, one step or the complete service, under uvicorn."""

import asyncio
import contextlib
import gc
import importlib
import logging
import os
import socket
import threading
from collections.abc import Callable
from importlib import metadata
from multiprocessing.connection import Connection

import uvicorn
from fastapi import FastAPI
from pydantic import ValidationError
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from course.exercises import room, source
from course.manifest import Rung, Section, find_app
from course.mistakes import explain, sentence
from course.offline_docs import introduce, show_recorded_answers, with_offline_docs
from course.places import CourseError, say
from course.ports import listen
from course.tryit import try_it

GRACE_SECONDS = 12  # for the streams of a section to end
DRAINED_GRACE_SECONDS = 1  # full_app has ended its streams before its server stops
RELOAD_GRACE_SECONDS = 1  # who saves a file waits for the new version
ANYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - shown, not bound
LIMITED = "examples.full_app.web.connection.protocol:FastProtocol"
CANCELLED = "Cancel "  # what uvicorn says of tasks that outlast the grace
BROKEN_OFF = "ASGI callable returned without completing"  # what it says of a cut stream
STOP = "Stop it with Ctrl-C."


class Server(uvicorn.Server):
    """uvicorn, which calls `reachable` once it can be reached."""

    def __init__(self, config: uvicorn.Config, reachable: Callable[[], None]) -> None:
        super().__init__(config)
        self._reachable = reachable

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        if self.started:
            self._reachable()


def run(app: Section | Rung, host: str, port: int) -> int:
    """Serve until Ctrl-C; the exit status. Raises CourseError if it cannot start."""
    os.environ["FULL_APP_HOST"] = host  # full_app refuses strangers without keys
    with listen(host, port) as listener:
        drains = app.id == "full_app"
        grace_seconds = DRAINED_GRACE_SECONDS if drains else GRACE_SECONDS
        config = configuration(load(app), grace_seconds, LIMITED if drains else "auto")
        address = address_of(listener, host)
        server = Server(config, lambda: say("\n".join(announcement(app, address))))
        try:
            server.run(sockets=[listener])
        except KeyboardInterrupt:
            say("\nStopped.")
    return 0


def work(
    name: str, host: str, listener: socket.socket, pipe: Connection, announced: bool
) -> None:
    """Serve until the other end of `pipe` is closed: one process of `course.reload`.

    `announced`: an earlier process has shown what to try, and one line is enough. Once
    this process can be reached it sends whether it has shown that. A file that cannot
    be imported is explained in the terminal, and to everybody who sends a request.
    """
    app = find_app(name)
    address = address_of(listener, host)
    try:
        asgi = load(app)
    except CourseError as error:
        whole = False
        asgi = explaining(str(error))
        mend = f"Mend the file and save it: it is then served at {address}"
        lines = ["", str(error), "", mend, STOP, ""]
    else:
        whole = not announced
        again = [f"Serving again at {address}"]
        lines = announcement(app, address) if whole else again

    def reachable() -> None:
        say("\n".join(lines))
        with contextlib.suppress(OSError):
            pipe.send(whole)

    http = LIMITED if app.id == "full_app" else "auto"
    server = Server(configuration(asgi, RELOAD_GRACE_SECONDS, http), reachable)

    def wait_for_the_end() -> None:
        with contextlib.suppress(EOFError, OSError):
            pipe.recv()
        server.should_exit = True

    threading.Thread(target=wait_for_the_end, daemon=True).start()
    with contextlib.suppress(KeyboardInterrupt):
        server.run(sockets=[listener])


def configuration(
    asgi: ASGIApp, grace_seconds: int, http: str = "auto"
) -> uvicorn.Config:
    """uvicorn's settings: a line for each request, and no trust in proxies.

    `http` names the protocol of connections. The complete service brings its own.
    """
    config = uvicorn.Config(
        asgi,
        http=http,
        log_level="warning",
        proxy_headers=False,
        timeout_graceful_shutdown=grace_seconds,
    )
    logging.getLogger("uvicorn.access").setLevel(logging.INFO)
    logging.getLogger("uvicorn.error").addFilter(is_no_farewell)
    if http == LIMITED:
        logging.getLogger("uvicorn.error").addFilter(is_no_cut_stream)
    return config


def is_no_farewell(record: logging.LogRecord) -> bool:
    """Whether a log line is not only about work that Ctrl-C has ended.

    uvicorn reports a job that was still running as an error, with a traceback. Who
    pressed Ctrl-C knows.
    """
    if record.getMessage().startswith(CANCELLED):
        return False
    error = record.exc_info[1] if record.exc_info else None
    return not isinstance(error, asyncio.CancelledError)


def is_no_cut_stream(record: logging.LogRecord) -> bool:
    """Whether a log line is not about a stream that full_app cuts on purpose.

    Half a stream must not look whole, so it ends without its last bytes. In code of a
    student the same line is a mistake, and is shown.
    """
    return not record.getMessage().startswith(BROKEN_OFF)


def address_of(listener: socket.socket, host: str) -> str:
    """The address to type into a browser on this machine."""
    name = ANYWHERE.get(host, host)
    shown = f"[{name}]" if ":" in name else name
    return f"http://{shown}:{listener.getsockname()[1]}"


def announcement(app: Section | Rung, address: str) -> list[str]:
    """What the terminal shows once `app` is served at `address`."""
    lines = ["", f"{app.title}", f"  {address}/docs   try every route here"]
    if app.id == "full_app":
        lines.insert(2, f"  {address}/       what this is, live")
    docstring = importlib.import_module(app.module).__doc__
    lines += [f"  {line}" for line in try_it(docstring, address)]
    if source.exercises():  # an installation may lack the folder
        lines += ["", f"Exercises. {room.next_words()}"]
    return [*lines, STOP, ""]


def explaining(text: str) -> ASGIApp:
    """An app that answers every request with `text`."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            response = PlainTextResponse(f"{text}\n", status_code=500)
            await response(scope, receive, send)

    return answer


def load(app: Section | Rung) -> ASGIApp:
    """The app of a section or step, with documentation that needs no internet.

    Raises CourseError for a file that cannot be imported: it says where and why.
    """
    gc.disable()  # hundreds of modules, nothing to collect: a tenth less to wait
    try:
        module = importlib.import_module(app.module)
    except Exception as error:
        raise reason(app, error) from error
    finally:
        gc.enable()
    asgi: object = getattr(module, "app", None)
    if not isinstance(asgi, FastAPI):
        raise CourseError(f"{module.__file__} has no FastAPI object called `app`.")
    if app.id == "full_app":
        return asgi
    introduce(asgi, module.__doc__)
    show_recorded_answers(asgi, app.module)
    return with_offline_docs(asgi, module.__doc__)


def reason(app: Section | Rung, error: Exception) -> Exception:
    """Why `app` could not be imported, as a CourseError, if a student can mend it."""
    if app.id == "full_app" and isinstance(error, ValidationError):
        reasons = "\n".join(
            "  " + ": ".join([*map(str, each["loc"]), each["msg"]])
            for each in error.errors(include_input=False)
        )
        return CourseError(f"The settings do not fit together:\n{reasons}")
    missing = error.name if isinstance(error, ModuleNotFoundError) else None
    if missing in metadata.packages_distributions():
        return error  # the set-up is incomplete, and not the student's file wrong
    file = f"{app.module.replace('.', '/')}.py"
    return CourseError(explain(error) or f"{file}:\n{sentence(error)}")
