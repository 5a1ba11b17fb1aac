"""A process that only works jobs off: `python -m examples.full_app.worker`.

Start as many as you like, on as many machines; `REDIS_URL` is what they share.
SIGTERM or Ctrl-C: it takes nothing new and finishes what it can within
`FULL_APP_DRAIN_SECONDS`; the rest is done again by another worker.
"""

import asyncio
import contextlib
import logging
import signal
import sys

from examples.full_app.observability.logs import log_as_json
from examples.full_app.observability.metrics import Metrics
from examples.full_app.settings import Settings
from examples.full_app.wiring import open_services, work_jobs

log = logging.getLogger(__name__)


async def serve(settings: Settings) -> None:
    """Work until a signal comes."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    before = {}

    def handle(*_: object) -> None:
        loop.call_soon_threadsafe(stop.set)

    for number in (signal.SIGTERM, signal.SIGINT):
        before[number] = signal.signal(number, handle)
    try:
        opened = open_services(settings, Metrics())
        async with opened as services, work_jobs(services):
            log.info("worker started")
            await stop.wait()
            services["draining"].began.set()
            log.info("worker stopping")
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def main() -> int:
    """Run a worker; 2 when there is no Redis to share with others."""
    log_as_json()
    settings = Settings()
    if settings.embedded:
        log.error("set REDIS_URL: a worker without it would wait for jobs for ever")
        return 2
    with (
        contextlib.suppress(KeyboardInterrupt),
        asyncio.Runner(loop_factory=new_event_loop) as runner,
    ):
        runner.run(serve(settings))
    return 0


def new_event_loop() -> asyncio.AbstractEventLoop:
    """uvloop's where it is installed, as uvicorn has it by itself; else asyncio's.

    There is no uvloop for Windows.
    """
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


if __name__ == "__main__":
    sys.exit(main())
