"""The notebooks in real kernels, as a student's JupyterLab runs them. Needs Jupyter."""

import os
import subprocess
import sys

import pytest

from course.groups import satisfied
from course.notebook.files import paths
from tests.servers import ROOT


@pytest.mark.deep
@pytest.mark.timeout(240)
def test_a_real_kernel_says_what_is_committed() -> None:
    if not satisfied("notebooks"):
        assert not os.environ.get("COURSE_REQUIRE_NOTEBOOKS"), "they are to be here"
        pytest.skip("Jupyter is missing: `python3 -m course setup notebooks`")
    done = subprocess.run(
        [sys.executable, "-m", "course", "notebook", "--compare"],
        cwd=ROOT,
        env={name: os.environ[name] for name in os.environ if name != "REDIS_URL"},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("as committed") == len(paths()) == 6
