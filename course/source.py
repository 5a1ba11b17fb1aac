"""Code for pages, decks and notebooks, found by the name of what it defines.

Never by line numbers: those change with every edit. A name with a dot is a member of a
class, `Message.refuse_null_bytes`. Decorators belong to what they decorate.
"""

import ast
import threading
from pathlib import Path

from course.places import ROOT, CourseError

_parsing = threading.Lock()


def parse(text: str) -> ast.Module:
    """The syntax tree of `text`. Raises SyntaxError.

    One at a time: pages are made in several threads, and two of them in `ast.parse` at
    once can be a SystemError in Python 3.11 (python/cpython#106905).
    """
    with _parsing:
        try:
            return ast.parse(text)
        except SystemError:  # a library parses something in another thread
            return ast.parse(text)


def extract(text: str, name: str) -> str:
    """The lines of the Python source `text` that define `name`, without their margin.

    Raises LookupError for a name that is not defined there.
    """
    found: ast.stmt | None = None
    body = parse(text).body
    for part in name.split("."):
        found = next((node for node in body if part in _defined(node)), None)
        if found is None:
            raise LookupError(f"there is no {name}")
        body = found.body if isinstance(found, ast.ClassDef) else []
    assert found is not None  # noqa: S101 - a name has at least one part
    return lines_of(text, found)


def symbol(reference: str) -> tuple[str, str]:
    """The path and the source of `examples/s2_models.py::Message`.

    Without a name, the whole file. Raises CourseError when either is gone.
    """
    path, _, name = reference.partition("::")
    file = ROOT / path
    if not file.is_file():
        raise CourseError(f"{reference}: there is no file {path}.")
    text = file.read_text(encoding="utf-8")
    if not name:
        return path, text.rstrip()
    try:
        return path, extract(text, name)
    except LookupError as error:
        raise CourseError(f"{reference}: {error}.") from error


def imports_of(text: str, code: str, known: set[str]) -> list[str]:
    """The imports of the Python source `text` that its part `code` makes use of.

    Names in `known` are left out, and the others are added to it. Imports of the
    course's own modules are left out, too: their names are the subject.
    """
    used = {node.id for node in ast.walk(parse(code)) if isinstance(node, ast.Name)}
    wanted = used - known
    found: list[str] = []
    for node in parse(text).body:
        if not isinstance(node, ast.Import | ast.ImportFrom):
            continue
        names = [each for each in node.names if (each.asname or each.name) in wanted]
        ours = isinstance(node, ast.ImportFrom) and (node.module or "").startswith(
            "examples"
        )
        if names and not ours:
            node.names = names
            known.update(each.asname or each.name for each in names)
            found.append(ast.unparse(node))
    return found


def lines_of(text: str, node: ast.stmt) -> str:
    """The source of one statement of `text`, decorators included."""
    first = node.lineno
    for decorator in getattr(node, "decorator_list", []):
        first = min(first, decorator.lineno)
    lines = text.splitlines()[first - 1 : node.end_lineno]
    margin = lines[0][: len(lines[0]) - len(lines[0].lstrip())]
    return "\n".join(line.removeprefix(margin) for line in lines)


def tests_of(path: Path) -> dict[str, str]:
    """The tests of a file, by name, with their source."""
    text = path.read_text(encoding="utf-8")
    return {
        node.name: lines_of(text, node)
        for node in parse(text).body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name.startswith("test_")
    }


def docstring(path: Path) -> str:
    """The module docstring; empty where there is none."""
    return ast.get_docstring(parse(path.read_text(encoding="utf-8"))) or ""


def _defined(node: ast.stmt) -> set[str]:
    match node:
        case ast.ClassDef() | ast.FunctionDef() | ast.AsyncFunctionDef():
            return {node.name}
        case ast.Assign():
            every = (part for target in node.targets for part in ast.walk(target))
            return {part.id for part in every if isinstance(part, ast.Name)}
        case ast.AnnAssign(target=ast.Name(id=name)):
            return {name}
    return set()
