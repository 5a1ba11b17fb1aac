"""Python for the browser: Pyodide by npm, wheels by pip, pinned by version and hash.

The wheels are the app lock's own packages, at its versions and with its hashes. What
was fetched is kept in `.tools/playground` and never committed.
"""

import hashlib
import importlib.util
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from course.groups import lock_file
from course.places import ROOT

PYODIDE = "314.0.7"
PYODIDE_SHA256 = "66b7949e5a0cba2250b586d7e368bf12fb482800748d182c4618254b685ffaa0"
PARTS = (
    "pyodide.mjs",
    "pyodide.asm.mjs",
    "pyodide.asm.wasm",
    "pyodide-lock.json",
    "python_stdlib.zip",
)
PLATFORM, PYTHON, ABI = "pyemscripten_2026_0_wasm32", "314", "cp314"
PACKAGES = (
    "annotated-doc",
    "annotated-types",
    "anyio",
    "fastapi",
    "httpx2",
    "httpx2-jsfetch",
    "idna",
    "opentelemetry-api",
    "pydantic",
    "pydantic-core",
    "starlette",
    "typing-extensions",
    "typing-inspection",
)
SECONDS = 120


class MissingAssetsError(Exception):
    """The browser's Python cannot be had here; the text says why."""


def fetched() -> Path:
    """A folder with `pyodide/` and `wheels/`. Raises MissingAssetsError."""
    wanted = locked()
    key = hashlib.sha256(f"{PYODIDE_SHA256}\n{wanted}".encode()).hexdigest()[:16]
    folder = ROOT / ".tools" / "playground" / key
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as made:
        _pyodide(Path(made))
        _wheels(Path(made), wanted)
        try:
            Path(made).rename(folder)
        except OSError:  # another build was faster
            if not folder.is_dir():
                raise
        else:
            Path(made).mkdir()  # for the context manager to remove
    return folder


def locked() -> str:
    """The app lock's lines of `PACKAGES`, hashes included, for every platform."""
    text = lock_file("app").read_text(encoding="utf-8")
    found = {
        block[1]: re.sub(r" ; [^\\\n]*", " ", block[0])
        for block in re.finditer(r"^(\S+?)==(?:.*\\\n)*.*\n", text, re.MULTILINE)
    }
    return "".join(found[name] for name in PACKAGES)


def versions() -> dict[str, str]:
    """Package and version, as locked."""
    return dict(re.findall(r"^(\S+?)==([^\s;]+)", locked(), re.MULTILINE))


def _pyodide(folder: Path) -> None:
    npm = shutil.which("npm")
    if npm is None:
        raise MissingAssetsError("npm is not installed")
    _run([npm, "pack", "--silent", f"pyodide@{PYODIDE}"], folder)
    archive = folder / f"pyodide-{PYODIDE}.tgz"
    if hashlib.sha256(archive.read_bytes()).hexdigest() != PYODIDE_SHA256:
        raise MissingAssetsError("Pyodide is not the one that was pinned")
    with tarfile.open(archive) as packed:
        for name in PARTS:
            member = packed.extractfile(f"package/{name}")
            if member is None:
                raise MissingAssetsError(f"Pyodide lacks {name}")
            target = folder / "pyodide" / name
            target.parent.mkdir(exist_ok=True)
            target.write_bytes(member.read())
    archive.unlink()


def _wheels(folder: Path, wanted: str) -> None:
    (folder / "wanted.txt").write_text(wanted, encoding="utf-8")
    kind = ["--platform", PLATFORM, "--python-version", PYTHON, "--abi", ABI]
    kind += ["--abi", "none", "--platform", "any", "--implementation", "cp"]
    options = ["--quiet", "--no-deps", "--require-hashes", "--only-binary=:all:"]
    options += ["--disable-pip-version-check", "--no-input", "-d", "wheels"]
    _run([*_pip(), "download", *options, *kind, "-r", "wanted.txt"], folder)


def _pip() -> list[str]:
    """A pip: this environment's, or that of the Python it was made from."""
    base = str(getattr(sys, "_base_executable", sys.executable))
    python = sys.executable if importlib.util.find_spec("pip") else base
    return [python, "-m", "pip"]


def _run(command: list[str], folder: Path) -> None:
    try:
        done = subprocess.run(  # noqa: S603 - our own command line
            command, cwd=folder, capture_output=True, check=False, timeout=SECONDS
        )
    except (OSError, subprocess.TimeoutExpired):
        raise MissingAssetsError(f"{Path(command[0]).stem} did not finish") from None
    if done.returncode != 0:
        raise MissingAssetsError("it could not be downloaded (is the network away?)")


def manifest_of(folder: Path) -> dict[str, object]:
    """What the page must load: wheels in order, versions."""
    names = sorted(path.name for path in (folder / "wheels").glob("*.whl"))
    return {"wheels": names, "versions": versions()}
