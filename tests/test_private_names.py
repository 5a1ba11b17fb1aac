"""No private name of a library or of the standard library is used by the course.

A name that begins with an underscore may change in any release without notice. What is
checked: attributes (`thing._name`), imports (`from library import _name`) and the same
names given as text to `getattr` and its kin.
"""

import ast
from pathlib import Path

import pytest

from tests.servers import ROOT

FILES = [
    path for folder in ("examples", "course") for path in (ROOT / folder).rglob("*.py")
]
# Names of Python's data model that its reference documents for the use of everybody.
# `__self__` and `__dict__` are not among them: on what a library made they lead to what
# the library keeps for itself.
DOCUMENTED = {
    "__aenter__",
    "__aexit__",
    "__call__",
    "__cause__",
    "__context__",
    "__doc__",
    "__enter__",
    "__exit__",
    "__file__",
    "__future__",
    "__getitem__",
    "__init__",
    "__main__",
    "__module__",
    "__name__",
    "__new__",
    "__path__",
    "__qualname__",
    "__subclasses__",
    "__suppress_context__",
    "__traceback__",
    # documented by libraries as their interface
    "_exit",  # os
    "_fields",  # collections.namedtuple
    "_replace",  # collections.namedtuple
    "_repr_mimebundle_",  # IPython, for objects that display themselves
}
BY_NAME = {"getattr", "setattr", "hasattr", "delattr", "attrgetter", "methodcaller"}


def is_private(name: str) -> bool:
    """Whether a library keeps this name for itself."""
    return name.startswith("_") and name not in DOCUMENTED and name.strip("_") != ""


def own_names(tree: ast.Module) -> set[str]:
    """The names that a file defines: functions, classes, variables and attributes."""
    names: set[str] = set()
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                names.add(node.name)
            case ast.Name(ctx=ast.Store()):
                names.add(node.id)
            case ast.Attribute(value=ast.Name(id="self" | "cls"), ctx=ast.Store()):
                names.add(node.attr)
    return names


def private_names(source: str) -> set[str]:
    """The private names in `source` that are not its own."""
    tree = ast.parse(source)
    used: set[str] = set()
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(value=ast.Name(id="self" | "cls")):
                pass
            case ast.Attribute():
                used.add(node.attr)
            case ast.ImportFrom():
                used.update((node.module or "").split("."))
                used.update(alias.name for alias in node.names)
            case ast.Import():
                used.update(part for it in node.names for part in it.name.split("."))
            case ast.Call(func=ast.Name(id=called) | ast.Attribute(attr=called)):
                if called in BY_NAME:
                    used.update(
                        argument.value
                        for argument in node.args
                        if isinstance(argument, ast.Constant)
                        and isinstance(argument.value, str)
                    )
    return {name for name in used - own_names(tree) if is_private(name)}


def test_no_private_name_of_somebody_else_is_used() -> None:
    used = {
        (path.relative_to(ROOT).as_posix(), name)
        for path in FILES
        for name in private_names(path.read_text(encoding="utf-8"))
    }

    assert not used


@pytest.mark.parametrize(
    "source",
    [
        "request._body",
        "from redis import _parsers",
        "from redis._parsers import Encoder",
        "import uvicorn._compat",
        "getattr(send, '__self__')",
        "hasattr(histogram, '_bounds')",
        "operator.attrgetter('_bounds')(histogram)",
        "record.__dict__",
    ],
)
def test_a_private_name_is_seen(source: str) -> None:
    assert private_names(source)


@pytest.mark.parametrize(
    "source",
    [
        "self._body",
        "def _own(): ...\nmodule._own()",
        "type(error).__name__",
        "super().__init__()",
        "for _ in range(3): print(_)",
    ],
)
def test_a_name_of_its_own_or_documented_is_no_private_name(source: str) -> None:
    assert not private_names(source)


def test_what_is_checked_is_the_whole_course() -> None:
    assert Path(ROOT / "examples" / "full_app" / "main.py") in FILES
    assert Path(ROOT / "course" / "serve.py") in FILES
