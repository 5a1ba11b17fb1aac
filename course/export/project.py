"""`course export`: the complete service as a project of its own, without the course.

Everything is made from what is here: code by `selection` and `rewrite`, the rest from
this folder's own files. So an export is as new as the service that it was made from.
"""

import ast
import json
import re
import textwrap
from collections.abc import Iterable
from pathlib import Path
from string import Template
from typing import Any

from course.export import names as naming
from course.export import rewrite, selection
from course.export.names import Names
from course.export.words import core_name, exchange, leftovers, plain, without_course
from course.groups import lock_file, pyproject, requirements
from course.lock import pins_of
from course.places import ROOT, WINDOWS, CourseError, say

TEMPLATES = Path(__file__).with_name("templates")
LOCKS = {
    "app": "what the service needs",
    "test": "what the service and its tests need",
}
ORIGIN = (
    "This project began as the complete service of the course *The FastAPI + Pydantic "
    "stack*."
)
IGNORED = """\
.venv/
__pycache__/
*.egg-info/
.coverage*
.mypy_cache/
.ruff_cache/
.pytest_cache/
.hypothesis/
/build/
/dist/
# settings with keys in them
.env
"""
REFUSED = frozenset({"openai_base_url", "openai_api_key"})  # settings of another name
_STYLE_COMMENT = re.compile(r"/\*.*?\*/[ \t]*\n?", re.DOTALL)
_RUN = re.compile(r"`(uvicorn\s[^`]*main:app[^`]*)`")


def export(folder: Path, name: str | None) -> int:
    """Write the project into `folder` and say what to do next; the exit status.

    Raises UsageError for a name that a package cannot have, and CourseError for a
    folder that is not empty.
    """
    names = naming.checked(name or naming.from_folder(folder))
    refuse_what_is_there(folder)
    refuse_half_a_course()
    files = project(names)
    for path, content in files.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    say(f"{len(files)} files of the package {names.package!r} are in {folder}.")
    say("\n".join(["Next, in that folder:", *(f"  {it}" for it in next_steps(names))]))
    return 0


def refuse_half_a_course() -> None:
    """Raise CourseError where the course was installed without its tests."""
    if not (ROOT / "tests" / "full_app").is_dir():
        raise CourseError(
            "An export needs the whole folder of the course, tests included."
        )


def refuse_what_is_there(folder: Path) -> None:
    """Raise CourseError where something would be overwritten or mixed up."""
    if folder.exists() and not folder.is_dir():
        raise CourseError(f"{folder} is a file. Name a folder that does not exist yet.")
    if folder.is_dir() and any(folder.iterdir()):
        raise CourseError(f"{folder} is not empty. Name an empty or a new folder.")


def next_steps(names: Names) -> list[str]:
    """The commands that test and start the project on this machine."""
    own = r".venv\Scripts\python" if WINDOWS else ".venv/bin/python"
    return [
        f"{'py' if WINDOWS else 'python3'} -m venv .venv",
        f"{own} -m pip install --no-deps --require-hashes -r requirements/test.txt",
        f"{own} -m pytest",
        f"{own} -m {run_command(names)}",
    ]


def run_command(names: Names) -> str:
    """What starts the service: the words that its `main` module gives for it."""
    main = (selection.SERVICE / "main.py").read_text(encoding="utf-8")
    words = _RUN.search(ast.get_docstring(ast.parse(main)) or "")
    if words is None:
        raise CourseError("The docstring of full_app/main.py names no uvicorn command.")
    return exchange(" ".join(words[1].split()), names)


def project(names: Names) -> dict[str, bytes]:
    """The content of every file of the project, by its path with `/`."""
    chosen = selection.tests()
    texts = {**package(names, chosen.values()), **settled(names)}
    for path, text in chosen.items():
        texts[exchange(path, names)] = rewrite.python(text, names)
    files = {path: text.encode("utf-8") for path, text in texts.items()}
    for path, content in selection.test_data(chosen).items():
        files[exchange(path, names)] = content
    return dict(sorted(files.items()))


def package(names: Names, tests: Iterable[str]) -> dict[str, str]:
    """The files of the package: the service, and in `core` what it stands on.

    `tests` are the texts of the chosen tests, which stand on `core`, too.
    """
    texts = {}
    service = selection.service()
    for path, text in service.items():
        texts[f"{names.package}/{path}"] = translated(path, text, names)
    code = [text for path, text in service.items() if path.endswith(".py")]
    for section, text in selection.sections([*code, *tests]).items():
        path = f"{names.package}/core/{core_name(section)}.py"
        texts[path] = rewrite.python(with_own_title(text), names)
    texts[f"{names.package}/core/__init__.py"] = (
        '"""What all folders stand on: models, patterns, dependencies and errors."""\n'
    )
    return texts


def translated(path: str, text: str, names: Names) -> str:
    """A file of the service in the words of the project."""
    if path.endswith(".py"):
        return rewrite.python(text, names)
    text = exchange(text, names)
    if path.endswith((".css", ".js")):
        return _STYLE_COMMENT.sub(_without_course, text)
    return text


def _without_course(comment: re.Match[str]) -> str:
    if not leftovers(comment[0]):
        return comment[0]
    kept = without_course(comment[0].strip().removeprefix("/*").removesuffix("*/"))
    if not kept:
        return ""
    return textwrap.fill(f"/* {kept.strip()} */", 92, subsequent_indent="   ") + "\n"


def with_own_title(text: str) -> str:
    """A part of a section with the first words of its docstring alone, as a title."""
    tree = ast.parse(text)
    docstring = ast.get_docstring(tree) or ""
    title = re.sub(r"^Section \d+: ", "", docstring.split("\n")[0]).partition(".")[0]
    end = tree.body[0].end_lineno or 1
    rest = "".join(text.splitlines(keepends=True)[end:])
    return f'"""{title[:1].upper()}{title[1:]}."""\n{rest}'


def settled(names: Names) -> dict[str, str]:
    """The files around the package that say how it is built, run and configured."""
    texts = {
        name: rewrite.hash_comments((ROOT / name).read_text(encoding="utf-8"), names)
        for name in ("Dockerfile", "compose.yaml", ".dockerignore")
    }
    for group, meaning in LOCKS.items():
        pins = lock_file(group).read_text(encoding="utf-8").splitlines(keepends=True)
        listed = "".join(line for line in pins if not line.startswith("#"))
        texts[f"requirements/{group}.txt"] = (
            f"# {meaning.capitalize()}, every version pinned by hash.\n"
            f"# README.md says how to renew it.\n{listed}"
        )
    return texts | {
        ".env.example": settings_example(names),
        ".gitignore": IGNORED,
        "LICENSE": (ROOT / "LICENSE").read_text(encoding="utf-8"),
        "README.md": readme(names),
        "pyproject.toml": project_table(names),
    }


def readme(names: Names) -> str:
    """One page: how to run, test, configure and deploy it, and where things live."""
    rooms = [
        f"| `{path.parent.name}` | {_title(path)} |"
        for path in sorted(selection.SERVICE.glob("*/__init__.py"))
        if _title(path)
    ]
    rooms.insert(
        0,
        "| `core` | What all others stand on: models, patterns, dependencies, errors |",
    )
    return _fill(
        "README.md.txt",
        names,
        title=names.package.replace("_", " ").capitalize(),
        run=run_command(names),
        rooms=plain("\n".join(rooms), names),
        order=order(),
        origin=ORIGIN,
    )


def order() -> str:
    """Which folders may import which, the uppermost first: the contract of ours."""
    contracts = pyproject()["tool"]["importlinter"]["contracts"]
    layers: list[str] = next(
        it["layers"]
        for it in contracts
        if it.get("containers") == ["examples.full_app"]
    )
    rows = [re.sub(r"(\w+)", r"`\1`", re.sub(" [|:] ", ", ", it)) for it in layers]
    return " > ".join([*rows, "`core`"])


def _title(package: Path) -> str:
    docstring = ast.get_docstring(ast.parse(package.read_text(encoding="utf-8"))) or ""
    return docstring.split("\n")[0].removesuffix(".").replace("|", "\\|")


def project_table(names: Names) -> str:
    """pyproject.toml, with the ranges and the rules of ours."""
    ours = pyproject()
    groups = ours["dependency-groups"]
    tools = ours["tool"]
    checkers = [it for it in groups["lint"] if str(it).startswith(("mypy", "ruff"))]
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    # A package's name of another length moves the ends of lines.
    rules = _block(text, "tool.ruff.lint").replace(
        "\nignore = [", '\nignore = ["E501", '
    )
    return _fill(
        "pyproject.toml.txt",
        names,
        python=ours["project"]["requires-python"],
        license=ours["project"]["license"],
        dependencies=_listed(requirements("app")),
        otel=_listed(ours["project"]["optional-dependencies"]["otel"]),
        test=_listed(groups["test"]),
        lint="[\n"
        + "".join(f"    {json.dumps(it)},\n" for it in checkers)
        + '    { include-group = "test" },\n]',
        constraints=_listed(pins_of("test")),
        ruff=f"{_block(text, 'tool.ruff')}\n\n{rules}",
        ruff_tests=_listed(tools["ruff"]["lint"]["per-file-ignores"]["tests/**"]),
        pytest=tools["pytest"]["minversion"],
        warnings=_listed(tools["pytest"]["filterwarnings"]),
    )


def _block(text: str, table: str) -> str:
    """The lines of a table of a TOML file, with its comments."""
    _, _, after = text.partition(f"\n[{table}]\n")
    return f"[{table}]\n" + re.split(r"\n+(?:#[^\n]*\n)*\[", after, maxsplit=1)[0]


def _listed(values: list[str]) -> str:
    """A list of strings in TOML, one in a line."""
    return "[\n" + "".join(f"    {json.dumps(it)},\n" for it in values) + "]"


def _fill(template: str, names: Names, **more: str) -> str:
    text = (TEMPLATES / template).read_text(encoding="utf-8")
    return Template(text).substitute(
        more,
        package=names.package,
        project=names.project,
        prefix=names.prefix,
        app=names.app,
    )


def settings_example(names: Names) -> str:
    """Every setting with its description and its default, each default in a comment."""
    from examples.full_app.settings import Settings  # needs packages

    lines = [
        "# The settings of the service. Copy this file to .env, remove the # before a",
        "# setting, and change it. What is written here are the defaults; a setting",
        "# without a value is not set. .env holds keys: never commit it.",
    ]
    for name, field in Settings.model_fields.items():
        if name in REFUSED:
            continue
        variable = (
            "REDIS_URL" if name == "redis_url" else f"{names.prefix}{name.upper()}"
        )
        note = exchange(field.description or "", names)
        default = field.get_default(call_default_factory=True, validated_data={})
        lines += [
            "",
            *textwrap.wrap(note, 88, initial_indent="# ", subsequent_indent="# "),
        ]
        lines.append(f"#{variable}={_written(default)}")
    return "\n".join(lines) + "\n"


def _written(default: Any) -> str:
    """A default as the environment would give it; empty where there is none."""
    if default is None or default in ((), {}, ""):
        return ""
    if isinstance(default, bool):
        return str(default).lower()
    return str(default)
