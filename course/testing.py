"""`course test`: pytest, with the repository's configuration."""

import os

import pytest

from course.places import ROOT

WHOLE_SUITE = ["-n", "2"]  # two workers; measured, see CONTRIBUTING.md


def run(arguments: list[str]) -> int:
    """Run the tests that `arguments` choose, or all; pytest's exit status."""
    os.chdir(ROOT)
    return int(pytest.main(arguments or WHOLE_SUITE))
