"""Peers of `/v1/live` that do not read, over sockets with small buffers."""

import asyncio
import contextlib
import json
import socket
from collections.abc import Iterator
from urllib.parse import urlsplit

import httpx2
import pytest
from starlette.types import Message, Receive, Scope, Send
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from examples.full_app.web.middleware.websocket_timeout import (
    WebSocketTimeoutMiddleware,
)
from tests.full_app.conftest import KEY
from tests.full_app.scripted import Scripted, scripted
from tests.servers import wait_until

HEADERS = {"Authorization": f"Bearer {KEY}"}
CREATE = {
    "type": "chat.create",
    "request": {"model": "any", "messages": [{"role": "user", "content": "hi"}]},
}
LIMITS = {"live_send_seconds": 1, "concurrent_calls_per_key": 1}


def apart(redis_url: str | None) -> str | None:
    """A database in which no other test's killed server still holds the only slot."""
    return redis_url and f"{redis_url}/8"


@contextlib.contextmanager
def small(url: str) -> Iterator[ClientConnection]:
    """A connection of a peer that takes next to nothing it does not ask for."""
    place = urlsplit(url)
    assert place.hostname is not None
    assert place.port is not None
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    raw.connect((place.hostname, place.port))
    with connect(
        f"ws://{place.netloc}/v1/live",
        sock=raw,
        additional_headers=HEADERS,
        compression=None,
        max_queue=1,
        close_timeout=0.1,
    ) as connection:
        yield connection


def flood(url: str, provider: Scripted, peer: ClientConnection) -> None:
    """Ask for an answer without end; it ends, and its slot is free for another."""
    provider.endless, provider.more = True, "more " * 4000  # it soon takes no more
    peer.send(json.dumps(CREATE))
    wait_until(lambda: provider.closed == 1, what="the end of the answer")
    provider.endless = False
    answer = httpx2.post(
        f"{url}/v1/chat/completions",
        headers=HEADERS,
        json=CREATE["request"],
        trust_env=False,
    )
    assert answer.status_code == 200, answer.text


def is_cut(peer: ClientConnection) -> bool:
    """Whether what it says arrives nowhere."""
    try:
        peer.send("{}")
    except ConnectionClosed:
        return True
    return False


def test_a_peer_that_reads_on_after_its_time_sees_a_code(redis_url: str | None) -> None:
    with (
        scripted(**LIMITS, redis_url=apart(redis_url)) as (url, provider),
        small(url) as peer,
    ):
        flood(url, provider, peer)
        heard: list[str] = []
        with contextlib.suppress(ConnectionClosed):
            heard.extend(json.loads(text)["type"] for text in peer)

    assert len(heard) > 10
    assert set(heard) == {"chat.delta"}
    assert (peer.close_code, peer.close_reason) == (1008, "Reads too slowly.")


def test_a_peer_that_never_reads_is_cut_off(redis_url: str | None) -> None:
    with (
        scripted(**LIMITS, redis_url=apart(redis_url)) as (url, provider),
        small(url) as peer,
    ):
        flood(url, provider, peer)
        wait_until(lambda: is_cut(peer), what="the end of the connection")


class Server:
    """Stands in for uvicorn: a socket that is full, or that it has given up itself."""

    def __init__(self, *, closing: bool = False, fits: int = 0) -> None:
        self.scope: Scope = {"type": "websocket", "state": {"transport": self}}
        self.closing, self.fits = closing, fits
        self.sent: list[Message] = []
        self.aborted = asyncio.Event()

    def is_closing(self) -> bool:
        return self.closing

    def get_write_buffer_size(self) -> int:
        return 1

    def abort(self) -> None:
        self.aborted.set()

    async def send(self, message: Message) -> None:
        if len(self.sent) >= self.fits:
            await asyncio.Event().wait()
        self.sent.append(message)

    async def receive(self) -> Message:
        await asyncio.Event().wait()
        raise AssertionError


async def run(server: Server, *messages: Message) -> tuple[list[str], Message]:
    """An application that says its messages: how that failed, and what it heard."""
    errors: list[str] = []
    heard: list[Message] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for message in messages:
            try:
                await send(message)
            except OSError as error:
                errors.append(type(error).__name__)
        heard.append(await receive())

    guarded = WebSocketTimeoutMiddleware(app, seconds=0.01)
    await guarded(server.scope, server.receive, server.send)
    return errors, heard[0]


TEXT: Message = {"type": "websocket.send", "text": "more"}
GONE = {"type": "websocket.disconnect", "code": 1008}


@pytest.mark.anyio
async def test_what_an_application_says_last_is_what_the_peer_is_told_last() -> None:
    server = Server()
    close: Message = {"type": "websocket.close", "code": 1003, "reason": "Why."}

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        with contextlib.suppress(TimeoutError):
            await send(close)
        server.fits = 1

    await WebSocketTimeoutMiddleware(app, seconds=0.01)(
        server.scope, server.receive, server.send
    )

    assert server.sent == [close]
    await server.aborted.wait()  # the peer did not take that either


@pytest.mark.anyio
async def test_a_connection_that_the_server_has_given_up_is_over_for_all() -> None:
    server = Server(closing=True)

    assert await run(server, TEXT, TEXT) == (["BrokenPipeError"] * 2, GONE)
    await server.aborted.wait()
