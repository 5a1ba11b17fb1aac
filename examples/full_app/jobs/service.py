"""Jobs as routes see them: create, cancel, and tell the webhooks when one has ended."""

import logging
from collections.abc import Mapping

from redis.exceptions import RedisError

from examples.full_app.jobs.records import JobStore, new_job_id
from examples.full_app.queue import Queue
from examples.full_app.schemas.jobs import Job, JobRequest
from examples.full_app.webhooks.models import WebhookEvent
from examples.full_app.webhooks.store import WebhookStore
from examples.s3_patterns import JobStatus

log = logging.getLogger(__name__)

EVENTS = {
    JobStatus.SUCCEEDED: "job.succeeded",
    JobStatus.FAILED: "job.failed",
    JobStatus.CANCELLED: "job.cancelled",
}


class JobService:
    """The store, the queue and the webhooks of jobs, put together."""

    def __init__(self, store: JobStore, queue: Queue, webhooks: WebhookStore) -> None:
        self.store = store
        self.queue = queue
        self.webhooks = webhooks

    async def create(
        self, owner: str, request: JobRequest, *, seed: str | None = None
    ) -> Job:
        """Keep the job, then queue it. Raises ForbiddenTargetError for its webhook.

        The answer carries the secret its webhook is signed with, this once. With a
        `seed` (of an idempotency key) it is created once, also if the process that
        began it died before it could answer.
        """
        if seed is not None and (begun := await self._begun(owner, seed)) is not None:
            return begun
        endpoint_id, secret = "", None
        if (hook := request.webhook) is not None:
            endpoint = await self.webhooks.endpoints.create_ephemeral(
                owner, str(hook.url), secret=hook.secret
            )
            endpoint_id, secret = endpoint.id, endpoint.signing_secret
        job = await self.store.create(
            owner, request, endpoint_id=endpoint_id, seed=seed
        )
        await self._queue(job.id, owner)
        return job.model_copy(update={"webhook_secret": secret})

    async def _begun(self, owner: str, seed: str) -> Job | None:
        job_id = new_job_id(seed)
        record = await self.store.record(job_id)
        if record is None:
            return None
        secret = None
        if record["endpoint_id"]:
            endpoint = await self.webhooks.endpoints.load(record["endpoint_id"], owner)
            secret = endpoint.secrets[0].value
        await self._queue(job_id, owner)
        job = await self.store.read(job_id, owner)
        return job.model_copy(update={"webhook_secret": secret})

    async def _queue(self, job_id: str, owner: str) -> None:
        try:
            await self.queue.add_job(job_id, owner)
        except RedisError:  # it is on record: the sweep queues it
            log.warning("job not queued yet", extra={"job_id": job_id})

    async def cancel(self, job_id: str, owner: str) -> Job:
        """Cancel the record, then stop the work. Raises JobConflictError."""
        before = await self.store.read(job_id, owner)
        job = await self.store.cancel(job_id, owner)
        await self.queue.cancel_job(job_id)
        if not before.status.is_terminal:
            await self.ended(job_id)
        return job

    async def ended(self, job_id: str) -> None:
        """Publish the event of a job that has ended, and queue its deliveries.

        Doing it twice sends the same event, which receivers drop by its id.
        """
        record = await self.store.record(job_id)
        if record is None:
            return
        news = ended_event(job_id, record)
        own = [record["endpoint_id"]] if record.get("endpoint_id") else []
        owner = record["owner"]
        for endpoint_id in await self.webhooks.publish(owner, news, also=own):
            await self.queue.add_delivery(owner, endpoint_id, news.id)
        await self.store.over(job_id)


def ended_event(job_id: str, record: Mapping[str, str]) -> WebhookEvent:
    """The one event of a job's end: announced twice, it is the same to the byte."""
    return WebhookEvent(
        id=f"evt_{job_id.removeprefix('job_')}",
        created_at=int(record["finished_at"]),
        type=EVENTS[JobStatus(record["status"])],
        data={"id": job_id},
    )
