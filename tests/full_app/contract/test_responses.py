"""`/v1/responses` on the wire, check by check: what is read, and what is written.

What a response says as a whole, and what is kept of it, is in `routes/test_responses`;
work in the background is in `responses/test_background`.
"""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import ValidationError
from starlette.testclient import TestClient

from examples.full_app.main import create_app
from examples.full_app.providers.base import Delta
from examples.full_app.responses.service import KNOWN_TOOLS
from examples.full_app.schemas.answers import ToolCallDelta
from examples.full_app.schemas.responses import ResponseRequest
from tests.full_app.conftest import settings
from tests.full_app.routes.test_responses import PATH, WEATHER, events
from tests.full_app.scripted import Scripted
from tests.full_app.upstreams import HEADERS

JSON = dict[str, Any]
HI = {"role": "user", "content": "hi"}


class Asked:
    """The service, and the model behind it, whose requests can be looked at."""

    def __init__(self, http: TestClient, model: Scripted) -> None:
        self.http = http
        self.model = model

    def __call__(self, **given: Any) -> JSON:
        """The answer to a request that has to succeed."""
        answer = self.http.post(PATH, json={"model": "any", "input": "hi", **given})
        assert answer.status_code == 200, answer.text
        whole: JSON = answer.json()
        return whole

    def stream(self, **given: Any) -> list[JSON]:
        """The events of a request that has to succeed."""
        asked = {"model": "any", "input": "hi", "stream": True, **given}
        return events(self.http.post(PATH, json=asked))

    @property
    def seen(self) -> JSON:
        """The last request that the model was sent, as far as it was filled in."""
        request = self.model.requests[-1]
        return request.model_dump(by_alias=True, exclude_unset=True, exclude_none=True)

    @property
    def messages(self) -> list[JSON]:
        """The messages of that request, without what every call says of itself."""
        return [
            message.model_dump(exclude_none=True)
            for message in self.model.requests[-1].messages
        ]


@pytest.fixture(scope="module")
def service() -> Iterator[Asked]:
    """One service for all checks."""
    model = Scripted()
    with TestClient(create_app(settings(), provider=model), headers=HEADERS) as http:
        yield Asked(http, model)


@pytest.fixture
def ask(service: Asked) -> Asked:
    """The service before a model that is as new."""
    service.model.__dict__.update(Scripted().__dict__)
    return service


# --- What is read ---


def test_instructions_are_the_first_message_and_are_not_carried_over(
    ask: Asked,
) -> None:
    first = ask(instructions="Be brief.")
    with_instructions = ask.messages
    ask(previous_response_id=first["id"], input="more")

    assert with_instructions[0] == {"role": "system", "content": "Be brief."}
    assert ask.messages == [
        HI,
        {"role": "assistant", "content": "abc"},
        {"role": "user", "content": "more"},
    ]


def test_every_role_is_read_with_a_phase_and_without_a_type(ask: Asked) -> None:
    said: list[JSON] = [
        {"role": "system", "content": "one"},
        {"role": "developer", "content": "two"},
        {"role": "user", "content": "three"},
        {"role": "assistant", "content": "four", "phase": "commentary"},
        {"role": "user", "content": "five", "phase": None},
    ]
    ask(input=said)
    written = [{"role": it["role"], "content": it["content"]} for it in said]
    bare = ask.messages
    ask(input=[{"type": "message", **item} for item in said])

    assert bare == ask.messages == written


CALL = {
    "type": "function_call",
    "call_id": "call_1",
    "name": "get_weather",
    "arguments": "{}",
}
OUTPUT = {"type": "function_call_output", "call_id": "call_1", "output": "sun"}
TEXT = {"type": "output_text", "text": "One moment.", "annotations": []}
SENT_BACK: dict[str, list[JSON]] = {
    "openai-python": [
        HI,
        {
            "type": "message",
            "id": "msg_1",
            "role": "assistant",
            "status": "completed",
            "phase": None,
            "content": [{**TEXT, "logprobs": [], "parsed": None}],
        },
        {
            **CALL,
            "id": "fc_1",
            "status": "completed",
            "async_": None,
            "caller": None,
            "namespace": None,
            "parsed_arguments": None,
        },
        OUTPUT,
    ],
    "openai-node": [
        HI,
        {
            "type": "message",
            "id": "msg_1",
            "role": "assistant",
            "status": "completed",
            "content": [{**TEXT, "logprobs": [], "parsed": {"a": 1}}],
        },
        {**CALL, "id": "fc_1", "status": "completed", "parsed_arguments": {}},
        OUTPUT,
    ],
    "openai-agents": [
        HI,
        {"type": "reasoning", "id": "rs_1", "summary": [], "status": "completed"},
        {
            "type": "message",
            "id": "msg_1",
            "role": "assistant",
            "status": "completed",
            "content": [{**TEXT, "logprobs": []}],
        },
        {**CALL, "id": "fc_1", "status": "completed"},
        OUTPUT,
    ],
    "pydantic-ai": [HI, {"role": "assistant", "content": TEXT["text"]}, CALL, OUTPUT],
    "langchain": [
        {"type": "message", **HI},
        {"type": "message", "role": "assistant", "id": "msg_1", "content": [TEXT]},
        {**CALL, "id": "fc_1"},
        OUTPUT,
    ],
    "AI SDK": [
        {"role": "user", "content": [{"type": "input_text", "text": "hi"}]},
        {
            "role": "assistant",
            "id": "msg_1",
            "content": [{"type": "output_text", "text": TEXT["text"]}],
        },
        CALL,
        OUTPUT,
    ],
    "litellm": [
        {"role": "user", "content": [{"type": "input_text", "text": "hi"}]},
        {"type": "message", "role": "assistant", "id": "msg_1", "content": [TEXT]},
        {**CALL, "id": "fc_1", "status": None},
        {**OUTPUT, "output": [{"type": "input_text", "text": "sun"}]},
    ],
}


@pytest.mark.parametrize("client", SENT_BACK)
def test_what_a_client_sends_back_is_read_as_the_same_conversation(
    ask: Asked, client: str
) -> None:
    ask(input=SENT_BACK[client])
    function = {"name": CALL["name"], "arguments": CALL["arguments"]}

    assert ask.messages == [
        HI,
        {
            "role": "assistant",
            "content": TEXT["text"],
            "tool_calls": [{"id": "call_1", "type": "function", "function": function}],
        },
        {"role": "tool", "tool_call_id": "call_1", "content": "sun"},
    ]


@pytest.mark.parametrize(
    "thoughts",
    [
        {"id": "rs_1", "summary": [{"type": "summary_text", "text": "Hm."}]},
        {"id": "rs_1", "summary": [], "encrypted_content": "x", "status": "completed"},
        {"summary": None},
        {"id": "rs_1", "content": [{"type": "reasoning_text", "text": "Hm."}]},
    ],
    ids=["summary", "encrypted", "summary is null", "raw text"],
)
def test_thoughts_are_taken_back_and_no_model_reads_them(
    ask: Asked, thoughts: JSON
) -> None:
    made = ask(input=[HI, {"type": "reasoning", **thoughts}, {**HI, "content": "so?"}])
    items = ask.http.get(f"{PATH}/{made['id']}/input_items").json()["data"]

    assert ask.messages == [HI, {**HI, "content": "so?"}]
    assert [item["type"] for item in items] == ["message", "message"]


def test_nulls_inside_of_items_parts_tools_and_formats_mean_not_given(
    ask: Asked,
) -> None:
    nothing = dict.fromkeys(("id", "status", "phase", "name", "annotations"))
    ask(
        input=[
            {**nothing, "type": None, **HI},
            {**nothing, **CALL},
            {**nothing, **OUTPUT},
        ],
        tools=[{**WEATHER, "strict": None, "defer_loading": None}],
        tool_choice=None,
        text={"format": {"type": "text", "name": None}, "verbosity": None},
        reasoning={"effort": None, "summary": None},
    )

    assert ask.messages[0] == HI
    assert "strict" not in ask.seen["tools"][0]["function"]
    assert {"response_format", "verbosity", "reasoning_effort"}.isdisjoint(ask.seen)


@pytest.mark.parametrize("kind", sorted({*KNOWN_TOOLS, "something_new"}))
def test_each_tool_that_only_openai_runs_is_refused_by_name(
    ask: Asked, kind: str
) -> None:
    tools = [WEATHER, {"type": kind, "name": "x", "server_url": "https://x.example"}]
    refused = ask.http.post(PATH, json={"model": "any", "input": "hi", "tools": tools})

    assert refused.status_code == 400
    assert refused.json()["error"]["param"] == "tools[1].type"
    assert refused.json()["error"]["code"] == "unsupported_parameter"
    assert ask.model.started == 0


@pytest.mark.parametrize(
    ("choice", "names", "sent"),
    [
        ("auto", ["get_weather", "get_time"], "auto"),
        ("none", ["get_weather", "get_time"], "none"),
        ("required", ["get_weather", "get_time"], "required"),
        (
            {"type": "function", "name": "get_time"},
            ["get_weather", "get_time"],
            {"type": "function", "function": {"name": "get_time"}},
        ),
        (
            {
                "type": "allowed_tools",
                "mode": "auto",
                "tools": [{"type": "function", "name": "get_time"}],
            },
            ["get_time"],
            "auto",
        ),
    ],
    ids=["auto", "none", "required", "function", "allowed_tools"],
)
@pytest.mark.parametrize("parallel", [True, False])
def test_each_tool_choice_reaches_the_model_and_is_shown_in_the_answer(
    ask: Asked, choice: Any, names: list[str], sent: Any, parallel: bool
) -> None:
    tools = [WEATHER, {**WEATHER, "name": "get_time"}]
    answer = ask(tools=tools, tool_choice=choice, parallel_tool_calls=parallel)

    assert [tool["function"]["name"] for tool in ask.seen["tools"]] == names
    assert ask.seen["tool_choice"] == sent
    assert ask.seen["parallel_tool_calls"] is parallel
    assert answer["tool_choice"] == choice
    assert answer["parallel_tool_calls"] is parallel
    assert len(answer["tools"]) == 2


def test_a_schema_is_sent_to_the_model_as_chat_completions_nest_it(ask: Asked) -> None:
    schema = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "type": "object",
        "properties": {"city": {"type": "string"}},
    }
    wanted = {"type": "json_schema", "name": "place", "schema": schema}
    answer = ask(text={"format": wanted})

    assert ask.seen["response_format"] == {
        "type": "json_schema",
        "json_schema": {"name": "place", "schema": schema},
    }
    assert answer["text"]["format"] == {**wanted, "description": None, "strict": None}


def test_a_json_object_is_asked_for_and_answered(ask: Asked) -> None:
    ask(text={"format": {"type": "json_object"}})
    sent = ask.seen["response_format"]
    question = {"role": "user", "content": "Name a city, as JSON."}
    answer = ask(
        model="gpt-4o-mini", input=[question], text={"format": {"type": "json_object"}}
    )
    text = answer["output"][0]["content"][0]["text"]

    assert sent == {"type": "json_object"}
    assert answer["text"] == {"format": {"type": "json_object"}}
    assert isinstance(text, str)


@pytest.mark.parametrize(
    ("finish", "reason"),
    [("length", "max_output_tokens"), ("content_filter", "content_filter")],
)
def test_a_limit_and_a_filter_make_a_response_incomplete(
    ask: Asked, finish: Any, reason: str
) -> None:
    ask.model.finish_reason = finish
    whole = ask(max_output_tokens=20)
    *_, last = ask.stream(max_output_tokens=20)

    assert ask.seen["max_completion_tokens"] == 20
    assert last["type"] == "response.incomplete"
    for response in (whole, last["response"]):
        assert response["status"] == "incomplete"
        assert response["incomplete_details"] == {"reason": reason}
        assert response["completed_at"] is None
        assert response["error"] is None
        assert response["output"][0]["status"] == "incomplete"
        assert response["usage"]["output_tokens"] == 3


@pytest.mark.parametrize(
    ("option", "param"),
    [
        ({"temperature": -0.1}, "temperature"),
        ({"top_p": 1.1}, "top_p"),
        ({"frequency_penalty": 2.1}, "frequency_penalty"),
        ({"presence_penalty": -2.1}, "presence_penalty"),
        ({"top_logprobs": 21}, "top_logprobs"),
        ({"max_output_tokens": 16_385}, "max_output_tokens"),
        ({"max_output_tokens": "5"}, "max_output_tokens"),
        ({"max_tool_calls": 0}, "max_tool_calls"),
        ({"metadata": {"k" * 65: "v"}}, "metadata"),
        ({"metadata": {"k": "v" * 513}}, "metadata.k"),
        ({"metadata": {"k": 1}}, "metadata.k"),
        ({"truncation": "sometimes"}, "truncation"),
        ({"tools": [WEATHER] * 129}, "tools"),
        ({"stream": "yes"}, "stream"),
        ({"store": 1}, "store"),
    ],
    ids=lambda value: json.dumps(value)[:40] if isinstance(value, dict) else None,
)
def test_an_option_out_of_its_bounds_is_refused_by_name(
    ask: Asked, option: JSON, param: str
) -> None:
    refused = ask.http.post(PATH, json={"model": "any", "input": "hi", **option})

    assert refused.status_code == 400
    assert refused.json()["error"]["param"].startswith(param)
    assert ask.model.started == 0


PART = {"type": "input_text", "text": "x"}
INCLUDABLE = "reasoning.encrypted_content"
PICTURE = {"type": "input_image", "image_url": "data:image/png;base64,x"}


REFUSED: dict[str, tuple[JSON, str]] = {
    "too many items": ({"input": [HI] + [{"type": "reasoning"}] * 2000}, "input"),
    "too many tools": ({"tools": [WEATHER] * 129}, "tools"),
    "too many parts": (
        {"input": [{**HI, "content": [PART] * 2049}]},
        "input[0].content",
    ),
    "too many parts of an output": (
        {"input": [CALL, {**OUTPUT, "output": [PART] * 2049}]},
        "input[1].output",
    ),
    "an output that is a picture": (
        {"input": [CALL, {**OUTPUT, "output": [PICTURE]}]},
        "input[1].output[0]",
    ),
    "a null byte in a message": (
        {"input": [{**HI, "content": "null \x00 byte"}]},
        "input[0]",
    ),
    "a null byte": ({"input": "null \x00 byte"}, "input[0]"),
    "a model of two words": ({"model": "two words"}, "model"),
    "a long name of a model": ({"model": "m" * 257}, "model"),
    "a user of two lines": ({"user": "two\nlines"}, "user"),
    "a long id": ({"previous_response_id": "r" * 129}, "previous_response_id"),
    "too much to include": ({"include": [INCLUDABLE] * 21}, "include"),
    "a billion tokens": ({"max_output_tokens": 10**9 + 1}, "max_output_tokens"),
    "a long type of a tool": ({"tools": [{"type": "t" * 65}]}, "tools[0].type"),
    "no allowed tool": (
        {"tool_choice": {"type": "allowed_tools", "tools": []}},
        "tool_choice.tools",
    ),
    "an allowed tool that is not there": (
        {
            "tools": [WEATHER],
            "tool_choice": {
                "type": "allowed_tools",
                "tools": [{"type": "function", "name": "get_time"}],
            },
        },
        "tool_choice",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_too_large_or_cannot_be_read_is_refused_by_name(
    ask: Asked, what: str
) -> None:
    given, param = REFUSED[what]
    asked = {"model": "any", "input": "hi", **given}
    refused = ask.http.post(PATH, json=asked)

    # Before it is translated: the chat request that it becomes has other bounds.
    with pytest.raises(ValidationError):
        ResponseRequest.model_validate(asked)
    assert refused.status_code == 400
    assert refused.json()["error"]["param"] == param
    assert len(refused.content) < 2_000
    assert ask.model.started == 0


def test_a_text_is_bounded_where_the_size_of_a_body_is_not() -> None:
    with pytest.raises(ValidationError, match="instructions"):
        ResponseRequest.model_validate(
            {"model": "any", "input": "hi", "instructions": "x" * 8_000_001}
        )


def test_thousands_of_mistakes_are_one(ask: Asked) -> None:
    wrong = [{"role": "nobody", "content": 5}] * 2000
    refused = ask.http.post(PATH, json={"model": "any", "input": wrong})

    assert refused.status_code == 400
    assert "too many to list" in refused.text
    assert len(refused.content) < 2_000


def test_a_conversation_that_has_grown_too_long_is_refused_in_words_of_this_route(
    ask: Asked,
) -> None:
    first = ask(input=[HI, {**HI, "role": "assistant"}] * 400)
    more = {"model": "any", "previous_response_id": first["id"], "input": [HI] * 300}
    refused = ask.http.post(PATH, json=more)

    assert refused.status_code == 400
    assert refused.json()["error"]["param"] == "input"
    assert refused.json()["error"]["message"] == "The conversation has too many items."


def test_a_name_that_only_upstreams_have_is_refused_without_its_pattern(
    ask: Asked,
) -> None:
    refused = ask.http.post(PATH, json={"model": "~mine", "input": "hi"})

    assert refused.status_code == 400
    assert refused.json()["error"]["param"] == "model"
    assert "pattern" not in refused.text


def test_a_tool_that_has_to_be_called_is_not_dropped() -> None:
    model = Scripted()
    app = create_app(settings(unsupported_tools="drop"), provider=model)
    tools = {"tools": [{"type": "web_search"}], "tool_choice": "required"}
    with TestClient(app, headers=HEADERS) as http:
        refused = http.post(PATH, json={"model": "any", "input": "hi", **tools})

    assert refused.status_code == 400
    assert refused.json()["code"] == "parameter_conflict"
    assert refused.json()["error"]["param"] == "tool_choice"
    assert model.started == 0


def test_annotations_and_probabilities_that_come_back_may_be_anything(
    ask: Asked,
) -> None:
    text = {**TEXT, "annotations": {"odd": 1}, "logprobs": "odd"}
    ask(input=[HI, {"role": "assistant", "content": [text]}])

    assert ask.messages[1]["content"] == TEXT["text"]


def test_thoughts_of_an_answer_are_no_part_of_the_next_conversation(
    ask: Asked,
) -> None:
    ask.model.deltas = [Delta(further={"reasoning_content": "Hm."})]
    first = ask()
    thought = next(it["id"] for it in first["output"] if it["type"] == "reasoning")
    ask(previous_response_id=first["id"], input="more")
    by_id = ask.messages
    ask(input=[{"type": "item_reference", "id": thought}, HI])

    assert [message["role"] for message in by_id] == ["user", "assistant", "user"]
    assert ask.messages == [HI]


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=101", "limit=x", "order=odd", "&".join(["include[]=x"] * 21)],
    ids=lambda query: query[:10],
)
def test_a_page_of_items_out_of_its_bounds_is_refused_by_name(
    ask: Asked, query: str
) -> None:
    refused = ask.http.get(f"{PATH}/{ask()['id']}/input_items?{query}")

    assert refused.status_code == 400
    assert refused.json()["error"]["param"].startswith(query.partition("=")[0])


def test_an_error_has_the_one_body_of_the_service_and_its_headers(ask: Asked) -> None:
    bodies = [
        ask.http.post(PATH, content=b"{", headers={"Content-Type": "application/json"}),
        ask.http.post(PATH, json={"model": "any", "input": 5}),
        ask.http.post(
            PATH,
            json={"model": "any", "input": "x", "previous_response_id": "resp_none"},
        ),
        ask.http.get(f"{PATH}/resp_none"),
        ask.http.post(f"{PATH}/compact", json={}),
        ask.http.put(PATH, json={}),
    ]

    assert [(answer.status_code, answer.json()["code"]) for answer in bodies] == [
        (400, "invalid_json"),
        (400, "validation_error"),
        (400, "previous_response_not_found"),
        (404, "response_not_found"),
        (404, "route_not_served"),
        (405, "method_not_allowed"),
    ]
    for answer in bodies:
        body = answer.json()
        assert body.keys() == {"error", "code", "request_id", "details"}
        assert body["error"].keys() >= {"message", "type", "param", "code"}
        assert body["request_id"] == answer.headers["x-request-id"]
        assert answer.headers["x-should-retry"] == "false"


# --- What is written ---


def test_every_field_of_a_response_has_its_type_also_inside_of_events(
    ask: Asked,
) -> None:
    events_of = ask.stream(tools=[WEATHER], metadata={"a": "b"})
    responses = [it["response"] for it in events_of if "response" in it]
    nothing = type(None)
    types: dict[str, tuple[type, ...]] = {
        "id": (str,),
        "object": (str,),
        "created_at": (int,),
        "completed_at": (int, nothing),
        "status": (str,),
        "background": (bool,),
        "error": (dict, nothing),
        "incomplete_details": (dict, nothing),
        "instructions": (str, nothing),
        "max_output_tokens": (int, nothing),
        "max_tool_calls": (int, nothing),
        "metadata": (dict,),
        "model": (str,),
        "output": (list,),
        "parallel_tool_calls": (bool,),
        "previous_response_id": (str, nothing),
        "prompt_cache_key": (str, nothing),
        "reasoning": (dict,),
        "safety_identifier": (str, nothing),
        "service_tier": (str,),
        "store": (bool,),
        "temperature": (int, float),
        "text": (dict,),
        "tool_choice": (str, dict),
        "tools": (list,),
        "top_logprobs": (int,),
        "top_p": (int, float),
        "frequency_penalty": (int, float),
        "presence_penalty": (int, float),
        "truncation": (str,),
        "usage": (dict, nothing),
        "user": (str, nothing),
    }

    assert len(responses) == 3
    for response in [*responses, ask()]:
        assert response.keys() == types.keys()
        for name, kinds in types.items():
            assert type(response[name]) in kinds, name
    assert responses[0]["tools"][0].keys() == {
        *("type", "name", "description", "parameters", "strict"),
    }


def thoughts_refusal_and_call() -> list[Delta]:
    """What a model says besides a text."""
    function = {"name": "get_weather", "arguments": '{"city":'}
    first = {"index": 0, "id": "call_1", "type": "function", "function": function}
    second = {"index": 0, "function": {"arguments": '"Oslo"}'}}
    return [
        Delta(further={"reasoning_content": "Hm."}),
        Delta(further={"refusal": "No."}),
        Delta(tool_calls=(ToolCallDelta.model_validate(first),)),
        Delta(tool_calls=(ToolCallDelta.model_validate(second),)),
    ]


PLACE = {"item_id", "output_index"}
FIELDS: dict[str, set[str]] = {
    "response.created": {"response"},
    "response.in_progress": {"response"},
    "response.output_item.added": {"output_index", "item"},
    "response.content_part.added": {*PLACE, "content_index", "part"},
    "response.output_text.delta": {*PLACE, "content_index", "delta", "logprobs"},
    "response.output_text.done": {*PLACE, "content_index", "text", "logprobs"},
    "response.refusal.delta": {*PLACE, "content_index", "delta"},
    "response.refusal.done": {*PLACE, "content_index", "refusal"},
    "response.content_part.done": {*PLACE, "content_index", "part"},
    "response.function_call_arguments.delta": {*PLACE, "delta"},
    "response.function_call_arguments.done": {*PLACE, "arguments", "name"},
    "response.reasoning_summary_part.added": {*PLACE, "summary_index", "part"},
    "response.reasoning_summary_text.delta": {*PLACE, "summary_index", "delta"},
    "response.reasoning_summary_text.done": {*PLACE, "summary_index", "text"},
    "response.reasoning_summary_part.done": {*PLACE, "summary_index", "part"},
    "response.output_item.done": {"output_index", "item"},
    "response.completed": {"response"},
}


def test_each_kind_of_event_has_its_fields_and_no_others(ask: Asked) -> None:
    ask.model.deltas = thoughts_refusal_and_call()
    found = ask.stream()
    kinds = {event["type"] for event in found}

    assert kinds == FIELDS.keys()
    for event in found:
        assert event.keys() - {"type", "sequence_number"} == FIELDS[event["type"]]


def test_thoughts_a_refusal_and_a_call_are_the_same_whole_and_in_a_stream(
    ask: Asked,
) -> None:
    ask.model.deltas = thoughts_refusal_and_call()
    last = ask.stream()[-1]["response"]
    whole = ask()

    def told(response: JSON) -> list[tuple[str, str]]:
        return [
            (item["type"], json.dumps([item.get("content"), item.get("summary")]))
            for item in response["output"]
        ]

    assert [kind for kind, _ in told(last)] == [
        "message",
        "reasoning",
        "message",
        "function_call",
    ]
    assert sorted(told(last)) == sorted(told(whole))
    assert last["output"][-1]["arguments"] == '{"city":"Oslo"}'
    assert last["output"][-1]["call_id"] == "call_1" != last["output"][-1]["id"]
    assert last["usage"] == whole["usage"]


def test_a_stream_has_the_headers_of_a_stream_and_one_clean_end(ask: Asked) -> None:
    asked = {"model": "any", "input": "hi", "stream": True}
    answer = ask.http.post(PATH, json=asked)

    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["cache-control"] == "no-cache"
    assert answer.headers["x-accel-buffering"] == "no"
    assert "x-ratelimit-remaining-tokens" in answer.headers
    assert "x-request-id" in answer.headers
    assert "\nid:" not in answer.text
    assert answer.text.startswith("event: response.created\ndata: {")
    assert answer.text.endswith("}\n\ndata: [DONE]\n\n")
    assert answer.text.count("[DONE]") == 1
