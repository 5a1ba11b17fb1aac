"""Synchronous: one request, one whole answer, and a limit on the waiting.

Start it with `python -m course run s3.1`. Then try it in a second terminal:

    curl -si http://127.0.0.1:8000/answers \
        -H 'Content-Type: application/json' -d '{"text": "hello"}'
    curl -si http://127.0.0.1:8000/answers \
        -H 'Content-Type: application/json' -d '{"text": "slow", "delay_ms": 2500}'

The first answer comes after a moment, and it comes whole. The second would take 7.5
seconds; after five you get 504 instead. Such a request needs another pattern.
"""

import asyncio

from fastapi import FastAPI, HTTPException
from pydantic import BaseModel

SYNC_SECONDS = 5

app = FastAPI(title="Synchronous answers")


class Prompt(BaseModel):
    """What the caller asks, and how long the model pauses before each word."""

    text: str
    delay_ms: int = 50


async def complete(prompt: Prompt) -> str:
    """Stand in for a model: repeat the text, with a pause before each word."""
    words = f"You said: {prompt.text}".split()
    for _ in words:
        await asyncio.sleep(prompt.delay_ms / 1000)
    return " ".join(words)


@app.post("/answers")
async def create_answer(prompt: Prompt) -> dict[str, str]:
    """Return the whole answer, or 504 after five seconds."""
    try:
        async with asyncio.timeout(SYNC_SECONDS):
            return {"answer": await complete(prompt)}
    except TimeoutError:
        raise HTTPException(504, "Too long to wait.") from None
