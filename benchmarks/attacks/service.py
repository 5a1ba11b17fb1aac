"""The service in a process of its own, whose time, memory and files can be measured."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx2

from benchmarks.places import FULL_APP_PROTOCOL, ROOT

KEYS = {"honest": "sk-honest", "hostile": "sk-hostile"}
START_SECONDS = 90.0
CHAT = "/v1/chat/completions"
QUIET = {
    "FULL_APP_OFFLINE_PACE": "0",
    "FULL_APP_REQUESTS_PER_MINUTE": "1000000",
    "FULL_APP_TOKENS_PER_MINUTE": "1000000000",
}


@dataclass(frozen=True)
class Service:
    """The service under test: its process and its port."""

    process: "subprocess.Popen[bytes]"
    port: int

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    def resident_kib(self) -> int:
        """Memory that the process has in use; 0 where the system does not say."""
        return self._memory("VmRSS")

    def peak_kib(self) -> int:
        """The most memory that it ever had in use; 0 where the system does not say."""
        return self._memory("VmHWM")

    def cpu_seconds(self) -> float:
        """Time that it has computed; 0 where the system does not say."""
        status = Path(f"/proc/{self.process.pid}/stat")
        if not status.exists():
            return 0.0
        # Behind the name in parentheses: user and system time are fields 14 and 15.
        fields = status.read_text(encoding="utf-8").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def open_files(self) -> int:
        """How many file descriptors it holds; 0 where the system does not say."""
        folder = Path(f"/proc/{self.process.pid}/fd")
        return len(list(folder.iterdir())) if folder.exists() else 0

    def client(self, name: str = "honest") -> httpx2.Client:
        """A client with the key of one of the callers."""
        headers = {"Authorization": f"Bearer {KEYS[name]}"}
        return httpx2.Client(
            base_url=self.url, headers=headers, timeout=60, trust_env=False
        )

    def _memory(self, name: str) -> int:
        status = Path(f"/proc/{self.process.pid}/status")
        if not status.exists():
            return 0
        lines = status.read_text(encoding="utf-8").splitlines()
        sizes = [line.split()[1] for line in lines if line.startswith(name)]
        return int(sizes[0]) if sizes else 0


@contextlib.contextmanager
def running(**settings: str) -> Iterator[Service]:
    """The service with an embedded Redis, started, and ended at the end of the block.

    `settings` are environment variables.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    keys = ",".join(f"{name}:{key}" for name, key in KEYS.items())
    command = [sys.executable, "-m", "uvicorn", "--no-access-log", "--log-level"]
    command += ["critical", "--port", str(port), "--http", FULL_APP_PROTOCOL]
    command += ["examples.full_app.main:app"]
    given = {**os.environ, **QUIET, "FULL_APP_API_KEYS": keys, "REDIS_URL": ""}
    process = subprocess.Popen(  # noqa: S603 - our own
        command, cwd=ROOT, env={**given, **settings}
    )
    try:
        await_listening(port)
        yield Service(process, port)
    finally:
        process.kill()
        process.wait(10)


def await_listening(port: int) -> None:
    """Return when the service can be reached. Raises TimeoutError."""
    ends = time.monotonic() + START_SECONDS
    while time.monotonic() < ends:
        with (
            contextlib.suppress(OSError),
            socket.create_connection(("127.0.0.1", port), timeout=1),
        ):
            return
        time.sleep(0.1)
    raise TimeoutError("The service did not start.")


def request(name: str, **body: object) -> bytes:
    """A chat request of one of the callers, as bytes."""
    asked = {"model": "offline-echo", "messages": [{"role": "user", "content": "Hi."}]}
    text = json.dumps({**asked, **body}).encode("utf-8")
    head = (
        f"POST {CHAT} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        f"Authorization: Bearer {KEYS[name]}\r\nContent-Type: application/json\r\n"
        f"Connection: close\r\nContent-Length: {len(text)}\r\n\r\n"
    )
    return head.encode("ascii") + text
