"""`course export`: a project of its own that knows nothing of the course."""

import contextlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import textwrap
import tomllib
from pathlib import Path

import pytest

from course import cli
from course.export import names, project, prune, rewrite, selection, words
from course.export.names import Names
from course.groups import requirements
from course.lock import pins_of
from course.places import CourseError, UsageError, base_python, venv_python
from examples.full_app.settings import Settings
from tests.once import once_a_run
from tests.servers import free_port, wait_for_http

ASSISTANT = Names("assistant")
OURS = ["benchmarks", "course", "examples"]
# Imports every module of a package where no module of the course can be found.
IMPORTING = """
import importlib, json, pkgutil, sys

folder, package, ours = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])

class Gate:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ours:
            raise ModuleNotFoundError(name, name=name)

sys.meta_path.insert(0, Gate())
sys.path.insert(0, folder)
root = importlib.import_module(package)
assert root.__file__.startswith(folder), root.__file__
found = [it.name for it in pkgutil.walk_packages(root.__path__, f"{package}.")]
for name in found:
    importlib.import_module(name)
print(len(found))
"""
DEFAULTS = """
import sys
sys.path.insert(0, sys.argv[1])
from assistant.settings import Settings
print(Settings().model_dump_json())
"""


def write_export(folder: Path) -> None:
    """Write the project `assistant` into `chat-api`, and beside it what was printed."""
    words = ["export", str(folder / "chat-api"), "--name", "assistant"]
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        assert cli.main(words) == 0
    (folder / "printed.txt").write_text(printed.getvalue(), encoding="utf-8")


@pytest.fixture(scope="session")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the project and what the command printed."""
    return once_a_run(tmp_path_factory, "export", write_export)


@pytest.fixture
def exported(export: Path) -> Path:
    """The service as the project `assistant`."""
    return export / "chat-api"


def read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def files(folder: Path) -> list[Path]:
    """The files of an exported project, without what running it has made."""
    made = {"__pycache__", ".venv", ".hypothesis", ".pytest_cache"}
    return [
        path
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not made & set(path.relative_to(folder).parts)
    ]


# --- The project ---


def test_no_word_of_the_course_is_left_but_one_line_of_origin(exported: Path) -> None:
    left = {
        f"{path.relative_to(exported).as_posix()}: {line}"
        for path in files(exported)
        for line in read(path).splitlines()
        if words.leftovers(line)
    }

    assert {it for it in left if not it.startswith("LICENSE: Copyright")} == {
        f"README.md: {project.ORIGIN}"
    }


def test_no_comment_or_docstring_speaks_of_the_course_over_the_end_of_a_line(
    exported: Path,
) -> None:
    code = [path for path in files(exported) if path.suffix in (".py", ".js", ".css")]
    left = {path.name: words.leftovers(read(path)) for path in code}

    assert {name: found for name, found in left.items() if found} == {}


def test_every_module_can_be_imported_without_the_course(exported: Path) -> None:
    ours = json.dumps(OURS)
    done = subprocess.run(
        [sys.executable, "-I", "-c", IMPORTING, str(exported), "assistant", ours],
        cwd=exported,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 120


def test_every_file_of_the_tests_compiles_and_imports_only_what_came_along(
    exported: Path,
) -> None:
    modules = [path for path in files(exported) if path.suffix == ".py"]
    for path in modules:
        for statement in prune.Module(read(path)).statements:
            for node in statement.imports:
                source = getattr(node, "module", None) or node.names[0].name
                assert source.split(".")[0] not in OURS, path
                if source.split(".")[0] in ("assistant", "tests"):
                    place = exported / source.replace(".", "/")
                    assert place.is_dir() or place.with_suffix(".py").is_file(), source

    tests = [path for path in modules if path.name.startswith("test_")]
    assert len(tests) > 60
    assert (exported / "tests" / "assistant" / "routes" / "test_chat.py") in tests
    assert not (exported / "tests" / "assistant" / "console").exists()


def test_every_file_of_the_service_is_there(exported: Path) -> None:
    for path in selection.service():
        assert (exported / "assistant" / path).is_file()
    core = {path.stem for path in (exported / "assistant" / "core").glob("[a-z]*.py")}

    assert core == {"models", "patterns", "dependencies", "errors"}
    for module in (exported / "assistant" / "core").glob("*.py"):
        assert "FastAPI(" not in read(module)  # none of the demonstrations
    assert "class AIError" in read(exported / "assistant" / "core" / "errors.py")


def test_ranges_and_locks_are_those_of_the_course(exported: Path) -> None:
    table = tomllib.loads(read(exported / "pyproject.toml"))
    locked = re.findall(
        r"^([a-z0-9._-]+)==.*?((?:\n    --hash=sha256:[0-9a-f]{64}.*)+)",
        read(exported / "requirements" / "test.txt"),
        re.MULTILINE,
    )

    assert table["project"]["name"] == "assistant"
    assert table["project"]["dependencies"] == requirements("app")
    assert table["tool"]["uv"]["constraint-dependencies"] == pins_of("test")
    assert table["tool"]["fastapi"]["entrypoint"] == "assistant.main:app"
    assert [name for name, _ in locked] == [it.split("==")[0] for it in pins_of("test")]
    assert len(table["dependency-groups"]["lint"]) == 3


def test_the_example_of_the_settings_holds_every_default(exported: Path) -> None:
    lines = read(exported / ".env.example").splitlines()
    given = dict(
        line.removeprefix("#").split("=", 1)
        for line in lines
        if re.match(r"#[A-Z_]+=", line)
    )
    expected = {f"ASSISTANT_{name.upper()}" for name in Settings.model_fields}
    expected -= {"ASSISTANT_OPENAI_BASE_URL", "ASSISTANT_OPENAI_API_KEY"}
    command = [sys.executable, "-I", "-c", DEFAULTS, str(exported)]
    bare = {"PATH": os.environ["PATH"], "SYSTEMROOT": os.environ.get("SYSTEMROOT", "")}
    outputs = [
        subprocess.check_output(command, env=env, cwd=exported, text=True)
        for env in (bare, {**bare, **given})
    ]

    assert given.keys() == expected - {"ASSISTANT_REDIS_URL"} | {"REDIS_URL"}
    assert outputs[0] == outputs[1]
    assert json.loads(outputs[0])["drain_seconds"] == 10


def test_a_setting_of_the_project_has_its_own_prefix(exported: Path) -> None:
    command = [sys.executable, "-I", "-c", DEFAULTS, str(exported)]
    env = {**os.environ, "ASSISTANT_QUEUE_PLACES": "7", "FULL_APP_QUEUE_SECONDS": "9"}
    values = json.loads(subprocess.check_output(command, env=env, cwd=exported))

    assert values["queue_places"] == 7
    assert values["queue_seconds"] == 2


def test_the_readme_is_a_page_and_names_what_is_there(exported: Path) -> None:
    page = read(exported / "README.md")

    assert len(page.splitlines()) < 120
    for variable in re.findall(r"ASSISTANT_([A-Z_]+)", page):
        ours = variable in ("REQUIRE_REDIS", "TESTS_ON_REDIS")
        assert ours or variable.lower() in Settings.model_fields, variable
    for link in re.findall(r"\]\(([^)]+)\)", page):
        assert (exported / link).exists()
    for room in re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE):
        assert (exported / "assistant" / room).is_dir()
    for name in ("Dockerfile", ".dockerignore", "compose.yaml", ".gitignore"):
        assert (exported / name).is_file()
    assert "COPY assistant assistant" in read(exported / "Dockerfile")


def test_the_command_says_what_to_do_next(export: Path) -> None:
    shown = read(export / "printed.txt")

    assert "files of the package 'assistant' are in" in shown
    assert "-m pytest" in shown
    assert f"-m {project.run_command(ASSISTANT)}" in shown
    assert "assistant.main:app" in shown
    assert (export / "chat-api" / "assistant" / "main.py").is_file()


# --- What is refused ---


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("Assistant", "lower-case"),
        ("2fast", "lower-case"),
        ("chat-api", "lower-case"),
        ("a__b", "lower-case"),
        ("a" * 31, "at most 30"),
        ("", "lower-case"),
        ("../up", "lower-case"),
        ("async", "language Python"),
        ("match", "language Python"),
        ("json", "standard library"),
        ("asyncio", "standard library"),
        ("fastapi", "the service needs"),
        ("dotenv", "the service needs"),  # is called python-dotenv in the lock
        ("standardwebhooks", "the service needs"),
        ("tests", "another meaning"),
        ("examples", "another meaning"),
    ],
)
def test_a_name_that_would_not_work_is_refused_with_the_reason(
    name: str, reason: str
) -> None:
    with pytest.raises(UsageError, match=reason):
        names.checked(name)


@pytest.mark.parametrize(
    ("folder", "name"),
    [("assistant", "assistant"), ("Chat-API", "chat_api"), ("my app", "my_app")],
)
def test_the_name_comes_from_the_folder(folder: str, name: str, tmp_path: Path) -> None:
    assert names.checked(names.from_folder(tmp_path / folder)).package == name


def test_a_project_without_a_name_is_called_as_its_folder(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="standard library"):
        project.export(tmp_path / "json", None)


def test_a_folder_with_anything_in_it_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine", encoding="utf-8")

    with pytest.raises(CourseError, match="not empty"):
        project.export(tmp_path, "assistant")
    with pytest.raises(CourseError, match="is a file"):
        project.export(tmp_path / "notes.txt", "assistant")

    assert [it.name for it in tmp_path.iterdir()] == ["notes.txt"]


def test_a_course_without_its_tests_is_not_exported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(project, "ROOT", tmp_path)

    with pytest.raises(CourseError, match="tests included"):
        project.export(tmp_path / "new", "assistant")


def test_a_wrong_name_writes_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "new"

    with pytest.raises(UsageError):
        project.export(folder, "json")

    assert not folder.exists()


# --- The words ---


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (
            "from examples.full_app.errors import E\n",
            "from assistant.errors import E\n",
        ),
        ("from examples.s2_models import U\n", "from assistant.core.models import U\n"),
        (
            "from examples import s2_models as s2\n\nx: s2.Usage\n",
            "from assistant.core import models as core\n\nx: core.Usage\n",
        ),
        (
            "from examples import s2_models as s2\n\ncore = s2.Usage\n",
            "from assistant.core import models as core_models\n\n"
            "core = core_models.Usage\n",
        ),
        (  # sorted anew
            "from examples.full_app.web import a\nfrom examples.s2_models import b\n",
            "from assistant.core.models import b\nfrom assistant.web import a\n",
        ),
        ('ROOT / "examples" / "full_app" / "x"\n', 'ROOT / "assistant" / "x"\n'),
        ('ROOT / "examples"\n', 'ROOT / "assistant"\n'),
        ('schema["examples"]\n', 'schema["examples"]\n'),
        ("Field(examples=[1])  # examples\n", "Field(examples=[1])  # examples\n"),
        ('x = f"FULL_APP_{name}"\n', 'x = f"ASSISTANT_{name}"\n'),
        ('run("-m", "examples.full_app.worker")\n', 'run("-m", "assistant.worker")\n'),
        ('agent = "full-app-webhooks/1"\n', 'agent = "assistant-webhooks/1"\n'),
        ("# Section 5's body is flat.\n", "# The core's body is flat.\n"),
        ("x = 1  # as in section 4\n", "x = 1  # as in the core\n"),
        ("# RFC 9110, section 5, says so.\n", "# RFC 9110, section 5, says so.\n"),
        (
            "# RFC 9110,\n# section 5, says so.\n",
            "# RFC 9110,\n# section 5, says so.\n",
        ),
        ("# Of course it is.\n", "# Of course it is.\n"),
        ("# It adds. A student asks why.\nx = 1\n", "# It adds.\nx = 1\n"),
        ("# A student asks why.\nx = 1\n", "x = 1\n"),
        ("x = 1  # the chapter's figure\n", "x = 1\n"),
        ('def f():\n    """The chapter."""\n', 'def f():\n    """..."""\n'),
        (
            'def f():\n    """Add.\n\n    See slide 3. Fast.\n    """\n',
            'def f():\n    """Add.\n\n    Fast.\n    """\n',
        ),
        (
            'def f():\n    """Add é.\n\n    See slide 3.\n    """\n',
            'def f():\n    """Add é."""\n',
        ),
    ],
)
def test_code_is_put_into_the_words_of_the_project(before: str, after: str) -> None:
    assert rewrite.python(before, ASSISTANT) == after


@pytest.mark.parametrize(
    "text", ["The chapter", "of the\ncourse", "section 3", "step s2.1", "docs/a.md"]
)
def test_a_word_of_the_course_is_found(text: str) -> None:
    assert words.leftovers(text)


@pytest.mark.parametrize(
    "text", ["of course", "RFC 6750, section 3", "app.example.com", "<section id=1>"]
)
def test_a_word_that_only_looks_like_one_is_none(text: str) -> None:
    assert words.leftovers(text) == []


# --- What comes along ---

MODULE = textwrap.dedent('''\
    """Section 9: trees."""

    import json
    from typing import Any, Literal

    # --- Trees ---
    # They grow.

    leaf = 1


    class Tree:
        """A tree."""

        kind: "Literal['oak']"


    Tree.grow = 2

    # --- The demonstration ---

    app = json.loads("{}")


    def show(app: Any) -> None:
        """A route."""
        leaf = app
        print(leaf)
    ''')


def part(*wanted: str) -> str:
    module = prune.Module(MODULE)
    return module.with_only(module.needed(wanted))


def test_only_what_is_needed_comes_along_with_its_heading_and_its_imports() -> None:
    kept = part("Tree")

    assert "class Tree" in kept
    assert "Tree.grow = 2" in kept  # it has an effect on what is kept
    assert "# --- Trees ---" in kept
    assert "from typing import Literal\n" in kept
    for gone in ("json", "Any", "leaf", "demonstration"):
        assert gone not in kept


def test_a_local_variable_needs_no_definition_of_the_same_name() -> None:
    kept = part("show")

    assert "# --- The demonstration ---" in kept
    assert "leaf = 1" not in kept
    assert "json.loads" not in kept


TESTS = {
    "tests.conftest": """
        import pytest
        from course.site import build
        @pytest.fixture
        def site(): return build.pages()
        @pytest.fixture
        def number(): return 1
    """,
    "tests.full_app.helper": """
        from course import manifest
        LIMIT = 3
        def sections(): return manifest.sections()
    """,
    "tests.full_app.test_a": """
        from tests.full_app.helper import LIMIT, sections
        PAGE = ROOT / "docs" / "index.md"
        def only_for_the_page(): return 1
        def test_stays(number): assert number < LIMIT
        def test_of_sections(): assert sections()
        def test_of_a_fixture(site): assert site
        def test_of_a_page(): assert PAGE and only_for_the_page()
        def test_of_a_late_import():
            from benchmarks import run
        def test_of_a_command(): process("-m", "course", "run")
    """,
    "tests.full_app.test_b": """
        def test_of_a_fixture(site): assert site
    """,
}


def test_a_test_of_the_course_is_left_out_with_all_that_only_it_needs() -> None:
    modules = {
        name: selection.TestModule(
            Path(f"{name.replace('.', '/')}.py"), prune.Module(textwrap.dedent(text))
        )
        for name, text in TESTS.items()
    }

    kept = {it.dotted: it.result() for it in selection.choose(modules)}

    assert kept.keys() == TESTS.keys() - {"tests.full_app.test_b"}
    assert re.findall(r"def (\w+)", kept["tests.full_app.test_a"]) == ["test_stays"]
    assert "PAGE" not in kept["tests.full_app.test_a"]
    assert "import LIMIT\n" in kept["tests.full_app.test_a"]
    assert re.findall(r"def (\w+)", kept["tests.conftest"]) == ["number"]
    assert kept["tests.full_app.helper"].strip() == "LIMIT = 3"


# --- At work ---

QUESTION = """
import sys
from openai import OpenAI

client = OpenAI(base_url=sys.argv[1], api_key="not-needed", max_retries=0)
ask = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Why async?"}]}
answer = client.chat.completions.create(**ask)
stream = client.chat.completions.create(**ask, stream=True)
streamed = "".join(c.choices[0].delta.content or "" for c in stream if c.choices)
response = client.responses.create(model="gpt-4o-mini", input="Why async?")
assert answer.choices[0].message.content == streamed == response.output_text
print(streamed)
"""
PASSING = ("chat", "contract/test_answers.py", "routes/test_jobs.py", "test_compose.py")


@pytest.mark.deep
@pytest.mark.timeout(900)
def test_an_export_is_installed_passes_its_own_tests_and_answers_the_client(
    exported: Path, tmp_path: Path
) -> None:
    home = shutil.copytree(exported, tmp_path / "chat-api")
    venv = home / ".venv"
    python = str(venv_python(venv))
    env = {
        **os.environ,
        "PYTHONPATH": "",
        "REDIS_URL": "",
        "ASSISTANT_OFFLINE_PACE": "0",
    }
    lock = home / "requirements" / "test.txt"
    quiet = ["--quiet", "--no-input", "--disable-pip-version-check"]

    def run(*command: str) -> str:
        done = subprocess.run(
            command, cwd=home, env=env, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        return done.stdout

    run(str(base_python()), "-m", "venv", str(venv))
    install = ["-m", "pip", "install", "--no-deps", "--require-hashes", *quiet]
    install.append("--no-compile")  # most of what is installed is not imported
    run(python, *install, "-r", str(lock))
    run(python, "-m", "pip", "check", *quiet[2:])
    chosen = [f"tests/assistant/{path}" for path in PASSING]
    passed = run(python, "-m", "pytest", "-q", "-p", "no:cacheprovider", *chosen)

    assert int(re.findall(r"(\d+) passed", passed)[0]) > 100
    port = free_port()
    options = ["--port", str(port), "--log-level", "warning"]
    command = project.run_command(ASSISTANT).split()
    with subprocess.Popen(
        [python, "-m", *command, *options], cwd=home, env=env
    ) as server:
        try:
            wait_for_http(f"http://127.0.0.1:{port}/health/ready")
            answered = run(python, "-c", QUESTION, f"http://127.0.0.1:{port}/v1")
        finally:
            server.terminate()
    assert "async" in answered
