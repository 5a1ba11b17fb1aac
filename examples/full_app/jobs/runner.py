"""Works jobs off, request by request, so that no crash loses or repeats what is done.

An attempt begins with a number, skips what earlier attempts finished, saves each
outcome under its number, and stops as soon as Redis refuses one: the job was
cancelled, or a newer attempt has taken over.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

from redis.exceptions import RedisError

from examples.full_app.chat.service import ChatService
from examples.full_app.chat.waiting import MAX_WAIT_SECONDS, open_when_possible
from examples.full_app.errors import error_body
from examples.full_app.jobs.records import JobStore, Saved
from examples.full_app.lifecycle import Draining
from examples.full_app.limits.ledger import Limits
from examples.full_app.money import nano_usd
from examples.full_app.observability.tracing import continued, tracing
from examples.full_app.periodic import repeating
from examples.full_app.providers.base import CallContext
from examples.full_app.schemas.answers import ChatCompletion
from examples.full_app.schemas.chat import ChatCompletionRequest, rules_applied
from examples.full_app.schemas.jobs import JobItem
from examples.s3_patterns import JobStatus
from examples.s5_error_handling import AIError, InternalError

log = logging.getLogger(__name__)

PARALLEL_ITEMS = 8


class _Stale(Exception):
    """Redis refused an outcome: this attempt no longer counts."""


class _ResultsFull(Exception):
    """The outcomes of the job would be larger together than they may be."""


class JobRunner:
    """Runs one attempt of a job at a time; several may run side by side.

    `ended` is awaited after a job has ended and can be read (webhooks go there). Once
    `draining` is set no item is begun any more. `lease` is in seconds: three times in
    it an attempt tells that it lives. `attempts` in a row may come to nothing.
    """

    def __init__(
        self,
        store: JobStore,
        service: ChatService,
        limits: Limits,
        *,
        timeout: float,
        ended: Callable[[str], Awaitable[None]],
        draining: Draining,
        lease: float,
        attempts: int,
    ) -> None:
        self.store = store
        self.service = service
        self.limits = limits
        self.timeout = timeout
        self.ended = ended
        self.draining = draining
        self.lease = lease
        self.attempts = attempts

    async def run(self, job_id: str) -> bool:
        """Run an attempt to its end. Does nothing when the job has ended.

        False: there is more to do, for another worker, now. Raises RedisError: the
        attempt ends, the job does not.
        """
        if self.draining.is_set():
            return False
        attempt = await self.store.begin(job_id, attempts=self.attempts)
        if attempt == 0:
            return True
        fields = {"job_id": job_id, "attempt": attempt}
        if attempt < 0:
            log.error("job given up", extra=fields)
            reason = f"{self.attempts} attempts in a row came to nothing."
            await self._fail(job_id, None, "job_attempts_exhausted", reason)
            return True
        record = await self.store.record(job_id) or {}
        try:
            with tracing(continued(record.get("traceparent"))):
                async with repeating(self.lease / 3, lambda: self.store.alive(job_id)):
                    return await self._work(job_id, attempt)
        except _Stale:
            log.info("attempt ended early", extra=fields)
        except _ResultsFull:
            log.warning("job results too large", extra=fields)
            reason = (
                f"Its results would have more than {self.store.max_bytes} bytes. "
                "Those that it has are kept. Send the rest as another job."
            )
            await self._fail(job_id, attempt, "job_results_too_large", reason)
        except RedisError:
            raise
        except Exception:
            log.exception("job failed", extra=fields)
            reason = "An internal error ended it."
            await self._fail(job_id, attempt, "internal_error", reason)
        return True

    async def _work(self, job_id: str, attempt: int) -> bool:
        with rules_applied(self.service.upstream_rules):
            request = await self.store.request(job_id)
        record = await self.store.record(job_id)
        if request is None or record is None:
            return True
        done = await self.store.indexes(job_id)
        slots = asyncio.Semaphore(PARALLEL_ITEMS)

        async def one(index: int, body: ChatCompletionRequest) -> None:
            async with slots:
                if self.draining.is_set():
                    return
                context = self._context(f"{job_id}-{index}")
                item = await self._item(index, body, record["owner"], context)
                item = item.model_copy(update={"attempt": attempt})
                cost = _cost(item)
                saved = await self.store.save(job_id, attempt, item, cost=cost)
                if saved is Saved.NO_ROOM:
                    raise _ResultsFull
                if saved is Saved.STALE:
                    raise _Stale
                done.add(index)

        try:
            async with asyncio.TaskGroup() as group:
                for index, body in enumerate(request.requests):
                    if index not in done:
                        group.create_task(one(index, body))
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from None
        if len(done) < len(request.requests):
            return False
        if await self.store.end(job_id, JobStatus.SUCCEEDED, attempt=attempt):
            await self.ended(job_id)
        return True

    async def _fail(
        self, job_id: str, attempt: int | None, code: str, error: str
    ) -> None:
        status = JobStatus.FAILED
        if await self.store.end(
            job_id, status, attempt=attempt, code=code, error=error
        ):
            await self.ended(job_id)

    async def _item(
        self, index: int, body: ChatCompletionRequest, owner: str, context: CallContext
    ) -> JobItem:
        """The outcome of one request: its answer, or its error."""
        try:
            return JobItem(index=index, response=await self._ask(body, owner, context))
        except AIError as error:
            failure = error
        except RedisError:
            raise  # says nothing about the item
        except Exception:
            log.exception("job item failed", extra={"request_id": context.request_id})
            failure = InternalError("An unexpected error occurred.")
        return JobItem(index=index, error=error_body(failure, context.request_id))

    async def _ask(
        self, body: ChatCompletionRequest, owner: str, context: CallContext
    ) -> ChatCompletion:
        """Ask, once the owner's limits allow it."""
        limits = self.limits.of(owner)
        call = await open_when_possible(self.service, body, context, limits)
        try:
            return await call.collect()
        finally:
            await call.close()

    def _context(self, request_id: str) -> CallContext:
        ends = time.monotonic() + self.timeout + MAX_WAIT_SECONDS
        return CallContext(request_id, ends, detached=True)


def _cost(item: JobItem) -> int | None:
    """What an item cost in nano-USD; a failure: nothing that is known of."""
    if item.response is None:
        return 0
    usd = item.response.cost_usd
    return None if usd is None else nano_usd(usd)
