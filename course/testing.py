"""`course test`: pytest, with the repository's configuration."""

import os

import pytest

from course.places import ROOT

WHOLE_SUITE = ["-n", "auto", "--maxprocesses", "4", "--dist", "worksteal"]


def run(arguments: list[str]) -> int:
    """Run the tests that `arguments` choose, or all; pytest's exit status.

    All of them run on several cores. A few run in this process: there a failure can
    be looked into, and starting workers would take longer than the tests.
    """
    os.chdir(ROOT)
    return int(pytest.main(arguments or WHOLE_SUITE))
