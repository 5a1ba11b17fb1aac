"""The steps of section 1: each one does what its docstring says."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx2
import pytest
from fastapi.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from examples.steps import (
    s1_1_hello,
    s1_2_concurrent,
    s1_3_blocking,
    s1_4_dependency,
    s1_5_websocket,
)
from tests.servers import serve

# --- s1.1: hello ---------------------------------------------------------------------

hello = TestClient(s1_1_hello.app)


def test_what_a_route_returns_is_sent_as_json() -> None:
    assert hello.get("/").json() == {"message": "Hello"}


def test_a_parameter_in_the_path_and_one_in_the_query_reach_the_function() -> None:
    answer = hello.get("/models/gpt-4o-mini", params={"max_tokens": "100"})
    assert answer.json() == {"model": "gpt-4o-mini", "max_tokens": 100}
    assert hello.get("/models/gpt-4o-mini").json()["max_tokens"] == 1024


def test_a_query_that_is_no_number_is_a_422_that_names_the_parameter() -> None:
    answer = hello.get("/models/gpt-4o-mini", params={"max_tokens": "many"})
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"] == ["query", "max_tokens"]


def test_a_valid_body_reaches_the_function_as_a_model() -> None:
    answer = hello.post("/ask", json={"text": "Why?"})
    assert answer.json() == {"answer": "WHY?", "temperature": 0.7}


@pytest.mark.parametrize("temperature", [-0.1, 2.1])
def test_a_temperature_out_of_bounds_is_a_422(temperature: float) -> None:
    answer = hello.post("/ask", json={"text": "Why?", "temperature": temperature})
    assert answer.status_code == 422


def test_the_docs_list_all_three_routes() -> None:
    assert hello.get("/docs").status_code == 200
    paths = hello.get("/openapi.json").json()["paths"]
    assert list(paths) == ["/", "/models/{name}", "/ask"]


# --- s1.2: sequential and concurrent -------------------------------------------------

ANSWERS = ["WHO", "WHAT", "WHEN", "WHERE", "WHY"]


def test_sequential_calls_add_up_and_concurrent_calls_do_not() -> None:
    client = TestClient(s1_2_concurrent.app)
    in_turn = client.get("/sequential").json()
    together = client.get("/concurrent").json()
    assert in_turn["answers"] == together["answers"] == ANSWERS
    assert in_turn["took_ms"] >= 5 * 200
    assert together["took_ms"] < in_turn["took_ms"]


# --- s1.3: the blocking mistake ------------------------------------------------------


class Library:
    """A library that blocks its thread until the test releases it."""

    def __init__(self) -> None:
        self.called = threading.Event()
        self.released = threading.Event()

    def __call__(self) -> str:
        self.called.set()
        assert self.released.wait(20), "the test did not release it"
        return "an answer"


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> Iterator[Library]:
    held = Library()
    monkeypatch.setattr(s1_3_blocking, "ask_blocking_model", held)
    yield held
    held.released.set()


def test_nobody_gets_a_pong_while_an_async_def_route_blocks(library: Library) -> None:
    with serve(s1_3_blocking.app) as base, ThreadPoolExecutor() as pool:
        blocked = pool.submit(httpx2.get, f"{base}/blocking", timeout=30)
        assert library.called.wait(10)
        with pytest.raises(httpx2.ReadTimeout):
            httpx2.get(f"{base}/ping", timeout=0.2)
        library.released.set()
        assert blocked.result().json() == "an answer"
        assert httpx2.get(f"{base}/ping", timeout=10).json() == "pong"


def test_everybody_gets_a_pong_while_a_plain_def_route_blocks(library: Library) -> None:
    with serve(s1_3_blocking.app) as base, ThreadPoolExecutor() as pool:
        blocked = pool.submit(httpx2.get, f"{base}/thread-pool", timeout=30)
        assert library.called.wait(10)
        assert httpx2.get(f"{base}/ping", timeout=10).json() == "pong"
        assert not blocked.done()
        library.released.set()
        assert blocked.result().json() == "an answer"


# --- s1.4: a dependency --------------------------------------------------------------


def test_the_route_gets_what_the_dependency_returns() -> None:
    answer = TestClient(s1_4_dependency.app).get("/injected")
    assert answer.json() == {"text": "HELLO"}


def test_an_override_gives_the_same_route_another_model(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    overrides = s1_4_dependency.app.dependency_overrides
    monkeypatch.setitem(overrides, s1_4_dependency.get_model, s1_4_dependency.Parrot)
    answer = TestClient(s1_4_dependency.app).get("/injected")
    assert answer.json() == {"text": "hello, hello"}


def test_a_dependency_is_no_parameter_that_a_client_could_send() -> None:
    (operation,) = s1_4_dependency.app.openapi()["paths"]["/injected"].values()
    assert "parameters" not in operation


# --- s1.5: tokens over a WebSocket ---------------------------------------------------


def test_words_come_one_by_one_and_then_the_socket_is_closed() -> None:
    client = TestClient(s1_5_websocket.app)
    with client.websocket_connect("/ws/tokens") as socket:
        socket.send_json({"text": "hold on"})
        assert socket.receive_json() == {"token": "HOLD"}
        assert socket.receive_json() == {"token": "ON"}
        with pytest.raises(WebSocketDisconnect) as closed:
            socket.receive_json()
    assert (closed.value.code, closed.value.reason) == (1000, "complete")


def test_the_page_opens_the_websocket() -> None:
    page = TestClient(s1_5_websocket.app).get("/")
    assert page.headers["content-type"].startswith("text/html")
    assert "/ws/tokens" in page.text
