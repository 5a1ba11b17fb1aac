"""Colours, type and radius: one list, and every place that writes one out agrees."""

import os
import re
from pathlib import Path

import pytest

from course import tokens
from course.groups import satisfied
from course.notebook import figures
from tests.servers import ROOT

GROUNDS = ("paper", "ground", "panel", "mark", "alarm")
WORDS = ("ink", "soft", "accent", "good", "warm", "warn")
CODE = ("code-keyword", "code-name", "code-text", "code-number", "code-special")
HUES = ("hue-get", "hue-put", "hue-patch")
DRAWINGS = sorted((ROOT / "slides" / "diagrams").glob("*.svg"))
STYLES = (
    "docs/assets/site.css",
    "course/deck/assets/deck.css",
    "examples/full_app/console/console.css",
    "examples/full_app/console/swagger.css",
)


def luminance(colour: str) -> float:
    """Relative luminance as WCAG 2.2 defines it."""
    parts = (int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
    red, green, blue = (
        it / 12.92 if it <= 0.04045 else ((it + 0.055) / 1.055) ** 2.4 for it in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("word", [*WORDS, *CODE, *HUES])
def test_words_can_be_read_on_every_ground(word: str, scheme: str) -> None:
    values = tokens.light() | (tokens.dark() if scheme == "dark" else {})
    for ground in GROUNDS:
        assert contrast(values[word], values[ground]) >= 4.5, ground


def test_the_dark_scheme_changes_colours_only() -> None:
    assert tokens.dark().keys() < tokens.light().keys()
    assert all(value.startswith("#") for value in tokens.dark().values())


def test_a_page_that_is_painted_by_hand_has_both_schemes() -> None:
    sheet = tokens.style_sheet(":root", ".dark")
    light, dark = sheet.splitlines()
    assert light.startswith(":root {")
    assert f"--ink: {tokens.light()['ink']};" in light
    assert dark.startswith(".dark {")
    assert f"--ink: {tokens.dark()['ink']};" in dark


@pytest.mark.parametrize("path", DRAWINGS, ids=lambda it: it.stem)
def test_a_drawing_writes_out_the_colours_of_the_list(path: Path) -> None:
    drawing = path.read_text(encoding="utf-8")
    for name, value in re.findall(r"var\(--(\w+),(#\w+)\)", drawing):
        assert value == tokens.light()[name], name
    for name, value in re.findall(r"--(\w+):(#\w+)", drawing):
        assert value == tokens.dark()[name], name


def test_the_theme_of_the_slides_writes_out_the_values_of_the_list() -> None:
    theme = (ROOT / "slides" / "course-theme.css").read_text(encoding="utf-8")
    written = re.findall(r"var\(--([\w-]+), ([^)]+)\)", theme)
    assert written
    for name, value in written:
        assert value == tokens.light()[name], name


def test_plots_have_the_colours_of_the_list() -> None:
    if not satisfied("bench"):
        assert not os.environ.get("COURSE_REQUIRE_BENCH"), "the bench group is missing"
        pytest.skip("needs `python3 -m course setup bench`")
    from benchmarks import plots

    for scheme, values in (("light", tokens.light()), ("dark", tokens.dark())):
        theme = plots.THEMES[scheme]
        assert theme == {
            "ink": values["ink"],
            "bar": values["soft"],
            "ours": values["accent"],
        }


@pytest.mark.parametrize("name", ["paper", "ink", "soft", "accent", "warm"])
def test_figures_of_notebooks_have_the_colours_of_the_list(name: str) -> None:
    assert figures.PALETTE[name] == (tokens.light()[name], tokens.dark()[name])


@pytest.mark.parametrize("path", STYLES)
def test_a_style_sheet_has_no_colour_of_its_own(path: str) -> None:
    sheet = (ROOT / path).read_text(encoding="utf-8")
    own = re.findall(r"#[0-9a-f]{6}\b|#[0-9a-f]{3}\b", sheet)
    assert set(own) <= {"#fff"}, own  # words on the bar of the site


def test_a_page_in_one_file_carries_the_mark() -> None:
    assert tokens.icon().startswith("data:image/svg+xml,%3Csvg")
