"""The README: every command in it is run, every table held against its source.

A few commands are run in a cheaper form, listed in `SUBSTITUTES`; servers get a free
port, and `python3` is the Python that runs the tests.
"""

import contextlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator

import httpx2
import pytest

from course.groups import requirements, satisfied
from course.manifest import sections
from course.tryit import parse, powershell
from tests.course.checkout import running
from tests.once import served_site
from tests.servers import ROOT, process
from tests.tryit import BASE, try_lines

README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
SUBSTITUTES = {
    # it answers 1 until an exercise is solved: tests/exercises solves one
    "python3 -m course check": "python3 -m course check --help",
    # test_export.py runs it, into a folder that is not this one
    "python3 -m course export DIR": "python3 -m course export --help",
    # the whole suite would run itself again, without end
    "python3 -m course test": "python3 -m course test --version",
    # the section's own tests run next to this one: here, one of them
    "python3 -m course test tests/test_s2_models.py": (
        "python3 -m course test -p no:cacheprovider tests/test_s2_models.py -k cost"
    ),
    # uv would ask the package index; what it runs in the end is run above, so here
    # only that it is there (and see the test of the script's name)
    "uv run course run": "python3 -m course list",
    "uv run pytest": "python3 -m pytest --version",
}
# What these commands show needs a group of packages that CI sets up, a student may not.
SHOWN = {
    "present": ("docs", r"http://\S+/s2_models/"),
    "notebook": ("notebooks", r"http://\S+/lab/tree/s2_models\.ipynb\S*"),
}
DOCS = "python3 -m course docs"  # builds the site, which the tests of the site look at


def blocks(language: str) -> list[str]:
    """The fenced blocks of one language."""
    return [text for name, text in BLOCK.findall(README) if name == language]


COMMANDS = [line for block in blocks("bash") for line in block.splitlines()]
SERVING = [
    line for line in COMMANDS if SUBSTITUTES.get(line, line).split()[3:4] == ["run"]
]
CURLS = [line for line in COMMANDS if line.startswith("curl ")]
SHOWING = [line for line in COMMANDS if line.split()[3:4] and line.split()[3] in SHOWN]
APART = [*SERVING, *CURLS, *SHOWING, DOCS]
OTHERS = [line for line in COMMANDS if line not in APART]
INLINE = re.findall(r"`((?:python3 -m|uv run) [^`]+)`", README)


@pytest.fixture(scope="module")
def service() -> Iterator[str]:
    """The address of what the README's first command serves."""
    with running() as (_, address, said):
        shown = blocks("text")[0].replace(BASE, address).splitlines()
        assert [line for line in said if line] == shown
        yield address


def test_it_begins_with_the_two_commands() -> None:
    assert COMMANDS[:2] == ["python3 -m course run", "python3 -m course test"]


@pytest.mark.parametrize("line", SERVING[1:])
def test_what_a_serving_command_serves_has_docs(line: str) -> None:
    words = SUBSTITUTES.get(line, line).split()
    with running(*words[4:]) as (_, address, _said):
        assert httpx2.get(f"{address}/docs", trust_env=False).status_code == 200


def test_the_first_command_serves_a_page_and_docs(service: str) -> None:
    for path in ("/", "/docs"):
        page = httpx2.get(f"{service}{path}", trust_env=False)
        assert page.status_code == 200
        assert page.headers["content-type"].startswith("text/html")


@pytest.mark.parametrize("line", CURLS)
def test_the_curl_lines_get_an_answer(line: str, service: str) -> None:
    with httpx2.Client(base_url=service, trust_env=False, timeout=30) as client:
        [request] = try_lines(line)
        answer = request.send(client)

    assert answer.status_code == 200, answer.text
    assert answer.json()["choices"][0]["message"]["content"]


def test_the_line_for_powershell_sends_the_same() -> None:
    assert blocks("powershell") == [f"{powershell(parse(line))}\n" for line in CURLS]


@pytest.mark.deep
def test_the_python_snippet_prints_both_answers(service: str) -> None:
    [snippet] = blocks("python")
    assert f"{BASE}/v1" in snippet
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(snippet.replace(BASE, service), {})  # noqa: S102 - the README's own code

    whole, streamed = printed.getvalue().split("\n", 1)
    assert whole.strip()
    assert streamed.strip()


@pytest.mark.deep
@pytest.mark.timeout(300)
@pytest.mark.parametrize("line", SHOWING)
def test_what_an_instructor_or_a_reader_starts_is_there_to_see(line: str) -> None:
    words = line.split()[3:]
    group, place = SHOWN[words[0]]
    if not satisfied(group):
        assert "COURSE_REQUIRE_DOCS" not in os.environ, f"group {group} is missing"
        pytest.skip(f"group {group} is missing: `python3 -m course setup {group}`")
    silent = ["--no-browser"] if words[0] == "notebook" else []
    with process("-m", "course", *words, *silent, "--port", "0") as shows:
        assert shows.stdout is not None
        said = (line.decode() for line in shows.stdout)
        address = next(one[0] for one in (re.search(place, it) for it in said) if one)
        # Jupyter says where it is before it is there
        transport = httpx2.HTTPTransport(retries=8)
        with httpx2.Client(transport=transport, trust_env=False, timeout=30) as http:
            page = http.get(address, follow_redirects=True)

    assert page.status_code == 200
    assert page.headers["content-type"].startswith("text/html")


@pytest.mark.deep
@pytest.mark.timeout(300)
def test_the_site_is_there_to_see(tmp_path_factory: pytest.TempPathFactory) -> None:
    assert DOCS in COMMANDS
    folder = served_site(tmp_path_factory)
    answer = json.loads((folder / "answer.json").read_text(encoding="utf-8"))

    assert answer["status"] == 200
    assert answer["type"].startswith("text/html")


@pytest.mark.deep
@pytest.mark.parametrize("line", OTHERS + INLINE)
def test_the_other_commands_succeed(line: str) -> None:
    words = SUBSTITUTES.get(line, line).split()
    assert words[0] == "python3", f"no way to run this command is known: {line}"
    done = subprocess.run(
        [sys.executable, *words[1:]],
        cwd=ROOT,
        env=os.environ | {"PYTEST_ADDOPTS": ""},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr


def test_the_script_that_uv_runs_is_this_command() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")

    assert tomllib.loads(text)["project"]["scripts"] == {
        "course": "course.__main__:main"
    }


def rows(header: str) -> list[list[str]]:
    """The cells of the table whose header row begins with `header`."""
    lines = README[README.index(header) :].splitlines()[2:]
    table = lines[: next(i for i, line in enumerate(lines) if not line.startswith("|"))]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table]


def test_the_section_table_is_the_manifests() -> None:
    expected = []
    for section in sections():
        module = f"examples/{section.stem}"
        tests = f"tests/{section.stem}"
        if section.id != "full_app":
            module, tests = f"{module}.py", f"tests/test_{section.stem}.py"
        links = [f"[{section.stem}]({module})", f"[tests]({tests})"]
        expected.append(
            [f"`{section.id}`", section.title, *links, str(section.minutes)]
        )

    assert rows("| run |") == expected


def test_every_package_of_the_app_has_one_reason() -> None:
    names = [re.split(r"[\[<>=;]", line)[0] for line in requirements("app")]
    listed = rows("| package |")

    assert sorted(cells[0].strip("`") for cells in listed) == sorted(names)
    assert all(len(cells) == 2 and cells[1] for cells in listed)


def test_every_link_leads_somewhere() -> None:
    for target in re.findall(r"\]\(([^)]+)\)", README):
        assert (ROOT / target).exists(), target


if os.environ.get("COURSE_TEST_INDEX"):  # opt-in: it asks the package index

    def test_uv_run_finds_the_command() -> None:
        uv = shutil.which("uv")
        assert uv is not None
        done = subprocess.run([uv, "run", "course", "list"], cwd=ROOT, check=False)

        assert done.returncode == 0
