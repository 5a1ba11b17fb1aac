"""The decks as text: every topic, within the limits, in time, and true to the code."""

import json
import re
import tomllib
from pathlib import Path

import pytest

from course import manifest
from course.deck import cells, code, present
from course.deck.source import Deck, decks, read
from course.manifest import Section, sections
from course.notebook.files import path_of, paths
from course.places import ROOT, CourseError

ALL = decks()
CHAPTER = {
    "s1_why_fastapi": [
        "native async",
        "OpenAPI",
        "Pydantic",
        "injection",
        "WebSocket",
        "~15,000",
        "~4,000",
        "~3,500",
        "~12,000",
        "~10 ms",
        "~40 ms",
        "~50 ms",
        "~15 ms",
        "I/O bound",
    ],
    "s2_models": [
        "Rust",
        "5 to 50",
        "Field",
        "field_validator",
        "model_validator",
        "ConfigDict",
        "computed_field",
        "100,000",
        "1000",
        "128,000",
        "16,384",
        "2,048",
        "3,072",
        "cost_usd",
        "total_tokens",
        "ErrorResponse",
        "0 to 2",
        "gpt-4o-mini",
        "base64",
    ],
    "s3_patterns": [
        "GET /users/123",
        "10-50 ms",
        "500-5,000 ms",
        "cacheable",
        "1-10 KB",
        "Synchronous",
        "server-sent",
        "job",
        "webhook",
        "202",
        "streaming for chat",
        "jobs for batch",
    ],
    "s4_dependency_injection": [
        "SettingsDep",
        "LLMServiceDep",
        "RedisDep",
        "RequestContextDep",
        "LLMService(primary_provider=OpenAIProvider",
        "RateLimiter(requests=100",
        "Retry-After",
        "default_rate_limit",
        "strict_rate_limit",
        "X-User-ID",
        "elapsed_ms",
        "dependency_overrides",
    ],
    "s5_error_handling": [
        "validation_error",
        "rate_limit_exceeded",
        "model_error",
        "timeout",
        "context_length_exceeded",
        "content_filtered",
        "service_unavailable",
        "internal_error",
        "AIError(message, code, status_code=500, details)",
        "X-Request-ID",
        "ErrorResponse",
        "RequestValidationError",
        "HTTPException",
    ],
    "s6_full_app": [
        "python3 -m course run",
        "OpenAI(",
        "X-Request-ID",
        "fault-429",
        "fault-truncated",
        "fault-flaky",
        "REDIS_URL",
        "Last-Event-ID",
        "SIGTERM",
        "section 2",
        "section 4",
        "section 5",
    ],
    "s7_takeaways": [
        "self-documenting",
        "validation at small cost",
        "four patterns",
        "testable",
        "hierarchy",
        "fail fast",
    ],
}


def test_measured_figures_are_of_the_order_of_the_committed_results() -> None:
    path = ROOT / "benchmarks" / "results" / "frameworks.json"
    rows = json.loads(path.read_text(encoding="utf-8"))["frameworks"]
    text = (ROOT / "slides" / "s1_why_fastapi.md").read_text(encoding="utf-8")
    row_of_results = r"^\| (\w+).*\*\*([\d,]+)\*\* \| [\d,]+ ms \|$"
    table = re.findall(row_of_results, text, re.MULTILINE)

    assert len(table) == 7
    for at, (server, told) in enumerate(table):
        work = "json" if at < 4 else "model"
        wanted = (server, work, 32, 1)
        names = ("server", "workload", "connections", "workers")
        (row,) = (it for it in rows if tuple(it[name] for name in names) == wanted)
        ratio = int(told.replace(",", "")) / row["requests_per_second"]
        assert 0.5 < ratio < 2, (server, work)


def words(deck: Deck) -> str:
    """A deck's text, notes included."""
    text = " ".join(f"{slide.body} {slide.notes}" for slide in deck.slides)
    return text.replace("\u2013", "-")


def test_there_are_forty_to_a_hundred_slides() -> None:
    assert 40 <= sum(len(deck.slides) for deck in ALL) <= 100


@pytest.mark.parametrize("stem", CHAPTER)
def test_a_deck_names_every_topic_and_figure_of_its_part(stem: str) -> None:
    text = words(next(deck for deck in ALL if deck.stem == stem))

    missing = [it for it in CHAPTER[stem] if it.lower() not in text.lower()]

    assert missing == []


@pytest.mark.parametrize("deck", ALL, ids=lambda deck: str(deck.stem))
def test_every_slide_has_a_title_notes_and_minutes(deck: Deck) -> None:
    for slide in deck.slides:
        assert slide.title, f"{deck.stem}:{slide.line}"
        assert 40 <= len(slide.notes.split()) <= 90, f"{deck.stem}:{slide.line}"
        assert 0 < slide.minutes <= 6, f"{deck.stem}:{slide.line}"


def test_a_section_deck_takes_the_minutes_of_its_talk() -> None:
    for section, deck in zip(sections(), ALL[1:-1], strict=True):
        assert deck.minutes == section.talk, deck.stem


def test_the_opening_lists_the_minutes_of_every_section() -> None:
    rows = re.findall(r"^\| .*? \| (\d+) \|", ALL[0].slides[2].body, re.MULTILINE)

    assert [int(minutes) for minutes in rows] == [it.minutes for it in sections()]


def test_a_page_a_notebook_and_a_deck_have_the_title_of_their_section() -> None:
    for section, deck in zip(sections(), ALL[1:-1], strict=True):
        folder = ROOT / "docs"
        page = folder / "sections" / f"{section.stem}.md"
        if section.id == "full_app":
            page = folder / "full-app" / "index.md"
        notebook = json.loads(path_of(section).read_text(encoding="utf-8"))
        first = "".join(notebook["cells"][0]["source"])
        text = page.read_text(encoding="utf-8")
        heading = re.search(r"^# (.+)$", text, re.MULTILINE)

        assert heading is not None
        assert heading[1] == section.title
        assert first.splitlines()[0] == f"# {section.title}"
        assert deck.title.removeprefix(f"{section.chapter} ") == section.title
        assert deck.slides[0].title == deck.title


@pytest.mark.parametrize("section", sections(), ids=lambda section: str(section.id))
def test_present_and_notebook_understand_the_same_words(section: Section) -> None:
    number = path_of(section).stem[:2]
    for word in (section.id, section.stem, number, number[1]):
        assert manifest.find(word).id == section.id
        assert present.find(word) == path_of(section).stem


@pytest.mark.parametrize("deck", ALL, ids=lambda deck: str(deck.stem))
def test_code_on_slides_is_its_source_and_fits(deck: Deck) -> None:
    assert code.check(deck.path) == []


def test_a_section_deck_quotes_its_module_and_its_steps() -> None:
    for deck in ALL:
        if deck.stem[1] in "123456":
            text = deck.path.read_text(encoding="utf-8")
            named = [f.source or "" for f in code.fences(text) if f.source]
            assert len(named) >= 3, deck.stem
            own = (
                f"examples/{deck.stem}.py::",
                f"examples/{deck.stem.partition('_')[2]}/",
                f"examples/steps/{deck.stem[:2]}_",
                f"tests/test_{deck.stem}.py::",
            )
            assert all(it.startswith(own) for it in named)


@pytest.mark.parametrize("deck", ALL, ids=lambda deck: str(deck.stem))
def test_a_deck_is_valid_marp(deck: Deck) -> None:
    assert (deck.front["marp"], deck.front["theme"]) == ("true", "course-theme")
    assert deck.front["paginate"] == "true"
    theme = (deck.path.parent / "course-theme.css").read_text(encoding="utf-8")
    assert theme.startswith("/* @theme course-theme */")


def drifting(folder: Path) -> Path:
    """A deck whose code is not what its source says."""
    path = folder / "s1_x.md"
    path.write_text(
        "---\nmarp: true\n---\n\n# One\n\n"
        '```python src="examples/s1_why_fastapi.py::get_model"\n'
        "async def get_model() -> None: ...\n```\n",
        encoding="utf-8",
    )
    return path


def test_drift_is_named_with_its_line_and_sync_mends_it(tmp_path: Path) -> None:
    path = drifting(tmp_path)

    (wrong,) = code.check(path)
    changed = code.sync(path)

    assert wrong.startswith("slides/s1_x.md:7: the code differs from examples/s1_why")
    assert changed
    assert code.check(path) == []
    assert "return SlowModel()" in path.read_text(encoding="utf-8")
    assert not code.sync(path)


def test_a_fence_may_leave_lines_out(tmp_path: Path) -> None:
    path = drifting(tmp_path)
    text = path.read_text(encoding="utf-8").replace("get_model", "sequential")
    text = text.replace('sequential"', 'sequential" lines="8,11"', 1)
    path.write_text(text, encoding="utf-8")

    assert code.sync(path)
    (fence,) = code.fences(path.read_text(encoding="utf-8"))
    first, second = fence.code.splitlines()
    assert first == "for _ in range(plan.calls):"
    assert second == "return stopwatch.read()"


@pytest.mark.parametrize("source", ["examples/s1_why_fastapi.py::nobody", "no.py::x"])
def test_a_source_that_is_gone_is_named(tmp_path: Path, source: str) -> None:
    path = drifting(tmp_path)
    text = path.read_text(encoding="utf-8")
    text = re.sub(r'src="[^"]*"', f'src="{source}"', text)
    path.write_text(text, encoding="utf-8")

    assert source in code.check(path)[0]
    with pytest.raises(CourseError, match=r"s1_x\.md:7"):
        code.sync(path)


@pytest.mark.parametrize(
    ("block", "why"),
    [
        ("x = 1\n" * 14 + "x = 1", "15 lines of code, 14 at most"),
        ("x" * 73, "73 columns, 72"),
    ],
)
def test_code_that_is_too_much_for_a_slide_is_named(
    tmp_path: Path, block: str, why: str
) -> None:
    path = tmp_path / "s1_x.md"
    path.write_text(f"---\n---\n\n# A\n\n```python\n{block}\n```\n", encoding="utf-8")

    assert why in code.check(path)[0]


def test_a_rule_inside_code_ends_no_slide(tmp_path: Path) -> None:
    path = tmp_path / "s1_x.md"
    path.write_text(
        "---\na: b\n---\n\n# A\n\n```yaml\n---\n```\n\n---\n\n# B\n", "utf-8"
    )

    deck = read(path)

    assert [slide.title for slide in deck.slides] == ["A", "B"]
    assert [slide.line for slide in deck.slides] == [4, 12]


@pytest.mark.parametrize(
    ("text", "why"), [("# A\n", ":1: a deck begins"), ("---\n---\n\n---\n", "empty")]
)
def test_what_is_no_deck_is_refused(tmp_path: Path, text: str, why: str) -> None:
    path = tmp_path / "s1_x.md"
    path.write_text(text, encoding="utf-8")

    with pytest.raises(CourseError, match=why):
        read(path)


@pytest.mark.parametrize(
    ("said", "stem"),
    [
        ("2", "s2_models"),
        ("s2", "s2_models"),
        ("models", "s2_models"),
        ("opening", "s0_opening"),
        ("takeaways", "s7_takeaways"),
    ],
)
def test_a_deck_is_found_by_its_names(said: str, stem: str) -> None:
    assert present.find(said) == stem


def test_a_deck_that_does_not_exist_is_refused_with_those_that_do() -> None:
    with pytest.raises(CourseError, match="s0_opening"):
        present.find("s9")


def test_drawings_have_a_title_and_a_description() -> None:
    drawings = sorted((ROOT / "slides" / "diagrams").glob("*.svg"))

    assert len(drawings) >= 9
    for path in drawings:
        text = path.read_text(encoding="utf-8")
        assert "<title" in text, path.name
        assert "<desc" in text, path.name
        assert "prefers-color-scheme:dark" in text, path.name


def test_every_page_needs_the_docs_group_only() -> None:
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    named = " ".join(groups["dependency-groups"]["docs"])

    assert "sphinx-revealjs" in named


@pytest.mark.parametrize("notebook", paths(), ids=lambda path: path.stem)
def test_a_listing_goes_on_on_another_slide_after_a_docstring_and_not_in_it(
    notebook: Path,
) -> None:
    blocks = [block for page in cells.pages(notebook) for block in page.blocks]
    listings = ["\n".join(it.rows) for it in blocks if it.language == "python"]

    assert listings
    assert [it for it in listings if it.count('"""') % 2] == []
