"""Code is found by the name of what it defines, for pages, decks and notebooks."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from course.source import extract

MODULE = '''"""A module."""

LIMIT = 10
first, second = 1, 2
names: list[str] = []


@decorated
@twice(
    1
)
class Message:
    """A class."""

    role: str

    @property
    def text(self) -> str:
        return """one
two"""


async def ask() -> None: ...
'''


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("LIMIT", "LIMIT = 10"),
        ("second", "first, second = 1, 2"),
        ("names", "names: list[str] = []"),
        ("Message.role", "role: str"),
        ("ask", "async def ask() -> None: ..."),
    ],
)
def test_a_name_is_shown_as_it_is_defined(name: str, code: str) -> None:
    assert extract(MODULE, name) == code


def test_a_class_comes_with_its_decorators_and_without_its_neighbours() -> None:
    lines = extract(MODULE, "Message").splitlines()

    assert lines[:5] == ["@decorated", "@twice(", "    1", ")", "class Message:"]
    assert lines[-1] == 'two"""'


def test_a_method_comes_without_the_margin_of_its_class() -> None:
    assert extract(MODULE, "Message.text").splitlines() == [
        "@property",
        "def text(self) -> str:",
        '    return """one',
        'two"""',
    ]


@pytest.mark.parametrize("name", ["Gone", "Message.gone", "LIMIT.gone", "MessageX"])
def test_a_name_that_is_not_defined_is_refused(name: str) -> None:
    with pytest.raises(LookupError, match=name):
        extract(MODULE, name)


def test_many_threads_may_take_code_apart_at_once() -> None:
    def part(_: int) -> str:
        return extract(MODULE, "Message.role")

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(part, range(400))) == {"role: str"}
