"""The queue: docket hands ids to workers; the records in Redis decide what counts.

docket gives a job to one worker and, when that worker dies, to another after the
lease. It pickles what it carries, so it carries ids only. Embedded, it
lives in this process (`memory://`); with `REDIS_URL`, any number of workers share it.
"""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qsl, urlencode

from docket import ConcurrencyLimit, Docket, ExponentialRetry, Perpetual, Worker

POLL = timedelta(milliseconds=50)
KEEP = timedelta(hours=1)
CONCURRENCY = 20
MAX_CONNECTIONS = 100  # docket's pool raises when it is empty, so it must not be

RETRY = ExponentialRetry(
    attempts=8, minimum_delay=timedelta(seconds=1), maximum_delay=timedelta(minutes=5)
)

RunJob = Callable[[str], Awaitable[bool]]
Deliver = Callable[[str, str, int], Awaitable[float | None]]
Sweep = Callable[[], Awaitable[object]]


class Queue:
    """Puts ids on the docket, and takes jobs off it again."""

    def __init__(self, docket: Docket) -> None:
        self.docket = docket

    def handle(
        self,
        run_job: RunJob,
        deliver: Deliver,
        sweep: Sweep,
        *,
        jobs_per_caller: int,
        sweep_seconds: float,
    ) -> None:
        """Say what runs a job, delivers an event and says when to retry, and sweeps.

        Of one owner's jobs `jobs_per_caller` run at a time, on all workers together.
        """

        share = ConcurrencyLimit("owner", jobs_per_caller)
        every = Perpetual(timedelta(seconds=sweep_seconds), automatic=True)

        async def run_owned_job(
            job_id: str,
            owner: str,
            limit: ConcurrencyLimit = share,
            retry: ExponentialRetry = RETRY,
        ) -> None:
            if not await run_job(job_id):
                retry.after(timedelta(0))

        async def sweep_jobs(perpetual: Perpetual = every) -> None:
            await sweep()

        async def deliver_webhook(
            endpoint_id: str,
            event_id: str,
            attempt: int,
            retry: ExponentialRetry = RETRY,  # of ours, when Redis fails meanwhile
        ) -> None:
            delay = await deliver(endpoint_id, event_id, attempt)
            if delay is not None:
                await self.add_delivery(
                    endpoint_id, event_id, attempt=attempt + 1, delay=delay
                )

        self.docket.register(run_owned_job, names=["run_job"])
        self.docket.register(sweep_jobs)
        self.docket.register(deliver_webhook)

    async def add_job(self, job_id: str, owner: str) -> None:
        """Have the job run; adding it again while it is there changes nothing."""
        await self.docket.add("run_job", key=job_id)(job_id, owner)

    async def cancel_job(self, job_id: str) -> None:
        """Take the job off, or stop it where it runs."""
        await self.docket.cancel(job_id)

    async def add_delivery(
        self, endpoint_id: str, event_id: str, *, attempt: int = 1, delay: float = 0
    ) -> None:
        """Have the event delivered in `delay` seconds."""
        when = datetime.now(UTC) + timedelta(seconds=delay)
        key = f"{event_id}:{endpoint_id}:{attempt}"
        add = self.docket.add("deliver_webhook", when=when, key=key)
        await add(endpoint_id, event_id, attempt)


def with_connections(redis_url: str) -> str:
    """The URL for docket: a `max_connections` of its own is meant for the records."""
    address, _, query = redis_url.partition("?")
    options = dict(parse_qsl(query)) | {"max_connections": str(MAX_CONNECTIONS)}
    return f"{address}?{urlencode(options)}"


@contextlib.asynccontextmanager
async def open_queue(redis_url: str | None) -> AsyncIterator[Queue]:
    """The queue, in this process or in the Redis that `redis_url` names."""
    url = f"memory://{secrets.token_hex(8)}"
    if redis_url is not None:
        url = with_connections(redis_url)
    async with Docket(name="full_app", url=url, execution_ttl=KEEP) as docket:
        yield Queue(docket)


@contextlib.asynccontextmanager
async def work(
    queue: Queue, *, drain_seconds: float, lease: float
) -> AsyncIterator[None]:
    """Run a worker beside the block; it gets `drain_seconds` to finish afterwards.

    What it does not finish is done again, by another worker, after `lease` seconds.
    """
    async with Worker(
        queue.docket,
        concurrency=CONCURRENCY,
        redelivery_timeout=timedelta(seconds=lease),
        minimum_check_interval=POLL,
        scheduling_resolution=POLL,
    ) as worker:
        running = asyncio.create_task(worker.run_forever())
        try:
            yield
        finally:
            running.cancel()
            await asyncio.wait({running}, timeout=drain_seconds)
            if not running.done():
                running.cancel()
            await asyncio.gather(running, return_exceptions=True)
