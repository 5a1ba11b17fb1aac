"""The asynchronous official client: the same matrix as for the synchronous one."""

import json
from collections.abc import AsyncIterator

import openai
import pytest

from tests.full_app.conftest import KEY
from tests.full_app.contract.asks import (
    ASK,
    EMBEDDER,
    MODEL,
    WEATHER,
    WEATHER_QUESTION,
    Place,
)

Client = openai.AsyncOpenAI


@pytest.fixture
async def client(base_url: str) -> AsyncIterator[Client]:
    async with Client(
        base_url=f"{base_url}/v1", api_key=KEY, max_retries=0, timeout=20
    ) as client:
        yield client


async def test_answers_and_streams_are_the_same_text(client: Client) -> None:
    whole = await client.chat.completions.create(model=MODEL, messages=ASK, seed=7)
    stream = await client.chat.completions.create(
        model=MODEL, messages=ASK, seed=7, stream=True
    )
    text = "".join([c.choices[0].delta.content or "" async for c in stream])
    async with client.chat.completions.stream(
        model=MODEL, messages=ASK, seed=7, stream_options={"include_usage": True}
    ) as helper:
        final = await helper.get_final_completion()

    assert text == whole.choices[0].message.content != ""
    assert final.choices[0].message.content == text
    assert final.usage == whole.usage


async def test_structured_answers_are_parsed_whole_and_streamed(client: Client) -> None:
    whole = await client.chat.completions.parse(
        model=MODEL, messages=ASK, response_format=Place
    )
    async with client.chat.completions.stream(
        model=MODEL, messages=ASK, response_format=Place
    ) as helper:
        final = await helper.get_final_completion()

    assert isinstance(whole.choices[0].message.parsed, Place)
    assert final.choices[0].message.parsed == whole.choices[0].message.parsed


async def test_tools_are_called_and_their_results_told(client: Client) -> None:
    async with client.chat.completions.stream(
        model=MODEL,
        messages=[WEATHER_QUESTION],
        tools=[WEATHER],
        tool_choice="required",
    ) as helper:
        kinds = [event.type async for event in helper]
        final = await helper.get_final_completion()
    message = final.choices[0].message
    (call,) = message.tool_calls or []
    answer = await client.chat.completions.create(
        model=MODEL,
        messages=[
            WEATHER_QUESTION,
            message,  # type: ignore[list-item]  # as the docs show
            {"role": "tool", "tool_call_id": call.id, "content": "17 degrees"},
        ],
    )

    assert "tool_calls.function.arguments.done" in kinds
    assert "city" in json.loads(call.function.arguments)
    assert "17 degrees" in (answer.choices[0].message.content or "")


async def test_embeddings_and_models(client: Client) -> None:
    vectors = await client.embeddings.create(model=EMBEDDER, input=["a", "b"])
    models = [model.id async for model in client.models.list()]

    assert len(vectors.data) == 2
    assert MODEL in models


async def test_errors_are_raised_before_and_in_a_stream(client: Client) -> None:
    for stream in (False, True):
        with pytest.raises(openai.NotFoundError) as caught:
            await client.chat.completions.create(
                model="nobody", messages=ASK, stream=stream
            )
        assert caught.value.code == "model_not_found"
    cut = await client.chat.completions.create(
        model="fault-reset-after-3", messages=ASK, stream=True
    )
    with pytest.raises(openai.APIConnectionError):
        _ = [chunk async for chunk in cut]
