"""Section 1 under attack: blocked servers, broken bodies, and clients that leave.

The chapter's own figures are in tests/test_s1_why_fastapi.py.
"""

import asyncio
import json
import logging
import re
import shlex
import subprocess
import sys
import threading
from collections.abc import AsyncGenerator, Iterator, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from socket import SHUT_RDWR
from typing import Any, TypeVar

import httpx2
import pytest
from fastapi.testclient import TestClient
from starlette.testclient import WebSocketTestSession
from starlette.websockets import WebSocketDisconnect
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from examples import s1_why_fastapi as s1
from tests.servers import serve, wait_until
from tests.tryit import BASE, try_lines

AnyModel = TypeVar("AnyModel", bound=s1.SlowModel)


def use(model: AnyModel) -> AnyModel:
    """Put `model` in the place of the slow one, for every route."""

    async def chosen() -> s1.SlowModel:
        return model

    s1.app.dependency_overrides[s1.get_model] = chosen
    return model


@pytest.fixture(autouse=True)
def _no_override_is_left() -> Iterator[None]:
    yield
    s1.app.dependency_overrides.clear()


@pytest.fixture
def client() -> TestClient:
    return TestClient(s1.app)


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with serve(s1.app, log_config=None) as base:
        yield base


def ws(base: str) -> str:
    return base.replace("http", "ws", 1) + "/ws/tokens"


def read_all(session: WebSocketTestSession) -> tuple[list[str], int, str]:
    """The tokens up to the close, its code and its reason."""
    tokens: list[str] = []
    try:
        while True:
            tokens.append(session.receive_json()["token"])
    except WebSocketDisconnect as closed:
        return tokens, closed.code, closed.reason


# --- Native async --------------------------------------------------------------------


class Diary(s1.SlowModel):
    """Writes down when calls begin and end."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    async def ask(self, text: str, delay_ms: int) -> str:
        self.lines.append("begin")
        await asyncio.sleep(0)
        self.lines.append("end")
        return text


class Meeting(s1.SlowModel):
    """Answers nobody before `expected` callers wait together."""

    def __init__(self, expected: int) -> None:
        self.expected = expected
        self.met = asyncio.Event()

    async def ask(self, text: str, delay_ms: int) -> str:
        self.expected -= 1
        if self.expected == 0:
            self.met.set()
        async with asyncio.timeout(5):
            await self.met.wait()
        return text


def test_sequential_calls_begin_only_when_the_one_before_has_ended(
    client: TestClient,
) -> None:
    diary = use(Diary())
    times = client.get("/fan-out/sequential", params={"calls": 4}).json()
    assert diary.lines == ["begin", "end"] * 4
    assert times["max_in_flight"] == 1
    assert len(times["call_ms"]) == 4


def test_concurrent_calls_all_wait_at_the_same_time(client: TestClient) -> None:
    use(Meeting(expected=7))
    times = client.get("/fan-out/concurrent", params={"calls": 7}).json()
    assert times["max_in_flight"] == 7
    assert len(times["call_ms"]) == 7


def test_the_answer_shows_that_waiting_together_is_faster_than_in_turn(
    client: TestClient,
) -> None:
    plan = {"calls": 5, "delay_ms": 60}
    together = client.get("/fan-out/concurrent", params=plan).json()
    in_turn = client.get("/fan-out/sequential", params=plan).json()
    assert together["speed_up"] > 1
    assert in_turn["speed_up"] < 1.1
    for times in (together, in_turn):
        assert min(times["call_ms"]) >= 55
        assert times["total_ms"] > max(times["call_ms"]) - 1


@pytest.mark.parametrize("route", ["sequential", "concurrent", "thread-pool"])
def test_others_get_their_turn_while_calls_wait(client: TestClient, route: str) -> None:
    plan = {"calls": 1, "delay_ms": 150}
    times = client.get(f"/fan-out/{route}", params=plan).json()
    assert times["loop_ticks"] > 0


def test_nobody_gets_a_turn_while_an_async_route_blocks(client: TestClient) -> None:
    plan = {"calls": 3, "delay_ms": 30}
    times = client.get("/fan-out/blocking", params=plan).json()
    assert times["loop_ticks"] == 0
    assert times["max_in_flight"] == 1
    assert len(times["call_ms"]) == 3


class Held(s1.SlowModel):
    """Blocks its thread until the test lets go."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.released = threading.Event()

    def ask_blocking(self, text: str, delay_ms: int) -> str:
        self.entered.set()
        assert self.released.wait(20), "the test did not let go"
        return text


def test_a_blocking_async_route_leaves_every_other_request_unanswered(
    server: str,
) -> None:
    model = use(Held())
    with ThreadPoolExecutor() as pool:
        url = f"{server}/fan-out/blocking?calls=1"
        blocked = pool.submit(httpx2.get, url, timeout=30)
        try:
            assert model.entered.wait(10)
            with pytest.raises(httpx2.ReadTimeout):
                httpx2.get(f"{server}/claims", timeout=0.2)
        finally:
            model.released.set()
        assert blocked.result().status_code == 200
    assert httpx2.get(f"{server}/claims", timeout=10).status_code == 200


def test_blocking_calls_in_a_plain_def_let_other_requests_through(server: str) -> None:
    model = use(Held())
    with ThreadPoolExecutor() as pool:
        url = f"{server}/fan-out/thread-pool?calls=1"
        blocked = pool.submit(httpx2.get, url, timeout=30)
        try:
            assert model.entered.wait(10)
            assert httpx2.get(f"{server}/claims", timeout=10).status_code == 200
            assert not blocked.done()
        finally:
            model.released.set()
        assert blocked.result().status_code == 200


class OneFails(s1.SlowModel):
    """The last of `expected` callers fails; the others would wait for ever."""

    def __init__(self, expected: int) -> None:
        self.expected = expected
        self.cancelled = 0

    async def ask(self, text: str, delay_ms: int) -> str:
        self.expected -= 1
        if self.expected == 0:
            raise ConnectionError("the model is gone")
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return text


def tickers() -> list[str]:
    names = [task.get_name() for task in asyncio.all_tasks()]
    return [name for name in names if name == "s1-ticker"]


async def test_when_one_concurrent_call_fails_the_others_are_cancelled() -> None:
    model = use(OneFails(expected=5))
    transport = httpx2.ASGITransport(s1.app)
    async with httpx2.AsyncClient(transport=transport, base_url=BASE) as client:
        with pytest.raises(ExceptionGroup) as failed:
            await client.get("/fan-out/concurrent", params={"calls": 5})
    assert failed.group_contains(ConnectionError)
    assert model.cancelled == 4
    await asyncio.sleep(0)
    assert tickers() == []


async def test_the_ticker_of_a_request_ends_with_it() -> None:
    seen: list[str] = []

    class Looks(s1.SlowModel):
        async def ask(self, text: str, delay_ms: int) -> str:
            seen.extend(tickers())
            return text

    use(Looks())
    transport = httpx2.ASGITransport(s1.app)
    async with httpx2.AsyncClient(transport=transport, base_url=BASE) as client:
        await client.get("/fan-out/sequential", params={"calls": 1})
    await asyncio.sleep(0)
    assert seen == ["s1-ticker"]
    assert tickers() == []


async def test_ticks_count_only_while_a_call_waits() -> None:
    stopwatch = s1.Stopwatch()
    ticker = asyncio.create_task(stopwatch.count_ticks())
    await asyncio.sleep(0.05)
    assert stopwatch.loop_ticks == 0
    with stopwatch.call():
        await asyncio.sleep(0.1)
    ticker.cancel()
    assert stopwatch.loop_ticks > 0


@pytest.mark.parametrize(
    "query", ["calls=0", "calls=21", "calls=many", "delay_ms=-1", "delay_ms=501", "n=3"]
)
@pytest.mark.parametrize(
    "route", ["sequential", "concurrent", "blocking", "thread-pool"]
)
def test_a_fan_out_out_of_bounds_or_misspelt_is_refused(
    client: TestClient, route: str, query: str
) -> None:
    answer = client.get(f"/fan-out/{route}?{query}")
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"] == ["query", query.split("=")[0]]


# --- OpenAPI docs --------------------------------------------------------------------


def test_every_claim_names_a_route_that_is_there(client: TestClient) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    for proof in client.get("/claims").json()["proofs"].values():
        method, path = proof.split()
        if method == "WebSocket":
            with client.websocket_connect(path):
                continue
        assert method.lower() in paths[path]


def test_the_facts_are_those_of_the_openapi_document_and_leave_websockets_out(
    client: TestClient,
) -> None:
    facts = client.get("/openapi-facts").json()
    document = client.get("/openapi.json").json()
    assert facts["paths"].keys() == document["paths"].keys()
    assert "/ws/tokens" not in facts["paths"]


def test_every_operation_has_a_summary_a_description_and_a_tag(
    client: TestClient,
) -> None:
    for methods in client.get("/openapi.json").json()["paths"].values():
        for operation in methods.values():
            assert operation["summary"]
            assert operation["description"]
            assert operation["tags"]


def test_the_docs_name_the_refusals_of_ask(client: TestClient) -> None:
    ask = client.get("/openapi.json").json()["paths"]["/ask"]["post"]
    assert ask["responses"].keys() == {"200", "413", "422"}


# --- Pydantic ------------------------------------------------------------------------


def post(client: TestClient, body: str) -> httpx2.Response:
    headers = {"Content-Type": "application/json"}
    return client.post("/ask", content=body, headers=headers)


def test_a_valid_question_is_answered_by_the_model(client: TestClient) -> None:
    answer = post(client, '{"text": "why?", "temperature": 2, "delay_ms": 0}')
    assert answer.json() == {"model": "slow-capitals", "text": "WHY?"}


INVALID = {
    "no text": ("{}", "text"),
    "empty text": ('{"text": ""}', "text"),
    "blank text": ('{"text": "  "}', "text"),
    "long text": (json.dumps({"text": "x" * 2_001}), "text"),
    "temperature too high": ('{"text": "secret", "temperature": 2.1}', "temperature"),
    "temperature negative": ('{"text": "secret", "temperature": -1}', "temperature"),
    "temperature a string": ('{"text": "secret", "temperature": "1"}', "temperature"),
    "temperature a bool": ('{"text": "secret", "temperature": true}', "temperature"),
    "temperature NaN": ('{"text": "secret", "temperature": NaN}', "temperature"),
    "delay too long": ('{"text": "secret", "delay_ms": 501}', "delay_ms"),
    "delay negative": ('{"text": "secret", "delay_ms": -1}', "delay_ms"),
    "delay a string": ('{"text": "secret", "delay_ms": "1"}', "delay_ms"),
    "unknown field": ('{"text": "secret", "temprature": 1}', "temprature"),
    "lone surrogate": (r'{"text": "\ud800"}', "text"),
}


@pytest.mark.parametrize(("body", "field"), INVALID.values(), ids=INVALID)
def test_an_invalid_question_is_a_422_that_names_the_field_and_asks_no_model(
    client: TestClient, body: str, field: str
) -> None:
    diary = use(Diary())
    answer = post(client, body)
    assert answer.status_code == 422
    (error,) = answer.json()["detail"]
    assert error["loc"] == ["body", field]
    assert error.keys() == {"loc", "msg", "type"}
    assert "secret" not in answer.text
    assert diary.lines == []


@pytest.mark.parametrize(
    "body",
    [
        r'{"text": "x", "\ud800": "\ud800"}',
        '{"text": ' + "[" * 5_000 + "]" * 5_000 + "}",
        '{"text": ' + "[" * 500 + "]" * 500 + "}",
        '{"text": ' + "9" * 5_000 + "}",
        '{"text": "x',
    ],
    ids=["surrogate key", "too deep", "deep", "huge number", "cut off"],
)
def test_a_body_made_to_break_the_error_answer_is_the_clients_error(
    client: TestClient, body: str
) -> None:
    answer = post(client, body)
    assert answer.status_code in (400, 422)
    assert len(answer.content) < 1_000


def test_a_422_lists_at_most_twenty_errors(client: TestClient) -> None:
    answer = post(client, json.dumps({"text": "x"} | {f"f{n}": n for n in range(50)}))
    assert len(answer.json()["detail"]) == 20


def test_a_body_over_64_kib_is_refused_unread(client: TestClient) -> None:
    answer = post(client, json.dumps({"text": "x" * 70_000}))
    assert answer.status_code == 413


def test_a_body_over_64_kib_that_hides_its_length_is_refused(
    client: TestClient,
) -> None:
    chunks = (b" " * 1_024 for _ in range(70))
    headers = {"Content-Type": "application/json"}
    answer = client.post("/ask", content=chunks, headers=headers)
    assert answer.status_code == 413


# --- Dependency injection ------------------------------------------------------------


class Parrot(s1.SlowModel):
    name = "parrot"

    async def ask(self, text: str, delay_ms: int) -> str:
        return f"{text}, {text}"

    async def stream(self, text: str, delay_ms: int) -> AsyncGenerator[str, None]:
        yield await self.ask(text, 0)


def test_one_override_puts_another_model_behind_every_route(
    client: TestClient,
) -> None:
    use(Parrot())
    parrot = {"model": "parrot", "text": "hello, hello"}
    assert client.get("/injected").json() == parrot
    assert post(client, '{"text": "hello"}').json() == parrot
    with client.websocket_connect("/ws/tokens") as session:
        session.send_json({"text": "hi"})
        assert read_all(session)[0] == ["hi, hi"]


# --- WebSocket -----------------------------------------------------------------------


class Streaming(s1.SlowModel):
    """Says one token (or none), then waits; remembers how it ended."""

    def __init__(self, *first: str) -> None:
        self.first = first
        self.began = threading.Event()
        self.closed = threading.Event()

    def let_continue(self) -> None:
        self.loop.call_soon_threadsafe(self.may_continue.set)

    async def stream(self, text: str, delay_ms: int) -> AsyncGenerator[str, None]:
        self.loop, self.may_continue = asyncio.get_running_loop(), asyncio.Event()
        try:
            for token in self.first:
                yield token
            self.began.set()
            await self.may_continue.wait()
            yield "last"
        finally:
            self.closed.set()


def test_tokens_come_in_order_and_the_end_is_a_normal_closure(
    client: TestClient,
) -> None:
    with client.websocket_connect("/ws/tokens") as session:
        session.send_json({"text": "one two three", "delay_ms": 1})
        assert read_all(session) == (["ONE", "TWO", "THREE"], 1000, "complete")


def test_a_token_is_sent_before_the_next_one_is_made(client: TestClient) -> None:
    model = use(Streaming("first"))
    with client.websocket_connect("/ws/tokens") as session:
        session.send_json({"text": "hi"})
        assert session.receive_json() == {"token": "first"}
        model.let_continue()
        assert read_all(session) == (["last"], 1000, "complete")
    assert model.closed.is_set()


@pytest.mark.parametrize("stop", ["stop", b"stop"], ids=["text", "binary"])
def test_any_further_message_stops_the_model(
    client: TestClient, stop: str | bytes
) -> None:
    model = use(Streaming("first"))
    with client.websocket_connect("/ws/tokens") as session:
        session.send_json({"text": "hi"})
        assert session.receive_json() == {"token": "first"}
        if isinstance(stop, str):
            session.send_text(stop)
        else:
            session.send_bytes(stop)
        assert read_all(session) == ([], 1000, "stopped")
    assert model.closed.is_set()


@pytest.mark.parametrize("said", [(), ("first",)], ids=["before", "after"])
def test_a_client_that_leaves_stops_the_model_before_and_after_its_first_token(
    server: str, caplog: pytest.LogCaptureFixture, said: tuple[str, ...]
) -> None:
    model = use(Streaming(*said))
    with connect(ws(server)) as socket:
        socket.send('{"text": "hi"}')
        assert model.began.wait(10)
    wait_until(model.closed.is_set, what="the end of the model's work")
    assert not model.may_continue.is_set()
    assert [r for r in caplog.records if r.levelno >= logging.ERROR] == []


class Babbling(s1.SlowModel):
    """Hardly waits, so that the client leaves in the middle of a send."""

    def __init__(self) -> None:
        self.closed = threading.Event()

    async def stream(self, text: str, delay_ms: int) -> AsyncGenerator[str, None]:
        try:
            while True:
                await asyncio.sleep(0)
                yield "bla" * 1_000
        finally:
            self.closed.set()


def test_a_client_that_vanishes_in_the_middle_of_a_token_stops_the_model_quietly(
    server: str, caplog: pytest.LogCaptureFixture
) -> None:
    model = use(Babbling())
    with connect(ws(server)) as socket:
        socket.send('{"text": "hi"}')
        socket.recv(10)
        socket.socket.shutdown(SHUT_RDWR)
    wait_until(model.closed.is_set, what="the end of the model's work")
    ours = [r for r in caplog.records if r.name != "websockets.client"]  # it vanished
    assert [r for r in ours if r.levelno >= logging.ERROR] == []


def test_a_client_that_leaves_without_a_question_is_no_error(
    server: str, caplog: pytest.LogCaptureFixture
) -> None:
    with connect(ws(server)):
        pass
    assert httpx2.get(f"{server}/claims", timeout=10).status_code == 200
    assert [r for r in caplog.records if r.levelno >= logging.ERROR] == []


class Wire:
    """The ASGI side of a conversation: scripted messages in, what was sent out."""

    def __init__(self, *heard: dict[str, Any], stuck: bool = False) -> None:
        self.heard = [{"type": "websocket.connect"}, *heard]
        self.stuck = stuck  # the client reads nothing: a token never gets through
        self.sending = asyncio.Event()
        self.sent: list[str] = []

    async def receive(self) -> dict[str, Any]:
        if not self.heard:
            await asyncio.Event().wait()
        if self.heard[0]["type"] == "websocket.disconnect":
            await self.sending.wait()
        return self.heard.pop(0)

    async def send(self, message: MutableMapping[str, Any]) -> None:
        self.sent.append(message["type"])
        if message["type"] == "websocket.send":
            self.sending.set()
            if self.stuck:
                await asyncio.Event().wait()

    async def run(self) -> None:
        scope: dict[str, Any] = {"type": "websocket", "path": "/ws/tokens"}
        scope |= {"headers": [], "query_string": b""}
        async with asyncio.timeout(10):
            await s1.app(scope, self.receive, self.send)


QUESTION = {"type": "websocket.receive", "text": '{"text": "hi"}'}
GOODBYE = {"type": "websocket.disconnect", "code": 1001}


class Kept(s1.SlowModel):
    """Keeps its generator alive, as a vendor's client may: nobody else ends it."""

    def __init__(self) -> None:
        self.closed = False

    def stream(self, text: str, delay_ms: int) -> AsyncGenerator[str, None]:
        self.tokens = self._tokens()
        return self.tokens

    async def _tokens(self) -> AsyncGenerator[str, None]:
        try:
            for token in ("first", "second"):
                yield token
                await asyncio.sleep(0.01)
        finally:
            self.closed = True


async def test_a_client_that_reads_nothing_and_leaves_ends_the_stream() -> None:
    model = use(Kept())
    wire = Wire(QUESTION, GOODBYE, stuck=True)
    await wire.run()
    assert model.closed
    assert wire.sent == ["websocket.accept", "websocket.send"]


async def test_nothing_is_sent_to_a_client_that_has_left() -> None:
    use(Streaming("first"))
    wire = Wire(QUESTION, GOODBYE)
    await wire.run()
    assert wire.sent == ["websocket.accept", "websocket.send"]


class Breaks(s1.SlowModel):
    async def stream(self, text: str, delay_ms: int) -> AsyncGenerator[str, None]:
        yield "half"
        raise ConnectionError("the model is gone")


async def test_no_task_outlives_a_conversation_complete_or_broken() -> None:
    before = asyncio.all_tasks()
    use(Parrot())
    await Wire(QUESTION).run()
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == before
    use(Breaks())
    with pytest.raises(ConnectionError):
        await Wire(QUESTION).run()
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == before


LONG_KEY = json.dumps({"text": "hi", "é" * 300: 1}, ensure_ascii=False)


@pytest.mark.parametrize(
    ("first", "code", "reason"),
    [
        ("hello", 1008, "Invalid JSON"),
        ("{}", 1008, "text: Field required"),
        ('{"text": " "}', 1008, "text: Value error, text must not be blank"),
        ('{"text": "hi", "temperature": "1"}', 1008, "temperature: Input should"),
        ('{"text": "hi", "voice": "low"}', 1008, "voice: Extra inputs"),
        (LONG_KEY, 1008, r"\xe9\xe9"),
        (b'{"text": "hi"}', 1003, "send text"),
    ],
)
def test_a_bad_first_message_is_answered_by_its_close_code_and_a_reason(
    server: str, first: str | bytes, code: int, reason: str
) -> None:
    with connect(ws(server)) as socket:
        socket.send(first)
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(10)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == code
    assert closed.value.rcvd.reason.startswith(reason)


def test_a_client_that_says_nothing_is_sent_away(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s1, "FIRST_MESSAGE_SECONDS", 0.01)
    with client.websocket_connect("/ws/tokens") as session:
        assert read_all(session) == ([], 1008, "no question came")


def test_a_model_that_fails_never_looks_like_a_complete_answer(server: str) -> None:
    use(Breaks())
    with connect(ws(server)) as socket:
        socket.send('{"text": "hi"}')
        assert json.loads(socket.recv(10)) == {"token": "half"}
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(10)
    assert closed.value.rcvd is None or closed.value.rcvd.code != 1000


# --- The lines of the docstring ------------------------------------------------------


class Hurried(s1.SlowModel):
    """The same model, fifty times as fast."""

    async def ask(self, text: str, delay_ms: int) -> str:
        return await super().ask(text, delay_ms // 50)

    def ask_blocking(self, text: str, delay_ms: int) -> str:
        return super().ask_blocking(text, delay_ms // 50)


def test_the_try_it_lines_work_as_they_are_written(server: str) -> None:
    use(Hurried())
    answers: list[tuple[str, int, Any]] = []
    with httpx2.Client(base_url=server, timeout=20) as client:
        for line in try_lines(s1.__doc__):
            answer = line.send(client)
            answers.append((line.path.split("?")[0], answer.status_code, answer.json()))
    by_path = {path: body for path, status, body in answers if status == 200}
    assert [path for path, status, _ in answers if status == 422] == ["/ask"]
    assert by_path["/fan-out/sequential"]["max_in_flight"] == 1
    assert by_path["/fan-out/concurrent"]["max_in_flight"] == 5
    assert by_path["/fan-out/blocking"]["loop_ticks"] == 0
    assert len(by_path["/fan-out/thread-pool"]["call_ms"]) == 10
    assert by_path["/ask"]["text"] == "WHY?"
    assert by_path["/injected"]["text"] == "HELLO"
    proofs = by_path["/claims"]["proofs"].values()
    shown = {
        f"{line.method} {line.path.split('?')[0]}" for line in try_lines(s1.__doc__)
    }
    assert {proof for proof in proofs if "WebSocket" not in proof} <= shown


def test_the_websocket_lines_work_as_they_are_written(server: str) -> None:
    use(Hurried())
    lines = [line.strip() for line in (s1.__doc__ or "").splitlines()]
    at = next(n for n, line in enumerate(lines) if line.startswith("python -m webso"))
    address = ws(BASE)
    command = shlex.split(lines[at])
    assert command[-1] == address
    with subprocess.Popen(
        [sys.executable, *command[1:-1], ws(server)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as terminal:
        assert terminal.stdin is not None
        assert terminal.stdout is not None
        terminal.stdin.write(lines[at + 1] + "\n")
        terminal.stdin.flush()
        shown = terminal.stdout.read()
    assert re.findall(r'"token": ?"(\w+)"', shown) == [
        "ONE",
        "TWO",
        "THREE",
        "FOUR",
        "FIVE",
    ]
    assert "1000 (OK) complete" in shown
