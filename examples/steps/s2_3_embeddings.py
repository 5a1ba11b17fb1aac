r"""A request for embeddings: one text or many, under the same limits.

Run it: `python -m course run s2.3`. Both kinds of input are accepted:

    curl -s http://127.0.0.1:8000/embeddings \
        -H 'Content-Type: application/json' -d '{"input": "a cat"}'
    curl -s http://127.0.0.1:8000/embeddings \
        -H 'Content-Type: application/json' -d '{"input": ["a cat", "a dog"]}'

A number is neither. Pydantic tried both kinds, so it reports two errors for one
mistake. The section's module asks first which kind was meant, and reports one.

    curl -s http://127.0.0.1:8000/embeddings \
        -H 'Content-Type: application/json' -d '{"input": 7}'
"""

from typing import Annotated, Literal

from fastapi import FastAPI
from pydantic import BaseModel, Field

Text = Annotated[str, Field(min_length=1, max_length=100_000)]
Texts = Annotated[list[Text], Field(min_length=1, max_length=2048)]


class EmbeddingRequest(BaseModel):
    """One text to turn into numbers, or up to 2048 of them."""

    input: Text | Texts
    model: str = "text-embedding-3-small"
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: int | None = Field(default=None, ge=1, le=3072)


app = FastAPI(title="A request for embeddings")


@app.post("/embeddings")
async def count_texts(request: EmbeddingRequest) -> dict[str, int]:
    """Answer with how many texts there are. One text is a list of one."""
    texts = [request.input] if isinstance(request.input, str) else request.input
    return {"texts": len(texts), "characters": sum(len(text) for text in texts)}
