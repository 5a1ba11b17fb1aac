"""Peers that send too much before they are known, or send and read too slowly."""

import contextlib
import json
import socket
import time
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from websockets.sync.client import connect

from examples.full_app.main import create_app
from examples.full_app.web.connection.protocol import PlainProtocol
from examples.full_app.web.connection.refusals import MAX_HEAD, MAX_HEADERS
from examples.full_app.web.connection.transport import OPTION
from tests.full_app.conftest import KEY, settings
from tests.full_app.scripted import Scripted
from tests.full_app.web.test_clients import (
    ASK,
    BODY,
    CHAT,
    KEYED,
    answer_on,
    connected,
    head,
)
from tests.servers import LIMITED, serve, wait_until

TIMES = {"header_timeout_seconds": 0.5, "stream_send_seconds": 0.5}
GET = b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n"


@pytest.fixture(scope="module", params=[LIMITED, PlainProtocol], ids=["fast", "h11"])
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    """full_app with short times, under each of our protocols."""
    with serve(create_app(settings(**TIMES)), http=request.param) as address:
        yield address


@pytest.fixture(scope="module")
def fast() -> Iterator[str]:
    """full_app with the usual times, as its documented commands run it."""
    with serve(create_app(settings())) as address:
        yield address


def send_all(raw: socket.socket, data: bytes) -> None:
    """Send it, or as much of it as the server takes."""
    with contextlib.suppress(OSError):
        raw.sendall(data)


# --- A server without the limits ---


@pytest.mark.parametrize(("kind", "warnings"), [(LIMITED, 0), ("auto", 1), ("h11", 1)])
def test_a_server_that_does_not_limit_its_connections_is_warned_of_once(
    kind: str, warnings: int, caplog: pytest.LogCaptureFixture
) -> None:
    with serve(create_app(settings()), http=kind) as url:
        for _ in range(3):
            assert httpx2.get(f"{url}/health/live").status_code == 200

    assert caplog.text.count("connections have no limits of ours") == warnings
    assert caplog.text.count(OPTION) == warnings


# --- The head of a request ---


def test_a_head_that_is_too_large_is_a_431_and_not_kept(fast: str) -> None:
    with connected(fast) as raw:
        send_all(raw, GET + b"X-Much: " + b"x" * 2_000_000)
        status, headers, body = answer_on(raw)

    assert (status, json.loads(body)["code"]) == (431, "request_head_too_large")
    assert headers["connection"] == "close"
    assert headers["x-request-id"] == json.loads(body)["request_id"]


def test_a_head_may_have_as_many_bytes_as_the_limit(fast: str) -> None:
    room = MAX_HEAD - len(GET) - len(b"X-Much: ")
    with connected(fast) as raw:
        raw.sendall(GET + b"X-Much: " + b"x" * room + b"\r\n\r\n")
        assert answer_on(raw)[0] == 200
        raw.sendall(GET + b"X-Much: " + b"x" * (room + 1) + b"\r\n\r\n")
        assert answer_on(raw)[0] == 431


def test_a_head_may_have_as_many_headers_as_the_limit(fast: str) -> None:
    many = b"".join(b"x-%d: 1\r\n" % number for number in range(MAX_HEADERS - 1))
    with connected(fast) as raw:
        raw.sendall(GET + many + b"\r\n")
        assert answer_on(raw)[0] == 200
        raw.sendall(GET + many + b"x: 1\r\n\r\n")
        status, _, body = answer_on(raw)

    assert (status, json.loads(body)["code"]) == (431, "request_head_too_large")


def test_a_head_behind_another_request_is_limited_too(fast: str) -> None:
    """Also behind one that was answered before its body came."""
    early = head(fast, path="/nowhere", length=5)
    with connected(fast) as raw:
        raw.sendall(early)
        assert answer_on(raw)[0] == 404
        raw.sendall(b"12345")
        send_all(raw, GET + b"X-Much: " + b"x" * 2_000_000)
        assert answer_on(raw)[0] == 431


def test_requests_that_are_sent_at_once_are_answered_in_order(fast: str) -> None:
    with connected(fast) as raw:
        raw.sendall(head(fast) + BODY + GET + b"\r\n" + head(fast) + BODY)
        with raw.makefile("rb") as answers:
            found = [next_answer(answers) for _ in range(3)]

    assert [status for status, _ in found] == [200, 200, 200]
    assert [b"choices" in body for _, body in found] == [True, False, True]


@contextlib.contextmanager
def behind_a_running_call(data: bytes) -> Iterator[socket.socket]:
    """A connection with a call that runs, and `data` behind it, until it is read."""
    provider = Scripted()
    provider.silent = True
    app = create_app(settings(), provider=provider)
    with serve(app) as url, connected(url) as raw:
        raw.sendall(head(url, length=len(SLOW)) + SLOW)
        wait_until(lambda: provider.started == 1, what="the call")
        send_all(raw, data)
        provider.silent = False
        yield raw


def test_a_request_that_comes_while_another_one_runs_is_answered_behind_it() -> None:
    with (
        behind_a_running_call(GET + b"\r\n") as raw,
        raw.makefile("rb") as answers,
    ):
        found = [next_answer(answers) for _ in range(2)]

    assert [status for status, _ in found] == [200, 200]
    assert [b"choices" in body for _, body in found] == [True, False]


def test_what_is_sent_behind_a_running_request_is_not_kept_without_limit() -> None:
    with behind_a_running_call(GET + b"X-Much: " + b"x" * 2_000_000) as raw:
        status, headers, _ = answer_on(raw)

    assert status == 200
    assert headers["connection"] == "close"  # what follows is answered by nobody


SLOW = json.dumps({**ASK, "model": "any"}).encode()


def next_answer(answers: Any) -> tuple[int, bytes]:
    """Status and body of the next answer of several on a connection."""
    status = int(answers.readline().split()[1])
    length = 0
    while line := answers.readline().strip().lower():
        if line.startswith(b"content-length:"):
            length = int(line.partition(b":")[2])
    return status, answers.read(length)


# --- The header Host ---


@pytest.mark.parametrize("keys", ["", f"alpha:{KEY}"], ids=["no-keys", "keys"])
@pytest.mark.parametrize(
    "lines",
    [
        b"Host: localhost\r\nHost: localhost\r\n",
        b"Host: localhost\r\nHost: evil.example\r\n",
        b"Host: localhost:evil.example\r\n",
        b"Host: localhost:80:80\r\n",
        b"Host: evil.example/localhost\r\n",
        b"Host: a b\r\n",
        b"Host: user@localhost\r\n",
    ],
)
def test_several_hosts_and_what_is_no_host_are_a_400_on_every_route(
    keys: str, lines: bytes
) -> None:
    with serve(create_app(settings(api_keys=keys))) as url:
        for path in (b"/health/live", b"/v1/models"):
            with connected(url) as raw:
                raw.sendall(b"GET %s HTTP/1.1\r\n%s\r\n" % (path, lines))
                status, _, body = answer_on(raw)
            assert (status, json.loads(body)["code"]) == (400, "invalid_host")


# --- Slow senders ---


def closed(raw: socket.socket) -> bytes:
    """What arrives until the server closes the connection."""
    found = b""
    with contextlib.suppress(ConnectionResetError):
        while piece := raw.recv(65_536):
            found += piece
    return found


def test_a_connection_that_says_nothing_is_closed(url: str) -> None:
    with connected(url) as raw:
        assert closed(raw) == b""


def test_half_a_head_is_answered_with_408(url: str) -> None:
    with connected(url) as raw:
        raw.sendall(GET)
        status, headers, body = answer_on(raw)
        assert closed(raw) == b""

    assert (status, json.loads(body)["code"]) == (408, "request_timeout")
    assert headers["connection"] == "close"


def test_a_head_that_comes_byte_by_byte_without_end_is_closed(url: str) -> None:
    with connected(url) as raw:
        raw.settimeout(0.02)
        received = b""
        began = time.monotonic()
        while not received and time.monotonic() < began + 20:
            raw.sendall(b"G" if time.monotonic() == began else b"x")
            with contextlib.suppress(TimeoutError):
                received = raw.recv(12)

    assert received == b"HTTP/1.1 408"


def test_half_a_head_behind_an_answer_is_closed_too(url: str) -> None:
    with connected(url) as raw:
        raw.sendall(GET + b"\r\n")
        assert answer_on(raw)[0] == 200
        raw.sendall(GET)
        assert closed(raw)[:12] in (b"", b"HTTP/1.1 408")


def test_a_body_that_goes_on_after_its_answer_is_closed(url: str) -> None:
    with connected(url) as raw:
        raw.sendall(head(url, path="/nowhere", length=1_000_000))
        assert answer_on(raw)[0] == 404
        raw.settimeout(0.02)
        ended = False
        began = time.monotonic()
        while not ended and time.monotonic() < began + 20:
            try:
                raw.sendall(b" ")
                ended = raw.recv(4096) == b""
            except TimeoutError:
                continue
            except OSError:
                ended = True

    assert ended


@pytest.mark.parametrize("kind", [LIMITED, PlainProtocol], ids=["fast", "h11"])
def test_a_connection_that_is_idle_between_two_requests_is_closed(kind: Any) -> None:
    app = create_app(settings())
    with serve(app, http=kind, timeout_keep_alive=1) as url, connected(url) as raw:
        raw.sendall(GET + b"\r\n")
        assert answer_on(raw)[0] == 200
        assert closed(raw) == b""


def test_a_websocket_is_not_closed_for_the_time_of_a_head(url: str) -> None:
    address = url.replace("http:", "ws:") + "/v1/live"
    with connect(address, additional_headers=KEYED, proxy=None) as socket_:
        with pytest.raises(TimeoutError):
            socket_.recv(timeout=1.0)  # twice the time that a head may take
        socket_.ping().wait(10)


def test_a_call_that_takes_longer_than_a_head_may_is_answered() -> None:
    provider = Scripted()
    provider.silent = True
    app = create_app(settings(**TIMES), provider=provider)
    with serve(app) as url, connected(url) as raw:
        raw.settimeout(1.0)  # twice the time that a head may take
        raw.sendall(head(url, length=len(SLOW)) + SLOW)
        with pytest.raises(TimeoutError):
            raw.recv(1)
        provider.silent = False
        raw.settimeout(20)
        assert answer_on(raw)[0] == 200


# --- Slow readers ---


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
def test_who_reads_nothing_gives_back_slot_upstream_and_connection(
    stream: bool,
) -> None:
    provider = Scripted()
    provider.endless = stream
    provider.pieces = ["x" * 8_000_000]
    app = create_app(settings(**TIMES, concurrent_calls_per_key=1), provider=provider)
    body = json.dumps({**ASK, "model": "any", "stream": stream}).encode()
    with serve(app) as url, connected(url) as raw:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        raw.sendall(head(url, length=len(body)) + body)
        wait_until(
            lambda: provider.closed == 1, what="the end of the upstream's answer"
        )
        provider.endless = False
        provider.pieces = ["x"]
        with httpx2.Client(base_url=url, headers=KEYED, timeout=20) as http:
            asked = {**ASK, "model": "any"}
            wait_until(lambda: http.post(CHAT, json=asked).status_code == 200)
        wait_until(lambda: is_reset(raw), what="the end of the connection")


def is_reset(raw: socket.socket) -> bool:
    """Whether the server has cut a connection of which nothing is read."""
    try:
        raw.sendall(b"x")
    except OSError:
        return True
    return False


def test_a_reader_who_is_slow_but_reads_gets_the_whole_answer() -> None:
    provider = Scripted()
    provider.pieces = ["x" * 500_000] * 20
    app = create_app(settings(stream_send_seconds=5), provider=provider)
    body = json.dumps({**ASK, "model": "any", "stream": True}).encode()
    received = 0
    with serve(app) as url, connected(url) as raw:
        raw.sendall(head(url, length=len(body)) + body)
        last = b""
        while not last.endswith(b"0\r\n\r\n"):
            piece = raw.recv(65_536)
            assert piece, "the answer was cut off"
            received += len(piece)
            last = (last + piece)[-5:]

    assert received > 10_000_000


def test_one_key_cannot_take_all_slots_by_default() -> None:
    given = settings()

    assert given.concurrent_calls_per_key <= given.concurrent_calls / 2
