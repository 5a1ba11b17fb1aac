"""What students read is plain: docstrings, excerpts that parse, words that are true."""

import ast
import builtins
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from course.deck.code import fences
from course.site import pages
from tests.servers import ROOT

SECTIONS = sorted((ROOT / "examples").glob("s[0-9]_*.py"))
STEPS = sorted((ROOT / "examples" / "steps").glob("s[0-9]_*.py"))
TAUGHT = [*SECTIONS, *STEPS]
CODE = sorted([*(ROOT / "examples").rglob("*.py"), *(ROOT / "course").rglob("*.py")])
PAGES = sorted((ROOT / "docs").rglob("*.md"))
SECTION_PAGES = sorted((ROOT / "docs" / "sections").glob("*.md"))
DECKS = sorted((ROOT / "slides").glob("s*.md"))
FENCE = re.compile(r"^(```+)(\w*)[^\n]*\n(.*?)^\1$", re.DOTALL | re.MULTILINE)
LISTING = re.compile(r"^\{\{ code (\S+) \}\}$", re.MULTILINE)
DIRECTIVE = re.compile(r"^\{\{ .*? \}\}$", re.MULTILINE)
SPAN = re.compile(r"`([^`\n]+)`")
WORD = re.compile(r"[A-Za-z_]\w*")


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


# --- Code ---


def definitions(body: list[ast.stmt], owner: str = "") -> Iterator[tuple[str, ast.AST]]:
    """The public classes and functions of a module, with the methods of the classes."""
    for node in body:
        if not isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if node.name.startswith("_"):
            continue
        yield f"{owner}{node.name}", node
        if isinstance(node, ast.ClassDef):
            yield from definitions(node.body, f"{owner}{node.name}.")


@pytest.mark.parametrize("path", TAUGHT, ids=name)
def test_every_public_name_that_is_taught_has_a_docstring(path: Path) -> None:
    module = ast.parse(read(path))

    assert ast.get_docstring(module)
    without = [
        dotted
        for dotted, node in definitions(module.body)
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and not ast.get_docstring(node)
    ]
    assert without == []


def unlike_values(tree: ast.AST) -> Iterator[int]:
    """The lines that assign several values at once. A swap is allowed."""
    for node in ast.walk(tree):
        match node:
            case ast.Assign(
                targets=[ast.Tuple() as target], value=ast.Tuple() as value
            ):
                names = {ast.unparse(each) for each in target.elts}
                values = {ast.unparse(each) for each in value.elts}
                if names != values:
                    yield node.lineno


@pytest.mark.parametrize("path", TAUGHT, ids=name)
def test_taught_code_assigns_one_value_in_a_line(path: Path) -> None:
    assert list(unlike_values(ast.parse(read(path)))) == []


def test_a_swap_and_a_call_that_returns_two_values_may_be_assigned_at_once() -> None:
    text = "a, b = b, a\nname, _, rest = text.partition('=')\nx, y = 1, {}\n"

    assert list(unlike_values(ast.parse(text))) == [3]


@pytest.mark.parametrize("word", ["lecture"])
def test_code_speaks_of_itself_and_not_of_the(word: str) -> None:
    assert [name(path) for path in CODE if word in read(path).lower()] == []


# --- Excerpts on pages and slides ---


def listings(page: Path) -> list[str]:
    """The Python code on a page: symbols of the repository, and fences of its own."""
    text = read(page)
    imported: set[str] = set()
    found = []
    for argument in LISTING.findall(text):
        block = pages.listing(argument, imported)
        found.append(block.partition("\n")[2].rpartition("\n")[0])
    found += [code for _, language, code in FENCE.findall(text) if language == "python"]
    return [textwrap.dedent(code) for code in found]


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_listing_on_a_page_parses(page: Path) -> None:
    for code in listings(page):
        ast.parse(code)


@pytest.mark.parametrize("deck", DECKS, ids=name)
def test_every_excerpt_on_a_slide_parses(deck: Path) -> None:
    for fence in fences(read(deck)):
        if fence.language == "python":
            try:
                ast.parse(textwrap.dedent(fence.code))
            except SyntaxError as error:
                pytest.fail(f"{name(deck)}:{fence.line}: {error}")


def bound(tree: ast.AST) -> set[str]:
    """The names that a listing itself introduces."""
    found = set()
    for node in ast.walk(tree):
        match node:
            case ast.ClassDef() | ast.FunctionDef() | ast.AsyncFunctionDef():
                found.add(node.name)
            case ast.Name(id=word, ctx=ast.Store()):
                found.add(word)
            case ast.arg(arg=word):
                found.add(word)
            case ast.alias():
                found.add((node.asname or node.name).partition(".")[0])
            case ast.ExceptHandler(name=str(word)):
                found.add(word)
    return found


def prose(text: str) -> str:
    """A page without its code, directives, tables, pictures and markup."""
    text = DIRECTIVE.sub("", FENCE.sub("", text))
    text = re.sub(r"^\|.*$", "", text, flags=re.MULTILINE)
    text = re.sub(r"!\[[^\]]*\]\([^)]*\)", "", text)
    return re.sub(r"\]\([^)]*\)", "]", text)


@pytest.mark.parametrize("page", SECTION_PAGES, ids=name)
def test_every_name_in_a_listing_is_shown_or_explained_on_its_page(page: Path) -> None:
    trees = [ast.parse(code) for code in listings(page)]
    known = {"app", *dir(builtins)}.union(
        *map(bound, trees)
    )  # each module has an `app`
    for span in SPAN.findall(FENCE.sub("", DIRECTIVE.sub("", read(page)))):
        known.update(WORD.findall(span))
    used = {
        node.id
        for tree in trees
        for node in ast.walk(tree)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)
    }
    assert used - known == set()


@pytest.mark.parametrize("page", SECTION_PAGES, ids=name)
def test_a_section_has_600_to_900_words_to_read(page: Path) -> None:
    assert 600 <= len(prose(read(page)).split()) <= 900


def blocks(text: str) -> list[str]:
    """Paragraphs, listings, tables and lists of a page, in order."""
    whole = FENCE.sub(lambda found: found[0].replace("\n\n", "\n"), text)
    return [block for block in re.split(r"\n\s*\n", whole) if block.strip()]


def is_shown(block: str) -> bool:
    """Whether a block is something that "below" can mean: not a paragraph."""
    return re.match(r"```|\{\{|\||!\[|<|- |\d\. |#|===|\?\?\?|!!!", block) is not None


@pytest.mark.parametrize("path", [*PAGES, ROOT / "README.md"], ids=name)
def test_what_is_called_below_follows(path: Path) -> None:
    listed = blocks(read(path))
    for at, block in enumerate(listed):
        if re.search(r"\bbelow\b", block) and not is_shown(block):
            following = listed[at + 1 : at + 4]
            assert any(map(is_shown, following)), block
