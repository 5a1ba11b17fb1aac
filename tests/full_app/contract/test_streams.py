"""Streams, as the official client reads them, and as they are on the wire."""

import asyncio
import threading
from collections import Counter
from typing import Any

import httpx2
import openai
import pytest
from openai.types.chat import ChatCompletionChunk

from tests.full_app.conftest import KEY
from tests.full_app.contract.asks import (
    ASK,
    MODEL,
    PATH,
    PLAIN,
    WEATHER,
    WEATHER_QUESTION,
)
from tests.full_app.contract.conftest import HEARTBEAT, Stage

STREAM = {**PLAIN, "stream": True}


def streamed(client: openai.OpenAI, **given: Any) -> list[ChatCompletionChunk]:
    """All chunks of an answer."""
    asked = {"model": MODEL, "messages": ASK, "stream": True, **given}
    return list(client.chat.completions.create(**asked))


@pytest.mark.wire
@pytest.mark.parametrize("seed", [7, 8])
def test_a_stream_says_what_the_whole_answer_says(
    client: openai.OpenAI, seed: int
) -> None:
    whole = client.chat.completions.create(model=MODEL, messages=ASK, seed=seed)
    chunks = streamed(client, seed=seed)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)

    assert text == whole.choices[0].message.content != ""


@pytest.mark.wire
def test_a_stream_has_the_headers_that_let_it_pass_a_proxy(
    http: httpx2.Client,
) -> None:
    answer = http.post(PATH, json=STREAM, headers={"Accept-Encoding": "gzip, br"})

    assert answer.headers["content-type"].split(";")[0] == "text/event-stream"
    assert answer.headers["cache-control"] == "no-cache"
    assert answer.headers["x-accel-buffering"] == "no"
    assert "content-encoding" not in answer.headers
    assert "content-length" not in answer.headers


@pytest.mark.wire
def test_the_first_chunk_of_every_choice_has_the_role(client: openai.OpenAI) -> None:
    first: dict[int, str | None] = {}
    for chunk in streamed(client, n=3):
        for choice in chunk.choices:
            first.setdefault(choice.index, choice.delta.role)

    assert first == dict.fromkeys([0, 1, 2], "assistant")


@pytest.mark.wire
@pytest.mark.parametrize("change", [{"n": 3}, {"n": 2, "max_tokens": 3}])
def test_every_choice_finishes_once(
    client: openai.OpenAI, change: dict[str, Any]
) -> None:
    finished: Counter[int] = Counter()
    for chunk in streamed(client, **change):
        for choice in chunk.choices:
            finished[choice.index] += choice.finish_reason is not None

    assert finished == dict.fromkeys(range(change["n"]), 1)


@pytest.mark.wire
def test_all_chunks_name_the_same_answer(client: openai.OpenAI) -> None:
    chunks = streamed(client, n=2, stream_options={"include_usage": True})
    facts = {(c.id, c.created, c.model, c.object) for c in chunks}

    (only,) = facts
    assert only[0].startswith("chatcmpl-")
    assert only[2:] == (MODEL, "chat.completion.chunk")


@pytest.mark.wire
def test_usage_comes_last_and_only_if_asked_for(client: openai.OpenAI) -> None:
    whole = client.chat.completions.create(model=MODEL, messages=ASK)
    silent = streamed(client)
    told = streamed(client, stream_options={"include_usage": True})

    assert all(chunk.usage is None for chunk in silent)
    assert all(chunk.choices for chunk in silent)
    assert [chunk.usage for chunk in told if chunk.usage] == [whole.usage]
    assert told[-1].usage is not None
    assert told[-1].choices == []


@pytest.mark.wire
def test_the_last_event_is_done_and_nothing_follows_it(
    stage_http: httpx2.Client, stage: Stage
) -> None:
    """Not even a comment: the connection ends before the next heartbeat."""
    parts: list[str] = []
    with stage_http.stream("POST", PATH, json=STREAM) as answer:
        parts.extend(answer.iter_text())
    text = "".join(parts)

    assert text.endswith("data: [DONE]\n\n")
    assert text.count("[DONE]") == 1


@pytest.mark.wire
def test_the_stream_helper_tells_contents_and_keeps_the_usage(
    client: openai.OpenAI,
) -> None:
    with client.chat.completions.stream(
        model=MODEL, messages=ASK, stream_options={"include_usage": True}
    ) as stream:
        events = list(stream)
        final = stream.get_final_completion()
    deltas = [event.delta for event in events if event.type == "content.delta"]
    (done,) = [event.content for event in events if event.type == "content.done"]

    assert "".join(deltas) == done == final.choices[0].message.content != ""
    assert final.usage is not None
    assert final.usage.completion_tokens > 0


@pytest.mark.wire
def test_the_stream_helper_tells_two_choices_apart(client: openai.OpenAI) -> None:
    whole = client.chat.completions.create(model=MODEL, messages=ASK, n=2)
    with client.chat.completions.stream(model=MODEL, messages=ASK, n=2) as stream:
        final = stream.get_final_completion()

    said = [choice.message.content for choice in final.choices]
    assert said == [choice.message.content for choice in whole.choices]


@pytest.mark.wire
def test_the_stream_helper_tells_the_end_of_a_tools_arguments(
    client: openai.OpenAI,
) -> None:
    whole = client.chat.completions.create(
        model=MODEL,
        messages=[WEATHER_QUESTION],
        tools=[WEATHER],
        tool_choice="required",
    )
    with client.chat.completions.stream(
        model=MODEL,
        messages=[WEATHER_QUESTION],
        tools=[WEATHER],
        tool_choice="required",
    ) as stream:
        (done,) = [
            event
            for event in stream
            if event.type == "tool_calls.function.arguments.done"
        ]
        final = stream.get_final_completion()

    (call,) = whole.choices[0].message.tool_calls or []
    assert call.type == "function"
    assert (done.name, done.arguments) == (call.function.name, call.function.arguments)
    assert final.choices[0].finish_reason == "tool_calls"


PATIENCE = 10 * HEARTBEAT  # of a client; more than a busy machine stands still
SILENCE = 25 * HEARTBEAT


@pytest.mark.wire
async def test_both_clients_survive_a_silence_longer_than_their_patience(
    staged: tuple[str, Stage], stage: Stage, stage_client: openai.OpenAI
) -> None:
    async def read() -> str:
        async with openai.AsyncOpenAI(
            base_url=f"{staged[0]}/v1", api_key=KEY, max_retries=0, timeout=PATIENCE
        ) as client:
            stream = await client.chat.completions.create(
                model=MODEL, messages=ASK, stream=True
            )
            return "".join([c.choices[0].delta.content or "" async for c in stream])

    stage.silent = True
    timer = threading.Timer(SILENCE, stage.__setattr__, ("silent", False))
    timer.start()
    patient = stage_client.with_options(timeout=PATIENCE)
    chunks, text = await asyncio.gather(asyncio.to_thread(streamed, patient), read())
    timer.join()

    assert "".join(c.choices[0].delta.content or "" for c in chunks) == text == "abc"


@pytest.mark.wire
def test_an_error_in_a_stream_has_code_and_request_id(
    stage_client: openai.OpenAI, stage: Stage
) -> None:
    stage.finish = False
    stream = stage_client.chat.completions.create(
        model=MODEL, messages=ASK, stream=True
    )
    with pytest.raises(openai.APIError) as caught:
        list(stream)

    assert caught.value.code == "model_error"
    assert caught.value.message == "The model's answer broke off."
    assert isinstance(caught.value.body, dict)
    assert caught.value.body["request_id"] == stream.response.headers["x-request-id"]


async def test_the_async_client_streams(base_url: str) -> None:
    async with openai.AsyncOpenAI(
        base_url=f"{base_url}/v1", api_key=KEY, max_retries=0
    ) as client:
        stream = await client.chat.completions.create(
            model=MODEL, messages=ASK, stream=True
        )
        pieces = [chunk.choices[0].delta.content or "" async for chunk in stream]

    assert "".join(pieces)
