"""`course present` and `course sync`: decks on loopback, and slides mended."""

import functools
import http.server
import tempfile
from pathlib import Path

from course.deck import code
from course.deck.build import build, notebooks
from course.deck.source import SLIDES, decks
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


def present(wanted: str | None, port: int) -> int:
    """Serve the decks on this machine until Ctrl-C; the exit status."""
    stem = find(wanted) if wanted else "s0_opening"
    with tempfile.TemporaryDirectory() as folder, listen("127.0.0.1", port) as listener:
        built = build(Path(folder))
        written = notebooks(Path(folder))
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        say(f"\n  {address}/{stem}/   present it: F full screen, S speaker window")
        say(f"  {address}/{stem}/handout.html   the handout")
        if f"{stem}/notebook.html" in written:
            say(f"  {address}/{stem}/notebook.html   its notebook as slides")
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


def write(target: Path) -> int:
    """Build all decks into `target`; the exit status."""
    for deck in build(target):
        say(f"{deck.page}: {deck.slides} slides, {deck.minutes:g} minutes")
    for page in notebooks(target):
        say(f"{page}: the notebook as slides")
    return 0
