"""Pages with the tests themselves, so that a claim links to what proves it."""

import html
import re
from functools import cache
from pathlib import Path

from course import source
from course.places import ROOT, CourseError

TESTS = ROOT / "tests"
_NUMBERS = re.compile(r"^(\d\d )+")
# Names that a sentence writes in their own way, and a test's name cannot.
_NAMES = {
    it.lower(): it
    for it in (
        *("AI", "API", "CORS", "DNS", "HTTP", "JSON", "NaN", "SIGKILL", "SIGTERM"),
        *("SSE", "TLS", "URL", "UTC", "USD", "FastAPI", "OpenAI", "Pydantic", "Python"),
        *("Redis", "WebSocket", "WebSockets"),
    )
}


@cache
def tests() -> dict[str, dict[str, str]]:
    """Every test of sections, steps, service and export: file to names and sources."""
    patterns = ["test_s[1-5]_*.py", "steps/*.py", "sections/*.py", "full_app/**/*.py"]
    patterns.append("course/test_export.py")
    files = sorted(path for pattern in patterns for path in TESTS.glob(pattern))
    found = {path.relative_to(ROOT).as_posix(): source.tests_of(path) for path in files}
    return {path: listed for path, listed in found.items() if listed}


def listed(path: str) -> str:
    """All tests of a file as sentences, each a link to its source."""
    if path not in tests():
        raise CourseError(f"there are no tests in {path}.")
    links = "\n".join(f"- {_link(path, name)}" for name in tests()[path])
    count = len(tests()[path])
    return f'??? note "All {count} tests of `{path}`"\n\n' + _indented(links)


def claims(argument: str) -> str:
    """Some tests of a file: `tests/test_s2_models.py name name ...`."""
    path, *names = argument.split()
    for name in names:
        if name not in tests().get(path, {}):
            raise CourseError(f"{path} has no test {name}.")
    return "\n".join(f"- {_link(path, name)}" for name in names)


def _link(path: str, name: str) -> str:
    return f"[{sentence(name, path)}](../proofs/{page(path)}.md#{name})"


def sentence(name: str, path: str = "") -> str:
    """`test_a_price_is_exact` as `A price is exact`.

    Tests of the service may begin with numbers of its contract: not for readers.
    """
    words = name.removeprefix("test_").replace("_", " ")
    if path.startswith("tests/full_app"):
        words = _NUMBERS.sub("", words)
    words = " ".join(_NAMES.get(it, it) for it in words.split(" "))
    return words[0].upper() + words[1:]


def page(path: str) -> str:
    """The name of the page that shows a test file."""
    short = path.removeprefix("tests/").removesuffix(".py")
    return short.replace("/", "-").replace("_", "-")


def write(folder: Path) -> None:
    """Write one page a test file."""
    folder.mkdir(parents=True)
    for path, listed in tests().items():
        parts = [
            "---\nsearch:\n  exclude: true\n---",
            f"# Tests: {path.removeprefix('tests/')}",
            f"`python3 -m course test {path}` runs them.",
        ]
        for name, text in listed.items():
            heading = f"## {html.escape(sentence(name, path))} {{ #{name} }}"
            parts.append(f"{heading}\n\n````python\n{text}\n````")
        target = folder / f"{page(path)}.md"
        target.write_text("\n\n".join(parts) + "\n", encoding="utf-8")


def _indented(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.splitlines())
