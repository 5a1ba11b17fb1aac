"""What goes into an export: the service, its core, and the tests that make sense there.

Nothing is listed by hand but `LEFT_OUT`. A test is left out if it needs what stays
behind: a module of the course, a page, a fixture that only the course has. What only
such tests use is left out with them. Of the sections only those definitions come along
that the service or a chosen test uses, directly or by way of others.
"""

import ast
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePath, PurePosixPath

from course.export.prune import Import, Module, Statement, bound_name, is_docstring
from course.export.words import SECTION
from course.places import ROOT

SERVICE = ROOT / "examples" / "full_app"
SHARED = ("__init__.py", "browser.py", "conftest.py", "servers.py")  # of tests/
LEFT_OUT = {  # by path under tests/full_app, with the reason
    "recorded": "what earlier versions of the course's service left in a Redis",
    "contract/test_node.py": "installs clients by npm",
}
STAYS_BEHIND = ("benchmarks", "course", "examples.steps")
PLACES = frozenset(
    {"benchmarks", "course", "docs", "exercises", "notebooks", "slides", "README.md"}
)
IMPORTING_SECTIONS = re.compile(rf"\bfrom\s+examples(\.{SECTION.pattern})?\s+import\b")
Plain = (
    ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Assign | ast.AnnAssign
)


@dataclass(eq=False)
class TestModule:
    """A file of the tests, and what is known of it so far."""

    path: PurePath  # under the course's folder
    module: Module
    dropped: list[Statement] = field(default_factory=list)
    absent: set[str] = field(default_factory=set)  # names that nothing defines now
    wanted: set[str] = field(default_factory=set)  # names that others import from here

    @property
    def dotted(self) -> str:
        """Its name in an import: `tests.full_app.conftest`."""
        return ".".join(self.path.with_suffix("").parts)

    @property
    def is_conftest(self) -> bool:
        """Whether its fixtures are there for all files beside and below it."""
        return self.path.name == "conftest.py"

    def roots(self) -> list[Statement]:
        """What pytest finds by itself, and statements that have an effect."""
        return [
            it
            for it in self.module.statements
            if it not in self.dropped
            and not is_docstring(it.node)
            and _is_root(it.node)
        ]

    def tests(self) -> list[str]:
        """The names of its tests that are left."""
        return [
            name
            for it in self.module.statements
            if it not in self.dropped
            for name in sorted(it.binds)
            if name.lower().startswith("test") and isinstance(it.node, Plain)
            if not isinstance(it.node, ast.Assign | ast.AnnAssign)
        ]

    def kept(self) -> list[Statement]:
        """All statements that the export has of it."""
        return self.module.needed(self.wanted, self.roots())

    def result(self) -> str:
        """Its text with those statements alone."""
        return self.module.with_only(self.kept())


def service() -> dict[str, str]:
    """The text files of the service by their path inside its package."""
    return {
        path.relative_to(SERVICE).as_posix(): path.read_text(encoding="utf-8")
        for path in sorted(SERVICE.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    }


def tests() -> dict[str, str]:
    """The chosen tests, with their helpers, by their path under the course's folder."""
    written = choose(_test_modules())
    texts = {it.path.as_posix(): it.result() for it in written}
    for folder in sorted({parent for it in written for parent in it.path.parents}):
        if (package := ROOT / folder / "__init__.py").is_file():
            texts[f"{folder.as_posix()}/__init__.py"] = package.read_text(
                encoding="utf-8"
            )
    return texts


def choose(modules: dict[str, TestModule]) -> list[TestModule]:
    """Those of `modules`, by their names in imports, that have something to do there.

    What they hold then is their `result`.
    """
    _drop(modules)
    return _written(modules)


def test_data(chosen: Iterable[str]) -> dict[str, bytes]:
    """Files that lie beside the chosen tests and are no Python, by their path."""
    folders = {PurePosixPath(path).parent for path in chosen}
    return {
        file.relative_to(ROOT).as_posix(): file.read_bytes()
        for folder in sorted(folders)
        for file in sorted((ROOT / folder).iterdir())
        if file.is_file() and file.suffix != ".py"
    }


def sections(texts: Iterable[str]) -> dict[str, str]:
    """What `texts` use of the sections: a part of each module, by its name."""
    wanted: dict[str, set[str]] = defaultdict(set)
    for text in texts:
        if IMPORTING_SECTIONS.search(text):  # the others need not be parsed
            for section, name in _uses_of_sections(ast.parse(text)):
                wanted[section].add(name)
    parts = {}
    for section, names in sorted(wanted.items()):
        path = ROOT / "examples" / f"{section}.py"
        module = Module(path.read_text(encoding="utf-8"))
        parts[section] = module.with_only(module.needed(names))
    return parts


def _uses_of_sections(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """The names that a module imports from sections, or reads from them as modules."""
    whole: dict[str, str] = {}
    nodes = list(ast.walk(tree))
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and node.module:
            parent, _, name = node.module.rpartition(".")
            if parent == "examples" and SECTION.fullmatch(name):
                yield from ((name, alias.name) for alias in node.names)
            elif node.module == "examples":
                whole |= {bound_name(alias): alias.name for alias in node.names}
    for node in nodes:
        match node:
            case ast.Attribute(value=ast.Name(id=module), attr=name) if module in whole:
                yield whole[module], name


def _test_modules() -> dict[str, TestModule]:
    folder = ROOT / "tests"
    paths = [folder / name for name in SHARED]
    paths += sorted((folder / "full_app").rglob("*.py"))
    modules = {}
    for path in paths:
        inside = (
            path.relative_to(folder / "full_app") if path.parent != folder else path
        )
        if path.name == "__init__.py" or _is_left_out(inside):
            continue
        text = path.read_text(encoding="utf-8")
        module = TestModule(path.relative_to(ROOT), Module(text))
        modules[module.dotted] = module
    return modules


def _is_left_out(inside: Path) -> bool:
    places = {inside.as_posix(), *(it.as_posix() for it in inside.parents)}
    return bool(places & LEFT_OUT.keys())


def _drop(modules: dict[str, TestModule]) -> None:
    """Drop every statement that needs what stays behind, until nothing more falls."""
    falling = True
    while falling:
        falling = False
        for it in modules.values():
            fixtures = _absent_fixtures(it, modules)
            for statement in it.module.statements:
                if isinstance(statement.node, Import):
                    it.absent |= set(_absent_imports(statement.node, modules))
                elif statement not in it.dropped and (
                    statement.uses & it.absent
                    or statement.parameters & (it.absent | fixtures)
                    or _needs_what_stays_behind(statement, fixtures, modules)
                ):
                    it.dropped.append(statement)
                    it.absent |= statement.binds
                    falling = True


def _absent_fixtures(module: TestModule, modules: dict[str, TestModule]) -> set[str]:
    above = {module.path.parent, *module.path.parent.parents}
    return {
        name
        for it in modules.values()
        if it.is_conftest and it.path.parent in above
        for name in it.absent
    }


def _absent_imports(node: Import, modules: dict[str, TestModule]) -> Iterator[str]:
    """The names that an import can no longer give."""
    for alias in node.names:
        source = node.module or "" if isinstance(node, ast.ImportFrom) else alias.name
        gone = source in modules and alias.name in modules[source].absent
        if gone or _stays_behind(source, modules):
            yield bound_name(alias)


def _stays_behind(source: str, modules: dict[str, TestModule]) -> bool:
    if source.startswith("tests"):
        return source not in modules
    return any(source == it or source.startswith(f"{it}.") for it in STAYS_BEHIND)


def _needs_what_stays_behind(
    statement: Statement, fixtures: set[str], modules: dict[str, TestModule]
) -> bool:
    """By an import inside of a function, a path, a command or a named fixture."""
    if any(set(_absent_imports(it, modules)) for it in statement.imports):
        return True
    return any(
        it in PLACES or it in fixtures or it.startswith(("benchmarks.", "benchmarks/"))
        for it in statement.strings
    )


def _is_root(node: ast.stmt) -> bool:
    match node:
        case ast.Import() | ast.ImportFrom():
            return False
        case (
            ast.FunctionDef(name=name, decorator_list=decorators)
            | ast.AsyncFunctionDef(name=name, decorator_list=decorators)
        ):
            return name.startswith(("test_", "pytest_")) or bool(
                [it for it in decorators if not _is_harmless(it)]
            )
        case ast.ClassDef(name=name):
            return name.startswith("Test")
        case ast.Assign(targets=[ast.Name(id=name)]):
            return name == "pytestmark"
        case ast.Assign() | ast.AnnAssign():
            return False
    return True


def _is_harmless(decorator: ast.expr) -> bool:
    """Whether a decorator changes a function and registers it nowhere."""
    word = ast.unparse(decorator).partition("(")[0].rpartition(".")[2]
    return word in ("contextmanager", "asynccontextmanager", "cache", "lru_cache")


def _written(modules: dict[str, TestModule]) -> list[TestModule]:
    """The modules with tests, their helpers, and the fixtures above them."""
    conftests = [it for it in modules.values() if it.is_conftest]
    chosen: set[TestModule] = set()
    waiting = [it for it in modules.values() if it.path.name[:5] == "test_"]
    waiting = [it for it in waiting if it.tests()]
    while waiting:
        module = waiting.pop()
        chosen.add(module)
        above = set(module.path.parents)
        waiting += [
            it for it in conftests if it.path.parent in above and it not in chosen
        ]
        for source, name in _imported(module, modules):
            if name not in source.wanted or source not in chosen:
                source.wanted.add(name)
                waiting.append(source)
    return sorted(chosen, key=lambda it: it.path)


def _imported(
    module: TestModule, modules: dict[str, TestModule]
) -> Iterator[tuple[TestModule, str]]:
    """What the kept part of a module needs from other files of the tests."""
    kept = module.kept()
    used = frozenset[str]().union(*(it.uses for it in kept))
    needed = [
        (node, alias)
        for statement in module.module.statements
        if isinstance(statement.node, Import) or statement in kept
        for node in statement.imports
        for alias in node.names
        if statement in kept or bound_name(alias) in used
    ]
    for node, alias in needed:
        if isinstance(node, ast.ImportFrom) and node.module in modules:
            yield modules[node.module], alias.name
