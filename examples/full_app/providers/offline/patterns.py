"""The `pattern` of a JSON Schema: whether a text matches it, and texts that do.

The pattern is a caller's, and Python's `re` can take hours over a few dozen characters
of one. So texts are matched by Pydantic's engine, whose time grows with the text and
not faster. Read are literals, `.`, classes, escapes, groups, alternatives, repetition,
`^` and `$`; anything else (look-around, back references, `\\b`) is refused.
Source: ECMA-262, section 22.2.1, of which JSON Schema recommends this part.
"""

import functools
import random
import re
import string
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Annotated

from pydantic import StringConstraints, TypeAdapter, ValidationError
from pydantic_core import SchemaError

from examples.full_app.providers.offline.json_keywords import (
    Steps,
    UnsupportedSchemaError,
)

MAX_PATTERN = 500  # characters
MAX_NESTING = 20
MAX_TEXT = 1_000  # characters that are matched, or made
PRINTABLE = string.ascii_letters + string.digits + string.punctuation + " "
BASIC_PLANE = "".join(map(chr, [*range(0xD800), *range(0xE000, 0x10000)]))
ASCII = {r"\d": "0-9", r"\w": "0-9A-Za-z_", r"\s": r"\s"}  # as ECMA-262 has them
COUNTS = {"*": (0, None), "+": (1, None), "?": (0, 1)}

_ESCAPE = r"\\(?: [dwsnrtfv] | x[0-9A-Fa-f]{2} | u[0-9A-Fa-f]{4} | [^0-9A-Za-z<>] )"
_TOKEN = re.compile(
    rf"""
      (?P<chars> \[ \^? (?: {_ESCAPE} | [^\\\]] )+ \] | {_ESCAPE} | \\[DWS]
        | [^\\\[\](){{}}*+?|^$] )
    | (?P<edge> [\^$] )
    | (?P<count> (?: (?P<sign> [*+?] ) | \{{
        (?P<lowest> \d{{1,4}} ) (?P<comma> , (?P<highest> \d{{1,4}} )? )? \}} ) \?? )
    | (?P<open> \( (?: \?: | (?!\?) ) )
    | (?P<close> \) )
    | (?P<or> \| )
    """,
    re.VERBOSE | re.DOTALL,
)
_MEMBER = re.compile(
    r"(?P<class>\\[dws])(?P<hyphen>-?)|\\.|(?P<sign>[\[&~|])", re.DOTALL
)


@dataclass(slots=True)
class Part:
    """One character of a class, or a group of options, and how often it comes."""

    chars: str = ""
    options: "list[list[Part]]" = field(default_factory=list)
    lowest: int = 1
    highest: int | None = 1

    @property
    def size(self) -> int:
        """How long the part is with every repetition written out."""
        inner = sum(part.size for option in self.options for part in option)
        return (1 + inner) * max(1, self.highest or self.lowest)


class Pattern:
    """A pattern that was read. Raises UnsupportedSchemaError for one that is not."""

    def __init__(self, source: str, steps: Steps) -> None:
        if len(source) > MAX_PATTERN:
            raise refused("is too long")
        self._steps = steps
        self._whole = Part(options=[[]])
        rewritten = _read(source, self._whole)
        self._size = self._whole.size
        steps.take(self._size)
        try:
            constraints = StringConstraints(pattern=rewritten)
            self._text = TypeAdapter(Annotated[str, constraints])
        except SchemaError:
            raise refused("cannot be read: is a range or a count wrong?") from None

    def matches(self, text: str) -> bool:
        """Whether some part of `text` matches. Raises UnsupportedSchemaError."""
        if len(text) > MAX_TEXT:
            raise refused("is for a text too long to be matched")
        self._steps.take(1 + self._size * len(text) // 40)
        try:
            self._text.validate_python(text)
        except ValidationError:
            return False
        return True

    def samples(self, dice: random.Random) -> Iterator[str]:
        """Texts made after the pattern, shorter and longer ones.

        They match but for an anchor out of place. Raises UnsupportedSchemaError.
        """
        for extra in (2, 2, 4, 4, 8, 8, 16, 16, 40, 100, 300, 0):
            made: list[str] = []
            self._write(self._whole, dice, extra, made)
            if len(made) <= MAX_TEXT:
                yield "".join(made)

    def _write(
        self, part: Part, dice: random.Random, extra: int, made: list[str]
    ) -> None:
        """Add a text of `part`, each repeated up to `extra` times more than it must."""
        more = extra
        if part.highest is not None:
            more = min(extra, part.highest - part.lowest)
        for _ in range(part.lowest + dice.randint(more // 2, more)):
            self._steps.take()
            if len(made) > MAX_TEXT:
                return
            if part.chars:
                made.append(dice.choice(_characters(part.chars)))
            elif part.options:
                for inner in dice.choice(part.options):
                    self._write(inner, dice, extra, made)


def refused(reason: str) -> UnsupportedSchemaError:
    """The error for a pattern that is not read."""
    return UnsupportedSchemaError(f"A `pattern` in the schema {reason}.")


def _read(source: str, whole: Part) -> str:
    """Fill `whole` with the parts of a pattern, which is returned for the engine."""
    groups = [whole]  # those that are open, the innermost last
    rewritten = ""
    at = 0
    while at < len(source):
        token = _TOKEN.match(source, at)
        if token is None:
            raise refused(_why_not(source[at:]))
        at = token.end()
        text = token[0]
        parts = groups[-1].options[-1]
        match token.lastgroup:
            case "chars":
                text = _as_class(text)
                parts.append(Part(text))
            case "edge":
                parts.append(Part())
            case "open":
                groups.append(Part(options=[[]]))
                parts.append(groups[-1])
                if len(groups) > MAX_NESTING + 1:
                    raise refused("is nested too deeply")
            case "close":
                groups.pop()
                if not groups:
                    raise refused("closes a group that is not open")
            case "or":
                groups[-1].options.append([])
            case "count":
                _repeat(parts, token)
        rewritten += text
    if len(groups) > 1:
        raise refused("leaves a group open")
    return rewritten


def _why_not(rest: str) -> str:
    if rest.startswith("(?"):
        return "looks around or names a group"
    if rest.startswith("["):
        return "leaves a class open, or has one that is not read here"
    if rest == "\\":
        return "ends too soon"
    if rest.startswith("\\"):
        return f"has `{rest[:2]}`, which is not read here"
    return f"has a `{rest[0]}` out of place"


def _repeat(parts: list[Part], count: re.Match[str]) -> None:
    """Give the last of `parts` its count, once."""
    part = parts[-1] if parts else Part()
    if not (part.chars or part.options) or (part.lowest, part.highest) != (1, 1):
        raise refused("repeats what cannot be repeated")
    if count["sign"]:
        part.lowest, part.highest = COUNTS[count["sign"]]
        return
    part.lowest = int(count["lowest"])
    part.highest = int(count["highest"]) if count["highest"] else None
    if not count["comma"]:
        part.highest = part.lowest
    if part.highest is not None and part.highest < part.lowest:
        raise refused("repeats at most less than at least")


def _as_class(chars: str) -> str:
    """A character, an escape or a class as Pydantic's engine and `re` both read it."""
    if chars == ".":
        return r"[^\n\r\u2028\u2029]"
    if chars.startswith("["):
        if "--" in chars:
            raise refused("has two hyphens in a row")
        return "[" + _MEMBER.sub(_as_member, chars[1:])
    members = ASCII.get(chars.lower())
    if members is None:
        return chars
    return f"[^{members}]" if chars.isupper() else f"[{members}]"


def _as_member(match: re.Match[str]) -> str:
    if match["class"]:
        return ASCII[match["class"]] + ("\\-" if match["hyphen"] else "")
    return f"\\{match['sign']}" if match["sign"] else match[0]


@functools.lru_cache(maxsize=256)
def _characters(chars: str) -> list[str]:
    """The letters and digits of a class, or else what it has.

    Python's `re` is quick enough here: a class is a single character.
    """
    choices = re.findall(chars, PRINTABLE)
    if not choices and (other := re.search(chars, chars + BASIC_PLANE)):
        choices = [other[0]]
    if not choices:
        raise refused("has a class without a printable character")
    return [char for char in choices if char.isalnum()] or choices
