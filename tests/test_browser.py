"""The browser of the tests itself: what it must notice, it notices."""

import socket
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.browser import axe_violations, opened

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = pytest.mark.deep
PAGE = """<!doctype html><html lang="en"><title>A page</title>
<style>pre {{ background: #fff; width: 60em }} .n {{ color: #222 }} {rules}</style>
<main><h1>A page</h1><pre>{words}</pre></main>"""
WORDS = "<span class='n'>name</span> " * 9


def page(folder: Path, words: str, rules: str = "") -> str:
    """The address of a page with a listing."""
    path = folder / "page.html"
    path.write_text(PAGE.format(words=words, rules=rules), encoding="utf-8")
    return path.as_uri()


@pytest.mark.parametrize(
    ("odd", "rules"),
    [
        ("<span class='odd'>name</span>", ".odd { color: #ddd }"),
        ("<b class='odd'><span class='n'>name</span></b>", ".odd { background: #444 }"),
        ("<b class='odd'><span class='n'>name</span></b>", ".odd { opacity: 0.2 }"),
    ],
    ids=["its colour", "its ground", "its opacity"],
)
def test_one_pale_word_among_many_of_a_listing_is_found(
    browser: "Browser", tmp_path: Path, odd: str, rules: str
) -> None:
    with opened(browser, page(tmp_path, WORDS + odd + WORDS, rules)) as tab:
        [violation] = axe_violations(tab, others=False)

    assert violation.startswith("color-contrast:")


def test_a_listing_is_judged_anew_after_its_colours_have_changed(
    browser: "Browser", tmp_path: Path
) -> None:
    rules = "@media (prefers-color-scheme: dark) { .n:nth-child(8) { color: #ddd } }"
    with opened(browser, page(tmp_path, WORDS, rules)) as tab:
        assert axe_violations(tab) == []
        tab.emulate_media(color_scheme="dark")
        assert axe_violations(tab) != []


def test_a_page_that_asks_another_machine_gets_no_answer_and_fails(
    browser: "Browser", tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        other.setblocking(False)
        url = f"http://other.localhost:{other.getsockname()[1]}/picture.svg"
        address = page(tmp_path, f"<img alt='' src='{url}'>")
        with (
            pytest.raises(AssertionError, match=f"asked another machine: {url}"),
            opened(browser, address) as tab,
        ):
            tab.wait_for_load_state("load")
        with pytest.raises(BlockingIOError):
            other.accept()


def test_a_page_that_complains_in_its_console_fails(
    browser: "Browser", tmp_path: Path
) -> None:
    address = page(tmp_path, "<script>console.warn('It is late')</script>")
    with (
        pytest.raises(AssertionError, match="console warning: It is late"),
        opened(browser, address) as tab,
    ):
        tab.wait_for_load_state("load")
