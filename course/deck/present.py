"""`course present` and `course sync`: decks on loopback, and slides mended."""

import contextlib
import functools
import http.server
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

from course.deck import code
from course.deck import pdf as printing
from course.deck import recorded as answers
from course.deck.build import build, notebooks
from course.deck.source import SLIDES, decks
from course.manifest import sections
from course.parser import DEFAULT_PORT
from course.places import CourseError, say
from course.ports import listen

NAMES = {"opening": "s0_opening", "takeaways": "s7_takeaways"}


def find(wanted: str) -> str:
    """The stem that `wanted` means: s2, s2_models, 2, opening, takeaways."""
    stems = [path.stem for path in sorted(SLIDES.glob("s[0-9]_*.md"))]
    for stem in stems:
        if wanted in {stem, stem[:2], stem[1], stem[3:]} or NAMES.get(wanted) == stem:
            return stem
    raise CourseError(f"No deck is called {wanted!r}: there is {', '.join(stems)}.")


def present(wanted: str | None, port: int, *, recorded: bool = False) -> int:
    """Serve the decks on this machine until Ctrl-C; the exit status.

    `recorded`: another server answers the requests of the section's demonstration, on
    the port of the sections. Raises CourseError for a deck without recorded answers.
    """
    stem = find(wanted) if wanted else "s0_opening"
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        listener = stack.enter_context(listen("127.0.0.1", port))
        built = build(Path(folder))
        written = notebooks(Path(folder))
        if recorded:
            stack.enter_context(replaying(stem))
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        say(f"\n  {address}/{stem}/   present it: F full screen, S speaker window")
        say(f"  {address}/{stem}/handout.html   the handout")
        if f"{stem}/notebook.html" in written:
            say(f"  {address}/{stem}/notebook.html   its notebook as slides")
        say(f"  {address}/check.html   is the screen large enough?")
        others = ", ".join(deck.stem for deck in built if deck.stem != stem)
        say(f"  also there: {others}\nStop it with Ctrl-C.\n")
        server = http.server.ThreadingHTTPServer(
            listener.getsockname(),
            functools.partial(_Quiet, directory=folder),
            bind_and_activate=False,
        )
        server.socket.close()
        server.socket = listener
        server.server_activate()
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            say("\nStopped.")
    return 0


@contextlib.contextmanager
def replaying(stem: str, port: int = DEFAULT_PORT) -> Iterator[str]:
    """Recorded answers of the section of a deck, served meanwhile; their address."""
    section = next((it for it in sections() if stem.endswith(f"_{it.stem}")), None)
    section = section or next((it for it in sections() if it.stem == stem), None)
    if section is None:
        raise CourseError(f"{stem} has no demonstration: nothing is recorded.")
    server = answers.server(answers.load(section), port)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    address = f"http://127.0.0.1:{server.server_address[1]}"
    say(f"Recorded answers of {section.id} are at {address}")
    try:
        yield address
    finally:
        server.shutdown()
        server.server_close()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    """Files, without a line for each."""

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - theirs
        """Nothing."""


def sync() -> int:
    """Write today's code into every slide that names its source; the exit status."""
    changed = [deck.path.name for deck in decks() if code.sync(deck.path)]
    say(
        f"Mended: {', '.join(changed)}"
        if changed
        else "Every slide shows today's code."
    )
    return 0


def write(target: Path, *, pdf: bool = False) -> int:
    """Build all decks into `target`, with `pdf` as PDF, too; the exit status."""
    built = build(target)
    for deck in built:
        say(f"{deck.page}: {deck.slides} slides, {deck.minutes:g} minutes")
    for page in notebooks(target):
        say(f"{page}: the notebook as slides")
    if pdf:
        decks_pdf = {target / it.page: target / f"{it.stem}.pdf" for it in built}
        handouts = {
            target / it.handout: target / f"{it.stem}-handout.pdf" for it in built
        }
        printing.write(decks_pdf | handouts)
        say(f"and each deck and handout as PDF, in {target}")
    return 0
