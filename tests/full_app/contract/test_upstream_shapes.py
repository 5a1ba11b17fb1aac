"""Every odd shape of an upstream's answer, as the official client sees it.

The shapes are in `upstream_shapes.py`. Each is tried whole and streamed, where both
exist; a few of each kind also through a job, a resumed stream and the WebSocket.
"""

import contextlib
import json
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pydantic import BaseModel
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from examples.full_app.main import create_app
from tests.full_app.conftest import KEY, settings
from tests.full_app.contract.before_an_upstream import (
    MODEL,
    Service,
    asked_for,
    at,
    check,
    check_answer,
    frames_of,
    prepare,
    put_together,
    seen_whole,
)
from tests.full_app.contract.upstream_shapes import (
    ASKED,
    COUNTS,
    FIELDS,
    JSON,
    SHAPES,
    SIBLINGS,
    STOP,
    TEXT,
    TIER,
    Shape,
    as_json,
    chunk,
    counted,
    message,
    sse,
)
from tests.full_app.routes.test_responses import PATH as RESPONSES
from tests.full_app.upstreams import PATH
from tests.full_app.web.test_clients import ASK as ECHO
from tests.full_app.web.test_clients import BODY as ECHO_BODY
from tests.full_app.web.test_clients import H2C, answer_on, connected, head
from tests.servers import serve, wait_until

# --- The shapes ---


def parametrized(shapes: list[Shape]) -> list[Any]:
    """Each shape in each of its modes."""
    return [
        pytest.param(shape, mode, id=f"{shape.id} {mode}")
        for shape in shapes
        for mode in shape.modes
    ]


OTHERS: dict[str, Callable[[Service], None]] = {}


@pytest.mark.parametrize(("shape", "mode"), parametrized(SHAPES))
def test_a_shape_that_was_given_is_seen_as_it_should_be(
    service: Service, shape: Shape, mode: str
) -> None:
    try_out(service, shape, mode)


@pytest.mark.parametrize(("shape", "mode"), parametrized(SIBLINGS))
def test_a_sibling_of_such_a_shape_is_seen_as_it_should_be(
    service: Service, shape: Shape, mode: str
) -> None:
    try_out(service, shape, mode)


def try_out(service: Service, shape: Shape, mode: str) -> None:
    """The checks of the shape's kind."""
    if shape.id in OTHERS:
        OTHERS[shape.id](service)
    elif "vectors" in shape.sees or shape.kind == "vectors":
        check_vectors(service, shape)
    elif "listed" in shape.sees:
        check_listed(service, shape)
    else:
        assert shape.sees
        check(service, shape, mode)


def test_all_kinds_are_there_and_each_has_siblings() -> None:
    kinds = Counter(shape.kind for shape in SHAPES)

    assert len(SHAPES) == len({shape.id for shape in SHAPES}) == 77
    assert sum(len(shape.modes) for shape in SHAPES) == 125
    assert len(kinds) == 21
    not_of_upstreams = {"upgrade", "slow", "slash", "live"}
    siblings = {shape.kind for shape in SIBLINGS}
    assert siblings == kinds.keys() - not_of_upstreams
    assert not {shape.id for shape in SIBLINGS} & {shape.id for shape in SHAPES}


def check_vectors(service: Service, shape: Shape) -> None:
    """Vectors as floats, and as the official client asks for them, in base64."""
    prepare(service, shape, "whole")
    ask = {"model": "pot/vectors", **shape.ask}
    answer = service.http.post("/v1/embeddings", json=ask)
    expected = shape.sees.get("vectors")
    if expected is None:
        assert answer.status_code == shape.sees["status"]
        assert answer.json()["code"] == "upstream_error"
        assert answer.headers["x-should-retry"] == "false" or "retry" not in shape.sees
        return
    assert answer.status_code == 200
    assert [one["embedding"] for one in answer.json()["data"]] == expected
    assert [one["index"] for one in answer.json()["data"]] == [0, 1]
    assert answer.json()["usage"]["prompt_tokens"] > 0
    for name, value in shape.sees.get("answer", {}).items():
        assert answer.json()[name] == value
    assert answer.json()["usage"] == shape.sees.get("usage", answer.json()["usage"])
    if "encoding_format" not in ask:
        found = service.client.embeddings.create(**ask)
        assert [one.embedding for one in found.data] == expected
    assert service.upstream.asked[-1]["encoding_format"] == "float"


def check_listed(service: Service, shape: Shape) -> None:
    """The models are in the list, and each can be read by itself."""
    prepare(service, shape, "whole")
    ids = [model.id for model in service.client.models.list()]

    for model_id in shape.sees["listed"]:
        assert model_id in ids
        assert service.http.get(f"/v1/models/{model_id}").json()["id"] == model_id


# --- The cases that are not about an upstream ---


def other(name: str) -> Callable[[Callable[[Service], None]], None]:
    """Mark what tries the case of this name."""

    def known(tried: Callable[[Service], None]) -> None:
        OTHERS[name] = tried

    return known


@other("upgrade/h2c")
def _(service: Service) -> None:
    with connected(service.url) as raw:
        raw.sendall(head(service.url, H2C) + ECHO_BODY)
        status, _, body = answer_on(raw)
    assert status == 200
    assert ECHO["messages"][0]["content"].encode() in body


@other("upgrade/h2c-get")
def _(service: Service) -> None:
    with connected(service.url) as raw:
        raw.sendall(head(service.url, H2C, path="/v1/models", length=0, method="GET"))
        status, _, body = answer_on(raw)
    assert status == 200
    assert b'"list"' in body


@contextlib.contextmanager
def impatient() -> Iterator[str]:
    """A service whose requests have two seconds."""
    with serve(create_app(settings(request_timeout_seconds=2))) as url:
        yield url


@other("slow/body-never")
def _(_service: Service) -> None:
    with impatient() as url, connected(url) as raw:
        raw.sendall(head(url))
        assert answer_on(raw)[0] == 408


@other("slow/in-time")
def _(_service: Service) -> None:
    with impatient() as url, connected(url) as raw:
        raw.sendall(head(url))
        for byte in ECHO_BODY:
            raw.sendall(bytes([byte]))
        assert answer_on(raw)[0] == 200


@other("slash/chat")
def _(service: Service) -> None:
    headers = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "tea.example"}
    answer = service.http.post(f"{PATH}/", json=ECHO, headers=headers)
    assert answer.status_code == 200


@contextlib.contextmanager
def keyless_socket() -> Iterator[tuple[str, str]]:
    """The WebSocket of a service without keys, and the service's own address."""
    with serve(create_app(settings(api_keys=""))) as url:
        yield f"{url.replace('http', 'ws', 1)}/v1/live", url


@other("live/foreign")
def _(_service: Service) -> None:
    with keyless_socket() as (address, _):
        headers = {"Origin": "https://elsewhere.example"}
        with (
            pytest.raises(InvalidStatus) as refused,
            connect(address, additional_headers=headers),
        ):
            pass
    assert refused.value.response.status_code == 403


@other("live/own")
def _(_service: Service) -> None:
    with keyless_socket() as (address, url):
        opened(address, {"Origin": url})


@other("live/none")
def _(_service: Service) -> None:
    with keyless_socket() as (address, _):
        opened(address, {})


def opened(address: str, headers: dict[str, str]) -> None:
    """The socket can be opened, and answers."""
    with connect(address, additional_headers=headers) as connection:
        connection.send(json.dumps({"type": "chat.create", "request": ECHO}))
        assert "chat.delta" in str(connection.recv(timeout=20))


# --- Other ways in ---

ONE_OF_EACH_KIND = {
    shape.kind: shape
    for shape in [*SIBLINGS, *SHAPES]
    if "text" in shape.sees or "tools" in shape.sees or "further" in shape.sees
    if shape.key is None
}
OTHER_WAYS_IN = [*ONE_OF_EACH_KIND.values(), *FIELDS]
STREAMED = [shape for shape in OTHER_WAYS_IN if "stream" in shape.modes]


def test_most_kinds_are_tried_on_the_other_ways_in() -> None:
    assert len(ONE_OF_EACH_KIND) == 12


@pytest.mark.parametrize("shape", OTHER_WAYS_IN, ids=lambda shape: shape.id)
def test_a_shape_arrives_in_a_job(service: Service, shape: Shape) -> None:
    prepare(service, shape, "stream" if shape.whole is None else "whole")
    made = service.http.post("/v1/jobs", json={"requests": [asked_for(shape)]}).json()
    job: JSON = {}

    def ended() -> bool:
        job.update(service.http.get(f"/v1/jobs/{made['id']}").json())
        return job["status"] not in ("queued", "running")

    wait_until(ended, what="the job")
    [item] = job["results"]
    assert item["error"] is None
    check_answer(shape.sees, seen_whole(item["response"]))
    for path, value in shape.sees.get("got", {}).items():
        assert at(service.upstream.asked[-1], path) == value


@pytest.mark.parametrize("shape", STREAMED, ids=lambda shape: shape.id)
def test_a_shape_arrives_in_a_stream_that_is_resumed(
    service: Service, shape: Shape
) -> None:
    prepare(service, shape, "stream")
    usage = {"stream": True, "stream_options": {"include_usage": True}}
    ask = {**asked_for(shape), **usage}
    frames: list[tuple[str, str]] = []
    with service.http.stream(
        "POST", PATH, json=ask, headers={"X-Resumable": "true"}
    ) as answer:
        place = answer.headers["content-location"]
        for frame in frames_of(answer.iter_lines()):
            frames.append(frame)
            break
    again = service.http.get(place, headers={"Last-Event-ID": frames[0][0]})
    frames += frames_of(again.text.splitlines())

    assert frames[-1][1] == "[DONE]"
    check_answer(
        shape.sees, put_together([json.loads(data) for _, data in frames[:-1]])
    )


@pytest.mark.parametrize("shape", STREAMED, ids=lambda shape: shape.id)
def test_a_shape_arrives_over_the_websocket(service: Service, shape: Shape) -> None:
    prepare(service, shape, "stream")
    usage = {"stream": True, "stream_options": {"include_usage": True}}
    create = {"type": "chat.create", "request": {**asked_for(shape), **usage}}
    address = f"{service.url.replace('http', 'ws', 1)}/v1/live"
    chunks: list[JSON] = []
    with connect(
        address, additional_headers={"Authorization": f"Bearer {KEY}"}
    ) as connection:
        connection.send(json.dumps(create))
        while (event := json.loads(connection.recv(timeout=20)))["type"] != "chat.done":
            assert event["type"] == "chat.delta", event
            chunks.append(event["chunk"])

    check_answer(shape.sees, put_together(chunks))


# --- The official client's helper ---


class Tea(BaseModel):
    """What `.parse()` is asked for."""

    leaf: str


@pytest.mark.parametrize("mode", ["whole", "stream"])
def test_parse_of_the_official_client_shows_a_refusal(
    service: Service, mode: str
) -> None:
    reply = message({"refusal": "No tea."})
    service.upstream.whole = as_json(reply)
    service.upstream.stream = sse(chunk({"refusal": "No tea."}), chunk({}, "stop"))
    ask: Any = {"model": MODEL, "messages": ASKED, "response_format": Tea}
    if mode == "whole":
        said = service.client.chat.completions.parse(**ask).choices[0].message
    else:
        with service.client.chat.completions.stream(**ask) as stream:
            said = stream.get_final_completion().choices[0].message

    assert (said.refusal, said.parsed) == ("No tea.", None)


def test_the_stream_helper_of_the_official_client_has_the_fields_of_the_answer(
    service: Service,
) -> None:
    """It takes further fields from the first chunk, and two names from the last."""
    first = chunk({"content": TEXT}, pot={"lid": None}, **TIER)
    service.upstream.stream = sse(first, {**STOP, **TIER}, counted(COUNTS))
    asked: Any = {"model": MODEL, "messages": ASKED}
    with service.client.chat.completions.stream(
        **asked, stream_options={"include_usage": True}
    ) as stream:
        answer = stream.get_final_completion()

    assert answer.model_extra is not None
    assert answer.model_extra["pot"] == {"lid": None}
    assert (answer.service_tier, answer.system_fingerprint) == ("flex", "fp_tea")


@pytest.mark.parametrize("mode", ["whole", "stream"])
@pytest.mark.parametrize(
    "shape",
    [shape for shape in FIELDS if "answer" in shape.sees and shape.whole is not None],
    ids=lambda shape: shape.id,
)
def test_the_fields_of_the_answer_are_in_a_response_too(
    service: Service, shape: Shape, mode: str
) -> None:
    prepare(service, shape, mode)
    asked = {"model": MODEL, "input": "tea", "stream": mode == "stream"}
    answer = service.http.post(RESPONSES, json=asked)
    if mode == "stream":
        *_, (_, last), _ = frames_of(answer.text.splitlines())
        response = json.loads(last)["response"]
    else:
        response = answer.json()

    assert response["status"] == "completed"
    assert {name: response.get(name) for name in shape.sees["answer"]} == shape.sees[
        "answer"
    ]
    assert service.http.get(f"{RESPONSES}/{response['id']}").json() == response


@pytest.mark.parametrize("ask", [{}, {"stream_options": {"include_usage": True}}])
def test_no_chunk_but_that_of_the_usage_is_without_a_choice(
    service: Service, ask: JSON
) -> None:
    [shape] = [shape for shape in FIELDS if shape.id == "chunks/fields-of-the-answer"]
    prepare(service, shape, "stream")
    answer = service.http.post(PATH, json={**asked_for(shape), **ask, "stream": True})
    frames = [json.loads(data) for _, data in frames_of(answer.text.splitlines()[:-2])]

    assert {len(frame["choices"]) for frame in frames if "usage" not in frame} == {1}
    check_answer({"answer": shape.sees["answer"]}, put_together(frames))
