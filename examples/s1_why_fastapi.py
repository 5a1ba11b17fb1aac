"""Section 1: why FastAPI for AI systems. Five claimed advantages, each one running.

Run it: `python -m course run s1`, `uvicorn examples.s1_why_fastapi:app` or
`python examples/s1_why_fastapi.py`; the docs are at http://127.0.0.1:8000/docs.

Try it:
    curl -s http://127.0.0.1:8000/claims
    curl -s 'http://127.0.0.1:8000/fan-out/sequential?calls=5&delay_ms=200'
    curl -s 'http://127.0.0.1:8000/fan-out/concurrent?calls=5&delay_ms=200'
    curl -s http://127.0.0.1:8000/openapi-facts
    curl -s http://127.0.0.1:8000/ask --json '{"text": "Why?", "temperature": 0.2}'
    curl -s http://127.0.0.1:8000/ask --json '{"text": " ", "temperature": 9}'
    curl -s http://127.0.0.1:8000/injected

What goes wrong: while the next line runs, `/claims` (from another terminal) gets no
answer. With the line after it, which blocks as long, it does.
    curl -s 'http://127.0.0.1:8000/fan-out/blocking?calls=10&delay_ms=500'
    curl -s 'http://127.0.0.1:8000/fan-out/thread-pool?calls=10&delay_ms=500'

Tokens over a WebSocket: paste the JSON line; any further line stops the answer.
    python -m websockets ws://127.0.0.1:8000/ws/tokens
    {"text": "one two three four five", "delay_ms": 500}
"""

import asyncio
import json
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing, contextmanager, suppress
from typing import Annotated, Any, Self

import anyio
from fastapi import Depends, FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError, WebSocketException
from fastapi.websockets import WebSocket, WebSocketDisconnect, WebSocketState
from pydantic import BaseModel, Field, PrivateAttr, ValidationError

FIRST_MESSAGE_SECONDS = 30.0
PROOFS = {
    "native async: parallel LLM calls": "GET /fan-out/concurrent",
    "automatic OpenAPI docs": "GET /openapi-facts",
    "Pydantic integration": "POST /ask",
    "dependency injection": "GET /injected",
    "WebSocket support: real-time streaming": "WebSocket /ws/tokens",
}
LECTURE_TABLE = {  # approximate, simple JSON; `python -m course bench` measures yours
    "FastAPI": {"req_per_s": 15_000, "p99_ms": 10, "async": "native"},
    "Flask": {"req_per_s": 4_000, "p99_ms": 40, "async": "limited"},
    "Django": {"req_per_s": 3_500, "p99_ms": 50, "async": "4.0+"},
    "Express (Node.js)": {"req_per_s": 12_000, "p99_ms": 15, "async": "native"},
}
app = FastAPI(title="Section 1: why FastAPI for AI systems", max_body_size=64 * 1024)


@app.exception_handler(RequestValidationError)
async def invalid(_: Request, error: RequestValidationError) -> Response:
    # FastAPI's own handler echoes the input: a NaN in it turned the 422 into a 500.
    detail = [{k: e[k] for k in ("loc", "msg", "type")} for e in error.errors()[:20]]
    return Response(json.dumps({"detail": detail}), 422, media_type="application/json")


class SlowModel:
    """Stands in for a model API; waits `delay_ms`, when streaming before each token."""

    name = "slow-capitals"

    async def ask(self, text: str, delay_ms: int) -> str:
        await asyncio.sleep(delay_ms / 1000)
        return text.upper()

    def ask_blocking(self, text: str, delay_ms: int) -> str:
        time.sleep(delay_ms / 1000)
        return text.upper()

    async def stream(self, text: str, delay_ms: int) -> AsyncGenerator[str, None]:
        for word in text.split():
            yield await self.ask(word, delay_ms)


async def get_model() -> SlowModel:
    return SlowModel()


class FanOut(BaseModel, extra="forbid"):
    calls: int = Field(default=5, ge=1, le=20)
    delay_ms: int = Field(default=200, ge=0, le=500, description="of each call")


class Times(BaseModel):
    """What the model calls of one request took, in milliseconds."""

    call_ms: list[float] = []
    total_ms: float = 0
    speed_up: float = Field(default=0, description="sum of call_ms / total_ms")
    most_in_flight: int = Field(default=0, description="calls waiting at once")
    loop_ticks: int = Field(default=0, description="others' turns; 0: all stood still")
    _began: float = PrivateAttr(default_factory=time.perf_counter)
    _in_flight: int = 0

    @contextmanager
    def call(self) -> Iterator[None]:
        began = time.perf_counter()
        self._in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self._in_flight)
        yield
        self._in_flight -= 1
        self.call_ms.append(round((time.perf_counter() - began) * 1000, 1))

    async def tick(self) -> None:
        while True:
            await asyncio.sleep(0.01)
            self.loop_ticks += self._in_flight > 0

    def done(self) -> Self:
        self.total_ms = round((time.perf_counter() - self._began) * 1000, 1)
        self.speed_up = round(sum(self.call_ms) / max(self.total_ms, 0.1), 2)
        return self


async def get_times() -> AsyncIterator[Times]:
    times = Times()
    ticker = asyncio.create_task(times.tick(), name="s1-ticker")
    try:
        yield times
    finally:
        ticker.cancel()


ModelDep = Annotated[SlowModel, Depends(get_model)]
TimesDep = Annotated[Times, Depends(get_times)]
Plan = Annotated[FanOut, Query()]


@app.get("/claims", tags=["start here"])
async def claims() -> dict[str, dict[str, Any]]:
    """The five advantages with their proofs, and the lecture's (approximate) table."""
    return {"proofs": PROOFS, "lecture_table": LECTURE_TABLE}


async def timed(plan: FanOut, model: SlowModel, times: Times) -> None:
    with times.call():
        await model.ask("hello", plan.delay_ms)


@app.get("/fan-out/sequential", tags=["native async"])
async def sequential(plan: Plan, model: ModelDep, times: TimesDep) -> Times:
    """One call after the other: the waits add up, but others are served."""
    for _ in range(plan.calls):
        await timed(plan, model, times)
    return times.done()


@app.get("/fan-out/concurrent", tags=["native async"])
async def concurrent(plan: Plan, model: ModelDep, times: TimesDep) -> Times:
    """All calls at once, on one thread: about as long as the slowest."""
    # Not gather(): when one call fails it lets the others run on, and be paid for.
    async with asyncio.TaskGroup() as group:
        for _ in range(plan.calls):
            group.create_task(timed(plan, model, times))
    return times.done()


@app.get("/fan-out/thread-pool", tags=["native async"])
def thread_pool(plan: Plan, model: ModelDep, times: TimesDep) -> Times:
    """Blocking calls in a plain `def`: runs on one of 40 threads, others are served."""
    for _ in range(plan.calls):
        with times.call():
            model.ask_blocking("hello", plan.delay_ms)
    return times.done()


@app.get("/fan-out/blocking", tags=["native async"])
async def blocking(plan: Plan, model: ModelDep, times: TimesDep) -> Times:
    """The classic mistake: the same lines in an `async def` stop the whole server."""
    return thread_pool(plan, model, times)


@app.get("/openapi-facts", tags=["OpenAPI"])
async def openapi_facts() -> dict[str, dict[str, Any]]:
    """What /openapi.json says of this file, unasked; WebSockets are not in it."""
    paths, schemas = app.openapi()["paths"], app.openapi()["components"]["schemas"]
    question = schemas["Question"]["properties"]
    return {"paths": {path: list(paths[path]) for path in paths}, "question": question}


class Question(BaseModel, extra="forbid"):
    """Strict where JSON is vague: `"0.5"` and `true` are no temperature."""

    text: str = Field(min_length=1, max_length=2_000, pattern=r"\S", examples=["Why?"])
    temperature: float = Field(default=0.7, ge=0, le=2, strict=True)
    delay_ms: int = Field(default=50, ge=0, le=500, strict=True)


class Answer(BaseModel):
    model: str
    text: str


@app.post("/ask", tags=["Pydantic"], responses={413: {"description": "> 64 KiB"}})
async def ask(asked: Question, model: ModelDep) -> Answer:
    """Asks the model only what `Question` admits; a 422 has cost nothing."""
    return Answer(model=model.name, text=await model.ask(asked.text, asked.delay_ms))


@app.get("/injected", tags=["dependency injection"])
async def injected(model: ModelDep) -> Answer:
    """Names no model: `app.dependency_overrides[get_model]` puts another in place."""
    return Answer(model=model.name, text=await model.ask("hello", 0))


async def first_question(socket: WebSocket) -> Question:
    """The opening message; closes with 1003 (not text), 1008 (invalid, or too late)."""
    try:
        async with asyncio.timeout(FIRST_MESSAGE_SECONDS):
            return Question.model_validate_json(await socket.receive_text())
    except TimeoutError:
        raise WebSocketException(1008, "no question came") from None
    except KeyError:  # Starlette's answer to a binary message
        raise WebSocketException(1003, "send text") from None
    except ValidationError as error:
        reason = "{loc!a}: {msg}".format_map(error.errors()[0])
        raise WebSocketException(1008, reason[:123]) from None  # RFC 6455's limit


@app.websocket("/ws/tokens")
async def tokens(socket: WebSocket, model: ModelDep) -> None:
    """A `Question` in, `{"token": ...}` out; ends with 1000 (complete, or stopped)."""
    await socket.accept()
    with suppress(WebSocketDisconnect):
        asked = await first_question(socket)
        # Without an ear, the model went on for a client that had left.
        hearing = asyncio.create_task(socket.receive())
        with anyio.CancelScope() as speech:
            hearing.add_done_callback(lambda _: speech.cancel())
            try:
                async with aclosing(model.stream(asked.text, asked.delay_ms)) as words:
                    async for word in words:
                        await socket.send_json({"token": word})
            finally:
                hearing.cancel()
        if socket.client_state == WebSocketState.CONNECTED:
            end = "stopped" if speech.cancelled_caught else "complete"
            await socket.close(reason=end)


if __name__ == "__main__":
    import uvicorn

    uvicorn.run(app, host="127.0.0.1", port=8000)
