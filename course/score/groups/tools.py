"""Tools: a model asks for a function to be called, and is told what it returned."""

from typing import Any

from openai.types.chat import ChatCompletionMessageParam, ChatCompletionToolParam

from course.score.check import check, expect, json_object, refused
from course.score.groups.streams import chunks
from course.score.server import CHAT, Server

LISBON: list[ChatCompletionMessageParam] = [
    {"role": "user", "content": "What is the weather in Lisbon?"}
]
ENOUGH = 64  # tokens


def tool(name: str, description: str) -> ChatCompletionToolParam:
    """A function that takes the name of a city."""
    parameters: dict[str, object] = {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
    }
    return {
        "type": "function",
        "function": {
            "name": name,
            "description": description,
            "parameters": parameters,
        },
    }


WEATHER = tool("get_weather", "The weather in a city.")
TIME = tool("get_time", "What time it is in a city.")


@check()
async def choice_of_an_unknown_tool_is_refused(server: Server) -> None:
    """A `tool_choice` that names a tool which is not offered is refused.

    Source: OpenAI API reference, "Create chat completion", `tool_choice`.
    """
    body = server.request(tools=[WEATHER], tool_choice=named("get_weathre"))
    refused(await server.send("POST", CHAT, json=body))


@check(spends=True)
async def required_tool_is_called(server: Server) -> None:
    """With `tool_choice: "required"` a function is called, with arguments that fit.

    Source: OpenAI guide "Function calling"; JSON Schema, "required".
    """
    answer = await server.client.chat.completions.create(
        model=server.model,
        messages=LISBON,
        tools=[WEATHER],
        tool_choice="required",
        max_tokens=ENOUGH,
    )
    choice = answer.choices[0]
    expect(
        choice.finish_reason == "tool_calls",
        f"`finish_reason` is {choice.finish_reason!r}, and not 'tool_calls'",
    )
    calls = choice.message.tool_calls or []
    expect(bool(calls), "`tool_calls` is empty")
    call = calls[0]
    expect(call.type == "function", f"`type` of the call is {call.type!r}")
    expect(bool(call.id), "the call has no `id`")
    if call.type == "function":
        expect_weather(call.function.name, call.function.arguments)


@check(spends=True)
async def named_tool_is_called(server: Server) -> None:
    """A `tool_choice` that names one of two functions has that one called.

    Source: OpenAI API reference, "Create chat completion", `tool_choice`.
    """
    answer = await server.client.chat.completions.create(
        model=server.model,
        messages=LISBON,
        tools=[WEATHER, TIME],
        tool_choice={"type": "function", "function": {"name": "get_time"}},
        max_tokens=ENOUGH,
    )
    calls = answer.choices[0].message.tool_calls or []
    names = [call.function.name for call in calls if call.type == "function"]
    expect(set(names) == {"get_time"}, f"get_time was chosen, and called is {names}")


@check(spends=True)
async def result_goes_back(server: Server) -> None:
    """A call and its result are accepted in the next request, and answered.

    Source: OpenAI guide "Function calling", the second request.
    """
    called = {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {
                "id": "call_1",
                "type": "function",
                "function": {"name": "get_weather", "arguments": '{"city": "Lisbon"}'},
            }
        ],
    }
    result = {"role": "tool", "tool_call_id": "call_1", "content": "17 degrees, sunny"}
    messages: list[Any] = [*LISBON, called, result]
    answer = await server.client.chat.completions.create(
        model=server.model, messages=messages, tools=[WEATHER], max_tokens=ENOUGH
    )
    expect(bool(answer.choices[0].message.content), "the answer has no text")


@check(spends=True)
async def streamed_call_can_be_put_together(server: Server) -> None:
    """A call that is streamed begins with index, id, type and name.

    The pieces of its arguments are joined to JSON. The helper `.stream()` of the
    official client needs each of the four.

    Source: OpenAI guide "Function calling", streaming.
    """
    listed = await chunks(
        server,
        messages=LISBON,
        tools=[WEATHER],
        tool_choice="required",
        max_tokens=ENOUGH,
    )
    pieces = [
        piece
        for each in listed
        for choice in each.choices
        for piece in choice.delta.tool_calls or []
    ]
    expect(bool(pieces), "no piece has `tool_calls`")
    first = pieces[0]
    expect(first.index == 0, f"`index` of the first piece is {first.index!r}")
    expect(bool(first.id), "the first piece has no `id`")
    expect(first.type == "function", f"`type` of the first piece is {first.type!r}")
    of_first = [it.function for it in pieces if it.index == 0 and it.function]
    name = first.function.name if first.function else None
    expect_weather(name, "".join(it.arguments or "" for it in of_first))


def named(name: str) -> dict[str, Any]:
    """The `tool_choice` that names a function."""
    return {"type": "function", "function": {"name": name}}


def expect_weather(name: str | None, arguments: str) -> None:
    """Raise Failed unless get_weather is called with the name of a city."""
    expect(name == "get_weather", f"the function is called {name!r}")
    city = json_object(arguments, "`arguments`").get("city")
    expect(isinstance(city, str), f"`city` is required, and `arguments` is {arguments}")
