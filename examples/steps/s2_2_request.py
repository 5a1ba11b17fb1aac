r"""A chat request: ranges, defaults, no unknown fields, a rule across fields.

Run it: `python -m course run s2.2`. The answer has the defaults filled in:

    curl -s http://127.0.0.1:8000/chat/completions \
        -H 'Content-Type: application/json' \
        -d '{"messages": [{"role": "user", "content": "Why?"}]}'

Add `"temprature": 1` or `"max_tokens": 16385` in front, and read what is wrong.
"""

from typing import Literal, Self

from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict, Field, model_validator


class Message(BaseModel):
    """One turn of a conversation."""

    role: Literal["system", "user", "assistant"]
    content: str = Field(min_length=1, max_length=100_000)


class ChatCompletionRequest(BaseModel):
    """A conversation, and how the model shall continue it."""

    model_config = ConfigDict(extra="forbid")

    messages: list[Message] = Field(min_length=1, max_length=1000)
    model: str = Field(default="gpt-4o-mini", pattern=r"^[\w.-]+$")
    temperature: float = Field(default=0.7, ge=0, le=2)
    max_tokens: int = Field(default=1024, ge=1, le=16_384)

    @model_validator(mode="after")
    def check_context_window(self) -> Self:
        """Question and answer share 128,000 tokens, 4 characters each."""
        characters = sum(len(message.content) for message in self.messages)
        if characters // 4 + self.max_tokens > 128_000:
            raise ValueError("messages and max_tokens exceed 128000 tokens")
        return self


app = FastAPI(title="A chat request")


@app.post("/chat/completions")
async def read_request(request: ChatCompletionRequest) -> ChatCompletionRequest:
    """Answer with the request as the model sees it."""
    return request
