"""`course run`: one section or the complete service, under uvicorn."""

import gc
import importlib
import logging
import os
import socket

import uvicorn
from fastapi import FastAPI
from pydantic import ValidationError
from starlette.types import ASGIApp

from course.manifest import Rung, Section
from course.offline_docs import with_offline_docs
from course.places import CourseError, say
from course.ports import listen
from course.tryit import try_it

GRACE_SECONDS = 12  # full_app drains its streams for up to 10
ANYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - shown, not bound


def run(section: Section | Rung, host: str, port: int) -> int:
    """Serve until Ctrl-C; the exit status. Raises CourseError if it cannot start."""
    os.environ["FULL_APP_HOST"] = host  # full_app refuses strangers without keys
    with listen(host, port) as listener:
        config = uvicorn.Config(
            load(section),
            log_level="warning",
            proxy_headers=False,
            timeout_graceful_shutdown=GRACE_SECONDS,
        )
        logging.getLogger("uvicorn.access").setLevel(logging.INFO)
        try:
            _Announcing(config, section, host).run(sockets=[listener])
        except KeyboardInterrupt:
            say("\nStopped.")
    return 0


class _Announcing(uvicorn.Server):
    """uvicorn, which says where it is once it can be reached."""

    def __init__(
        self, config: uvicorn.Config, section: Section | Rung, host: str
    ) -> None:
        super().__init__(config)
        self._section = section
        self._host = ANYWHERE.get(host, host)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        for listener in sockets or []:
            name = f"[{self._host}]" if ":" in self._host else self._host
            address = f"http://{name}:{listener.getsockname()[1]}"
            say("\n".join(announcement(self._section, address)))


def announcement(section: Section | Rung, address: str) -> list[str]:
    """What the terminal shows once `section` is served at `address`."""
    lines = ["", f"{section.title}", f"  {address}/docs   try every route here"]
    if section.id == "full_app":
        lines.insert(2, f"  {address}/       what this is, live")
    doc = importlib.import_module(section.module).__doc__
    lines += [f"  {line}" for line in try_it(doc, address)]
    return [*lines, "Stop it with Ctrl-C.", ""]


def load(section: Section | Rung) -> ASGIApp:
    """The section's app, with documentation that needs no internet."""
    gc.disable()  # hundreds of modules, nothing to collect: a tenth less to wait
    try:
        app: FastAPI = importlib.import_module(section.module).app
    except ValidationError as error:
        reasons = "\n".join(
            "  " + ": ".join([*map(str, each["loc"]), each["msg"]])
            for each in error.errors(include_input=False)
        )
        raise CourseError(f"The settings do not fit together:\n{reasons}") from error
    finally:
        gc.enable()
    return app if section.id == "full_app" else with_offline_docs(app)
