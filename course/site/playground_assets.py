"""What the playground loads: Pyodide and CodeMirror by npm, Python wheels by pip.

All are pinned by version and hash: npm's in `course/site/browser/package-lock.json`,
the wheels are the app lock's own packages. What was fetched is kept in
`.tools/playground` and never committed.
"""

import hashlib
import importlib.util
import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from course.groups import lock_file
from course.places import ROOT, base_python

LOCKED = ROOT / "course" / "site" / "browser"
PARTS = (
    "pyodide.mjs",
    "pyodide.asm.mjs",
    "pyodide.asm.wasm",
    "pyodide-lock.json",
    "python_stdlib.zip",
)
NOT_FOR_BROWSERS = {"pyodide", "ws", "@types/emscripten"}  # the first is copied by part
PLATFORM, PYTHON, ABI = "pyemscripten_2026_0_wasm32", "314", "cp314"
PACKAGES = (
    "annotated-doc",
    "annotated-types",
    "anyio",
    "fakeredis",
    "fastapi",
    "httpx2",
    "httpx2-jsfetch",
    "idna",
    "opentelemetry-api",
    "pydantic",
    "pydantic-core",
    "pydantic-settings",
    "python-dotenv",
    "redis",
    "sortedcontainers",
    "starlette",
    "typing-extensions",
    "typing-inspection",
)
MODULES = (
    "course/__init__.py",
    "course/places.py",
    "course/mistakes.py",
    "course/exercises/__init__.py",
    "course/exercises/checks.py",
    "course/exercises/words.py",
    "examples/__init__.py",
    "examples/full_app/__init__.py",
    "examples/full_app/routes/__init__.py",
    "examples/full_app/routes/recorded_answers.py",
)
SECONDS = 120
LOCK = "package-lock.json"


class MissingAssetsError(Exception):
    """The browser's Python cannot be had here; the text says why."""


def fetched() -> Path:
    """A folder with `pyodide`, `editor` and `wheels`. Raises MissingAssetsError."""
    wanted = locked()
    parts = (wanted, *(_browser_file(name) for name in ("package.json", LOCK)))
    key = hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
    folder = ROOT / ".tools" / "playground" / key
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as made:
        _npm(Path(made))
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


def imports() -> dict[str, str]:
    """Names of the editor's packages and their files, for an import map."""
    packages = json.loads(_browser_file(LOCK))["packages"]
    names = {key.removeprefix("node_modules/") for key in packages if key}
    return {name: _file_of(name) for name in sorted(names - NOT_FOR_BROWSERS)}


def _file_of(name: str) -> str:
    return f"editor/{name.lstrip('@').replace('/', '-')}.js"


def _browser_file(name: str) -> str:
    return (LOCKED / name).read_text(encoding="utf-8")


def _npm(folder: Path) -> None:
    npm = shutil.which("npm")
    if npm is None:
        raise MissingAssetsError("npm is not installed")
    for name in ("package.json", LOCK):
        (folder / name).write_text(_browser_file(name), encoding="utf-8")
    options = ["--silent", "--ignore-scripts", "--no-audit", "--no-fund"]
    _run([npm, "ci", *options], folder)
    modules = folder / "node_modules"
    (folder / "pyodide").mkdir()
    for part in PARTS:
        (modules / "pyodide" / part).rename(folder / "pyodide" / part)
    (folder / "editor").mkdir()
    for name, file in imports().items():
        told = json.loads((modules / name / "package.json").read_text(encoding="utf-8"))
        (modules / name / told["exports"]["import"]).rename(folder / file)
    shutil.rmtree(modules)


def _wheels(folder: Path, wanted: str) -> None:
    (folder / "wanted.txt").write_text(wanted, encoding="utf-8")
    kind = ["--platform", PLATFORM, "--python-version", PYTHON, "--abi", ABI]
    kind += ["--abi", "none", "--platform", "any", "--implementation", "cp"]
    options = ["--quiet", "--no-deps", "--require-hashes", "--only-binary=:all:"]
    options += ["--disable-pip-version-check", "--no-input", "-d", "wheels"]
    _run([*_pip(), "download", *options, *kind, "-r", "wanted.txt"], folder)


def _pip() -> list[str]:
    """A pip: this environment's, or that of the Python it was made from."""
    python = sys.executable if importlib.util.find_spec("pip") else base_python()
    return [str(python), "-m", "pip"]


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
    """What the page must load: wheels in order, versions, the text of our modules."""
    names = sorted(path.name for path in (folder / "wheels").glob("*.whl"))
    return {"wheels": names, "versions": versions(), "modules": modules()}


def modules() -> dict[str, str]:
    """The modules of the course that a tab needs, by their path.

    Checks are made of those of `course`; the last one puts recorded answers into the
    OpenAPI document of what runs in the tab.
    """
    return {name: (ROOT / name).read_text(encoding="utf-8") for name in MODULES}
