"""Section 3: request and response patterns. One model and four ways to wait for it.

REST, `GET /users/123`: 10-50 ms, deterministic, cacheable, 1-10 KB, fixed shape. AI,
`POST /chat/completions`: 500-5000 ms, not so, rarely so, 10-500 KB, variable length.
Run `python -m course run s3`, `uvicorn examples.s3_patterns:app` or this file. Try it:
    curl -s http://127.0.0.1:8000/answers --json '{"text": "hello"}'
    curl -sN http://127.0.0.1:8000/answers/stream --json '{"text": "one two three"}'
    curl -sN http://127.0.0.1:8000/answers/stream --json '{"text": "fails at café"}'
    curl -si http://127.0.0.1:8000/jobs --json '{"text": "no hurry", "delay_ms": 2500}'
    curl -si http://127.0.0.1:8000/jobs/latest
    curl -si -X DELETE http://127.0.0.1:8000/jobs/latest
    curl -si http://127.0.0.1:8000/webhook-jobs --json '{"text": "call me back"}'
    curl -s http://127.0.0.1:8000/webhooks/inbox
    curl -si http://127.0.0.1:8000/webhooks/receiver -d '{}' -H 'webhook-id: evt_1' \
        -H 'webhook-timestamp: 1700000000' -H 'webhook-signature: v1,forged'
"""

import base64
import hmac
import json
import logging
import time
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from enum import StrEnum
from secrets import token_bytes, token_hex
from typing import Annotated

import anyio
import httpx2
from fastapi import Depends, FastAPI, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.sse import EventSourceResponse, ServerSentEvent
from pydantic import BaseModel, Field, PrivateAttr

SYNC_SECONDS, RETRY_WAITS, MAX_JOBS = 5, (0, 0.5, 2), 100  # waits in seconds
RECEIVER = "/webhooks/receiver"
HEADERS = ("webhook-id", "webhook-timestamp", "webhook-signature")
Events = AsyncIterator[ServerSentEvent]


class JobStatus(StrEnum):
    QUEUED, RUNNING = "queued", "running"
    SUCCEEDED, FAILED, CANCELLED = "succeeded", "failed", "cancelled"

    @property
    def is_terminal(self) -> bool:
        return self not in (JobStatus.QUEUED, JobStatus.RUNNING)


class WebhookVerificationError(Exception):
    """A webhook that is not to be believed; the message says why."""


def new_webhook_secret() -> str:
    return "whsec_" + base64.b64encode(token_bytes(32)).decode()


def sign_webhook(secret: str, message_id: str, timestamp: int, body: bytes) -> str:
    """Standard Webhooks 1.0: `v1,` and base64 HMAC-SHA256 of `id.timestamp.body`."""
    key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    if secret[:6] != "whsec_" or not 24 <= len(key) <= 64 or "." in (message_id or "."):
        raise ValueError("not whsec_ and 24 to 64 bytes, or an id empty or with a dot")
    mac = hmac.digest(key, f"{message_id}.{timestamp}.".encode() + body, "sha256")
    return "v1," + base64.b64encode(mac).decode()


def verify_webhook(
    secrets: Sequence[str],  # two while they are rotated
    headers: Mapping[str, str],
    body: bytes,  # as it came: JSON that was parsed and dumped has another signature
    *,
    now: int | None = None,  # in Unix seconds; None: the clock's
    tolerance: int = 300,  # seconds that the timestamp may be from now, either way
) -> str:
    """The id of a webhook one of `secrets` signed; else WebhookVerificationError."""
    found = {name.lower(): value for name, value in headers.items()}
    message_id, sent_at, sent = (found.get(name, "") for name in HEADERS)
    try:
        age = (int(time.time()) if now is None else now) - int(sent_at)
        ours = [sign_webhook(s, message_id, int(sent_at), body) for s in secrets]
        good = any(hmac.compare_digest(a, b) for a in ours for b in sent.split())
    except (TypeError, ValueError) as error:  # compare_digest: TypeError for "é"
        raise WebhookVerificationError("missing or malformed headers") from error
    if not good or abs(age) > tolerance:
        raise WebhookVerificationError("too early or late" if good else "bad signature")
    return message_id


class Prompt(BaseModel, extra="forbid"):
    text: str = Field(min_length=1, max_length=2_000, pattern=r"\S", examples=["hello"])
    delay_ms: int = Field(default=50, ge=0, le=2_500, strict=True)  # before each word


async def speak(prompt: Prompt) -> AsyncGenerator[str, None]:
    """Stands in for a model: word by word. It knows ASCII only, and fails at `café`."""
    for word in f"You said: {prompt.text}".split():
        await anyio.sleep(prompt.delay_ms / 1000)
        yield word.encode("ascii").decode()


class Job(BaseModel):
    id: str
    status: JobStatus = JobStatus.QUEUED
    answer: str | None = None
    webhook: str | None = Field(default=None, description="pending, delivered, failed")
    _work: anyio.CancelScope = PrivateAttr(default_factory=anyio.CancelScope)
    _ended: anyio.Event = PrivateAttr(default_factory=anyio.Event)


jobs: dict[str, Job] = {}  # in memory on purpose: a restart forgets all
webhook_secrets = [new_webhook_secret()]
seen: deque[str] = deque(maxlen=1_000)
inbox: deque[dict[str, bool | str]] = deque(maxlen=100)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with anyio.create_task_group() as app.state.background:
        yield
        app.state.background.cancel_scope.cancel()
    jobs.clear()


app = FastAPI(title="Section 3: patterns", lifespan=lifespan, max_body_size=64 * 1024)


@app.exception_handler(RequestValidationError)  # the default's echo of a NaN is a 500
async def invalid(_: Request, error: RequestValidationError) -> Response:
    detail = [{k: e[k] for k in ("loc", "msg", "type")} for e in error.errors()[:20]]
    return Response(json.dumps({"detail": detail}), 422, media_type="application/json")


@app.post("/answers", tags=["synchronous"], responses={504: {}})
async def answer(prompt: Prompt) -> dict[str, str]:
    """For simple requests under 5 s. full_app also stops when the caller leaves."""
    with anyio.move_on_after(SYNC_SECONDS):
        return {"answer": " ".join([word async for word in speak(prompt)])}
    raise HTTPException(504, "Too long to wait: stream it, or make it a job.")


async def owned_words(prompt: Prompt) -> AsyncIterator[AsyncIterator[str]]:
    async with aclosing(speak(prompt)) as words:  # the route's would wait for the GC
        yield words


@app.post("/answers/stream", response_class=EventSourceResponse, tags=["streaming"])
async def stream(words: Annotated[AsyncIterator[str], Depends(owned_words)]) -> Events:
    """For chat: text shows as it comes. full_app can resume a broken stream."""
    last = ServerSentEvent(event="done", data="")
    try:
        async for word in words:
            yield ServerSentEvent(event="word", data=word)
    except Exception:  # raised on, it would end the stream as cleanly as success does
        logging.exception("the stream failed")
        last = ServerSentEvent(event="error", data="The model failed.")
    yield last


async def run(job: Job, prompt: Prompt) -> None:
    job.status = JobStatus.RUNNING
    try:
        with job._work:
            job.answer = " ".join([word async for word in speak(prompt)])
        job.status = JobStatus.CANCELLED if job.answer is None else JobStatus.SUCCEEDED
    except Exception:
        logging.exception("%s failed", job.id)
        job.status = JobStatus.FAILED
    job._ended.set()
    if job.webhook:
        await deliver(job)


@app.post("/jobs", status_code=202, tags=["job"], responses={503: {}})
@app.post("/webhook-jobs", status_code=202, tags=["webhook"], responses={503: {}})
async def create_job(prompt: Prompt, request: Request, response: Response) -> Job:
    """For batches, or for integrations to be called back. full_app: Redis, workers."""
    ended = (job.id for job in jobs.values() if job.status.is_terminal)
    if len(jobs) >= MAX_JOBS and not jobs.pop(next(ended, ""), None):
        raise HTTPException(503, "Too many jobs are running.", {"Retry-After": "1"})
    webhook = "pending" if request.url.path.endswith("/webhook-jobs") else None
    job = Job(id=f"job_{token_hex(12)}", webhook=webhook)
    jobs[job.id] = job
    app.state.background.start_soon(run, job, prompt)
    response.headers.update({"Location": f"/jobs/{job.id}", "Retry-After": "1"})
    return job


@app.get("/jobs/{job_id}", tags=["job"], responses={404: {}})
async def read_job(job_id: str) -> Job:
    job = jobs.get(next(reversed(jobs), "") if job_id == "latest" else job_id)
    if job is None:
        raise HTTPException(404, "No such job, or no longer.")
    return job


@app.delete("/jobs/{job_id}", tags=["job"], responses={404: {}, 409: {}})
async def cancel_job(job_id: str) -> Job:
    """Stops the work. Twice is once; 409 when it has ended by itself."""
    job = await read_job(job_id)
    job._work.cancel()
    await job._ended.wait()
    if job.status is not JobStatus.CANCELLED:
        raise HTTPException(409, f"It has {job.status}.")
    return job


async def deliver(job: Job) -> None:
    """Three attempts, to this app only: any URL means SSRF. full_app guards egress."""
    event_id, now = f"evt_{token_hex(12)}", int(time.time())
    event = {"id": event_id, "object": "event", "type": f"job.{job.status}"}
    body = json.dumps({**event, "created_at": now, "data": {"id": job.id}}).encode()
    inside = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=inside, base_url="http://self") as client:
        for wait in RETRY_WAITS:
            await anyio.sleep(wait)
            now = int(time.time())
            signature = sign_webhook(webhook_secrets[0], event_id, now, body)
            headers = dict(zip(HEADERS, (event_id, str(now), signature), strict=True))
            reply = await client.post(RECEIVER, content=body, headers=headers)
            if reply.is_success:
                break
    job.webhook = "delivered" if reply.is_success else "failed"


@app.post(RECEIVER, status_code=204, tags=["webhook"], responses={400: {}, 401: {}})
async def receiver(request: Request) -> None:
    """204 also for a repetition, which is not acted on again."""
    body = await request.body()
    try:
        message_id = verify_webhook(webhook_secrets, request.headers, body)
    except WebhookVerificationError as error:
        inbox.append({"verified": False, "why": str(error)})
        raise HTTPException(400 if error.__cause__ else 401, str(error)) from None
    if message_id not in seen:
        seen.append(message_id)
        inbox.append({"verified": True, "event": body.decode(errors="replace")})


@app.get("/webhooks/inbox", tags=["webhook"])
async def read_inbox() -> list[dict[str, bool | str]]:
    return list(inbox)


if __name__ == "__main__":
    import uvicorn

    uvicorn.run(app, host="127.0.0.1", port=8000)
