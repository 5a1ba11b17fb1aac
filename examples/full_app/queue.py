"""The queue: docket hands ids to workers; the records in Redis decide what counts.

docket gives a job to one worker and, when that worker dies, to another after the
lease. It pickles what it carries, so it carries ids only. Embedded, it
lives in this process (`memory://`); with `REDIS_URL`, any number of workers share it.

Jobs and deliveries are two dockets, and each has slots of its own: a receiver that
hangs for 15 seconds holds up no job, and a long job holds up no delivery. One caller
has a share of the slots of each, so that nobody waits for another caller. A job beyond
the share waits on the docket. There are more deliveries than jobs: those beyond the
share come onto the docket when it is their turn (`fair_shares.py`).
"""

import asyncio
import contextlib
import logging
import math
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qsl, urlencode

from docket import ConcurrencyLimit, Docket, ExponentialRetry, Perpetual, Worker
from redis.asyncio import Redis
from redis.exceptions import RedisError

from examples.full_app.fair_shares import FairShares

log = logging.getLogger(__name__)

POLL = timedelta(milliseconds=50)
KEEP = timedelta(hours=1)
CONCURRENCY = 20  # of jobs, and of deliveries, in one process
TURN_SECONDS = 1.0  # of one owner's deliveries in a slot, before others have it
WAKE_SECONDS = 0.1  # deliveries that are due within this time are looked for together
PAUSE_SECONDS = 60.0  # after an attempt that failed for a bug of ours
MAX_FAILED_ATTEMPTS = 8
MAX_CONNECTIONS = 100  # docket's pool raises when it is empty, so it must not be

RETRY = ExponentialRetry(
    attempts=8, minimum_delay=timedelta(seconds=1), maximum_delay=timedelta(minutes=5)
)

RunJob = Callable[[str], Awaitable[bool]]
Deliver = Callable[[str, str, int], Awaitable[float | None]]
Sweep = Callable[[], Awaitable[object]]


class Queue:
    """Puts ids on the dockets, and takes jobs off again.

    `shares` says which deliveries are on their docket, and which wait.
    """

    def __init__(self, jobs: Docket, deliveries: Docket, shares: FairShares) -> None:
        self.jobs = jobs
        self.deliveries = deliveries
        self.shares = shares

    def handle_jobs(self, run_job: RunJob, *, per_caller: int) -> None:
        """Say what runs a job.

        Of one owner's jobs `per_caller` run at a time, on all workers together.
        """
        share = ConcurrencyLimit("owner", per_caller)

        async def run_owned_job(
            job_id: str,
            owner: str,
            limit: ConcurrencyLimit = share,
            retry: ExponentialRetry = RETRY,
        ) -> None:
            if not await run_job(job_id):
                retry.after(timedelta(0))

        async def hand_over_job(job_id: str, owner: str) -> None:
            """A job that was queued before jobs had a docket of their own."""
            await self.add_job(job_id, owner)

        self.jobs.register(run_owned_job, names=["run_job"])
        self.deliveries.register(hand_over_job, names=["run_job"])

    def handle_responses(self, run_response: RunJob, *, per_caller: int) -> None:
        """Say what works on a response in the background.

        It is a job as others are, and shares their slots: of one owner's jobs and
        responses together `per_caller` run at a time.
        """
        share = ConcurrencyLimit("owner", per_caller)

        async def run_owned_response(
            response_id: str,
            owner: str,
            limit: ConcurrencyLimit = share,
            retry: ExponentialRetry = RETRY,
        ) -> None:
            if not await run_response(response_id):
                retry.after(timedelta(0))

        self.jobs.register(run_owned_response, names=["run_response"])

    def handle_deliveries(
        self, deliver: Deliver, sweep: Sweep, *, sweep_seconds: float
    ) -> None:
        """Say what delivers an event, and when to try again; and what sweeps."""
        every = Perpetual(timedelta(seconds=sweep_seconds), automatic=True)

        async def deliver_in_turn(
            owner: str,
            endpoint_id: str,
            event_id: str,
            attempt: int,
            retry: ExponentialRetry = RETRY,  # of ours, when Redis fails meanwhile
        ) -> None:
            """Deliver this, and then what waits of the same owner, for a moment."""
            delivery = _delivery(endpoint_id, event_id, attempt)
            turn_ends = time.monotonic() + TURN_SECONDS
            begun: Sequence[str] = [delivery]
            if not await self.shares.has_begun(owner, delivery):
                begun = []  # an earlier worker was through with it
            while begun:
                first, *others = begun
                await self._begin(owner, others)
                begun = await self._deliver(owner, first, deliver)
                if time.monotonic() >= turn_ends:
                    break
            await self._begin(owner, begun)

        async def hand_over_delivery(
            owner: str, endpoint_id: str, event_id: str, attempt: int
        ) -> None:
            """A delivery that was queued before deliveries had turns."""
            await self.add_delivery(owner, endpoint_id, event_id, attempt=attempt)

        async def deliver_webhook(
            endpoint_id: str, event_id: str, attempt: int
        ) -> None:
            """A delivery that was queued before deliveries had an owner."""
            await self.add_delivery("", endpoint_id, event_id, attempt=attempt)

        async def begin_due_deliveries(
            owner: str, retry: ExponentialRetry = RETRY
        ) -> None:
            await self._begin(owner, await self.shares.due(owner))

        async def sweep_jobs(perpetual: Perpetual = every) -> None:
            await self._sweep_deliveries()
            await sweep()

        self.deliveries.register(deliver_in_turn)
        self.deliveries.register(hand_over_delivery, names=["deliver"])
        self.deliveries.register(deliver_webhook)
        self.deliveries.register(begin_due_deliveries)
        self.deliveries.register(sweep_jobs)

    async def _deliver(
        self, owner: str, delivery: str, deliver: Deliver
    ) -> Sequence[str]:
        """Make one attempt; the deliveries to begin after it.

        Raises RedisError: the sweep finds the delivery then.
        """
        event_id, endpoint_id, number = delivery.split()
        attempt = int(number)
        delay: float | None = None
        try:
            delay = await deliver(endpoint_id, event_id, attempt)
        except RedisError:
            raise
        except Exception:
            log.exception("delivery failed", extra={"reason": delivery})
            if attempt < MAX_FAILED_ATTEMPTS:
                delay = PAUSE_SECONDS
        if delay is not None:
            await self.add_delivery(
                owner, endpoint_id, event_id, attempt=attempt + 1, delay=delay
            )
        return await self.shares.end(owner, delivery)

    async def _begin(self, owner: str, deliveries: Sequence[str]) -> None:
        """Put deliveries whose turn it is on their docket; twice is once."""
        for delivery in deliveries:
            event_id, endpoint_id, attempt = delivery.split()
            add = self.deliveries.add("deliver_in_turn", key=delivery)
            await add(owner, endpoint_id, event_id, int(attempt))

    async def _sweep_deliveries(self) -> None:
        """Begin what nobody has begun, because a process died between two steps."""
        for owner in await self.shares.owners():
            await self._begin(owner, await self.shares.lost(owner))
            await self._begin(owner, await self.shares.due(owner))

    async def add_job(self, job_id: str, owner: str) -> None:
        """Have the job run; adding it again while it is there changes nothing."""
        await self.jobs.add("run_job", key=job_id)(job_id, owner)

    async def add_response(self, response_id: str, owner: str) -> None:
        """Have the response worked on; as with jobs, twice is once."""
        await self.jobs.add("run_response", key=response_id)(response_id, owner)

    async def cancel_job(self, job_id: str) -> None:
        """Take the job, or the response, off, or stop it where it runs."""
        await self.jobs.cancel(job_id)

    async def add_delivery(
        self,
        owner: str,
        endpoint_id: str,
        event_id: str,
        *,
        attempt: int = 1,
        delay: float = 0,
    ) -> None:
        """Have the event delivered in `delay` seconds, in its owner's share."""
        delivery = _delivery(endpoint_id, event_id, attempt)
        await self._begin(owner, await self.shares.add(owner, delivery, delay))
        if delay > 0:
            due = math.ceil((time.time() + delay) / WAKE_SECONDS) * WAKE_SECONDS
            add = self.deliveries.add(
                "begin_due_deliveries",
                when=datetime.fromtimestamp(due, UTC),
                key=f"due:{owner}:{due:.1f}",
            )
            await add(owner)


def _delivery(endpoint_id: str, event_id: str, attempt: int) -> str:
    """A delivery as an item of its owner's share."""
    return f"{event_id} {endpoint_id} {attempt}"


def with_connections(redis_url: str) -> str:
    """The URL for docket: a `max_connections` of its own is meant for the records."""
    address, _, query = redis_url.partition("?")
    options = dict(parse_qsl(query)) | {"max_connections": str(MAX_CONNECTIONS)}
    return f"{address}?{urlencode(options)}"


@contextlib.asynccontextmanager
async def open_queue(
    redis_url: str | None, redis: Redis, *, deliveries_per_caller: int
) -> AsyncIterator[Queue]:
    """The queue, in this process or in the Redis that `redis_url` names.

    `redis` keeps the deliveries that wait. Of one caller's, so many are on their way at
    once, from all workers together.
    """
    shares = FairShares(redis, "deliveries", share=deliveries_per_caller)
    url = f"memory://{secrets.token_hex(8)}"
    if redis_url is not None:
        url = with_connections(redis_url)
    async with (
        Docket(name="full_app_jobs", url=url, execution_ttl=KEEP) as jobs,
        Docket(name="full_app", url=url, execution_ttl=KEEP) as deliveries,
    ):
        yield Queue(jobs, deliveries, shares)


@contextlib.asynccontextmanager
async def work(
    queue: Queue, *, drain_seconds: float, lease: float
) -> AsyncIterator[None]:
    """Run workers beside the block; they get `drain_seconds` to finish afterwards.

    What they do not finish is done again, by other workers, after `lease` seconds.
    """
    async with (
        _worker(queue.jobs, lease) as jobs,
        _worker(queue.deliveries, lease) as deliveries,
    ):
        running = {
            asyncio.create_task(jobs.run_forever()),
            asyncio.create_task(deliveries.run_forever()),
        }
        try:
            yield
        finally:
            for task in running:
                task.cancel()
            _, unfinished = await asyncio.wait(running, timeout=drain_seconds)
            for task in unfinished:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)


def _worker(docket: Docket, lease: float) -> Worker:
    return Worker(
        docket,
        concurrency=CONCURRENCY,
        redelivery_timeout=timedelta(seconds=lease),
        minimum_check_interval=POLL,
        scheduling_resolution=POLL,
    )
