"""litellm, with its functions for `/v1/responses`, and its bridge from chat to them.

`acompletion` of a model whose name begins with `openai/responses/` asks for a response
and gives it back as a chat completion.
"""

import asyncio
import json
from typing import Any

import litellm
from cases import KEY, OFFLINE, QUESTION, UPSTREAM, case, run
from pydantic import BaseModel

MODEL = "gpt-4o-mini"
ECHO = "offline-echo"
RUNNING = ("queued", "in_progress")
PLACE = {"api_base": OFFLINE, "api_key": KEY}
CUT_OFF = "fault-reset-after-3"
SILENT = "fault-silent-60"
AS = "as/"  # what the models of the service before an upstream begin with

# litellm asks whole, and cuts the answer into a stream itself, unless it knows a model.
KNOWN = (ECHO, CUT_OFF, f"{AS}reasoning/reasoning_content", f"{AS}broken/object")
litellm.register_model({name: {"litellm_provider": "openai"} for name in KNOWN})
litellm.suppress_debug_info = True


class City(BaseModel):
    """What a model is to answer with."""

    name: str
    people: int


def function(name: str, description: str) -> dict[str, Any]:
    """A function of a city, as chat completions write it."""
    city = {"type": "object", "properties": {"city": {"type": "string"}}}
    return {"name": name, "description": description, "parameters": city}


WEATHER = function("get_weather", "The weather in a city.")
TIME = function("get_time", "The time in a city.")


def flat(*functions: dict[str, Any]) -> list[dict[str, Any]]:
    """Functions as tools of a response."""
    return [{"type": "function", **one} for one in functions]


def nested(*functions: dict[str, Any]) -> list[dict[str, Any]]:
    """Functions as tools of a chat completion."""
    return [{"type": "function", "function": one} for one in functions]


async def ask(question: Any = QUESTION, model: str = MODEL, **given: Any) -> Any:
    """A response of the service's."""
    given = {"num_retries": 0, **PLACE, **given}
    return await litellm.aresponses(model=f"openai/{model}", input=question, **given)


async def bridged(question: Any = QUESTION, model: str = MODEL, **given: Any) -> Any:
    """A chat completion that litellm makes of a response."""
    messages = [{"role": "user", "content": question}]
    given = {"messages": messages, "num_retries": 0, **PLACE, **given}
    return await litellm.acompletion(model=f"openai/responses/{model}", **given)


def shown(response: Any) -> dict[str, Any]:
    """A response as the tests compare it."""
    return {
        "kind": type(response).__name__,
        "id": response.id,
        "status": response.status,
        "text": response.output_text,
        "items": [item.type for item in response.output],
        "calls": [
            [item.name, json.loads(item.arguments)]
            for item in response.output
            if item.type == "function_call"
        ],
        "output_tokens": response.usage and response.usage.output_tokens,
        "incomplete": response.incomplete_details,
    }


def shown_as_chat(answer: Any) -> dict[str, Any]:
    """A chat completion as the tests compare it."""
    message = answer.choices[0].message
    return {
        "text": message.content,
        "thoughts": getattr(message, "reasoning_content", None),
        "finish": answer.choices[0].finish_reason,
        "calls": [
            [call.function.name, json.loads(call.function.arguments)]
            for call in message.tool_calls or []
        ],
        "output_tokens": answer.usage.completion_tokens,
    }


async def read(stream: Any) -> dict[str, Any]:
    """The types and the words of a stream of events, and its last response."""
    types, words, response = [], [], None
    async for event in stream:
        types.append(str(getattr(event.type, "value", event.type)))
        if types[-1] == "response.output_text.delta":
            words.append(event.delta)
        response = getattr(event, "response", response)
    return {**shown(response), "types": types, "words": words}


async def texts_read(response: Any) -> list[str]:
    """The texts that the model read for a response, oldest first."""
    items = await litellm.alist_input_items(response.id, order="asc", **PLACE)
    return [part["text"] for item in items["data"] for part in item["content"]]


async def joined(stream: Any) -> dict[str, Any]:
    """The chunks of a chat stream, put together as litellm does it."""
    chunks = [chunk async for chunk in stream]
    words = [chunk.choices[0].delta.content for chunk in chunks if chunk.choices]
    whole = litellm.stream_chunk_builder(chunks)
    return {**shown_as_chat(whole), "words": [word for word in words if word]}


@case
async def plain() -> Any:
    return shown(await ask())


@case
async def plain_in_a_thread() -> Any:
    given = {"model": f"openai/{MODEL}", "input": QUESTION, **PLACE}
    return shown(await asyncio.to_thread(litellm.responses, **given))


@case
async def stream() -> Any:
    return await read(await ask(stream=True))


@case
async def chat() -> Any:
    question = {"role": "user", "content": QUESTION}
    given: Any = {"model": f"openai/{MODEL}", "messages": [question], **PLACE}
    whole = await litellm.acompletion(**given)
    asked = {"stream": True, "stream_options": {"include_usage": True}}
    parts = await litellm.acompletion(**given, **asked)
    return [shown_as_chat(whole), await joined(parts)]


@case
async def chat_bridged() -> Any:
    asked = {"stream": True, "stream_options": {"include_usage": True}}
    return [shown_as_chat(await bridged()), await joined(await bridged(**asked))]


@case
async def tool() -> Any:
    question = {"role": "user", "content": "What is the weather in Lisbon?"}
    asked = await ask([question], tools=flat(WEATHER), tool_choice="required")
    sent_back = [item.model_dump() for item in asked.output]
    results = [
        {
            "type": "function_call_output",
            "call_id": item["call_id"],
            "output": "17 degrees",
        }
        for item in sent_back
    ]
    answer = await ask([question, *sent_back, *results], tools=flat(WEATHER))
    by_id = await ask(results, tools=flat(WEATHER), previous_response_id=asked.id)
    return [shown(asked), shown(answer), shown(by_id)]


@case
async def tool_streamed() -> Any:
    question = "What is the weather in Lisbon?"
    return await read(await ask(question, tools=flat(WEATHER), stream=True))


@case
async def parallel_tools() -> Any:
    question = "What are the weather and the time in Lisbon?"
    tools = flat(WEATHER, TIME)
    whole = await ask(question, tools=tools)
    return [shown(whole), await read(await ask(question, tools=tools, stream=True))]


@case
async def tools_bridged() -> Any:
    question = "What are the weather and the time in Lisbon?"
    tools = nested(WEATHER, TIME)
    whole = await bridged(question, tools=tools)
    parts = await bridged(question, tools=tools, stream=True)
    return [shown_as_chat(whole), await joined(parts)]


@case
async def tool_result_bridged() -> Any:
    question = {"role": "user", "content": "What is the weather in Lisbon?"}
    asked = await bridged(messages=[question], tools=nested(WEATHER))
    message = asked.choices[0].message
    result = {
        "role": "tool",
        "tool_call_id": message.tool_calls[0].id,
        "content": "17 degrees",
    }
    history = [question, message.model_dump(), result]
    return shown_as_chat(await bridged(messages=history, tools=nested(WEATHER)))


@case
async def structured() -> Any:
    answer = await ask("Name a city.", text_format=City)
    City.model_validate_json(answer.output_text)
    again = await bridged("Name a city.", response_format=City)
    City.model_validate_json(again.choices[0].message.content)
    return True


@case
async def turns() -> Any:
    history: list[Any] = [{"role": "user", "content": "one"}]
    for text in ("two", "three"):
        answer = await ask(history, ECHO)
        history += [item.model_dump() for item in answer.output]
        history.append({"role": "user", "content": text})
    return await texts_read(await ask(history, ECHO))


@case
async def turns_by_id() -> Any:
    first = await ask("one", ECHO)
    second = await ask("two", ECHO, previous_response_id=first.id)
    return await texts_read(await ask("three", ECHO, previous_response_id=second.id))


@case
async def options() -> Any:
    response = await ask(
        instructions="Be brief.",
        temperature=0.2,
        top_p=0.9,
        max_output_tokens=500,
        metadata={"a": "b"},
        parallel_tool_calls=False,
        text={"format": {"type": "text"}, "verbosity": "low"},
        include=["reasoning.encrypted_content"],
        truncation="auto",
        store=False,
        user="u",
    )
    echoed = ("instructions", "temperature", "top_p", "metadata", "truncation", "user")
    return {**shown(response), **{name: getattr(response, name) for name in echoed}}


@case
async def too_few_tokens() -> Any:
    question = "one " * 30
    few = 16  # litellm sends no smaller number
    whole = await ask(question, ECHO, max_output_tokens=few)
    parts = await ask(question, ECHO, max_output_tokens=few, stream=True)
    chat = await bridged(question, ECHO, max_tokens=few)
    return [shown(whole), await read(parts), shown_as_chat(chat)]


@case
async def background() -> Any:
    queued = await ask(background=True)
    while True:
        response = await litellm.aget_responses(queued.id, **PLACE)
        if response.status not in RUNNING:
            return [shown(queued), shown(response)]
        await asyncio.sleep(0.02)


@case
async def deleted() -> Any:
    made = await ask()
    gone = await litellm.adelete_responses(made.id, **PLACE)
    return {"deleted": gone.deleted, "object": gone.object}


@case
async def cancelled() -> Any:
    made = await ask(model=SILENT, background=True)
    ended = [await litellm.acancel_responses(made.id, **PLACE) for _ in range(2)]
    return [response.status for response in ended]


@case
async def read_after_it_was_deleted() -> Any:
    made = await ask()
    await litellm.adelete_responses(made.id, **PLACE)
    return shown(await litellm.aget_responses(made.id, **PLACE))


@case
async def unknown_model() -> Any:
    return shown(await ask(model="nobody"))


@case
async def unknown_model_streamed() -> Any:
    return await read(await ask(model="nobody", stream=True))


@case
async def unknown_model_bridged() -> Any:
    return shown_as_chat(await bridged(model="nobody"))


@case
async def hosted_tool() -> Any:
    return shown(await ask(tools=[{"type": "web_search"}]))


@case
async def broken_stream() -> Any:
    return await read(await ask(model=CUT_OFF, stream=True))


async def upstream(shape: str, **given: Any) -> Any:
    """A response of a service before an upstream that answers in this shape."""
    return await ask(model=f"{AS}{shape}", api_base=UPSTREAM, **given)


@case
async def refusal() -> Any:
    response = await upstream("refusal/answer")
    return {**shown(response), "part": response.output[0].content[0].model_dump()}


@case
async def thoughts() -> Any:
    whole = await upstream("reasoning/reasoning_content")
    parts = await upstream("reasoning/reasoning_content", stream=True)
    chat = await bridged(model=KNOWN[2], api_base=UPSTREAM)
    return [shown(whole), await read(parts), shown_as_chat(chat)]


@case
async def broken_off_by_the_upstream() -> Any:
    return await read(await upstream("broken/object", stream=True))


run()
