"""Which statements of a module are needed: what an export leaves out by rule.

Only statements at the top of a module are looked at. What a statement defines and what
it refers to comes from the compiler's own tables of names (`symtable`), so a local
variable is never taken for a function of the same name.
"""

import ast
import re
import symtable
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property

HEADING = re.compile(r"# --- ")
_BLANK_LINES = re.compile(r"\n{4,}")
Function = ast.FunctionDef | ast.AsyncFunctionDef
Import = ast.Import | ast.ImportFrom


@dataclass(eq=False)
class Statement:
    """A statement at the top of a module, with the comment that stands on it."""

    node: ast.stmt
    first_line: int  # from 0; with decorators, and with the comment above
    last_line: int  # the line after it
    text: str  # without the comment

    @cached_property
    def nodes(self) -> tuple[ast.AST, ...]:
        """The statement and all that is inside of it."""
        return tuple(ast.walk(self.node))

    @cached_property
    def binds(self) -> frozenset[str]:
        """The names that it defines or imports."""
        if isinstance(self.node, Import):
            return frozenset(bound_name(alias) for alias in self.node.names)
        return frozenset(
            symbol.get_name()
            for symbol in self._table.get_symbols()
            if symbol.is_assigned() or symbol.is_imported()
        )

    @cached_property
    def uses(self) -> frozenset[str]:
        """The names of the module that it refers to, those in annotations included."""
        used = {
            symbol.get_name()
            for symbol in self._table.get_symbols()
            if symbol.is_referenced()
        }
        for table in _inner(self._table):
            used |= {it.get_name() for it in table.get_symbols() if it.is_global()}
        return frozenset(used | set(_quoted_names(self.nodes)))

    @cached_property
    def imports(self) -> tuple[Import, ...]:
        """Its imports, those inside of functions too."""
        return tuple(it for it in self.nodes if isinstance(it, Import))

    @cached_property
    def strings(self) -> frozenset[str]:
        """The strings in it that are not docstrings."""
        documentation = {id(it) for it in docstrings(self.nodes)}
        return frozenset(
            node.value
            for node in self.nodes
            if isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and id(node) not in documentation
        )

    @cached_property
    def parameters(self) -> frozenset[str]:
        """The parameters of a function, which for a test are names of fixtures."""
        if not isinstance(self.node, Function):
            return frozenset()
        given = self.node.args
        every = [*given.posonlyargs, *given.args, *given.kwonlyargs]
        return frozenset(argument.arg for argument in every)

    @cached_property
    def _table(self) -> symtable.SymbolTable:
        return symtable.symtable(self.text, "statement", "exec")


@dataclass(eq=False)
class Module:
    """The text of a module and its statements."""

    text: str
    lines: list[str] = field(init=False)
    statements: list[Statement] = field(init=False)

    def __post_init__(self) -> None:
        self.lines = self.text.splitlines(keepends=True)
        self.statements = list(self._statements())

    def _statements(self) -> Iterator[Statement]:
        ended = 0
        for node in ast.parse(self.text).body:
            first = min(
                [
                    node.lineno,
                    *(it.lineno for it in getattr(node, "decorator_list", [])),
                ]
            )
            begins = first = first - 1
            while begins > ended and self.lines[begins - 1].startswith("#"):
                begins -= 1
            ended = node.end_lineno or node.lineno
            yield Statement(node, begins, ended, "".join(self.lines[first:ended]))

    def needed(
        self, names: Iterable[str], roots: Iterable[Statement] = ()
    ) -> list[Statement]:
        """`roots`, the statements that define `names`, and what these need in turn.

        A statement that defines nothing, such as `Tree.model_rebuild()`, is needed with
        all that it refers to.
        """
        kept = set(roots)
        wanted = set(names).union(*(it.uses for it in kept))
        growing = True
        while growing:
            growing = False
            for it in self.statements:
                if it not in kept and self._is_needed(it, wanted):
                    kept.add(it)
                    wanted |= it.uses
                    growing = True
        return [it for it in self.statements if it in kept]

    def _is_needed(self, statement: Statement, wanted: set[str]) -> bool:
        if isinstance(statement.node, Import) or is_main_block(statement.node):
            return False  # imports follow what is kept
        if statement.binds:
            return bool(statement.binds & wanted)
        own = statement.uses & self.defined
        return bool(own) and own <= wanted

    @cached_property
    def defined(self) -> frozenset[str]:
        """The names that are defined here, not imported."""
        return frozenset().union(
            *(it.binds for it in self.statements if not isinstance(it.node, Import))
        )

    def with_only(self, kept: list[Statement]) -> str:
        """The text of the module with these statements and the imports that they need.

        A comment that stands alone, such as a heading, stays where something is left
        under it. The docstring of the module stays.
        """
        used = frozenset[str]().union(*(it.uses for it in kept))
        pieces: list[str] = []
        waiting = ""  # what stands between statements: until one under it is kept
        line = 0
        previous: ast.stmt | None = None
        for it in self.statements:
            above = "".join(self.lines[line : it.first_line])
            line = it.last_line
            if HEADING.match(above.lstrip("\n")):
                waiting = above
            elif above.strip() or len(above) > len(waiting):
                waiting = (waiting if waiting.strip() else "") + above
            text = self._kept_text(it, kept, used)
            if text is not None:
                after_import = isinstance(previous, Import)
                pieces.append(_spaced(waiting, it.node, after_import) + text)
                previous = it.node
                waiting = ""
        return _BLANK_LINES.sub("\n\n\n", "".join(pieces))

    def _kept_text(
        self, statement: Statement, kept: list[Statement], used: frozenset[str]
    ) -> str | None:
        node = statement.node
        whole = "".join(self.lines[statement.first_line : statement.last_line])
        if isinstance(node, Import):
            names = [alias for alias in node.names if bound_name(alias) in used]
            if len(names) == len(node.names):
                return whole
            return import_statement(node, names) if names else None
        if statement in kept or is_docstring(node):
            return whole
        return None


def _spaced(between: str, node: ast.stmt, after_import: bool) -> str:
    """What stands before a statement, with the blank lines that ruff puts there."""
    if not between.strip():
        return between
    if after_import:
        between = "\n" + between.lstrip("\n")
    if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        between = between.rstrip("\n") + "\n\n\n"
    return between


def import_statement(node: Import, names: list[ast.alias]) -> str:
    """The import of some of the names of `node`, as ruff would write it."""
    words = [f"{it.name} as {it.asname}" if it.asname else it.name for it in names]
    if isinstance(node, ast.Import):
        return "".join(f"import {it}\n" for it in words)
    line = f"from {node.module} import {', '.join(words)}\n"
    if len(line) <= 89:
        return line
    listed = "".join(f"    {it},\n" for it in words)
    return f"from {node.module} import (\n{listed})\n"


def bound_name(alias: ast.alias) -> str:
    """The name under which an import can be used."""
    return alias.asname or alias.name.partition(".")[0]


def is_docstring(node: ast.stmt) -> bool:
    """Whether the statement is a string alone."""
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def is_main_block(node: ast.stmt) -> bool:
    """Whether the statement is `if __name__ == "__main__":`."""
    return isinstance(node, ast.If) and ast.unparse(node.test).startswith("__name__")


def docstrings(nodes: Iterable[ast.AST]) -> Iterator[ast.Constant]:
    """The docstrings among the nodes of a tree: of modules, classes and functions."""
    for node in nodes:
        if isinstance(node, ast.Module | ast.ClassDef | Function) and node.body:
            first = node.body[0]
            if is_docstring(first) and isinstance(first, ast.Expr):
                assert isinstance(first.value, ast.Constant)  # noqa: S101 - is_docstring
                yield first.value


def _inner(table: symtable.SymbolTable) -> Iterator[symtable.SymbolTable]:
    for child in table.get_children():
        yield child
        yield from _inner(child)


def _quoted_names(nodes: Iterable[ast.AST]) -> Iterator[str]:
    """The names in annotations, including those that are written as strings."""
    for part in nodes:
        notes = [getattr(part, "annotation", None), getattr(part, "returns", None)]
        for note in notes:
            if not isinstance(note, ast.AST):
                continue
            for word in ast.walk(note):
                if isinstance(word, ast.Name):
                    yield word.id
                elif isinstance(word, ast.Constant) and isinstance(word.value, str):
                    yield from re.findall(r"[A-Za-z_]\w*", word.value)
