"""uv or pip, whichever the machine has, and what their complaints mean."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import time

from course.groups import lock_file
from course.places import (
    ROOT,
    VENV,
    CourseError,
    command,
    complain,
    say,
    site_packages,
    venv_python,
)

LOG = VENV / "course-setup.log"
NO_SPACE = (
    "The disk is full. The packages need about 100 MB in {root}.\n"
    "Free some space, then start again."
)
NO_NETWORK = (
    "The packages could not be downloaded: the package index cannot be reached, or\n"
    "does not have them. Connect to the internet, or tell {tool} about your proxy or\n"
    "mirror, then start again. Nothing was changed."
)
WRONG_HASH = (
    "A downloaded package is not the one that was locked: something between here and\n"
    "the index changed it. Try another network or mirror. It was not installed."
)
NO_VENV = (
    "This Python ({python}) cannot make environments: `ensurepip` is missing.\n"
    "  Debian, Ubuntu:   sudo apt install python{version}-venv\n"
    "  or install uv, which does not need it:   pipx install uv\n"
    "Then start again."
)
NEARLY_NOTHING = 5_000_000  # bytes
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
        "(from versions: none)",
    ),
}


class NetworkError(CourseError):
    """The index cannot be reached: nothing was changed."""


def check() -> None:
    """Raises CourseError, saying what to install, where environments cannot be made."""
    if shutil.which("uv") is None and not has_venv():
        minor = f"{sys.version_info.major}.{sys.version_info.minor}"
        raise CourseError(NO_VENV.format(python=sys.executable, version=minor))


def has_venv() -> bool:
    """Whether this Python can make environments; Debian packs that separately."""
    return all(map(importlib.util.find_spec, ("venv", "ensurepip")))


def create() -> None:
    """Make an empty environment at `.venv`. Raises CourseError."""
    version = sys.version.split()[0]
    uv = shutil.which("uv")
    if uv:
        say(f"Making .venv with uv (Python {version})")
        options = ["--quiet", "--allow-existing", "--python", sys.executable]
        run([uv, "venv", *options, str(VENV)])
    else:
        say(f"Making .venv (Python {version})")
        run([sys.executable, "-m", "venv", str(VENV)])


def install(group: str) -> None:
    """Install the group's lock into `.venv`. Raises CourseError or NetworkError."""
    lock = lock_file(group)
    packages = len(re.findall(r"^\w", lock.read_text(encoding="utf-8"), re.MULTILINE))
    options = ["--require-hashes", "--no-deps", "--quiet", "-r", str(lock)]
    python = str(venv_python())
    uv = shutil.which("uv")
    tool = "uv" if uv else "pip"
    say(f"Installing up to {packages} packages from requirements/{lock.name} ({tool})")
    if uv:
        run([uv, "pip", "install", "--python", python, *options])
        return
    if not any((folder / "pip").exists() for folder in site_packages()):
        run([python, "-m", "ensurepip"])
    options += ["--no-input", "--no-compile", "--disable-pip-version-check"]
    run([python, "-m", "pip", "install", *options])


def run(words: list[str]) -> None:
    """Run one step, its output in a log. Raises CourseError, saying what that means."""
    environment = {**os.environ, "PIP_USER": "0"}
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
    tool = "pip" if "-m" in words else "uv"
    # on a full disk the log is empty, too
    if "disk" in meaning or shutil.disk_usage(VENV).free < NEARLY_NOTHING:
        raise CourseError(NO_SPACE.format(root=ROOT))
    if "hash" in meaning:
        raise CourseError(WRONG_HASH)
    if "network" in meaning:
        raise NetworkError(NO_NETWORK.format(tool=tool))
    complain("\n".join(text.splitlines()[-15:]))
    again = command("course doctor")
    raise CourseError(f"The set-up failed; above is what {tool} said. Try: {again}")
