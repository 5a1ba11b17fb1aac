"""The notebooks in real kernels and in JupyterLab, as students have them."""

import os
import re
import signal
import subprocess
import sys

import httpx2
import pytest

from course.groups import satisfied
from course.notebook.files import paths
from tests.servers import ROOT, process

pytestmark = pytest.mark.deep
ADDRESS = re.compile(r"http://127\.0\.0\.1:\d+/lab/tree/\S+")


@pytest.fixture(autouse=True, scope="module")
def jupyter() -> None:
    """Skips where Jupyter is missing; with COURSE_REQUIRE_NOTEBOOKS (CI) it fails."""
    if not satisfied("notebooks"):
        assert not os.environ.get("COURSE_REQUIRE_NOTEBOOKS"), "Jupyter is missing"
        pytest.skip("Jupyter is missing: `python3 -m course setup notebooks`")


@pytest.mark.timeout(600)
def test_a_real_kernel_says_what_is_committed() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "course", "notebook", "--compare"],
        cwd=ROOT,
        env={**os.environ, "REDIS_URL": "redis://127.0.0.1:1"},  # not for notebooks
        capture_output=True,
        encoding="utf-8",
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("as committed") == len(paths()) == 6


def test_the_command_serves_a_notebook_on_loopback_until_ctrl_c() -> None:
    words = ["-m", "course", "notebook", "s3", "--no-browser", "--port", "0"]
    with process(*words) as lab:
        assert lab.stdout is not None
        said = (line.decode() for line in iter(lab.stdout.readline, b""))
        url = next(found[0] for found in map(ADDRESS.search, said) if found)
        page = httpx2.get(url, trust_env=False, follow_redirects=True, timeout=20)
        lab.send_signal(signal.SIGINT)
        rest = lab.stdout.read().decode()

        assert lab.wait(20) == 0, rest
    assert "/lab/tree/s3_patterns.ipynb" in url
    assert page.status_code == 200
    assert "apputils-extension:announcements" in page.text  # among those turned off
    assert not re.search(r'(?:src|href)="https?://(?!127\.)', page.text)
