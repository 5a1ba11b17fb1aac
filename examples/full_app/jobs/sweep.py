"""The sweep: finds jobs that nobody looks after, and has them looked after again.

A queue can lose a job: its worker was frozen past its lease, woke, and acknowledged a
message that another worker held, which then died; or the API died between the record
and the queue; or a job had ended and the process died before telling its webhook.
The record knows better, and adding a job that is still queued changes nothing.
"""

import logging
from collections.abc import Awaitable, Callable

from examples.full_app.jobs.records import JobStore
from examples.full_app.queue import Queue
from examples.s3_patterns import JobStatus

log = logging.getLogger(__name__)


class Sweeper:
    """Looks for jobs without a sign of life for `lease` seconds."""

    def __init__(
        self,
        store: JobStore,
        queue: Queue,
        *,
        ended: Callable[[str], Awaitable[None]],
        lease: float,
    ) -> None:
        self.store = store
        self.queue = queue
        self.ended = ended
        self.lease = lease

    async def sweep(self) -> list[str]:
        """Queue the lost jobs again, announce ends nobody heard of; their ids."""
        silent_ids = list(await self.store.silent(self.lease))
        for job_id in silent_ids:
            record = await self.store.record(job_id)
            if record is None:
                await self.store.over(job_id)
            elif JobStatus(record["status"]).is_terminal:
                await self.ended(job_id)
            else:
                # Waiting its turn for long, it is there still, and adding does nothing.
                log.info("job queued again", extra={"job_id": job_id})
                await self.queue.add_job(job_id, record["owner"])
                await self.store.alive(job_id)
        return silent_ids
