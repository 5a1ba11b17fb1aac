"""The picture that a chat or a forum shows beside a link to the site.

Open Graph (https://ogp.me) wants its whole address, so only a site that knows where it
will stand has one: `COURSE_SITE_URL=https://... python3 -m course docs --build FOLDER`.
A browser of this machine draws it, in the colours of the course.
"""

import html
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from course import chromium, tokens
from course.places import CourseError
from course.site import race

SITE_URL = "COURSE_SITE_URL"  # mkdocs.yml reads it, too
PLACE = "assets/preview.png"  # in the built site
WIDTH, HEIGHT = 1200, 630  # pixels: what most of those who show links ask for
SECONDS = 60
TITLE = "FastAPI + Pydantic"
WORDS = "Building production AI backends, section by section, with everything running."
STYLE = f"""
body {{ margin: 0; width: {WIDTH}px; height: {HEIGHT}px; overflow: hidden;
  box-sizing: border-box; padding: 60px 70px; background: var(--paper);
  color: var(--ink); font-family: var(--text); border-bottom: 14px solid var(--bar); }}
header {{ display: flex; align-items: center; gap: 32px; }}
header svg {{ width: 104px; height: 104px; }}
h1 {{ margin: 0; font-size: 76px; line-height: 1.1; }}
p {{ margin: 26px 0 34px; font-size: 35px; line-height: 1.3; color: var(--soft); }}
.race {{ margin: 0; }}
.race svg {{ height: 250px; width: auto; font: 600 14px var(--text); }}
.race text {{ fill: var(--ink); }}
.race .track {{ fill: var(--panel); }}
.race circle {{ fill: var(--accent); fill-opacity: 0.6; }}
.race .first {{ fill: var(--ink); }}
figcaption {{ display: none; }}
"""


def site_url() -> str:
    """Where the site will stand, with a slash at its end; empty if nobody has said.

    Raises CourseError for what is no address of a website.
    """
    url = os.environ.get(SITE_URL, "")
    if url and not url.startswith(("https://", "http://")):
        raise CourseError(f"{SITE_URL} must begin with https:// or http://, not {url}")
    return f"{url.rstrip('/')}/" if url else ""


def draw(target: Path) -> None:
    """Draw the picture into `target`, as PNG. Raises CourseError without a browser."""
    program = chromium.program()
    if program is None:
        raise CourseError(
            f"With {SITE_URL}, the site gets a picture for links to it. Chromium, "
            "Chrome or Edge draws it: install one of them."
        )
    flags = ["--no-sandbox"] if sys.platform == "linux" else []  # containers have none
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "preview.html"
        page.write_text(markup(), encoding="utf-8")
        command = [
            program,
            "--headless",
            "--disable-gpu",
            "--hide-scrollbars",
            "--force-device-scale-factor=1",
            f"--user-data-dir={folder}/profile",
            f"--window-size={WIDTH},{HEIGHT}",
            f"--screenshot={target.absolute()}",
            *flags,
            page.as_uri(),
        ]
        done = subprocess.run(  # noqa: S603 - our own command line
            command, capture_output=True, check=False, timeout=SECONDS
        )
    if done.returncode or not target.is_file():
        raise CourseError(f"{Path(program).name} has not drawn {target.name}.")


def markup() -> str:
    """The picture as a page: the mark, the course's name, a sentence, and the race."""
    mark = tokens.MARK.read_text(encoding="utf-8")
    colours = tokens.declarations(tokens.light())
    return f"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>{html.escape(TITLE)}</title>
<style>:root {{ {colours} }}{STYLE}</style>
<header>{mark}<h1>{html.escape(TITLE)}</h1></header>
<p>{html.escape(WORDS)}</p>
{race.figure()}
</html>
"""
