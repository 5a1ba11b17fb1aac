"""Peers of `/v1/live` that do not read, over sockets with small buffers."""

import contextlib
import json
import socket
from collections.abc import Iterator
from urllib.parse import urlsplit

import httpx2
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from tests.full_app.conftest import KEY
from tests.full_app.scripted import Scripted, scripted
from tests.servers import wait_until

HEADERS = {"Authorization": f"Bearer {KEY}"}
CREATE = {
    "type": "chat.create",
    "request": {"model": "any", "messages": [{"role": "user", "content": "hi"}]},
}
LIMITS = {"live_send_seconds": 1, "concurrent_calls_per_key": 1}


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
    provider.endless = True
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
        scripted(**LIMITS, redis_url=redis_url) as (url, provider),
        small(url) as peer,
    ):
        flood(url, provider, peer)
        heard: list[str] = []
        with contextlib.suppress(ConnectionClosed):
            heard.extend(json.loads(text)["type"] for text in peer)

    assert len(heard) > 100
    assert set(heard) == {"chat.delta"}
    assert (peer.close_code, peer.close_reason) == (1008, "Reads too slowly.")


def test_a_peer_that_never_reads_is_cut_off(redis_url: str | None) -> None:
    with (
        scripted(**LIMITS, redis_url=redis_url) as (url, provider),
        small(url) as peer,
    ):
        flood(url, provider, peer)
        wait_until(lambda: is_cut(peer), what="the end of the connection")
