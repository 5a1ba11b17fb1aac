"""A service before an upstream that answers what a test says, and its clients' view.

What an official client shows of an answer is a `Seen`, whichever client it is; `check`
compares one with what a `Shape` says.
"""

import contextlib
import json
import re
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, TypeVar

import httpx2
import openai

from examples.full_app.main import create_app
from tests.full_app.conftest import KEY, settings
from tests.full_app.contract.upstream_shapes import (
    ASKED,
    JSON,
    PLAIN,
    PLAIN_STREAM,
    TEXT,
    Shape,
)
from tests.full_app.upstreams import PATH
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


FIELDS_OF_CHOICE = ("index", "message", "delta", "finish_reason", "logprobs")


@dataclass
class Seen:
    """What one call showed to the official client.

    `fields` are those of the answer besides its choices and its usage, and
    `choice_fields` those of its choices besides what every choice has.
    """

    status: int = 200
    messages: dict[int, JSON] = field(default_factory=dict)
    finishes: dict[int, str] = field(default_factory=dict)
    usage: JSON | None = None
    tokens: list[str] = field(default_factory=list)
    error: JSON | None = None
    retry: bool | None = None
    retry_after: int | None = None
    fields: JSON = field(default_factory=dict)
    choice_fields: JSON = field(default_factory=dict)

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
    return seen_whole(answer)


def seen_whole(answer: Any) -> Seen:
    """A whole answer."""
    seen = Seen(usage=answer.get("usage"))
    seen.fields = besides(answer, "choices", "usage")
    for choice in answer["choices"]:
        seen.messages[choice["index"]] = choice["message"]
        seen.finishes[choice["index"]] = choice["finish_reason"]
        seen.choice_fields |= besides(choice, *FIELDS_OF_CHOICE)
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
            _add_chunk(seen, one.to_dict())
    except openai.APIError as error:
        body: Any = error.body
        seen.error = body
    for put_together in seen.messages.values():
        calls = put_together.pop("calls", {})
        if calls:
            put_together["tool_calls"] = [calls[index] for index in sorted(calls)]
    return seen


def besides(fields: JSON, *names: str) -> JSON:
    """The fields of an object that have other names."""
    return {name: value for name, value in fields.items() if name not in names}


def _add_chunk(seen: Seen, fields: Any) -> None:
    seen.usage = fields.get("usage") or seen.usage
    seen.fields |= besides(fields, "choices", "usage")
    for choice in fields["choices"]:
        _add(seen, choice)


def _add(seen: Seen, choice: JSON) -> None:
    index = choice["index"]
    seen.choice_fields |= besides(choice, *FIELDS_OF_CHOICE)
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
        _add_chunk(seen, one)
    for said in seen.messages.values():
        calls = said.pop("calls", {})
        if calls:
            said["tool_calls"] = [calls[index] for index in sorted(calls)]
    return seen


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
    for name, value in sees.get("answer", {}).items():
        assert seen.fields[name] == value
    for name, value in sees.get("choice", {}).items():
        assert seen.choice_fields[name] == value
    if sees.get("own"):
        check_own_fields(seen.fields)
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


def check_own_fields(fields: JSON) -> None:
    """What the service says itself is not what the upstream claims."""
    assert fields["id"].startswith("chatcmpl-")
    assert fields["object"].startswith("chat.completion")
    assert fields["created"] > 1
    assert fields["model"] == MODEL
    assert fields.get("cost_usd") is None
    assert not {"charged_usd", "error", "system_fingerprint"} & fields.keys()


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
