"""Kind 4: streams and answers of which nobody reads, and one key that opens too many.

    python -m benchmarks.attacks.slow_readers [--streams 200] [--calls 150]

The model of the service is a script in this process that counts the calls which it
began and which were closed. All settings are the service's own, but that 100 of 200
slots are for one key.
"""

import contextlib
import json
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any
from urllib.parse import urlsplit

import httpx2

from benchmarks.attacks.run import Figures, run, wait_until, what_went_wrong
from benchmarks.attacks.service import CHAT
from examples.full_app.main import create_app
from tests.full_app.conftest import KEY, OTHER_KEY, settings
from tests.full_app.scripted import Scripted
from tests.servers import serve

WHOLE = 20  # answers of 8 MB of which nothing is read, beside the streams
SEND_SECONDS = 20.0  # FULL_APP_STREAM_SEND_SECONDS
SLACK_SECONDS = 5.0
HONEST_SECONDS = 2.0
SLOTS, SLOTS_OF_A_KEY = 200, 100
ASK: dict[str, Any] = {"model": "any", "messages": [{"role": "user", "content": "x"}]}
OTHER = {"Authorization": f"Bearer {OTHER_KEY}"}


def request(body: dict[str, Any]) -> bytes:
    """A chat request of the hostile caller, as bytes."""
    content = json.dumps(body).encode("utf-8")
    head = (
        f"POST {CHAT} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(content)}\r\n"
        f"Content-Type: application/json\r\nAuthorization: Bearer {KEY}\r\n\r\n"
    )
    return head.encode("ascii") + content


def asking(url: str, body: dict[str, Any]) -> socket.socket:
    """A connection on which was asked and of which nothing is read."""
    place = urlsplit(url)
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    raw.settimeout(20)
    raw.connect((place.hostname, place.port))
    raw.sendall(request(body))
    return raw


@contextlib.contextmanager
def open_service(model: Scripted, **given: object) -> Iterator[tuple[str, Any]]:
    """The service with this model, and a client of the honest caller."""
    app = create_app(settings(**given), provider=model)
    with (
        serve(app, backlog=2048) as url,
        httpx2.Client(base_url=url, headers=OTHER, timeout=60, trust_env=False) as http,
    ):
        yield url, http


def unread(streams: int) -> Figures:
    """Nothing is read: when upstreams are closed, how long honest calls take."""
    model = Scripted()
    honest: list[float] = []
    with open_service(model) as (url, http), ExitStack() as ends:
        model.pieces = ["x" * 8_000_000]
        for _ in range(WHOLE):
            ends.enter_context(asking(url, ASK))
        wait_until(lambda: model.started == WHOLE, 30)
        model.pieces = ["x"]
        model.endless = True
        model.more = "x" * 200_000  # soon nothing more fits into any buffer
        for _ in range(streams):
            ends.enter_context(asking(url, {**ASK, "stream": True}))
        began = time.monotonic()
        wait_until(lambda: model.started == WHOLE + streams, 30)

        def all_closed() -> bool:
            asked = time.monotonic()
            called = http.post(CHAT, json={**ASK, "model": "offline-echo"})
            called.raise_for_status()
            honest.append(time.monotonic() - asked)
            return model.closed == model.started

        wait_until(all_closed, SEND_SECONDS + 2 * SLACK_SECONDS)
    return {
        "readers": model.started,
        "given_back": model.closed,
        "given_back_after_seconds": round(time.monotonic() - began, 1),
        "honest_calls": len(honest),
        "honest_longest_seconds": round(max(honest), 2),
    }


def one_key_takes_all(calls: int) -> Figures:
    """One key asks for more calls at once than its slots: who is served, who is not."""
    model = Scripted()
    model.silent = True
    given = {"concurrent_calls": SLOTS, "concurrent_calls_per_key": SLOTS_OF_A_KEY}
    refused = max(0, calls - SLOTS_OF_A_KEY)
    with (
        open_service(model, **given, queue_seconds=1) as (url, http),
        ExitStack() as ends,
    ):
        for _ in range(calls):
            ends.enter_context(asking(url, ASK))
        wait_until(lambda: model.started >= calls - refused, 30)
        others = [
            http.post(CHAT, json={**ASK, "model": "offline-echo"}).status_code
            for _ in range(20)
        ]
        started = model.started
        model.silent = False
    return {
        "calls_of_one_key": calls,
        "running_at_once": started,
        "slots": SLOTS,
        "calls_of_others": len(others),
        "answered_of_others": others.count(200),
    }


def measure(streams: int, calls: int) -> Figures:
    """Both attacks."""
    slow = unread(streams)
    greedy = one_key_takes_all(calls)
    return {
        **slow,
        **greedy,
        "wrong": what_went_wrong(
            {
                "a call was not given back": slow["given_back"] < streams + WHOLE,
                "calls were given back late": (
                    slow["given_back_after_seconds"] > SEND_SECONDS + SLACK_SECONDS
                ),
                "an honest call was slow": (
                    slow["honest_longest_seconds"] > HONEST_SECONDS
                ),
                "one key has more than its share": (
                    greedy["running_at_once"] > SLOTS_OF_A_KEY
                ),
                "one key closed the service to others": (
                    greedy["answered_of_others"] < greedy["calls_of_others"]
                ),
            }
        ),
    }


if __name__ == "__main__":
    run(__doc__, measure, streams=200, calls=150)
