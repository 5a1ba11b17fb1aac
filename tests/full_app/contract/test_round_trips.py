"""What clients send is understood, and what they send back of ours is too.

One body a client, in the form it was seen to send (openai-contract.md, 2.5); histories
hold our own answers with what that client adds to them.
"""

from typing import Any

import httpx2
import openai
import pytest
from openai.types.chat.completion_create_params import (
    CompletionCreateParamsBase,
    CompletionCreateParamsNonStreaming,
)

from examples.full_app.schemas.answers import ResponseMessage
from examples.full_app.schemas.chat import (
    DROPPED_ECHO_FIELDS,
    UNSUPPORTED_PARAMETERS,
    ChatCompletionRequest,
)
from tests.full_app.contract.asks import (
    ASK,
    MODEL,
    PATH,
    PLAIN,
    QUESTION,
    WEATHER,
    WEATHER_QUESTION,
    Place,
)

JSON = dict[str, Any]
SCHEMA = {**Place.model_json_schema(), "additionalProperties": False}
FORMAT = {"name": "Place", "schema": SCHEMA, "strict": True}
AS_JSON = {"type": "json_schema", "json_schema": FORMAT}
NAMED = {"type": "function", "function": {"name": "get_weather"}}
STREAMED = {"stream": True, "stream_options": {"include_usage": True}}


def tool(**more: object) -> JSON:
    """The weather tool with what a client writes into its function."""
    return {"type": "function", "function": {**WEATHER["function"], **more}}


def said(**more: object) -> JSON:
    """An answer in a history, with what a client leaves in it."""
    return {"role": "assistant", "content": "It is sunny.", **more}


def called(content: object = None, **more: object) -> list[JSON]:
    """A question, a call of a tool, and its result; `more` is said in the call."""
    function = {"name": "get_weather", "arguments": '{"city":"Lisbon"}'}
    call = {"id": "call_1", "type": "function", "function": function, **more}
    return [
        {"role": "user", "content": "What is the weather in Lisbon?"},
        {"role": "assistant", "content": content, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "17 degrees"},
    ]


# Client, then what it sends beside `model`: its plain, streamed and structured forms,
# its tools, and its histories.
SENT: dict[str, list[JSON]] = {
    "openai-python": [
        {},
        {"stream": True},
        {"stream": False, "response_format": AS_JSON},
        {"tools": [tool(strict=True)], "stream": False},
        {
            "messages": [
                said(
                    refusal=None,
                    annotations=None,
                    audio=None,
                    function_call=None,
                    tool_calls=None,
                    parsed={"city": "Lisbon"},
                )
            ]
        },
        {
            "messages": called(
                function={
                    "name": "get_weather",
                    "arguments": '{"city":"Lisbon"}',
                    "parsed_arguments": {"city": "Lisbon"},
                },
                index=0,
            )
        },
    ],
    "langchain-openai": [
        {"stream": False},
        {"stream": True},
        {"stream": False, "response_format": AS_JSON},
        {
            "stream": False,
            "tools": [tool()],
            "tool_choice": NAMED,
            "parallel_tool_calls": False,
        },
        {"stream": False, "response_format": {"type": "json_object"}},
        {
            "stream": False,
            "max_completion_tokens": 500,
            "n": 1,
            "seed": 1,
            "logprobs": True,
            "top_logprobs": 2,
            "logit_bias": {"50256": -100},
            "stop": ["\n\n\n"],
            "reasoning_effort": "low",
            "verbosity": "low",
            "service_tier": "auto",
            "store": False,
        },
        {"messages": called(content=None)},
    ],
    "litellm": [
        {},
        {"stream": True},
        {"response_format": AS_JSON},
        {"tools": [tool()], "tool_choice": "auto"},
        {"messages": [said(provider_specific_fields={"refusal": None})]},
        {
            "messages": [
                *called(provider_specific_fields={})[:2],
                {
                    "role": "tool",
                    "tool_call_id": "call_1",
                    "name": "get_weather",
                    "content": "17 degrees",
                },
            ]
        },
    ],
    "@ai-sdk/openai, .chat()": [
        {},
        STREAMED,
        {
            "response_format": {
                "type": "json_schema",
                "json_schema": {
                    **FORMAT,
                    "schema": {
                        "$schema": "http://json-schema.org/draft-07/schema#",
                        **SCHEMA,
                    },
                },
            }
        },
        {"tools": [tool()], "tool_choice": "auto"},
        {"messages": [{"role": "system", "content": "Be short."}, *called("")]},
    ],
    "@ai-sdk/openai-compatible": [
        {},
        {"stream": True},
        {"response_format": {"type": "json_object"}},
        {"tools": [tool()], "tool_choice": "auto"},
        {"messages": [said(reasoning_content="It was asked.", extra_content={"a": 1})]},
        {"messages": called("", extra_content={"google": {"thought": "x"}})},
    ],
    "pydantic-ai": [
        {"stream": False},
        STREAMED,
        {"stream": False, "response_format": AS_JSON},
        {
            "stream": False,
            "tools": [tool(strict=True, description="")],
            "tool_choice": "required",
        },
        {"stream": False, "tools": [tool(strict=True)], "tool_choice": "auto"},
        {"messages": called(content=None)},
    ],
    "instructor": [
        {},
        {"stream": True},
        {"tools": [tool()], "tool_choice": NAMED},
        {"response_format": {"type": "json_object"}},
        {
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "Place", "schema": SCHEMA},
            }
        },
    ],
    "openai-agents": [
        {"messages": [{"content": "hello", "role": "user"}]},
        {"messages": [{"content": "hello", "role": "user"}], "stream": True},
        {"response_format": AS_JSON},
        {"tools": [tool(strict=True)]},
        {
            "store": True,
            "metadata": {"team": "a"},
            "reasoning_effort": "low",
            "verbosity": "medium",
        },
        {"messages": called(content=None)},
    ],
    "llama-index OpenAILike": [
        {"stream": False, "temperature": 0.1},
        {"stream": True, "temperature": 0.1},
        {
            "stream": False,
            "temperature": 0.1,
            "tools": [tool(strict=False)],
            "tool_choice": "required",
            "parallel_tool_calls": False,
        },
    ],
    "Open WebUI": [
        {"stream": False},
        {**STREAMED, "top_p": 0.9, "seed": 3, "stop": ["\n\n\n"]},
        {"reasoning_effort": "low", "logit_bias": {"1": 5}, "max_tokens": 600},
        {"response_format": {"type": "json_object"}, "stream": True},
        {"tools": [tool()], "tool_choice": "auto", "stream": True},
        {"messages": [said(reasoning="It was asked.")]},
    ],
}
BODIES = [
    pytest.param(body, id=f"{client} {number}")
    for client, bodies in SENT.items()
    for number, body in enumerate(bodies)
]


def completed(body: JSON) -> JSON:
    """What is sent: a question, or the given messages and a question after them."""
    messages = [*body.get("messages", []), {"role": "user", "content": "And then?"}]
    return {"model": MODEL, **body, "messages": messages}


@pytest.mark.parametrize("body", BODIES)
def test_what_a_client_sends_is_answered(http: httpx2.Client, body: JSON) -> None:
    answer = http.post(PATH, json=completed(body))

    assert answer.status_code == 200, answer.text
    if body.get("stream"):
        assert answer.text.endswith("data: [DONE]\n\n")
        assert ('"usage"' in answer.text) is ("stream_options" in body)
    else:
        assert answer.json()["choices"][0]["finish_reason"] in ("stop", "tool_calls")


def test_every_field_of_the_official_client_is_known_by_name() -> None:
    fields = {
        *CompletionCreateParamsNonStreaming.__annotations__,
        *CompletionCreateParamsBase.__annotations__,
    }

    known = {*ChatCompletionRequest.model_fields, *UNSUPPORTED_PARAMETERS}
    assert len(fields) >= 37
    assert fields <= known


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"min_p": 0.1}, "min_p"),  # Open WebUI's own, if its user sets them
        ({"top_k": 40}, "top_k"),
        ({"user": {"id": "1", "name": "Ada"}}, "user"),
    ],
)
def test_what_only_other_servers_know_is_refused_by_name(
    http: httpx2.Client, change: JSON, param: str
) -> None:
    answer = http.post(PATH, json={**PLAIN, **change})

    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == param


def test_every_field_that_is_dropped_is_sent_by_some_client() -> None:
    sent = {
        name
        for bodies in SENT.values()
        for body in bodies
        for message in body.get("messages", [])
        if message["role"] == "assistant"
        for name in message
    }

    assert sent - {"role", "content", "tool_calls"} == DROPPED_ECHO_FIELDS


@pytest.mark.parametrize("name", ["refusal", "parsed", "index", "reasoning_content"])
def test_what_is_dropped_of_an_answer_is_refused_elsewhere(
    http: httpx2.Client, name: str
) -> None:
    question = {**QUESTION, name: None}
    answer = http.post(PATH, json={**PLAIN, "messages": [question]})

    assert answer.json()["error"]["param"] == f"messages[0].{name}"


def again(client: openai.OpenAI, history: list[Any]) -> str | None:
    """The answer to another question after this history."""
    answer = client.chat.completions.create(model=MODEL, messages=[*history, QUESTION])
    return answer.choices[0].message.content


# Its own models warn when a parsed message is dumped; what they send is right.
@pytest.mark.wire
@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings:UserWarning")
def test_messages_of_the_official_client_can_be_sent_back(
    client: openai.OpenAI,
) -> None:
    chat = client.chat.completions
    plain = chat.create(model=MODEL, messages=ASK).choices[0].message
    parsed = chat.parse(model=MODEL, messages=ASK, response_format=Place)
    called = chat.parse(
        model=MODEL,
        messages=[WEATHER_QUESTION],
        tools=[openai.pydantic_function_tool(Place)],
        tool_choice="required",
    )
    with chat.stream(
        model=MODEL,
        messages=[WEATHER_QUESTION],
        tools=[WEATHER],
        tool_choice="required",
    ) as stream:
        helped = stream.get_final_completion()

    assert again(client, [*ASK, plain])
    assert again(client, [*ASK, parsed.choices[0].message])
    for answer in (called, helped):
        message = answer.choices[0].message
        (call,) = message.tool_calls or []
        result = {"role": "tool", "tool_call_id": call.id, "content": "done"}
        assert again(client, [WEATHER_QUESTION, message, result])
        for dumped in (
            message.model_dump(),
            message.model_dump(exclude_none=True),
            message.to_dict(),
        ):
            assert again(client, [WEATHER_QUESTION, dumped, result])


@pytest.mark.wire
def test_every_field_that_we_send_in_a_message_is_accepted(
    http: httpx2.Client,
) -> None:
    seen: set[str] = set()
    tools = {"tools": [WEATHER], "tool_choice": "required"}
    for change in ({}, {"n": 2, "logprobs": True}, tools):
        answer = http.post(PATH, json={**PLAIN, **change}).json()
        for choice in answer["choices"]:
            message = choice["message"]
            seen |= {name for name, value in message.items() if value is not None}
            results = [
                {"role": "tool", "tool_call_id": call["id"], "content": "x"}
                for call in message.get("tool_calls") or []
            ]
            history = [QUESTION, message, *results, QUESTION]
            back = http.post(PATH, json={"model": MODEL, "messages": history})
            assert back.status_code == 200, back.text

    optional = {"refusal"} & ResponseMessage.model_fields.keys()
    assert seen | optional == ResponseMessage.model_fields.keys()
