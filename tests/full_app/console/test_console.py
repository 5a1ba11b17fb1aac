"""The page at `/` in a real Chromium: every panel driven, its console silent."""

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from examples.full_app.main import create_app
from tests.browser import DESKTOP, PHONE, axe_violations, opened, overflows
from tests.full_app.conftest import KEY, settings
from tests.servers import serve

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.deep
PANELS = ("synchronous", "streaming", "job", "webhook")


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """The embedded service without keys, at a pace that leaves time to cancel."""
    with serve(create_app(settings(api_keys="", offline_pace=0.3))) as found:
        yield found


@pytest.fixture
def page(browser: "Browser", url: str) -> Iterator["Page"]:
    # A status that a panel is to show is an error in Chromium's console.
    with opened(browser, url, allowed=["the server responded with a status of"]) as it:
        ready(it)
        yield it


def ready(page: "Page") -> None:
    page.wait_for_selector("#model optgroup", state="attached")


def shows(page: "Page", selector: str, pattern: str) -> None:
    """Wait for a text. (`wait_for_function` is what the page's CSP forbids.)"""
    from playwright.sync_api import expect

    expect(page.locator(selector)).to_contain_text(re.compile(pattern), timeout=15_000)


def status_of(page: "Page", panel: str) -> str:
    """What the panel says once it has ended."""
    page.wait_for_selector(f"#{panel} .send:not([disabled])")
    return str(page.inner_text(f"#{panel} .status"))


def send(page: "Page", panel: str) -> str:
    page.click(f"#{panel} .send")
    return status_of(page, panel)


@pytest.mark.parametrize("panel", PANELS)
def test_a_panel_sends_its_request_and_shows_wire_and_result(
    page: "Page", panel: str
) -> None:
    assert send(page, panel).startswith("done in")
    assert "→ POST /v1/" in page.inner_text(f"#{panel} .wire")
    assert len(page.inner_text(f"#{panel} .result")) > 40
    assert re.search(r"\d of 6,000", page.inner_text("#requests-left")) or panel in (
        "job",
        "webhook",
    )


def test_a_cut_stream_goes_on_to_the_same_text(page: "Page") -> None:
    send(page, "streaming")
    whole = page.inner_text("#streaming .result")
    page.click("#streaming .send")
    shows(page, "#streaming .result", ".{20}")
    page.click("#streaming .cancel")
    assert status_of(page, "streaming").startswith("cancelled after")
    assert page.inner_text("#streaming .result") != whole
    page.click("#streaming .more")

    assert status_of(page, "streaming").startswith("done in")
    assert page.inner_text("#streaming .result") == whole


def test_cancelling_a_job_cancels_it_in_the_service(page: "Page") -> None:
    one = '{"model": "x", "messages": [{"role": "user", "content": "Tell me more."}]}'
    page.fill("#job textarea", f'{{"requests": [{", ".join([one] * 50)}]}}')
    page.click("#job .send")
    shows(page, "#job .wire", "job.running")
    page.click("#job .cancel")
    shows(page, "#job .result", "^cancelled")


def test_a_fault_is_picked_and_its_error_shown(page: "Page") -> None:
    page.select_option("#model", "fault-429")

    assert send(page, "synchronous").startswith("429:")
    assert "retry-after" in page.inner_text("#synchronous .wire")
    send(page, "job")
    assert page.inner_text("#job .result").startswith("succeeded, 3 of 3 failed")


def test_the_inbox_verifies_and_turns_a_forgery_away(page: "Page") -> None:
    send(page, "webhook")
    assert "signature verified" in page.inner_text("#webhook .result")
    page.click("#webhook .more")

    assert status_of(page, "webhook").startswith("401:")
    assert "invalid_signature" in page.inner_text("#webhook .wire")
    assert page.is_hidden("#key-field")  # it is not the caller who is not known


def test_a_panel_works_from_the_keyboard(page: "Page") -> None:
    page.focus("#synchronous textarea")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "send"
    page.keyboard.press("Enter")

    shows(page, "#synchronous .status", "^done")


def test_where_there_is_no_inbox_the_panel_says_so_and_a_key_is_asked_for(
    browser: "Browser",
) -> None:
    """Nothing is asked for that is not there: the browser's console stays empty."""
    with (
        serve(create_app(settings())) as url,
        opened(browser, url) as page,
    ):
        shows(page, "#webhook .result", "no inbox here")
        assert page.is_disabled("#webhook .send")
        assert page.is_disabled("#webhook .more")
        assert page.evaluate("document.activeElement.id") == "key"
        page.fill("#key", KEY)
        page.keyboard.press("Tab")
        ready(page)

        assert send(page, "synchronous").startswith("done in")
        assert send(page, "job").startswith("done in")
        assert axe_violations(page) == []


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_axe_finds_nothing_and_nothing_overflows(
    browser: "Browser", url: str, size: tuple[int, int], dark: bool
) -> None:
    with opened(browser, url, size=size, dark=dark) as page:
        ready(page)
        for panel in PANELS if size == DESKTOP else ():  # in sight without scrolling
            seen = page.locator(f"#{panel} .result").bounding_box()
            assert seen is not None
            assert seen["y"] + 60 < size[1]
        for panel in PANELS:
            send(page, panel)

        assert axe_violations(page) == []
        assert overflows(page) == []


def test_motion_stops_when_the_reader_asks_for_it(browser: "Browser", url: str) -> None:
    def animation(still: bool) -> str:
        with opened(browser, url, still=still) as page:
            ready(page)
            send(page, "synchronous")
            name: str = page.evaluate(
                "getComputedStyle(document.querySelector('.wire li')).animationName"
            )
            return name

    assert (animation(False), animation(True)) == ("arrive", "none")
