"""One `course` at a time in `.venv`: a lock that the system drops with the process."""

import contextlib
import sys
from collections.abc import Iterator

from course.places import VENV, say

LOCK = VENV / "course.lock"

if sys.platform == "win32":
    import msvcrt

    def _lock(descriptor: int, *, wait: bool) -> None:
        mode = msvcrt.LK_LOCK if wait else msvcrt.LK_NBLCK
        msvcrt.locking(descriptor, mode, 1)
else:
    import fcntl

    def _lock(descriptor: int, *, wait: bool) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Keep a second `course` out of `.venv` until this one is done with it."""
    with LOCK.open("a", encoding="utf-8") as file:
        try:
            _lock(file.fileno(), wait=False)
        except (BlockingIOError, PermissionError):
            say("Another course command is setting up .venv: waiting for it")
            _lock(file.fileno(), wait=True)
        except OSError:
            pass  # a filesystem without locks
        yield
