"""A tree of processes on a free port: how it starts, what it costs, how it ends."""

import contextlib
import ipaddress
import os
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any

import psutil

from benchmarks.places import ROOT

START_SECONDS = 90  # LiteLLM takes a while
REDIS_SECONDS = 10
SETTLE_SECONDS = 4.0
LOOK_SECONDS = 0.2
IDLE = 0.15  # of a core


class Tree:
    """A process and all that it has started."""

    def __init__(self, process: "subprocess.Popen[bytes]", url: str) -> None:
        self.process, self.url = process, url

    def members(self) -> list[psutil.Process]:
        """Those that run now."""
        with contextlib.suppress(psutil.NoSuchProcess):
            first = psutil.Process(self.process.pid)
            return [first, *first.children(recursive=True)]
        return []

    def cpu_seconds(self) -> float:
        """What the tree has used so far, in user and system mode."""
        used = 0.0
        for member in self.members():
            with contextlib.suppress(psutil.NoSuchProcess):
                times = member.cpu_times()
                used += times.user + times.system
        return used

    def resident_bytes(self) -> int:
        """Its memory; what processes share is counted for each."""
        held = 0
        for member in self.members():
            with contextlib.suppress(psutil.NoSuchProcess):
                held += member.memory_info().rss
        return held

    def outside(self) -> str:
        """What of it reaches beyond this machine: an open port, a call; else empty."""
        for member in self.members():
            connections: list[Any] = []
            with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                connections = member.net_connections(kind="inet")
            for each in connections:
                if each.status == psutil.CONN_LISTEN and not _is_here(each.laddr.ip):
                    return f"it listens on {each.laddr.ip}:{each.laddr.port}"
                if each.raddr and not _is_here(each.raddr.ip):
                    return f"it calls {each.raddr.ip}:{each.raddr.port}"
        return ""

    @contextlib.contextmanager
    def awake(self) -> Iterator[None]:
        """Let it work, which else stands still; afterwards it may finish what is left.

        What a client has abandoned some servers go on to compute for seconds: that must
        not be in the way of the next one.
        """
        self.go_on()
        try:
            yield
        finally:
            self._settle()
            self.pause()

    def pause(self) -> None:
        """Stop it where it is, until it is `awake`."""
        self._each(psutil.Process.suspend)

    def go_on(self) -> None:
        """Let it work again."""
        self._each(psutil.Process.resume)

    def _settle(self) -> None:
        deadline, before = time.monotonic() + SETTLE_SECONDS, self.cpu_seconds()
        while time.monotonic() < deadline:
            time.sleep(LOOK_SECONDS)
            now = self.cpu_seconds()
            if now - before < LOOK_SECONDS * IDLE:
                return
            before = now

    def _each(self, do: Callable[[psutil.Process], None]) -> None:
        for member in self.members():
            with contextlib.suppress(psutil.NoSuchProcess):
                do(member)

    def end(self) -> None:
        """Ask all to stop; after ten seconds they are killed."""
        self.go_on()
        members = self.members()
        for member in members:
            with contextlib.suppress(psutil.NoSuchProcess):
                member.terminate()
        _, left = psutil.wait_procs(members, timeout=10)
        for member in left:
            with contextlib.suppress(psutil.NoSuchProcess):
                member.kill()
        self.process.wait()


def _is_here(address: str) -> bool:
    """Whether it is a loopback address, also of IPv4 written as IPv6."""
    return ipaddress.ip_address(address.removeprefix("::ffff:")).is_loopback


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def started(
    command: list[str], port: int, env: dict[str, str], ready: str
) -> Iterator[Tree]:
    """Run `command` until `ready` answers below its URL.

    Raises OSError with its last line if it does not start.
    """
    url = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        with log.open("wb") as out:
            process = subprocess.Popen(  # noqa: S603 - our own command line
                command, cwd=ROOT, env={**os.environ, **env}, stdout=out, stderr=out
            )
        tree = Tree(process, url)
        try:
            if not _answers(process, url + ready):
                said = log.read_text(encoding="utf-8", errors="replace").strip()
                raise OSError(f"it did not start: {(said.splitlines() or [''])[-1]}")
            yield tree
        finally:
            tree.end()


def _answers(process: "subprocess.Popen[bytes]", url: str) -> bool:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=2):  # noqa: S310 - loopback
                return True
        except urllib.error.HTTPError as error:
            if error.code != HTTPStatus.SERVICE_UNAVAILABLE:
                return True  # it is up, and does not know the path
            time.sleep(0.1)  # it is up, and not ready
        except OSError:
            time.sleep(0.1)
    return False


@contextlib.contextmanager
def redis_server() -> Iterator[str]:
    """A Redis of our own, in memory only; its URL. Raises OSError without one."""
    program, port = shutil.which("redis-server"), free_port()
    if program is None:
        raise OSError("redis-server is not installed")
    process = subprocess.Popen(  # noqa: S603 - our own command line
        [program, "--port", str(port), "--bind", "127.0.0.1", "--save", ""],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _await_port(process, port)
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        process.terminate()
        process.wait()


def _await_port(process: "subprocess.Popen[bytes]", port: int) -> None:
    deadline = time.monotonic() + REDIS_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise OSError("redis-server did not start")
