"""`course present --check`: what may fail on stage, looked at the evening before."""

import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

from course import chromium
from course.deck import recorded
from course.deck.build import build
from course.doctor import Finding
from course.manifest import sections
from course.parser import DECK_PORT, DEFAULT_PORT
from course.places import CourseError, say
from course.ports import bind

PORTS = {DECK_PORT: "slides", DEFAULT_PORT: "sections and steps"}
_ELSEWHERE = re.compile(r"""(?:src=|href=|url\()["']?(?:https?:)?//""")
_SCRIPT = re.compile(r"<script>.*?</script>", re.DOTALL)


def check() -> int:
    """Print every finding; 1 if a required one is bad, else 0."""
    findings = list(look())
    for it in findings:
        mark = "ok  " if it.good else "FAIL" if it.required else "-   "
        say(f"{mark}  {it.name:10} {it.detail}")
        if not it.good and it.repair:
            say(f"      {'':10} repair: {it.repair}")
    say("\nOnly the screen itself shows its size and its fonts: present a deck there,")
    say("and open check.html at the address that is printed.")
    return int(any(it.required and not it.good for it in findings))


def look() -> Iterator[Finding]:
    """All findings: ports, browser, decks that need no network, recorded answers."""
    for port, use in PORTS.items():
        listener = bind("127.0.0.1", port)
        if listener is not None:
            listener.close()
        state = "is free" if listener else "is taken: the next free one is used"
        detail = f"{port} {state} (for {use})"
        repair = "close the program that uses it"
        yield Finding("port", listener is not None, detail, repair, required=False)
    program = chromium.program()
    detail = program or "no Chromium, Chrome or Edge: any browser shows the decks"
    yield Finding("browser", program is not None, detail, required=False)
    yield from _decks()
    for section in sections():
        try:
            count = len(recorded.load(section))
        except CourseError as error:
            yield Finding("recorded", False, str(error), required=False)
        else:
            detail = f"{section.id}: {count} answers, for present --recorded"
            yield Finding("recorded", True, detail)


def _decks() -> Iterator[Finding]:
    with tempfile.TemporaryDirectory() as folder:
        try:
            built = build(Path(folder))
        except CourseError as error:
            yield Finding("decks", False, str(error))
            return
        slides = sum(deck.slides for deck in built)
        yield Finding("decks", True, f"{len(built)} decks, {slides} slides")
        pages = [page.read_text("utf-8") for page in Path(folder).rglob("*.html")]
        asks = sum(bool(_ELSEWHERE.search(_SCRIPT.sub("", page))) for page in pages)
        detail = f"{asks} pages ask" if asks else "no page asks"
        yield Finding("offline", not asks, f"{detail} another machine for anything")
