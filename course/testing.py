"""`course test`: pytest, with the repository's configuration."""

import os
import sys

import pytest

from course.places import ROOT

# Four, also on two cores: many tests wait for a server, a limit, another process.
SPREAD = ["-n", "4", "--dist", "worksteal"]
STUDENTS_SUITE = [*SPREAD, "-m", "not deep"]


def run(arguments: list[str]) -> int:
    """Run the chosen tests, or all that are not deep; the exit status of pytest.

    Without arguments the tests run on several cores, and those marked `deep` are left
    to CI. With them they run in this process: there a failure can be looked into, and
    starting workers would take longer than a few tests.
    """
    os.chdir(ROOT)
    # The tests start some hundred processes; uncompiled, each takes twice as long.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.dont_write_bytecode = False
    return int(pytest.main(arguments or STUDENTS_SUITE))
