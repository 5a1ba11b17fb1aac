"""Reads the `pattern` of a JSON Schema into a tree; see `patterns.py` for its uses.

Read are literals, `.`, classes, escapes, groups, alternatives, repetition, `^` and `$`;
anything else (look-around, back references, `\\b`) is refused, never half understood.
Source: ECMA-262, section 22.2.1, of which JSON Schema recommends this part.
"""

import functools
import re
import string
from dataclasses import dataclass

from examples.full_app.providers.offline.json_keywords import UnsupportedSchemaError

MAX_PATTERN = 500  # characters
MAX_NESTING = 20

Range = tuple[str, str]
CLASSES: dict[str, tuple[Range, ...]] = {
    "d": (("0", "9"),),
    "w": (("A", "Z"), ("a", "z"), ("0", "9"), ("_", "_")),
    "s": ((" ", " "), ("\t", "\r"), ("\xa0", "\xa0"), ("\u2028", "\u2029")),
}
CONTROLS = {"n": "\n", "t": "\t", "r": "\r", "f": "\f", "v": "\v"}
_COUNTS = re.compile(r"\{(\d{1,4})(,(\d{0,4}))?\}")


@dataclass(frozen=True, slots=True)
class Chars:
    """One character that is in `ranges`; or, `negated`, one that is not."""

    ranges: tuple[Range, ...]
    negated: bool = False

    def __contains__(self, char: str) -> bool:
        inside = any(first <= char <= last for first, last in self.ranges)
        return inside is not self.negated


@dataclass(frozen=True, slots=True)
class Edge:
    """The beginning of the text, or its end; no character."""

    end: bool


@dataclass(frozen=True, slots=True)
class Sequel:
    """One part after the other."""

    parts: "tuple[Node, ...]"


@dataclass(frozen=True, slots=True)
class Either:
    """One of several."""

    options: "tuple[Node, ...]"


@dataclass(frozen=True, slots=True)
class Repeat:
    """A part again and again; `most` is None where there is no limit."""

    part: "Node"
    least: int
    most: int | None


Node = Chars | Edge | Sequel | Either | Repeat

ANY = Chars((("\n", "\n"), ("\r", "\r"), ("\u2028", "\u2029")), negated=True)


def refused(what: str) -> UnsupportedSchemaError:
    """The error for a pattern that is not read."""
    return UnsupportedSchemaError(f"A `pattern` in the schema {what}.")


@functools.lru_cache(maxsize=64)
def parse(pattern: str) -> Node:
    """The tree of a pattern. Raises UnsupportedSchemaError."""
    if len(pattern) > MAX_PATTERN:
        raise refused("is too long")
    return _Reader(pattern).whole()


class _Reader:
    """Recursive descent, one method for each level of the grammar."""

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern
        self.at = 0
        self.depth = 0

    def whole(self) -> Node:
        node = self._alternatives()
        if self.at < len(self.pattern):
            raise refused("closes a group that is not open")
        return node

    def _alternatives(self) -> Node:
        options = [self._sequel()]
        while self._skip("|"):
            options.append(self._sequel())
        return options[0] if len(options) == 1 else Either(tuple(options))

    def _sequel(self) -> Node:
        parts: list[Node] = []
        while self.at < len(self.pattern) and self.pattern[self.at] not in "|)":
            parts.append(self._repeated(self._atom()))
        return Sequel(tuple(parts))

    def _repeated(self, part: Node) -> Node:
        for sign, least, most in (("*", 0, None), ("+", 1, None), ("?", 0, 1)):
            if self._skip(sign):
                node = Repeat(part, least, most)
                break
        else:
            counts = _COUNTS.match(self.pattern, self.at)
            if counts is None:
                return part
            self.at = counts.end()
            least = int(counts[1])
            most = int(counts[3]) if counts[3] else None if counts[2] else least
            if most is not None and most < least:
                raise refused("repeats at most less than at least")
            node = Repeat(part, least, most)
        self._skip("?")  # lazy or not, the same texts match
        if isinstance(part, Edge) or self._peek() in ("*", "+", "?", "{"):
            raise refused("repeats what cannot be repeated")
        return node

    def _atom(self) -> Node:
        char = self._take()
        match char:
            case "^" | "$":
                return Edge(end=char == "$")
            case ".":
                return ANY
            case "[":
                return self._class()
            case "(":
                return self._group()
            case "\\":
                found = self._escape()
                return Chars(((found, found),)) if isinstance(found, str) else found
            case "*" | "+" | "?" | "{" | "}" | "]":
                raise refused(f"has a `{char}` out of place")
        return Chars(((char, char),))

    def _group(self) -> Node:
        if self._skip("?") and not self._skip(":"):
            raise refused("looks around or names a group")
        self.depth += 1
        if self.depth > MAX_NESTING:
            raise refused("is nested too deeply")
        node = self._alternatives()
        self.depth -= 1
        if not self._skip(")"):
            raise refused("leaves a group open")
        return node

    def _class(self) -> Chars:
        negated = self._skip("^")
        ranges: list[Range] = []
        while not self._skip("]"):
            first = self._member()
            if isinstance(first, Chars):
                if first.negated:
                    raise refused("has a negated class in a class")
                ranges += first.ranges
                continue
            last = first
            if self._peek() == "-" and self.pattern[self.at + 1 : self.at + 2] != "]":
                self.at += 1
                upper = self._member()
                if isinstance(upper, Chars) or upper < first:
                    raise refused("has a range that is none")
                last = upper
            ranges.append((first, last))
        return Chars(tuple(ranges), negated)

    def _member(self) -> str | Chars:
        char = self._take()
        return self._escape() if char == "\\" else char

    def _escape(self) -> str | Chars:
        char = self._take()
        if char.lower() in CLASSES:
            return Chars(CLASSES[char.lower()], negated=char.isupper())
        if char in CONTROLS:
            return CONTROLS[char]
        for sign, digits in (("x", 2), ("u", 4)):
            code = self.pattern[self.at : self.at + digits]
            if char == sign and re.fullmatch(f"[0-9A-Fa-f]{{{digits}}}", code):
                self.at += digits
                return chr(int(code, 16))
        if char in string.ascii_letters + string.digits:
            raise refused(f"has `\\{char}`, which is not read here")
        return char

    def _peek(self) -> str:
        return self.pattern[self.at : self.at + 1]

    def _skip(self, char: str) -> bool:
        found = self._peek() == char
        self.at += found
        return found

    def _take(self) -> str:
        char = self._peek()
        if not char:
            raise refused("ends too soon")
        self.at += 1
        return char
