"""Streams on a real socket: their frames, their end, and clients that leave."""

import json
import socket
from collections.abc import Iterator

import httpx2
import openai
import pytest

from examples.full_app.schemas.answers import ChatCompletionChunk
from examples.s5_error_handling import ContentFilteredError
from tests.full_app.conftest import KEY
from tests.full_app.scripted import Scripted, scripted
from tests.servers import wait_until

ASK = {"model": "any", "messages": [{"role": "user", "content": "one two"}]}
STREAM = {**ASK, "stream": True}
HEADERS = {"Authorization": f"Bearer {KEY}"}
PATH = "/v1/chat/completions"


@pytest.fixture(scope="module")
def running() -> Iterator[tuple[str, Scripted]]:
    with scripted(heartbeat_seconds=0.2) as found:
        yield found


@pytest.fixture
def provider(running: tuple[str, Scripted]) -> Scripted:
    fresh, used = Scripted(), running[1]
    used.__dict__.update(fresh.__dict__)
    return used


@pytest.fixture
def http(running: tuple[str, Scripted]) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=running[0], headers=HEADERS, timeout=10) as client:
        yield client


def data_of(text: str) -> list[str]:
    """The data of every event of a stream."""
    return [line[6:] for line in text.split("\n") if line.startswith("data: ")]


def test_every_frame_is_a_chunk_and_the_last_is_done(
    http: httpx2.Client, provider: Scripted
) -> None:
    answer = http.post(PATH, json=STREAM)
    *frames, last = data_of(answer.text)
    chunks = [ChatCompletionChunk.model_validate_json(frame) for frame in frames]

    assert last == "[DONE]"
    assert chunks[0].choices[0].delta.role == "assistant"
    assert [c.choices[0].delta.content for c in chunks[1:-1]] == ["a", "b", "c"]
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["cache-control"] == "no-cache"
    assert answer.headers["x-accel-buffering"] == "no"


@pytest.mark.wire
def test_separators_that_are_no_newlines_arrive_intact(
    http: httpx2.Client, provider: Scripted
) -> None:
    odd = 'line\u2028separator\u0085next\rreturn \U0001f600 "quoted" \\ end\n'
    provider.pieces = list(odd)
    whole = http.post(PATH, json=ASK).json()["choices"][0]["message"]["content"]
    with openai.OpenAI(base_url=f"{http.base_url}/v1", api_key=KEY) as client:
        stream = client.chat.completions.create(
            model="any", messages=[{"role": "user", "content": "x"}], stream=True
        )
        streamed = "".join(c.choices[0].delta.content or "" for c in stream)

    assert whole == streamed == odd


def test_silence_is_filled_with_comments_that_no_client_trips_over(
    http: httpx2.Client, provider: Scripted
) -> None:
    provider.silent = True
    pings = 0
    with http.stream("POST", PATH, json=STREAM) as answer:
        for line in answer.iter_lines():
            pings += line == ": ping"
            if pings == 3:
                provider.silent = False
    assert pings >= 3


@pytest.mark.wire
def test_a_failure_before_the_first_byte_has_a_real_status(
    http: httpx2.Client, provider: Scripted
) -> None:
    provider.pieces, provider.failure = [], ContentFilteredError("No.")

    assert http.post(PATH, json=STREAM).status_code == 400


@pytest.mark.parametrize(
    ("failure", "code"),
    [
        (ContentFilteredError("No."), "content_filtered"),
        (RuntimeError("a bug with a secret in it"), "internal_error"),
        (None, "model_error"),
    ],
)
def test_a_failure_after_the_first_byte_is_one_error_event_and_no_done(
    http: httpx2.Client, provider: Scripted, failure: Exception | None, code: str
) -> None:
    provider.failure, provider.finish = failure, False
    answer = http.post(PATH, json=STREAM)
    events = data_of(answer.text)
    last = json.loads(events[-1])

    assert last["error"]["code"] == code
    assert last["error"]["request_id"] == answer.headers["x-request-id"]
    assert sum("error" in event for event in events) == 1
    assert "[DONE]" not in events
    assert "secret" not in answer.text


def test_a_stream_may_last_longer_than_its_reader_waits_for_a_byte(
    http: httpx2.Client, provider: Scripted
) -> None:
    provider.silent = True
    pings, lines = 0, []
    patience = {"x-stainless-read-timeout": "0.5"}
    with http.stream("POST", PATH, json=STREAM, headers=patience) as answer:
        for line in answer.iter_lines():
            lines.append(line)
            pings += line == ": ping"
            if pings == 5:  # one every 0.2 s: twice the patience is over
                provider.silent = False

    assert pings >= 5
    assert "data: [DONE]" in lines


@pytest.mark.wire
def test_the_official_client_raises_on_an_error_in_a_stream(
    http: httpx2.Client, provider: Scripted
) -> None:
    provider.failure = ContentFilteredError("No.")
    with openai.OpenAI(base_url=f"{http.base_url}/v1", api_key=KEY) as client:
        stream = client.chat.completions.create(
            model="any", messages=[{"role": "user", "content": "x"}], stream=True
        )
        with pytest.raises(openai.APIError) as caught:
            list(stream)

    assert caught.value.code == "content_filtered"


def test_an_answer_that_breaks_off_is_an_error_when_it_is_whole_too(
    http: httpx2.Client, provider: Scripted
) -> None:
    provider.finish = False
    answer = http.post(PATH, json=ASK)

    assert (answer.status_code, answer.json()["code"]) == (502, "model_error")


def leave_after(url: str, body: dict[str, object], *, seeing: bytes) -> None:
    """Send a request, read until `seeing` arrived, and close the socket."""
    host, port = url.removeprefix("http://").split(":")
    content = json.dumps(body).encode()
    head = (
        f"POST {PATH} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {KEY}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
    )
    with socket.create_connection((host, int(port)), timeout=5) as connection:
        connection.sendall(head.encode() + content)
        seen = b""
        while seeing not in seen:
            seen += connection.recv(65_536)


@pytest.mark.wire
@pytest.mark.parametrize(
    ("body", "pieces", "seeing"),
    [
        pytest.param(ASK, [], b"", id="whole answer, before anything"),
        pytest.param(ASK, ["a"], b"", id="whole answer, half way"),
        pytest.param(STREAM, [], b"", id="stream, before the first chunk"),
        pytest.param(STREAM, [], b": ping", id="stream, kept alive"),
        pytest.param(STREAM, ["a", "b"], b'"b"', id="stream, after two chunks"),
    ],
)
def test_a_client_that_leaves_stops_the_provider(
    running: tuple[str, Scripted],
    provider: Scripted,
    body: dict[str, object],
    pieces: list[str],
    seeing: bytes,
) -> None:
    provider.pieces, provider.silent = pieces, True
    leave_after(running[0], body, seeing=seeing)

    wait_until(lambda: provider.closed == provider.started == 1, seconds=5)


@pytest.mark.wire
def test_a_reader_too_slow_to_take_it_stops_the_production(
    running: tuple[str, Scripted], provider: Scripted
) -> None:
    """The provider waits while the socket is full, and ends when the reader leaves."""
    provider.endless = True
    leave_after(running[0], STREAM, seeing=b"more")

    wait_until(lambda: provider.closed == 1, seconds=5)
    assert provider.produced < 20_000


def test_a_call_over_its_time_is_a_504_or_an_error_event() -> None:
    with scripted(request_timeout_seconds=0.2) as (url, provider):
        provider.silent = True
        with httpx2.Client(base_url=url, headers=HEADERS, timeout=10) as http:
            whole = http.post(PATH, json=ASK)
            stream = http.post(PATH, json=STREAM)

    assert (whole.status_code, whole.json()["code"]) == (504, "timeout")
    assert json.loads(data_of(stream.text)[-1])["error"]["code"] == "timeout"
