"""A copy of the checkout, a Python that has nothing, and a uv that needs no network."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from shutil import copytree

from course.groups import requirements
from course.places import base_python
from tests.servers import ROOT, wait_until

BARE = base_python()
FAKE_UV = Path(__file__).with_name("fake_uv.py")
COPIED = ("course", "requirements")
FILES = ("course.toml", "pyproject.toml", "README.md")
RUN_COURSE = "import runpy; runpy.run_module('course', run_name='__main__')"


class Checkout:
    """A fresh copy, in a folder that has a space and an umlaut in its name."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "Kurs für alle"
        for name in COPIED:  # with the compiled files: a start is a third quicker
            copytree(ROOT / name, self.root / name)
        for name in FILES:
            (self.root / name).write_bytes((ROOT / name).read_bytes())
        self.venv = self.root / ".venv"
        self.state = self.venv / "course.json"
        self.tools = folder / "bin"
        self.calls = folder / "uv-calls"
        self.release = folder / "uv-may-go-on"
        self.packages = folder / "packages"
        claim_installed(self.packages)

    def with_uv(self) -> "Checkout":
        """Put the fake uv where the command finds it."""
        self.tools.mkdir()
        if os.name == "nt":
            uv, text = self.tools / "uv.cmd", f'@"{BARE}" -S "{FAKE_UV}" %*\n'
        else:
            uv = self.tools / "uv"
            text = f'#!/bin/sh\nexec "{BARE}" -S "{FAKE_UV}" "$@"\n'
        uv.write_text(text, encoding="utf-8")
        uv.chmod(0o755)
        return self

    def uv_calls(self) -> list[str]:
        """What uv was asked for so far: `venv`, or the lock it installed."""
        if not self.calls.exists():
            return []
        return self.calls.read_text(encoding="utf-8").split()

    def environment(self, uv: str = "works") -> dict[str, str]:
        """No tools but ours on PATH; no settings that change what pip does."""
        kept = ("SYSTEMROOT", "TEMP", "TMP", "TMPDIR", "HOME")
        return {name: os.environ[name] for name in kept if name in os.environ} | {
            "PATH": str(self.tools),
            "FAKE_UV": uv,
            "FAKE_UV_CALLS": str(self.calls),
            "FAKE_UV_RELEASE": str(self.release),
            "FAKE_UV_PACKAGES": str(self.packages),
        }

    def start(
        self, *words: str, uv: str = "works", before: str = "", **env: str
    ) -> "subprocess.Popen[str]":
        """Start `python3 -m course <words>` with a Python that has no packages.

        `before`: Python that runs first in the same process, to break something.
        """
        program = ["-c", f"{before}\n{RUN_COURSE}"] if before else ["-m", "course"]
        return subprocess.Popen(
            [str(BARE), "-S", *program, *words],
            cwd=self.root,
            env=self.environment(uv) | env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
        )

    def course(
        self, *words: str, uv: str = "works", before: str = "", **env: str
    ) -> "Done":
        """Run a command to its end."""
        with self.start(*words, uv=uv, before=before, **env) as running:
            output, _ = running.communicate(timeout=50)
        return Done(running.returncode, output)

    @contextmanager
    def at_work(self, step: str) -> Iterator["subprocess.Popen[str]"]:
        """A start that hangs in the middle of uv's `step`; kills what is left of it."""
        with self.start("test", "--version", uv=f"hangs-at-{step}") as running:
            try:
                wait_until(lambda: step in self.uv_calls(), what=f"uv at {step}")
                yield running
            finally:
                running.kill()
                self.release.touch()


@contextmanager
def running(
    *words: str,
) -> Iterator[tuple["subprocess.Popen[str]", str, list[str]]]:
    """`course run <words>` in this checkout, on a free port.

    Yields the process, its address, and the lines that it has said so far.
    """
    with subprocess.Popen(
        [sys.executable, "-m", "course", "run", *words, "--port", "0"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
    ) as process:
        try:
            assert process.stdout is not None
            said: list[str] = []
            while not said or not said[-1].startswith("Stop it"):
                line = process.stdout.readline()
                assert line, "\n".join(said)
                said.append(line.rstrip())
            [docs] = [line for line in said if "/docs" in line]
            yield process, docs.split("/docs")[0].strip(), said
        finally:
            process.kill()


def claim_installed(folder: Path) -> None:
    """Make `folder` look as if the test group were in it, with a pytest that is quick.

    Importing the real one is most of the time that a start takes.
    """
    for requirement in requirements("test"):
        name = re.split(r"[\[<>=;]", requirement)[0]
        version = metadata.version(name)
        note = folder / f"{name.replace('-', '_')}-{version}.dist-info"
        note.mkdir(parents=True)
        text = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        (note / "METADATA").write_text(text, encoding="utf-8")
    stub = "def main(words):\n    print('pytest got', *words)\n"
    stub += "    return 3 if 'fail' in words else 0\n"
    (folder / "pytest.py").write_text(stub, encoding="utf-8")


def refusing_mkdir(code: int) -> str:
    """Python that makes `os.mkdir` fail for `.venv`, as the system would.

    Real file permissions would not bind root, whom CI often is.
    """
    return f"""
import os
real = os.mkdir
def mkdir(path, *rest, **named):
    if os.fspath(path).endswith(".venv"):
        raise OSError({code}, os.strerror({code}), path)
    return real(path, *rest, **named)
os.mkdir = mkdir
"""


class Done:
    """The end of a command."""

    def __init__(self, status: int, output: str) -> None:
        self.status = status
        self.output = output

    def __repr__(self) -> str:
        return f"exit {self.status}:\n{self.output}"

    def refused(self, *reasons: str) -> bool:
        """Whether it ended with status 1 and these words, and without a traceback."""
        assert "Traceback" not in self.output, self
        return self.status == 1 and all(reason in self.output for reason in reasons)

    def passed(self) -> bool:
        """Whether `course test --version` came as far as pytest."""
        last = self.output.splitlines()[-1]
        return self.status == 0 and last.startswith("pytest ")
