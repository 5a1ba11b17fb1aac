"""Ids that nobody can guess, without asking the operating system for each.

A request needs five, and each `os.urandom` is a system call that also gives other
threads their turn: together as much as validating the body. So randomness is fetched
by the page. What was fetched is used once, and never by both sides of a fork.
"""

import os
from collections.abc import Iterator

DIGITS = 32  # hexadecimal, of an id: 128 bits
PAGE_BYTES = 4096

_ids: Iterator[str] = iter(())


def random_hex() -> str:
    """32 hexadecimal digits from the system's source of randomness."""
    global _ids
    found = next(_ids, None)
    if found is None:
        page = os.urandom(PAGE_BYTES).hex()
        starts = range(DIGITS, len(page), DIGITS)
        _ids = iter([page[start : start + DIGITS] for start in starts])
        found = page[:DIGITS]
    return found


def _forget() -> None:
    global _ids
    _ids = iter(())


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
