"""`course doctor`: what this machine has, what it lacks, and the line that mends it."""

import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass

from course import environment, installers
from course.exercises import room
from course.places import (
    GREEN,
    RED,
    ROOT,
    VENV,
    YELLOW,
    coloured,
    command,
    say,
    venv_python,
)
from course.ports import bind

MEGABYTE = 1_000_000
ROOM_NEEDED = 150 * MEGABYTE  # the packages of `run`, and room to unpack them
ALL_GROUPS = 900 * MEGABYTE  # with those of notebooks, site, browser and benchmarks
PACKAGES = {  # what brings a program, by sys.platform
    "curl": {
        "linux": "sudo apt install curl",
        "darwin": "brew install curl",
        "": "winget install cURL.cURL",
    },
    "uv": {"": "pipx install uv"},
    "redis-server": {
        "linux": "sudo apt install redis-server",
        "darwin": "brew install redis",
        "": "not on Windows itself: use WSL, or go without",
    },
    "node": {
        "linux": "sudo apt install nodejs",
        "darwin": "brew install node",
        "": "winget install OpenJS.NodeJS",
    },
    "chromium": {
        "linux": "sudo apt install chromium",
        "darwin": "brew install --cask chromium",
        "": "winget install Google.Chrome",
    },
}
USES = {
    "curl": "sends the requests that `course run` prints; /docs sends them, too",
    "uv": "installs packages faster, and `course lock` needs it",
    "redis-server": "without it, tests against a real Redis are skipped",
    "node": "without it, the site has no playground and its tests are skipped",
    "chromium": "without it, tests of pages and slides are skipped",
}


@dataclass(frozen=True)
class Finding:
    """One line: `required` ones decide the exit status; `repair` mends this one."""

    name: str
    good: bool
    detail: str
    repair: str = ""
    required: bool = True


def examine() -> int:
    """Print every finding; 1 if a required one is bad, else 0."""
    findings = list(look())
    for it in findings:
        say(f"{_mark(it)}  {it.name:13} {it.detail}")
        if not it.good and it.repair:
            say(f"      {'':13} repair: {it.repair}")
    say(f"\n{room.next_words()}")
    return int(any(it.required and not it.good for it in findings))


def _mark(finding: Finding) -> str:
    """ "ok", "FAIL", or a dash for what the course can do without."""
    if finding.good:
        return coloured("ok  ", GREEN)
    return coloured("FAIL", RED) if finding.required else coloured("-   ", YELLOW)


def look() -> Iterator[Finding]:
    """All findings, the required ones first."""
    yield Finding("python", True, f"{sys.version.split()[0]} ({sys.executable})")
    yield _environments()
    yield _writable()
    yield _disk()
    yield _venv()
    yield look_at_port(8000)
    for program in PACKAGES:
        yield _program(program)


def _environments() -> Finding:
    able = installers.has_venv()
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    return Finding(
        "environments",
        able or shutil.which("uv") is not None,
        "can be made" if able else "venv or ensurepip is missing",
        f"sudo apt install python{version}-venv",
    )


def _writable() -> Finding:
    try:
        with tempfile.TemporaryFile(dir=ROOT):
            return Finding("folder", True, f"{ROOT} can be written to")
    except OSError as error:
        detail = f"{ROOT} cannot be written to: {error.strerror}"
        return Finding("folder", False, detail, "copy it to a place of your own")


def _disk() -> Finding:
    free = shutil.disk_usage(ROOT).free
    detail = (
        f"{free // MEGABYTE} MB free; `run` needs {ROOM_NEEDED // MEGABYTE}, "
        f"every command together {ALL_GROUPS // MEGABYTE}"
    )
    return Finding("disk", free >= ROOM_NEEDED, detail, "free some space")


def _venv() -> Finding:
    again = command("course run")
    if not VENV.exists():
        return Finding(".venv", True, f"not there yet: `{again}` makes it")
    state = environment.State.read()
    if state is None:
        good = environment.adoptable("app")
        move = f"move {VENV} away, then: {again}"
        repair = again if venv_python().exists() else move
        detail = "yours; it has" if good else "yours; it lacks some of"
        return Finding(".venv", good, f"{detail} what `run` needs", repair)
    if not environment.usable(state):
        return Finding(".venv", False, "broken, or made by another Python", again)
    old = [group for group in state.groups if not state.offers(group)]
    if old:
        return Finding(".venv", False, f"older than the lock: {', '.join(old)}", again)
    return Finding(".venv", True, f"made for {', '.join(sorted(state.groups))}")


def look_at_port(port: int) -> Finding:
    """Whether `port` is free. Taken is no failure: the next one is used."""
    listener = bind("127.0.0.1", port)
    if listener is not None:
        listener.close()
    detail = f"{port} is free" if listener else f"{port} is taken: the next one is used"
    other = command(f"course run --port {port + 1}")
    return Finding("port", listener is not None, detail, other, required=False)


def _program(name: str) -> Finding:
    path = shutil.which(name)
    repairs = PACKAGES[name]
    repair = repairs.get(sys.platform, repairs[""])
    detail = f"{path or 'not found'} (optional: {USES[name]})"
    return Finding(name, path is not None, detail, repair, required=False)
