"""Throw-away environments: each peer has its own, none touches this repository's.

They lie in `.tools/peers`, are made once a version, and may be deleted at any time.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.places import ROOT

FOLDER = ROOT / ".tools" / "peers"
INSTALL_SECONDS = 600


class MissingPeerError(Exception):
    """A peer cannot take part; the text says why."""


def python_home(name: str, requirement: str) -> Path:
    """The Python of an environment that has `requirement`.

    Raises MissingPeerError if it cannot be installed.
    """
    home = FOLDER / name
    python = home / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if not _made(home, requirement):
        shutil.rmtree(home, ignore_errors=True)
        uv = shutil.which("uv")
        if uv:
            _run([uv, "venv", "--quiet", "--python", sys.executable, str(home)])
            into = ["--quiet", "--python", str(python)]
            _run([uv, "pip", "install", *into, requirement])
        else:
            _run([sys.executable, "-m", "venv", str(home)])
            _run([str(python), "-m", "pip", "install", "--quiet", requirement])
        _finish(home, requirement)
    return python


def node_home(package: str, version: str, overrides: dict[str, str]) -> Path:
    """The folder of an npm package; `overrides` pins what it stands on.

    Raises MissingPeerError if it cannot be installed.
    """
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        raise MissingPeerError("Node.js is not installed")
    wanted = {"dependencies": {package: version}, "overrides": overrides}
    requirement = json.dumps({"private": True, **wanted})
    home = FOLDER / package.strip("@").replace("/", "-")
    if not _made(home, requirement):
        shutil.rmtree(home, ignore_errors=True)
        home.mkdir(parents=True)
        (home / "package.json").write_text(requirement, encoding="utf-8")
        quiet = ["--silent", "--no-audit", "--no-fund", "--ignore-scripts"]
        _run([npm, "install", *quiet, "--prefix", str(home)])
        _finish(home, requirement)
    return home / "node_modules" / package


def configuration(name: str, port: int, text: str) -> Path:
    """A peer's configuration file, beside its environment and as short-lived."""
    folder = FOLDER / "configurations"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}-{port}.conf"
    path.write_text(text, encoding="utf-8")
    return path


def _made(home: Path, requirement: str) -> bool:
    note = home / "installed.txt"
    return note.exists() and note.read_text(encoding="utf-8") == requirement


def _finish(home: Path, requirement: str) -> None:
    (home / "installed.txt").write_text(requirement, encoding="utf-8")


def _run(command: list[str]) -> None:
    """Run an installer in an empty folder.

    In this repository uv would hold a peer to our own versions. In a folder that others
    write to, a file `pip.py` would be run in the installer's place.
    """
    try:
        with tempfile.TemporaryDirectory() as empty:
            done = subprocess.run(  # noqa: S603 - our own command line
                command,
                cwd=empty,
                capture_output=True,
                encoding="utf-8",
                errors="replace",
                check=False,
                timeout=INSTALL_SECONDS,
            )
    except subprocess.TimeoutExpired:
        raise MissingPeerError("installing it takes too long") from None
    if done.returncode != 0:
        raise MissingPeerError("it cannot be installed here (is the network away?)")
