"""pydantic-ai, with its models for `/v1/responses` and for chat completions.

Each case is tried with both. They are named as users name them, and find the service by
OPENAI_BASE_URL and OPENAI_API_KEY.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from cases import CASES, KEY, QUESTION, UPSTREAM, case, run
from pydantic import BaseModel
from pydantic_ai import Agent, ModelSettings, NativeOutput
from pydantic_ai.models.openai import (
    OpenAIChatModel,
    OpenAIResponsesModel,
    OpenAIResponsesModelSettings,
)
from pydantic_ai.providers.openai import OpenAIProvider

PREFIXES = ("openai-responses", "openai-chat")
IN_THE_BACKGROUND = OpenAIResponsesModelSettings(openai_background=True)
MODEL = "gpt-4o-mini"
calls: list[str] = []


class City(BaseModel):
    """What an agent is to answer with."""

    name: str
    people: int


def get_weather(city: str) -> str:
    """The weather in a city."""
    calls.append(city)
    return "17 degrees"


def get_time(city: str) -> str:
    """The time in a city."""
    calls.append(city)
    return "noon"


def each(work: Callable[[str], Awaitable[Any]]) -> None:
    """Make a case of the function for each of the two kinds of models."""
    for prefix in PREFIXES:
        CASES[f"{work.__name__} {prefix}"] = lambda prefix=prefix: work(prefix)


def shown(result: Any) -> dict[str, Any]:
    """What a run has come to."""
    return {
        "output": result.output,
        "requests": result.usage.requests,
        "output_tokens": result.usage.output_tokens,
        "response": result.response.provider_response_id,
        "parts": [
            part.part_kind
            for message in result.new_messages()
            for part in message.parts
        ],
    }


@each
async def plain(prefix: str) -> Any:
    return shown(await Agent(f"{prefix}:{MODEL}").run(QUESTION))


@each
async def stream(prefix: str) -> Any:
    async with Agent(f"{prefix}:{MODEL}").run_stream(QUESTION) as result:
        words = [
            word async for word in result.stream_text(delta=True, debounce_by=None)
        ]
        return {"words": words, "output_tokens": result.usage.output_tokens}


@each
async def tool(prefix: str) -> Any:
    calls.clear()
    agent = Agent(f"{prefix}:{MODEL}", tools=[get_weather])
    result = await agent.run("What is the weather in Lisbon?")
    return {**shown(result), "calls": list(calls)}


@each
async def tool_streamed(prefix: str) -> Any:
    calls.clear()
    agent = Agent(f"{prefix}:{MODEL}", tools=[get_weather])
    async with agent.run_stream("What is the weather in Lisbon?") as result:
        words = [
            word async for word in result.stream_text(delta=True, debounce_by=None)
        ]
    return {"words": words, "calls": list(calls)}


@each
async def parallel_tools(prefix: str) -> Any:
    calls.clear()
    agent = Agent(f"{prefix}:{MODEL}", tools=[get_weather, get_time])
    result = await agent.run("What are the weather and the time in Lisbon?")
    return {**shown(result), "calls": list(calls)}


@each
async def structured(prefix: str) -> Any:
    result = await Agent(f"{prefix}:{MODEL}", output_type=City).run("Name a city.")
    return {"city": isinstance(result.output, City)}


@each
async def structured_by_schema(prefix: str) -> Any:
    agent = Agent(f"{prefix}:{MODEL}", output_type=NativeOutput(City))
    result = await agent.run("Name a city.")
    return {"city": isinstance(result.output, City)}


@each
async def turns(prefix: str) -> Any:
    agent = Agent(f"{prefix}:offline-echo", instructions="Be brief.")
    first = await agent.run("one")
    second = await agent.run("two", message_history=first.all_messages())
    third = await agent.run("three", message_history=second.all_messages())
    return [shown(result) for result in (first, second, third)]


@each
async def options(prefix: str) -> Any:
    settings = ModelSettings(
        temperature=0.2,
        top_p=0.9,
        max_tokens=500,
        parallel_tool_calls=False,
        seed=7,
        timeout=20,
        presence_penalty=0.25,
        frequency_penalty=0.5,
    )
    agent = Agent(f"{prefix}:{MODEL}", model_settings=settings)
    return shown(await agent.run(QUESTION))


@each
async def too_few_tokens(prefix: str) -> Any:
    agent = Agent(f"{prefix}:offline-echo")
    few = ModelSettings(max_tokens=2)
    return shown(await agent.run("one two three four", model_settings=few))


@each
async def unknown_model(prefix: str) -> Any:
    return shown(await Agent(f"{prefix}:nobody").run(QUESTION))


@each
async def broken_stream(prefix: str) -> Any:
    agent = Agent(f"{prefix}:fault-reset-after-3")
    async with agent.run_stream(QUESTION) as result:
        return [word async for word in result.stream_text(delta=True, debounce_by=None)]


def before_an_upstream(prefix: str, shape: str) -> Agent[None, str]:
    """An agent with an upstream that answers in this shape."""
    provider = OpenAIProvider(base_url=UPSTREAM, api_key=KEY)
    kind = OpenAIChatModel if prefix == "openai-chat" else OpenAIResponsesModel
    return Agent(kind(f"as/{shape}", provider=provider), retries=0)


@each
async def refusal(prefix: str) -> Any:
    return shown(await before_an_upstream(prefix, "refusal/answer").run(QUESTION))


@each
async def thoughts(prefix: str) -> Any:
    agent = before_an_upstream(prefix, "reasoning/reasoning_content")
    return shown(await agent.run(QUESTION))


@each
async def thoughts_streamed(prefix: str) -> Any:
    agent = before_an_upstream(prefix, "reasoning/reasoning_content")
    async with agent.run_stream(QUESTION) as result:
        await result.get_output()
        return {"parts": [part.part_kind for part in result.response.parts]}


@each
async def broken_off_by_the_upstream(prefix: str) -> Any:
    agent = before_an_upstream(prefix, "broken/object")
    async with agent.run_stream(QUESTION) as result:
        return [word async for word in result.stream_text(delta=True, debounce_by=None)]


# --- What only `/v1/responses` has ---


@case
async def background() -> Any:
    agent = Agent(f"openai-responses:{MODEL}", model_settings=IN_THE_BACKGROUND)
    return shown(await agent.run(QUESTION))


@case
async def background_streamed() -> Any:
    agent = Agent(f"openai-responses:{MODEL}", model_settings=IN_THE_BACKGROUND)
    async with agent.run_stream(QUESTION) as result:
        words = [
            word async for word in result.stream_text(delta=True, debounce_by=None)
        ]
        return {"words": words, "output_tokens": result.usage.output_tokens}


@case
async def turns_by_id() -> Any:
    by_id = OpenAIResponsesModelSettings(openai_previous_response_id="auto")
    agent = Agent("openai-responses:offline-echo", model_settings=by_id)
    first = await agent.run("one")
    second = await agent.run("two", message_history=first.all_messages())
    return shown(second)


run()
