"""`course docs`: generate the pages, let MkDocs build them, serve them on loopback."""

import functools
import subprocess
import sys
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

from course import manifest
from course.places import ROOT, CourseError, say
from course.ports import listen
from course.site import decks, head, pages, playground, preview

SITE = ROOT / "build" / "site"
LOCK = ROOT / "build" / "pages.lock"
QUESTIONS = ROOT / "course" / "site" / "search.js"
HOST = "127.0.0.1"
NOT_FOUND = "<h1>404 - Not found</h1>"
WORDS_FOR_START = "Start: what there is, and how to begin"
LOST = (
    "<p>The address may be misspelt, or the page has another name by now. "
    "The search at the top finds words on every page. Or go on here:</p>"
)


def build(target: Path) -> None:
    """Write the whole site to `target`. Raises CourseError where a page is wrong."""
    import filelock  # of group docs: what only serves a site does without

    address = preview.site_url()
    LOCK.parent.mkdir(exist_ok=True)
    with filelock.FileLock(LOCK):  # two builds write their pages to the same place
        pages.write()
        _mkdocs(target)
    understand_questions(target)
    help_who_is_lost(target / "404.html", urlsplit(address).path or "/")
    decks.build(target / "slides")
    if address:
        preview.draw(target / preview.PLACE)
    head.introduce(target, address, preview.PLACE)
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


def understand_questions(target: Path) -> None:
    """Let the site's search find what is asked in a whole sentence (search.js).

    Raises CourseError if the theme's search is not where it is known to be.
    """
    workers = list(target.glob("assets/javascripts/workers/search.*.min.js"))
    if len(workers) != 1:
        raise CourseError("The theme's search is not where it was: see search.js.")
    ours = QUESTIONS.read_text(encoding="utf-8")
    theirs = workers[0].read_text(encoding="utf-8")
    workers[0].write_text(f"{ours}{theirs}", encoding="utf-8")


def help_who_is_lost(page: Path, top: str = "/") -> None:
    """Write into the theme's page for 404 where one may have wanted to go.

    `top` is the path at which the site begins: that page is shown at any path.
    Raises CourseError if the theme's page has another heading than is known here.
    """
    text = page.read_text(encoding="utf-8")
    if NOT_FOUND not in text:
        raise CourseError(f"{page.name} of the theme has no heading {NOT_FOUND!r}.")
    links = [f'<li><a href="{top}">{WORDS_FOR_START}</a></li>']
    for section in manifest.sections():
        place = f"sections/{section.stem}"
        if section.id == "full_app":
            place = "full-app"
        links.append(f'<li><a href="{top}{place}/">{section.title}</a></li>')
    helpful = f"<h1>There is no such page</h1>\n{LOST}\n<ul>{''.join(links)}</ul>"
    page.write_text(text.replace(NOT_FOUND, helpful), encoding="utf-8")


class Quiet(SimpleHTTPRequestHandler):
    """Static files, without a line for each."""

    extensions_map = SimpleHTTPRequestHandler.extensions_map | {
        ".js": "text/javascript",
        ".mjs": "text/javascript",
        ".wasm": "application/wasm",
    }

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name
        """Say nothing."""

    def send_error(
        self, code: int, message: str | None = None, explain: str | None = None
    ) -> None:
        """The site's own page for what is not there."""
        page = Path(self.directory) / "404.html"
        if code != HTTPStatus.NOT_FOUND or not page.is_file():
            super().send_error(code, message, explain)
            return
        body = page.read_bytes()
        self.send_response(code)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


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
    say("Building the site: about a minute")
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
