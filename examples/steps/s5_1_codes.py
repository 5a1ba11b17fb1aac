"""Eight error codes, each with its own recovery

Run it: `python -m course run s5.1`. Try it:
    curl -s http://127.0.0.1:8000/errors
    curl -s http://127.0.0.1:8000/errors/timeout
    curl -s http://127.0.0.1:8000/errors/teapot

What happens: the first line lists the eight codes, each with what a client does about
it. The second shows that a StrEnum prints its value, not its name. `teapot` is no code:
FastAPI answers 422 and lists the codes there are.
"""

from enum import StrEnum

from fastapi import FastAPI


class ErrorCode(StrEnum):
    """What went wrong, as a word that a program can compare."""

    VALIDATION_ERROR = "validation_error"
    RATE_LIMIT_EXCEEDED = "rate_limit_exceeded"
    MODEL_ERROR = "model_error"
    CONTEXT_LENGTH_EXCEEDED = "context_length_exceeded"
    CONTENT_FILTERED = "content_filtered"
    SERVICE_UNAVAILABLE = "service_unavailable"
    INTERNAL_ERROR = "internal_error"
    TIMEOUT = "timeout"


RECOVERY = {
    ErrorCode.VALIDATION_ERROR: "correct the request",
    ErrorCode.RATE_LIMIT_EXCEEDED: "wait for Retry-After seconds, then retry",
    ErrorCode.MODEL_ERROR: "retry with growing pauses, then use another model",
    ErrorCode.CONTEXT_LENGTH_EXCEEDED: "shorten the messages",
    ErrorCode.CONTENT_FILTERED: "rephrase the prompt",
    ErrorCode.SERVICE_UNAVAILABLE: "wait for Retry-After seconds, then retry",
    ErrorCode.INTERNAL_ERROR: "report the request id",
    ErrorCode.TIMEOUT: "retry once, with fewer max_tokens",
}

app = FastAPI(title="Error codes")


@app.get("/errors")
async def list_codes() -> dict[ErrorCode, str]:
    """Every code, with what a client does about it."""
    return RECOVERY


@app.get("/errors/{code}")
async def explain(code: ErrorCode) -> str:
    """One code in a sentence."""
    return f"After {code}: {RECOVERY[code]}."
