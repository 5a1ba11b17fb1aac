"""`course doctor`: every failing line is followed by the line that repairs it."""

import shutil
import socket
import tempfile

import pytest

from course import doctor, installers
from tests.course.checkout import Checkout

REPAIR = "repair: "


def test_a_bare_machine_passes_and_optional_programs_come_with_a_repair(
    checkout: Checkout,
) -> None:
    done = checkout.course("doctor")

    assert done.status == 0, done
    assert "FAIL" not in done.output
    lines = done.output.splitlines()
    for line, following in zip(lines, [*lines[1:], ""], strict=True):
        assert not line.startswith("-  ") or REPAIR in following, line
    for name in (
        "python",
        "disk",
        "curl",
        "uv",
        "redis-server",
        "node",
        "chromium",
        "port",
    ):
        assert any(line.split()[1] == name for line in lines if REPAIR not in line)


def test_a_cut_off_environment_fails_and_names_the_command_that_mends_it(
    checkout: Checkout,
) -> None:
    checkout.venv.mkdir()
    checkout.state.write_text('{"python": "3.', encoding="utf-8")

    done = checkout.course("doctor")

    assert done.status == 1
    assert "FAIL  .venv" in done.output
    assert f"{REPAIR}python3 -m course run" in done.output


def test_an_environment_older_than_the_lock_fails(checkout: Checkout) -> None:
    assert checkout.course("test", "--version").passed()
    assert "made for app, test" in checkout.course("doctor").output
    lock = checkout.root / "requirements" / "test.txt"
    lock.write_bytes(lock.read_bytes() + b"# newer\n")

    done = checkout.course("doctor")

    assert done.status == 1
    assert "older than the lock: test" in done.output


def test_a_students_own_environment_is_named_as_theirs(checkout: Checkout) -> None:
    checkout.venv.mkdir()
    (checkout.venv / "thesis.txt").touch()

    done = checkout.course("doctor")

    assert done.status == 1
    assert "yours; it lacks" in done.output


def test_a_full_disk_a_missing_venv_and_a_locked_folder_fail(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def locked(**_: object) -> None:
        raise PermissionError(13, "Permission denied")

    usage = shutil.disk_usage("/")._replace(free=1)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    monkeypatch.setattr(shutil, "which", lambda _: None)
    monkeypatch.setattr(installers, "has_venv", lambda: False)
    monkeypatch.setattr(tempfile, "TemporaryFile", locked)

    assert doctor.examine() == 1
    out = capsys.readouterr().out
    for name in ("environments", "folder", "disk"):
        assert f"FAIL  {name}" in out
    assert "sudo apt install python3" in out


def test_a_taken_port_comes_with_the_command_for_another() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        finding = doctor.look_at_port(port)

    assert not finding.good
    assert finding.repair.endswith(f"course run --port {port + 1}")
