"""How far the patience with an upstream goes: each limit holds, and not before it."""

import asyncio
import json
from typing import Any

import pytest

from examples.full_app.providers.base import CallContext, Delta
from examples.full_app.providers.upstream import client
from examples.full_app.providers.upstream.catalogue import (
    MAX_MODEL_ID,
    MAX_MODELS,
    models_in,
)
from examples.full_app.providers.upstream.client import MAX_BLANKS
from examples.full_app.providers.upstream.errors import (
    MAX_REASON,
    MAX_REASONS,
    UnreadableAnswerError,
    UpstreamError,
    reason_in,
)
from examples.full_app.providers.upstream.event_parser import BYTE_ORDER_MARK
from examples.full_app.providers.upstream.further_fields import (
    MAX_FURTHER_BYTES,
    FurtherFields,
)
from examples.full_app.providers.upstream.tolerance import (
    MAX_COUNT,
    MAX_DEPTH,
    count_of,
    parse_json,
    plain,
    usage_of,
)
from examples.s2_models import Usage
from tests.full_app.providers.upstream.test_connections import (
    Handler,
    ask,
    provider_of,
    request,
    says,
    serving,
    silent,
)
from tests.full_app.upstreams import (
    ASK,
    HELLO,
    PATH,
    SSE,
    answering,
    chunk,
    head,
    in_front_of,
)

FINISHED = HELLO + chunk(delta={}, finish_reason="stop")
DONE = b"data: [DONE]\n\n"
WHOLE: dict[str, Any] = {
    "choices": [{"message": {"content": "hello"}, "finish_reason": "stop"}]
}


def text_of(items: list[Delta | Usage]) -> str:
    """The text of an answer."""
    return "".join(item.content or "" for item in items if isinstance(item, Delta))


async def streamed(handler: Handler) -> list[Delta | Usage]:
    """All that a stream of this upstream says, within ten seconds."""
    async with serving(handler) as upstream, provider_of(upstream.url) as provider:
        async with asyncio.timeout(10):
            stream = provider.stream(request(), CallContext("r-1"))
            return [item async for item in stream]


# --- Times ---


def then_silent(body: bytes) -> Handler:
    """A handler that sends this, and keeps the connection open."""

    async def handle(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        writer.write(SSE + body)
        await silent(reader, writer)

    return handle


async def test_after_the_last_choice_a_usage_is_waited_for_and_not_for_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(client, "AFTER_FINISH_SECONDS", 0.05)

    assert text_of(await streamed(then_silent(FINISHED))) == "hello"


async def test_a_usage_that_comes_late_is_still_read() -> None:
    usage = {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 4}}
    late = asyncio.Event()

    async def handle(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(SSE + FINISHED)
        await late.wait()
        writer.write(b"data: " + json.dumps(usage).encode() + b"\n\n" + DONE)
        writer.close()

    async with serving(handle) as upstream, provider_of(upstream.url) as provider:
        items: list[Delta | Usage] = []
        async for item in provider.stream(request(), CallContext("r-1")):
            items.append(item)
            if isinstance(item, Delta) and item.finish_reason:
                late.set()

    assert isinstance(items[-1], Usage)
    assert (items[-1].prompt_tokens, items[-1].completion_tokens) == (3, 4)


async def test_after_the_end_of_a_stream_its_connection_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(client, "READ_TO_END_SECONDS", 0.05)

    assert text_of(await streamed(then_silent(FINISHED + DONE))) == "hello"


# --- Sizes ---


@pytest.mark.parametrize(
    ("blanks", "read"),
    [(b" ", True), (b"\r\n", True), (b" " * 16, False), (BYTE_ORDER_MARK * 6, False)],
)
async def test_blanks_before_an_answer_are_skipped_up_to_a_limit(
    blanks: bytes, read: bool
) -> None:
    """The last two send many times as much as is skipped, the first two no more."""
    times = MAX_BLANKS // 2 if read else MAX_BLANKS
    body = blanks * times + json.dumps(WHOLE).encode()
    reply = head(200, "application/json") + body

    async def handle(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(reply)
        await writer.drain()
        writer.close()

    async with serving(handle) as upstream, provider_of(upstream.url) as provider:
        if read:
            assert text_of(await ask(provider)) == "hello"
        else:
            with pytest.raises(UnreadableAnswerError, match="too long"):
                await ask(provider)


def nested(levels: int, inside: object = 1) -> object:
    """A value in this many objects."""
    for _ in range(levels):
        inside = {"a": inside}
    return inside


def depth_of(value: object) -> int:
    """How many objects are nested in each other."""
    return 1 + depth_of(value.get("a")) if isinstance(value, dict) else 0


def test_a_field_that_is_passed_on_is_cut_where_it_is_nested_too_deep() -> None:
    assert plain(nested(MAX_DEPTH)) == nested(MAX_DEPTH)
    assert depth_of(plain(nested(200))) == MAX_DEPTH


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_further_fields_that_are_too_large_are_left_out_and_cost_no_answer(
    stream: bool,
) -> None:
    """A stream repeats its fields, and what is repeated counts once."""
    pots = {"pot": "a" * (MAX_FURTHER_BYTES // 2), "lid": {"b": "b" * 1_000}}
    large = {"kettle": "c" * MAX_FURTHER_BYTES, **pots, "cup": "d"}
    said = {"choices": [{"delta": {"content": "hello"}}], **large}
    end = {"choices": [{"delta": {}, "finish_reason": "stop"}], **large, "spoon": "e"}
    frames = [f"data: {json.dumps(one)}\n\n".encode() for one in (said, said, end)]
    reply = (
        SSE + b"".join(frames) + DONE
        if stream
        else head(200, "application/json")
        + json.dumps({**WHOLE, **large, "spoon": "e"}).encode()
    )
    with answering(reply) as (url, _), in_front_of(url) as http:
        answer = http.post(PATH, json={**ASK, "stream": stream})

    assert answer.status_code == 200
    assert "hello" in answer.text
    assert '"error"' not in answer.text
    assert '"kettle"' not in answer.text
    for name in (*pots, "cup", "spoon"):
        assert answer.text.count(f'"{name}"') == 1


def test_fields_of_an_answer_and_of_its_choices_share_their_room() -> None:
    half = "a" * (MAX_FURTHER_BYTES // 2 + 1)
    fields = FurtherFields()

    assert fields.of_choice(0, {"pot": half}) == {"pot": half}
    assert fields.of_choice(1, {"pot": half}) == {}
    assert fields.of_answer({"pot": half}) == {}
    assert fields.of_answer({"pot": "b"}) == {"pot": "b"}


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_a_deep_field_costs_no_answer(stream: bool) -> None:
    said = {"content": "hello", "pot": nested(200)}
    reply = (
        SSE + chunk(delta=said) + chunk(delta={}, finish_reason="stop") + DONE
        if stream
        else head(200, "application/json")
        + json.dumps({"choices": [{"message": said, "finish_reason": "stop"}]}).encode()
    )
    with answering(reply) as (url, _), in_front_of(url) as http:
        answer = http.post(PATH, json={**ASK, "stream": stream})

    assert answer.status_code == 200
    assert "hello" in answer.text
    assert '"error"' not in answer.text
    assert answer.text.count('"a":') == MAX_DEPTH


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_json_without_end_in_depth_is_an_error_of_the_upstream(stream: bool) -> None:
    deep = b'{"choices":' + b"[" * 100_000
    reply = head(200, "application/json") + deep
    if stream:
        reply = SSE + b"data: " + deep + b"\n\n"
    with answering(reply) as (url, _), in_front_of(url) as http:
        answer = http.post(PATH, json={**ASK, "stream": stream})

    assert answer.status_code == 502
    assert answer.json()["code"] == "upstream_error"


def test_depth_is_a_value_error_of_the_parser() -> None:
    with pytest.raises(ValueError, match="too deep"):
        parse_json(b"[" * 100_000)


@pytest.mark.parametrize("levels", [900, 6_000])
def test_an_error_that_is_nested_deep_is_an_error_of_the_upstream(levels: int) -> None:
    body = b'{"error":' * levels + b'"x"' + b"}" * levels
    with (
        answering(head(400, "application/json") + body) as (url, _),
        in_front_of(url) as http,
    ):
        answer = http.post(PATH, json=ASK)

    assert answer.status_code == 400


def test_a_reason_is_short_and_found_at_a_depth_that_is_in_use() -> None:
    quoted = {"error": {"metadata": {}, "details": [], "errors": [{"msg": "No tea."}]}}

    assert reason_in({"error": {"message": quoted}}) == "No tea."
    assert reason_in({"error": "a" * 5_000}) == "a" * MAX_REASON
    assert reason_in([{"message": "ab"}] * 5_000) == "; ".join(["ab"] * MAX_REASONS)
    assert len(reason_in([{"message": "a" * 400}] * 2) or "") == MAX_REASON
    deep: object = "x"
    for _ in range(5_000):
        deep = {"error": deep}
    assert reason_in(deep) is None


def test_a_count_has_a_limit_beyond_which_it_is_none() -> None:
    assert count_of(MAX_COUNT) == MAX_COUNT
    assert count_of(MAX_COUNT + 1) is None
    assert count_of(f"{10**300}") is None
    assert usage_of({"prompt_tokens": 3, "completion_tokens": 10**13}) == Usage(
        prompt_tokens=3, completion_tokens=0
    )


def test_a_total_that_no_count_can_be_changes_nothing() -> None:
    parts = {"prompt_tokens": 3, "completion_tokens": 4}

    assert usage_of({**parts, "total_tokens": 10**15}) == Usage.model_validate(parts)


def test_a_list_of_models_has_limits() -> None:
    data = [{"id": f"pot/{number}"} for number in range(MAX_MODELS + 1)]
    long = [{"id": "a" * (MAX_MODEL_ID + 1)}, {"id": "a" * MAX_MODEL_ID}]

    assert len(models_in(json.dumps(data).encode())) == MAX_MODELS
    assert len(models_in(json.dumps(long).encode())) == 1


async def test_a_stream_that_ends_before_its_choice_has_finished_broke_off() -> None:
    with pytest.raises(UpstreamError, match="broke off"):
        await streamed(says(SSE + HELLO + DONE))


async def test_more_choices_than_were_asked_for_are_left_out() -> None:
    second = b'data: {"choices": [{"index": 1, "delta": {"content": "no"}}]}\n\n'
    items = await streamed(says(SSE + HELLO + second + FINISHED + DONE))

    assert {item.index for item in items if isinstance(item, Delta)} == {0}
