"""The built site: every page in a real browser, light and dark, wide and narrow."""

import importlib.util
import os
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urldefrag, urljoin

import pytest

from course.site import pages as pages_module
from tests.browser import (
    DESKTOP,
    DRAWN,
    PHONE,
    axe_violations,
    looks,
    opened,
    overflows,
    wrong_in_any_look,
)
from tests.servers import ROOT

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = [pytest.mark.deep, pytest.mark.timeout(300)]
PARTS = 8  # workers share the pages
# Swagger UI begins with an h3 where the page has an h2.
THEIRS = ("heading-order",)


class Links(HTMLParser):
    """The targets of a page, and the ids that can be one."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.targets: set[str] = set()
        self.ids: set[str] = set()
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in {"href", "src"} and value:
                self.targets.add(value)
            elif name in {"id", "name"} and value:
                self.ids.add(value)


def pages(site: Path) -> list[str]:
    found = [path.relative_to(site).as_posix() for path in site.rglob("index.html")]
    return sorted(it.removesuffix("index.html") for it in found)


def test_no_link_of_the_site_is_dead(site: Path) -> None:
    read = {page: Links(site / page / "index.html") for page in pages(site)}
    dead = []
    for page, links in read.items():
        for target in links.targets:
            whole, anchor = urldefrag(urljoin(f"http://site/{page}", target))
            if not whole.startswith("http://site/"):
                continue
            place = unquote(whole.removeprefix("http://site/").split("?")[0])
            if place.endswith("/") or not place:
                there = place in read
                anchored = there and (not anchor or unquote(anchor) in read[place].ids)
            else:
                there = anchored = (site / place).is_file()
            if not there or not anchored:
                dead.append(f"{page}: {target}")
    assert not dead, "\n".join(dead)


@pytest.mark.parametrize("part", range(PARTS))
def test_every_page_is_quiet_accessible_and_fits(
    site: Path, address: str, browser: "Browser", part: int
) -> None:
    wrong = []
    proofs = [it for it in pages(site) if it.startswith("proofs/")]
    chosen = [it for it in pages(site) if not it.startswith(("slides/", "proofs/"))]
    for page in [*chosen, *proofs[:1]][part::PARTS]:
        with opened(browser, address + page) as tab:
            tab.wait_for_load_state("load")
            if "reference/http" in page:
                tab.wait_for_selector(".opblock-tag")
            theirs = THEIRS if "reference/http" in page else ()
            found = wrong_in_any_look(tab, without=theirs)
            wrong += [f"{page}, {it}" for it in found]
    assert not wrong, "\n".join(wrong)


def test_every_proof_is_quiet_and_fits(
    site: Path, address: str, browser: "Browser"
) -> None:
    with opened(browser, address, size=PHONE) as tab:
        for page in [it for it in pages(site) if it.startswith("proofs/")]:
            tab.goto(address + page)
            assert overflows(tab) == [], page


def test_an_open_route_of_swagger_ui_can_be_read_in_both_colours(
    address: str, browser: "Browser"
) -> None:
    with opened(browser, address + "reference/http/") as tab:
        tab.locator(".opblock-tag").first.click()
        tab.locator(".opblock-summary-control").first.click()
        tab.locator(".responses-table .microlight").last.wait_for()
        tab.get_by_role("tab", name="Schema").first.click()
        for name, look in looks(tab):
            if look.contrast:
                assert axe_violations(tab, without=THEIRS) == [], name
        shown = tab.locator("#swagger").inner_text()
    assert "additionalProp1" not in shown
    assert "1000000000000" not in shown


def test_every_page_says_what_it_is_and_no_two_have_the_same_title(site: Path) -> None:
    titles: dict[str, str] = {}
    for page in pages(site):
        text = (site / page / "index.html").read_text(encoding="utf-8")
        title = text.partition("<title>")[2].partition("</title>")[0]
        assert titles.setdefault(title, page) == page, title
        assert '<meta name="description" content="' in text, page
        if not page.startswith("slides/"):
            assert '<link rel="icon" href="' in text, page
            assert "mark.svg" in text, page
        assert 'property="og:title"' in text, page
        assert 'property="og:description"' in text, page


def test_the_search_finds_a_page_without_the_internet(
    address: str, browser: "Browser"
) -> None:
    with opened(browser, address) as tab:
        # what is typed before the page listens is not heard
        tab.get_by_text("Type to start searching").wait_for(state="attached")
        tab.locator("input.md-search__input").press_sequentially("token bucket")
        tab.wait_for_selector(".md-search-result__item")


def test_a_recorded_stream_plays_pauses_and_steps(
    address: str, browser: "Browser"
) -> None:
    page = address + "sections/s3_patterns/"
    with opened(browser, page, still=False) as tab:
        recording = tab.locator(".wire")
        rows = tab.locator(".wire tbody tr")
        hidden = tab.locator(".wire tr.later")
        assert rows.count() >= 5
        assert hidden.count() == 0
        recording.get_by_role("button", name="Step").click()
        assert hidden.count() == rows.count() - 1
        recording.get_by_role("button", name="Play").click()
        recording.get_by_role("button", name="Pause").click()
        assert recording.get_by_role("button", name="Play").is_visible()
        recording.get_by_role("button", name="Play").click()
        tab.wait_for_function("!document.querySelector('.wire tr.later')")


def test_with_reduced_motion_a_stream_moves_only_by_steps(
    address: str, browser: "Browser"
) -> None:
    with opened(browser, address + "sections/s3_patterns/", still=True) as tab:
        recording = tab.locator(".wire")
        assert recording.get_by_role("button", name="Step").is_visible()
        assert not recording.get_by_role("button", name="Play").is_visible()


def test_a_drawing_comes_step_by_step(address: str, browser: "Browser") -> None:
    with opened(browser, address + "sections/s3_patterns/") as tab:
        drawing = tab.locator("#drawing-job-states")
        later = drawing.locator(".fragment.later")
        parts = drawing.locator(".fragment").count()
        assert later.count() == 0
        drawing.get_by_role("button", name="Step").click()
        assert later.count() == parts
        drawing.get_by_role("button", name="Step").click()
        assert later.count() == parts - 1
        assert axe_violations(tab) == []
        drawing.get_by_role("button", name="Show all").click()
        assert later.count() == 0


ASKED = {  # what is asked, the page that answers, and its place among the results
    "SSE": ("sections/s3_patterns/", 1),
    "how do I stream": ("sections/s3_patterns/", 1),
    "How do I stream?": ("sections/s3_patterns/", 1),
    "how do I validate a request": ("sections/s2_models/", 3),
    "what is a dependency": ("sections/s4_dependency_injection/", 1),
    "422": ("sections/s2_models/", 10),
}


@pytest.mark.parametrize("asked", ASKED)
def test_what_a_student_asks_finds_the_page_that_answers(
    address: str, browser: "Browser", asked: str
) -> None:
    page, place = ASKED[asked]
    with opened(browser, address) as tab:
        tab.get_by_text("Type to start searching").wait_for(state="attached")
        tab.locator("input.md-search__input").press_sequentially(asked)
        result = f".md-search-result__item:nth-child(-n + {place})"
        tab.wait_for_selector(f'{result} a[href*="{page}"]', state="attached")


# Tables that are wider than their box, and whether they are full of numbers.
WIDE_TABLES = """() => [...document.querySelectorAll(".md-typeset__scrollwrap")]
  .filter((box) => box.scrollWidth > box.clientWidth + 1)
  .map((box) => {
    const heads = [...box.querySelectorAll("th")];
    const numbers = heads.filter((it) => it.style.textAlign === "right").length > 1;
    return [heads.map((it) => it.textContent).join(" | "), numbers];
  })"""
WITHOUT_SIGN = """() => [
    ...document.querySelectorAll(".md-typeset__scrollwrap, .md-typeset pre > code")
  ].filter((box) => box.scrollWidth > box.clientWidth + 1)
  .filter((box) => !getComputedStyle(box).backgroundImage.includes("gradient"))
  .map((box) => box.textContent.slice(0, 80))"""


def test_no_table_loses_a_column_on_a_laptop_or_on_a_phone(
    site: Path, address: str, browser: "Browser"
) -> None:
    wrong = []
    with opened(browser, address) as tab:
        for page in pages(site):
            if page.startswith(("proofs/", "slides/")):
                continue
            tab.set_viewport_size({"width": DESKTOP[0], "height": DESKTOP[1]})
            tab.goto(address + page)
            tab.wait_for_load_state("load")
            wrong += [f"{page}, wide: {it}" for it, _ in tab.evaluate(WIDE_TABLES)]
            tab.set_viewport_size({"width": PHONE[0], "height": PHONE[1]})
            tab.evaluate(DRAWN)
            for heads, numbers in tab.evaluate(WIDE_TABLES):
                if not numbers:  # a row of words is a card, and has to fit
                    wrong.append(f"{page}, narrow: {heads}")
            signs = tab.evaluate(WITHOUT_SIGN)
            wrong += [f"{page}, scrolls without a sign: {it}" for it in signs]
    assert not wrong, "\n".join(wrong)


def test_without_javascript_the_recording_is_a_table(
    address: str, browser: "Browser"
) -> None:
    page = address + "sections/s3_patterns/"
    with opened(browser, page, java_script_enabled=False) as tab:
        assert "event: done" in (tab.locator(".wire").text_content() or "")


def test_zensical_builds_the_same_configuration(site: Path, tmp_path: Path) -> None:
    if importlib.util.find_spec("zensical") is None:
        assert not os.environ.get("COURSE_REQUIRE_BROWSER"), "zensical is missing"
        pytest.skip("needs `python3 -m course setup browser`")
    shutil.copytree(pages_module.GENERATED, tmp_path / "build" / "pages")
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    shutil.copy(ROOT / "mkdocs.yml", tmp_path)
    done = subprocess.run(
        [sys.executable, "-m", "zensical", "build", "--strict"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
