"""The competitors: how each is started, one worker or one per core."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.places import ROOT

APPS = "benchmarks.apps"
EXPRESS = Path(__file__).parent / "apps" / "express"
START_SECONDS = 30


@dataclass(frozen=True)
class Server:
    """A framework's app. `async_`: how it waits for many calls at once."""

    name: str
    module: str
    async_: str

    def command(self, port: int, workers: int) -> list[str]:
        """The command line that serves it on `port` of this machine."""
        if self.name == "Express":
            return ["node", str(_express_folder() / "server.mjs")]
        app = f"{APPS}.{self.module}:app"
        if self.name == "Flask":
            options = ["--threads", "8", "--log-level", "warning", "-w", str(workers)]
            serve = ["gunicorn", "-b", f"127.0.0.1:{port}", *options]
        else:
            options = ["--no-access-log", "--log-level", "warning"]
            options += ["--workers", str(workers), "--lifespan", "off"]
            serve = ["uvicorn", "--port", str(port), *options]
        return [sys.executable, "-m", *serve, app]

    def missing(self) -> str | None:
        """Why it cannot run here; None if it can."""
        if self.name == "Flask" and os.name == "nt":
            return "gunicorn does not run on Windows"
        if self.name == "Express":
            return _express_missing()
        return None


SERVERS = (
    Server("raw ASGI", "raw_asgi", "no framework"),
    Server("FastAPI", "fastapi_app", "native"),
    Server("Flask", "flask_app", "threads"),
    Server("Django", "django_app", "async views"),
    Server("Express", "express", "native"),
)


def _express_folder() -> Path:
    return ROOT / ".tools" / "express"


def _express_missing() -> str | None:
    """Install Express where that is possible; else why not."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        return "Node.js is not installed"
    folder = _express_folder()
    if not (folder / "node_modules" / "express").is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("package.json", "package-lock.json", "server.mjs"):
            shutil.copy(EXPRESS / name, folder)
        npm = [str(shutil.which("npm")), "ci", "--silent", "--no-audit", "--no-fund"]
        done = subprocess.run(npm, cwd=folder, capture_output=True, check=False)  # noqa: S603 - our own command line
        if done.returncode != 0:
            return "npm could not install Express (is the network away?)"
    return None


@contextmanager
def serving(server: Server, workers: int = 1) -> Iterator[str]:
    """Run `server` on a free port; its base URL. Raises OSError without a start."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    env = {**os.environ, "PORT": str(port), "WORKERS": str(workers)}
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(  # noqa: S603 - our own command line
            server.command(port, workers), cwd=ROOT, env=env, stdout=log, stderr=log
        )
        try:
            _wait(process, f"http://127.0.0.1:{port}/json", server.name)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait(process: "subprocess.Popen[bytes]", url: str, name: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=2):  # noqa: S310 - loopback
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.05)
    raise OSError(f"{name} did not start")
