"""One load on one URL of this machine: requests a second, p50, p99, errors.

wrk makes the load where it is installed, else `benchmarks.client`: slower, so that
it is the limit sooner, but the same for every server. One tool serves a whole run.
"""

import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol
from urllib.parse import urlsplit

from pydantic import BaseModel, TypeAdapter

UNITS = {"us": 0.001, "ms": 1.0, "s": 1000.0, "m": 60_000.0}
SCRIPT = """wrk.method = "POST"
wrk.body = [==[{body}]==]
wrk.headers["Content-Type"] = "application/json"
"""
HEADER = """wrk.headers["{name}"] = [==[{value}]==]
"""
ROTATE = """local keys, turn = {{ {keys} }}, 0
request = function()
  turn = turn % #keys + 1
  wrk.headers["Authorization"] = "Bearer " .. keys[turn]
  return wrk.format()
end
"""


class Load(BaseModel):
    """What one load measured; durations in milliseconds.

    `errors` counts answers that were not 2xx, and connections that broke.
    """

    requests: int
    requests_per_second: float
    p50_ms: float
    p99_ms: float
    errors: int


@dataclass(frozen=True)
class Target:
    """What to ask, and how hard. `body` makes it a JSON POST.

    `keys`: bearer keys that take turns, a request each.
    """

    url: str
    connections: int
    seconds: float
    body: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    keys: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Raises ValueError for a host that is not this machine."""
        if urlsplit(self.url).hostname not in {"127.0.0.1", "localhost", "::1"}:
            raise ValueError(f"load goes to this machine only, not to {self.url}")


class Tool(Protocol):
    """Something that makes load."""

    name: str

    def __call__(self, target: Target) -> Load:
        """Load `target` for its time. Raises OSError if the tool fails."""


def tool() -> Tool:
    """The best one there is here."""
    return Wrk() if shutil.which("wrk") else Bundled()


class Wrk:
    """wrk, one thread: the other cores are for the server."""

    name = "wrk"

    def __call__(self, target: Target) -> Load:
        """Load `target` for whole seconds."""
        with TemporaryDirectory() as folder:
            command = ["wrk", "-t1", f"-c{target.connections}", "--latency"]
            command += [f"-d{max(1, round(target.seconds))}s", "--timeout", "30s"]
            if target.body is not None:
                script = Path(folder) / "post.lua"
                script.write_text(script_of(target), encoding="utf-8")
                command += ["-s", str(script)]
            done = subprocess.run(  # noqa: S603 - our own command line
                [*command, target.url],
                capture_output=True,
                text=True,
                check=False,
                timeout=target.seconds + 60,
            )
        if done.returncode != 0:
            raise OSError(f"wrk: {done.stderr or done.stdout}")
        return read_wrk(done.stdout)


def script_of(target: Target) -> str:
    """What tells wrk to POST the target's body, with its headers and keys."""
    script = SCRIPT.format(body=target.body)
    for name, value in target.headers.items():
        script += HEADER.format(name=name, value=value)
    if target.keys:
        script += ROTATE.format(keys=", ".join(f'"{key}"' for key in target.keys))
    return script


def read_wrk(text: str) -> Load:
    """The figures in what wrk printed. Raises ValueError if it is not wrk's."""
    total = re.search(r"(\d+) requests in ([\d.]+)(us|ms|s|m)", text)
    if total is None:
        raise ValueError(f"not wrk's output: {text[:200]!r}")
    seconds = float(total[2]) * UNITS[total[3]] / 1000
    errors = sum(map(int, re.findall(r"Non-2xx or 3xx responses: (\d+)", text)))
    for line in re.findall(r"Socket errors: (.*)", text):
        errors += sum(map(int, re.findall(r"\d+", line)))
    return Load(
        requests=int(total[1]),
        requests_per_second=int(total[1]) / seconds,
        p50_ms=_percentile(text, "50%"),
        p99_ms=_percentile(text, "99%"),
        errors=errors,
    )


def _percentile(text: str, which: str) -> float:
    found = re.search(rf"^\s*{which}\s+([\d.]+)(us|ms|s|m)", text, re.MULTILINE)
    return float(found[1]) * UNITS[found[2]] if found else float("nan")


class Bundled:
    """Our own client, in a process of its own: it must not share the server's GIL."""

    name = "bundled"

    def __call__(self, target: Target) -> Load:
        """Load `target`."""
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.client"],
            input=TypeAdapter(Target).dump_json(target).decode(),
            capture_output=True,
            text=True,
            check=False,
            timeout=target.seconds + 60,
        )
        if done.returncode != 0:
            raise OSError(f"the bundled client: {done.stderr}")
        return Load.model_validate_json(done.stdout)
