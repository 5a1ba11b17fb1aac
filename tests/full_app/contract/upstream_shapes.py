"""What upstreams answer and callers ask, in the odd forms that are in use.

A shape says what an upstream sends, what the client asks, and what the client must see.
Each of `SHAPES` is the case of this name that the project was given; `SIBLINGS` are our
own of the same kinds. Sources: public bug reports about Gemini, Mistral, DeepSeek,
vLLM, llama.cpp, Ollama, OpenRouter and Azure.
"""

import email.utils
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

JSON = dict[str, Any]
Body = bytes | Callable[[], bytes]

TEXT = "Tea is served."
COUNTS = {"prompt_tokens": 9, "completion_tokens": 5, "total_tokens": 14}
ASKED = [{"role": "user", "content": "Is there tea?"}]


@dataclass(frozen=True)
class Shape:
    """One case. `whole` and `stream` are the upstream's answers, head and all.

    Without them it answers `TEXT` plainly. `ask` is added to a plain question. `sees`
    names what the client must see, `answer` and `choice` among it: fields besides the
    message; `back`: its answer is sent back as history, which
    must be answered and arrive so; `got`: what the upstream must be asked, by path.
    `key` is the caller, one of the tests' `CALLERS`; without it one without a budget.
    """

    id: str
    whole: Body | None = None
    stream: Body | None = None
    ask: JSON = field(default_factory=dict)
    sees: JSON = field(default_factory=dict)
    modes: tuple[str, ...] = ("whole", "stream")
    key: str | None = None

    @property
    def kind(self) -> str:
        """The first part of its name."""
        return self.id.partition("/")[0]


# --- How upstreams write ---


def http(
    body: bytes,
    kind: str = "application/json",
    status: int = 200,
    headers: dict[str, str] | None = None,
) -> bytes:
    """An answer after which the connection closes."""
    lines = [f"HTTP/1.1 {status} Answer", f"content-type: {kind}", "connection: close"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


def as_json(value: object, status: int = 200, **headers: str) -> bytes:
    """A JSON body; `_` in the name of a header stands for `-`."""
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    return http(json.dumps(value).encode(), status=status, headers=named)


def message(fields: JSON, reason: object = "stop", **more: Any) -> JSON:
    """A whole answer with one choice."""
    said = {"role": "assistant", "content": None, **fields}
    choice = {"index": 0, "message": said, "finish_reason": reason}
    return {"choices": [choice], "usage": COUNTS, **more}


def chunk(delta: object, reason: object = None, **more: Any) -> JSON:
    """One chunk with one choice."""
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": reason}], **more}


def counted(usage: object) -> JSON:
    """The last chunk of a stream: no choice, only a usage."""
    return {"choices": [], "usage": usage}


def events(*chunks: JSON | str, end: str = "data: [DONE]\n\n") -> str:
    """A stream's body; a text goes out as it stands."""
    frames = [
        one if isinstance(one, str) else f"data: {json.dumps(one)}\n\n"
        for one in chunks
    ]
    return "".join([*frames, end])


def sse(*chunks: JSON | str, end: str = "data: [DONE]\n\n") -> bytes:
    """A stream with its head."""
    return http(events(*chunks, end=end).encode(), "text/event-stream")


OPENING = chunk({"role": "assistant", "content": ""})
TEXT_CHUNKS = (OPENING, chunk({"content": "Tea "}), chunk({"content": "is served."}))
STOP = chunk({}, "stop")
PLAIN = as_json(message({"content": TEXT}))
PLAIN_STREAM = sse(*TEXT_CHUNKS, STOP, counted(COUNTS))

ANSWERED = {"text": TEXT, "finish": "stop"}
CALL = {"name": "brew", "arguments": '{"leaf": "green"}'}
OTHER_CALL = {"name": "pour", "arguments": '{"cups": 2}'}
BREW = ("brew", {"leaf": "green"})
POUR = ("pour", {"cups": 2})


def call(function: JSON = CALL, **more: Any) -> JSON:
    """A tool call as OpenAI writes it, changed by `more`; None leaves a field out."""
    fields = {"id": "call_1", "type": "function", "function": function, **more}
    return {name: value for name, value in fields.items() if value is not LEFT_OUT}


LEFT_OUT = object()


# --- Builders of shapes ---


def usage(name: str, sent: object, seen: object = "counts") -> Shape:
    """A plain text with this usage."""
    return Shape(
        f"usage/{name}",
        as_json(message({"content": TEXT}, usage=sent)),
        sse(*TEXT_CHUNKS, STOP, counted(sent)),
        sees={**ANSWERED, "usage": seen},
    )


def finish(name: str, sent: object, *seen: str) -> Shape:
    """A plain text with this reason to finish."""
    return Shape(
        f"finish/{name}",
        as_json(message({"content": TEXT}, sent)),
        sse(*TEXT_CHUNKS, chunk({}, sent)),
        sees={"text": TEXT, "finish": list(seen)},
    )


def tools(
    name: str,
    *pieces: list[JSON],
    whole: list[JSON] | None = None,
    seen: list[Any] | None = None,
    reason: str = "tool_calls",
) -> Shape:
    """Calls of tools, in one chunk for each of `pieces`."""
    steps = [chunk({"tool_calls": calls}) for calls in pieces]
    return Shape(
        f"tools/{name}",
        None if whole is None else as_json(message({"tool_calls": whole}, reason)),
        sse(OPENING, *steps, chunk({}, reason)),
        sees={"tools": seen or [BREW], "finish": "tool_calls", "back": {}},
        modes=("stream",) if whole is None else ("whole", "stream"),
    )


def parts(name: str, *steps: list[JSON], sees: JSON | None = None) -> Shape:
    """Content as parts: all of them in one message, or one step in each chunk."""
    joined = [part for step in steps for part in step]
    return Shape(
        f"parts/{name}",
        as_json(message({"content": joined})),
        sse(OPENING, *(chunk({"content": step}) for step in steps), STOP),
        sees={**ANSWERED, **(sees or {})},
    )


def wire(name: str, stream: bytes, text: str = TEXT) -> Shape:
    """A stream whose bytes are unusual."""
    return Shape(
        f"wire/{name}",
        stream=stream,
        sees={"text": text, "finish": "stop"},
        modes=("stream",),
    )


def chunks(name: str, *frames: JSON, whole: JSON | None = None, **sees: Any) -> Shape:
    """A plain text whose envelope is unusual."""
    return Shape(
        f"chunks/{name}",
        None if whole is None else as_json(whole),
        sse(*frames),
        sees={**ANSWERED, **sees},
        modes=("stream",) if whole is None else ("whole", "stream"),
    )


def refused(name: str, body: object, sent: int = 400, /, **sees: Any) -> Shape:
    """An error of the upstream."""
    reply = as_json(body, sent)
    expected = {"status": 400, "error": "Only 4 leaves fit.", "retry": False, **sees}
    return Shape(f"refused/{name}", reply, reply, sees=expected)


def broken(name: str, whole: JSON | None, *frames: JSON | str) -> Shape:
    """An error after a 200, or in place of the answer."""
    return Shape(
        f"broken/{name}",
        None if whole is None else as_json(whole),
        sse(*TEXT_CHUNKS[:2], *frames, end=""),
        sees={"failed": True, "error": "The pot fell."},
        modes=("stream",) if whole is None else ("whole", "stream"),
    )


def wait(name: str, seconds: tuple[int, int], reply: Body) -> Shape:
    """A 429 that says how long to wait."""
    sees = {"status": 429, "error": "Steep.", "retry_after": seconds}
    return Shape(f"wait/{name}", reply, reply, sees=sees)


def told_to_wait(**headers: str) -> bytes:
    """A 429 with these headers."""
    return as_json({"error": {"message": "Steep."}}, 429, **headers)


def in_twenty_seconds() -> bytes:
    """A 429 whose wait is a date."""
    until = email.utils.formatdate(time.time() + 20, usegmt=True)
    return told_to_wait(retry_after=until)


def history(name: str, turn: JSON, **sees: Any) -> Shape:
    """A question after an earlier turn of the assistant."""
    return Shape(
        name,
        ask={"messages": [*ASKED, {"role": "assistant", **turn}, *ASKED]},
        sees={**ANSWERED, **sees},
    )


def thought(name: str, field_name: str, value: Any, *pieces: Any) -> Shape:
    """An answer with a field beside its text, which goes back in the history."""
    return Shape(
        name,
        as_json(message({"content": TEXT, field_name: value})),
        sse(
            OPENING,
            *(chunk({field_name: piece}) for piece in pieces),
            *TEXT_CHUNKS[1:],
            STOP,
            counted(COUNTS),
        ),
        sees={
            **ANSWERED,
            "further": {field_name: value},
            "back": {f"messages.1.{field_name}": value},
        },
    )


def embeds(name: str, reply: object, ask: JSON | None = None, **sees: Any) -> Shape:
    """An answer to two inputs."""
    expected = sees or {"vectors": [[0.5, 0.25], [-0.75, 1.0]]}
    asked = {"input": ["green", "black"], **(ask or {})}
    return Shape(
        f"vectors/{name}", as_json(reply), ask=asked, sees=expected, modes=("whole",)
    )


def vectors(*entries: object, **more: Any) -> JSON:
    """An answer to a request for embeddings."""
    tokens = {"prompt_tokens": 4, "total_tokens": 4}
    return {"object": "list", "data": entries, "model": "m", "usage": tokens, **more}


# --- Fields beside the message ---

TIER: JSON = {"service_tier": "flex", "system_fingerprint": "fp_tea"}
FILTERED = {"prompt_filter_results": [{"prompt_index": 0, "hate": False}]}
TIMES = {"timings": {"predicted_ms": 12.5}}
SAFE = {"content_filter_results": {"hate": {"filtered": False}}}
NATIVE = {"native_finish_reason": "STOP", "stop_reason": 7}
CLAIMED = {
    **{"id": "tea-1", "object": "tea", "created": 1, "model": "tea", "error": None},
    **{"cost_usd": "99", "charged_usd": "99", "system_fingerprint": 7},
}


def with_choice(one: JSON, **fields: Any) -> JSON:
    """The answer or the chunk, with these fields in its one choice."""
    [choice] = one["choices"]
    return {**one, "choices": [{**choice, **fields}]}


FIELDS = [
    Shape(
        "chunks/fields-of-the-answer",
        as_json(message({"content": TEXT}, **TIER, **FILTERED, **TIMES)),
        sse(
            {"choices": [], **FILTERED},
            *({**one, **TIER} for one in TEXT_CHUNKS),
            {**STOP, **TIER},
            {**counted(COUNTS), **TIER, **TIMES},
        ),
        sees={**ANSWERED, "answer": {**TIER, **FILTERED, **TIMES}},
    ),
    Shape(
        "chunks/a-field-that-changes",
        as_json(message({"content": TEXT}, sources=["a", "b"])),
        sse(
            *({**one, "sources": ["a"]} for one in TEXT_CHUNKS),
            {**STOP, "sources": ["a", "b"]},
        ),
        sees={**ANSWERED, "answer": {"sources": ["a", "b"]}},
    ),
    Shape(
        "chunks/fields-of-a-choice",
        as_json(with_choice(message({"content": TEXT}), **SAFE, **NATIVE)),
        sse(
            *(with_choice(one, **SAFE) for one in TEXT_CHUNKS),
            with_choice(STOP, **NATIVE),
        ),
        sees={**ANSWERED, "choice": {**SAFE, **NATIVE}},
    ),
    Shape(
        "chunks/a-field-of-a-choice-without-a-delta",
        None,
        sse(*TEXT_CHUNKS, {"choices": [{"index": 0, **SAFE}]}, STOP),
        sees={**ANSWERED, "choice": SAFE},
        modes=("stream",),
    ),
    Shape(
        "chunks/a-field-of-a-choice-that-never-begins",
        None,
        sse({"choices": [{"index": 1, **SAFE}]}, *TEXT_CHUNKS, STOP),
        {"n": 2},
        ANSWERED,
        modes=("stream",),
    ),
    Shape(
        "chunks/fields-that-are-the-services-own",
        as_json(message({"content": TEXT}, **CLAIMED)),
        sse(*({**one, **CLAIMED} for one in TEXT_CHUNKS), {**STOP, **CLAIMED}),
        sees={**ANSWERED, "own": True},
    ),
]


ONE = {"object": "embedding", "index": 0, "embedding": [0.5, 0.25]}
TWO = {"object": "embedding", "index": 1, "embedding": [-0.75, 1.0]}
METERED = {"prompt_tokens": 4, "total_tokens": 4, "cost": 0.5}


def without(entry: JSON, *names: str) -> JSON:
    """The entry without these fields."""
    return {name: value for name, value in entry.items() if name not in names}


def listed(name: str, value: object, *ids: str) -> Shape:
    """A list of models."""
    reply = as_json(value)
    return Shape(f"models/{name}", reply, sees={"listed": ids}, modes=("whole",))


MODEL = {"id": "pot/full", "object": "model", "created": 1, "owned_by": "pot"}


def named(name: str, model: str) -> Shape:
    """A question to a model with an unusual name."""
    sees = {**ANSWERED, "got": {"model": model}}
    return Shape(f"models/{name}", ask={"model": model}, sees=sees)


def passed(name: str, ask: JSON, got: JSON | None = None) -> Shape:
    """Something that this service does not read, and the upstream gets."""
    return Shape(
        f"passed/{name}", ask=ask, sees={**ANSWERED, "got": ask if got is None else got}
    )


def image_of(part: JSON) -> JSON:
    """A question with a part that is not text."""
    content = [{"type": "text", "text": "What is it?"}, part]
    return {"messages": [{"role": "user", "content": content}]}


IMAGE = {"type": "image_url", "image_url": {"url": "https://tea.example/pot.png"}}
REFUSAL = "That is not mine to pour."
THOUGHT = "Water first, then leaves."
CACHED = {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100}


def metered(name: str, model: str, cached: int, spent: str) -> Shape:
    """A call of a key with a budget, some of whose prompt was cached."""
    sent = {**CACHED, "prompt_tokens_details": {"cached_tokens": cached}}
    return Shape(
        f"money/{name}",
        as_json(message({"content": TEXT}, usage=sent)),
        sse(*TEXT_CHUNKS, STOP, counted(sent)),
        ask={"model": model},
        sees={**ANSWERED, "spent": spent},
        key="metered",
    )


def unpaid(
    name: str, key: str, status: int, code: str, ask: JSON | None = None
) -> Shape:
    """A call that is refused before an upstream is asked, for its key may not pay."""
    seen = {"status": status, "code": code, "retry": False, "calls": 0}
    return Shape(f"money/{name}", ask=ask or {}, sees={"failed": True, **seen}, key=key)


def other(name: str) -> Shape:
    """A case that is not about an upstream: its test stands in `OTHERS`."""
    return Shape(name, modes=("whole",))


# --- The shapes ---

SHAPES = [
    usage("total-above-sum", {**COUNTS, "total_tokens": 99}),
    usage("empty", {}),
    usage("completion-null", {"prompt_tokens": 9, "completion_tokens": None}),
    usage("total-as-text", {**COUNTS, "total_tokens": "14"}),
    usage("as-floats", {name: float(n) for name, n in COUNTS.items()}, (9, 5)),
    usage(
        "vendor-extras",
        {**COUNTS, "cost": 0.2, "prompt_tokens_details": None, "queue_time": 0.1},
        (9, 5),
    ),
    Shape(
        "usage/growing-in-every-chunk",
        stream=sse(
            *(
                {
                    **one,
                    "usage": {**COUNTS, "completion_tokens": n, "total_tokens": 9 + n},
                }
                for n, one in enumerate([*TEXT_CHUNKS, STOP], 2)
            )
        ),
        sees={**ANSWERED, "usage": (9, 5)},
        modes=("stream",),
    ),
    finish("end_turn", "end_turn", "stop"),
    finish("max_tokens", "max_tokens", "length"),
    finish("unheard-of", "blue_moon", "stop"),
    finish("safety", "SAFETY", "content_filter", "stop"),
    Shape(
        "finish/empty",
        as_json(message({"content": TEXT}, "")),
        sse(chunk({"content": "Tea "}, ""), chunk({"content": "is served."}, ""), STOP),
        sees=ANSWERED,
    ),
    Shape(
        "finish/function_call",
        as_json(message({"tool_calls": [call()]}, "function_call")),
        sse(
            OPENING,
            chunk({"tool_calls": [call(index=0)]}),
            chunk({}, "function_call"),
        ),
        sees={"tools": [BREW], "finish": "tool_calls", "back": {}},
    ),
    tools("no-index", [call()]),
    tools("id-null", [call(index=0, id=None)], whole=[call(id=None)]),
    tools(
        "arguments-object",
        [call({**CALL, "arguments": {"leaf": "green"}}, index=0)],
        whole=[call({**CALL, "arguments": {"leaf": "green"}})],
    ),
    tools(
        "name-with-dot",
        [call({**CALL, "name": "pot.brew"}, index=0)],
        whole=[call({**CALL, "name": "pot.brew"})],
        seen=[("pot.brew", BREW[1])],
    ),
    tools(
        "second-piece-without-function",
        [call(index=0)],
        [{"index": 0, "id": "call_1", "type": "function"}],
    ),
    tools("two-no-index", [call(), call(OTHER_CALL, id="call_2")], seen=[BREW, POUR]),
    tools(
        "type-empty",
        [call({"name": "brew", "arguments": ""}, index=0)],
        [call({**CALL, "name": ""}, index=0, id="", type="")],
        whole=[call(type="")],
    ),
    tools(
        "two",
        [call(index=0)],
        [call(OTHER_CALL, index=1, id="call_2")],
        whole=[call(), call(OTHER_CALL, id="call_2")],
        seen=[BREW, POUR],
    ),
    parts(
        "thinking-then-text",
        [{"type": "thinking", "thinking": [{"type": "text", "text": THOUGHT}]}],
        [{"type": "text", "text": TEXT}],
    ),
    parts("one-text", [{"type": "text", "text": TEXT}]),
    chunks("delta-null-at-the-end", *TEXT_CHUNKS, chunk(None, "stop")),
    chunks(
        "choices-null-beside-usage",
        *TEXT_CHUNKS,
        STOP,
        {"choices": None, "usage": COUNTS},
        usage=(9, 5),
    ),
    chunks(
        "index-missing",
        {"choices": [{"delta": {"content": TEXT}}]},
        {"choices": [{"delta": {}, "finish_reason": "stop"}]},
        whole={"choices": [{"message": {"content": TEXT}, "finish_reason": "stop"}]},
    ),
    chunks("all-in-one", chunk({"content": TEXT}, "stop", usage=COUNTS), usage=(9, 5)),
    Shape(
        "chunks/top_logprobs-null",
        as_json(
            {
                "choices": [
                    {
                        "index": 0,
                        "message": {"content": TEXT},
                        "finish_reason": "stop",
                        "logprobs": {
                            "content": [
                                {"token": TEXT, "logprob": -0.5, "top_logprobs": None}
                            ]
                        },
                    }
                ]
            }
        ),
        sse(
            {
                "choices": [
                    {
                        "index": 0,
                        "delta": {"content": TEXT},
                        "logprobs": {
                            "content": [
                                {"token": TEXT, "logprob": -0.5, "top_logprobs": None}
                            ]
                        },
                    }
                ]
            },
            STOP,
        ),
        ask={"logprobs": True},
        sees={**ANSWERED, "tokens": [TEXT]},
    ),
    wire("empty-data", sse("data:\n\n", OPENING, "data: \n\n", *TEXT_CHUNKS, STOP)),
    wire("done-then-space", sse(*TEXT_CHUNKS, STOP, end="data: [DONE] \n\n")),
    wire(
        "emoji-in-two-chunks",
        sse(chunk({"content": "Tea \ud83e"}), chunk({"content": "\uded6 now"}), STOP),
        "Tea \U0001fad6 now",
    ),
    wire(
        "charset-latin1",
        http(
            events(chunk({"content": "Café ☕ naïve"}), STOP).encode(),
            "text/event-stream; charset=ISO-8859-1",
        ),
        "Café ☕ naïve",
    ),
    wire(
        "crlf",
        http(
            events(*TEXT_CHUNKS, STOP).replace("\n", "\r\n").encode(),
            "text/event-stream",
        ),
    ),
    wire(
        "comments",
        sse(
            ": warm\n\n",
            OPENING,
            ":\n\nevent: message\nid: 1\nretry: 10\n",
            *TEXT_CHUNKS[1:],
            STOP,
            ": x\n\n",
        ),
    ),
    Shape(
        "refusal/answer",
        as_json(message({"refusal": REFUSAL})),
        sse(
            OPENING,
            chunk({"refusal": REFUSAL[:8]}),
            chunk({"refusal": REFUSAL[8:]}),
            STOP,
            counted(COUNTS),
        ),
        sees={"further": {"refusal": REFUSAL}, "finish": "stop", "back": {}},
    ),
    history("refusal/history-field", {"content": None, "refusal": REFUSAL}),
    thought(
        "reasoning/reasoning_content",
        "reasoning_content",
        THOUGHT,
        THOUGHT[:5],
        THOUGHT[5:],
    ),
    history(
        "reasoning/history-reasoning_content",
        {"content": "Yes.", "reasoning_content": THOUGHT},
        got={
            "messages.1.reasoning_content": THOUGHT,
            "messages.1.content": "Yes.",
        },
    ),
    Shape(
        "reasoning/with-a-call",
        as_json(
            message(
                {"reasoning_content": THOUGHT, "tool_calls": [call()]}, "tool_calls"
            )
        ),
        sse(
            OPENING,
            chunk({"reasoning_content": THOUGHT}),
            chunk({"tool_calls": [call(index=0)]}),
            chunk({}, "tool_calls"),
        ),
        sees={
            "tools": [BREW],
            "further": {"reasoning_content": THOUGHT},
            "back": {
                "messages.1.reasoning_content": THOUGHT,
                "messages.1.tool_calls.0.id": "call_1",
            },
        },
    ),
    history("empty/text", {"content": ""}),
    history("empty/null", {"content": None}),
    history("empty/part", {"content": [{"type": "text", "text": ""}]}),
    refused("error-is-text", {"error": "Only 4 leaves fit."}),
    refused("detail-text", {"detail": "Only 4 leaves fit."}),
    refused(
        "array",
        [{"error": {"code": 400, "message": "Only 4 leaves fit.", "status": "BAD"}}],
    ),
    refused(
        "usual-form",
        {
            "error": {
                "message": "Only 4 leaves fit.",
                "type": "invalid_request_error",
                "param": "messages",
                "code": "context_length_exceeded",
            }
        },
        code="context_length_exceeded",
        param="messages",
    ),
    refused(
        "unpaid",
        {"error": {"message": "Only 4 leaves fit."}},
        402,
        status=502,
        calls=1,
    ),
    broken("text", {"error": "The pot fell."}, {"error": "The pot fell."}),
    broken(
        "object",
        {"error": {"message": "The pot fell.", "code": 500}},
        {"error": {"message": "The pot fell.", "code": 500}},
    ),
    broken(
        "event-error",
        None,
        'event: error\ndata: {"message": "The pot fell.", "type": "server_error"}\n\n',
    ),
    embeds("no-usage", without(vectors(ONE, TWO), "usage")),
    embeds("no-index", vectors(without(ONE, "index"), without(TWO, "index"))),
    embeds("one-for-two", vectors(ONE), status=502, retry=False),
    embeds("format-null", vectors(ONE, TWO), {"encoding_format": None}),
    embeds("reversed", vectors(TWO, ONE)),
    listed(
        "no-created",
        {"data": [MODEL, {"id": "pot/new", "object": "model", "owned_by": "pot"}]},
        "pot/full",
        "pot/new",
    ),
    listed(
        "with-prices",
        {"data": [MODEL, {**MODEL, "id": "pot/paid", "pricing": {"prompt": "0.1"}}]},
        "pot/full",
        "pot/paid",
    ),
    named("id-at-first", "@pot/small-1"),
    named("id-plus", "router/any+fast"),
    Shape("choices/one-of-two", PLAIN, PLAIN_STREAM, {"n": 2}, ANSWERED),
    wait("decimal", (21, 21), told_to_wait(retry_after="20.5")),
    wait("in-ms", (20, 20), told_to_wait(retry_after_ms="20000")),
    wait("date", (15, 21), in_twenty_seconds),
    other("upgrade/h2c"),
    other("upgrade/h2c-get"),
    other("slow/body-never"),
    other("slow/in-time"),
    other("slash/chat"),
    other("live/foreign"),
    other("live/own"),
    other("live/none"),
    Shape(
        "money/no-price-no-call",
        ask={"model": "pot/unpriced"},
        sees={"failed": True, "status": 403, "retry": False, "calls": 0},
        key="metered",
    ),
    metered("cached", "gpt-4o-2024-08-06", 800, "0.0025"),
    metered("nothing-cached", "gpt-4o-mini", 0, "0.00021"),
    passed("image", image_of(IMAGE), {"messages.0.content.1": IMAGE}),
    passed("max_tokens", {"max_tokens": 32_000}),
    passed("top_k", {"top_k": 20}),
]

JSON_LINES = b"".join(json.dumps(one).encode() + b"\n" for one in (*TEXT_CHUNKS, STOP))
PAGE = b"<!doctype html>\n<title>Tea</title>\n<p>data: Sign in first.\n"
AUDIO = {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}}
FILE = {"type": "file", "file": {"file_id": "file-1"}}
SIBLINGS = [
    usage("null", None),
    usage("a-list", [9, 5]),
    usage("negative", dict.fromkeys(COUNTS, -1)),
    usage("anthropics-names", {"input_tokens": 9, "output_tokens": 5}, (9, 5)),
    usage("huge", {**COUNTS, "total_tokens": 10**40}),
    finish("number", 7, "stop"),
    finish("upper-case", "LENGTH", "length"),
    finish("tool_use", "tool_use", "tool_calls"),
    tools("long-id", [call(index=0, id="c" * 3_000)], whole=[call(id="c" * 3_000)]),
    tools("no-type", [call(index=0, type=LEFT_OUT)], whole=[call(type=LEFT_OUT)]),
    tools(
        "bare",
        [{"index": 0, "id": "call_1", **CALL}],
        whole=[{"id": "call_1", **CALL}],
    ),
    tools(
        "same-id-twice",
        [call(index=0)],
        [call(OTHER_CALL, index=1)],
        whole=[call(), call(OTHER_CALL)],
        seen=[BREW, POUR],
    ),
    tools(
        "with-a-signature",
        [call(index=0, extra_content={"google": {"thought_signature": "s"}})],
        whole=[call(extra_content={"google": {"thought_signature": "s"}})],
    ),
    parts(
        "texts-and-strings", [{"type": "text", "text": "Tea "}, {"text": "is served."}]
    ),
    Shape(
        "chunks/whole-in-a-list",
        as_json([message({"content": TEXT})]),
        sees={**ANSWERED, "usage": (9, 5)},
        modes=("whole",),
    ),
    chunks("created-null", *TEXT_CHUNKS, {**STOP, "id": None, "created": None}),
    chunks("an-empty-object", {}, *TEXT_CHUNKS, {}, STOP),
    chunks(
        "counted-from-one",
        {"choices": [{"index": 1, "delta": {"content": TEXT}}]},
        {"choices": [{"index": 1, "delta": {}, "finish_reason": "stop"}]},
    ),
    *FIELDS,
    wire("no-done", sse(*TEXT_CHUNKS, STOP, end="")),
    wire("no-space-after-data", PLAIN_STREAM.replace(b"data: ", b"data:")),
    wire("json-lines", http(JSON_LINES, "application/x-ndjson")),
    wire("json-lines-as-events", http(JSON_LINES + b"[DONE]\n", "text/event-stream")),
    Shape(
        "wire/json-lines-cut",
        http(JSON_LINES.rsplit(b"\n", 2)[0], "application/x-ndjson"),
        http(JSON_LINES.rsplit(b"\n", 2)[0], "application/x-ndjson"),
        sees={"failed": True, "error": "broke off", "code": "upstream_error"},
    ),
    Shape(
        "wire/a-page-in-place-of-an-answer",
        http(PAGE, "text/html; charset=utf-8"),
        http(PAGE, "text/html; charset=utf-8"),
        sees={"failed": True, "status": 502, "code": "upstream_error", "retry": False},
    ),
    wire(
        "byte-order-mark",
        http(
            b"\xef\xbb\xbf" + events(*TEXT_CHUNKS, STOP).encode(), "text/event-stream"
        ),
    ),
    thought("refusal/beside-a-text", "refusal", REFUSAL, REFUSAL[:4], REFUSAL[4:]),
    thought("reasoning/reasoning", "reasoning", THOUGHT, THOUGHT[:7], THOUGHT[7:]),
    thought(
        "reasoning/annotations",
        "annotations",
        [{"type": "url_citation", "url_citation": {"url": "https://tea.example"}}],
        [{"type": "url_citation", "url_citation": {"url": "https://tea.example"}}],
    ),
    thought("reasoning/of-a-vendor", "pot_state", {"lid": None}, {"lid": None}),
    history("refusal/history-empty-text", {"content": "", "refusal": REFUSAL}),
    history(
        "reasoning/history-reasoning",
        {"content": None, "reasoning": THOUGHT},
        got={"messages.1.reasoning": THOUGHT, "messages.1.content": ""},
    ),
    history("empty/no-content", {}, got={"messages.1.content": ""}),
    history("empty/no-parts", {"content": []}, got={"messages.1.content": ""}),
    refused("message", {"object": "error", "message": "Only 4 leaves fit."}),
    refused("errors", {"errors": [{"message": "Only 4 leaves fit."}]}, 422),
    refused("unknown-key", {"error": "Only 4 leaves fit."}, 401, status=502, calls=1),
    broken(
        "in-the-choice",
        None,
        {
            "choices": [
                {"finish_reason": "error", "error": {"message": "The pot fell."}}
            ]
        },
    ),
    Shape(
        "broken/list",
        as_json([{"error": {"message": "The pot fell."}}]),
        as_json([{"error": {"message": "The pot fell."}}]),
        sees={"failed": True, "status": 502, "error": "The pot fell."},
    ),
    broken("llama-cpp", None, 'error: {"code": 500, "message": "The pot fell."}\n\n'),
    embeds(
        "further-fields",
        vectors(ONE, TWO, id="embd-1", pot={"lid": None}, usage=METERED),
        vectors=[ONE["embedding"], TWO["embedding"]],
        answer={"id": "embd-1", "pot": {"lid": None}},
        usage=METERED,
    ),
    embeds("no-model", without(vectors(ONE, TWO), "model", "object")),
    embeds("bare-lists", [ONE["embedding"], TWO["embedding"]]),
    embeds("same-index", vectors(ONE, {**TWO, "index": 0})),
    embeds("three-for-two", vectors(ONE, TWO, TWO), status=502, retry=False),
    embeds("not-a-number", vectors(ONE, {**TWO, "embedding": [None]}), status=502),
    embeds("empty-vector", vectors(ONE, {**TWO, "embedding": []}), status=502),
    embeds("too-large", vectors(ONE, {**TWO, "embedding": [1e300]}), status=502),
    embeds(
        "as-base64",
        vectors(
            {**ONE, "embedding": "AAAAPwAAgD4="}, {**TWO, "embedding": "AABAvwAAgD8="}
        ),
    ),
    embeds("error-with-200", {"error": {"message": "No pot."}}, status=502),
    listed("no-owner", {"data": [{"id": "pot/bare"}]}, "pot/bare"),
    listed("a-list", [MODEL, {"name": "pot/named"}, 7, {}], "pot/full", "pot/named"),
    listed("texts", {"models": ["pot/text"]}, "pot/text"),
    named("id-tilde", "~pot/small:free"),
    named("id-with-slashes", "accounts/pot/models/small"),
    Shape(
        "choices/two-and-an-index-out-of-range",
        as_json(
            {
                "choices": [
                    {"index": 5, "message": {"content": TEXT}, "finish_reason": "stop"}
                ]
            }
        ),
        PLAIN_STREAM,
        {"n": 3},
        ANSWERED,
    ),
    unpaid("no-price", "metered", 403, "model_not_priced"),
    unpaid("budget-too-small", "poor", 429, "budget_exceeded", {"model": "gpt-4o"}),
    unpaid("model-of-others", "narrow", 403, "model_not_allowed"),
    Shape(
        "money/quota-of-the-operator",
        as_json(
            {"error": {"message": "Buy more tea.", "code": "insufficient_quota"}}, 429
        ),
        as_json(
            {"error": {"message": "Buy more tea.", "code": "insufficient_quota"}}, 429
        ),
        {"model": "gpt-4o"},
        {
            **{"failed": True, "status": 502, "code": "upstream_refused"},
            **{"error": "Buy more tea.", "retry": False, "calls": 1, "spent": "0"},
        },
        key="metered",
    ),
    Shape(
        "money/price-of-a-family",
        as_json(message({"content": TEXT}, usage=CACHED)),
        sse(*TEXT_CHUNKS, STOP, counted(CACHED)),
        {"model": "gpt-4o-mini-2024-07-18"},
        {**ANSWERED, "spent": "0.00021"},
        key="metered",
    ),
    wait("none", (1, 1), told_to_wait()),
    wait("both", (2, 2), told_to_wait(retry_after="9", retry_after_ms="1500")),
    passed("audio", image_of(AUDIO), {"messages.0.content.1": AUDIO}),
    passed("file", image_of(FILE), {"messages.0.content.1": FILE}),
    passed("max_completion_tokens", {"max_completion_tokens": 100_000}),
    passed("temperature", {"temperature": 5.5, "top_p": 1.5}),
    passed("five-stops", {"stop": ["1", "2", "3", "4", "5"]}),
    passed("vendor-object", {"chat_template_kwargs": {"enable_thinking": False}}),
    passed(
        "modalities",
        {"modalities": ["text", "audio"], "audio": {"voice": "a", "format": "wav"}},
    ),
    passed("tool-kind", {"tools": [{"type": "web_search"}], "tool_choice": "any"}),
    passed(
        "field-of-a-message",
        {"messages": [{**ASKED[0], "cache_control": {"type": "ephemeral"}}]},
        {"messages.0.cache_control": {"type": "ephemeral"}},
    ),
    passed(
        "long-text",
        {"messages": [{"role": "user", "content": "tea " * 150_000}]},
        {"messages.0.content": "tea " * 150_000},
    ),
    passed(
        "name-of-a-tool",
        {
            "tools": [{"type": "function", "function": {"name": "pot.brew"}}],
            "tool_choice": {"type": "function", "function": {"name": "pot.brew"}},
        },
    ),
    passed(
        "format",
        {"response_format": {"type": "grammar", "grammar": "root ::= tea"}},
    ),
]
