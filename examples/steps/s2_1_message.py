r"""A message: limits on its fields, and a rule of our own.

Run it: `python -m course run s2.1`. This message is accepted and comes back:

    curl -s http://127.0.0.1:8000/messages \
        -H 'Content-Type: application/json' \
        -d '{"role": "user", "content": "Why is the sky blue?"}'

This one has two mistakes. Both are named, with their places, and our function never
runs. Try a content of "a\u0000b" next: it is refused by our own rule.

    curl -s http://127.0.0.1:8000/messages \
        -H 'Content-Type: application/json' \
        -d '{"role": "wizard", "content": ""}'
"""

from typing import Literal

from fastapi import FastAPI
from pydantic import BaseModel, Field, field_validator


class Message(BaseModel):
    """One turn of a conversation: who speaks, and what they say."""

    role: Literal["system", "user", "assistant"]
    content: str = Field(min_length=1, max_length=100_000)
    name: str | None = Field(default=None, max_length=64)

    @field_validator("content")
    @classmethod
    def refuse_null_bytes(cls, content: str) -> str:
        """Refuse null bytes: C libraries end the text there."""
        if "\x00" in content:
            raise ValueError("content must not contain null bytes")
        return content


app = FastAPI(title="A message")


@app.post("/messages")
async def read_message(message: Message) -> Message:
    """Answer with the message. It is valid: it would not be here otherwise."""
    return message
