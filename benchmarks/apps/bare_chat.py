"""The chat API in FastAPI with full_app's models, and nothing else around them.

No keys, limits, money, ids, metrics, logs, deadlines: what full_app is held against.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from uuid import uuid4

from fastapi import FastAPI
from fastapi.responses import StreamingResponse

from benchmarks.peers.bodies import SILENT_MODEL
from examples.full_app.schemas.answers import (
    ChatCompletion,
    ChatCompletionChunk,
    Choice,
    ChunkChoice,
    ChunkDelta,
    ResponseMessage,
)
from examples.full_app.schemas.base import FinishReason
from examples.full_app.schemas.chat import ChatCompletionRequest
from examples.s2_models import Usage

app = FastAPI()


@app.post("/v1/chat/completions", response_model=ChatCompletion)
async def chat(request: ChatCompletionRequest) -> ChatCompletion | StreamingResponse:
    """Say the last message back, whole or word by word."""
    said = request.messages[-1].content
    text = said if isinstance(said, str) else ""
    if request.stream:
        return StreamingResponse(
            _frames(request.model, text), media_type="text/event-stream"
        )
    message = ResponseMessage(content=text)
    return ChatCompletion(
        id=f"chatcmpl-{uuid4().hex}",
        created=int(time.time()),
        model=request.model,
        choices=[Choice(index=0, message=message, finish_reason="stop")],
        usage=Usage(prompt_tokens=len(text) // 4, completion_tokens=len(text) // 4),
    )


async def _frames(model: str, text: str) -> AsyncIterator[str]:
    name, created = f"chatcmpl-{uuid4().hex}", int(time.time())

    def frame(delta: ChunkDelta, reason: FinishReason | None = None) -> str:
        chunk = ChatCompletionChunk(
            id=name,
            created=created,
            model=model,
            choices=[ChunkChoice(index=0, delta=delta, finish_reason=reason)],
        )
        return f"data: {chunk.model_dump_json(exclude_none=True)}\n\n"

    yield frame(ChunkDelta(role="assistant", content=""))
    if model == SILENT_MODEL:
        await asyncio.sleep(120)
    words = text.split(" ")
    for word in words[:-1]:
        yield frame(ChunkDelta(content=f"{word} "))
    yield frame(ChunkDelta(content=words[-1]))
    yield frame(ChunkDelta(), "stop")
    yield "data: [DONE]\n\n"
