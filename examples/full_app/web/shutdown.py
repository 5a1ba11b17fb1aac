"""What SIGTERM and SIGINT do: the first drains, a second of the same kind ends at once.

The server stops listening only when the application is drained, so until then
readiness answers 503 and new requests are refused with a reason. After SIGTERM the exit
status is 0, where uvicorn by itself would end by the signal.
"""

import asyncio
import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import uvicorn

from examples.full_app.lifecycle import Draining

SIGNALS = (signal.SIGTERM, signal.SIGINT)
STUCK_SECONDS = 1  # for connections whose readers do not read what was sent last


@contextlib.contextmanager
def draining_on_signal(draining: Draining) -> Iterator[None]:
    """Drain on the first signal, then have the server stop.

    Off the main thread, where signals cannot be handled, it does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()
    before = {number: signal.getsignal(number) for number in SIGNALS}
    seen: set[int] = set()
    stopping: list[asyncio.Task[None]] = []

    async def drain(number: signal.Signals) -> None:
        await draining.drain()
        stop_server(before[number], number)

    def begin(number: signal.Signals) -> None:
        if not stopping:
            stopping.append(asyncio.create_task(drain(number)))

    def handle(number: int, _: FrameType | None) -> None:
        if number in seen:
            os._exit(128 + number)  # as process 1 of a container no signal would do
        seen.add(number)
        loop.call_soon_threadsafe(begin, signal.Signals(number))

    for number in SIGNALS:
        signal.signal(number, handle)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def stop_server(
    handler: Callable[[int, FrameType | None], Any] | int | None,
    number: signal.Signals,
) -> None:
    """Stop the server whose signal handler this was; any other handler is called."""
    server = getattr(handler, "__self__", None)
    if isinstance(server, uvicorn.Server):
        limit = server.config.timeout_graceful_shutdown
        server.config.timeout_graceful_shutdown = min(limit or 1, STUCK_SECONDS)
        if number == signal.SIGTERM:
            server.should_exit = True
            return
    if callable(handler):
        handler(number, None)
