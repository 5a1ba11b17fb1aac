"""Handlers: one body for every failure

Run it: `python -m course run s5.3`. Try it:
    curl -si http://127.0.0.1:8000/busy
    curl -si http://127.0.0.1:8000/nowhere
    curl -si http://127.0.0.1:8000/double/three
    curl -si http://127.0.0.1:8000/bug

What happens: 503, 404, 422 and 500, each with the same two fields. The last one says
nothing about the bug; its traceback is in the terminal.
"""

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException


class AIError(Exception):
    """A failure that the caller is told about; step s5.2 has its complete form."""

    def __init__(self, message: str, code: str, status_code: int) -> None:
        super().__init__(message)
        self.code = code
        self.status_code = status_code


def respond(error: str, code: str, status_code: int) -> JSONResponse:
    """The answer to a failure: its status, and the one body."""
    return JSONResponse({"error": error, "code": code}, status_code)


def setup_error_handlers(app: FastAPI) -> None:
    """Answer every failure of `app` with the one body."""

    @app.exception_handler(AIError)
    async def handle_ai_error(_: Request, exc: AIError) -> Response:
        """An error that we raised."""
        return respond(str(exc), exc.code, exc.status_code)

    @app.exception_handler(HTTPException)
    async def handle_http(_: Request, exc: HTTPException) -> Response:
        """No such path, or another refusal of FastAPI's."""
        return respond(exc.detail, "http_error", exc.status_code)

    @app.exception_handler(RequestValidationError)
    async def handle_invalid(_: Request, exc: Exception) -> Response:
        """A value that a type refuses."""
        return respond("Invalid request.", "validation_error", 422)

    @app.exception_handler(Exception)
    async def handle_bug(_: Request, exc: Exception) -> Response:
        """A bug: what went wrong stays in the log."""
        return respond("An unexpected error.", "internal_error", 500)


app = FastAPI(title="Error handlers")
setup_error_handlers(app)


@app.get("/busy")
async def busy() -> None:
    """Raise an error of ours."""
    raise AIError("The model is overloaded.", "service_unavailable", 503)


@app.get("/double/{number}")
async def double(number: int) -> int:
    """Refuse what is no whole number."""
    return number * 2


@app.get("/bug")
async def bug() -> float:
    """Divide by zero, which nobody catches."""
    return 1 / 0
