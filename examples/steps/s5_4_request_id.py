"""One request id in the header, the body and the log

Run it: `python -m course run s5.4`. Try it:
    curl -si http://127.0.0.1:8000/hello
    curl -si http://127.0.0.1:8000/hello -H 'X-Request-ID: lesson-5'
    curl -si http://127.0.0.1:8000/bug -H 'X-Request-ID: lesson-5'

What happens: the first answer has an id that was made for it, the second has yours. The
answer to the bug has it in its header and its body, and the terminal shows it in the
line above the traceback.
"""

import logging
import secrets

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from starlette.middleware.base import RequestResponseEndpoint

logger = logging.getLogger(__name__)
app = FastAPI(title="A request id")


@app.middleware("http")
async def give_request_id(
    request: Request, call_next: RequestResponseEndpoint
) -> Response:
    """Keep the caller's id or make one, and send it with the answer."""
    given = request.headers.get("X-Request-ID")
    request.state.request_id = given or f"req_{secrets.token_hex(16)}"
    response = await call_next(request)
    response.headers["X-Request-ID"] = request.state.request_id
    return response


@app.exception_handler(Exception)
async def handle_bug(request: Request, exc: Exception) -> Response:
    """Answer a bug; no middleware sees this answer, so the header is set here."""
    request_id = request.state.request_id
    logger.error("internal_error, request_id=%s", request_id)
    body = {"error": "An unexpected error.", "request_id": request_id}
    return JSONResponse(body, 500, {"X-Request-ID": request_id})


@app.get("/hello")
async def hello(request: Request) -> str:
    """Say hello, with the id of the request."""
    return f"Hello, {request.state.request_id}!"


@app.get("/bug")
async def bug() -> float:
    """Divide by zero, which nobody catches."""
    return 1 / 0
