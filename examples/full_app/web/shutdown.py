"""What SIGTERM and SIGINT do: the first drains, a second of the same kind ends at once.

The server stops listening only when the application is drained, so until then
readiness answers 503 and new requests are refused with a reason. How long the server
then waits for readers who do not read what was sent last is the server's own setting
(uvicorn: `--timeout-graceful-shutdown`).
"""

import asyncio
import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

from examples.full_app.lifecycle import Draining

SIGNALS = (signal.SIGTERM, signal.SIGINT)
Handler = Callable[[int, FrameType | None], Any] | int | None  # as signal.getsignal


@contextlib.contextmanager
def draining_on_signal(draining: Draining) -> Iterator[None]:
    """Drain on the first signal, then have the server stop.

    Off the main thread, where signals cannot be handled, it does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()
    before: dict[signal.Signals, Handler] = {
        number: signal.getsignal(number) for number in SIGNALS
    }
    seen: set[int] = set()
    stopping: list[asyncio.Task[None]] = []

    async def drain(number: signal.Signals) -> None:
        await draining.drain()
        stop_server(before, number)

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
    handlers: dict[signal.Signals, Handler], number: signal.Signals
) -> None:
    """Call the server's own handler, which stops it.

    A server with one handler for both signals is stopped as by Ctrl-C: uvicorn then
    ends with status 0, where after SIGTERM it ends by the signal. What is no function
    (SIG_DFL, SIG_IGN, a handler of the event loop) is not called.
    """
    alike = handlers[signal.SIGINT] == handlers[signal.SIGTERM]
    stop_number = signal.SIGINT if alike else number
    handler = handlers[stop_number]
    if callable(handler):
        handler(stop_number, None)
