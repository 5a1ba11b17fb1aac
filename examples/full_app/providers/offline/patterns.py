"""Texts that match a regular expression, and whether a text does, in counted steps.

A `pattern` is a caller's, and over a few dozen characters of one `re` can take hours;
here a tree is walked with all the positions a match can have reached at once.
"""

import functools
import random
import string
from collections.abc import Iterator

from examples.full_app.providers.offline.json_keywords import Steps
from examples.full_app.providers.offline.pattern_tree import (
    Chars,
    Edge,
    Either,
    Node,
    Repeat,
    Sequel,
    parse,
    refused,
)

MAX_TEXT = 1_000  # characters that are matched, or made
PRINTABLE = string.ascii_letters + string.digits + string.punctuation + " "


def matches(pattern: str, text: str, steps: Steps) -> bool:
    """Whether `pattern` is found somewhere in `text`.

    Raises UnsupportedSchemaError for a pattern that is not read, or takes too long.
    """
    if len(text) > MAX_TEXT:
        raise refused("is for a text too long to be matched")
    starts = frozenset(range(len(text) + 1))
    return bool(_ends(parse(pattern), text, starts, steps))


def samples(pattern: str, dice: random.Random, steps: Steps) -> Iterator[str]:
    """Texts made after `pattern`, shorter and longer ones.

    They match but for an anchor out of place. Raises as `matches` does.
    """
    node = parse(pattern)
    for extra in (2, 2, 4, 4, 8, 8, 16, 16, 40, 100, 300, 0):
        made: list[str] = []
        _say(node, dice, extra, made, steps)
        if len(made) <= MAX_TEXT:
            yield "".join(made)


def _ends(
    node: Node, text: str, starts: frozenset[int], steps: Steps
) -> frozenset[int]:
    """Where a node that begins at one of `starts` can end."""
    match node:
        case Chars(ranges):
            steps.take(1 + len(starts) * len(ranges))
            there = (at for at in starts if at < len(text))
            return frozenset(at + 1 for at in there if text[at] in node)
        case Edge(end):
            return starts & {len(text) if end else 0}
        case Sequel(parts):
            for part in parts:
                starts = _ends(part, text, starts, steps)
            return starts
        case Either(options):
            return frozenset().union(*(_ends(o, text, starts, steps) for o in options))
        case Repeat():
            return _repeated(node, text, starts, steps)


def _repeated(
    node: Repeat, text: str, starts: frozenset[int], steps: Steps
) -> frozenset[int]:
    for _ in range(node.least):
        after = _ends(node.part, text, starts, steps)
        if after == starts:  # and so it would go on
            break
        starts = after
    reached = new = starts
    left = -1 if node.most is None else node.most - node.least
    while new and left:
        new = _ends(node.part, text, new, steps) - reached
        reached |= new
        left -= 1
    return reached


def _say(
    node: Node, dice: random.Random, extra: int, made: list[str], steps: Steps
) -> None:
    """One text of a node, with up to `extra` repetitions more than there must be."""
    steps.take(1)
    match node:
        case Chars():
            made.append(_char(node, dice))
        case Sequel(parts):
            for part in parts:
                _say(part, dice, extra, made, steps)
        case Either(options):
            _say(dice.choice(options), dice, extra, made, steps)
        case Repeat(part, least, most):
            more = extra if most is None else min(extra, most - least)
            for _ in range(least + dice.randint(more // 2, more)):
                if len(made) <= MAX_TEXT:
                    _say(part, dice, extra, made, steps)


def _char(chars: Chars, dice: random.Random) -> str:
    """A letter or digit if one is in the class, else whatever is."""
    if choices := _choices(chars):
        return dice.choice(choices)
    if chars.negated or not chars.ranges:
        raise refused("has a class without a printable character")
    return chars.ranges[0][0]


@functools.lru_cache(maxsize=64)
def _choices(chars: Chars) -> str:
    usual = "".join(char for char in PRINTABLE if char in chars)
    return "".join(char for char in usual if char.isalnum()) or usual
