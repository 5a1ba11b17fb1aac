"""The set-up: made once, used again, repaired, and never somebody else's to delete."""

import json
import shutil
import signal
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from course.places import site_packages
from tests.course.checkout import BARE, Checkout
from tests.servers import wait_until

VERSION = ("test", "--version")

pytestmark = pytest.mark.deep  # sets up, from the start, some thirty times


def test_the_first_start_sets_up_and_says_so_in_a_line_each(checkout: Checkout) -> None:
    first = checkout.course(*VERSION)

    assert first.passed(), first
    making, installing, _ = first.output.splitlines()
    assert making.startswith("Making .venv with uv (Python 3.")
    assert installing.startswith("Installing up to ")
    assert "requirements/test.txt (uv)" in installing
    assert checkout.uv_calls() == ["venv", "test.txt"]


def test_the_second_start_uses_what_is_there(checkout: Checkout) -> None:
    assert checkout.course(*VERSION).passed()
    state = checkout.state.read_bytes()

    second = checkout.course(*VERSION)

    assert second.passed(), second
    assert len(second.output.splitlines()) == 1
    assert checkout.uv_calls() == ["venv", "test.txt"]
    assert checkout.state.read_bytes() == state


def test_words_after_test_are_pytests_and_so_is_the_exit_status(
    checkout: Checkout,
) -> None:
    failed = checkout.course("test", "-k", "fail", "fail")
    whole = checkout.course("test")

    assert failed.status == 3
    assert failed.output.endswith("pytest got -k fail fail\n")
    assert whole.status == 0
    assert "pytest got -n 4" in whole.output


def test_the_tests_group_holds_what_run_needs(checkout: Checkout) -> None:
    assert checkout.course(*VERSION).passed()

    checkout.course("run", "s1")

    assert checkout.uv_calls() == ["venv", "test.txt"]


def test_an_environment_made_for_run_is_extended_for_test(checkout: Checkout) -> None:
    done = checkout.course("run", "s1")

    assert done.refused("The package 'uvicorn' is missing", "Delete the folder"), done
    assert checkout.course(*VERSION).passed()
    assert checkout.uv_calls() == ["venv", "app.txt", "test.txt"]


def test_a_changed_lock_is_installed_into_the_same_environment(
    checkout: Checkout,
) -> None:
    assert checkout.course(*VERSION).passed()
    lock = checkout.root / "requirements" / "test.txt"
    lock.write_text(lock.read_text(encoding="utf-8") + "# newer\n", encoding="utf-8")

    assert checkout.course(*VERSION).passed()
    assert checkout.uv_calls() == ["venv", "test.txt", "test.txt"]


def test_no_environment_is_made_where_the_packages_are_there(
    checkout: Checkout,
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "course", *VERSION],
        cwd=checkout.root,
        env=checkout.environment(),
        capture_output=True,
        check=True,
    )

    assert done.stdout.startswith(b"pytest ")
    assert not checkout.venv.exists()


@pytest.mark.parametrize("step", ["venv", "test.txt"])
def test_a_killed_set_up_is_repaired_at_the_next_start(
    checkout: Checkout, step: str
) -> None:
    with checkout.at_work(step) as running:
        running.kill()
        running.wait(10)
    (checkout.venv / "half-a-package").touch()

    second = checkout.course(*VERSION)

    assert second.passed(), second
    assert "cut short" in second.output
    assert not (checkout.venv / "half-a-package").exists()


def test_ctrl_c_in_the_set_up_is_quiet_and_stops_uv(checkout: Checkout) -> None:
    with checkout.at_work("test.txt") as running:
        running.send_signal(signal.SIGINT)
        output, _ = running.communicate(timeout=10)

    wait_until(lambda: "stopped" in checkout.uv_calls(), what="the end of uv")
    assert running.returncode == 130
    assert output.splitlines()[-1] == "Stopped."
    assert "Traceback" not in output


def test_a_state_that_was_cut_off_counts_as_unfinished(checkout: Checkout) -> None:
    assert checkout.course(*VERSION).passed()
    checkout.state.write_text('{"python": "3.', encoding="utf-8")

    second = checkout.course(*VERSION)

    assert second.passed(), second
    assert "cut short" in second.output


def test_a_second_command_waits_for_the_first(checkout: Checkout) -> None:
    with checkout.at_work("test.txt") as first, checkout.start(*VERSION) as second:
        assert second.stdout is not None
        assert "waiting for it" in second.stdout.readline()
        checkout.release.touch()
        assert first.wait(20) == 0
        assert second.wait(20) == 0

    assert checkout.uv_calls() == ["venv", "test.txt"]


def test_another_python_gets_an_environment_of_its_own(checkout: Checkout) -> None:
    assert checkout.course(*VERSION).passed()
    state = json.loads(checkout.state.read_text(encoding="utf-8"))
    checkout.state.write_text(json.dumps(state | {"python": "3.9"}), encoding="utf-8")

    second = checkout.course(*VERSION)

    assert second.passed(), second
    assert "Making .venv anew: it was for Python 3.9" in second.output


def test_an_environment_whose_python_is_gone_is_made_anew(checkout: Checkout) -> None:
    assert checkout.course(*VERSION).passed()
    shutil.rmtree(checkout.venv / ("Scripts" if sys.platform == "win32" else "bin"))

    second = checkout.course(*VERSION)

    assert second.passed(), second
    assert "the Python it was made with is gone" in second.output


def students_own(checkout: Checkout) -> Path:
    """A `.venv` that the command did not make, with a file that must survive."""
    venv.EnvBuilder(symlinks=sys.platform != "win32").create(checkout.venv)
    precious = checkout.venv / "thesis.txt"
    precious.touch()
    return precious


def test_a_students_own_environment_is_filled_and_nothing_removed(
    checkout: Checkout,
) -> None:
    precious = students_own(checkout)

    done = checkout.course(*VERSION)

    assert done.passed(), done
    assert "into your own .venv" in done.output
    assert checkout.uv_calls() == ["test.txt"]
    assert precious.exists()
    assert not checkout.state.exists()


def test_a_students_own_environment_that_has_everything_is_used(
    checkout: Checkout,
) -> None:
    students_own(checkout)
    assert checkout.course(*VERSION).passed()  # links the packages
    for note in checkout.packages.glob("*.dist-info"):
        shutil.copytree(note, site_packages(checkout.venv)[0] / note.name)
    checkout.calls.unlink()
    (checkout.venv / "course.lock").unlink()

    done = checkout.course(*VERSION)

    assert done.passed(), done
    assert len(done.output.splitlines()) == 1
    assert checkout.uv_calls() == []
    assert not (checkout.venv / "course.lock").exists()  # it may be read-only


def test_a_folder_of_that_name_without_a_python_is_left_alone(
    checkout: Checkout,
) -> None:
    checkout.venv.mkdir()
    precious = checkout.venv / "thesis.txt"
    precious.touch()

    done = checkout.course(*VERSION)

    assert done.refused("Move it somewhere else"), done
    assert precious.exists()


def test_a_file_of_that_name_is_left_alone(checkout: Checkout) -> None:
    checkout.venv.write_text("thesis", encoding="utf-8")

    assert checkout.course(*VERSION).refused("is in the way")
    assert checkout.venv.read_text(encoding="utf-8") == "thesis"


def test_the_commands_before_the_set_up_need_no_packages(checkout: Checkout) -> None:
    for command in ("list", "doctor"):
        done = checkout.course(command)
        assert done.status == 0, done
    assert not checkout.venv.exists()
    assert BARE.exists()


def test_setup_installs_the_groups_that_are_named_and_starts_nothing(
    checkout: Checkout,
) -> None:
    done = checkout.course("setup", "app", "test")

    assert done.status == 0, done
    assert checkout.uv_calls() == ["venv", "app.txt", "test.txt"]
