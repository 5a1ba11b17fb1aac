"""Job records: the truth about every job, in Redis; the queue carries only their ids.

Every attempt has a number. Redis itself refuses writes of an older attempt, and any
write to a job that has ended, so a worker that wakes late cannot undo what a newer
one did, and an item that is saved twice counts once.
"""

import enum
import secrets
import time
from collections.abc import Mapping, Sequence
from typing import Any

from redis.asyncio import Redis
from redis.typing import EncodableT, FieldT

from examples.full_app.errors import ConflictError, NotFoundError, RequestError
from examples.full_app.jobs.scripts import BEGIN, END, PAGE, QUEUE, SAVE
from examples.full_app.money import as_usd
from examples.full_app.observability.tracing import traceparent
from examples.full_app.schemas.jobs import (
    Job,
    JobError,
    JobItem,
    JobList,
    JobProgress,
    JobRequest,
)
from examples.s3_patterns import JobStatus

KEEP_SECONDS = 24 * 3600  # after the end
LIVE_SECONDS = 7 * 24 * 3600  # the longest that a job may take
MAX_BYTES = 64 * 1024 * 1024  # of the outcomes of one job
PAGE_BYTES = 4 * 1024 * 1024 - 4096  # of a page, besides the job itself
LIVE = "jobs:live"  # ids of jobs not yet over, by the last sign of life


class JobNotFoundError(NotFoundError):
    """No such job, or another caller's: the two look alike on purpose."""

    code = "job_not_found"


class JobConflictError(ConflictError):
    """The job has ended; it cannot be cancelled any more."""

    code = "job_conflict"


class Saved(enum.IntEnum):
    """What became of an outcome that was to be kept."""

    KEPT = 1
    STALE = 0  # the job was cancelled, or a newer attempt has begun
    NO_ROOM = -1  # the outcomes of the job would be too large together


class JobStore:
    """Job records, their items, their events and each caller's list.

    `keep` is how many seconds a job can be read after its end. The outcomes of one job
    have at most `max_bytes` bytes, and a page of them at most `page_bytes`, unless one
    outcome alone is larger.
    """

    def __init__(
        self,
        redis: Redis,
        *,
        keep: int = KEEP_SECONDS,
        max_bytes: int = MAX_BYTES,
        page_bytes: int = PAGE_BYTES,
    ) -> None:
        self.redis = redis
        self.keep = keep
        self.max_bytes = max_bytes
        self.page_bytes = page_bytes
        self._page = redis.register_script(PAGE)
        self._queue = redis.register_script(QUEUE)
        self._begin = redis.register_script(BEGIN)
        self._save = redis.register_script(SAVE)
        self._end = redis.register_script(END)

    async def create(
        self,
        owner: str,
        request: JobRequest,
        *,
        endpoint_id: str = "",
        seed: str | None = None,
    ) -> Job:
        """A queued job; whoever creates it puts its id on the queue."""
        job_id, now = new_job_id(seed), int(time.time())
        record: dict[FieldT, EncodableT] = {
            "id": job_id,
            "owner": owner,
            "status": JobStatus.QUEUED.value,
            "created_at": now,
            "attempt": 0,
            "total": len(request.requests),
            "endpoint_id": endpoint_id,
            "traceparent": traceparent() or "",
        }
        text = request.model_dump_json(by_alias=True, exclude_unset=True)
        async with self.redis.pipeline(transaction=True) as pipe:
            pipe.hset(record_key(job_id), mapping=record)
            pipe.set(request_key(job_id), text)
            pipe.zadd(owned_key(owner), {job_id: time.time()})
            pipe.zadd(LIVE, {job_id: now})
            for key in (record_key(job_id), request_key(job_id), owned_key(owner)):
                pipe.expire(key, LIVE_SECONDS + self.keep)
            await self._queue(keys=_keys(job_id), args=[LIVE_SECONDS], client=pipe)
            await pipe.execute()
        return await self.read(job_id, owner)

    async def read(
        self,
        job_id: str,
        owner: str,
        *,
        results: bool = False,
        after: int | None = None,
    ) -> Job:
        """The job, and with `results` a page of its outcomes, at one moment.

        The page begins behind the outcome with the index `after`. Raises
        JobNotFoundError, for another caller's too.
        """
        if not results:
            record = _texts(await self.redis.hgetall(record_key(job_id)))
            return as_job(job_id, _owned(record, owner))
        begin = -1 if after is None else after
        stored, more, outcomes = await self._page(
            keys=[record_key(job_id), items_key(job_id)],
            args=[begin, self.page_bytes],
        )
        record = _texts(dict(zip(stored[::2], stored[1::2], strict=True)))
        job = as_job(job_id, _owned(record, owner))
        page = [JobItem.model_validate_json(outcome) for outcome in outcomes]
        return job.model_copy(
            update={"results": page, "has_more_results": True if more else None}
        )

    async def page(self, owner: str, limit: int, after: str | None = None) -> JobList:
        """Up to `limit` of the caller's jobs, newest first, those after job `after`.

        Raises RequestError (400) when `after` is none of the caller's jobs.
        """
        start = 0
        if after is not None:
            rank = await self.redis.zrevrank(owned_key(owner), after)
            if rank is None:
                raise RequestError("There is no such job to go on from.", param="after")
            start = int(str(rank)) + 1
        while True:
            members = await self.redis.zrevrange(owned_key(owner), start, start + limit)
            ids = [text_of(job_id) for job_id in members]
            async with self.redis.pipeline(transaction=False) as pipe:
                for job_id in ids:
                    pipe.hgetall(record_key(job_id))
                records = [_texts(stored) for stored in await pipe.execute()]
            jobs = [as_job(i, r) for i, r in zip(ids, records, strict=True) if r]
            if len(jobs) == len(ids):
                return JobList.of(jobs[:limit], has_more=len(jobs) > limit)
            gone = [i for i, r in zip(ids, records, strict=True) if not r]
            await self.redis.zrem(owned_key(owner), *gone)

    async def record(self, job_id: str) -> dict[str, str] | None:
        """The raw record, or None when there is none (any more)."""
        return _texts(await self.redis.hgetall(record_key(job_id))) or None

    async def request(self, job_id: str) -> JobRequest | None:
        """What was asked, or None when there is no such job (any more)."""
        stored = await self.redis.get(request_key(job_id))
        return None if stored is None else JobRequest.model_validate_json(stored)

    async def indexes(self, job_id: str) -> set[int]:
        """Which requests have an outcome."""
        return {int(index) for index in await self.redis.hkeys(items_key(job_id))}

    async def begin(self, job_id: str, *, attempts: int) -> int:
        """The number of the attempt that begins; 0: nothing to do; -1: too many.

        `attempts` in a row may come to nothing; one that saves an item counts anew.
        """
        args = [int(time.time()), attempts]
        attempt: int = await self._begin(keys=_keys(job_id), args=args)
        return attempt

    async def save(
        self, job_id: str, attempt: int, item: JobItem, *, cost: int | None = 0
    ) -> Saved:
        """Keep one outcome and what it cost, in nano-USD; None: nobody knows.

        Whatever else than `Saved.KEPT` tells the attempt to stop.
        """
        counter = "failed" if item.error else "succeeded"
        outcome = item.model_dump_json(by_alias=True)
        args: list[EncodableT] = [attempt, item.index, outcome, counter]
        args += ["" if cost is None else cost, LIVE_SECONDS, self.max_bytes]
        keys = [*_keys(job_id), items_key(job_id)]
        return Saved(await self._save(keys=keys, args=args))

    async def end(
        self,
        job_id: str,
        status: JobStatus,
        *,
        attempt: int | None,
        code: str = "",
        error: str = "",
    ) -> bool:
        """End the job; False when it had ended before or the attempt is stale.

        Also when it is to succeed and an outcome is missing: the sweep finds it.
        """
        number = "" if attempt is None else attempt
        args: list[str | int] = [number, status.value, int(time.time()), code, error]
        keys = [*_keys(job_id), items_key(job_id), request_key(job_id)]
        return bool(await self._end(keys=keys, args=[*args, self.keep]))

    async def cancel(self, job_id: str, owner: str) -> Job:
        """Cancel; twice answers the same. Raises JobConflictError once it has ended."""
        await self.read(job_id, owner)
        await self.end(job_id, JobStatus.CANCELLED, attempt=None)
        job = await self.read(job_id, owner)
        if job.status is not JobStatus.CANCELLED:
            raise JobConflictError(f"The job has ended before: {job.status.value}.")
        return job

    async def alive(self, job_id: str) -> None:
        """Note that somebody looks after the job."""
        await self.redis.zadd(LIVE, {job_id: int(time.time())}, xx=True)

    async def silent(self, seconds: float, *, limit: int = 1_000) -> Sequence[str]:
        """Jobs not over and without a sign of life for `seconds`, oldest first."""
        until = time.time() - seconds
        members = await self.redis.zrangebyscore(LIVE, 0, until, start=0, num=limit)
        return [text_of(job_id) for job_id in members]

    async def over(self, job_id: str) -> None:
        """The job has ended, and whom it concerns was told."""
        await self.redis.zrem(LIVE, job_id)


def new_job_id(seed: str | None = None) -> str:
    """An id nobody can guess; the same for the same seed of 32 hexadecimal digits."""
    return f"job_{seed or secrets.token_hex(16)}"


def as_job(job_id: str, record: Mapping[str, str]) -> Job:
    """A record as its owner sees it."""
    failed = int(record.get("failed", 0))
    code, message = record.get("error_code", ""), record.get("error", "")
    return Job(
        id=job_id,
        status=JobStatus(record["status"]),
        created_at=int(record["created_at"]),
        started_at=int(record["started_at"]) if "started_at" in record else None,
        finished_at=int(record["finished_at"]) if "finished_at" in record else None,
        attempt=int(record["attempt"]),
        progress=JobProgress(
            done=int(record.get("succeeded", 0)) + failed,
            failed=failed,
            total=int(record["total"]),
        ),
        cost_usd=(
            None if "unpriced" in record else as_usd(int(record.get("cost_nano", 0)))
        ),
        error=JobError(code=code, message=message) if code else None,
    )


def record_key(job_id: str) -> str:
    """A hash: the record."""
    return f"job:{{{job_id}}}"


def request_key(job_id: str) -> str:
    """A string: what was asked, as JSON."""
    return f"job:{{{job_id}}}:request"


def items_key(job_id: str) -> str:
    """A hash: the outcome of each item, as JSON, by its index."""
    return f"job:{{{job_id}}}:items"


def events_key(job_id: str) -> str:
    """A stream: what happened to the job."""
    return f"job:{{{job_id}}}:events"


def owned_key(owner: str) -> str:
    """A sorted set: the ids of one caller's jobs by the time they were created."""
    return f"jobs:{owner}"


def text_of(value: object) -> str:
    """Clients answer bytes, or text when they were made to decode."""
    return value.decode("utf-8") if isinstance(value, bytes) else str(value)


def _keys(job_id: str) -> list[str]:
    return [record_key(job_id), events_key(job_id), LIVE]


def _texts(stored: Mapping[Any, Any]) -> dict[str, str]:
    return {text_of(name): text_of(value) for name, value in stored.items()}


def _owned(record: dict[str, str], owner: str) -> dict[str, str]:
    """The record, if it is this owner's. Raises JobNotFoundError."""
    if record.get("owner") != owner:
        raise JobNotFoundError("There is no such job.")
    return record
