"""The streams of the chat API as FastAPI documents them: a route that yields models.

Same models as full_app, and nothing else around them: no keys, limits, money, ids,
metrics, logs. It has no whole answers: such a route always streams.
"""

import time
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

from fastapi import FastAPI
from fastapi.sse import EventSourceResponse, ServerSentEvent

from examples.full_app.schemas.answers import (
    ChatCompletionChunk,
    ChunkChoice,
    ChunkDelta,
)
from examples.full_app.schemas.base import FinishReason
from examples.full_app.schemas.chat import ChatCompletionRequest

app = FastAPI()
DONE: Any = ServerSentEvent(raw_data="[DONE]")  # the one event that is no model


@app.post(
    "/v1/chat/completions",
    response_class=EventSourceResponse,
    response_model_exclude_none=True,
)
async def chat(request: ChatCompletionRequest) -> AsyncIterator[ChatCompletionChunk]:
    """Say the last message back, word by word."""
    content = request.messages[-1].content
    words = content.split(" ") if isinstance(content, str) else []
    answer_id = f"chatcmpl-{uuid4().hex}"
    created = int(time.time())

    def chunk(
        delta: ChunkDelta, reason: FinishReason | None = None
    ) -> ChatCompletionChunk:
        choice = ChunkChoice(index=0, delta=delta, finish_reason=reason)
        return ChatCompletionChunk(
            id=answer_id, created=created, model=request.model, choices=[choice]
        )

    yield chunk(ChunkDelta(role="assistant", content=""))
    for word in words[:-1]:
        yield chunk(ChunkDelta(content=f"{word} "))
    yield chunk(ChunkDelta(content=words[-1]))
    yield chunk(ChunkDelta(), "stop")
    yield DONE
