"""Works jobs off, request by request, so that no crash loses or repeats what is done.

An attempt begins with a number, skips what earlier attempts finished, saves each
outcome under its number, and stops as soon as Redis refuses one: the job was
cancelled, or a newer attempt has taken over.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

from examples.full_app.errors import error_body
from examples.full_app.jobs import JobStore
from examples.full_app.llm import ChatService
from examples.full_app.providers.protocol import CallContext
from examples.full_app.schemas.answers import ChatCompletion
from examples.full_app.schemas.chat import ChatCompletionRequest
from examples.full_app.schemas.jobs import JobItem
from examples.s3_patterns import JobStatus
from examples.s5_error_handling import AIError, InternalError, RateLimitExceededError

log = logging.getLogger(__name__)

MAX_ATTEMPTS = 5
PARALLEL_ITEMS = 8
LIMIT_PATIENCE = 600.0


class _Stale(Exception):
    """Redis refused an outcome: this attempt no longer counts."""


class JobRunner:
    """Runs one attempt of a job at a time; several may run side by side.

    `ended` is awaited after a job has ended and can be read (webhooks go there).
    """

    def __init__(
        self,
        store: JobStore,
        service: ChatService,
        *,
        timeout: float,
        ended: Callable[[str], Awaitable[None]],
    ) -> None:
        self.store = store
        self.service = service
        self.timeout = timeout
        self.ended = ended

    async def run(self, job_id: str) -> None:
        """Run an attempt to its end. Does nothing when the job has ended."""
        attempt = await self.store.begin(job_id, attempts=MAX_ATTEMPTS)
        if attempt == 0:
            return
        fields = {"job_id": job_id}
        if attempt < 0:
            log.error("job given up", extra=fields)
            await self._end(job_id, None, f"It failed {MAX_ATTEMPTS} times.")
            return
        try:
            await self._work(job_id, attempt)
        except _Stale:
            log.info("attempt ended early", extra=fields)
        except Exception:
            log.exception("job failed", extra=fields)
            await self._end(job_id, attempt, "An internal error ended it.")

    async def _work(self, job_id: str, attempt: int) -> None:
        request = await self.store.request(job_id)
        record = await self.store.record(job_id)
        if request is None or record is None:
            return
        done = {item.index for item in await self.store.items(job_id)}
        slots = asyncio.Semaphore(PARALLEL_ITEMS)

        async def one(index: int, body: ChatCompletionRequest) -> None:
            async with slots:
                context = self._context(f"{job_id}-{index}")
                item = await self._item(index, body, record["owner"], context)
                if not await self.store.save(job_id, attempt, item):
                    raise _Stale

        try:
            async with asyncio.TaskGroup() as group:
                for index, body in enumerate(request.requests):
                    if index not in done:
                        group.create_task(one(index, body))
        except* _Stale:
            raise _Stale from None
        if await self.store.end(job_id, JobStatus.SUCCEEDED, attempt=attempt):
            await self.ended(job_id)

    async def _end(self, job_id: str, attempt: int | None, error: str) -> None:
        status = JobStatus.FAILED
        if await self.store.end(job_id, status, attempt=attempt, error=error):
            await self.ended(job_id)

    async def _item(
        self, index: int, body: ChatCompletionRequest, owner: str, context: CallContext
    ) -> JobItem:
        """The outcome of one request: its answer, or its error."""
        try:
            return JobItem(index=index, response=await self._ask(body, owner, context))
        except AIError as error:
            failure = error
        except Exception:
            log.exception("job item failed", extra={"request_id": context.request_id})
            failure = InternalError("An unexpected error occurred.")
        return JobItem(index=index, error=error_body(failure, context.request_id))

    async def _ask(
        self, body: ChatCompletionRequest, owner: str, context: CallContext
    ) -> ChatCompletion:
        """Ask, waiting as long as the owner's rate limit says."""
        give_up = time.monotonic() + LIMIT_PATIENCE
        while True:
            try:
                call, _ = await self.service.open(body, context, owner)
                break
            except RateLimitExceededError as error:
                wait = error.retry_after or 1.0
                if time.monotonic() + wait > give_up:
                    raise
                await asyncio.sleep(wait)
        try:
            return await call.collect()
        finally:
            await call.close()

    def _context(self, request_id: str) -> CallContext:
        ends = time.monotonic() + self.timeout + LIMIT_PATIENCE
        return CallContext(request_id, ends, detached=True)
