"""The WebSocket: deltas, one answer at a time, cancelled when asked or left."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from tests.full_app.conftest import KEY
from tests.full_app.scripted import Scripted, scripted
from tests.servers import wait_until

HEADERS = {"Authorization": f"Bearer {KEY}"}
CREATE = {
    "type": "chat.create",
    "request": {"model": "any", "messages": [{"role": "user", "content": "hi"}]},
}


@pytest.fixture
def running() -> Iterator[tuple[str, Scripted]]:
    with scripted() as (url, provider):
        yield f"{url.replace('http', 'ws', 1)}/v1/live", provider


@pytest.fixture
def socket(running: tuple[str, Scripted]) -> Iterator[ClientConnection]:
    with connect(running[0], additional_headers=HEADERS) as connection:
        yield connection


def events(socket: ClientConnection, last: set[str]) -> list[dict[str, Any]]:
    """Everything up to an event of a type in `last`."""
    seen: list[dict[str, Any]] = []
    while not seen or seen[-1]["type"] not in last:
        seen.append(json.loads(socket.recv(timeout=5)))
    return seen


def test_a_request_is_answered_with_deltas_and_done(socket: ClientConnection) -> None:
    for _ in range(2):
        socket.send(json.dumps(CREATE))
        *deltas, done = events(socket, {"chat.done"})
        parts = [d["chunk"]["choices"][0]["delta"].get("content", "") for d in deltas]

        assert "".join(parts) == "abc"
        assert done == {"type": "chat.done"}


def test_cancel_stops_the_provider(
    running: tuple[str, Scripted], socket: ClientConnection
) -> None:
    running[1].silent = True
    socket.send(json.dumps(CREATE))
    socket.recv(timeout=5)
    socket.send('{"type": "chat.cancel"}')

    assert events(socket, {"chat.cancelled"})
    wait_until(lambda: running[1].closed == 1)


def test_a_second_request_while_one_runs_is_refused(
    running: tuple[str, Scripted], socket: ClientConnection
) -> None:
    running[1].silent = True
    socket.send(json.dumps(CREATE))
    socket.send(json.dumps(CREATE))

    assert events(socket, {"error"})[-1]["error"]["code"] == "conflict"


def test_a_peer_that_leaves_stops_the_provider(running: tuple[str, Scripted]) -> None:
    running[1].silent = True
    with connect(running[0], additional_headers=HEADERS) as connection:
        connection.send(json.dumps(CREATE))
        connection.recv(timeout=5)

    wait_until(lambda: running[1].closed == 1)


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        ("{", "invalid_json"),
        ('{"type": "chat.create", "type": "chat.cancel"}', "invalid_json"),
        ('{"type": "nothing"}', "validation_error"),
        ('{"type": "chat.create", "request": {}}', "validation_error"),
    ],
)
def test_a_mistake_is_an_error_event_and_the_connection_stays(
    socket: ClientConnection, sent: str, code: str
) -> None:
    socket.send(sent)
    assert json.loads(socket.recv(timeout=5))["error"]["code"] == code

    socket.send(json.dumps(CREATE))
    assert events(socket, {"chat.done"})


def test_a_message_of_no_known_type_is_told_which_there_are(
    socket: ClientConnection,
) -> None:
    socket.send('{"type": "nonsense"}')
    error = json.loads(socket.recv(timeout=5))["error"]

    assert error["param"] == "type"
    assert "chat.create" in error["message"]


def test_a_binary_message_closes_the_connection_with_a_code(
    socket: ClientConnection,
) -> None:
    socket.send(b"{}")
    with pytest.raises(ConnectionClosed) as caught:
        socket.recv(timeout=5)

    assert caught.value.rcvd is not None
    assert caught.value.rcvd.code == 1003


def test_a_message_over_the_limit_is_an_error_event() -> None:
    with (
        scripted(max_body_bytes=1024) as (url, _),
        connect(
            f"{url.replace('http', 'ws', 1)}/v1/live", additional_headers=HEADERS
        ) as socket,
    ):
        socket.send(" " * 2000)
        error = json.loads(socket.recv(timeout=5))["error"]

    assert error["code"] == "request_too_large"


def test_the_door_is_the_same_as_over_http(running: tuple[str, Scripted]) -> None:
    with pytest.raises(InvalidStatus) as caught, connect(running[0]):
        pass

    assert caught.value.response.status_code == 401


def test_a_resumable_answer_goes_on_over_another_connection(
    running: tuple[str, Scripted],
) -> None:
    running[1].silent = True
    with connect(running[0], additional_headers=HEADERS) as first:
        first.send(json.dumps({**CREATE, "resumable": True}))
        seen = [json.loads(first.recv(timeout=5)) for _ in range(2)]
    running[1].silent = False
    ask = {"id": seen[0]["chunk"]["id"], "last_event_id": seen[-1]["event_id"]}
    with connect(running[0], additional_headers=HEADERS) as second:
        second.send(json.dumps({"type": "chat.resume", **ask}))
        *rest, done = events(second, {"chat.done"})
        second.send(json.dumps({"type": "chat.resume", **ask, "last_event_id": "9-9"}))
        refused = json.loads(second.recv(timeout=5))

    parts = [d["chunk"]["choices"][0]["delta"].get("content", "") for d in seen + rest]
    assert "".join(parts) == "abc"
    assert [d["event_id"] for d in seen + rest] == [f"1-{n}" for n in range(1, 6)]
    assert done == {"type": "chat.done"}
    assert refused["error"]["code"] == "invalid_last_event_id"


def test_cancelling_a_resumable_answer_stops_the_provider(
    running: tuple[str, Scripted], socket: ClientConnection
) -> None:
    running[1].silent = True
    socket.send(json.dumps({**CREATE, "resumable": True}))
    socket.recv(timeout=5)
    socket.send('{"type": "chat.cancel"}')

    assert events(socket, {"error"})[-1]["error"]["code"] == "cancelled"
    wait_until(lambda: running[1].closed == 1)


def heard(socket: ClientConnection) -> str | bytes:
    """What comes in the next moment, three times the idle limit; else nothing."""
    try:
        return socket.recv(timeout=0.6)
    except TimeoutError:
        return ""


def closing(socket: ClientConnection) -> tuple[int, str]:
    """The code and the reason with which the service ends the connection."""
    with pytest.raises(ConnectionClosed) as closed:
        socket.recv(timeout=10)
    assert closed.value.rcvd is not None
    return closed.value.rcvd.code, closed.value.rcvd.reason


def test_a_peer_that_says_nothing_is_closed_with_a_code() -> None:
    with (
        scripted(live_idle_seconds=0.2) as (url, _),
        connect(
            f"{url.replace('http', 'ws', 1)}/v1/live", additional_headers=HEADERS
        ) as socket,
    ):
        assert closing(socket) == (1008, "Silent for too long.")


def test_a_peer_that_waits_for_an_answer_may_be_silent() -> None:
    with (
        scripted(live_idle_seconds=0.2) as (url, provider),
        connect(
            f"{url.replace('http', 'ws', 1)}/v1/live", additional_headers=HEADERS
        ) as socket,
    ):
        provider.silent = True
        socket.send(json.dumps(CREATE))
        delta = socket.recv(timeout=10)
        while delta:
            delta = heard(socket)
        provider.silent = False

        assert events(socket, {"chat.done"})[-1] == {"type": "chat.done"}
