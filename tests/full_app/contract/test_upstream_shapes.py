"""Every odd shape of an upstream's answer, as the official client sees it.

The shapes are in `upstream_shapes.py`. Each is tried whole and streamed, where both
exist; a few of each kind also through a job, a resumed stream and the WebSocket.
"""

import contextlib
import json
import re
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, TypeVar

import httpx2
import openai
import pytest
from pydantic import BaseModel
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from examples.full_app.main import create_app
from tests.full_app.conftest import KEY, settings
from tests.full_app.contract.upstream_shapes import (
    ASKED,
    JSON,
    PLAIN,
    PLAIN_STREAM,
    SHAPES,
    SIBLINGS,
    TEXT,
    Shape,
    as_json,
    chunk,
    message,
    sse,
)
from tests.full_app.upstreams import PATH
from tests.full_app.web.test_clients import ASK as ECHO
from tests.full_app.web.test_clients import BODY as ECHO_BODY
from tests.full_app.web.test_clients import H2C, answer_on, connected, head
from tests.servers import serve, wait_until

MODEL = "pot/small"
CALLERS = {
    "alpha": KEY,
    "metered": "sk-test-metered",
    "poor": "sk-test-poor",
    "narrow": "sk-test-narrow",
}
KEYS: list[JSON] = [
    {"name": "alpha", "key": KEY},
    {"name": "metered", "key": CALLERS["metered"], "budget_usd": "9"},
    {"name": "poor", "key": CALLERS["poor"], "budget_usd": "0.000001"},
    {"name": "narrow", "key": CALLERS["narrow"], "models": ["pot/large"]},
]


# --- The upstream, and what a client sees ---


class Upstream:
    """A server that answers every request with `whole` or `stream`.

    `asked` holds the bodies so far.
    """

    def __init__(self) -> None:
        self.whole: bytes = PLAIN
        self.stream: bytes = PLAIN_STREAM
        self.asked: list[JSON] = []
        self.url = ""

    def plain(self) -> None:
        """Answer plainly from now on."""
        self.whole, self.stream = PLAIN, PLAIN_STREAM

    def answer(self, connection: socket.socket) -> None:
        """Read one request and answer it; closing with bytes unread would reset."""
        text = b""
        while not _is_whole(text):
            if not (more := connection.recv(1 << 20)):
                return
            text += more
        body = text.partition(b"\r\n\r\n")[2]
        asked = json.loads(body) if body else {}
        if body:
            self.asked.append(asked)
        connection.sendall(self.reply_to(asked))

    def reply_to(self, asked: JSON) -> bytes:
        """The answer to a request; `asked` is its body."""
        return self.stream if asked.get("stream") else self.whole


def _is_whole(text: bytes) -> bool:
    top, found, body = text.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)content-length: (\d+)", top)
    return bool(found) and len(body) >= (int(length[1]) if length else 0)


AnUpstream = TypeVar("AnUpstream", bound=Upstream)


@contextlib.contextmanager
def upstream_running(upstream: AnUpstream) -> Iterator[AnUpstream]:
    """An `Upstream` on loopback."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as server:
        upstream.url = f"http://127.0.0.1:{server.getsockname()[1]}/v1"

        def run() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    with connection, contextlib.suppress(OSError):
                        upstream.answer(connection)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        yield upstream
        server.shutdown(socket.SHUT_RDWR)
    thread.join(5)


@dataclass
class Seen:
    """What one call showed to the official client."""

    status: int = 200
    messages: dict[int, JSON] = field(default_factory=dict)
    finishes: dict[int, str] = field(default_factory=dict)
    usage: JSON | None = None
    tokens: list[str] = field(default_factory=list)
    error: JSON | None = None
    retry: bool | None = None
    retry_after: int | None = None

    @property
    def message(self) -> JSON:
        return self.messages[0]


@dataclass
class Service:
    """A full_app before an `Upstream`, and clients of it, one for each caller."""

    url: str
    upstream: Upstream
    http: httpx2.Client
    clients: dict[str, openai.OpenAI]

    @property
    def client(self) -> openai.OpenAI:
        """The client of a caller without a budget."""
        return self.clients["alpha"]

    def see(self, mode: str, ask: JSON, caller: str = "alpha") -> Seen:
        """What the official client for Python sees."""
        return see(self.clients[caller], mode, ask)


@contextlib.contextmanager
def service_before_an_upstream() -> Iterator[Service]:
    """A service whose upstream answers what a test says."""
    with upstream_running(Upstream()) as upstream:
        app = create_app(settings(upstream_base_url=upstream.url, api_keys=KEYS))
        with serve(app) as url, contextlib.ExitStack() as stack:
            http = httpx2.Client(
                base_url=url, headers={"Authorization": f"Bearer {KEY}"}, timeout=20
            )
            stack.enter_context(http)
            clients = {
                name: openai.OpenAI(
                    base_url=f"{url}/v1", api_key=key, max_retries=0, timeout=20
                )
                for name, key in CALLERS.items()
            }
            for client in clients.values():
                stack.enter_context(client)
            yield Service(url, upstream, http, clients)


@contextlib.contextmanager
def one_shape(service: Service) -> Iterator[Service]:
    """The service for one shape; then a plain answer, so that no breaker stays open."""
    service.upstream.asked.clear()
    yield service
    service.upstream.plain()
    answer = service.http.post(PATH, json={"model": MODEL, "messages": ASKED})
    assert answer.status_code == 200


@pytest.fixture(scope="module")
def running() -> Iterator[Service]:
    with service_before_an_upstream() as service:
        yield service


@pytest.fixture
def service(running: Service) -> Iterator[Service]:
    """The service, for one shape."""
    with one_shape(running) as service:
        yield service


def see(client: openai.OpenAI, mode: str, ask: JSON) -> Seen:
    """The answer to `ask`, or the error."""
    try:
        return see_stream(client, ask) if mode == "stream" else see_whole(client, ask)
    except openai.APIStatusError as error:
        body: Any = error.response.json()
        headers = error.response.headers
        wait = headers.get("retry-after")
        return Seen(
            error.status_code,
            error=body["error"],
            retry=headers["x-should-retry"] == "true",
            retry_after=None if wait is None else int(wait),
        )


def see_whole(client: openai.OpenAI, ask: JSON) -> Seen:
    """The whole answer."""
    answer = client.chat.completions.create(
        model=MODEL, messages=[{"role": "user", "content": "?"}], extra_body=ask
    ).to_dict()
    fields: Any = answer
    seen = Seen(usage=fields["usage"])
    for choice in fields["choices"]:
        seen.messages[choice["index"]] = choice["message"]
        seen.finishes[choice["index"]] = choice["finish_reason"]
        chances = (choice.get("logprobs") or {}).get("content") or []
        seen.tokens += [one["token"] for one in chances]
    return seen


def see_stream(client: openai.OpenAI, ask: JSON) -> Seen:
    """The chunks of a stream, put together as the official client does it."""
    stream = client.chat.completions.create(
        model=MODEL,
        messages=[{"role": "user", "content": "?"}],
        stream=True,
        stream_options={"include_usage": True},
        extra_body=ask,
    )
    seen = Seen()
    try:
        for one in stream:
            fields: Any = one.to_dict()
            seen.usage = fields.get("usage") or seen.usage
            for choice in fields["choices"]:
                _add(seen, choice)
    except openai.APIError as error:
        body: Any = error.body
        seen.error = body
    for put_together in seen.messages.values():
        calls = put_together.pop("calls", {})
        if calls:
            put_together["tool_calls"] = [calls[index] for index in sorted(calls)]
    return seen


def _add(seen: Seen, choice: JSON) -> None:
    index = choice["index"]
    said = seen.messages.setdefault(index, {})
    if choice.get("finish_reason"):
        seen.finishes[index] = choice["finish_reason"]
    chances = (choice.get("logprobs") or {}).get("content") or []
    seen.tokens += [one["token"] for one in chances]
    for name, value in choice["delta"].items():
        if name == "tool_calls":
            for piece in value:
                _add_piece(said.setdefault("calls", {}), piece)
        elif isinstance(value, str) and name != "role":
            said[name] = said.get(name, "") + value
        else:
            said[name] = value


def _add_piece(calls: dict[int, JSON], piece: JSON) -> None:
    call = calls.setdefault(piece["index"], {"function": {}})
    for name, value in piece.items():
        if name == "function":
            for part, text in value.items():
                before = call["function"].get(part, "")
                call["function"][part] = before + text
        elif name != "index":
            call[name] = value


# --- What must hold ---


def at(value: Any, path: str) -> Any:
    """What stands at a path such as `messages.1.content`."""
    for step in path.split("."):
        value = value[int(step)] if isinstance(value, list) else value[step]
    return value


Look = Callable[[str, JSON, str], Seen]  # mode, request and caller


def check(service: Service, shape: Shape, mode: str, look: Look | None = None) -> None:
    """Everything that the shape's `sees` names, in the eyes of one client."""
    look = look or service.see
    prepare(service, shape, mode)
    before = spent(service) if "spent" in shape.sees else Decimal(0)

    seen = look(mode, asked_for(shape), shape.key or "alpha")

    calls = len(service.upstream.asked)
    assert seen.status != 500
    check_answer(shape.sees, seen)
    check_error(shape.sees, seen)
    if "calls" in shape.sees:
        assert calls == shape.sees["calls"]
    for path, value in shape.sees.get("got", {}).items():
        assert at(service.upstream.asked[-1], path) == value
    if "spent" in shape.sees:
        assert spent(service) - before == Decimal(shape.sees["spent"])
    if "back" in shape.sees:
        check_back(service, seen, mode, shape.sees["back"], look)


def asked_for(shape: Shape) -> JSON:
    """The request of a shape."""
    return {"model": MODEL, "messages": ASKED, **shape.ask}


def prepare(service: Service, shape: Shape, mode: str) -> None:
    """Have the upstream answer as the shape says."""
    service.upstream.plain()
    reply = shape.stream if mode == "stream" else shape.whole
    if reply is not None:
        made = reply() if callable(reply) else reply
        service.upstream.whole = service.upstream.stream = made


def spent(service: Service) -> Decimal:
    """What the key with a budget has spent, once nothing runs."""
    found: JSON = {}

    def settled() -> bool:
        headers = {"Authorization": f"Bearer {CALLERS['metered']}"}
        found.update(service.http.get("/v1/usage", headers=headers).json())
        reserved: str = found["reserved_usd"]
        return reserved == "0"

    wait_until(settled, what="the settlement")
    return Decimal(found["spent_usd"])


def check_answer(sees: JSON, seen: Seen) -> None:
    """Text, reason, usage, calls and further fields of an answer."""
    if not (sees.get("failed") or "status" in sees):
        assert seen.error is None, seen.error
    if "text" in sees:
        assert seen.message["content"] == sees["text"]
    if "finish" in sees:
        assert seen.finishes[0] in sees["finish"]
    if "tokens" in sees:
        assert seen.tokens == sees["tokens"]
    for name, value in sees.get("further", {}).items():
        assert seen.message[name] == value
    if "usage" in sees:
        check_usage(sees["usage"], seen.usage)
    if "tools" in sees:
        calls = seen.message["tool_calls"]
        found = [
            (call["function"]["name"], json.loads(call["function"]["arguments"]))
            for call in calls
        ]
        assert found == sees["tools"]
        assert {call["type"] for call in calls} == {"function"}
        assert len({call["id"] for call in calls}) == len(calls)
        assert all(call["id"] for call in calls)


def check_usage(expected: object, usage: JSON | None) -> None:
    assert usage is not None
    counts = [usage[name] for name in ("prompt_tokens", "completion_tokens")]
    assert all(type(count) is int and count >= 0 for count in counts)
    assert usage["total_tokens"] == sum(counts)
    if expected != "counts":
        assert tuple(counts) == expected


def check_error(sees: JSON, seen: Seen) -> None:
    """Status, words, code and advice of an error."""
    if "status" in sees:
        assert seen.status == sees["status"]
    if sees.get("failed"):
        assert seen.error is not None
    if "error" in sees:
        assert seen.error is not None
        assert sees["error"] in seen.error["message"]
    for name in ("code", "param"):
        if name in sees:
            assert seen.error is not None
            assert seen.error[name] == sees[name]
    if "retry" in sees:
        assert seen.retry is sees["retry"]
    if "retry_after" in sees:
        low, high = sees["retry_after"]
        assert seen.retry_after is not None
        assert low <= seen.retry_after <= high


def check_back(
    service: Service, seen: Seen, mode: str, expected: JSON, look: Look
) -> None:
    """The answer goes back as history, with a result for each call."""
    said = {"role": "assistant", **seen.message}
    results = [
        {"role": "tool", "tool_call_id": call["id"], "content": "done"}
        for call in said.get("tool_calls") or []
    ]
    service.upstream.plain()
    messages = [*ASKED, said, *results, *ASKED]
    again = look(mode, {"model": MODEL, "messages": messages}, "alpha")

    assert (again.error, again.status) == (None, 200)
    assert again.message["content"] == TEXT
    for path, value in expected.items():
        assert at(service.upstream.asked[-1], path) == value


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
STREAMED = [shape for shape in ONE_OF_EACH_KIND.values() if "stream" in shape.modes]


def test_most_kinds_are_tried_on_the_other_ways_in() -> None:
    assert len(ONE_OF_EACH_KIND) == 12


@pytest.mark.parametrize("shape", ONE_OF_EACH_KIND.values(), ids=lambda shape: shape.id)
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
    response = item["response"]
    seen = Seen(usage=response["usage"])
    for choice in response["choices"]:
        seen.messages[choice["index"]] = choice["message"]
        seen.finishes[choice["index"]] = choice["finish_reason"]
        chances = (choice["logprobs"] or {}).get("content") or []
        seen.tokens += [one["token"] for one in chances]
    check_answer(shape.sees, seen)
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


def frames_of(lines: Any) -> Iterator[tuple[str, str]]:
    """The id and the data of each event."""
    event_id = ""
    for line in lines:
        name, _, value = line.partition(": ")
        if name == "id":
            event_id = value
        elif name == "data":
            yield event_id, value


def put_together(frames: list[JSON]) -> Seen:
    """Chunks as one answer."""
    seen = Seen()
    for one in frames:
        assert "error" not in one
        seen.usage = one.get("usage") or seen.usage
        for choice in one["choices"]:
            _add(seen, choice)
    for said in seen.messages.values():
        calls = said.pop("calls", {})
        if calls:
            said["tool_calls"] = [calls[index] for index in sorted(calls)]
    return seen


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
