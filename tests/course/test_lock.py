"""The locks: complete, hashed, consistent, without addresses; and their renewal."""

import os
import re
import tomllib

import pytest

from course.groups import GROUPS, lock_file, requirements
from course.lock import pins_of
from tests.course.checkout import Checkout
from tests.servers import ROOT

HASH = re.compile(r"^    --hash=sha256:[0-9a-f]{64}( \\)?$")


def locked(group: str) -> dict[str, str]:
    """Package to version."""
    pins = [pin.partition(" ;")[0].split("==") for pin in pins_of(group)]
    return dict(pins)


@pytest.mark.parametrize("group", GROUPS)
def test_a_lock_has_hashes_and_no_address(group: str) -> None:
    text = lock_file(group).read_text(encoding="utf-8")

    assert "python3 -m course lock" in text
    check_lock(text)


def test_the_lock_of_what_tests_use_as_clients_has_hashes_and_no_address() -> None:
    text = lock_file("clients").read_text(encoding="utf-8")
    wanted = ROOT / "tests" / "full_app" / "contract" / "python_clients" / "clients.in"
    listed = wanted.read_text(encoding="utf-8").splitlines()
    names = {name.partition("[")[0] for name in listed if not name.startswith("#")}

    assert "uv pip compile" in text  # the command that renews it
    assert names <= set(locked("clients"))
    check_lock(text)


def check_lock(text: str) -> None:
    """Each requirement has a hash, and there is nothing else."""
    assert "://" not in text
    assert "--index-url" not in text
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    for line, following in zip(lines, [*lines[1:], ""], strict=True):
        if "==" in line.partition(";")[0]:
            assert HASH.match(following), line
        else:
            assert HASH.match(line), line


@pytest.mark.parametrize("group", GROUPS)
def test_a_lock_holds_everything_its_group_asks_for(group: str) -> None:
    wanted = {re.split(r"[\[<>=;]", it)[0].lower() for it in requirements(group)}

    assert wanted <= set(locked(group))


def test_no_two_locks_disagree_about_a_version() -> None:
    everything = [pin for group in GROUPS for pin in locked(group).items()]

    assert len(dict(everything)) == len(set(everything))


def test_app_is_part_of_every_group_and_test_of_lint() -> None:
    for group in GROUPS:
        assert locked("app").items() <= locked(group).items()
    assert locked("test").items() <= locked("lint").items()


def test_uv_run_is_held_to_the_lock_of_the_tests() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    held = tomllib.loads(text)["tool"]["uv"]["constraint-dependencies"]

    assert held == pins_of("test")


def test_lock_writes_every_group_and_holds_uv_run_to_it(checkout: Checkout) -> None:
    before = (checkout.root / "pyproject.toml").read_text(encoding="utf-8")

    done = checkout.course("lock")

    assert done.status == 0, done
    assert checkout.uv_calls() == ["-"] * (len(GROUPS) + 1)
    for group in GROUPS:
        lock = checkout.root / "requirements" / f"{group}.txt"
        assert "\ndemo==1.0 \\\n    --hash=sha256:" in lock.read_text(encoding="utf-8")
    after = (checkout.root / "pyproject.toml").read_text(encoding="utf-8")
    settings = tomllib.loads(after)["tool"]["uv"]
    assert settings["constraint-dependencies"] == ["demo==1.0"]
    held = re.compile(r"constraint-dependencies = \[.*?^\]$", re.DOTALL | re.MULTILINE)
    assert held.sub("", after) == held.sub("", before)


def test_lock_without_uv_says_how_to_get_it(bare_checkout: Checkout) -> None:
    assert bare_checkout.course("lock").refused("pip install uv")


def test_a_failed_resolution_changes_no_file(checkout: Checkout) -> None:
    lock = checkout.root / "requirements" / "app.txt"
    before = lock.read_bytes()

    assert checkout.course("lock", uv="is-broken").refused("nobody has seen before")
    assert lock.read_bytes() == before


if os.environ.get("COURSE_TEST_INDEX"):  # opt-in: it asks the package index

    def test_the_ranges_resolve_today(checkout: Checkout) -> None:
        found = os.environ["PATH"]
        checkout.tools.joinpath("uv").unlink()
        done = checkout.course("lock", PATH=found)

        assert done.status == 0, done
