"""`course notebook`: JupyterLab on this machine only, with the course importable."""

import os
import subprocess
import sys
from pathlib import Path

from course.notebook.files import NOTEBOOKS
from course.places import ROOT
from course.ports import listen

OFFLINE = (  # what JupyterLab would otherwise ask the internet
    "--LabApp.news_url=None",
    "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
    "--LabApp.extension_manager=readonly",
)


def kernel_environment() -> dict[str, str]:
    """The environment of a kernel: notebooks import `course` and `examples`."""
    known = os.environ.get("PYTHONPATH")
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, [known])]),
    }


def command(notebook: Path | None, host: str, port: int, *, browser: bool) -> list[str]:
    """What starts JupyterLab on exactly this address."""
    words = [sys.executable, "-m", "jupyterlab", *OFFLINE]
    words += [f"--ServerApp.ip={host}", f"--ServerApp.port={port}"]
    words += ["--ServerApp.port_retries=0", f"--ServerApp.root_dir={NOTEBOOKS}"]
    if not browser:
        words.append("--no-browser")
    return [*words, str(notebook)] if notebook else words


def start(notebook: Path | None, port: int, *, browser: bool = True) -> int:
    """Serve JupyterLab on loopback until Ctrl-C, on the next free port; exit status."""
    host = "127.0.0.1"
    with listen(host, port) as listener:
        free: int = listener.getsockname()[1]
    words = command(notebook, host, free, browser=browser)
    return subprocess.call(words, cwd=NOTEBOOKS, env=kernel_environment())  # noqa: S603 - our own command line
