"""What a page says about itself to search engines and to those who link to it.

Every page gets a description: its own (`description:` at its top), or else its first
paragraph. The built pages repeat title and description in the words of Open Graph
(https://ogp.me), from which a chat or a forum makes the preview of a link.
"""

import html
import json
import re
from pathlib import Path
from urllib.parse import quote

from course.site import preview

LONGEST = 160  # letters of a description; search engines cut what is longer
_FRONT = re.compile(r"\A---\n(?P<rows>.*?)^---\n", re.DOTALL | re.MULTILINE)
_FENCE = re.compile(r"^(`{3,}).*?^\1`*$", re.DOTALL | re.MULTILINE)
_NO_PARAGRAPH = re.compile(r"[#|<>!?:=\-+]|\d+\.|\s{4}|\{\{|\[\^|\* ")
_IMAGE = re.compile(r"!\[[^\]]*\]\([^)]*\)(\{[^}]*\})?")
_LINK = re.compile(r"\[([^\]]+)\]\([^)]*\)(\{[^}]*\})?")
_TITLE = re.compile(r"<title>(?P<title>.*?)</title>", re.DOTALL)
_DESCRIPTION = re.compile(r'<meta name="description" content="(?P<words>[^"]*)">')


def described(text: str) -> str:
    """The Markdown of a page with a description among the settings at its top."""
    front = _FRONT.match(text)
    rows = front["rows"] if front else ""
    if re.search(r"^description:", rows, re.MULTILINE):
        return text
    body = text[front.end() :] if front else text
    words = first_paragraph(body)
    if not words:
        return text
    line = f"description: {json.dumps(words, ensure_ascii=False)}\n"
    return f"---\n{rows}{line}---\n{body}"


def preferred(text: str) -> str:
    """The Markdown of a page that a search shows first, because it teaches."""
    front = _FRONT.match(text)
    rows = front["rows"] if front else ""
    body = text[front.end() :] if front else text
    return f"---\n{rows}search:\n  boost: 4\n---\n{body}"


def first_paragraph(body: str) -> str:
    """The first paragraph of prose without its marks, cut at a word; empty if none."""
    for block in _FENCE.sub("", body).split("\n\n"):
        block = _IMAGE.sub("", block).strip("\n")
        if not block.strip() or _NO_PARAGRAPH.match(block):
            continue
        words = _LINK.sub(r"\1", block)
        words = re.sub(r"[*`]|\bGoal:\**\s*", "", words)
        return shortened(" ".join(words.split()))
    return ""


def shortened(words: str) -> str:
    """At most `LONGEST` letters: whole sentences if they fit, else whole words."""
    if len(words) <= LONGEST:
        return words
    kept = words[: LONGEST - 1]
    sentence = kept.rpartition(". ")[0]
    if len(sentence) > LONGEST // 2:
        return f"{sentence}."
    return f"{kept.rpartition(' ')[0]}…"


def introduce(folder: Path, site_url: str = "", picture: str = "") -> None:
    """Write Open Graph's tags into every built page that has a description.

    With `site_url`, where the site will stand, they say the page's own address and that
    of the `picture` in `folder`: both must be whole ones.
    """
    for path in folder.rglob("*.html"):
        text = path.read_text(encoding="utf-8")
        title, words = _TITLE.search(text), _DESCRIPTION.search(text)
        if not title or not words or "og:title" in text:
            continue
        name = html.unescape(title["title"]).removesuffix(f" - {preview.TITLE}").strip()
        facts = {
            "og:type": "website",
            "og:site_name": preview.TITLE,
            "og:title": name,
            "og:description": html.unescape(words["words"]),
        }
        if site_url:
            place = path.relative_to(folder).as_posix().removesuffix("index.html")
            facts["og:url"] = site_url + quote(place)
        if site_url and picture:
            facts["og:image"] = site_url + picture
            facts["og:image:width"] = str(preview.WIDTH)
            facts["og:image:height"] = str(preview.HEIGHT)
            facts["og:image:alt"] = f"{preview.TITLE}. {preview.WORDS}"
        tags = "".join(
            f'<meta property="{key}" content="{html.escape(value)}">\n'
            for key, value in facts.items()
        )
        path.write_text(text.replace("</head>", f"{tags}</head>", 1), encoding="utf-8")
