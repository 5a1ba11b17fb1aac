"""Streaming: every word as a server-sent event, as soon as the model has made it.

Start it with `python -m course run s3.2`. Then try it in a second terminal:

    curl -sN http://127.0.0.1:8000/answers/stream \
        -H 'Content-Type: application/json' -d '{"text": "one two three"}'
    curl -sN http://127.0.0.1:8000/answers/stream \
        -H 'Content-Type: application/json' -d '{"text": "fails at café"}'

The first answer appears word by word and ends with `event: done`. This model knows
ASCII only, so the second answer fails half way and ends with `event: error`.
"""

import asyncio
from collections.abc import AsyncIterator

from fastapi import FastAPI
from fastapi.sse import EventSourceResponse, ServerSentEvent
from pydantic import BaseModel

app = FastAPI(title="Streamed answers")


class Prompt(BaseModel):
    """What the caller asks, and how long the model pauses before each word."""

    text: str
    delay_ms: int = 300


async def speak(prompt: Prompt) -> AsyncIterator[str]:
    """Stand in for a model: repeat the text word by word, and fail beyond ASCII."""
    for word in f"You said: {prompt.text}".split():
        await asyncio.sleep(prompt.delay_ms / 1000)
        if not word.isascii():
            raise RuntimeError("the model knows ASCII only")
        yield word


@app.post("/answers/stream", response_class=EventSourceResponse)
async def stream_answer(
    prompt: Prompt,
) -> AsyncIterator[ServerSentEvent]:
    """Send each word as an event, and last `done` or `error`."""
    try:
        async for word in speak(prompt):
            yield ServerSentEvent(event="word", data=word)
    except RuntimeError:
        yield ServerSentEvent(event="error", data="The model failed.")
    else:
        yield ServerSentEvent(event="done", data="")
