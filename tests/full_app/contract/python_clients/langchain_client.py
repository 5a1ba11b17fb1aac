"""langchain-openai, told to use `/v1/responses`, and once with chat completions."""

from typing import Any

from cases import KEY, OFFLINE, QUESTION, UPSTREAM, case, run
from langchain_core.messages import AIMessageChunk, HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from pydantic import BaseModel

MODEL = "gpt-4o-mini"


class City(BaseModel):
    """What a model is to answer with."""

    name: str
    people: int


@tool
def get_weather(city: str) -> str:
    """The weather in a city."""
    return f"17 degrees in {city}"


@tool
def get_time(city: str) -> str:
    """The time in a city."""
    return f"noon in {city}"


def chat(model: str = MODEL, *, url: str = OFFLINE, **given: Any) -> ChatOpenAI:
    """A model of the service's."""
    given = {"use_responses_api": True, "max_retries": 0, **given}
    return ChatOpenAI(model=model, base_url=url, api_key=KEY, **given)


def shown(message: Any) -> dict[str, Any]:
    """A message as the tests compare it."""
    usage = message.usage_metadata or {}
    return {
        "text": str(message.text),
        "blocks": [block["type"] for block in message.content_blocks],
        "calls": [(call["name"], call["args"]) for call in message.tool_calls],
        "output_tokens": usage.get("output_tokens"),
        "metadata": message.response_metadata,
        "more": message.additional_kwargs,
    }


async def joined(model: Any, question: Any) -> dict[str, Any]:
    """The chunks of a stream, put together as langchain does it."""
    whole: AIMessageChunk | None = None
    words = []
    async for part in model.astream(question):
        words.append(str(part.text))
        whole = part if whole is None else whole + part
    return {**shown(whole), "words": [word for word in words if word]}


@case
async def plain() -> Any:
    return shown(await chat().ainvoke(QUESTION))


@case
async def plain_in_a_thread() -> Any:
    return shown(chat().invoke(QUESTION))


@case
async def stream() -> Any:
    return await joined(chat(), QUESTION)


@case
async def chat_completions() -> Any:
    model = chat(use_responses_api=False, stream_usage=True)
    whole = shown(await model.ainvoke(QUESTION))
    return [whole, await joined(model, QUESTION)]


@case
async def tools() -> Any:
    model = chat().bind_tools([get_weather])
    question = HumanMessage("What is the weather in Lisbon?")
    call = await model.ainvoke([question])
    results = [await get_weather.ainvoke(one) for one in call.tool_calls]
    answer = await model.ainvoke([question, call, *results])
    return [shown(call), shown(answer)]


@case
async def tools_streamed() -> Any:
    model = chat().bind_tools([get_weather])
    return await joined(model, "What is the weather in Lisbon?")


@case
async def parallel_tools_streamed() -> Any:
    model = chat().bind_tools([get_weather, get_time])
    return await joined(model, "What are the weather and the time in Lisbon?")


@case
async def structured() -> Any:
    found = []
    for method in ("json_schema", "function_calling"):
        model = chat().with_structured_output(City, method=method)
        found.append(isinstance(await model.ainvoke("Name a city."), City))
    return found


@case
async def turns() -> Any:
    model = chat("offline-echo")
    history: list[Any] = [HumanMessage("one")]
    for text in ("two", "three"):
        history += [await model.ainvoke(history), HumanMessage(text)]
    return shown(await model.ainvoke(history))


@case
async def turns_by_id() -> Any:
    model = chat("offline-echo", use_previous_response_id=True)
    history: list[Any] = [HumanMessage("one")]
    for text in ("two", "three"):
        history += [await model.ainvoke(history), HumanMessage(text)]
    return shown(await model.ainvoke(history))


@case
async def options() -> Any:
    model = chat(
        temperature=0.2,
        top_p=0.9,
        max_completion_tokens=500,
        reasoning={"effort": "low", "summary": "auto"},
        verbosity="low",
        store=False,
        include=["reasoning.encrypted_content"],
        truncation="auto",
        metadata={"a": "b"},
        service_tier="auto",
    )
    return shown(await model.ainvoke(QUESTION))


@case
async def too_few_tokens() -> Any:
    model = chat("offline-echo", max_completion_tokens=2)
    return shown(await model.ainvoke("one two three four five"))


@case
async def unknown_model() -> Any:
    return shown(await chat("nobody").ainvoke(QUESTION))


@case
async def unknown_model_streamed() -> Any:
    return await joined(chat("nobody"), QUESTION)


@case
async def broken_stream() -> Any:
    return await joined(chat("fault-reset-after-3"), QUESTION)


@case
async def refusal() -> Any:
    return shown(await chat("as/refusal/answer", url=UPSTREAM).ainvoke(QUESTION))


@case
async def thoughts() -> Any:
    model = chat("as/reasoning/reasoning_content", url=UPSTREAM)
    return [shown(await model.ainvoke(QUESTION)), await joined(model, QUESTION)]


@case
async def two_calls_of_the_upstream() -> Any:
    return await joined(chat("as/tools/two", url=UPSTREAM), QUESTION)


@case
async def broken_off_by_the_upstream() -> Any:
    return await joined(chat("as/broken/object", url=UPSTREAM), QUESTION)


@case
async def unasked_result() -> Any:
    lost = ToolMessage("17 degrees", tool_call_id="call_nobody")
    return shown(await chat().ainvoke([HumanMessage(QUESTION), lost]))


run()
