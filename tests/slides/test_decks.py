"""The decks in a real Chromium, from `file://`: nothing is cut, nobody is asked."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pytest

from course.deck.source import decks
from course.groups import satisfied
from course.notebook.files import paths
from course.places import CourseError
from tests.browser import PHONE, axe_violations, opened, wrong_in_any_look
from tests.once import once_a_run
from tests.servers import serve_files

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.deep
STEMS = [deck.stem for deck in decks()]
NOTEBOOKS = [path.stem for path in paths()]
PAGES = [f"{stem}/{page}.html" for stem in STEMS for page in ("index", "handout")]
PAGES += [f"{stem}/notebook.html" for stem in NOTEBOOKS]
COLOURS: tuple[Literal["light", "dark"], ...] = ("light", "dark")
SLIDES = {deck.stem: len(deck.slides) for deck in decks()}
CUT = """() => {
  const box = Reveal.getCurrentSlide().querySelector(".slide");
  const edge = box.getBoundingClientRect();
  const foot = parseFloat(getComputedStyle(box).paddingBottom) * Reveal.getScale();
  const wrong = [];
  const low = (it) => it.getBoundingClientRect().bottom - (edge.bottom - foot);
  for (const it of box.querySelectorAll(":scope > *, .body > *"))
    if (low(it) > 1) wrong.push(`${low(it)} too low: ${it.outerHTML.slice(0, 80)}`);
  for (const it of box.querySelectorAll("*")) {
    const at = it.getBoundingClientRect();
    if (it.closest("svg") && it.tagName !== "svg") continue;
    if (at.width && at.right > edge.right + 1) wrong.push(it.outerHTML.slice(0, 80));
  }
  for (const it of box.querySelectorAll("pre"))
    if (it.scrollWidth > it.clientWidth + 1) wrong.push(`code: ${it.innerText}`);
  return wrong;
}"""


# The exponents of an axis (`tspan`) are smaller than the numbers they belong to.
SMALL = """() => {
  const slide = Reveal.getCurrentSlide().querySelector(".slide");
  const walk = document.createTreeWalker(slide, NodeFilter.SHOW_TEXT);
  const wrong = [];
  while (walk.nextNode()) {
    const text = walk.currentNode;
    const element = text.parentElement;
    if (!text.data.trim()) continue;
    if (element.closest("title, desc, style, defs, tspan")) continue;
    const turned = element.closest("svg") && element.getScreenCTM();
    const drawn = turned ? Math.hypot(turned.a, turned.b) : Reveal.getScale();
    const pixels = parseFloat(getComputedStyle(element).fontSize) * drawn;
    if (pixels < 19.9) wrong.push(`${pixels} pixels: ${text.data}`);
  }
  return wrong;
}"""
LOWEST = """() => {
  const parts = Reveal.getCurrentSlide().querySelectorAll(".body > *");
  return Math.max(...[...parts].map((it) => it.getBoundingClientRect().bottom));
}"""
LOWER_THIRD = 480  # pixels from the top, of 720


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All decks, written to a folder."""
    if not satisfied("docs"):
        assert not os.environ.get("COURSE_REQUIRE_DOCS"), "the docs group is missing"
        pytest.skip("the docs group is not installed: python3 -m course setup docs")
    return once_a_run(tmp_path_factory, "decks with a space", write_decks)


def write_decks(folder: Path) -> None:
    """Write all decks and the notebooks as decks."""
    from course.deck.build import build, notebooks

    build(folder)
    notebooks(folder)


@pytest.fixture(scope="module")
def served(built: Path) -> Iterator[str]:
    """The same over HTTP: the accessibility checker reads style sheets by request."""
    with serve_files(built) as url:
        yield url


def steps(page: "Page") -> Iterator[int]:
    """Go through a deck with the keyboard; the number of each stop's slide, from 0."""
    page.wait_for_function("window.Reveal && Reveal.isReady()")
    yield 0
    while not page.evaluate(
        "Reveal.isLastSlide() && !Reveal.availableFragments().next"
    ):
        page.keyboard.press("ArrowRight")
        yield int(page.evaluate("Reveal.getIndices().h"))


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("stem", STEMS)
def test_a_deck_is_stepped_to_its_end_and_nothing_is_cut(
    browser: "Browser", built: Path, stem: str, dark: bool
) -> None:
    address = (built / stem / "index.html").as_uri()
    with opened(browser, address, size=(1280, 720), dark=dark) as page:
        seen = set()
        for number in steps(page):
            if number not in seen:
                assert page.evaluate(CUT) == [], f"slide {number + 1}"
                assert page.evaluate(SMALL) == [], f"slide {number + 1}"
            seen.add(number)

        assert seen == set(range(SLIDES[stem]))


@pytest.mark.parametrize("stem", NOTEBOOKS)
def test_a_notebook_is_presented_to_its_end_and_nothing_is_cut(
    browser: "Browser", built: Path, stem: str
) -> None:
    address = (built / stem / "notebook.html").as_uri()
    with opened(browser, address, size=(1280, 720)) as page:
        assert page.evaluate("document.querySelectorAll('.slide').length") > 15
        for number in steps(page):
            assert page.evaluate(CUT) == [], f"slide {number + 1}"
            assert page.evaluate(SMALL) == [], f"slide {number + 1}"

        assert page.evaluate("Reveal.getProgress()") == 1


@pytest.mark.parametrize("stem", STEMS)
def test_the_lower_third_of_a_slide_is_not_left_empty(
    browser: "Browser", built: Path, stem: str
) -> None:
    address = (built / stem / "index.html").as_uri()
    with opened(browser, address, size=(1280, 720)) as page:
        page.wait_for_function("window.Reveal && Reveal.isReady()")
        for number in range(SLIDES[stem]):
            page.evaluate(f"Reveal.slide({number})")
            if page.locator(".present.lead").count() == 0:
                assert page.evaluate(LOWEST) > LOWER_THIRD, f"slide {number + 1}"


def test_a_drawing_comes_step_by_step_and_is_whole_in_the_handout(
    browser: "Browser", built: Path
) -> None:
    folder = built / "s6_full_app"
    with opened(browser, (folder / "index.html").as_uri()) as page:
        page.wait_for_function("window.Reveal && Reveal.isReady()")
        page.evaluate("Reveal.slide(1)")
        rows = page.locator(".present svg g.fragment")

        assert [rows.nth(it).is_visible() for it in range(5)] == [False] * 5
        page.keyboard.press("ArrowRight")
        page.keyboard.press("ArrowRight")
        assert [rows.nth(it).is_visible() for it in range(3)] == [True, True, False]
    with opened(browser, (folder / "handout.html").as_uri()) as page:
        rows = page.locator("#slide-2 svg g.fragment")
        assert all(rows.nth(it).is_visible() for it in range(5))


@pytest.mark.parametrize("name", ["index", "handout", "notebook"])
def test_a_page_of_a_deck_can_be_copied_alone(
    browser: "Browser", built: Path, tmp_path: Path, name: str
) -> None:
    alone = tmp_path / f"{name}.html"
    alone.write_bytes((built / "s2_models" / f"{name}.html").read_bytes())

    with opened(browser, alone.as_uri()) as page:
        requests: list[str] = []
        page.on("request", lambda request: requests.append(request.url))
        page.reload()
        if name != "handout":
            page.wait_for_function("window.Reveal && Reveal.isReady()")
        colour = "getComputedStyle(document.querySelector('h1')).color"

        assert page.evaluate(colour) == "rgb(28, 39, 51)"
        assert [it for it in requests if not it.startswith("data:")] == [alone.as_uri()]


def test_a_handout_is_printed_with_its_notes_and_closed_again(
    browser: "Browser", built: Path
) -> None:
    with opened(browser, (built / "s2_models" / "handout.html").as_uri()) as page:
        opened_in_print = "addEventListener('beforeprint', () => { window.seen = %s })"
        count = "document.querySelectorAll('details[open]').length"
        page.evaluate(opened_in_print % count)
        page.pdf()

        assert page.evaluate("window.seen") == SLIDES["s2_models"]
        page.wait_for_function(f"{count} === 0")


def test_what_a_cell_printed_comes_after_the_question(
    browser: "Browser", built: Path
) -> None:
    address = (built / "s1_why_fastapi" / "notebook.html").as_uri()
    with opened(browser, address, size=(1280, 720)) as page:
        page.wait_for_function("window.Reveal && Reveal.isReady()")
        drawn = "it.querySelector('.fragment .figure svg')"
        page.evaluate(f"Reveal.slide(Reveal.getSlides().findIndex(it => {drawn}))")
        picture = page.locator(".present .figure svg")

        assert not picture.is_visible()
        page.keyboard.press("ArrowRight")
        assert picture.is_visible()


def test_a_step_marks_its_lines(browser: "Browser", built: Path) -> None:
    address = (built / "s1_why_fastapi" / "index.html").as_uri()
    with opened(browser, f"{address}#/3", size=(1280, 720)) as page:
        page.wait_for_function("window.Reveal && Reveal.isReady()")
        assert page.locator(".present .row.focused").count() == 0
        page.keyboard.press("ArrowRight")

        assert page.locator(".present .row.focused").count() == 3


@pytest.mark.parametrize("stem", STEMS)
def test_a_printed_deck_has_a_page_for_each_slide(
    browser: "Browser", built: Path, stem: str
) -> None:
    address = (built / stem / "index.html").as_uri()
    with opened(browser, f"{address}?print-pdf") as page:
        page.wait_for_selector(".pdf-page")
        pdf = page.pdf(prefer_css_page_size=True, print_background=True)

        assert page.locator(".pdf-page").count() == SLIDES[stem]
    assert pdf.count(b"/Type /Page\n") + pdf.count(b"/Type /Page ") == SLIDES[stem]


def test_the_speaker_window_shows_the_notes_the_clock_and_the_plan(
    browser: "Browser", built: Path
) -> None:
    address = (built / "s2_models" / "index.html").as_uri()
    with opened(browser, address) as page:
        page.wait_for_function("window.Reveal && Reveal.isReady()")
        page.evaluate("Reveal.slide(1)")
        with page.expect_popup() as window:
            page.keyboard.press("s")
        speaker = window.value
        notes = speaker.locator(".speaker-controls-notes .value")
        notes.filter(has_text="Follow one request downwards").wait_for()

        assert "2 min: from 1 to 3 of 20" in notes.inner_text()
        assert re.search(r"\d:\d\d", speaker.locator(".clock-value").inner_text())
        assert speaker.locator(".timer").is_visible()
        assert speaker.locator(".pacing").is_visible()


def test_the_overview_shows_every_slide_and_leads_to_it(
    browser: "Browser", built: Path
) -> None:
    address = (built / "s4_dependency_injection" / "index.html").as_uri()
    with opened(browser, address, size=(1280, 720)) as page:
        page.wait_for_function("window.Reveal && Reveal.isReady()")
        page.keyboard.press("o")
        pictures = page.locator(".grid .small")

        assert pictures.count() == SLIDES["s4_dependency_injection"]
        inside = """() => [...document.querySelectorAll(".grid .small")].every((it) => {
          const box = it.getBoundingClientRect();
          return box.top >= 0 && box.bottom <= innerHeight && box.right <= innerWidth;
        })"""
        assert page.evaluate(inside)
        assert axe_violations(page) == []
        page.keyboard.press("ArrowRight")
        page.keyboard.press("Enter")
        assert page.evaluate("Reveal.getIndices().h") == 1
        assert pictures.count() == 0
        page.keyboard.press("Escape")
        pictures.nth(9).click()
        assert page.evaluate("Reveal.getIndices().h") == 9
        page.keyboard.press("o")
        page.keyboard.press("Escape")
        assert pictures.count() == 0


def test_the_dark_look_is_a_key_away(browser: "Browser", built: Path) -> None:
    address = (built / "s2_models" / "index.html").as_uri()
    with opened(browser, address) as page:
        page.wait_for_function("window.Reveal && Reveal.isReady()")
        page.keyboard.press("t")
        assert page.evaluate("document.documentElement.classList.contains('dark')")


@pytest.mark.parametrize("stem", ["s3_patterns", "s2_models"])
def test_on_a_phone_the_slides_are_one_below_the_other_with_all_their_steps(
    browser: "Browser", built: Path, stem: str
) -> None:
    for page in ("index", "notebook"):
        address = (built / stem / f"{page}.html").as_uri()
        with opened(browser, address, size=PHONE) as tab:
            tab.wait_for_function("window.Reveal && Reveal.isReady()")
            assert tab.evaluate("Reveal.isScrollView()")
            assert (
                tab.locator(".fragment:not(.step):visible").count()
                == tab.locator(".fragment:not(.step)").count()
            )
            tab.mouse.wheel(0, 500)
            tab.wait_for_function("Reveal.getIndices().h > 0")


@pytest.mark.parametrize("page", PAGES)
def test_a_deck_a_notebook_and_a_handout_are_accessible_and_fit_a_phone(
    browser: "Browser", served: str, page: str
) -> None:
    with opened(browser, f"{served}/{page}") as tab:
        assert wrong_in_any_look(tab) == []


@pytest.mark.parametrize("page", [it for it in PAGES if "handout" not in it])
def test_every_slide_is_accessible_in_light_and_dark(
    browser: "Browser", served: str, page: str
) -> None:
    with opened(browser, f"{served}/{page}?print-pdf") as tab:  # all of them at once
        tab.wait_for_selector(".pdf-page")
        for scheme in COLOURS:
            tab.emulate_media(color_scheme=scheme)
            tab.wait_for_selector(f"html.{scheme}")
            # What is not about colours is the same in the second scheme.
            others = scheme == COLOURS[0]
            assert axe_violations(tab, others=others) == [], scheme


def test_a_handout_is_searched(browser: "Browser", built: Path) -> None:
    address = (built / "s5_error_handling" / "handout.html").as_uri()
    with opened(browser, address) as page:
        page.fill("#search", "retries need chance")

        assert page.locator("article:visible").count() == 1
        assert page.locator("#found").inner_text() == "1 of 12 slides"


def test_a_built_deck_names_no_other_machine(built: Path) -> None:
    pages = [path for path in built.rglob("*") if path.suffix in {".html", ".css"}]

    assert len(pages) > 2 * len(STEMS)
    for path in pages:
        text = path.read_text(encoding="utf-8")
        text = re.sub(r"<script>.*?</script>", "", text, flags=re.DOTALL)
        found = re.search(r"""(src=|href=|url\()["']?(https?:)?//""", text)
        assert found is None, path.name


def test_a_deck_that_has_drifted_is_not_built(built: Path, tmp_path: Path) -> None:
    from course.deck.build import build

    (tmp_path / "s1_x.md").write_text(
        '---\n---\n\n# A\n\n```python src="examples/s1_why_fastapi.py::app"\nx\n```\n',
        encoding="utf-8",
    )

    with pytest.raises(CourseError, match="python3 -m course sync"):
        build(tmp_path / "out", tmp_path)
