"""Asking full_app for jobs: to queue one, to hear it begin, to see it ended."""

import asyncio
import time
from typing import Any

import httpx2

from benchmarks.peers.bodies import OFFLINE_MODEL, WORDS, chat

JOBS = "/v1/jobs"
PATIENCE_SECONDS = 60
ENDED = {"succeeded", "failed", "cancelled"}


def bearer(key: str) -> dict[str, str]:
    """The header that says who asks."""
    return {"Authorization": f"Bearer {key}"}


async def submit(client: httpx2.AsyncClient, key: str) -> str:
    """Queue a job of one short request; its id."""
    item = chat(OFFLINE_MODEL, text=WORDS[0])
    headers = {**bearer(key), "Content-Type": "application/json"}
    body = f'{{"requests": [{item}]}}'
    answer = await client.post(JOBS, content=body, headers=headers)
    answer.raise_for_status()
    return str(answer.json()["id"])


async def wait(client: httpx2.AsyncClient, key: str) -> float:
    """Seconds from asking for a job until hearing that it runs."""
    begun = time.perf_counter()
    url = f"{JOBS}/{await submit(client, key)}/events"
    async with client.stream("GET", url, headers=bearer(key)) as answer:
        took = 0.0
        async for line in answer.aiter_lines():
            if line == "event: job.running":
                took = time.perf_counter() - begun
    if not took:
        raise OSError("a job ended that nobody saw begin")
    return took


async def ended(client: httpx2.AsyncClient, asked: dict[str, str]) -> None:
    """Return when all have succeeded; `asked`: the key of each id.

    Raises OSError if one does not, or takes long.
    """
    deadline = time.monotonic() + PATIENCE_SECONDS
    for job_id, key in asked.items():
        status = ""
        while status not in ENDED:
            answer = await client.get(
                f"{JOBS}/{job_id}?results=false", headers=bearer(key)
            )
            answer.raise_for_status()
            told: dict[str, Any] = answer.json()
            status = told["status"]
            if time.monotonic() > deadline:
                raise OSError(f"jobs take longer than {PATIENCE_SECONDS} s")
            if status not in ENDED:
                await asyncio.sleep(0.01)
        if status != "succeeded":
            raise OSError(f"a job {status}")
