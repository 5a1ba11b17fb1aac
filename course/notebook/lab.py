"""`course notebook`: JupyterLab on this machine only, with the course importable."""

import os
import subprocess
import sys
from pathlib import Path

from course.places import ROOT, WINDOWS
from course.ports import listen

HOST = "127.0.0.1"
CONFIG = Path(__file__).with_name("jupyter")  # no question about news from the internet
OFFLINE = (  # what JupyterLab would otherwise ask the internet
    "--LabApp.news_url=None",
    "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
    "--LabApp.extension_manager=readonly",
)


def start(
    folder: Path, notebook: Path | None, port: int, *, browser: bool = True
) -> int:
    """Serve JupyterLab on loopback until Ctrl-C, on the next free port; exit status.

    `notebook` is what it opens first; None: the list of all in `folder`.
    """
    with listen(HOST, port) as listener:
        free: int = listener.getsockname()[1]
    words = command(folder, notebook, free, browser=browser)
    os.chdir(folder)
    sys.stdout.flush()
    if not WINDOWS:
        os.execve(words[0], words, environment())  # noqa: S606 - our own command line
    with subprocess.Popen(words, env=environment()) as lab:  # noqa: S603 - the same
        while True:
            try:
                return lab.wait()
            except KeyboardInterrupt:  # the console has told the child, too
                continue


def command(
    folder: Path, notebook: Path | None, port: int, *, browser: bool
) -> list[str]:
    """What starts JupyterLab at this address; Ctrl-C ends it without a question."""
    words = [
        sys.executable,
        "-m",
        "jupyterlab",
        *OFFLINE,
        "--ServerApp.answer_yes=True",
    ]
    words += [f"--ServerApp.ip={HOST}", f"--ServerApp.port={port}"]
    words += [f"--ServerApp.root_dir={folder}"]
    if getattr(os, "geteuid", lambda: 1)() == 0:  # in a container, often
        words.append("--allow-root")
    if not browser:
        words.append("--no-browser")
    if notebook:
        words.append(f"--LabApp.default_url=/lab/tree/{notebook.name}")
    return words


def environment() -> dict[str, str]:
    """For Jupyter and its kernels: notebooks import `course` and `examples`."""
    return {
        **os.environ,
        "PYTHONPATH": _path(ROOT, "PYTHONPATH"),
        "JUPYTER_CONFIG_PATH": _path(CONFIG, "JUPYTER_CONFIG_PATH"),
    }


def _path(first: Path, name: str) -> str:
    return os.pathsep.join([str(first), *filter(None, [os.environ.get(name)])])
