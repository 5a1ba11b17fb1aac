"""`openai_compatible`: one full_app behind another, and upstreams that misbehave."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator

import httpx2
import openai
import pytest
from fastapi import FastAPI, Request
from fastapi.responses import StreamingResponse

from examples.full_app.main import create_app
from examples.full_app.providers.upstream.errors import MAX_ERROR_BYTES
from tests.full_app.conftest import KEY, settings
from tests.full_app.scripted import scripted
from tests.full_app.upstreams import (
    ASK,
    FRAMES,
    HELLO,
    PATH,
    SSE,
    answering,
    chunk,
    head,
    in_front_of,
)
from tests.servers import free_port, serve, wait_until

CALL = {
    "id": "call_1",
    "type": "function",
    "function": {"name": "weather", "arguments": '{"city": "Oslo"}'},
}
WHOLE = {
    "id": "c",
    "object": "chat.completion",
    "created": 1,
    "model": "m",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": None, "tool_calls": [CALL]},
            "finish_reason": "tool_calls",
        }
    ],
    "usage": {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7},
}


@pytest.fixture(scope="module")
def pair() -> Iterator[httpx2.Client]:
    """A full_app whose upstream is an offline full_app."""
    with serve(create_app(settings())) as behind, in_front_of(f"{behind}/v1") as http:
        yield http


def test_the_answer_is_the_upstreams_whole_and_streamed(pair: httpx2.Client) -> None:
    direct = {**ASK, "model": "gpt-4o-mini", "seed": 3}
    with openai.OpenAI(base_url=f"{pair.base_url}/v1", api_key=KEY) as client:
        whole = client.chat.completions.create(**direct)  # type: ignore[call-overload]  # a plain dict
        stream = client.chat.completions.create(
            model="gpt-4o-mini",
            messages=[{"role": "user", "content": "Say it back."}],
            seed=3,
            stream=True,
            stream_options={"include_usage": True},
        )
        chunks = list(stream)
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)

    assert text == whole.choices[0].message.content != ""
    assert chunks[-1].usage == whole.usage


def test_the_upstreams_models_and_embeddings_come_through(pair: httpx2.Client) -> None:
    ids = {model["id"] for model in pair.get("/v1/models").json()["data"]}
    body = {"model": "text-embedding-3-small", "input": ["a", "b"], "dimensions": 8}
    vectors = pair.post("/v1/embeddings", json=body).json()["data"]

    assert {"gpt-4o-mini", "offline-echo", "fault-429"} <= ids
    assert [len(item["embedding"]) for item in vectors] == [8, 8]


def test_a_model_the_upstream_lacks_is_a_404(pair: httpx2.Client) -> None:
    answer = pair.post(PATH, json={**ASK, "model": "nobody-serves-this"})

    assert (answer.status_code, answer.json()["code"]) == (404, "model_not_found")


def test_the_request_id_and_the_trace_travel_and_the_callers_key_does_not() -> None:
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    with (
        answering(SSE + FRAMES) as (url, requests),
        in_front_of(url) as http,
    ):
        http.post(PATH, json=ASK, headers={"traceparent": trace, "X-Request-ID": "r-1"})
    sent = requests[0].lower()

    assert "x-request-id: r-1" in sent
    assert "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-" in sent
    assert trace not in sent  # the parent of the upstream's span is ours
    assert f"authorization: bearer {KEY}" in sent


@pytest.mark.wire
def test_a_caller_that_leaves_closes_the_upstream() -> None:
    with scripted() as (behind, provider), in_front_of(f"{behind}/v1") as http:
        provider.silent = True
        with http.stream("POST", PATH, json={**ASK, "stream": True}) as answer:
            next(answer.iter_lines())

        wait_until(lambda: provider.closed == provider.started == 1, seconds=5)


@pytest.mark.wire
@pytest.mark.parametrize("stream", [False, True])
def test_an_upstream_that_breaks_off_is_never_a_clean_end(stream: bool) -> None:
    with scripted() as (behind, provider), in_front_of(f"{behind}/v1") as http:
        provider.finish = False
        answer = http.post(PATH, json={**ASK, "stream": stream})

    assert "[DONE]" not in answer.text
    assert _code(answer) == "upstream_error"


def _code(answer: httpx2.Response) -> str:
    """The error code of an answer, whole or streamed."""
    if answer.headers["content-type"].startswith("text/event-stream"):
        last = [line for line in answer.text.split("\n") if line.startswith("data: ")]
        return str(json.loads(last[-1][6:])["code"])
    return str(answer.json()["code"])


MISBEHAVIOUR = {
    "ends without finish_reason": (SSE + HELLO + b"data: [DONE]\n\n", 502),
    "half JSON": (SSE + b'data: {"id": "c", "cho\n\n', 502),
    "JSON that is no chunk": (SSE + b"data: [1, 2]\n\n", 502),
    "another content type": (head(200, "text/html") + b"<p>hello</p>", 502),
    "HTML with a 502": (head(502, "text/html") + b"<h1>Bad Gateway</h1>", 502),
    "an error event": (SSE + b'data: {"error": {"message": "no"}}\n\n', 502),
    "its 401 is not the caller's": (head(401, "application/json") + b"{}", 502),
    "503": (head(503, "application/json", "retry-after: 7") + b"{}", 503),
    "429": (head(429, "application/json", "retry-after: 7") + b"{}", 429),
    "an error without end": (
        head(500, "text/plain") + b"x" * 4 * MAX_ERROR_BYTES,
        502,
    ),
    "nothing": (b"", 502),
}


@pytest.mark.parametrize(
    ("reply", "status"), MISBEHAVIOUR.values(), ids=MISBEHAVIOUR.keys()
)
def test_each_misbehaviour_of_an_upstream_is_an_error_of_ours(
    reply: bytes, status: int
) -> None:
    with answering(reply) as (url, _), in_front_of(url) as http:
        answer = http.post(PATH, json=ASK)

    assert answer.status_code == status
    assert answer.json()["request_id"] == answer.headers["x-request-id"]
    if status in (429, 503):
        assert answer.headers["retry-after"] == "7"


FINISHED = HELLO + chunk(delta={}, finish_reason="stop")
COMPLETE = {
    "no [DONE]": FINISHED,
    "a blank after [DONE]": FINISHED + b"data: [DONE] \n\n",
    "empty data": b"data:\n\n" + HELLO + b"data: \n\n" + FRAMES.removeprefix(HELLO),
    "data without a blank": FRAMES.replace(b"data: ", b"data:"),
    "no last line end": FRAMES.removesuffix(b"\n\n"),
}


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("events", COMPLETE.values(), ids=COMPLETE.keys())
def test_an_answer_that_is_complete_arrives_however_its_end_is_written(
    events: bytes, stream: bool
) -> None:
    with answering(SSE + events) as (url, _), in_front_of(url) as http:
        answer = http.post(PATH, json={**ASK, "stream": stream})

    assert answer.status_code == 200
    assert "hello" in answer.text
    assert "error" not in answer.text
    assert answer.text.endswith("data: [DONE]\n\n") == stream


def test_an_upstream_that_says_no_usage_is_counted_by_us() -> None:
    with answering(SSE + FRAMES) as (url, _), in_front_of(url) as http:
        answer = http.post(PATH, json=ASK).json()

    assert answer["choices"][0]["message"]["content"] == "hello"
    assert answer["usage"]["completion_tokens"] > 0


def test_an_upstream_that_is_not_there_is_a_503() -> None:
    with in_front_of(f"http://127.0.0.1:{free_port()}/v1") as http:
        answer = http.post(PATH, json=ASK)
        models = http.get("/v1/models")

    assert (answer.status_code, answer.json()["code"]) == (503, "service_unavailable")
    assert models.status_code == 200


def test_an_upstream_that_says_nothing_is_a_504_in_time() -> None:
    with scripted() as (behind, provider):
        provider.pieces, provider.silent = [], True
        with in_front_of(f"{behind}/v1", request_timeout_seconds=0.3) as http:
            answer = http.post(PATH, json=ASK)

    assert (answer.status_code, answer.json()["code"]) == (504, "timeout")


def test_a_whole_answer_is_asked_for_whole_and_a_stream_streamed() -> None:
    reply = head(200, "application/json") + json.dumps(WHOLE).encode()
    with answering(reply, SSE + FRAMES) as (url, asked), in_front_of(url) as http:
        whole = http.post(PATH, json=ASK).json()
        streamed = http.post(PATH, json={**ASK, "stream": True})

    assert '"stream"' not in asked[0]
    assert '"stream":true' in asked[1]
    [choice] = whole["choices"]
    assert choice["message"]["tool_calls"] == [CALL]
    assert choice["finish_reason"] == "tool_calls"
    assert whole["usage"]["total_tokens"] == 7
    assert streamed.text.endswith("data: [DONE]\n\n")


@pytest.mark.parametrize(
    "body", [b"[1]", b'{"choices": [{}]}', b"{", b'{"error": {"message": "no"}}']
)
def test_a_whole_answer_that_is_none_is_an_error_of_ours(body: bytes) -> None:
    reply = head(200, "application/json") + body
    with answering(reply) as (url, _), in_front_of(url) as http:
        answer = http.post(PATH, json=ASK)

    assert (answer.status_code, answer.json()["code"]) == (502, "upstream_error")


def test_one_connection_serves_one_stream_after_the_other() -> None:
    upstream, ports = FastAPI(), set()

    @upstream.post(PATH)
    async def chat(request: Request) -> StreamingResponse:
        assert request.client is not None
        ports.add(request.client.port)
        return StreamingResponse(iter([FRAMES]), media_type="text/event-stream")

    with serve(upstream) as url, in_front_of(f"{url}/v1") as http:
        for _ in range(3):
            http.post(PATH, json={**ASK, "stream": True}).raise_for_status()

    assert len(ports) == 1


def test_an_upstream_that_goes_on_after_its_last_event_is_not_waited_for() -> None:
    upstream = FastAPI()

    async def endless() -> AsyncIterator[bytes]:
        yield FRAMES
        await asyncio.Event().wait()

    @upstream.post(PATH)
    async def chat() -> StreamingResponse:
        return StreamingResponse(endless(), media_type="text/event-stream")

    with (
        serve(upstream) as url,
        in_front_of(f"{url}/v1", heartbeat_seconds=60) as http,
    ):
        answer = http.post(PATH, json={**ASK, "stream": True}, timeout=10)

    assert answer.text.endswith("data: [DONE]\n\n")


def test_the_events_of_a_stream_survive_every_split_of_its_bytes() -> None:
    """The parser is httpx2's; the claim that it can be trusted is ours."""
    text = FRAMES.replace(b"hello", "h\u2028\U0001f600".encode())
    events = [e.data for e in _parse([text])]

    assert len(events) == 3
    for position in range(1, len(text)):
        split = [text[:position], text[position:]]
        assert [e.data for e in _parse(split)] == events


def _parse(parts: list[bytes]) -> Iterator[httpx2.ServerSentEvent]:
    headers = {"content-type": "text/event-stream"}
    request = httpx2.Request("GET", "http://x")
    response = httpx2.Response(
        200, headers=headers, content=iter(parts), request=request
    )
    return iter(httpx2.EventSource(response))
