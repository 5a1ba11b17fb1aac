"""What the scripts beside this one share: the services, the cases, and what is printed.

Usage of a script: python <script> <offline URL> <upstream's URL> <key>. Both URLs end
with `/v1`. The first is of a service that answers offline; the second is of one before
an upstream that answers as the name of the model says: see `upstream_shapes.py`.

Prints one line of JSON: what each case saw, or the error that it ended with, and each
host that this process has asked for or connected to.
"""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from typing import Any

OFFLINE, UPSTREAM, KEY = sys.argv[1:4]
QUESTION = "Why does streaming feel faster?"
CASES: dict[str, Callable[[], Awaitable[Any]]] = {}
_hosts: set[str] = set()


def _note_host(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "socket.getaddrinfo":
        _hosts.add(str(arguments[0]))
    if event == "socket.connect":
        _hosts.add(str(arguments[1][0]))


def case(work: Callable[[], Awaitable[Any]]) -> Callable[[], Awaitable[Any]]:
    """Mark a function whose name is a case, and whose result is what it saw."""
    CASES[work.__name__] = work
    return work


async def seen(work: Callable[[], Awaitable[Any]]) -> dict[str, Any]:
    """What a case saw, or the error that it ended with."""
    try:
        return {"seen": await work()}
    except Exception as error:  # any, of any client
        return {
            "error": type(error).__name__,
            "status": getattr(error, "status_code", None),
            "code": getattr(error, "code", None),
            "body": getattr(error, "body", None),
            "text": str(error),
        }


async def _run_all() -> None:
    found = {name: await seen(work) for name, work in CASES.items()}
    print(json.dumps({"cases": found, "hosts": sorted(_hosts)}, default=str))


def run() -> None:
    """Run all cases of a script, and print what they saw."""
    sys.addaudithook(_note_host)
    asyncio.run(_run_all())
