"""`/v1/responses` with the asynchronous official client."""

import asyncio
import json
from collections.abc import AsyncIterator

import openai
import pytest
from openai.types.responses import FunctionToolParam, Response, ResponseFunctionToolCall

from tests.full_app.conftest import KEY
from tests.full_app.contract.asks import MODEL, QUESTION, WEATHER, Place
from tests.full_app.contract.conftest import Stage
from tests.servers import wait_until

Client = openai.AsyncOpenAI
INPUT = str(QUESTION["content"])
GET_WEATHER: FunctionToolParam = {
    "type": "function",
    "name": "get_weather",
    "parameters": WEATHER["function"]["parameters"],
    "strict": False,
}


@pytest.fixture
async def client(base_url: str) -> AsyncIterator[Client]:
    async with Client(
        base_url=f"{base_url}/v1", api_key=KEY, max_retries=0, timeout=50
    ) as client:
        yield client


@pytest.fixture
async def stage_client(
    staged: tuple[str, Stage], stage: Stage
) -> AsyncIterator[Client]:
    async with Client(
        base_url=f"{staged[0]}/v1", api_key=KEY, max_retries=0, timeout=20
    ) as client:
        yield client


async def until_ended(client: Client, response_id: str) -> Response:
    """Poll a response until it has ended."""
    async with asyncio.timeout(45):
        while True:
            response = await client.responses.retrieve(response_id)
            if response.status not in ("queued", "in_progress"):
                return response
            await asyncio.sleep(0.02)


async def test_answers_and_streams_are_the_same_text(client: Client) -> None:
    whole = await client.responses.create(model=MODEL, input=INPUT)
    stream = await client.responses.create(model=MODEL, input=INPUT, stream=True)
    events = [event async for event in stream]
    async with client.responses.stream(model=MODEL, input=INPUT) as helper:
        deltas = [
            event.delta
            async for event in helper
            if event.type == "response.output_text.delta"
        ]
        final = await helper.get_final_response()

    assert events[-1].type == "response.completed"
    assert events[-1].response.output_text == whole.output_text != ""
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert final.output_text == "".join(deltas) == whole.output_text
    assert final.usage == whole.usage
    assert await client.responses.retrieve(events[-1].response.id) == (
        events[-1].response
    )


async def test_structured_answers_are_parsed_whole_and_streamed(client: Client) -> None:
    whole = await client.responses.parse(model=MODEL, input=INPUT, text_format=Place)
    async with client.responses.stream(
        model=MODEL, input=INPUT, text_format=Place
    ) as helper:
        final = await helper.get_final_response()

    assert isinstance(whole.output_parsed, Place)
    assert final.output_parsed == whole.output_parsed


async def test_a_tool_is_called_in_a_stream_and_its_output_goes_on(
    client: Client,
) -> None:
    async with client.responses.stream(
        model=MODEL,
        input="What is the weather in Lisbon?",
        tools=[GET_WEATHER],
        tool_choice="required",
    ) as helper:
        kinds = [event.type async for event in helper]
        final = await helper.get_final_response()
    (call,) = final.output
    assert isinstance(call, ResponseFunctionToolCall)
    answer = await client.responses.create(
        model=MODEL,
        previous_response_id=final.id,
        input=[
            {
                "type": "function_call_output",
                "call_id": call.call_id,
                "output": "17 degrees",
            }
        ],
    )

    assert "response.function_call_arguments.done" in kinds
    assert "city" in json.loads(call.arguments)
    assert "17 degrees" in answer.output_text


async def test_a_response_in_the_background_is_polled_and_followed(
    client: Client,
) -> None:
    whole = await client.responses.create(model=MODEL, input=INPUT)
    queued = await client.responses.create(model=MODEL, input=INPUT, background=True)
    ended = await until_ended(client, queued.id)
    stream = await client.responses.retrieve(queued.id, stream=True, starting_after=3)
    events = [event async for event in stream]

    assert queued.status == "queued"
    assert ended.status == "completed"
    assert ended.output_text == whole.output_text
    assert events[0].sequence_number == 4
    assert events[-1].type == "response.completed"
    assert events[-1].response.output_text == whole.output_text


async def test_a_response_in_the_background_is_cancelled_once(
    stage_client: Client, stage: Stage
) -> None:
    stage.silent = True
    stream = await stage_client.responses.create(
        model="any", input="hi", background=True, stream=True
    )
    response_id, last = "", ""
    async for event in stream:
        if event.type == "response.created":
            response_id = event.response.id
        if event.type == "response.output_text.delta" and event.delta == "c":
            cancelled = await stage_client.responses.cancel(response_id)
            again = await stage_client.responses.cancel(response_id)
        last = event.type
    found = await stage_client.responses.retrieve(response_id)

    assert cancelled.status == again.status == found.status == "cancelled"
    assert last == "response.failed"  # with the status: there is no event of that name
    assert (found.error, found.completed_at) == (None, None)
    await asyncio.to_thread(
        wait_until, lambda: stage.closed == stage.started, what="the end of the work"
    )


async def test_items_are_listed_and_a_deleted_response_is_gone(client: Client) -> None:
    first = await client.responses.create(model="offline-echo", input="one")
    second = await client.responses.create(
        model="offline-echo", input="two", previous_response_id=first.id
    )
    pages = client.responses.input_items.list(second.id, order="asc", limit=1)
    written = [item.to_dict() async for item in pages]
    await client.responses.delete(second.id)

    assert len(written) == 3
    with pytest.raises(openai.NotFoundError) as caught:
        await client.responses.retrieve(second.id)
    assert caught.value.code == "response_not_found"


async def test_errors_are_raised_before_and_in_a_stream(client: Client) -> None:
    for stream in (False, True):
        with pytest.raises(openai.NotFoundError) as caught:
            await client.responses.create(model="nobody", input=INPUT, stream=stream)
        assert caught.value.code == "model_not_found"
    cut = await client.responses.create(
        model="fault-reset-after-3", input=INPUT, stream=True
    )
    with pytest.raises(openai.APIConnectionError):
        _ = [event async for event in cut]
