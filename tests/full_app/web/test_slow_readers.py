"""Readers slower than the model: what they have not taken is not kept for them."""

import json
import socket
import sys
import threading
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.full_app.web.test_shutdown import HEADERS, PATH, ask
from tests.full_app.web.test_sigterm_storms import SERVE_ENDLESSLY, running

READERS = 20
ROUNDS = 200
GROWTH_KIB = 10_000  # a server that keeps it all keeps 20 times that


def resident_kib(pid: int) -> int:
    """Memory a process has in use."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))


@pytest.mark.wire
@pytest.mark.deep
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_slow_readers_of_endless_answers_do_not_grow_the_server() -> None:
    body = json.dumps(ask("any", stream=True))
    question = (
        f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n"
        f"Authorization: {HEADERS['Authorization']}\r\n"
        f"Content-Type: application/json\r\n\r\n{body}"
    ).encode()
    pause = threading.Event()
    with (
        running(command=("-c", SERVE_ENDLESSLY)) as (server, base),
        ExitStack() as ends,
    ):
        host, port = base.removeprefix("http://").split(":")
        readers = [ends.enter_context(socket.socket()) for _ in range(READERS)]
        for reader in readers:
            reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            reader.connect((host, int(port)))
            reader.sendall(question)
            assert reader.recv(64).startswith(b"HTTP/1.1 200")
        sizes = []
        for _ in range(ROUNDS):
            taken = [len(reader.recv(1024)) for reader in readers]
            assert min(taken) > 0
            sizes.append(resident_kib(server.pid))
            pause.wait(0.01)

    assert max(sizes) - sizes[0] < GROWTH_KIB
