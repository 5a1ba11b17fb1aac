"""A module of the course as a module of the exported project.

Imports are found in the syntax tree; strings, comments and names by the tokenizer. Both
give positions, and only what stands there is replaced.
"""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from itertools import groupby

from course.export.names import Names
from course.export.prune import Import, bound_name, docstrings
from course.export.words import (
    WIDTH,
    core_name,
    exchange,
    filled,
    leftovers,
    paragraphs,
    plain,
    without_course,
)

EXAMPLES = "examples"
ALIAS = "core"  # what a module of `core` is called where it is imported as a whole


class Replacements:
    """Text to replace, by its place in a source text."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._lines = text.splitlines(keepends=True)
        self._starts = [0]
        for line in self._lines:
            self._starts.append(self._starts[-1] + len(line))
        self._pieces: dict[int, tuple[int, str]] = {}

    def offset(self, line: int, column: int) -> int:
        """The place of a token; `line` counts from 1, `column` in characters."""
        return self._starts[line - 1] + column

    def span(self, node: ast.expr | ast.stmt | ast.alias) -> tuple[int, int]:
        """The place of a node, whose columns count bytes of UTF-8."""
        end_line = node.end_lineno or node.lineno
        return (
            self.offset(node.lineno, self._characters(node.lineno, node.col_offset)),
            self.offset(end_line, self._characters(end_line, node.end_col_offset or 0)),
        )

    def _characters(self, line: int, octets: int) -> int:
        return len(self._lines[line - 1].encode("utf-8")[:octets].decode("utf-8"))

    def replace(self, start: int, end: int, text: str) -> None:
        """Let `text` stand in place of what is from `start` to `end`.

        What was said first of a place counts.
        """
        self._pieces.setdefault(start, (end, text))

    def result(self) -> str:
        """The text with all replacements made."""
        pieces = []
        last = 0
        for start, (end, text) in sorted(self._pieces.items()):
            if start >= last:
                pieces += [self.text[last:start], text]
                last = end
        return "".join([*pieces, self.text[last:]])


def python(text: str, names: Names) -> str:
    """The source of a module, with the names, imports and words of the project."""
    nodes = list(ast.walk(ast.parse(text)))
    changes = Replacements(text)
    _imports(nodes, changes, names)
    for constant in docstrings(nodes):
        start, end = changes.span(constant)
        new = _docstring(text[start:end], constant.col_offset, names)
        changes.replace(start, end, new)
    for start, end in _path_operands(nodes, changes):
        changes.replace(start, end, f'"{names.package}"')
    tokens = list(tokenize.generate_tokens(io.StringIO(text).readline))
    _comments(tokens, changes, names)
    _strings_and_names(tokens, changes, names)
    return in_order(changes.result(), names)


def _imports(nodes: list[ast.AST], changes: Replacements, names: Names) -> None:
    """Every import of ours under its new name, wherever that name is used.

    Where a whole section is imported, `s2.Message` becomes `core.Message`. A second
    section in the same file is called by its own name, `core_errors`, and so is the
    first one in a file where `core` is something else.
    """
    taken = {node.id for node in nodes if isinstance(node, ast.Name)}
    new: dict[str, str] = {}  # what a section is called, by what it was called
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and node.module == EXAMPLES:
            _module_of_import(node, changes, f"{names.package}.core")
            for alias in node.names:
                short = core_name(alias.name)
                free = ALIAS not in taken and ALIAS not in new.values()
                name = ALIAS if free else f"{ALIAS}_{short}"
                new[bound_name(alias)] = name
                changes.replace(*changes.span(alias), f"{short} as {name}")
        elif isinstance(node, ast.ImportFrom) and node.module:
            _module_of_import(node, changes, exchange(node.module, names))
        elif isinstance(node, ast.Import):
            for alias in node.names:
                start, _ = changes.span(alias)
                module = exchange(alias.name, names)
                changes.replace(start, start + len(alias.name), module)
    for node in nodes:
        if isinstance(node, ast.Name) and node.id in new:
            changes.replace(*changes.span(node), new[node.id])


def _module_of_import(node: ast.ImportFrom, changes: Replacements, new: str) -> None:
    start = changes.span(node)[0] + len("from ")
    changes.replace(start, start + len(node.module or ""), new)


def _strings_and_names(
    tokens: list[tokenize.TokenInfo], changes: Replacements, names: Names
) -> None:
    """Strings and identifiers, where nothing else has replaced them."""
    opened: list[int] = []
    for token in tokens:
        kind = tokenize.tok_name[token.type]
        if kind == "FSTRING_START":  # Python 3.12 and newer take f-strings apart
            opened.append(changes.offset(*token.start))
        elif kind == "FSTRING_END" and len(opened) > 1:
            opened.pop()
        elif kind == "FSTRING_END":
            start, end = opened.pop(), changes.offset(*token.end)
            changes.replace(start, end, exchange(changes.text[start:end], names))
        elif not opened and kind in ("STRING", "NAME"):
            new = exchange(token.string, names)
            if new != token.string:
                place = changes.offset(*token.start), changes.offset(*token.end)
                changes.replace(*place, new)


def _docstring(literal: str, column: int, names: Names) -> str:
    """A docstring in its quotes. One of which nothing is left becomes `...`."""
    opening = re.match("[rR]?(\"\"\"|\"|'''|')", literal)
    if opening is None:
        return exchange(literal, names)
    inner = literal[opening.end() : -len(opening[1])]
    body = inner.rstrip()
    new = paragraphs(body, names, " " * column) or "..."
    end = inner[len(body) :] if "\n" in new else ""
    return f"{opening[0]}{new}{end}{opening[1]}"


def _path_operands(
    nodes: list[ast.AST], changes: Replacements
) -> Iterator[tuple[int, int]]:
    """The places of `"examples"` and `"examples" / "full_app"` in a path."""
    for node in nodes:
        if not isinstance(node, ast.BinOp) or not isinstance(node.op, ast.Div):
            continue
        before = node.left
        if _is_string(node.right, EXAMPLES):
            yield changes.span(node.right)
        elif (
            isinstance(before, ast.BinOp)
            and _is_string(before.right, EXAMPLES)
            and _is_string(node.right, "full_app")
        ):
            yield changes.span(before.right)[0], changes.span(node.right)[1]


def _is_string(node: ast.expr, value: str) -> bool:
    return isinstance(node, ast.Constant) and node.value == value


def _comments(
    tokens: list[tokenize.TokenInfo], changes: Replacements, names: Names
) -> None:
    """Comments: those on lines of their own together, the others one by one."""
    text = changes.text
    lines = text.splitlines()
    alone: list[tuple[int, int]] = []  # line and column
    for token in tokens:
        if token.type != tokenize.COMMENT:
            continue
        line, column = token.start
        code = lines[line - 1][:column]
        if not code.strip():
            alone.append((line, column))
            continue
        new = plain(token.string, names)
        blanks = 0
        if leftovers(new):
            new = ""
            blanks = len(code) - len(code.rstrip())
        start = changes.offset(line, column - blanks)
        changes.replace(start, changes.offset(*token.end), new)
    runs = groupby(enumerate(alone), key=lambda it: (it[1][0] - it[0], it[1][1]))
    for (_, column), members in runs:
        numbers = [place[0] for _, place in members]
        start = changes.offset(numbers[0], column)
        end = changes.offset(numbers[-1], len(lines[numbers[-1] - 1]))
        new = _comment(text[start:end], column, names)
        if new:
            changes.replace(start, end, new)
        else:  # the lines as well
            changes.replace(start - column, end + 1, "")


def _comment(comment: str, column: int, names: Names) -> str:
    """A comment of one or more lines, without `#` before its first one's margin.

    A paragraph that loses a sentence is filled anew, the others keep their lines.
    """
    lines = plain(comment, names).splitlines()
    margin = f"{' ' * column}# "
    kept: list[str] = []
    for is_blank, run in groupby(lines, key=lambda line: line.strip() == "#"):
        paragraph = list(run)
        if is_blank or not leftovers("\n".join(paragraph)):
            kept += [line.strip() for line in paragraph]
            continue
        words = [line.strip().removeprefix("#").strip() for line in paragraph]
        if words[0].startswith("---") and not leftovers(words[0]):
            kept.append(f"# {words.pop(0)}")  # a heading
        if sentences := without_course(" ".join(words)):
            kept.append(f"# {filled(sentences, margin)}")
    while kept and kept[-1] == "#":
        kept.pop()
    return f"\n{' ' * column}".join(kept)


def in_order(text: str, names: Names) -> str:
    """The imports of ours sorted anew, as ruff sorts them, each within its width."""
    lines = text.splitlines(keepends=True)
    imports = [node for node in ast.parse(text).body if isinstance(node, Import)]
    runs: list[list[Import]] = []
    for node in imports:
        if runs and runs[-1][-1].end_lineno == node.lineno - 1:
            runs[-1].append(node)
        else:
            runs.append([node])
    for run in reversed(runs):
        if not any(
            _module(node).split(".")[0] in (names.package, "tests") for node in run
        ):
            continue
        first, last = run[0].lineno - 1, run[-1].end_lineno or run[-1].lineno
        ordered = sorted(run, key=_rank)
        lines[first:last] = [
            _fitting("".join(lines[it.lineno - 1 : it.end_lineno]), it)
            for it in ordered
        ]
    return "".join(lines)


def _module(node: Import) -> str:
    if isinstance(node, ast.ImportFrom):
        return node.module or ""
    return node.names[0].name


def _rank(node: Import) -> tuple[bool, str]:
    return isinstance(node, ast.ImportFrom), _module(node).lower()


def _fitting(line: str, node: Import) -> str:
    """An import that has become longer than a line, name by name."""
    if len(line) <= WIDTH + 1 or "(" in line or isinstance(node, ast.Import):
        return line
    listed = "".join(f"    {ast.unparse(it)},\n" for it in node.names)
    return f"from {node.module} import (\n{listed})\n"


def hash_comments(text: str, names: Names) -> str:
    """A file whose comments begin with `#`, such as a Dockerfile, in the new words.

    There the folder `examples` is meant wherever it is named.
    """
    lines = re.sub(r"\bexamples\b(?![./])", names.package, text).splitlines()
    lines = [exchange(line, names) for line in lines]
    written: list[str] = []
    for is_comment, run in groupby(lines, key=lambda line: line.lstrip()[:1] == "#"):
        block = list(run)
        if not is_comment:
            written += block
            continue
        column = len(block[0]) - len(block[0].lstrip())
        comment = _comment("\n".join(block).strip(), column, names)
        written += [f"{' ' * column}{comment}"] if comment else []
    return "\n".join(written) + "\n"
