"""A webhook: the service calls back when the work is done, and signs the call.

Start it with `python -m course run s3.4`. Then try it in a second terminal:

    curl -si http://127.0.0.1:8000/webhook-jobs -X POST
    curl -s http://127.0.0.1:8000/webhooks/inbox
    curl -si http://127.0.0.1:8000/webhooks/receiver \
        -H 'webhook-signature: forged' -d '{"type": "job.succeeded"}'

The first answer is 202, and at once the event is in the inbox of the receiver, which
is a part of this same app. The third call was not signed with the secret: 401.
"""

import hmac
from secrets import token_bytes

import httpx2
from fastapi import BackgroundTasks, FastAPI, HTTPException, Request

SECRET = token_bytes(32)  # the sender and the receiver know it, and nobody else

app = FastAPI(title="Webhooks")
inbox: list[str] = []


def sign_webhook(body: bytes) -> str:
    """Return the HMAC-SHA256 of the body, which proves the secret."""
    return hmac.digest(SECRET, body, "sha256").hex()


async def call_back() -> None:
    """Report the end of the job, signed, to the receiver: here this same app."""
    body = b'{"type": "job.succeeded"}'
    headers = {"webhook-signature": sign_webhook(body)}
    inside = httpx2.ASGITransport(app=app)
    async with httpx2.AsyncClient(transport=inside, base_url="http://self") as client:
        await client.post("/webhooks/receiver", content=body, headers=headers)


@app.post("/webhook-jobs", status_code=202)
async def create_job_with_webhook(tasks: BackgroundTasks) -> dict[str, str]:
    """Accept the job; FastAPI calls back after this answer."""
    tasks.add_task(call_back)
    return {"webhook": "pending"}


@app.post("/webhooks/receiver", status_code=204)
async def receive_webhook(request: Request) -> None:
    """Accept an event whose signature is the one we would make."""
    body = await request.body()
    signature = request.headers.get("webhook-signature", "")
    expected = sign_webhook(body)
    if not hmac.compare_digest(signature.encode(), expected.encode()):
        raise HTTPException(401, "The signature is wrong.")
    inbox.append(body.decode())


@app.get("/webhooks/inbox")
async def read_inbox() -> list[str]:
    """Show the events that were accepted."""
    return inbox
