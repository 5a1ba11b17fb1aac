"""`course slides --pdf`: each deck as a PDF, printed by a browser of this machine."""

import sys
from pathlib import Path

from course import chromium
from course.places import CourseError


def write(pages: dict[Path, Path]) -> None:
    """Print built pages: a deck with a page for each slide, a handout as it is read.

    `pages` says for each page which file it becomes. Raises CourseError without a
    browser.
    """
    browser = chromium.program()
    if browser is None:
        raise CourseError(
            "To make a PDF, Chromium, Chrome or Edge is needed. Without one, open the "
            "deck in any browser, add ?print-pdf to its address, and print."
        )
    from playwright.sync_api import sync_playwright  # of group browser

    flags = ["--no-sandbox"] if sys.platform == "linux" else []  # containers have none
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=browser, args=flags)
        for source, target in pages.items():
            page = running.new_page()
            address = source.absolute().as_uri()
            if source.name == "index.html":
                page.goto(f"{address}?print-pdf")
                page.wait_for_selector(".pdf-page")
            else:
                page.goto(address)
            page.pdf(path=target, prefer_css_page_size=True, print_background=True)
            page.close()
        running.close()
