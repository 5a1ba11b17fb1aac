"""A section's own code, shown by name: what students read is what runs."""

import ast
import inspect
from collections.abc import Iterable
from types import ModuleType

from course.notebook.display import Shown, fenced

Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def show(module: ModuleType, *names: str) -> Shown:
    """The source of `names` as `module` defines them, decorators included.

    A name with a dot is a method: `Message.check_content`. Raises LookupError for a
    name that the module does not define.
    """
    source = inspect.getsource(module)
    blocks = "\n\n".join(extract(source, name) for name in names)
    path = module.__name__.replace(".", "/") + ".py"
    return Shown(
        f"# {path}\n{blocks}",
        f"`{path}`\n\n{fenced(blocks, 'python')}",
    )


def extract(source: str, name: str) -> str:
    """The lines of `source` that define `name`. Raises LookupError."""
    body: Iterable[ast.stmt] = ast.parse(source).body
    found: ast.stmt | None = None
    for part in name.split("."):
        found = next((node for node in body if part in _defined(node)), None)
        if found is None:
            raise LookupError(f"{name!r} is not defined there")
        body = found.body if isinstance(found, ast.ClassDef) else []
    assert found is not None  # noqa: S101 - a name has at least one part
    first = found.lineno
    if isinstance(found, Definition):
        first = min([first, *(it.lineno for it in found.decorator_list)])
    lines = source.splitlines()[first - 1 : found.end_lineno]
    return inspect.cleandoc("\n" + "\n".join(lines))


def _defined(node: ast.stmt) -> set[str]:
    match node:
        case ast.ClassDef() | ast.FunctionDef() | ast.AsyncFunctionDef():
            return {node.name}
        case ast.Assign():
            named = (name for target in node.targets for name in ast.walk(target))
            return {name.id for name in named if isinstance(name, ast.Name)}
        case ast.AnnAssign(target=ast.Name(id=name)):
            return {name}
    return set()
