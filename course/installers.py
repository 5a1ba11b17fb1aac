"""uv or pip, whichever the machine has, and what their complaints mean."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import time

from course.groups import lock_file
from course.places import ROOT, VENV, CourseError, command, complain, say, venv_python

LOG = VENV / "course-setup.log"
NO_SPACE = (
    "The disk is full. The packages need about 100 MB in {root}.\n"
    "Free some space, then start again."
)
NO_NETWORK = (
    "The packages could not be downloaded: no connection to the package index.\n"
    "Connect to the internet, or name your proxy or mirror to {tool}, then start again."
)
WRONG_HASH = (
    "A downloaded package is not the one in {lock}: something between here and\n"
    "the index changed it, or the mirror is broken. Nothing of it was installed."
)
NO_VENV = (
    "This Python ({python}) cannot make environments: `ensurepip` is missing.\n"
    "  Debian, Ubuntu:   sudo apt install python{version}-venv\n"
    "  or install uv, which does not need it:   pipx install uv\n"
    "Then start again."
)
_SIGNS = {
    "disk": ("no space left on device", "os error 28", "not enough space on the disk"),
    "hash": ("do not match the hashes", "hash mismatch"),
    "network": (
        "failed to establish a new connection",
        "temporary failure in name resolution",
        "connection refused",
        "connecttimeout",
        "read timed out",
        "proxyerror",
        "certificate verify failed",
        "dns error",
        "error sending request",
        "network is unreachable",
    ),
}


class NetworkError(CourseError):
    """The index cannot be reached: nothing was changed."""


def create() -> None:
    """Make an empty environment at `.venv`. Raises CourseError."""
    version = sys.version.split()[0]
    uv = shutil.which("uv")
    if uv:
        say(f"Making .venv with uv (Python {version})")
        run([uv, "venv", "--quiet", "--allow-existing", "--python", sys.executable])
        return
    if not all(map(importlib.util.find_spec, ("venv", "ensurepip"))):
        minor = ".".join(version.split(".")[:2])
        raise CourseError(NO_VENV.format(python=sys.executable, version=minor))
    say(f"Making .venv (Python {version})")
    run([sys.executable, "-m", "venv"])


def install(group: str) -> None:
    """Install the group's lock into `.venv`. Raises CourseError or NetworkError."""
    lock = lock_file(group)
    packages = len(re.findall(r"^\w", lock.read_text(encoding="utf-8"), re.M))
    options = ["--require-hashes", "--no-deps", "--quiet", "-r", str(lock)]
    python = str(venv_python())
    uv = shutil.which("uv")
    tool = "uv" if uv else "pip"
    say(f"Installing up to {packages} packages from requirements/{lock.name} ({tool})")
    if uv:
        run([uv, "pip", "install", "--python", python, *options], folder=False)
        return
    if not any(VENV.glob("[Ll]ib*/**/site-packages/pip/__init__.py")):
        run([python, "-m", "ensurepip"], folder=False)
    options += ["--no-input", "--no-compile", "--disable-pip-version-check"]
    run([python, "-m", "pip", "install", *options], folder=False)


def run(words: list[str], *, folder: bool = True) -> None:
    """Run one step; with `folder`, on `.venv`. Its output goes to a log.

    Raises CourseError, saying in a sentence what the output means.
    """
    if folder:
        words = [*words, str(VENV)]
    environment = {**os.environ, "PIP_USER": "0", "PIP_REQUIRE_VIRTUALENV": "0"}
    environment.pop("PYTHONHOME", None)
    with (
        LOG.open("wb") as log,
        subprocess.Popen(  # noqa: S603 - our own command line
            words,
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        ) as child,
    ):
        try:
            status = _wait(child)
        except BaseException:
            child.terminate()
            raise
    if status:
        _explain(words)


def _wait(child: "subprocess.Popen[bytes]") -> int:
    """The exit status; meanwhile, on a terminal, the seconds that have passed."""
    start = time.monotonic()
    while True:
        try:
            return child.wait(timeout=1)
        except subprocess.TimeoutExpired:
            if sys.stdout.isatty():
                seconds = time.monotonic() - start
                print(f"\r  ... {seconds:.0f} s ", end="\r", flush=True)


def _explain(words: list[str]) -> None:
    text = LOG.read_text(encoding="utf-8", errors="replace")
    meaning = {
        kind
        for kind, signs in _SIGNS.items()
        if any(sign in text.lower() for sign in signs)
    }
    tool = "pip" if "ensurepip" in words or "-m" in words else "uv"
    if "disk" in meaning:
        raise CourseError(NO_SPACE.format(root=ROOT))
    if "hash" in meaning:
        raise CourseError(WRONG_HASH.format(lock=words[-1]))
    if "network" in meaning:
        raise NetworkError(NO_NETWORK.format(tool=tool))
    complain("\n".join(text.splitlines()[-15:]))
    again = command("course doctor")
    raise CourseError(f"The set-up failed; above is what {tool} said. Try: {again}")
