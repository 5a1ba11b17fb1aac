"""`course slides --pdf`: each deck as a PDF, printed by a browser of this machine."""

import shutil
import sys
from pathlib import Path

from course.places import CourseError

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome", "msedge")
PLACES = (
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    "C:/Program Files/Google/Chrome/Application/chrome.exe",
    "C:/Program Files (x86)/Microsoft/Edge/Application/msedge.exe",
)


def browser() -> str | None:
    """The path of Chromium, Chrome or Edge; None where there is none."""
    for name in NAMES:
        if path := shutil.which(name):
            return path
    return next((place for place in PLACES if Path(place).is_file()), None)


def write(pages: dict[Path, Path]) -> None:
    """Print built pages: a deck with a page for each slide, a handout as it is read.

    `pages` says for each page which file it becomes. Raises CourseError without a
    browser.
    """
    program = browser()
    if program is None:
        raise CourseError(
            "To make a PDF, Chromium, Chrome or Edge is needed. Without one, open the "
            "deck in any browser, add ?print-pdf to its address, and print."
        )
    from playwright.sync_api import sync_playwright  # of group browser

    flags = ["--no-sandbox"] if sys.platform == "linux" else []  # containers have none
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=program, args=flags)
        for source, target in pages.items():
            page = chromium.new_page()
            address = source.absolute().as_uri()
            if source.name == "index.html":
                page.goto(f"{address}?print-pdf")
                page.wait_for_selector(".pdf-page")
            else:
                page.goto(address)
            page.pdf(path=target, prefer_css_page_size=True, print_background=True)
            page.close()
        chromium.close()
