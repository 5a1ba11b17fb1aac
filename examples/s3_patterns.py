"""Section 3: request and response patterns. One slow model, four ways to wait for it.

Why an AI API cannot answer like the REST API that you know:

    question               traditional REST    AI API
    a typical request      GET /users/123      POST /chat/completions
    how long it takes      10-50 ms            500-5000 ms
    the same answer twice  yes                 no
    cacheable              yes                 rarely
    size of the answer     1-10 KB             10-500 KB
    shape of the answer    fixed               variable length

Start it with `python -m course run s3`, with `uvicorn examples.s3_patterns:app` or as a
script. Then try it in a second terminal:

    curl -s http://127.0.0.1:8000/answers \
        -H 'Content-Type: application/json' -d '{"text": "hello"}'
    curl -sN http://127.0.0.1:8000/answers/stream \
        -H 'Content-Type: application/json' -d '{"text": "one two three"}'
    curl -sN http://127.0.0.1:8000/answers/stream \
        -H 'Content-Type: application/json' -d '{"text": "fails at café"}'
    curl -si http://127.0.0.1:8000/jobs \
        -H 'Content-Type: application/json' -d '{"text": "no hurry", "delay_ms": 2500}'
    curl -si http://127.0.0.1:8000/jobs/latest
    curl -si -X DELETE http://127.0.0.1:8000/jobs/latest
    curl -si http://127.0.0.1:8000/webhook-jobs \
        -H 'Content-Type: application/json' -d '{"text": "call me back"}'
    curl -s http://127.0.0.1:8000/jobs/latest
    curl -s http://127.0.0.1:8000/webhooks/inbox
    curl -si http://127.0.0.1:8000/webhooks/receiver -d '{}' -H 'webhook-id: evt_1' \
        -H 'webhook-timestamp: 1700000000' -H 'webhook-signature: v1,forged'
"""

import asyncio
import base64
import hmac
import json
import logging
import time
from collections import deque
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Coroutine,
    Mapping,
    Sequence,
)
from contextlib import aclosing, asynccontextmanager
from enum import StrEnum
from secrets import token_bytes, token_hex
from typing import Annotated, Any, Literal

import anyio
import httpx2
from fastapi import APIRouter, Depends, FastAPI, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.sse import EventSourceResponse, ServerSentEvent
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr

logger = logging.getLogger(__name__)

app = FastAPI(
    title="Section 3: request and response patterns",
    max_body_size=64 * 1024,  # bytes; a longer request is refused with 413
)


# --- The model ---
# All four patterns ask the same model. It is slow, as models are, and it can fail half
# way. What differs from pattern to pattern is only how the caller gets the answer.


class Prompt(BaseModel):
    """What the caller asks: a text, and how slowly the model answers it."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)

    text: str = Field(min_length=1, max_length=2_000, examples=["hello"])
    delay_ms: int = Field(
        default=50, ge=0, le=2_500, strict=True, description="Pause before each word."
    )


async def speak(prompt: Prompt) -> AsyncGenerator[str, None]:
    """Stand in for a language model: repeat the text, one word at a time.

    It knows ASCII only and raises RuntimeError at a word like "café", so that you can
    see a failure in the middle of an answer whenever you want to.
    """
    for word in f"You said: {prompt.text}".split():
        await asyncio.sleep(prompt.delay_ms / 1000)
        if not word.isascii():
            raise RuntimeError("the model knows ASCII only")
        yield word


async def complete(prompt: Prompt) -> str:
    """Let the model speak to its end, and return the whole answer."""
    words = [word async for word in speak(prompt)]
    return " ".join(words)


# --- 1. Synchronous: the caller waits ---
#
#     client  ------ POST /answers ----->  service
#                                          ... the model works ...
#     client  <- 200, the whole answer --  service
#
# One request, one whole answer. This is right for simple requests that take less than
# five seconds. After that the caller gets 504, and the model stops.

SYNC_SECONDS = 5


class Answer(BaseModel):
    """A whole answer."""

    answer: str


@app.post(
    "/answers",
    tags=["synchronous"],
    summary="Wait for the whole answer",
    responses={504: {}},
)
async def create_answer(prompt: Prompt) -> Answer:
    """Return the whole answer, or 504 if the model needs more than five seconds."""
    try:
        async with asyncio.timeout(SYNC_SECONDS):
            return Answer(answer=await complete(prompt))
    except TimeoutError:
        message = "Too long to wait: stream it, or make it a job."
        raise HTTPException(504, message) from None


# --- 2. Streaming: the caller reads along ---
#
#     client  --- POST /answers/stream -->  service
#     client  <-- event: word ------------  service
#     client  <-- event: word ------------  service
#     client  <-- event: done ------------  service     (or event: error)
#
# One request, and each word as soon as it is made: right for people in a chat. The
# words travel as server-sent events (SSE), text that stays readable on the wire. The
# status 200 has been sent before the first word, so a failure cannot change it any
# more. Only the last event says whether the answer is whole: `done` or `error`. A
# stream that ends without either is not whole.


async def model_words(prompt: Prompt) -> AsyncIterator[AsyncIterator[str]]:
    """Open the model's words for one answer, and close them when the answer is over.

    It is a dependency (section 4 teaches them): FastAPI calls it with the prompt of the
    request, and passes what it yields to `stream_answer` as `words`. When the last
    event has been sent, or the reader has left, FastAPI runs the rest of it, and
    `aclosing` stops the model. Without that, the model would run until Python's garbage
    collector found it.
    """
    async with aclosing(speak(prompt)) as words:
        yield words


@app.post(
    "/answers/stream",
    response_class=EventSourceResponse,
    tags=["streaming"],
    summary="Read the answer word by word",
)
async def stream_answer(
    words: Annotated[AsyncIterator[str], Depends(model_words)],
) -> AsyncIterator[ServerSentEvent]:
    """Send every word as an event of its own, and last `done` or `error`."""
    try:
        async for word in words:
            yield ServerSentEvent(event="word", data=word)
    except Exception:
        logger.exception("The model failed in the middle of a stream.")
        yield ServerSentEvent(event="error", data="The model failed.")
    else:
        yield ServerSentEvent(event="done", data="")


# --- 3. Job: the caller comes back ---
#
#     client  ------- POST /jobs ------->  service     starts the job
#     client  <-- 202, Location ---------  service
#                                          ... the model works ...
#     client  --- GET /jobs/{job_id} --->  service
#     client  <-- 200, how far it is ----  service
#
# The service accepts the work and answers at once; the caller asks later how far it
# is. Nobody holds a connection open: right for long tasks and for batches.


class JobStatus(StrEnum):
    """How far a job is. It begins queued; the last three are final."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_terminal(self) -> bool:
        """Whether the job has ended and will not change again."""
        return self not in (JobStatus.QUEUED, JobStatus.RUNNING)


class Job(BaseModel):
    """A job as the caller sees it, and the means to run and to cancel it.

    The two private attributes are not part of the answer. `_work` guards the block in
    `run`: when another task calls `_work.cancel()`, that block is stopped, and
    `cancelled_caught` is true. `_ended` lets other tasks wait for the end.
    """

    id: str
    status: JobStatus = JobStatus.QUEUED
    answer: str | None = None
    webhook: Literal["pending", "delivered", "failed"] | None = None

    _work: anyio.CancelScope = PrivateAttr(default_factory=anyio.CancelScope)
    _ended: asyncio.Event = PrivateAttr(default_factory=asyncio.Event)

    async def run(self, prompt: Prompt) -> None:
        """Do the work, and record how it ended."""
        self.status = JobStatus.RUNNING
        try:
            with self._work:
                self.answer = await complete(prompt)
                self.status = JobStatus.SUCCEEDED
        except Exception:
            logger.exception("%s failed.", self.id)
            self.status = JobStatus.FAILED
        if self._work.cancelled_caught:  # cancel() has stopped the block
            self.status = JobStatus.CANCELLED
        self._ended.set()

    async def wait(self) -> None:
        """Return when the job has ended, in whichever way."""
        await self._ended.wait()

    async def cancel(self) -> None:
        """Stop the work, and return when it has stopped."""
        self._work.cancel()
        await self.wait()


jobs: dict[str, Job] = {}  # in memory: a restart forgets them all
background_tasks: set[asyncio.Task[None]] = set()


def run_in_background(work: Coroutine[Any, Any, None]) -> None:
    """Run `work` beside the requests.

    The set holds the task until it is done, because asyncio itself does not: a task
    that nobody holds may be collected as garbage while it runs. FastAPI's own
    `BackgroundTasks` (step s3.3) belong to one request. Tasks of our own can also be
    cancelled when the application ends.
    """
    task = asyncio.create_task(work)
    background_tasks.add(task)
    task.add_done_callback(background_tasks.discard)


def start_job(prompt: Prompt) -> Job:
    """Begin a job, and do not wait for its end.

    Raises HTTPException (503) when too many jobs are running.
    """
    if len(jobs) >= MAX_JOBS:
        make_room()  # see "What production adds"
    job = Job(id=f"job_{token_hex(12)}")
    jobs[job.id] = job
    run_in_background(job.run(prompt))
    return job


def find_job(job_id: str) -> Job:
    """Return the job with this id, or the newest one for the id `latest`.

    Raises HTTPException (404) when there is no such job.
    """
    if job_id == "latest" and jobs:
        return next(reversed(jobs.values()))
    if job_id not in jobs:
        raise HTTPException(404, "No such job, or no longer.")
    return jobs[job_id]


@app.post(
    "/jobs", status_code=202, tags=["job"], summary="Start a job", responses={503: {}}
)
async def create_job(prompt: Prompt, response: Response) -> Job:
    """Accept the work with 202: `Location` says where to ask, `Retry-After` when."""
    job = start_job(prompt)
    response.headers["Location"] = f"/jobs/{job.id}"
    response.headers["Retry-After"] = "1"
    return job


@app.get(
    "/jobs/{job_id}", tags=["job"], summary="Ask how far a job is", responses={404: {}}
)
async def read_job(job_id: str) -> Job:
    """Say how far the job is, and give its answer once there is one."""
    return find_job(job_id)


@app.delete(
    "/jobs/{job_id}", tags=["job"], summary="Cancel a job", responses={404: {}, 409: {}}
)
async def cancel_job(job_id: str) -> Job:
    """Stop the work. Cancelling twice is no mistake; a job that has ended gets 409."""
    job = find_job(job_id)
    await job.cancel()
    if job.status is not JobStatus.CANCELLED:
        raise HTTPException(409, f"The job has already {job.status}.")
    return job


# --- 4. Webhook: the service calls back ---
#
#     client    -- POST /webhook-jobs -->  service     starts the job
#     client    <------- 202 ------------  service
#                                          ... the model works ...
#     receiver  <---- signed event ------  service
#     receiver  ------- 204 ------------>  service
#     client    --- GET /jobs/{id} ----->  service     the event has no answer in it
#     client    <------- 200 ------------  service
#
# The caller is a system that can be called itself, so it need not ask again and again:
# when the job has ended, we send an event to an address of the caller, the receiver.
# Anybody can send a request there, so the receiver must be able to tell our event from
# a forgery. We sign it with a secret that only the two of us know, in the way of a
# public standard, Standard Webhooks 1.0 (https://www.standardwebhooks.com).

RECEIVER = "/webhooks/receiver"
RETRY_WAITS = (0, 0.5, 2)  # seconds before the first, second and third attempt


@app.post(
    "/webhook-jobs",
    status_code=202,
    tags=["webhook"],
    summary="Start a job that calls back",
    responses={503: {}},
)
async def create_job_with_webhook(prompt: Prompt, response: Response) -> Job:
    """Accept the work with 202, and send a signed event when the job has ended."""
    job = start_job(prompt)
    job.webhook = "pending"
    run_in_background(call_back(job))
    response.headers["Location"] = f"/jobs/{job.id}"
    response.headers["Retry-After"] = "1"
    return job


async def call_back(job: Job) -> None:
    """Wait for the end of a job and report it, in at most three attempts.

    All attempts carry the same event id, so a receiver that gets two of them can tell
    that they are the same event.
    """
    await job.wait()
    event_id = f"evt_{token_hex(12)}"
    event = {
        "id": event_id,
        "object": "event",
        "type": f"job.{job.status}",
        "created_at": int(time.time()),
        "data": {"id": job.id},
    }
    body = json.dumps(event).encode()
    for seconds in RETRY_WAITS:
        await asyncio.sleep(seconds)
        if await post_webhook(event_id, body):
            job.webhook = "delivered"
            return
    job.webhook = "failed"


async def post_webhook(event_id: str, body: bytes) -> bool:
    """Sign and send one attempt; True if the receiver accepted it.

    In this section the app plays both sides, so it calls its own receiver, without a
    network. If callers could name the address, they could make us call private servers
    of our own network (server-side request forgery, SSRF).
    """
    timestamp = int(time.time())
    headers = {
        "webhook-id": event_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": sign_webhook(
            webhook_secrets[0], event_id, timestamp, body
        ),
    }
    inside = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=inside, base_url="http://self") as client:
        response = await client.post(RECEIVER, content=body, headers=headers)
    return response.is_success


def new_webhook_secret() -> str:
    """Return a fresh secret: `whsec_` and 32 random bytes in base64."""
    return "whsec_" + base64.b64encode(token_bytes(32)).decode()


def sign_webhook(secret: str, message_id: str, timestamp: int, body: bytes) -> str:
    """Return the signature: `v1,` and the base64 HMAC-SHA256 of `id.timestamp.body`.

    The id and the time are signed together with the body, so that nobody can send an
    old event again under a new id or with a new time. `timestamp` is in Unix seconds.
    Raises ValueError for a secret or an id that the standard does not allow.
    """
    key = webhook_key(secret)
    check_message_id(message_id)
    signed_content = f"{message_id}.{timestamp}.".encode() + body
    digest = hmac.digest(key, signed_content, "sha256")
    return "v1," + base64.b64encode(digest).decode()


class WebhookVerificationError(Exception):
    """A webhook that must not be believed. The message says why."""


class MalformedWebhookError(WebhookVerificationError):
    """A webhook whose headers are missing or cannot be read."""


def verify_webhook(
    secrets: Sequence[str],
    headers: Mapping[str, str],
    body: bytes,
    *,
    now: int | None = None,
    tolerance: int = 300,
) -> str:
    """Return the id of a webhook that one of `secrets` has signed.

    There are two secrets while an old one is being replaced. `body` must be the bytes
    as they arrived: JSON that was parsed and written again has other bytes, and so
    another signature. `now` is in Unix seconds, by default the clock's. The timestamp
    may be `tolerance` seconds from it, earlier or later.

    Raises WebhookVerificationError for anything else, and MalformedWebhookError when
    the headers cannot even be read.
    """
    received = {name.lower(): value for name, value in headers.items()}
    message_id = received.get("webhook-id", "")
    signatures = received.get("webhook-signature", "").split()
    try:
        timestamp = int(received.get("webhook-timestamp", ""))
        expected = [sign_webhook(s, message_id, timestamp, body) for s in secrets]
        genuine = any_equal(expected, signatures)
    except (TypeError, ValueError) as error:
        raise MalformedWebhookError("missing or malformed headers") from error
    if not genuine:
        raise WebhookVerificationError("bad signature")
    current_time = int(time.time()) if now is None else now
    if abs(current_time - timestamp) > tolerance:
        raise WebhookVerificationError("too early or late")
    return message_id


def any_equal(expected: Sequence[str], received: Sequence[str]) -> bool:
    """Whether one of the received signatures is one of the expected ones.

    `==` stops at the first difference. A forger who measures how long it takes could
    guess a signature letter by letter. `compare_digest` always takes the same time.
    Raises TypeError for a signature that is not ASCII.
    """
    return any(
        hmac.compare_digest(ours, theirs) for ours in expected for theirs in received
    )


webhook_secrets = [new_webhook_secret()]
seen_ids: deque[str] = deque(maxlen=1_000)
inbox: deque[dict[str, bool | str]] = deque(maxlen=100)


@app.post(
    RECEIVER,
    status_code=204,
    tags=["webhook"],
    summary="Receive a signed event",
    responses={400: {}, 401: {}},
)
async def receive_webhook(request: Request) -> None:
    """Accept a signed event with 204, and act on each event only once.

    A sender that has not heard our 204 sends the event again. The repetition gets 204
    as well, and nothing else happens.
    """
    body = await request.body()
    try:
        message_id = verify_webhook(webhook_secrets, request.headers, body)
    except MalformedWebhookError as error:
        inbox.append({"verified": False, "why": str(error)})
        raise HTTPException(400, str(error)) from None
    except WebhookVerificationError as error:
        inbox.append({"verified": False, "why": str(error)})
        raise HTTPException(401, str(error)) from None
    if message_id not in seen_ids:
        seen_ids.append(message_id)
        inbox.append({"verified": True, "event": body.decode(errors="replace")})


@app.get("/webhooks/inbox", tags=["webhook"], summary="What the receiver was sent")
async def read_inbox() -> list[dict[str, bool | str]]:
    """Show what the receiver was sent, oldest first."""
    return list(inbox)


# --- What production adds ---
# The four patterns are complete. What follows keeps a process healthy that strangers
# may call: memory stays bounded, secrets are checked, a malformed body gets a correct
# 422, and a shutdown leaves no work behind.

MAX_JOBS = 100


def make_room() -> None:
    """Forget the oldest job that has ended, so that memory stays bounded.

    Raises HTTPException (503) when every job is still running: the caller should come
    back in a second.
    """
    for job_id, job in jobs.items():
        if job.status.is_terminal:
            del jobs[job_id]
            return
    raise HTTPException(503, "Too many jobs are running.", {"Retry-After": "1"})


def webhook_key(secret: str) -> bytes:
    """Return the key in a secret of the form `whsec_` and base64.

    Raises ValueError for another form, or for a key that is not 24 to 64 bytes long.
    """
    if not secret.startswith("whsec_"):
        raise ValueError("a webhook secret begins with whsec_")
    key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    if not 24 <= len(key) <= 64:
        raise ValueError("the key of a webhook secret has 24 to 64 bytes")
    return key


def check_message_id(message_id: str) -> None:
    """Refuse an id that is empty or contains a dot, with ValueError.

    The dot separates id, timestamp and body in what is signed. With a dot in the id,
    two different messages could have the same signature.
    """
    if not message_id:
        raise ValueError("the id of a webhook must not be empty")
    if "." in message_id:
        raise ValueError("the id of a webhook must not contain a dot")


@app.exception_handler(RequestValidationError)
async def answer_invalid_request(_: Request, error: RequestValidationError) -> Response:
    """Answer 422 with the place, the message and the type of at most 20 errors.

    What was sent is not repeated: it may be long, it may be a secret, and a number like
    NaN in it cannot be written as JSON.
    """
    details = [
        {"loc": found["loc"], "msg": found["msg"], "type": found["type"]}
        for found in error.errors()[:20]
    ]
    body = json.dumps({"detail": details})
    return Response(body, status_code=422, media_type="application/json")


@asynccontextmanager
async def stop_at_shutdown(_: FastAPI) -> AsyncIterator[None]:
    """Cancel whatever still runs in the background when the application ends."""
    yield
    for task in background_tasks:
        task.cancel()
    await asyncio.gather(*background_tasks, return_exceptions=True)
    jobs.clear()


# A router may have a lifespan too: what stands before its `yield` runs when the
# application starts, the rest when it ends.
app.include_router(APIRouter(lifespan=stop_at_shutdown))


if __name__ == "__main__":
    import uvicorn

    uvicorn.run(app, host="127.0.0.1", port=8000)
