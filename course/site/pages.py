"""Pages: the hand-written ones with their directives filled in.

A line `{{ name argument }}` of a page is replaced by what the function of that name
makes of the argument. Names and functions are in `DIRECTIVES`; a name, a symbol or a
test that does not exist stops the build with the page and the line. A fence of the
kind `try` becomes tabs (tryit.py).
"""

import re
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from course import source, tokens
from course.places import ROOT, CourseError, show_progress
from course.site import (
    architecture,
    catalogue,
    decks,
    diagrams,
    exercises,
    exported,
    head,
    limits,
    notebooks,
    playground,
    proofs,
    race,
    reference,
    results,
    scores,
    survival,
    tryit,
    wire,
)

PAGES = ROOT / "docs"
GENERATED = ROOT / "build" / "pages"
SIDE_BY_SIDE = 3
_DIRECTIVE = re.compile(
    r"^\{\{ (?P<name>\w+)(?: (?P<rest>[^\n]+?))? \}\}$"
    r"|^```try (?P<app>[\w.]+)\n(?P<lines>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


def code(argument: str) -> str:
    """A fenced block with the source of a symbol, titled with its place."""
    return listing(argument, set())


def listing(argument: str, imported: set[str]) -> str:
    """The same, after the imports of the names that it uses and `imported` lacks.

    They are added to `imported`: a page shows an import once, where it is first used.
    """
    path, text = source.symbol(argument)
    name = argument.partition("::")[2]
    if name:
        whole = (ROOT / path).read_text(encoding="utf-8")
        needed = source.imports_of(whole, text, imported)
        if needed:
            text = "\n".join([*needed, "", text])
    title = f"{path}: {name}" if name else path
    return f'```python title="{title}"\n{text}\n```'


def models(argument: str) -> str:
    """Reference of Pydantic models: `module Name Name ...`.

    A table of all fields, then each model by mkdocstrings.
    """
    module, *names = argument.split()
    path = f"{module.replace('.', '/')}.py"
    for name in names:
        source.symbol(f"{path}::{name}")
    fields = limits.table((ROOT / path).read_text(encoding="utf-8"), names)
    return "\n\n".join([fields, *(f"::: {module}.{name}" for name in names)])


DIRECTIVES: dict[str, Callable[[str], str]] = {
    "code": code,
    "errors": catalogue.table,
    "exercises": exercises.listed,
    "exercises_of": exercises.linked,
    "quiz": exercises.quiz_of,
    "faults": catalogue.faults,
    "architecture": architecture.figure,
    "trace": architecture.trace,
    "models": models,
    "decks": decks.table,
    "materials": notebooks.materials,
    "try_it": tryit.tabs,
    "proofs": proofs.listed,
    "claims": proofs.claims,
    "exported": exported.tree,
    "after_export": exported.next_steps,
    "settings": reference.settings,
    "cli": reference.command_line,
    "timetables": reference.timetables,
    "sections": reference.sections,
    "race": race.figure,
    "benchmarks": results.benchmarks,
    "survival": survival.table,
    "scores": scores.table,
    "scores_missing": scores.missing,
    "score_checks": scores.checks,
    "attacks": survival.attacks,
    "wire": wire.replay,
    "playground": playground.page,
    "left_out": playground.left_out,
}


def write() -> Path:
    """Write all pages anew; the folder they are in."""
    shutil.rmtree(GENERATED, ignore_errors=True)
    shutil.copytree(PAGES, GENERATED)
    # Slow servers and the export, in its own process, take the time: they begin first.
    listed = sorted(
        PAGES.rglob("*.md"),
        key=lambda it: it.parent.name != "sections" and it.name != "export.md",
    )
    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        texts = zip(listed, pool.map(expand, listed), strict=True)
        for done, (page, text) in enumerate(texts, 1):
            show_progress(done, len(listed), "pages")
            target = GENERATED / page.relative_to(PAGES)
            target.write_text(text, encoding="utf-8")
    proofs.write(GENERATED / "proofs")
    notebooks.write(GENERATED / "notebooks")
    reference.write_api(GENERATED / "assets")
    results.copy_plots(GENERATED / "reference")
    diagrams.write(GENERATED / "assets" / "diagrams")
    _write_look(GENERATED / "assets")
    for page in GENERATED.rglob("*.md"):
        text = page.read_text(encoding="utf-8")
        text = head.described(text)
        if page.parent.name == "sections":
            text = head.preferred(text)
        page.write_text(text, encoding="utf-8")
    return GENERATED


def _write_look(folder: Path) -> None:
    """The tokens for the two schemes of the theme, and the course's mark."""
    light = tokens.declarations(tokens.light())
    dark = tokens.declarations(tokens.dark())
    rules = (
        f':root, [data-md-color-scheme="default"] {{ {light} }}\n'
        f'@media screen {{ [data-md-color-scheme="slate"] {{ {dark} }} }}\n'
    )  # on paper the ground is white
    (folder / "tokens.css").write_text(rules, encoding="utf-8")
    shutil.copy(tokens.MARK, folder)


def expand(page: Path) -> str:
    """The page's text with every directive filled in. Raises CourseError."""
    text = page.read_text(encoding="utf-8")
    imported: set[str] = set()

    def fill(found: re.Match[str]) -> str:
        line = text.count("\n", 0, found.start()) + 1
        where = f"{page.relative_to(ROOT).as_posix()}:{line}"
        name = found["name"]
        if name and name not in DIRECTIVES:
            raise CourseError(f"{where}: there is no directive {name!r}.")
        try:
            if name == "code":
                return listing(found["rest"] or "", imported)
            if not name:
                return tryit.fence(found["app"], found["lines"])
            return DIRECTIVES[name](found["rest"] or "")
        except CourseError as error:
            raise CourseError(f"{where}: {error}") from error

    return diagrams.on_page(_DIRECTIVE.sub(fill, text))
