"""`course run` of a section or a step: serve it, and serve it anew when it is saved.

This process keeps the port and watches the files; the server is a process of its own.
When a Python file in the folder of the module changes, that process ends and another
one goes on. So nothing of the old module remains, and a server that hangs can be ended.
Requests that come in between wait at the port.

The next process is begun ahead of time: it imports the packages, which takes a second,
and then waits for its turn. So a change is served in the time that the module takes.
"""

import contextlib
import importlib.util
import multiprocessing
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection
from pathlib import Path

from course.manifest import Rung, Section
from course.places import ROOT, say
from course.ports import listen

POLL_SECONDS = 0.1
SETTLE_SECONDS = 0.05
STOP_SECONDS = 3.0
PACKAGES = ("uvicorn", "fastapi", "pydantic")
SPAWN = multiprocessing.get_context("spawn")  # the one way that every system has
Snapshot = dict[Path, tuple[int, int]]


def run(app: Section | Rung, host: str, port: int) -> int:
    """Serve until Ctrl-C; the exit status. Raises CourseError if it cannot start."""
    require(PACKAGES)
    os.environ["FULL_APP_HOST"] = host  # full_app refuses strangers without keys
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    folder = ROOT.joinpath(*app.module.split(".")[:-1])
    pattern = "**/*.py" if app.id == "full_app" else "*.py"
    with listen(host, port) as listener:
        try:
            serve_each_version(lambda: Worker(app.id, host, listener), folder, pattern)
        except KeyboardInterrupt:
            say("\nStopped.")
    return 0


def require(packages: Sequence[str]) -> None:
    """Raises ModuleNotFoundError for the first that is missing, without importing any.

    The workers import them. One that cannot would look like a server that has ended,
    for which this process waits until a file is saved.
    """
    for package in packages:
        if importlib.util.find_spec(package) is None:
            raise ModuleNotFoundError(f"No module named {package!r}", name=package)


class Worker:
    """A process that serves the app once it is told to, and until it is stopped.

    It is told by a pipe. It also ends when the pipe does, so that it does not outlive
    this process, however that ends.
    """

    def __init__(self, name: str, host: str, listener: socket.socket) -> None:
        self._pipe, theirs = SPAWN.Pipe()
        self._process = SPAWN.Process(
            target=work, args=(name, host, listener, theirs), daemon=True
        )
        with signals_held_back():
            self._process.start()
        theirs.close()
        self.reachable = False
        self.announced = False

    def serve(self, *, announced: bool) -> None:
        """Begin to serve. `announced`: the terminal shows already what to try."""
        with contextlib.suppress(OSError):  # it has ended
            self._pipe.send(announced)

    def listen(self) -> None:
        """Note what the process says: it can be reached, and was announced or not."""
        try:
            while self._pipe.poll():
                self.announced = bool(self._pipe.recv())
                self.reachable = True
        except (EOFError, OSError):  # it has ended
            pass

    def has_ended(self) -> bool:
        """Whether the process is gone without being asked to."""
        return not self._process.is_alive()

    def stop(self) -> None:
        """End the process: by its pipe, or by force if it is not there yet or hangs."""
        self.listen()
        self._pipe.close()
        if self.reachable:
            self._process.join(STOP_SECONDS)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()


@contextlib.contextmanager
def signals_held_back() -> Iterator[None]:
    """Let Ctrl-C and SIGTERM wait until a process has been started whole.

    A process that is started meanwhile never gets them: it is told by its pipe. Windows
    cannot hold back signals; there `work` leaves quietly.
    """
    if sys.platform == "win32":
        yield
        return
    held = {signal.SIGINT, signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, held)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, held)


def work(name: str, host: str, listener: socket.socket, pipe: Connection) -> None:
    """What a worker's process does."""
    from course import serve  # packages that only this process needs

    with contextlib.suppress(EOFError, KeyboardInterrupt):
        announced = bool(pipe.recv())
        serve.work(name, host, listener, pipe, announced)


def serve_each_version(begin: Callable[[], Worker], folder: Path, pattern: str) -> None:
    """Serve, and serve anew after each change of a file. Ends by an exception."""
    workers = [begin()]
    announced = False
    before = snapshot(folder, pattern)
    try:
        while True:
            workers[0].serve(announced=announced)
            after = wait_for_change(before, folder, pattern, workers, begin)
            files = {path for path, _ in before.items() ^ after.items()}
            for path in files:
                forget_compiled(path)
            before = after
            workers[0].stop()  # first, so that nothing old is served after this line:
            say(f"Changed: {', '.join(sorted(path.name for path in files))}")
            announced = announced or workers[0].announced
            del workers[0]
            if not workers:
                workers.append(begin())
    finally:
        for worker in workers:
            worker.stop()


def wait_for_change(
    before: Snapshot,
    folder: Path,
    pattern: str,
    workers: list[Worker],
    begin: Callable[[], Worker],
) -> Snapshot:
    """The files as they are once they differ from `before` and are written no more.

    Meanwhile the next worker is begun, as soon as the first one can be reached.
    """
    said = False
    while (now := snapshot(folder, pattern)) == before:
        time.sleep(POLL_SECONDS)
        workers[0].listen()
        if workers[0].reachable and len(workers) == 1:
            workers.append(begin())
        if workers[0].has_ended() and not said:
            say("The server has ended. Mend the file and save it: it is then served.")
            said = True
    time.sleep(SETTLE_SECONDS)
    while (later := snapshot(folder, pattern)) != now:
        now = later
        time.sleep(SETTLE_SECONDS)
    return now


def snapshot(folder: Path, pattern: str) -> Snapshot:
    """The time and the size of each file in `folder` that fits `pattern`."""
    found: Snapshot = {}
    for path in folder.glob(pattern):
        try:
            status = path.stat()
        except FileNotFoundError:  # replaced at this moment
            continue
        found[path] = (status.st_mtime_ns, status.st_size)
    return found


def forget_compiled(file: Path) -> None:
    """Delete the compiled form of `file`.

    Python trusts it if time and size agree, but the time has whole seconds: of two
    quick edits the second could be missed.
    """
    compiled = importlib.util.cache_from_source(str(file))
    Path(compiled).unlink(missing_ok=True)
