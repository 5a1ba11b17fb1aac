"""Ids that nobody can guess, without asking the operating system for each.

A request needs five, and each `os.urandom` is a system call that also gives other
threads their turn: together as much as validating the body. So randomness is fetched
by the page. What was fetched is used once, and never by both sides of a fork.
"""

import os
from collections.abc import Iterator

from starlette.types import ASGIApp, Receive, Scope, Send

from examples.full_app.headers import headers_of

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


class RequestIDs:
    """Pure ASGI: gives requests that come without an id one of these.

    Outside of section 5's middleware, which checks, keeps and sends back what it finds.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Add the header, as a proxy would."""
        if scope["type"] != "lifespan":
            names = headers_of(scope)
            if "x-request-id" not in names:
                new = (b"x-request-id", f"req_{random_hex()}".encode("ascii"))
                scope["headers"] = [*scope["headers"], new]
        await self.app(scope, receive, send)
