"""Job records: the truth about every job, in Redis; the queue carries only their ids.

Every attempt has a number. Redis itself refuses writes of an older attempt, and any
write to a job that has ended, so a worker that wakes late cannot undo what a newer
one did, and an item that is saved twice counts once.
"""

import secrets
import time
from collections.abc import Sequence

from redis.asyncio import Redis
from redis.typing import EncodableT, FieldT

from examples.full_app.errors import ConflictError, NotFoundError
from examples.full_app.schemas.jobs import Job, JobItem, JobProgress, JobRequest
from examples.s3_patterns import JobStatus

KEEP_SECONDS = 24 * 3600

_LIVE = """
local status = redis.call('HGET', KEYS[1], 'status')
if status ~= 'queued' and status ~= 'running' then return 0 end
"""
BEGIN = (
    _LIVE
    + """
-- ARGV: now, attempts allowed. Answers the attempt's number; -1: there were too many.
local attempt = redis.call('HINCRBY', KEYS[1], 'attempt', 1)
if attempt > tonumber(ARGV[2]) then return -1 end
redis.call('HSET', KEYS[1], 'status', 'running')
redis.call('HSETNX', KEYS[1], 'started_at', ARGV[1])
return attempt
"""
)
SAVE = (
    _LIVE
    + """
-- KEYS[2]: items. ARGV: attempt, index, outcome, counter, seconds to keep.
if redis.call('HGET', KEYS[1], 'attempt') ~= ARGV[1] then return 0 end
if redis.call('HSETNX', KEYS[2], ARGV[2], ARGV[3]) == 1 then
  redis.call('HINCRBY', KEYS[1], ARGV[4], 1)
end
redis.call('EXPIRE', KEYS[2], ARGV[5])
return 1
"""
)
END = (
    _LIVE
    + """
-- ARGV: attempt ('' for the API itself), status, now, error.
if ARGV[1] ~= '' and redis.call('HGET', KEYS[1], 'attempt') ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'status', ARGV[2], 'finished_at', ARGV[3], 'error', ARGV[4])
return 1
"""
)


class JobNotFoundError(NotFoundError):
    """No such job, or another caller's: the two look alike on purpose."""

    code = "job_not_found"


class JobConflictError(ConflictError):
    """The job has ended; it cannot be cancelled any more."""

    code = "job_conflict"


class JobStore:
    """Job records, their items and each caller's list, kept for a day."""

    def __init__(self, redis: Redis) -> None:
        self.redis = redis
        self._begin = redis.register_script(BEGIN)
        self._save = redis.register_script(SAVE)
        self._end = redis.register_script(END)

    async def create(
        self, owner: str, request: JobRequest, *, endpoint_id: str = ""
    ) -> Job:
        """A queued job; whoever creates it puts its id on the queue."""
        job_id, now = f"job_{secrets.token_hex(16)}", int(time.time())
        record: dict[FieldT, EncodableT] = {
            "owner": owner,
            "status": JobStatus.QUEUED.value,
            "created_at": now,
            "attempt": 0,
            "total": len(request.requests),
            "endpoint_id": endpoint_id,
        }
        text = request.model_dump_json(by_alias=True, exclude_unset=True)
        async with self.redis.pipeline(transaction=True) as pipe:
            pipe.hset(_record(job_id), mapping=record)
            pipe.set(_request(job_id), text)
            pipe.zadd(_owned(owner), {job_id: time.time()})
            pipe.zremrangebyscore(_owned(owner), 0, now - KEEP_SECONDS)
            for key in (_record(job_id), _request(job_id), _owned(owner)):
                pipe.expire(key, KEEP_SECONDS)
            await pipe.execute()
        return await self.read(job_id, owner)

    async def read(self, job_id: str, owner: str, *, results: bool = False) -> Job:
        """The job. Raises JobNotFoundError, for another caller's too."""
        record = await self.record(job_id)
        if record is None or record["owner"] != owner:
            raise JobNotFoundError("There is no such job.")
        return as_job(job_id, record, await self.items(job_id) if results else None)

    async def newest(self, owner: str, limit: int) -> Sequence[Job]:
        """The caller's newest jobs, newest first, without results."""
        ids = await self.redis.zrevrange(_owned(owner), 0, limit - 1)
        found = [(job_id, await self.record(job_id)) for job_id in map(_text, ids)]
        return [as_job(job_id, record) for job_id, record in found if record]

    async def record(self, job_id: str) -> dict[str, str] | None:
        """The raw record, or None when there is none (any more)."""
        stored = await self.redis.hgetall(_record(job_id))
        return {_text(name): _text(value) for name, value in stored.items()} or None

    async def request(self, job_id: str) -> JobRequest | None:
        """What was asked, or None when there is no such job (any more)."""
        stored = await self.redis.get(_request(job_id))
        return None if stored is None else JobRequest.model_validate_json(stored)

    async def items(self, job_id: str) -> list[JobItem]:
        """The outcomes so far, in the order of the requests."""
        stored = await self.redis.hvals(_items(job_id))
        items = [JobItem.model_validate_json(value) for value in stored]
        return sorted(items, key=lambda item: item.index)

    async def begin(self, job_id: str, *, attempts: int) -> int:
        """The number of the attempt that begins; 0: nothing to do; -1: too many."""
        args = [int(time.time()), attempts]
        attempt: int = await self._begin(keys=[_record(job_id)], args=args)
        return attempt

    async def save(self, job_id: str, attempt: int, item: JobItem) -> bool:
        """Keep one outcome; False tells a stale or cancelled attempt to stop."""
        counter = "failed" if item.error else "succeeded"
        outcome = item.model_dump_json(by_alias=True)
        args: list[EncodableT] = [attempt, item.index, outcome, counter, KEEP_SECONDS]
        keys = [_record(job_id), _items(job_id)]
        return bool(await self._save(keys=keys, args=args))

    async def end(
        self, job_id: str, status: JobStatus, *, attempt: int | None, error: str = ""
    ) -> bool:
        """End the job; False when it had ended before or the attempt is stale."""
        number = "" if attempt is None else attempt
        args: list[str | int] = [number, status.value, int(time.time()), error]
        return bool(await self._end(keys=[_record(job_id)], args=args))

    async def cancel(self, job_id: str, owner: str) -> Job:
        """Cancel; twice answers the same. Raises JobConflictError once it has ended."""
        await self.read(job_id, owner)
        await self.end(job_id, JobStatus.CANCELLED, attempt=None)
        job = await self.read(job_id, owner)
        if job.status is not JobStatus.CANCELLED:
            raise JobConflictError(f"The job has ended before: {job.status.value}.")
        return job


def as_job(
    job_id: str, record: dict[str, str], results: list[JobItem] | None = None
) -> Job:
    """A record as its owner sees it."""
    failed = int(record.get("failed", 0))
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
        error=record.get("error") or None,
        results=results,
    )


def _record(job_id: str) -> str:
    return f"job:{{{job_id}}}"


def _request(job_id: str) -> str:
    return f"job:{{{job_id}}}:request"


def _items(job_id: str) -> str:
    return f"job:{{{job_id}}}:items"


def _owned(owner: str) -> str:
    return f"jobs:{owner}"


def _text(value: object) -> str:
    return value.decode("utf-8") if isinstance(value, bytes) else str(value)
