"""Responses: OpenAI's newer API, which several clients ask by default."""

import json
from typing import Any

from openai.types.responses import FunctionToolParam

from course.score.check import (
    NOT_SERVED,
    Failed,
    NotOffered,
    check,
    described,
    error_of,
    expect,
    refused,
)
from course.score.groups.streams import data_of
from course.score.groups.tools import LISBON, expect_weather
from course.score.server import QUESTION, Server

PATH = "/responses"
UNKNOWN = "resp_00000000000000000000000000000000"
ENOUGH = 400  # tokens
WEATHER: FunctionToolParam = {
    "type": "function",
    "name": "get_weather",
    "description": "The weather in a city.",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
        "additionalProperties": False,
    },
    "strict": True,
}


async def offered(server: Server) -> None:
    """Raise NotOffered if there is no such route. An empty request costs nothing."""
    answer = await server.send("POST", PATH, json={})
    if answer.status_code in NOT_SERVED:
        raise NotOffered(described(answer))


@check()
async def unknown_previous_response_is_refused(server: Server) -> None:
    """A `previous_response_id` that does not exist is refused.

    Source: OpenAI API reference, "Create a model response", `previous_response_id`.
    """
    await offered(server)
    body = {
        "model": server.model,
        "input": QUESTION,
        "previous_response_id": UNKNOWN,
        "max_output_tokens": 16,
    }
    refused(await server.send("POST", PATH, json=body), (400, 404, 422))


@check()
async def unknown_response_is_not_found(server: Server) -> None:
    """A response that does not exist is a 404 with an error object.

    Source: OpenAI API reference, "Get a model response".
    """
    await offered(server)
    answer = await server.send("GET", f"{PATH}/{UNKNOWN}")
    error = error_of(answer)
    expect(answer.status_code == 404, f"{described(answer)} (404 is expected)")
    expect(bool(error.get("message")), f"`message` is missing: {described(answer)}")


@check(spends=True)
async def whole_response(server: Server) -> None:
    """A response has a text, the status completed, and a usage that adds up.

    Source: OpenAI API reference, "The response object".
    """
    await offered(server)
    answer = await server.client.responses.create(
        model=server.model, input=QUESTION, max_output_tokens=ENOUGH
    )
    expect(answer.object == "response", f"`object` is {answer.object!r}")
    expect(bool(answer.id), "`id` is missing")
    expect(answer.status == "completed", f"`status` is {answer.status!r}")
    expect(bool(answer.output_text), "`output` has no text")
    usage = answer.usage
    if usage is None:
        raise Failed("`usage` is missing")
    counts = (usage.input_tokens, usage.output_tokens, usage.total_tokens)
    expect(counts[0] > 0 and sum(counts[:2]) == counts[2], f"the counts are {counts}")


@check(spends=True)
async def response_events_are_in_order(server: Server) -> None:
    """A stream counts its events, from `response.created` to `response.completed`.

    The pieces of its text are joined to the text of the last event.

    Source: OpenAI API reference, "Streaming events".
    """
    await offered(server)
    body = {
        "model": server.model,
        "input": QUESTION,
        "max_output_tokens": ENOUGH,
        "stream": True,
    }
    async with server.streaming(PATH, body) as answer:
        await answer.aread()
    refused(answer, (200,))
    data = [each for each in data_of(answer.text) if each.strip() != "[DONE]"]
    events: list[dict[str, Any]] = [json.loads(each) for each in data]
    kinds = [each.get("type") for each in events]
    expect(kinds[:1] == ["response.created"], f"the first event is {kinds[:1]}")
    expect(kinds[-1] == "response.completed", f"the last event is {kinds[-1]!r}")
    numbers = [each.get("sequence_number") for each in events]
    expect(numbers == [*range(len(events))], f"they are numbered {numbers!r:.120}")
    text = "".join(
        each["delta"] for each in events if each["type"] == "response.output_text.delta"
    )
    content = [
        part["text"]
        for item in events[-1]["response"]["output"]
        if item["type"] == "message"
        for part in item["content"]
        if part["type"] == "output_text"
    ]
    expect(bool(text), "no event has a piece of the text")
    expect(text == "".join(content), f"the pieces are {text!r:.80}, and not {content}")


@check(spends=True)
async def response_calls_a_tool(server: Server) -> None:
    """A function is called, and its result is accepted in the next request.

    Source: OpenAI guide "Function calling", Responses API.
    """
    await offered(server)
    question = str(LISBON[0].get("content"))
    called = await server.client.responses.create(
        model=server.model,
        input=question,
        tools=[WEATHER],
        tool_choice="required",
        max_output_tokens=ENOUGH,
    )
    calls = [item for item in called.output if item.type == "function_call"]
    expect(bool(calls), f"no item is a call: {[it.type for it in called.output]}")
    call = calls[0]
    expect(bool(call.call_id), "the call has no `call_id`")
    expect_weather(call.name, call.arguments)
    answer = await server.client.responses.create(
        model=server.model,
        input=[
            {"role": "user", "content": question},
            {
                "type": "function_call",
                "call_id": call.call_id,
                "name": call.name,
                "arguments": call.arguments,
            },
            {
                "type": "function_call_output",
                "call_id": call.call_id,
                "output": "17 degrees, sunny",
            },
        ],
        tools=[WEATHER],
        max_output_tokens=ENOUGH,
    )
    expect(bool(answer.output_text), "the answer to the result has no text")


@check(spends=True)
async def stored_response_is_found_until_deleted(server: Server) -> None:
    """A stored response is found again as it was, and no longer once it is deleted.

    Source: OpenAI API reference, `store`, "Get" and "Delete a model response".
    """
    await offered(server)
    responses = server.client.responses
    made = await responses.create(
        model=server.model, input=QUESTION, max_output_tokens=ENOUGH, store=True
    )
    found = await responses.retrieve(made.id)
    expect(
        found.output_text == made.output_text,
        f"the text was {made.output_text!r:.60}, and is {found.output_text!r:.60}",
    )
    await responses.delete(made.id)
    answer = await server.send("GET", f"{PATH}/{made.id}")
    expect(answer.status_code == 404, f"deleted, and {described(answer)}")
