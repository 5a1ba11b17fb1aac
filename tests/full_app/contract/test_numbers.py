"""No check of the wire is left out: each of the 90 has its number in a test's name.

Those that touch Redis are parametrized with both; `.ci/run` runs all others a second
time on a real one (COURSE_TESTS_ON_REDIS, in `tests/full_app/conftest.py`).
"""

import re

from tests.servers import ROOT

CHECKS = range(1, 91)
ROOM = ROOT / "tests" / "full_app"


def numbers() -> dict[int, list[str]]:
    """The tests of each number; `test_45_46_47_...` proves three."""
    found: dict[int, list[str]] = {}
    for path in sorted(ROOM.rglob("test_*.py")):
        text = path.read_text(encoding="utf-8")
        for name in re.findall(r"(?m)^(?:async )?def (test_\w+)\(", text):
            match = re.match(r"test((?:_\d\d)+)_[a-z]", name)
            for number in match[1].split("_")[1:] if match else ():
                found.setdefault(int(number), []).append(name)
    return found


def test_each_of_the_90_checks_has_a_test() -> None:
    found = numbers()

    assert found.keys() == set(CHECKS)
