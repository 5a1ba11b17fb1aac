"""The colours, type and radius of the course, read from their one list.

The list is `examples/full_app/console/tokens.css`, because the console serves it as it
is. Everything else that is drawn asks here.
"""

import re
from functools import cache
from urllib.parse import quote

from course.places import ROOT

CONSOLE = ROOT / "examples" / "full_app" / "console"
TOKENS = CONSOLE / "tokens.css"
MARK = CONSOLE / "mark.svg"
SWAGGER = CONSOLE / "swagger.css"  # Swagger UI in these tokens
_BLOCK = re.compile(r":root \{(?P<rules>[^}]*)\}")
_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)


@cache
def light() -> dict[str, str]:
    """Every token by its name without dashes, as it is on a light page."""
    return _rules()[0]


@cache
def dark() -> dict[str, str]:
    """The tokens that are different on a dark page."""
    return _rules()[1]


def style_sheet(light_selector: str, dark_selector: str) -> str:
    """The tokens for a page whose reader chooses the colours, by two selectors."""
    return (
        f"{light_selector} {{ {declarations(light())} color-scheme: light; }}\n"
        f"{dark_selector} {{ {declarations(dark())} color-scheme: dark; }}\n"
    )


def declarations(tokens: dict[str, str]) -> str:
    """`tokens` as custom properties, in one line."""
    return " ".join(f"--{name}: {value};" for name, value in tokens.items())


def icon() -> str:
    """The mark of the course as the address of an icon, for a page in one file."""
    mark = " ".join(MARK.read_text(encoding="utf-8").split())
    return f"data:image/svg+xml,{quote(mark)}"


def _rules() -> tuple[dict[str, str], dict[str, str]]:
    text = _COMMENT.sub("", TOKENS.read_text(encoding="utf-8"))
    first, second = (_declared(block["rules"]) for block in _BLOCK.finditer(text))
    return first, second


def _declared(rules: str) -> dict[str, str]:
    """Names and values of the custom properties in a block of CSS."""
    found = {}
    for rule in rules.split(";"):
        name, colon, value = rule.partition(":")
        if colon:
            found[name.strip().removeprefix("--")] = value.strip()
    return found
