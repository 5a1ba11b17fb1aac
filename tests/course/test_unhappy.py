"""What can be wrong with a machine: each gets a sentence, and never a traceback."""

import ast
import errno
import hashlib
import importlib.util
import io
import os
import re
import shutil
import socket
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest
import uvicorn

from course import parser, places, ports, serve
from course.manifest import find
from course.places import CourseError, site_packages
from course.ports import listen
from tests.course.checkout import BARE, RUN_COURSE, Checkout, refusing_mkdir
from tests.servers import ROOT, free_port

VERSION = ("test", "--version")


NO_ENSUREPIP = """
import sys
class Without:
    def find_spec(self, name, path=None, target=None):
        if name == "ensurepip":
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Without())
import importlib.util
import io
real = importlib.util.find_spec
importlib.util.find_spec = lambda name: None if name == "ensurepip" else real(name)
"""


def test_an_old_python_is_told_what_to_install() -> None:
    pretend = f"import sys; sys.version_info = (3, 8, 18, 'final', 0); {RUN_COURSE}"
    done = subprocess.run(
        [sys.executable, "-c", pretend, "run"],
        cwd=ROOT,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )

    assert done.returncode == 1
    assert "needs Python 3.11 or newer" in done.stderr
    assert "sudo apt install" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("name", ["__init__.py", "__main__.py"])
def test_an_old_python_can_read_what_tells_it(name: str) -> None:
    source = (ROOT / "course" / name).read_text(encoding="ascii")
    tree = ast.parse(source, feature_version=(3, 7))
    new = (ast.JoinedStr, ast.AnnAssign, ast.FunctionDef, ast.NamedExpr)

    assert not [node for node in ast.walk(tree) if isinstance(node, new)]


def test_without_ensurepip_it_names_the_debian_package(
    bare_checkout: Checkout,
) -> None:
    done = bare_checkout.course(*VERSION, before=NO_ENSUREPIP)

    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    assert done.refused(f"sudo apt install python{version}-venv"), done


def test_without_ensurepip_uv_is_enough(checkout: Checkout) -> None:
    assert checkout.course(*VERSION, before=NO_ENSUREPIP).passed()


@pytest.mark.parametrize("code", [errno.EROFS, errno.EACCES, errno.EPERM])
def test_a_read_only_checkout_is_said_to_be_one(checkout: Checkout, code: int) -> None:
    done = checkout.course(*VERSION, before=refusing_mkdir(code))

    assert done.refused("Cannot write in", "Kurs für alle", os.strerror(code)), done


def test_a_full_disk_is_said_to_be_full(checkout: Checkout) -> None:
    done = checkout.course(*VERSION, before=refusing_mkdir(errno.ENOSPC))

    assert done.refused("The disk is full", "Free some space"), done


def test_a_disk_too_full_for_the_complaint_is_said_to_be_full(
    checkout: Checkout,
) -> None:
    before = "import shutil; full = shutil.disk_usage('.')._replace(free=4096)\n"
    before += "shutil.disk_usage = lambda _: full"

    done = checkout.course(*VERSION, uv="is-broken", before=before)

    assert done.refused("The disk is full"), done


@pytest.mark.deep
@pytest.mark.parametrize(
    ("uv", "reason"),
    [
        ("has-no-network", "the package index cannot be reached"),
        ("has-a-full-disk", "The disk is full"),
        ("gets-another-file", "is not the one that was locked"),
        ("is-broken", "something nobody has seen before"),
    ],
)
def test_what_uv_reports_becomes_a_sentence_and_the_next_start_works(
    checkout: Checkout, uv: str, reason: str
) -> None:
    done = checkout.course(*VERSION, uv=uv)

    assert done.refused(reason), done
    assert checkout.course(*VERSION).passed()


@pytest.mark.deep
def test_an_update_without_network_keeps_what_was_there(checkout: Checkout) -> None:
    assert checkout.course(*VERSION).passed()
    state = checkout.state.read_bytes()
    lock = checkout.root / "requirements" / "test.txt"
    lock.write_bytes(lock.read_bytes() + b"# newer\n")

    assert checkout.course(*VERSION, uv="has-no-network").refused("index")
    assert checkout.state.read_bytes() == state
    lock.write_bytes(lock.read_bytes().removesuffix(b"# newer\n"))
    assert checkout.course(*VERSION).passed()
    assert checkout.uv_calls() == ["venv", "test.txt", "test.txt"]


def tiny_wheel(folder: Path, link: Path) -> str:
    """A wheel that links to the packages in `link`; the line that locks it."""
    folder.mkdir()
    wheel = folder / "demo-1.0-py3-none-any.whl"
    about = "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\n"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("demo.pth", str(link))
        meta = "Metadata-Version: 2.1\nName: demo\nVersion: 1.0\n"
        archive.writestr("demo-1.0.dist-info/METADATA", meta)
        archive.writestr("demo-1.0.dist-info/WHEEL", f"{about}Tag: py3-none-any\n")
        archive.writestr("demo-1.0.dist-info/RECORD", "")
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    return f"demo==1.0 --hash=sha256:{digest}\n"


def with_pip(packages: Path) -> None:
    """Give an environment this Python's pip; ensurepip takes five seconds for it."""
    found = importlib.util.find_spec("pip")
    if found is not None and found.origin is not None:
        shutil.copytree(Path(found.origin).parent, packages / "pip")
        return
    bundled = Path(sysconfig.get_paths()["stdlib"], "ensurepip", "_bundled")
    debian = Path("/usr/share/python-wheels")
    wheels = [*bundled.glob("pip-*.whl"), *debian.glob("pip-*.whl")]
    with zipfile.ZipFile(wheels[0]) as archive:
        archive.extractall(packages)


@pytest.mark.deep
def test_without_uv_pip_installs_and_an_index_out_of_reach_changes_nothing(
    checkout: Checkout,
) -> None:
    """The real pip: first with an index that nobody serves, then with a folder."""
    assert checkout.course(*VERSION, uv="has-no-network").refused()
    with_pip(site_packages(checkout.venv)[0])
    wheels = checkout.tools.with_name("wheels")
    lock = checkout.root / "requirements" / "test.txt"
    lock.write_text(tiny_wheel(wheels, checkout.packages), encoding="utf-8")
    nowhere = f"http://127.0.0.1:{free_port()}/simple"
    settings = {"PIP_CONFIG_FILE": os.devnull, "PIP_INDEX_URL": nowhere, "PATH": ""}

    offline = checkout.course(*VERSION, **settings, PIP_RETRIES="0")
    settings |= {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(wheels)}
    online = checkout.course(*VERSION, **settings)

    assert offline.refused("the package index cannot be reached", "tell pip"), offline
    assert online.passed(), online
    assert "requirements/test.txt (pip)" in online.output
    assert checkout.uv_calls() == ["venv", "test.txt"]  # made once, by uv


def test_a_taken_port_is_left_alone_and_the_next_one_used(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with listen("127.0.0.1", port) as listener:
            chosen = listener.getsockname()[1]

    assert chosen > port
    assert capsys.readouterr().out == f"Port {port} is taken: using {chosen}\n"


@pytest.mark.parametrize(
    ("host", "reason"),
    [
        ("203.0.113.1", "Cannot listen on 203.0.113.1:8123: "),
        ("256.1.1.1", "'256.1.1.1' is not an address: "),
    ],
)
def test_a_host_that_is_not_this_machine_is_refused(host: str, reason: str) -> None:
    with pytest.raises(CourseError, match=re.escape(reason)):
        listen(host, 8123)


def test_ports_that_are_all_taken_are_said_to_be(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ports, "bind", lambda *_: None)

    with pytest.raises(CourseError, match="Ports 65500 to 65535 are all taken"):
        listen("127.0.0.1", 65500)


def test_a_section_that_does_not_exist_is_refused_before_any_set_up(
    checkout: Checkout,
) -> None:
    assert checkout.course("run", "s9").refused("There is no section or step 's9'")
    assert not checkout.venv.exists()


def test_settings_that_do_not_fit_together_are_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("FULL_APP_API_KEYS", raising=False)
    monkeypatch.setenv("FULL_APP_HOST", "127.0.0.1")  # the command knows better
    monkeypatch.delitem(sys.modules, "examples.full_app.main", raising=False)
    monkeypatch.setattr(uvicorn.Server, "run", lambda *_, **__: None)

    with pytest.raises(CourseError, match="set FULL_APP_API_KEYS to serve other"):
        serve.run(find("full_app"), "0.0.0.0", 0)  # noqa: S104 - refused


@pytest.mark.parametrize("port", ["65536", "-1", "http"])
def test_a_port_that_is_none_is_refused(bare_checkout: Checkout, port: str) -> None:
    done = bare_checkout.course("run", f"--port={port}")

    assert done.status == 2
    assert "not a port" in done.output


def test_a_reader_that_stops_reading_is_not_an_error() -> None:
    with subprocess.Popen(
        [str(BARE), "-S", "-u", "-m", "course", "list"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        running.stdout.close()
        assert b"Traceback" not in running.stderr.read()


@pytest.mark.parametrize("meant", ["check", "bench", "notebook"])
def test_a_command_that_does_not_exist_comes_with_a_near_one(meant: str) -> None:
    without_a_letter = meant[:3] + meant[4:]
    with pytest.raises(CourseError, match=f"Did you mean {meant}"):
        parser.refuse_unknown(without_a_letter)


def test_a_command_like_no_other_comes_with_the_list() -> None:
    with pytest.raises(CourseError) as refused:
        parser.refuse_unknown("xyzzy")
    assert "Did you mean" not in str(refused.value)
    assert "course --help" in str(refused.value)


@pytest.mark.parametrize("word", ["run", "--help", "-h"])
def test_a_command_or_an_option_is_not_refused(word: str) -> None:
    parser.refuse_unknown(word)


class Terminal(io.StringIO):
    """A standard output at which somebody sits."""

    def isatty(self) -> bool:
        return True


def test_colour_is_for_a_terminal_and_not_for_a_pipe(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    assert places.coloured("good", places.GREEN) == "good"
    monkeypatch.setattr(sys, "stdout", Terminal())
    assert places.coloured("good", places.GREEN) == "\x1b[32mgood\x1b[0m"
    monkeypatch.setenv("NO_COLOR", "1")
    assert places.coloured("good", places.GREEN) == "good"


def test_progress_is_one_line_on_a_terminal_and_nothing_in_a_pipe(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pipe, terminal = io.StringIO(), Terminal()
    for output in (pipe, terminal):
        monkeypatch.setattr(sys, "stdout", output)
        places.show_progress(1, 2, "pages")
        places.show_progress(2, 2, "pages")
    assert pipe.getvalue() == ""
    assert terminal.getvalue() == "\r   1 of 2 pages\r   2 of 2 pages\n"
