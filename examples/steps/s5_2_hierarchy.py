"""A base class, and one class for each failure

Run it: `python -m course run s5.2`. Try it:
    curl -si http://127.0.0.1:8000/answer
    curl -si 'http://127.0.0.1:8000/answer?tokens=130000'
    curl -si 'http://127.0.0.1:8000/answer?busy=true'

What happens: 200, then 400 with both figures, then 503 with a time to wait. One
`except AIError` catches both classes. Every route would need such a `try`; the next
step writes it once.
"""

from typing import Any

from fastapi import FastAPI
from fastapi.responses import JSONResponse


class AIError(Exception):
    """A failure that the caller is told about."""

    def __init__(
        self,
        message: str,
        code: str,
        status_code: int = 500,
        details: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(message)  # str(error) is the message
        self.code = code
        self.status_code = status_code
        self.details = details


class ContextLengthError(AIError):
    """Prompt and answer together are more than the model can hold."""

    def __init__(self, tokens_used: int, max_tokens: int) -> None:
        message = f"{tokens_used} tokens; at most {max_tokens} fit."
        code = "context_length_exceeded"
        details = {
            "tokens_used": tokens_used,
            "max_tokens": max_tokens,
        }
        super().__init__(message, code, 400, details)


class ModelOverloadedError(AIError):
    """The model has no capacity; `retry_after` is in seconds."""

    def __init__(self, retry_after: int = 60) -> None:
        message = "The model is overloaded."
        details = {"retry_after": retry_after}
        super().__init__(message, "service_unavailable", 503, details)


app = FastAPI(title="A hierarchy of errors")


def ask_model(tokens: int, busy: bool) -> str:
    """Answer, or raise the error that says why not."""
    if tokens > 128_000:
        raise ContextLengthError(tokens, 128_000)
    if busy:
        raise ModelOverloadedError()
    return "Hello!"


@app.get("/answer")
async def answer(tokens: int = 100, busy: bool = False) -> JSONResponse:
    """Ask the model, and turn any AIError into an HTTP answer."""
    try:
        return JSONResponse({"answer": ask_model(tokens, busy)})
    except AIError as error:
        body = {"error": str(error), "code": error.code, "details": error.details}
        return JSONResponse(body, error.status_code)
