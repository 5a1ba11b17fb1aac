r"""Answers and errors: a model for what we send, and one for all that fails.

Run it: `python -m course run s2.5`. The note that our function returns stays inside:

    curl -s http://127.0.0.1:8000/chat \
        -H 'Content-Type: application/json' -d '{"content": "hi"}'

Send `{"content": ""}`: every failure has one shape, and never repeats what was sent.
"""

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field


class Message(BaseModel):
    """What the person says."""

    content: str = Field(min_length=1, max_length=100_000)


class ResponseMessage(BaseModel):
    """What the model says."""

    content: str


class ErrorResponse(BaseModel):
    """The one body of every failure: words for people, a code for programs."""

    error: str
    code: str
    details: dict[str, str] | None = None


app = FastAPI(title="Answers and errors")


@app.post("/chat", response_model=ResponseMessage)
async def chat(message: Message) -> dict[str, str]:
    """Answer with the fields of the response model, and no others."""
    return {"content": f"You said {message.content}.", "note": "for us only"}


@app.exception_handler(RequestValidationError)
async def explain(request: Request, error: RequestValidationError) -> Response:
    """Answer a mistake with its place and what is wrong there."""
    details = {str(mistake["loc"][-1]): mistake["msg"] for mistake in error.errors()}
    body = ErrorResponse(error="Not valid", code="validation_error", details=details)
    return Response(body.model_dump_json(), 422, media_type="application/json")
