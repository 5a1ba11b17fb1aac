"""`openai_compatible`: one full_app behind another, and upstreams that misbehave."""

import json
from collections.abc import Iterator

import httpx2
import openai
import pytest

from examples.full_app.main import create_app
from examples.full_app.providers.upstream_errors import MAX_ERROR_BYTES
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


def test_45_a_caller_that_leaves_closes_the_upstream() -> None:
    with scripted() as (behind, provider), in_front_of(f"{behind}/v1") as http:
        provider.silent = True
        with http.stream("POST", PATH, json={**ASK, "stream": True}) as answer:
            next(answer.iter_lines())

        wait_until(lambda: provider.closed == provider.started == 1, seconds=5)


@pytest.mark.parametrize("stream", [False, True])
def test_43_an_upstream_that_breaks_off_is_never_a_clean_end(stream: bool) -> None:
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
    "ends without [DONE]": (SSE + HELLO + chunk(delta={}, finish_reason="stop"), 502),
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
