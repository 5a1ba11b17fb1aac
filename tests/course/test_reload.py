"""`course run s2.1`: what is saved is served, and what is broken is explained."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from course.manifest import find
from course.mistakes import explain
from course.reload import serve_each_version
from course.serve import reason
from tests.servers import ROOT, free_port, wait_until

STEP = '''"""A step to try.

    curl -s http://127.0.0.1:8000/
"""

from fastapi import FastAPI

app = FastAPI()


@app.get("/")
def version() -> str:
    return "one"


@app.get("/forever")
async def forever() -> None:
    while True:
        pass
'''


class Running:
    """`course run s2.1` in a copy of the course whose only step is `file`."""

    def __init__(self, root: Path, *words: str) -> None:
        self.file = root / "examples" / "steps" / "s2_1_try.py"
        self.port = free_port()
        self.said: list[str] = []
        self.process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "course",
                "run",
                "s2.1",
                f"--port={self.port}",
                *words,
            ],
            cwd=root,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.said.append(line.rstrip())

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        self._reader.join(20)  # the server has the same output, and ends a moment later
        assert self.process.stdout is not None
        self.process.stdout.close()

    def wait_for(self, text: str) -> None:
        wait_until(
            lambda: any(text in line for line in self.said), seconds=50, what=text
        )

    def get(self, path: str = "/", seconds: float = 50) -> httpx2.Response:
        url = f"http://127.0.0.1:{self.port}{path}"
        return httpx2.get(url, trust_env=False, timeout=seconds)

    def answers(self, version: str) -> bool:
        """Whether that version is served. One that ends may cut a request off."""
        try:
            return bool(self.get().json() == version)
        except httpx2.TransportError:
            return False

    def save(self, text: str) -> None:
        """Write the step and wait until that was noticed."""
        seen = len(self.said)
        self.file.write_text(text, encoding="utf-8")
        wait_until(
            lambda: "Changed: s2_1_try.py" in self.said[seen:], seconds=50, what="save"
        )

    def nobody_listens(self) -> bool:
        try:
            self.get(seconds=1)
        except httpx2.ConnectError:
            return True
        except httpx2.TransportError:
            pass
        return False


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The command line, the manifest and one step, in a folder of their own."""
    shutil.copytree(ROOT / "course", tmp_path / "course")
    shutil.copytree(ROOT / "requirements", tmp_path / "requirements")
    console = Path("examples", "full_app", "console")  # colours and mark of all pages
    shutil.copytree(ROOT / console, tmp_path / console)
    answers = Path("examples", "full_app", "routes", "recorded_answers.py")
    (tmp_path / answers).parent.mkdir()  # shown in the documentation of every step
    shutil.copy(ROOT / answers, tmp_path / answers)
    for name in ("course.toml", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    steps = tmp_path / "examples" / "steps"
    steps.mkdir(parents=True)
    for folder in (steps, steps.parent):
        (folder / "__init__.py").touch()
    (steps / "s2_1_try.py").write_text(STEP, encoding="utf-8")
    return tmp_path


@contextlib.contextmanager
def started(root: Path, *words: str) -> Iterator[Running]:
    run = Running(root, *words)
    try:
        yield run
    finally:
        run.end()


@pytest.fixture
def running(copy: Path) -> Iterator[Running]:
    with started(copy) as run:
        run.wait_for("Stop it with Ctrl-C.")
        yield run


@pytest.mark.timeout(180)
def test_what_is_saved_is_served_at_the_same_address(running: Running) -> None:
    assert running.get().json() == "one"
    running.save(STEP.replace('"one"', '"two"'))

    assert running.get().json() == "two"


def test_a_change_is_announced_once_the_old_version_has_ended(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "step.py"
    file.write_text("old", encoding="utf-8")
    before_the_end: list[str] = []

    class Fake:
        """A worker in whose time the file changes; the second one ends the test."""

        reachable = announced = True

        def serve(self, *, announced: bool) -> None:
            if file.read_text(encoding="utf-8") == "changed":
                raise KeyboardInterrupt
            file.write_text("changed", encoding="utf-8")

        def listen(self) -> None:
            """It has nothing to say."""

        def has_ended(self) -> bool:
            return False

        def stop(self) -> None:
            before_the_end.append(capsys.readouterr().out)

    with pytest.raises(KeyboardInterrupt):
        serve_each_version(Fake, tmp_path, "*.py")  # type: ignore[arg-type]

    assert before_the_end[0] == ""
    assert "Changed: step.py" in before_the_end[1]


@pytest.mark.deep
@pytest.mark.timeout(180)
def test_the_second_of_two_edits_in_one_second_is_served(running: Running) -> None:
    second = 1_700_000_000 * 10**9
    for version, part in (("two", 1), ("six", 2)):
        other = running.file.with_suffix(".new")
        other.write_text(STEP.replace('"one"', f'"{version}"'), encoding="utf-8")
        os.utime(other, ns=(second + part, second + part))
        other.replace(running.file)  # as editors do
        wait_until(
            lambda version=version: running.answers(version),  # type: ignore[misc]
            seconds=50,
            what=version,
        )


@pytest.mark.timeout(180)
def test_a_broken_file_is_explained_until_it_is_mended(running: Running) -> None:
    running.save(STEP.replace("FastAPI()", "FastAPI("))
    answer = running.get()

    explained = [
        "examples/steps/s2_1_try.py, line 8:",
        "    app = FastAPI(",
        "                 ^",
        "SyntaxError: '(' was never closed.",
    ]
    assert answer.status_code == 500
    assert answer.text.splitlines() == explained
    assert "\n".join(explained) in "\n".join(running.said)
    assert "Traceback" not in "\n".join(running.said)

    running.save(STEP)
    wait_until(lambda: running.answers("one"), what="the mended version")


@pytest.mark.deep
@pytest.mark.timeout(180)
def test_a_route_that_never_returns_does_not_hold_up_a_reload(
    running: Running,
) -> None:
    with pytest.raises(httpx2.ReadTimeout):
        running.get("/forever", seconds=0.5)
    running.save(STEP.replace('"one"', '"two"'))

    assert running.get().json() == "two"


@pytest.mark.deep
@pytest.mark.timeout(180)
@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_quietly(copy: Path, end: signal.Signals) -> None:
    with started(copy) as run:
        run.wait_for("Stop it with Ctrl-C.")
        run.process.send_signal(end)
        assert run.process.wait(20) == 0
        wait_until(run.nobody_listens, what="the end of the server")

    assert run.said[-1] == "Stopped."


@pytest.mark.deep
@pytest.mark.timeout(180)
def test_a_server_does_not_outlive_the_command_that_was_killed(
    running: Running,
) -> None:
    running.process.kill()

    wait_until(running.nobody_listens, what="the end of the server")


@pytest.mark.deep
@pytest.mark.timeout(180)
def test_a_file_that_is_broken_from_the_start_is_served_once_it_is_mended(
    copy: Path,
) -> None:
    file = copy / "examples" / "steps" / "s2_1_try.py"
    file.write_text("import nothing_there\n", encoding="utf-8")
    with started(copy) as run:
        run.wait_for("ModuleNotFoundError: No module named 'nothing_there'.")
        run.save(STEP)
        run.wait_for("A step to try")
        assert run.get().json() == "one"


@pytest.mark.timeout(180)
def test_without_reload_a_broken_file_ends_with_its_explanation(copy: Path) -> None:
    file = copy / "examples" / "steps" / "s2_1_try.py"
    file.write_text("app = 1 / 0\n", encoding="utf-8")
    with started(copy, "--no-reload") as run:
        assert run.process.wait(50) == 1
        wait_until(lambda: len(run.said) >= 4, what="the explanation")

    assert run.said == [
        "examples/steps/s2_1_try.py, line 1:",
        "    app = 1 / 0",
        "          ^^^^^",
        "ZeroDivisionError: division by zero.",
    ]


@pytest.mark.parametrize(
    ("source", "place", "sentence"),
    [
        ("x = (\n", "x = (|    ^", "SyntaxError: '(' was never closed."),
        (
            "def f():\nx = 1\n",
            "x = 1|^",
            "IndentationError: expected an indented block",
        ),
        ("    x = 1\n", "x = 1|^", "IndentationError: unexpected indent."),
        ("x = name\n", "x = name|    ^^^^", "NameError: name 'name' is not defined"),
        ("x = 'ü' + name\n", "x = 'ü' + name|          ^^^^", "NameError: name 'name'"),
        ("import nowhere\n", "import nowhere|^^^^^^^^^^^^^^", "ModuleNotFoundError: "),
        ("raise ValueError()\n", "raise ValueError()|^^^^^^", "ValueError."),
        ("raise ValueError('a\\nb')\n", "raise|^^^^^", "ValueError: a."),
        ("def f():\n  int('x')\nf()\n", "int('x')|^^^^^^^^", "ValueError: invalid "),
        ("max(\n  1,\n  name)\n", "name|^^^^", "NameError: name 'name' is not def"),
    ],
)
def test_a_mistake_is_shown_with_its_line_a_caret_and_one_sentence(
    source: str, place: str, sentence: str, tmp_path: Path
) -> None:
    file = tmp_path / "step.py"
    file.write_text(source, encoding="utf-8")
    explained = None
    try:
        exec(compile(file.read_bytes(), file, "exec"), {})  # noqa: S102 - our source
    except Exception as error:
        explained = explain(error, below=tmp_path)

    assert explained is not None
    where, text, caret, *rest = explained.splitlines()
    wanted_text, _, wanted_caret = place.partition("|")
    assert where.startswith(f"{file.as_posix()}, line ")
    assert text.startswith(f"    {wanted_text}")
    assert caret.startswith(f"    {wanted_caret}")
    assert len(rest) == 1
    assert rest[0].startswith(sentence)


def test_a_file_that_cannot_even_be_read_as_text_is_named() -> None:
    error = ValueError("source code string cannot contain null bytes")

    assert str(reason(find("s2"), error)) == (
        "examples/s2_models.py:\n"
        "ValueError: source code string cannot contain null bytes."
    )


def test_a_package_that_was_installed_once_is_not_the_students_mistake() -> None:
    error = ModuleNotFoundError("No module named 'redis'", name="redis")

    assert reason(find("s4"), error) is error


def test_a_mistake_that_is_not_in_the_students_files_is_not_explained(
    tmp_path: Path,
) -> None:
    with pytest.raises(ZeroDivisionError) as caught:
        1 / 0  # noqa: B018 - it raises

    assert explain(caught.value, below=tmp_path) is None
