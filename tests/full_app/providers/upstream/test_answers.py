"""Answers as real upstreams give them: each that is complete reaches the client.

The bytes go over a real socket, whole and streamed. The shapes are those of public bug
reports about Gemini, Mistral, vLLM, llama.cpp, Ollama, OpenRouter and Azure.
"""

import gzip
import itertools
import json
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from examples.full_app.providers.base import Delta
from examples.full_app.providers.upstream.answers import AnswerReader
from examples.full_app.providers.upstream.errors import UpstreamError
from examples.full_app.providers.upstream.event_parser import EventParser
from examples.s2_models import Usage
from tests.full_app.upstreams import ASK, PATH, SSE, answering, head, in_front_of

TEXT = "Tea is served."
COUNTS = {"prompt_tokens": 9, "completion_tokens": 5, "total_tokens": 14}
JSON_HEAD = head(200, "application/json")


def whole(message: dict[str, Any], reason: object = "stop", **more: Any) -> bytes:
    """The body of a whole answer with one choice."""
    choice = {"index": 0, "message": message, "finish_reason": reason}
    return json.dumps({"choices": [choice], "usage": COUNTS, **more}).encode()


def events(*chunks: dict[str, Any], done: bytes = b"data: [DONE]\n\n") -> bytes:
    """The body of a stream."""
    frames = [b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in chunks]
    return b"".join([*frames, done])


def step(delta: object, reason: object = None, **more: Any) -> dict[str, Any]:
    """One chunk with one choice."""
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": reason}], **more}


def both(message: dict[str, Any], reason: object = "stop") -> list[bytes]:
    """The same message whole, and streamed in one piece."""
    return [
        JSON_HEAD + whole(message, reason),
        SSE + events(step(message), step({}, reason)),
    ]


def asked(reply: bytes, *, stream: bool, **more: Any) -> httpx2.Response:
    """What a client gets whose service's upstream answers `reply`."""
    with answering(reply) as (url, _), in_front_of(url) as http:
        return http.post(PATH, json={**ASK, "stream": stream, **more})


def read(answer: httpx2.Response) -> dict[str, Any]:
    """The first choice's message, reason and usage, of an answer of either kind."""
    assert answer.status_code == 200, answer.text
    assert '"error"' not in answer.text
    if not answer.headers["content-type"].startswith("text/event-stream"):
        body = answer.json()
        choice = body["choices"][0]
        message = {**choice["message"], "finish": choice["finish_reason"]}
        return {**message, "usage": body["usage"]}
    return _read_stream(answer.text)


def _read_stream(text: str) -> dict[str, Any]:
    frames = [f.removeprefix("data: ") for f in text.split("\n\n") if f]
    assert frames[-1] == "[DONE]"
    got: dict[str, Any] = {"content": "", "tool_calls": {}}
    for frame in map(json.loads, frames[:-1]):
        got["usage"] = frame.get("usage")
        for choice in frame["choices"]:
            got["finish"] = choice["finish_reason"] or got.get("finish")
            for name, value in choice["delta"].items():
                if name == "tool_calls":
                    _add_pieces(got["tool_calls"], value)
                elif isinstance(value, str):
                    got[name] = got.get(name, "") + value
                else:
                    got[name] = value
    got["tool_calls"] = [call for _, call in sorted(got["tool_calls"].items())]
    return got


def _add_pieces(calls: dict[int, Any], pieces: list[dict[str, Any]]) -> None:
    """As the official clients do it: texts of a call are appended."""
    for piece in pieces:
        call = calls.setdefault(piece["index"], {"function": {}})
        call.update({k: v for k, v in piece.items() if k not in ("function", "index")})
        for name, value in piece.get("function", {}).items():
            call["function"][name] = call["function"].get(name, "") + value


WITH_USAGE = {"stream_options": {"include_usage": True}}
USAGES: dict[str, tuple[object, tuple[int, int] | None]] = {
    "total above the sum": (
        {"prompt_tokens": 9, "completion_tokens": 5, "total_tokens": 99},
        (9, 90),
    ),
    "total below the sum": ({**COUNTS, "total_tokens": 3}, (9, 5)),
    "no total": ({"prompt_tokens": 9, "completion_tokens": 5}, (9, 5)),
    "one part from the total": ({"completion_tokens": 5, "total_tokens": 14}, (9, 5)),
    "texts": ({name: str(count) for name, count in COUNTS.items()}, (9, 5)),
    "floats": ({name: float(count) for name, count in COUNTS.items()}, (9, 5)),
    "other names": ({"input_tokens": 9, "output_tokens": 5}, (9, 5)),
    "details null": ({**COUNTS, "prompt_tokens_details": None, "cost": 0.1}, (9, 5)),
    "details odd": ({**COUNTS, "prompt_tokens_details": {"cached": "?"}}, (9, 5)),
    "empty": ({}, None),
    "null": (None, None),
    "zeros": (dict.fromkeys(COUNTS, 0), None),
    "negative": ({**dict.fromkeys(COUNTS, -1)}, None),
    "completion null": ({"prompt_tokens": 9, "completion_tokens": None}, None),
    "huge": ({"prompt_tokens": 10**30, "completion_tokens": 1e300}, None),
    "a list": ([9, 5], None),
    "booleans": (dict.fromkeys(COUNTS, True), None),
}


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize(("usage", "counts"), USAGES.values(), ids=USAGES.keys())
def test_no_usage_costs_an_answer(
    usage: object, counts: tuple[int, int] | None, stream: bool
) -> None:
    message = {"role": "assistant", "content": TEXT}
    reply = (
        SSE + events(step(message), step({}, "stop"), {"choices": [], "usage": usage})
        if stream
        else JSON_HEAD + whole(message, usage=usage)
    )

    got = read(asked(reply, stream=stream, **(WITH_USAGE if stream else {})))

    used = got["usage"]
    found = used["prompt_tokens"], used["completion_tokens"]
    assert got["content"] == TEXT
    assert used["total_tokens"] == sum(found)
    assert min(found) > 0
    if counts is not None:
        assert found == counts


REASONS = {
    "end_turn": "stop",
    "eos": "stop",
    "STOP": "stop",
    "blue_moon": "stop",
    "max_tokens": "length",
    "MAX_TOKENS": "length",
    "model_length": "length",
    "tool_use": "tool_calls",
    "function_call": "tool_calls",
    "SAFETY": "content_filter",
    "content_filter": "content_filter",
}


@pytest.mark.parametrize("kind", [0, 1], ids=["whole", "streamed"])
@pytest.mark.parametrize(("sent", "seen"), REASONS.items(), ids=REASONS.keys())
def test_a_reason_to_finish_is_one_of_openais(sent: str, seen: str, kind: int) -> None:
    reply = both({"content": TEXT}, sent)[kind]

    got = read(asked(reply, stream=bool(kind)))

    assert (got["content"], got["finish"]) == (TEXT, seen)


def test_an_empty_reason_is_none_yet_in_a_stream_and_a_stop_at_its_end() -> None:
    chunks = [step({"content": "Tea "}, ""), step({"content": "is served."}, "")]
    later = asked(SSE + events(*chunks, step({}, "length")), stream=True)
    never = asked(SSE + events(*chunks), stream=True)

    assert (read(later)["content"], read(later)["finish"]) == (TEXT, "length")
    assert (read(never)["content"], read(never)["finish"]) == (TEXT, "stop")


FUNCTION = {"name": "brew", "arguments": '{"leaf": "green"}'}
CALLS: dict[str, list[dict[str, Any]]] = {
    "plain": [{"index": 0, "id": "c1", "type": "function", "function": FUNCTION}],
    "no index": [{"id": "c1", "type": "function", "function": FUNCTION}],
    "no id": [{"index": 0, "type": "function", "function": FUNCTION}],
    "id null, type empty": [{"id": None, "type": "", "function": FUNCTION}],
    "arguments as an object": [
        {"id": "c1", "function": {"name": "brew", "arguments": {"leaf": "green"}}}
    ],
    "no function": [{"id": "c1", **FUNCTION}],
    "a long id": [{"id": "c" * 5_000, "function": FUNCTION}],
}


@pytest.mark.parametrize("kind", [0, 1], ids=["whole", "streamed"])
@pytest.mark.parametrize("calls", CALLS.values(), ids=CALLS.keys())
def test_a_tool_call_arrives_in_openais_form(
    calls: list[dict[str, Any]], kind: int
) -> None:
    reply = both({"content": None, "tool_calls": calls}, "tool_calls")[kind]

    [call] = read(asked(reply, stream=bool(kind)))["tool_calls"]

    assert call["function"]["name"] == "brew"
    assert json.loads(call["function"]["arguments"]) == {"leaf": "green"}
    assert call["id"] == (calls[0].get("id") or call["id"]) != ""
    assert call["type"] == "function"


OTHER = {"name": "pour", "arguments": "{}"}
TWO_CALLS = {
    "no index": [{"id": "a", "function": FUNCTION}, {"id": "b", "function": OTHER}],
    "neither index nor id": [{"function": FUNCTION}, {"function": OTHER}],
    "the same index": [
        {"index": 0, "id": "a", "function": FUNCTION},
        {"index": 0, "id": "b", "function": OTHER},
    ],
    "the same id": [
        {"index": 0, "id": "a", "function": FUNCTION},
        {"index": 1, "id": "a", "function": OTHER},
    ],
}


@pytest.mark.parametrize("calls", TWO_CALLS.values(), ids=TWO_CALLS.keys())
def test_two_calls_stay_two_with_ids_of_their_own(calls: list[dict[str, Any]]) -> None:
    one_by_one = [step({"tool_calls": [call]}) for call in calls]
    reply = SSE + events(*one_by_one, step({}, "tool_calls"))

    got = read(asked(reply, stream=True))["tool_calls"]

    assert [call["function"] for call in got] == [FUNCTION, OTHER]
    assert len({call["id"] for call in got}) == 2


def test_later_pieces_may_repeat_or_leave_out_what_is_known() -> None:
    pieces = [
        {"index": 0, "id": "a", "function": {"name": "brew", "arguments": ""}},
        {"index": 0, "id": "a", "type": "function"},
        {"index": 0, "id": "", "function": {"name": "brew", "arguments": '{"leaf": '}},
        {"index": 0, "function": {"name": "", "arguments": '"green"}'}},
    ]
    chunks = [step({"tool_calls": [piece]}) for piece in pieces]

    got = read(asked(SSE + events(*chunks, step({}, "tool_calls")), stream=True))

    assert got["tool_calls"] == [{"id": "a", "type": "function", "function": FUNCTION}]


@pytest.mark.parametrize("kind", [0, 1], ids=["whole", "streamed"])
def test_the_text_in_content_parts_is_the_text(kind: int) -> None:
    thought = {"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}
    parts = [thought, {"type": "text", "text": TEXT}]

    got = read(asked(both({"content": parts})[kind], stream=bool(kind)))

    assert (got["content"], got["reasoning_content"]) == (TEXT, "Hm.")


@pytest.mark.parametrize("kind", [0, 1], ids=["whole", "streamed"])
@pytest.mark.parametrize(
    "further",
    [
        {"refusal": "Not for me to say."},
        {"reasoning_content": "Water first."},
        {"reasoning": "Leaves next."},
        {"annotations": [{"type": "url_citation"}]},
        {"vendor_field": {"depth": 3}},
    ],
    ids=lambda further: next(iter(further)),
)
def test_fields_that_we_do_not_read_are_passed_on(
    further: dict[str, Any], kind: int
) -> None:
    answer = asked(both({"content": TEXT, **further})[kind], stream=bool(kind))

    got = read(answer)

    assert {name: got[name] for name in further} == further


def test_a_stream_where_a_whole_answer_was_asked_for_is_joined() -> None:
    chunks = [
        step({"reasoning_content": "Water "}),
        step({"reasoning_content": "first."}),
        step({"refusal": "No "}),
        step({"refusal": "tea."}),
        step({}, "stop"),
    ]

    got = read(asked(SSE + events(*chunks), stream=False))

    assert (got["reasoning_content"], got["refusal"]) == ("Water first.", "No tea.")
    assert got["content"] is None
    assert got["usage"]["completion_tokens"] > 0  # reasoning alone is charged


def test_a_whole_answer_where_a_stream_was_asked_for_is_streamed() -> None:
    got = read(asked(JSON_HEAD + whole({"content": TEXT}), stream=True))

    assert (got["content"], got["finish"]) == (TEXT, "stop")


PLAIN = [step({"content": "Tea "}), step({"content": "is served."}), step({}, "stop")]
PACKED = gzip.compress(events(*PLAIN))
WIRES = {
    "delta null": SSE + events(*PLAIN[:2], step(None, "stop")),
    "choices null": SSE + events(*PLAIN, {"choices": None, "usage": COUNTS}),
    "index missing": SSE
    + events(
        {"choices": [{"delta": {"content": TEXT}}]},
        {"choices": [{"delta": {}, "finish_reason": "stop"}]},
    ),
    "counted from one": SSE
    + events(
        {"choices": [{"index": 1, "delta": {"content": TEXT}}]},
        {"choices": [{"index": 1, "delta": {}, "finish_reason": "stop"}]},
    ),
    "another content type": head(200, "text/plain") + events(*PLAIN),
    "latin-1 in name": head(200, "text/event-stream; charset=ISO-8859-1")
    + events(*PLAIN),
    "gzip": head(200, "text/event-stream", "content-encoding: gzip") + PACKED,
    "HTTP/1.0": (SSE + events(*PLAIN)).replace(b"HTTP/1.1", b"HTTP/1.0"),
    "returns and line feeds": SSE + events(*PLAIN).replace(b"\n", b"\r\n"),
    "comments": SSE + b": warm\n\n" + events(*PLAIN) + b": x\n\n",
    "cut off after the end": head(200, "text/event-stream", "content-length: 9999")
    + events(*PLAIN, done=b""),
    "nonsense after the end": SSE + events(*PLAIN, done=b'data: {"cho\n\n'),
    "an error after the end": SSE + events(*PLAIN, {"error": "too late"}),
}


@pytest.mark.parametrize("reply", WIRES.values(), ids=WIRES.keys())
def test_a_complete_stream_arrives_whatever_surrounds_it(reply: bytes) -> None:
    got = read(asked(reply, stream=True))

    assert (got["content"], got["finish"]) == (TEXT, "stop")


def test_a_character_in_two_chunks_becomes_one() -> None:
    pot = "\U0001fad6"
    halves = [step({"content": "Tea \ud83e"}), step({"content": "\uded6 now"})]
    joined = read(asked(SSE + events(*halves, step({}, "stop")), stream=True))
    lone = read(asked(SSE + events(halves[0], step({}, "stop")), stream=True))

    assert joined["content"] == f"Tea {pot} now"
    assert lone["content"] == "Tea \ufffd"


@pytest.mark.parametrize("kind", [0, 1], ids=["whole", "streamed"])
def test_fewer_choices_than_asked_for_are_an_answer(kind: int) -> None:
    got = read(asked(both({"content": TEXT})[kind], stream=bool(kind), n=2))

    assert (got["content"], got["finish"]) == (TEXT, "stop")


REFUSALS: dict[str, Any] = {
    "text": {"error": "Only 4 leaves fit."},
    "object": {"error": {"message": "Only 4 leaves fit."}},
    "detail": {"detail": "Only 4 leaves fit."},
    "detail of FastAPI": {"detail": [{"loc": ["x"], "msg": "Only 4 leaves fit."}]},
    "message": {"object": "error", "message": "Only 4 leaves fit."},
    "list": [{"error": {"code": 400, "message": "Only 4 leaves fit."}}],
}


@pytest.mark.parametrize("body", REFUSALS.values(), ids=REFUSALS.keys())
def test_what_the_upstream_says_of_a_refusal_reaches_the_caller(body: object) -> None:
    reply = head(400, "application/json") + json.dumps(body).encode()

    answer = asked(reply, stream=False)

    assert answer.status_code == 400
    assert answer.json()["error"]["message"] == "Only 4 leaves fit."
    assert answer.headers["x-should-retry"] == "false"


@pytest.mark.parametrize("status", [401, 402, 403, 404])
def test_a_refusal_of_us_is_neither_the_callers_nor_worth_a_retry(status: int) -> None:
    reply = head(status, "application/json") + b'{"error": "Buy more leaves."}'
    with answering(reply) as (url, requests), in_front_of(url) as http:
        for _ in range(7):  # more than open the breaker
            answer = http.post(PATH, json=ASK)

    assert (answer.status_code, answer.json()["code"]) == (502, "upstream_refused")
    assert "Buy more leaves." in answer.json()["error"]["message"]
    assert answer.headers["x-should-retry"] == "false"
    assert len(requests) == 7


@pytest.mark.parametrize(
    "reply",
    [
        JSON_HEAD + b'{"choices": 7}',
        JSON_HEAD + b'"Tea is served."',
        head(200, "text/html; charset=utf-8") + b"<!doctype html>\n<p>Sign in first.",
    ],
    ids=["no choices", "a text", "a page"],
)
def test_answers_that_cannot_be_read_do_not_open_the_breaker(reply: bytes) -> None:
    with answering(reply) as (url, requests), in_front_of(url) as http:
        answers = [http.post(PATH, json=ASK) for _ in range(7)]

    assert {answer.status_code for answer in answers} == {502}
    assert answers[-1].headers["x-should-retry"] == "false"
    assert len(requests) == 7


BROKEN = {
    "text": events(*PLAIN[:1], {"error": "The pot fell."}),
    "object": events(*PLAIN[:1], {"error": {"message": "The pot fell."}}),
    "event": b'event: error\ndata: {"message": "The pot fell."}\n\n',
    "event of text": b"event: error\ndata: The pot fell.\n\n",
    "llama.cpp": b'error: {"code": 500, "message": "The pot fell."}\n\n',
    "in the choice": events(
        {"choices": [{"finish_reason": "error", "error": {"message": "The pot fell."}}]}
    ),
}


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("body", BROKEN.values(), ids=BROKEN.keys())
def test_an_error_in_a_stream_says_what_the_upstream_said(
    body: bytes, stream: bool
) -> None:
    answer = asked(SSE + body, stream=stream)

    assert "The pot fell." in answer.text
    assert "[DONE]" not in answer.text
    assert '"code":"upstream_error"' in answer.text


WAITS = {
    ("retry-after: 20.5",): "21",
    ("retry-after-ms: 20000",): "20",
    ("retry-after: 3", "retry-after-ms: 1500"): "2",
}


@pytest.mark.parametrize(("headers", "seconds"), WAITS.items(), ids=str)
def test_the_wait_that_the_upstream_asks_for_is_kept(
    headers: tuple[str, ...], seconds: str
) -> None:
    reply = head(429, "application/json", *headers) + b'{"error": "Steep."}'

    answer = asked(reply, stream=False)

    assert (answer.status_code, answer.headers["retry-after"]) == (429, seconds)
    assert answer.json()["error"]["message"] == "Steep."


# --- Mutated answers ---

FULL_MESSAGE = {
    "role": "assistant",
    "content": TEXT,
    "refusal": "no",
    "tool_calls": [{"index": 0, "id": "a", "type": "function", "function": FUNCTION}],
}
FULL_CHOICE = {
    "index": 0,
    "finish_reason": "stop",
    "logprobs": {"content": [{"token": "T", "logprob": -0.1, "top_logprobs": []}]},
}
VALUES: list[Any] = [None, 7, -1.5, True, "x", [], [1], {}, {"a": None}, [[{}]]]


def mutations(value: Any) -> Iterator[Any]:
    """The value with one of its parts missing, or replaced by each of `VALUES`."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield {k: v for k, v in value.items() if k != key}
            for other in itertools.chain(VALUES, mutations(item)):
                yield {**value, key: other}
    elif isinstance(value, list):
        for place, item in enumerate(value):
            for other in itertools.chain(VALUES, mutations(item)):
                yield [*value[:place], other, *value[place + 1 :]]


def deltas_of(items: Iterator[Delta | Usage]) -> list[Delta]:
    return [item for item in items if isinstance(item, Delta)]


def test_no_mutation_of_a_whole_answer_is_worse_than_an_error_of_the_upstream() -> None:
    answer = {"choices": [{**FULL_CHOICE, "message": FULL_MESSAGE}], "usage": COUNTS}
    kept = 0
    for mutated in mutations(answer):
        try:
            deltas = deltas_of(AnswerReader(1).answer(json.dumps(mutated).encode()))
        except UpstreamError:
            continue
        assert all(delta.finish_reason for delta in deltas)
        kept += "choices" in mutated and TEXT in str(deltas)

    assert kept > 200


def test_no_mutation_beside_the_text_loses_it() -> None:
    """All mutations but those of the text itself, and of what holds it."""
    answer = {"choices": [{**FULL_CHOICE, "message": FULL_MESSAGE}], "usage": COUNTS}
    for mutated in mutations(answer):
        choices = mutated.get("choices")
        if TEXT in json.dumps(mutated) and '"error"' not in json.dumps(mutated):
            deltas = deltas_of(AnswerReader(1).answer(json.dumps(mutated).encode()))
            assert TEXT in str(deltas), choices


def test_a_stream_is_read_alike_wherever_its_bytes_are_split() -> None:
    chunks = [step(FULL_MESSAGE), step({"content": "é\U0001fad6"}), step({}, "stop")]
    body = events(*chunks).replace(b"\n", b"\r\n")

    def read_in_pieces(*pieces: bytes) -> list[Delta]:
        parser, reader = EventParser(), AnswerReader(1)
        found = [event for piece in pieces for event in parser.feed(piece)]
        return [
            delta
            for event in [*found, *parser.end()]
            if event.data != b"[DONE]"
            for delta in deltas_of(reader.event(event.type, event.data))
        ]

    expected = read_in_pieces(body)
    assert expected[-1].finish_reason == "stop"
    for place in range(1, len(body)):
        assert read_in_pieces(body[:place], body[place:]) == expected
