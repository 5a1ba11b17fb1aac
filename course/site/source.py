"""Code for pages, found by the name of what it defines and never by line numbers."""

import ast
from pathlib import Path

from course.places import ROOT, CourseError

Definition = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def symbol(reference: str) -> tuple[str, str]:
    """The path and the source of `examples/s2_models.py::Message` or `::Class.method`.

    Decorators belong to it. Raises CourseError when the file or the name is gone.
    """
    path, _, name = reference.partition("::")
    file = ROOT / path
    if not file.is_file():
        raise CourseError(f"{reference}: there is no file {path}.")
    text = file.read_text(encoding="utf-8")
    if not name:
        return path, text.rstrip()
    node: ast.AST = ast.parse(text)
    for part in name.split("."):
        node = _member(node, part, reference)
    return path, _lines(text, node)


def _member(parent: ast.AST, name: str, reference: str) -> ast.stmt:
    for node in getattr(parent, "body", []):
        if name in _names(node):
            found: ast.stmt = node
            return found
    raise CourseError(f"{reference}: there is no {name}.")


def _names(node: ast.stmt) -> set[str]:
    match node:
        case ast.ClassDef() | ast.FunctionDef() | ast.AsyncFunctionDef():
            return {node.name}
        case ast.Assign():
            return {it.id for it in node.targets if isinstance(it, ast.Name)}
        case ast.AnnAssign(target=ast.Name(id=name)):
            return {name}
    return set()


def _lines(text: str, node: ast.AST) -> str:
    first = min([node.lineno, *(it.lineno for it in _decorators(node))])  # type: ignore[attr-defined]
    lines = text.splitlines()[first - 1 : node.end_lineno]  # type: ignore[attr-defined]
    margin = len(lines[0]) - len(lines[0].lstrip())
    return "\n".join(line[margin:] for line in lines)


def _decorators(node: ast.AST) -> list[ast.expr]:
    found: list[ast.expr] = getattr(node, "decorator_list", [])
    return found


def tests_of(path: Path) -> dict[str, str]:
    """The tests of a file, by name, with their source."""
    text = path.read_text(encoding="utf-8")
    return {
        node.name: _lines(text, node)
        for node in ast.parse(text).body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name.startswith("test_")
    }


def docstring(path: Path) -> str:
    """The module docstring; empty where there is none."""
    return ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
