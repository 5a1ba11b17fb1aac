"""Mutated answers of an upstream: never a 500, and a complete answer always arrives.

Each field of an answer is dropped, set to null and given another type; its bytes are
split and cut at every place. Everything goes over sockets, as it would in use.
"""

import itertools
import json
import socket
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from examples.full_app.main import create_app
from tests.full_app.conftest import KEY, settings
from tests.full_app.contract.before_an_upstream import Upstream, upstream_running
from tests.full_app.contract.upstream_shapes import (
    ASKED,
    CALL,
    COUNTS,
    FILTERED,
    JSON,
    NATIVE,
    OPENING,
    PLAIN,
    PLAIN_STREAM,
    STOP,
    TEXT,
    TIER,
    as_json,
    call,
    chunk,
    counted,
    message,
    sse,
    vectors,
)
from tests.full_app.upstreams import PATH
from tests.servers import serve

pytestmark = pytest.mark.deep  # some two thousand answers over sockets
ASK = {"model": "pot/small", "messages": ASKED}
STREAMED = {**ASK, "stream": True, "stream_options": {"include_usage": True}}
EMBED = {"model": "pot/vectors", "input": ["green", "black"]}
LONE = "\ud83e"  # half of a surrogate pair
VALUES: list[Any] = [
    None,
    7,
    -1.5,
    10**30,
    True,
    "x",
    LONE,
    "",
    [],
    [None],
    [[{}]],
    {},
    {"a": None},
    {LONE: LONE},
    {"text": 7},
]


def mutations(value: Any) -> Iterator[Any]:
    """The value with one of its parts missing, or replaced by each of `VALUES`."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield {name: other for name, other in value.items() if name != key}
            for other in itertools.chain(VALUES, mutations(item)):
                yield {**value, key: other}
        yield {**value, LONE: 1}
    elif isinstance(value, list):
        for place, item in enumerate(value):
            yield value[:place] + value[place + 1 :]
            for other in itertools.chain(VALUES, mutations(item)):
                yield [*value[:place], other, *value[place + 1 :]]


CHANCES = {
    "content": [
        {
            "token": "Tea",
            "logprob": -0.5,
            "bytes": [84],
            "top_logprobs": [{"token": "Tea", "logprob": -0.5}],
        }
    ]
}
FURTHER = {"reasoning_content": "Hm.", "annotations": [{"type": "url_citation"}]}
SAID = {"role": "assistant", "content": TEXT, "refusal": "No.", **FURTHER}
ODD_CALL = call(CALL, index=0, extra_content={"a": 1})
USAGE = {**COUNTS, "prompt_tokens_details": {"cached_tokens": 1}, "cost": 0.5}
WHOLE: JSON = {
    "id": "a",
    "object": "chat.completion",
    "created": 1,
    "model": "m",
    "choices": [
        {
            "index": 0,
            "message": {**SAID, "tool_calls": [ODD_CALL]},
            "finish_reason": "stop",
            "logprobs": CHANCES,
            **NATIVE,
        }
    ],
    "usage": USAGE,
    **TIER,
    **FILTERED,
}
CHUNKS: list[JSON] = [
    {
        "id": "a",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "m",
        "choices": [
            {
                "index": 0,
                "delta": {**SAID, "tool_calls": [ODD_CALL]},
                "finish_reason": None,
                "logprobs": CHANCES,
                **NATIVE,
            }
        ],
        **TIER,
        **FILTERED,
    },
    chunk({}, "stop"),
    counted(USAGE),
]


class Before:
    """A service before an upstream, and what a client of it gets."""

    def __init__(self, http: httpx2.Client, upstream: Upstream) -> None:
        self.http = http
        self.upstream = upstream

    def ask(self, reply: bytes, body: JSON, path: str = PATH) -> httpx2.Response:
        """The answer where the upstream says `reply`; afterwards a plain one.

        The plain one closes the breaker, which five failures in a row would open.
        """
        self.upstream.whole = self.upstream.stream = reply
        answer = self.http.post(path, json=body)
        if not is_complete(answer):
            self.upstream.whole, self.upstream.stream = PLAIN, PLAIN_STREAM
            assert self.http.post(PATH, json=ASK).status_code == 200
        return answer


def is_complete(answer: httpx2.Response) -> bool:
    """Whether an answer is one, and ended well."""
    if answer.headers["content-type"].startswith("text/event-stream"):
        return answer.text.endswith("data: [DONE]\n\n")
    return answer.status_code == 200


def check(answer: httpx2.Response, mutated: object, *, complete: bool) -> None:
    """No bug of ours is seen, and a complete answer was read."""
    assert answer.status_code in (200, 502), mutated
    assert "internal_error" not in answer.text, mutated
    if answer.headers["content-type"].startswith("application/json"):
        answer.json()
    if complete:
        assert is_complete(answer), mutated
        assert TEXT in answer.text, mutated


@pytest.fixture(scope="module")
def before() -> Iterator[Before]:
    with upstream_running(Upstream()) as upstream:
        app = create_app(settings(upstream_base_url=upstream.url))
        headers = {"Authorization": f"Bearer {KEY}"}
        with (
            serve(app) as url,
            httpx2.Client(base_url=url, headers=headers, timeout=20) as http,
        ):
            yield Before(http, upstream)


def of_field(value: JSON, name: str) -> list[JSON]:
    """The mutations of one field, and the one that lacks it."""
    lacking = {other: item for other, item in value.items() if other != name}
    return [lacking] + [
        {**value, name: item} for item in [*VALUES, *mutations(value[name])]
    ]


def test_there_are_many_mutations() -> None:
    assert len(list(mutations(WHOLE))) > 700
    assert sum(len(list(mutations(one))) for one in CHUNKS) > 800


@pytest.mark.parametrize("name", WHOLE)
def test_no_mutation_of_a_whole_answer_is_a_500_or_loses_its_text(
    before: Before, name: str
) -> None:
    for mutated in of_field(WHOLE, name):
        choices = mutated.get("choices")
        answer = before.ask(as_json(mutated), ASK)
        check(answer, mutated, complete=TEXT in json.dumps(choices))


@pytest.mark.parametrize("place", range(len(CHUNKS)))
def test_no_mutation_of_a_chunk_is_a_500_or_loses_a_complete_answer(
    before: Before, place: int
) -> None:
    for mutated in mutations(CHUNKS[place]):
        frames = [*CHUNKS[:place], mutated, *CHUNKS[place + 1 :]]
        answer = before.ask(sse(*frames), STREAMED)
        check(answer, mutated, complete=place != 1 and has_text(frames[0]))
        assert is_complete(answer) or '"error"' in answer.text


def has_text(frame: JSON) -> bool:
    """Whether the text is in the choice that will finish."""
    choices = frame.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    if not isinstance(first, dict) or first.get("index", 0) != 0:
        return False
    return first.get("finish_reason") is None and TEXT in json.dumps(first)


def test_a_mutated_chunk_is_no_bug_either_where_a_whole_answer_was_asked(
    before: Before,
) -> None:
    for mutated in mutations(CHUNKS[0]):
        answer = before.ask(sse(mutated, *CHUNKS[1:]), ASK)
        check(answer, mutated, complete=has_text(mutated))


def test_no_mutation_of_vectors_is_a_500(before: Before) -> None:
    answer = vectors(
        {"object": "embedding", "index": 0, "embedding": [0.5, 0.25]},
        {"object": "embedding", "index": 1, "embedding": [1.0, 2.0]},
    )
    body = json.loads(json.dumps(answer))
    asks = itertools.cycle([EMBED, {**EMBED, "encoding_format": "base64"}])
    for mutated, ask in zip(mutations(body), asks, strict=False):
        found = before.ask(as_json(mutated), ask, "/v1/embeddings")
        check(found, mutated, complete=False)
        same = json.dumps(mutated.get("data")) == json.dumps(body["data"])
        assert found.status_code == 200 or not same, mutated


def test_no_mutation_of_a_list_of_models_is_a_500(before: Before) -> None:
    model = {"id": "pot/a", "object": "model", "created": 1, "owned_by": "pot"}
    for mutated in mutations({"object": "list", "data": [model]}):
        before.upstream.whole = as_json(mutated)
        answer = before.http.get("/v1/models")
        assert answer.status_code == 200, mutated
        assert len(answer.json()["data"]) >= 2, mutated


# --- Bytes ---

SHORT = sse(OPENING, chunk({"content": "é" + TEXT}), STOP)
BODY_AT = SHORT.index(b"\r\n\r\n") + 4


class InTwo(Upstream):
    """An upstream that sends its answer in two pieces, split at `place`."""

    place = 0

    def answer(self, connection: socket.socket) -> None:
        """Each piece in a packet of its own, as far as the network lets it."""
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        super().answer(Pieces(connection, self.place))  # type: ignore[arg-type]


class Pieces:
    """A socket whose `sendall` sends two pieces."""

    def __init__(self, connection: socket.socket, place: int) -> None:
        self.connection = connection
        self.place = place

    def recv(self, size: int) -> bytes:
        return self.connection.recv(size)

    def sendall(self, data: bytes) -> None:
        self.connection.sendall(data[: self.place])
        self.connection.sendall(data[self.place :])


def test_a_stream_arrives_wherever_its_bytes_are_split() -> None:
    with upstream_running(InTwo()) as upstream:
        app = create_app(settings(upstream_base_url=upstream.url))
        headers = {"Authorization": f"Bearer {KEY}"}
        with (
            serve(app) as url,
            httpx2.Client(base_url=url, headers=headers, timeout=20) as http,
        ):
            upstream.stream = SHORT
            for place in range(1, len(SHORT)):
                upstream.place = place
                answer = http.post(PATH, json=STREAMED)
                assert is_complete(answer), place
                assert json.dumps("é" + TEXT)[1:-1] in answer.text, place


def test_a_stream_that_is_cut_is_complete_or_an_error_wherever_it_is_cut(
    before: Before,
) -> None:
    complete = 0
    for place in range(BODY_AT, len(SHORT)):
        answer = before.ask(SHORT[:place], STREAMED)
        check(answer, place, complete=False)
        if is_complete(answer):
            complete += 1
            assert TEXT in answer.text
        else:
            assert '"code":"upstream_' in answer.text

    assert 0 < complete < len(b"data: [DONE]\n\n") + 4


def test_a_whole_answer_that_is_cut_is_an_error_wherever_it_is_cut(
    before: Before,
) -> None:
    whole = as_json(message({"content": TEXT}))
    for place in range(whole.index(b"\r\n\r\n") + 4, len(whole)):
        answer = before.ask(whole[:place], ASK)
        assert answer.status_code == 502, place
        assert "internal_error" not in answer.text
