"""Chromium for tests, driven by playwright (group `browser`).

`browser` is a fixture (tests/conftest.py hands it to every room); `opened` opens a page
that may say nothing bad and ask nobody outside this machine; `axe_violations` is what
an accessibility checker finds wrong with it. Mark such tests `deep`.
"""

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

import pytest

from course.groups import satisfied

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

DESKTOP = (1280, 800)
PHONE = (390, 844)
CONTRAST = "color-contrast"  # half of axe's time, and the one rule about colours


class Look(NamedTuple):
    """A colour scheme and a window, and which of axe's rules can differ there."""

    dark: bool
    size: tuple[int, int]
    contrast: bool
    others: bool


LOOKS = {
    "light, wide": Look(False, DESKTOP, contrast=True, others=True),
    "light, narrow": Look(False, PHONE, contrast=False, others=True),
    "dark, narrow": Look(True, PHONE, contrast=False, others=False),
    "dark, wide": Look(True, DESKTOP, contrast=True, others=False),
}
# The first draws the same without a window, in half the processor's time.
NAMES = (
    "chromium-headless-shell",
    "chromium",
    "chromium-browser",
    "google-chrome",
    "chrome",
)
DRAWN = "() => new Promise((it) => requestAnimationFrame(() => setTimeout(it)))"
HERE = frozenset({"127.0.0.1", "localhost", "::1"})
LOCAL_SCHEMES = ("data", "blob", "file", "about")
# No name and no address but ours leads anywhere: a page that asks another machine gets
# no answer. Debian's Chromium draws by a GPU even where there is none: that is slow.
NOWHERE = ",".join(["MAP * ~NOTFOUND", *(f"EXCLUDE {host}" for host in sorted(HERE))])
FLAGS = [
    "--no-sandbox",
    "--disable-dev-shm-usage",
    "--disable-gpu",
    f"--host-resolver-rules={NOWHERE}",
]
# Words in a listing of the same colour and size on the same ground have the same
# contrast. The first ones of a kind that can be seen are judged, the others get a mark.
SAME_COLOURS = "data-same-colours"
FEWER_WORDS = {"id": CONTRAST, "selector": f":not([{SAME_COLOURS}])"}
MARK_SAME_COLOURS = """(mark) => {
  for (const it of document.querySelectorAll(`[${mark}]`)) it.removeAttribute(mark);
  const grounds = new Map();
  const ground = (element) => {
    if (!element) return "";
    if (!grounds.has(element)) {
      const it = getComputedStyle(element);
      const own = [it.backgroundColor, it.backgroundImage, it.opacity, it.filter];
      const plain = own.join() === "rgba(0, 0, 0, 0),none,1,none";
      const under = ground(element.parentElement);
      grounds.set(element, plain ? under : `${under} ${own}`);
    }
    return grounds.get(element);
  };
  const judged = new Map();
  for (const listing of document.querySelectorAll("pre")) {
    const box = listing.getBoundingClientRect();
    for (const word of listing.querySelectorAll("span")) {
      const it = getComputedStyle(word);
      const own = [it.color, it.fontSize, it.fontWeight, it.textShadow];
      const kind = `${own} ${ground(word)}`;
      const at = word.getBoundingClientRect();
      const inside = at.left >= box.left && at.right <= box.right
        && at.top >= box.top && at.bottom <= box.bottom;
      const before = judged.get(kind) || 0;
      if (before === 3) word.setAttribute(mark, "");
      else if (at.width && inside && word.checkVisibility())
        judged.set(kind, before + 1);
    }
  }
}"""


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    """A headless Chromium, the system's own.

    Per module: while it runs, playwright keeps this thread's event loop, and no async
    test can. Skips where it is missing; with COURSE_REQUIRE_BROWSER (CI) it fails.
    """
    binary = next(filter(None, map(shutil.which, NAMES)), None)
    if binary is None or not satisfied("browser"):
        assert not os.environ.get("COURSE_REQUIRE_BROWSER"), "no browser to test with"
        pytest.skip("needs Chromium, and `python3 -m course setup browser`")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=binary, args=FLAGS)
        yield chromium
        chromium.close()


@contextmanager
def opened(
    browser: "Browser",
    url: str,
    *,
    size: tuple[int, int] = DESKTOP,
    dark: bool = False,
    still: bool = True,
    allowed: Sequence[str] = (),
    **context: Any,
) -> Iterator["Page"]:
    """A page at `url`, closed afterwards; what went wrong on it fails the test.

    That is errors and warnings in its console, exceptions, and requests to other
    machines, which get no answer. `allowed`: parts of console texts that are no fault,
    such as "status of 429". `still` asks for reduced motion. More keywords go to
    playwright's `new_context`.
    """
    wrong: list[str] = []
    opened = browser.new_context(
        viewport={"width": size[0], "height": size[1]},
        color_scheme="dark" if dark else "light",
        reduced_motion="reduce" if still else "no-preference",
        **context,
    )
    page = opened.new_page()
    page.set_default_timeout(60_000)  # a busy machine draws late
    page.on("pageerror", lambda error: wrong.append(f"exception: {error}"))
    page.on(
        "console",
        lambda said: (
            wrong.append(f"console {said.type}: {said.text}")
            if said.type in ("error", "warning")
            and not any(part in said.text for part in allowed)
            else None
        ),
    )

    def stay_here(request: Any) -> None:
        asked = urlsplit(request.url)
        if asked.scheme not in LOCAL_SCHEMES and asked.hostname not in HERE:
            wrong.append(f"asked another machine: {request.url}")

    opened.on("request", stay_here)
    try:
        page.goto(url)
        yield page
    finally:
        opened.close()
    assert not wrong, "\n".join(wrong)


def axe_violations(
    page: "Page",
    *,
    without: Sequence[str] = (),
    contrast: bool = True,
    others: bool = True,
) -> list[str]:
    """What axe finds, one line a rule and place; empty is clean (WCAG 2.2 A, AA).

    `without`: rules that are not ours to keep. `contrast`, `others`: whether the rule
    about colours and the rules about everything else are asked. A page is looked at as
    it is now: look again after its colours or its width have changed.
    """
    from axe_playwright_python.base import AXE_SCRIPT

    tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
    left_out = [*without, *([] if contrast else [CONTRAST])]
    asked = {
        "runOnly": tags if others else [CONTRAST],
        "rules": {rule: {"enabled": False} for rule in left_out},
        "resultTypes": ["violations"],
        "preload": {"assets": ["media"]},  # no rule of these reads style sheets
    }
    if not page.evaluate("'axe' in window"):
        page.evaluate(f"{AXE_SCRIPT}; 0")
        page.evaluate("it => axe.configure(it)", {"rules": [FEWER_WORDS]})
    if contrast:
        page.evaluate(MARK_SAME_COLOURS, SAME_COLOURS)
    found = page.evaluate("it => axe.run(it).then((it) => it.violations)", asked)
    return [
        f"{rule['id']}: {rule['help']}: {node['html'][:160]} {node['failureSummary']}"
        for rule in found
        for node in rule["nodes"]
    ]


def looks(page: "Page") -> Iterator[tuple[str, Look]]:
    """Both colours, desktop and phone, one after the other, without loading anew."""
    for name, look in LOOKS.items():
        width, height = look.size
        page.emulate_media(color_scheme="dark" if look.dark else "light")
        page.set_viewport_size({"width": width, "height": height})
        page.evaluate(DRAWN)
        yield name, look


def wrong_in_any_look(page: "Page", *, without: Sequence[str] = ()) -> list[str]:
    """What axe finds and what reaches past the edge, in both colours and widths.

    Each rule is asked in every look in which its answer can differ: colours once for
    each scheme, everything else once for each width.
    """
    wrong = []
    for name, look in looks(page):
        found = overflows(page)
        if look.contrast or look.others:
            found += axe_violations(
                page, without=without, contrast=look.contrast, others=look.others
            )
        wrong += [f"{name}: {it}" for it in found]
    return wrong


def overflows(page: "Page") -> list[str]:
    """Elements that reach past the right edge of the window, unless in a scroll box."""
    found: list[str] = page.evaluate(
        """() => [...document.querySelectorAll("body *")].filter((element) => {
          const box = element.getBoundingClientRect();
          if (!box.width || box.right <= window.innerWidth + 1) return false;
          for (let up = element.parentElement; up; up = up.parentElement)
            if (getComputedStyle(up).overflowX !== "visible") return false;
          return true;
        }).map((element) => element.outerHTML.slice(0, 120))"""
    )
    return found
