"""`course docs`: generate the pages, let MkDocs build them, serve them on loopback."""

import functools
import subprocess
import sys
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from course.places import ROOT, CourseError, say
from course.ports import listen
from course.site import decks, pages, playground

SITE = ROOT / "build" / "site"
LOCK = ROOT / "build" / "pages.lock"
HOST = "127.0.0.1"


def build(target: Path) -> None:
    """Write the whole site to `target`. Raises CourseError where a page is wrong."""
    import filelock  # of group docs: what only serves a site does without

    LOCK.parent.mkdir(exist_ok=True)
    with filelock.FileLock(LOCK):  # two builds write their pages to the same place
        pages.write()
        _mkdocs(target)
    decks.build(target / "slides")
    playground.build(target / "assets" / "playground")


def _mkdocs(target: Path) -> None:
    words = ["mkdocs", "build", "--strict", "--quiet", "--site-dir", str(target)]
    command = [sys.executable, "-m", *words]
    # Material warns about the next major version, which the lock keeps out.
    done = subprocess.run(  # noqa: S603 - our own command line
        command, cwd=ROOT, capture_output=True, text=True, encoding="utf-8", check=False
    )
    if done.returncode:
        raise CourseError(f"The site was not built:\n{done.stderr[-4000:]}")


class Quiet(SimpleHTTPRequestHandler):
    """Static files, without a line for each."""

    extensions_map = SimpleHTTPRequestHandler.extensions_map | {
        ".js": "text/javascript",
        ".mjs": "text/javascript",
        ".wasm": "application/wasm",
    }

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name
        """Say nothing."""


def server(folder: Path, port: int) -> ThreadingHTTPServer:
    """A server of `folder` on loopback, on `port` or the next free one; not started."""
    handler = functools.partial(Quiet, directory=str(folder))
    made = ThreadingHTTPServer((HOST, 0), handler, bind_and_activate=False)
    made.socket.close()
    made.socket = listen(HOST, port)
    made.server_address = made.socket.getsockname()
    made.server_activate()
    return made


def docs(port: int, target: Path | None) -> int:
    """Build only, into `target`; or build and serve until Ctrl-C."""
    say("Building the site: half a minute at most")
    build((target or SITE).absolute())
    if target:
        say(f"The site is in {target}")
        return 0
    with server(SITE, port) as serving:
        say(f"The site is at http://{HOST}:{serving.server_address[1]}/")
        say("Stop it with Ctrl-C.")
        try:
            serving.serve_forever()
        except KeyboardInterrupt:
            say("Stopped.")
    return 0
