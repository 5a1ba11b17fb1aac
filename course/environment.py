"""`.venv`: made from the lock, re-used, repaired, and never anybody else's to delete.

`course.json` inside it says that this module made it and what is installed there. It
is written before the work starts, so a set-up that was cut short is seen and redone.
An environment without that file belongs to the student: it is used, or installed
into, but nothing in it is removed.
"""

import importlib
import json
import os
import shutil
import subprocess
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path

from course import installers
from course.alone import LOCK, alone
from course.groups import APP, fingerprint, satisfied
from course.places import (
    ROOT,
    VENV,
    CourseError,
    say,
    site_packages,
    venv_python,
)

STATE = VENV / "course.json"
OURS = {STATE.name, LOCK.name, installers.LOG.name}


@dataclass
class State:
    """What course.json says. `groups` maps a group to its lock's fingerprint."""

    python: str = f"{sys.version_info.major}.{sys.version_info.minor}"
    finished: bool = False
    groups: dict[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls) -> "State | None":
        """The state on disk; None where this module made nothing."""
        try:
            return cls(**json.loads(STATE.read_text(encoding="utf-8")))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (ValueError, TypeError):
            return cls()  # cut off while it was written: unfinished

    def write(self) -> None:
        """Put it on disk."""
        STATE.write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")

    def offers(self, group: str) -> bool:
        """Whether `group` is there, from today's lock, for this Python."""
        return (
            self.finished
            and self.python == State().python
            and self.groups.get(group) == fingerprint(group)
            and venv_python().exists()
        )


def ensure(group: str, arguments: list[str]) -> None:
    """Return once `group` can be imported; until then, set up and start anew.

    `arguments` are the words after `course` that the new process gets.
    Raises CourseError when the set-up fails.
    """
    state = State.read()
    if inside():
        if (state is not None and not state.offers(group)) or not satisfied(group):
            prepare(group)
            importlib.invalidate_caches()
    elif not satisfied(group):
        if not (state.offers(group) if state else adoptable(group)):
            prepare(group)
        restart(arguments)


def inside() -> bool:
    """Whether this Python lives in `.venv`."""
    return Path(sys.prefix).resolve() == VENV.resolve()


def prepare(group: str) -> None:
    """Make or mend `.venv` so that it holds `group`."""
    if VENV.exists() and not VENV.is_dir():
        raise CourseError(f"{VENV} is in the way: move it somewhere else.")
    VENV.mkdir(exist_ok=True)
    with alone():
        state = State.read()
        if state is None and {entry.name for entry in VENV.iterdir()} - OURS:
            adopt(group)
        elif state is None or not state.offers(group):
            build(group, state)


def adopt(group: str) -> None:
    """Use the student's own environment; install what it lacks, remove nothing."""
    if not venv_python().exists():
        raise CourseError(
            f"{VENV} is not an environment that this command made, and there is no\n"
            "Python in it. Move it somewhere else, then start again."
        )
    if not adoptable(group):
        say(f"Installing the packages of {group!r} into your own .venv")
        installers.install(group)


def adoptable(group: str) -> bool:
    """Whether the student's own `.venv` holds `group` already."""
    return venv_python().exists() and any(
        satisfied(group, it) for it in site_packages()
    )


def build(group: str, state: State | None) -> None:
    """Make the environment where there is none that works; install `group`."""
    if state is None or not usable(state):
        installers.check()
        clear(state)
        state = State()
        state.write()
        installers.create()
        state.finished = True
        state.write()
    before = State(**asdict(state))
    state.finished = False
    state.write()
    try:
        installers.install(group)
    except installers.NetworkError:
        before.write()  # nothing was changed
        raise
    state.groups |= {name: fingerprint(name) for name in {APP, group}}
    state.finished = True
    state.write()


def usable(state: State) -> bool:
    """Whether it was finished, for this Python, and its interpreter is still there."""
    same_python = state.python == State().python
    return state.finished and same_python and venv_python().exists()


def clear(state: State | None) -> None:
    """Empty `.venv`, which is ours. Raises CourseError from inside of it."""
    if state is None:
        return
    if inside():
        raise CourseError(
            ".venv must be made anew, and this Python lives in it. Leave it with\n"
            "`deactivate`, then start again."
        )
    if not state.finished:
        say("The last set-up was cut short: starting .venv afresh")
    elif state.python != State().python:
        say(f"Making .venv anew: it was for Python {state.python}")
    else:
        say("Making .venv anew: the Python it was made with is gone")
    for entry in VENV.iterdir():
        if entry == LOCK:
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()


def restart(arguments: list[str]) -> None:
    """Become the same command inside `.venv`. Does not return."""
    command = [str(venv_python()), "-m", "course", *arguments]
    os.chdir(ROOT)
    sys.stdout.flush()
    if sys.platform != "win32":
        os.execv(command[0], command)  # noqa: S606 - our own command line
    with subprocess.Popen(command) as child:  # noqa: S603 - our own command line
        while True:
            try:
                sys.exit(child.wait())
            except KeyboardInterrupt:  # the console has told the child, too
                continue
