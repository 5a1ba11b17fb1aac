"""An upstream whose connection is reset, seen by the client of the service."""

import socket
import struct
import threading
from collections.abc import Iterator

import openai
import pytest
from openai.types.chat import ChatCompletionChunk

from tests.full_app.conftest import KEY
from tests.full_app.contract.asks import ASK, MODEL
from tests.full_app.upstreams import HELLO, SSE, in_front_of

NO_LINGER = struct.pack("ii", 1, 0)  # closing sends RST in place of FIN


@pytest.fixture
def resetting() -> Iterator[tuple[str, threading.Event]]:
    """A server that begins a stream, and resets the connection once that was seen."""
    seen = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def run() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(65_536)
                    connection.sendall(SSE + HELLO)
                    seen.wait(5)  # else the reset would overtake what was sent
                    connection.setsockopt(
                        socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER
                    )

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}/v1", seen
        server.shutdown(socket.SHUT_RDWR)
    thread.join(5)


@pytest.mark.wire
def test_an_upstream_that_resets_the_connection_is_an_error_of_ours(
    resetting: tuple[str, threading.Event],
) -> None:
    url, seen = resetting
    pieces: list[str] = []

    def read(stream: openai.Stream[ChatCompletionChunk]) -> None:
        for chunk in stream:
            pieces.append(chunk.choices[0].delta.content or "")
            if pieces[-1]:
                seen.set()

    with (
        in_front_of(url) as http,
        openai.OpenAI(
            base_url=f"{http.base_url}/v1", api_key=KEY, max_retries=0
        ) as client,
    ):
        stream = client.chat.completions.create(model=MODEL, messages=ASK, stream=True)
        with pytest.raises(openai.APIError) as caught:
            read(stream)
        whole = http.post(
            "/v1/chat/completions", json={"model": MODEL, "messages": ASK}
        )

    assert "".join(pieces) == "hello"
    assert type(caught.value) is openai.APIError  # told by an event, not a broken pipe
    assert caught.value.code == "upstream_error"
    assert (whole.status_code, whole.json()["code"]) == (502, "upstream_error")
