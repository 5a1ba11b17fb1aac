"""Hello: a function becomes a route.

Start it with `python -m course run s1.1`, then send these lines from another terminal:

    curl -s http://127.0.0.1:8000/
    curl -s 'http://127.0.0.1:8000/models/gpt-4o-mini?max_tokens=100'
    curl -s 'http://127.0.0.1:8000/models/gpt-4o-mini?max_tokens=many'
    curl -s http://127.0.0.1:8000/ask -H 'Content-Type: application/json' \
        -d '{"text": "Why?"}'
    curl -s http://127.0.0.1:8000/ask -H 'Content-Type: application/json' \
        -d '{"text": "Why?", "temperature": 9}'

The third and the fifth line are answered with 422: the answer names the value that is
wrong. Open http://127.0.0.1:8000/docs to see all three routes, documented.
"""

from fastapi import FastAPI
from pydantic import BaseModel, Field

app = FastAPI(title="Step s1.1: hello")


@app.get("/")
async def hello() -> dict[str, str]:
    """Return a greeting; FastAPI sends it as JSON."""
    return {"message": "Hello"}


@app.get("/models/{name}")
async def describe_model(
    name: str,
    max_tokens: int = 1024,
) -> dict[str, str | int]:
    """Take `name` from the path, and `max_tokens`, a number, from the query."""
    return {"model": name, "max_tokens": max_tokens}


class Question(BaseModel):
    """The body of `POST /ask`."""

    text: str = Field(min_length=1, max_length=2_000)
    temperature: float = Field(default=0.7, ge=0, le=2)


@app.post("/ask")
async def ask(question: Question) -> dict[str, str | float]:
    """Read a `Question` from the body, and answer it in capitals."""
    return {"answer": question.text.upper(), "temperature": question.temperature}
