"""Section 1: why FastAPI for AI systems. Five advantages, each a route to try.

The chapter names them: native async, automatic OpenAPI docs, Pydantic integration,
dependency injection, and WebSocket support.

Run it: `python -m course run s1`, `uvicorn examples.s1_why_fastapi:app` or
`python examples/s1_why_fastapi.py`. The docs are at http://127.0.0.1:8000/docs.

Try it:
    curl -s http://127.0.0.1:8000/claims
    curl -s 'http://127.0.0.1:8000/fan-out/sequential?calls=5&delay_ms=200'
    curl -s 'http://127.0.0.1:8000/fan-out/concurrent?calls=5&delay_ms=200'
    curl -s http://127.0.0.1:8000/openapi-facts
    curl -s http://127.0.0.1:8000/ask -H 'Content-Type: application/json' \
        -d '{"text": "Why?", "temperature": 0.2}'
    curl -s http://127.0.0.1:8000/ask -H 'Content-Type: application/json' \
        -d '{"text": " ", "temperature": 9}'
    curl -s http://127.0.0.1:8000/injected

The classic mistake: while the next line runs, ask for `/claims` in another terminal.
It gets no answer. During the line after it, which waits as long, it does.
    curl -s 'http://127.0.0.1:8000/fan-out/blocking?calls=10&delay_ms=500'
    curl -s 'http://127.0.0.1:8000/fan-out/thread-pool?calls=10&delay_ms=500'

Tokens over a WebSocket, with the Python in the course's `.venv`: start the first line,
then paste the second one. Any further line stops the answer.
    python -m websockets ws://127.0.0.1:8000/ws/tokens
    {"text": "one two three four five", "delay_ms": 500}
"""

import asyncio
import json
import time
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine, Iterator
from contextlib import aclosing, contextmanager
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Query, Request, Response, WebSocketException
from fastapi.exceptions import RequestValidationError
from fastapi.websockets import WebSocket, WebSocketDisconnect
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from starlette.middleware.body_limit import RequestBodyLimitMiddleware

# --- A first route -------------------------------------------------------------------
# A route is a function with a decorator. The decorator names the method and the path
# that lead to the function; what the function returns is sent as JSON.

app = FastAPI(title="Section 1: why FastAPI for AI systems")


@app.get("/claims", tags=["start here"], summary="The five claims")
async def claims() -> dict[str, Any]:
    """Return the five claims, each with the route that proves it, and the table."""
    return {"proofs": PROOFS, "performance_table": PERFORMANCE_TABLE}


PROOFS = {
    "native async: parallel LLM calls": "GET /fan-out/concurrent",
    "automatic OpenAPI docs": "GET /openapi-facts",
    "Pydantic integration": "POST /ask",
    "dependency injection": "GET /injected",
    "WebSocket support: real-time streaming": "WebSocket /ws/tokens",
}


# --- A model to call -----------------------------------------------------------------
# To a backend, a model behind an API is mostly a wait. This stand-in waits for as long
# as the request says, then answers in capitals. Every measured time comes from a wait.


class SlowModel:
    """A stand-in for a model API: it waits, then it answers in capitals."""

    name = "slow-capitals"

    async def ask(self, text: str, delay_ms: int) -> str:
        """Answer after `delay_ms` milliseconds; others are served meanwhile."""
        await asyncio.sleep(delay_ms / 1000)
        return text.upper()

    def ask_blocking(self, text: str, delay_ms: int) -> str:
        """Answer after `delay_ms` milliseconds; the thread does nothing meanwhile."""
        time.sleep(delay_ms / 1000)
        return text.upper()

    async def stream(self, text: str, delay_ms: int) -> AsyncGenerator[str, None]:
        """Yield the answer word by word, each after `delay_ms` milliseconds."""
        for word in text.split():
            yield await self.ask(word, delay_ms)


async def get_model() -> SlowModel:
    """Return the model that the routes ask (see claim 4)."""
    return SlowModel()


ModelDep = Annotated[SlowModel, Depends(get_model)]


# --- A stopwatch ---------------------------------------------------------------------
# Claim 1 is about time, so its routes answer with measured times. The stopwatch is
# plain Python: a first reading may skip to claim 1.


class Times(BaseModel):
    """How long the model calls of one request took."""

    call_ms: list[float] = Field(description="the time of each call, in milliseconds")
    total_ms: float = Field(description="the time of all calls, in milliseconds")
    speed_up: float = Field(description="the sum of call_ms, divided by total_ms")
    max_in_flight: int = Field(description="peak of calls that waited together")
    loop_ticks: int = Field(
        description="how often the event loop served others while calls waited"
    )


class Stopwatch:
    """Measures the model calls of one request."""

    def __init__(self) -> None:
        self.started = time.perf_counter()
        self.call_ms: list[float] = []
        self.in_flight = 0
        self.max_in_flight = 0
        self.loop_ticks = 0

    @contextmanager
    def call(self) -> Iterator[None]:
        """Measure the call that the `with` block makes."""
        call_started = time.perf_counter()
        self.in_flight += 1
        self.max_in_flight = max(self.max_in_flight, self.in_flight)
        try:
            yield
        finally:
            self.in_flight -= 1
            self.call_ms.append(milliseconds_since(call_started))

    async def count_ticks(self) -> None:
        """Every 10 ms, if the event loop is free to run this, count one tick."""
        while True:
            await asyncio.sleep(0.01)
            if self.in_flight > 0:
                self.loop_ticks += 1

    def read(self) -> Times:
        """Return what was measured so far."""
        total_ms = milliseconds_since(self.started)
        return Times(
            call_ms=self.call_ms,
            total_ms=total_ms,
            speed_up=round(sum(self.call_ms) / max(total_ms, 0.1), 2),
            max_in_flight=self.max_in_flight,
            loop_ticks=self.loop_ticks,
        )


def milliseconds_since(started: float) -> float:
    """Return the milliseconds since `started`, a reading of `time.perf_counter`."""
    return round((time.perf_counter() - started) * 1000, 1)


async def get_stopwatch() -> AsyncIterator[Stopwatch]:
    """Start a stopwatch for one request, and stop counting when the request ends."""
    stopwatch = Stopwatch()
    counting = asyncio.create_task(stopwatch.count_ticks(), name="s1-ticker")
    try:
        yield stopwatch
    finally:
        counting.cancel()


StopwatchDep = Annotated[Stopwatch, Depends(get_stopwatch)]


# --- Claim 1: native async -----------------------------------------------------------
# One request often needs many model calls. `await` lets other work go on while a call
# waits. The route decides whether the calls of one request wait at the same time.


class FanOut(BaseModel):
    """How many calls of the model one request makes, and how long each one takes."""

    model_config = ConfigDict(extra="forbid")  # refuse unknown parameters

    calls: int = Field(default=5, ge=1, le=20, description="number of calls")
    delay_ms: int = Field(default=200, ge=0, le=500, description="time of each call")


FanOutQuery = Annotated[FanOut, Query()]  # its fields are the query: ?calls=5


@app.get(
    "/fan-out/sequential", tags=["native async"], summary="One call after the other"
)
async def sequential(
    plan: FanOutQuery, model: ModelDep, stopwatch: StopwatchDep
) -> Times:
    """Make one call after the other: the waits add up, but others are served."""
    for _ in range(plan.calls):
        with stopwatch.call():
            await model.ask("hello", plan.delay_ms)
    return stopwatch.read()


@app.get("/fan-out/concurrent", tags=["native async"], summary="All calls at once")
async def concurrent(
    plan: FanOutQuery, model: ModelDep, stopwatch: StopwatchDep
) -> Times:
    """Make all calls at once, on one thread: it takes as long as the slowest call.

    A task group waits for all its tasks. When one fails, it cancels the others;
    `asyncio.gather` would let them run on, and we would pay for each of them.
    """

    async def call_model() -> None:
        """Make one call, timed."""
        with stopwatch.call():
            await model.ask("hello", plan.delay_ms)

    async with asyncio.TaskGroup() as group:
        for _ in range(plan.calls):
            group.create_task(call_model())
    return stopwatch.read()


# --- The classic mistake -------------------------------------------------------------
# An `async def` route runs on the event loop, the one thread that serves everybody.
# A call that blocks this thread stops the whole server. FastAPI runs a plain `def`
# route on one of 40 other threads. The two routes differ only in the word `async`.


@app.get("/fan-out/blocking", tags=["native async"], summary="The classic mistake")
async def blocking(
    plan: FanOutQuery, model: ModelDep, stopwatch: StopwatchDep
) -> Times:
    """Make blocking calls on the event loop: meanwhile nobody else is served."""
    for _ in range(plan.calls):
        with stopwatch.call():
            model.ask_blocking("hello", plan.delay_ms)
    return stopwatch.read()


@app.get("/fan-out/thread-pool", tags=["native async"], summary="The mistake mended")
def thread_pool(plan: FanOutQuery, model: ModelDep, stopwatch: StopwatchDep) -> Times:
    """Make blocking calls on another thread: meanwhile others are served."""
    for _ in range(plan.calls):
        with stopwatch.call():
            model.ask_blocking("hello", plan.delay_ms)
    return stopwatch.read()


# --- Claim 2: automatic OpenAPI docs -------------------------------------------------
# FastAPI reads the annotations of every route and describes them in /openapi.json,
# the file that /docs draws. This route shows two parts of it.


@app.get("/openapi-facts", tags=["OpenAPI docs"], summary="What FastAPI has documented")
async def openapi_facts() -> dict[str, Any]:
    """Return the paths with their methods, and the fields of `Question`.

    OpenAPI does not describe WebSockets, so `/ws/tokens` is not among the paths.
    """
    document = app.openapi()
    methods = {path: list(routes) for path, routes in document["paths"].items()}
    question = document["components"]["schemas"]["Question"]
    return {"paths": methods, "question": question["properties"]}


# --- Claim 3: Pydantic integration ---------------------------------------------------
# A parameter that is a Pydantic model is read from the body and checked before the
# route begins. A wrong body is answered with 422, and no model has been asked.


class Question(BaseModel):
    """What a client may ask the model.

    The numbers are strict: JSON's `"0.5"` and `true` are not accepted as numbers.
    """

    model_config = ConfigDict(extra="forbid")  # refuse unknown fields

    text: str = Field(min_length=1, max_length=2_000, examples=["Why?"])
    temperature: float = Field(default=0.7, ge=0, le=2, strict=True)
    delay_ms: int = Field(default=50, ge=0, le=500, strict=True)

    @field_validator("text")
    @classmethod
    def refuse_blank_text(cls, text: str) -> str:
        """Refuse a text of spaces only: its answer would cost money and say nothing."""
        if not text.strip():
            raise ValueError("text must not be blank")
        return text


class Answer(BaseModel):
    """What the model answered, and the model's name."""

    model: str
    text: str


@app.post(
    "/ask",
    tags=["Pydantic"],
    summary="Ask a question that is checked first",
    responses={413: {"description": "The body is larger than 64 KiB."}},
)
async def ask(question: Question, model: ModelDep) -> Answer:
    """Ask the model a question that has passed all checks of `Question`."""
    text = await model.ask(question.text, question.delay_ms)
    return Answer(model=model.name, text=text)


# --- Claim 4: dependency injection ---------------------------------------------------
# `ModelDep` stands above: `Annotated[SlowModel, Depends(get_model)]`. For a parameter
# of this type FastAPI calls `get_model` before the route, and passes what it returns.
# The route names no model, so a test can put another one in its place:
# `app.dependency_overrides[get_model] = get_other_model`.


@app.get(
    "/injected",
    tags=["dependency injection"],
    summary="Ask whichever model is injected",
)
async def injected(model: ModelDep) -> Answer:
    """Ask whichever model `get_model`, or its replacement, returns."""
    text = await model.ask("hello", 0)
    return Answer(model=model.name, text=text)


# --- Claim 5: WebSocket support ------------------------------------------------------
# A WebSocket stays open in both directions. The client sends one question as JSON, the
# server sends each token as soon as the model has made it. `receive_question` and
# `run_until_next_message` make this robust; they are explained at the end.


@app.websocket("/ws/tokens")
async def tokens(socket: WebSocket, model: ModelDep) -> None:
    """Receive a `Question`, send `{"token": ...}` for each token, then close.

    The close code is 1000. The reason is `complete`, or `stopped` if the client sent
    another message before the end.
    """
    await socket.accept()
    question = await receive_question(socket)
    sending = send_tokens(socket, model, question)
    reason = await run_until_next_message(socket, sending)
    await socket.close(reason=reason)


async def send_tokens(socket: WebSocket, model: SlowModel, question: Question) -> None:
    """Send each token when it is made; end the model's work whatever happens."""
    async with aclosing(model.stream(question.text, question.delay_ms)) as stream:
        async for token in stream:
            await socket.send_json({"token": token})


# --- The performance table -----------------------------------------------------------
# The chapter's figures for simple JSON responses are approximate. Measure your machine
# with `python -m course bench`. AI workloads are I/O bound: a model call takes hundreds
# of milliseconds, so how a server waits matters more than these figures.

PERFORMANCE_TABLE = {
    "FastAPI": {"req_per_s": 15_000, "p99_ms": 10, "async": "native"},
    "Flask": {"req_per_s": 4_000, "p99_ms": 40, "async": "limited"},
    "Django": {"req_per_s": 3_500, "p99_ms": 50, "async": "4.0+"},
    "Express (Node.js)": {"req_per_s": 12_000, "p99_ms": 15, "async": "native"},
}


# --- What production adds ------------------------------------------------------------
# Clients send too much, send nonsense, send nothing, or leave. Each rule here answers
# one of these cases, and no rule changes what a correct client sees.

MAX_BODY_BYTES = 64 * 1024
MAX_ERRORS = 20
FIRST_MESSAGE_SECONDS = 30.0
MAX_CLOSE_REASON_BYTES = 123  # RFC 6455, section 5.5: 125, two of them for the code

app.add_middleware(RequestBodyLimitMiddleware, max_body_size=MAX_BODY_BYTES)


@app.exception_handler(RequestValidationError)
async def answer_invalid_request(_: Request, error: RequestValidationError) -> Response:
    """Answer 422 with the place, message and type of the first 20 errors.

    The input is left out. FastAPI's own handler repeats it, and JSON cannot carry every
    input: with `NaN` in it, writing the answer fails and the client reads 500.
    """
    details = [
        {"loc": item["loc"], "msg": item["msg"], "type": item["type"]}
        for item in error.errors()[:MAX_ERRORS]
    ]
    content = json.dumps({"detail": details})
    return Response(content, status_code=422, media_type="application/json")


async def receive_question(socket: WebSocket) -> Question:
    """Wait for the client's first message and check it.

    Raises WebSocketException with a close code of RFC 6455, section 7.4.1: 1003 if the
    message is not text; 1008 if it is not a valid `Question`, or comes too late.
    Raises WebSocketDisconnect if the client leaves.
    """
    try:
        async with asyncio.timeout(FIRST_MESSAGE_SECONDS):
            message = await receive_message(socket)
    except TimeoutError:
        raise WebSocketException(1008, "no question came") from None

    text = message.get("text")
    if text is None:
        raise WebSocketException(1003, "send text")
    try:
        return Question.model_validate_json(text)
    except ValidationError as error:
        raise WebSocketException(1008, close_reason(error)) from None


async def receive_message(socket: WebSocket) -> dict[str, Any]:
    """Return the next message. Raises WebSocketDisconnect if the client leaves."""
    message = await socket.receive()
    if message["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(message["code"])
    return dict(message)


def close_reason(error: ValidationError) -> str:
    """Say what is wrong with the first wrong field, within the bytes of a reason."""
    first = error.errors()[0]
    field = ".".join(str(part) for part in first["loc"])
    reason = f"{field}: {first['msg']}" if field else first["msg"]
    ascii_reason = reason.encode("ascii", errors="backslashreplace")
    return ascii_reason[:MAX_CLOSE_REASON_BYTES].decode("ascii")


async def run_until_next_message(
    socket: WebSocket, work: Coroutine[Any, Any, None]
) -> str:
    """Run `work` until it is complete, or the client sends a message or leaves.

    Returns `complete` or `stopped`. Raises WebSocketDisconnect if the client left, and
    whatever `work` raised. A server that only sends cannot be asked to stop. It learns
    that its client has left only when it sends the next token, which must be paid for.
    """
    working = asyncio.create_task(work)
    listening = asyncio.create_task(receive_message(socket))
    both = (working, listening)
    try:
        ended, _ = await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        for task in ended:
            task.result()  # raises what the task raised
    finally:
        working.cancel()
        listening.cancel()
        await asyncio.gather(*both, return_exceptions=True)
    return "complete" if working in ended else "stopped"


@app.exception_handler(WebSocketDisconnect)
async def accept_disconnect(_: WebSocket, error: WebSocketDisconnect) -> None:
    """Do nothing: a client that leaves is not an error of the server."""


if __name__ == "__main__":
    import uvicorn

    uvicorn.run(app, host="127.0.0.1", port=8000)
