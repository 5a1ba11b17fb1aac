"""openai-agents, as it comes: `/v1/responses` is its default."""

from typing import Any

from agents import (
    Agent,
    ModelSettings,
    OpenAIProvider,
    RunConfig,
    Runner,
    RunResult,
    RunResultStreaming,
    function_tool,
)
from cases import KEY, QUESTION, UPSTREAM, case, run
from pydantic import BaseModel

MODEL = "gpt-4o-mini"
BEFORE_AN_UPSTREAM = RunConfig(
    model_provider=OpenAIProvider(base_url=UPSTREAM, api_key=KEY)
)
calls: list[str] = []


class City(BaseModel):
    """What an agent is to answer with."""

    name: str
    people: int


@function_tool
def get_weather(city: str) -> str:
    """The weather in a city."""
    calls.append(city)
    return "17 degrees"


@function_tool
def get_time(city: str) -> str:
    """The time in a city."""
    calls.append(city)
    return "noon"


@function_tool
def brew(leaf: str) -> str:
    """Brew a tea of these leaves."""
    return f"{leaf} tea"


@function_tool
def pour(cups: int) -> str:
    """Pour so many cups."""
    return f"{cups} cups"


def shown(result: RunResult | RunResultStreaming) -> dict[str, Any]:
    """What a run has come to."""
    usage = result.context_wrapper.usage
    return {
        "text": str(result.final_output),
        "items": [type(item).__name__ for item in result.new_items],
        "requests": usage.requests,
        "output_tokens": usage.output_tokens,
        "response": result.last_response_id,
    }


async def streamed(
    agent: Agent[Any], question: str, config: RunConfig | None = None
) -> dict[str, Any]:
    """A streamed run, and the types and the words of its events."""
    result = Runner.run_streamed(agent, question, run_config=config)
    types, words = [], []
    async for event in result.stream_events():
        if event.type == "raw_response_event":
            types.append(event.data.type)
            if event.data.type == "response.output_text.delta":
                words.append(event.data.delta)
    return {**shown(result), "types": types, "words": words}


@case
async def plain() -> Any:
    return shown(await Runner.run(Agent(name="a", model=MODEL), QUESTION))


@case
async def stream() -> Any:
    return await streamed(Agent(name="a", model=MODEL), QUESTION)


@case
async def tool() -> Any:
    agent = Agent(name="a", model=MODEL, tools=[get_weather])
    calls.clear()
    result = await Runner.run(agent, "What is the weather in Lisbon?")
    return {**shown(result), "calls": list(calls)}


@case
async def tool_streamed() -> Any:
    agent = Agent(name="a", model=MODEL, tools=[get_weather])
    return await streamed(agent, "What is the weather in Lisbon?")


@case
async def parallel_tools() -> Any:
    agent = Agent(name="a", model=MODEL, tools=[get_weather, get_time])
    calls.clear()
    result = await Runner.run(agent, "What are the weather and the time in Lisbon?")
    return {**shown(result), "calls": list(calls)}


@case
async def structured() -> Any:
    agent = Agent(name="a", model=MODEL, output_type=City)
    result = await Runner.run(agent, "Name a city.")
    return {"city": isinstance(result.final_output, City)}


@case
async def turns() -> Any:
    agent = Agent(name="a", model="offline-echo", instructions="Be brief.")
    first = await Runner.run(agent, "one")
    sent_again = [*first.to_input_list(), {"role": "user", "content": "two"}]
    second = await Runner.run(agent, sent_again)
    third = await Runner.run(
        agent, "three", previous_response_id=second.last_response_id
    )
    return [shown(result) for result in (first, second, third)]


@case
async def options() -> Any:
    settings = ModelSettings(
        temperature=0.2,
        top_p=0.9,
        max_tokens=500,
        parallel_tool_calls=False,
        truncation="auto",
        store=False,
        metadata={"a": "b"},
        include_usage=True,
        verbosity="low",
        response_include=["reasoning.encrypted_content"],
    )
    agent = Agent(name="a", model=MODEL, model_settings=settings)
    return shown(await Runner.run(agent, QUESTION))


@case
async def too_few_tokens() -> Any:
    settings = ModelSettings(max_tokens=2)
    agent = Agent(name="a", model="offline-echo", model_settings=settings)
    return shown(await Runner.run(agent, "one two three four five"))


@case
async def unknown_model() -> Any:
    return shown(await Runner.run(Agent(name="a", model="nobody"), QUESTION))


@case
async def unknown_model_streamed() -> Any:
    return await streamed(Agent(name="a", model="nobody"), QUESTION)


@case
async def broken_stream() -> Any:
    agent = Agent(name="a", model="fault-reset-after-3")
    return await streamed(agent, QUESTION)


async def asked_upstream(shape: str, **given: Any) -> Any:
    """A streamed run with an upstream that answers in this shape."""
    agent = Agent(name="a", model=f"as/{shape}", **given)
    return await streamed(agent, QUESTION, BEFORE_AN_UPSTREAM)


@case
async def refusal() -> Any:
    return await asked_upstream("refusal/answer")


@case
async def thoughts() -> Any:
    return await asked_upstream("reasoning/reasoning_content")


@case
async def thoughts_go_back() -> Any:
    agent = Agent(name="a", model="as/reasoning/reasoning_content")
    first = await Runner.run(agent, QUESTION, run_config=BEFORE_AN_UPSTREAM)
    history = [*first.to_input_list(), {"role": "user", "content": "And then?"}]
    second = await Runner.run(agent, history, run_config=BEFORE_AN_UPSTREAM)
    return {**shown(second), "sent": [item.get("type") for item in history]}


@case
async def broken_off_by_the_upstream() -> Any:
    return await asked_upstream("broken/object")


@case
async def two_calls_of_the_upstream() -> Any:
    first_turn = Agent(
        name="a",
        model="as/tools/two",
        tools=[brew, pour],
        tool_use_behavior="stop_on_first_tool",
    )
    return await streamed(first_turn, QUESTION, BEFORE_AN_UPSTREAM)


run()
