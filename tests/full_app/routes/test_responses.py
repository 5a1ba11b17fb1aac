"""`/v1/responses` with the official client: items in, items out, kept for its owner."""

import json
from collections.abc import Iterator
from typing import Any

import httpx2
import openai
import pytest
from fastapi.testclient import TestClient
from openai.types.responses import ResponseFunctionToolCall
from pydantic import BaseModel

from examples.full_app.main import create_app
from examples.full_app.responses.store import ResponseStore
from tests.full_app.conftest import KEY, OTHER_KEY, settings
from tests.full_app.scripted import scripted
from tests.full_app.upstreams import HEADERS

PATH = "/v1/responses"
MODEL = "offline-echo"
WEATHER = {
    "type": "function",
    "name": "get_weather",
    "description": "The weather of a city.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
}
REQUIRED = {
    *("id", "object", "created_at", "completed_at", "status", "incomplete_details"),
    *("model", "previous_response_id", "instructions", "output", "error", "tools"),
    *("tool_choice", "truncation", "parallel_tool_calls", "text", "top_p", "store"),
    *("presence_penalty", "frequency_penalty", "top_logprobs", "temperature", "user"),
    *("reasoning", "usage", "max_output_tokens", "max_tool_calls", "background"),
    *("service_tier", "metadata", "safety_identifier", "prompt_cache_key"),
}


@pytest.fixture(scope="module")
def inside() -> Iterator[TestClient]:
    """The service in this process."""
    with TestClient(create_app(settings()), headers=HEADERS) as client:
        yield client


def events(answer: httpx2.Response) -> list[dict[str, Any]]:
    """The events of a stream; each frame names the type that its JSON has."""
    found = []
    frames = answer.text.replace(": ping\n", "").strip().split("\n\n")
    assert frames.pop() == "data: [DONE]"
    for frame in frames:
        name, data = frame.split("\n")
        found.append(json.loads(data.removeprefix("data: ")))
        assert name == f"event: {found[-1]['type']}"
    return found


# --- One answer ---


@pytest.mark.wire
def test_the_official_client_gets_an_answer_that_can_be_read_again(
    client: openai.OpenAI,
) -> None:
    response = client.responses.create(model=MODEL, input="say this")

    assert response.output_text == "say this"
    assert response.status == "completed"
    assert response.completed_at is not None
    assert response.usage is not None
    assert response.usage.total_tokens > 0
    assert client.responses.retrieve(response.id) == response


def test_every_field_of_a_response_is_there(inside: TestClient) -> None:
    answer = inside.post(PATH, json={"model": MODEL, "input": "hi"})

    assert answer.json().keys() == REQUIRED
    assert answer.json()["usage"].keys() == {
        "input_tokens",
        "input_tokens_details",
        "output_tokens",
        "output_tokens_details",
        "total_tokens",
    }
    assert "x-ratelimit-remaining-requests" in answer.headers
    assert "x-request-id" in answer.headers


@pytest.mark.parametrize(
    "written",
    [
        "two words",
        [{"role": "user", "content": "two words"}],
        [
            {
                "type": "message",
                "role": "user",
                "id": None,
                "content": [
                    {"type": "input_text", "text": "two "},
                    {"type": "input_text", "text": "words"},
                ],
            }
        ],
    ],
    ids=["text", "short message", "parts"],
)
def test_three_ways_to_write_an_input_cost_what_a_chat_call_costs(
    inside: TestClient, written: Any
) -> None:
    answer = inside.post(PATH, json={"model": MODEL, "input": written}).json()
    message = {"role": "user", "content": "two words"}
    chat = {"model": MODEL, "messages": [message]}
    usage = inside.post("/v1/chat/completions", json=chat).json()["usage"]

    assert answer["output"][0]["content"][0]["text"] == "two words"
    assert answer["usage"]["input_tokens"] == usage["prompt_tokens"]
    assert answer["usage"]["output_tokens"] == usage["completion_tokens"]


def test_what_was_asked_for_is_shown_in_the_answer(inside: TestClient) -> None:
    asked = {
        "model": "gpt-4o-mini",
        "instructions": "Be brief.",
        "temperature": 0.2,
        "top_p": 0.9,
        "max_output_tokens": 50,
        "metadata": {"a": "b"},
        "parallel_tool_calls": False,
        "truncation": "auto",
        "user": "u",
        "prompt_cache_key": "k",
        "safety_identifier": "s",
        "max_tool_calls": 3,
        "frequency_penalty": 0.5,
        "presence_penalty": 0.25,
    }
    more = {
        "input": "hi",
        "reasoning": {"effort": "low", "summary": "auto", "context": "x"},
        "tools": [WEATHER],
        "include": [],
    }
    answer = inside.post(PATH, json={**asked, **more}).json()

    assert {name: answer[name] for name in asked} == asked
    assert answer["reasoning"] == {"effort": "low", "summary": "auto"}
    assert answer["tools"] == [{**WEATHER, "strict": None}]


def test_nulls_mean_not_given(inside: TestClient) -> None:
    names = REQUIRED - {"id", "object", "created_at", "completed_at", "status", "model"}
    names -= {"incomplete_details", "output", "error", "usage"}
    nulls = dict.fromkeys([*names, "conversation", "prompt", "stream"])
    answer = inside.post(PATH, json={**nulls, "model": MODEL, "input": "hi"})

    assert answer.status_code == 200


def test_a_limit_that_is_reached_makes_an_incomplete_response(
    client: openai.OpenAI,
) -> None:
    response = client.responses.create(
        model=MODEL, input="one two three four five six", max_output_tokens=2
    )

    assert response.status == "incomplete"
    assert response.incomplete_details is not None
    assert response.incomplete_details.reason == "max_output_tokens"
    assert response.completed_at is None
    assert response.output[0].status == "incomplete"  # type: ignore[union-attr]


class City(BaseModel):
    """What `.parse()` is asked for."""

    name: str
    people: int


def test_structured_output_is_parsed_by_the_official_client(
    client: openai.OpenAI,
) -> None:
    # On a busy machine it takes long to import what checks schemas.
    patient = client.with_options(timeout=50)
    response = patient.responses.parse(
        model="gpt-4o-mini", input="Name a city.", text_format=City, verbosity="low"
    )

    assert isinstance(response.output_parsed, City)
    assert response.text is not None
    assert response.text.verbosity == "low"


def test_the_log_probabilities_are_there_when_they_are_asked_for(
    inside: TestClient,
) -> None:
    asked = {"model": MODEL, "input": "hi", "top_logprobs": 2}
    plain = inside.post(PATH, json=asked).json()["output"][0]["content"][0]
    asked["include"] = ["message.output_text.logprobs"]
    wanted = inside.post(PATH, json=asked).json()["output"][0]["content"][0]

    assert plain["logprobs"] == []
    assert len(wanted["logprobs"][0]["top_logprobs"]) == 2


# --- Tools ---


@pytest.mark.wire
def test_a_tool_is_called_and_its_output_alone_goes_on(client: openai.OpenAI) -> None:
    tools: Any = [WEATHER]
    asked = client.responses.create(
        model="gpt-4o-mini",
        input="What is the weather in Paris?",
        tools=tools,
        tool_choice="required",
    )
    call = asked.output[0]
    assert isinstance(call, ResponseFunctionToolCall)
    assert call.call_id != call.id
    answered = client.responses.create(
        model="gpt-4o-mini",
        previous_response_id=asked.id,
        input=[
            {
                "type": "function_call_output",
                "call_id": call.call_id,
                "output": "The sun shines.",
            }
        ],
    )

    assert json.loads(call.arguments)["city"]
    assert "The sun shines." in answered.output_text


@pytest.mark.parametrize(
    ("choice", "called"),
    [
        ("none", []),
        ("required", ["get_weather", "get_time"]),
        ({"type": "function", "name": "get_time"}, ["get_time"]),
        (
            {
                "type": "allowed_tools",
                "mode": "required",
                "tools": [{"type": "function", "name": "get_time"}],
            },
            ["get_time"],
        ),
    ],
    ids=["none", "required", "function", "allowed_tools"],
)
def test_a_tool_choice_is_obeyed(
    inside: TestClient, choice: Any, called: list[str]
) -> None:
    tools = [WEATHER, {**WEATHER, "name": "get_time", "description": "The time."}]
    asked = {"model": "gpt-4o-mini", "input": "Weather and time?", "tools": tools}
    answer = inside.post(PATH, json={**asked, "tool_choice": choice}).json()
    names = [it["name"] for it in answer["output"] if it["type"] == "function_call"]

    assert names == called or (names and names[0] in called)
    assert len(answer["tools"]) == 2


def test_a_tool_that_only_openai_runs_is_refused_by_name(inside: TestClient) -> None:
    asked = {"model": MODEL, "input": "hi", "tools": [WEATHER, {"type": "web_search"}]}
    refused = inside.post(PATH, json=asked)

    assert refused.status_code == 400
    assert refused.json()["code"] == "unsupported_parameter"
    assert refused.json()["error"]["param"] == "tools[1].type"
    assert refused.headers["x-should-retry"] == "false"


def test_an_answer_for_which_nothing_was_dropped_names_nothing(
    inside: TestClient,
) -> None:
    answer = inside.post(PATH, json={"model": MODEL, "input": "hi"})

    assert "x-dropped-tools" not in answer.headers


def test_a_setting_lets_such_tools_in_and_the_answer_names_what_was_dropped() -> None:
    odd = {"type": "x\r\ny"}
    tools = [{"type": "web_search"}, WEATHER, {"type": "custom", "name": "patch"}, odd]
    app = create_app(settings(unsupported_tools="drop"))
    with TestClient(app, headers=HEADERS) as client:
        answer = client.post(PATH, json={"model": MODEL, "input": "hi", "tools": tools})

    assert answer.status_code == 200
    assert answer.headers["x-dropped-tools"] == "web_search, custom, other"
    assert [tool["name"] for tool in answer.json()["tools"]] == ["get_weather"]


# --- What is refused ---

IMAGE = {"type": "input_image", "image_url": "data:image/png;base64,x"}
OUTPUT = {"type": "function_call_output", "call_id": "call_x", "output": "x"}


@pytest.mark.parametrize(
    ("wrong", "code", "param"),
    [
        ({"input": 5}, "validation_error", "input"),
        ({"input": ""}, "validation_error", "input"),
        ({"input": []}, "parameter_conflict", "input"),
        ({"input": [{"type": "odd"}]}, "validation_error", "input[0]"),
        ({"input": [{"role": "user", "content": ""}]}, "validation_error", "input[0]"),
        (
            {"input": [{"role": "user", "content": [IMAGE]}]},
            "unsupported_content",
            "input[0].content[0]",
        ),
        ({"input": [OUTPUT]}, "validation_error", "input[0].call_id"),
        ({"messages": []}, "unknown_parameter", "messages"),
        ({"max_tokens": 5}, "unknown_parameter", "max_tokens"),
        ({"max_output_tokens": 0}, "validation_error", "max_output_tokens"),
        ({"temperature": 3}, "validation_error", "temperature"),
        ({"text": {"format": {"type": "xml"}}}, "validation_error", "text.format.type"),
        ({"include": ["secrets"]}, "validation_error", "include[0]"),
        (
            {"tool_choice": {"type": "function", "name": "f"}},
            "parameter_conflict",
            "tool_choice",
        ),
        (
            {"tool_choice": {"type": "file_search"}},
            "unsupported_parameter",
            "tool_choice",
        ),
        ({"tool_choice": "required"}, "parameter_conflict", "tool_choice"),
        ({"stream_options": {}}, "parameter_conflict", "stream_options"),
        (
            {"background": True, "store": False},
            "parameter_conflict",
            "background",
        ),
        (
            {"metadata": {str(n): "x" for n in range(17)}},
            "validation_error",
            "metadata",
        ),
        *(
            ({name: {}}, "unsupported_parameter", name)
            for name in (
                "access_programs",
                "background_options",
                "context_management",
                "conversation",
                "image",
                "moderation",
                "prompt",
                "prompt_cache_options",
                "prompt_cache_retention",
            )
        ),
    ],
    ids=lambda value: json.dumps(value)[:80] if isinstance(value, dict) else None,
)
def test_what_is_wrong_is_named_and_not_repeated(
    inside: TestClient, wrong: dict[str, Any], code: str, param: str
) -> None:
    answer = inside.post(PATH, json={"model": MODEL, "input": "hi", **wrong})

    assert answer.status_code == 400
    assert answer.json()["code"] == code
    assert answer.json()["error"]["param"] == param
    assert "data:image" not in answer.text
    assert "secrets" not in answer.text


def test_a_field_of_the_chat_route_is_answered_with_the_name_that_it_has_here(
    inside: TestClient,
) -> None:
    asked = {"model": MODEL, "input": "hi", "max_tokens": 5}
    message = inside.post(PATH, json=asked).json()["error"]["message"]

    asked = {"model": MODEL, "messages": []}
    of_chat = inside.post(PATH, json=asked).json()["error"]["message"]

    assert "Did you mean 'max_output_tokens'?" in message
    assert "This route reads `input`" in of_chat


@pytest.mark.parametrize("background", [False, True], ids=["foreground", "background"])
def test_a_limit_of_the_call_is_named_as_it_is_here(
    inside: TestClient, background: bool
) -> None:
    asked = {"model": MODEL, "input": "hi", "background": background}
    asked |= {"max_output_tokens": 16_000, "top_logprobs": 5}
    asked["include"] = ["message.output_text.logprobs"]
    answer = inside.post(PATH, json=asked)

    assert answer.json()["code"] == "too_many_logprobs"
    assert answer.json()["error"]["param"] == "max_output_tokens"


@pytest.mark.parametrize("name", ["compact", "input_tokens"])
def test_a_route_that_is_not_served_says_so(inside: TestClient, name: str) -> None:
    answer = inside.post(f"{PATH}/{name}", json={})

    assert (answer.status_code, answer.json()["code"]) == (404, "route_not_served")
    assert f"/v1/responses/{name}" in answer.json()["error"]["message"]


def test_a_model_that_fails_is_an_http_status_and_nothing_is_kept() -> None:
    with scripted() as (url, model), httpx2.Client(base_url=url) as http:
        model.finish = False
        asked = {"model": "any", "input": "hi"}
        answer = http.post(PATH, json=asked, headers=HEADERS)

    assert answer.status_code == 502
    assert answer.json()["code"] == "model_error"


def test_an_idempotency_key_gets_the_same_response_twice(inside: TestClient) -> None:
    asked, key = {"model": MODEL, "input": "once"}, {"Idempotency-Key": "responses-1"}
    first = inside.post(PATH, json=asked, headers=key)
    second = inside.post(PATH, json=asked, headers=key)

    assert first.content == second.content
    assert second.headers["idempotent-replayed"] == "true"


# --- Streams ---


def test_the_events_of_a_text_come_in_their_order_and_agree(inside: TestClient) -> None:
    asked = {"model": MODEL, "input": "one two three", "stream": True}
    found = events(inside.post(PATH, json=asked))
    kinds = [event["type"] for event in found]
    deltas = [it for it in found if it["type"] == "response.output_text.delta"]
    (added,) = [it for it in found if it["type"] == "response.output_item.added"]
    (done,) = [it for it in found if it["type"] == "response.output_item.done"]
    response = found[-1]["response"]

    assert list(dict.fromkeys(kinds)) == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]
    assert [event["sequence_number"] for event in found] == list(range(len(found)))
    assert "".join(event["delta"] for event in deltas) == "one two three"
    assert added["item"] == {
        "id": done["item"]["id"],
        "type": "message",
        "status": "in_progress",
        "role": "assistant",
        "content": [],
    }
    assert {event["item_id"] for event in deltas} == {added["item"]["id"]}
    assert response["output"] == [done["item"]]
    assert {it["response"]["id"] for it in found if "response" in it} == {
        response["id"]
    }
    assert found[0]["response"]["usage"] is None
    assert inside.get(f"{PATH}/{response['id']}").json() == response


def test_an_incomplete_answer_ends_its_stream_as_others_do(inside: TestClient) -> None:
    asked = {"model": MODEL, "input": "one two three", "max_output_tokens": 1}
    answer = inside.post(PATH, json={**asked, "stream": True})

    assert events(answer)[-1]["type"] == "response.incomplete"
    assert answer.text.endswith("\n\ndata: [DONE]\n\n")


def test_the_stream_of_a_question_says_what_the_whole_answer_says(
    client: openai.OpenAI,
) -> None:
    question = "Why is async good for AI?"
    whole = client.responses.create(model="gpt-4o-mini", input=question)
    with client.responses.stream(model="gpt-4o-mini", input=question) as stream:
        for _ in stream:
            pass
        final = stream.get_final_response()

    assert final.output_text == whole.output_text
    assert final.usage == whole.usage


def test_the_stream_helper_reads_a_function_call(client: openai.OpenAI) -> None:
    tools: Any = [WEATHER]
    with client.responses.stream(
        model="gpt-4o-mini",
        input="Weather in Oslo?",
        tools=tools,
        tool_choice="required",
    ) as stream:
        pieces = [
            event.delta
            for event in stream
            if event.type == "response.function_call_arguments.delta"
        ]
        (call,) = stream.get_final_response().output

    assert isinstance(call, ResponseFunctionToolCall)
    assert "".join(pieces) == call.arguments
    assert json.loads(call.arguments)


def test_what_fails_before_the_first_event_is_an_http_status(
    client: openai.OpenAI,
) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        client.responses.create(model="gpt-none", input="hi", stream=True)

    assert caught.value.code == "model_not_found"


def test_a_stream_that_breaks_off_raises_in_the_official_client() -> None:
    with scripted() as (url, model):
        model.failure = RuntimeError("a secret reason")
        api = openai.OpenAI(base_url=f"{url}/v1", api_key=KEY, max_retries=0)
        stream = api.responses.create(model="any", input="hi", stream=True)
        with pytest.raises(openai.APIError) as caught, api:
            for _ in stream:
                pass

    assert caught.value.code == "internal_error"
    assert "secret" not in str(caught.value)


def test_a_stream_that_breaks_off_ends_with_error_and_then_failed() -> None:
    with (
        scripted() as (url, model),
        httpx2.Client(base_url=url, headers=HEADERS) as http,
    ):
        model.failure = RuntimeError("broken")
        asked = {"model": "any", "input": "hi", "stream": True}
        found = events(http.post(PATH, json=asked))
        *_, error, failed = found
        kept = http.get(f"{PATH}/{failed['response']['id']}").json()

    assert (error["type"], failed["type"]) == ("error", "response.failed")
    assert error["code"] == error["error"]["code"] == "internal_error"
    assert [event["sequence_number"] for event in found] == list(range(len(found)))
    assert failed["response"]["status"] == "failed"
    assert failed["response"]["error"]["code"] == "internal_error"
    assert failed["response"]["output"][0]["status"] == "incomplete"
    assert failed["response"]["output"][0]["content"][0]["text"] == "abc"
    assert failed["response"]["usage"]["output_tokens"] > 0
    assert kept == failed["response"]


# --- Kept, for its owner ---


@pytest.mark.wire
def test_a_conversation_goes_on_over_three_turns_and_branches(
    client: openai.OpenAI,
) -> None:
    first = client.responses.create(
        model=MODEL, input="one", instructions="Answer in rhymes."
    )
    second = client.responses.create(
        model=MODEL, input="two", previous_response_id=first.id
    )
    client.responses.delete(first.id)
    branches = [
        client.responses.create(model=MODEL, input=text, previous_response_id=second.id)
        for text in ("three", "four")
    ]
    for branch, text in zip(branches, ("three", "four"), strict=True):
        items = client.responses.input_items.list(branch.id, order="asc", limit=2)
        written = [item.to_dict()["content"][0]["text"] for item in items]  # type: ignore[index]
        assert written == ["one", "one", "two", "two", text]
        assert branch.instructions is None


def test_a_conversation_goes_on_from_an_incomplete_response(inside: TestClient) -> None:
    asked = {"model": MODEL, "input": "one two three", "max_output_tokens": 1}
    first = inside.post(PATH, json=asked).json()
    asked = {"model": MODEL, "input": "four", "previous_response_id": first["id"]}
    second = inside.post(PATH, json=asked)

    assert first["status"] == "incomplete"
    assert second.status_code == 200


def test_what_went_before_costs_what_sending_it_costs(inside: TestClient) -> None:
    first = inside.post(PATH, json={"model": MODEL, "input": "one"}).json()
    chained = {"model": MODEL, "input": "two", "previous_response_id": first["id"]}
    whole: dict[str, Any] = {
        "model": MODEL,
        "input": [
            {"role": "user", "content": "one"},
            *first["output"],
            {"role": "user", "content": "two"},
        ],
    }
    usages = [inside.post(PATH, json=it).json()["usage"] for it in (chained, whole)]

    assert usages[0] == usages[1]


def test_an_item_can_be_referred_to_by_its_id(inside: TestClient) -> None:
    first = inside.post(PATH, json={"model": MODEL, "input": "blue"}).json()
    asked = [
        {"type": "item_reference", "id": first["output"][0]["id"]},
        {"role": "user", "content": "two"},
    ]
    second = inside.post(PATH, json={"model": MODEL, "input": asked}).json()
    items = inside.get(f"{PATH}/{second['id']}/input_items").json()

    assert [item["content"][0]["text"] for item in items["data"]] == ["two", "blue"]
    assert items["data"][1] == first["output"][0]
    assert items["has_more"] is False


def test_an_item_that_was_sent_can_be_referred_to_as_one_that_was_written(
    inside: TestClient,
) -> None:
    first = inside.post(PATH, json={"model": MODEL, "input": "one"}).json()
    (sent,) = inside.get(f"{PATH}/{first['id']}/input_items").json()["data"]
    reference = {"type": "item_reference", "id": sent["id"]}
    second = inside.post(PATH, json={"model": MODEL, "input": [reference]}).json()
    read = inside.get(f"{PATH}/{second['id']}/input_items").json()

    assert read["data"] == [sent]


def test_a_response_to_which_many_items_refer_is_read_once(
    inside: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = inside.post(PATH, json={"model": MODEL, "input": "one"}).json()
    reference = {"type": "item_reference", "id": first["output"][0]["id"]}
    read: list[str] = []
    find = ResponseStore.find

    async def counted(store: ResponseStore, response_id: str, owner: str | None) -> Any:
        read.append(response_id)
        return await find(store, response_id, owner)

    monkeypatch.setattr(ResponseStore, "find", counted)
    asked = {"model": MODEL, "input": [reference, reference]}
    assert inside.post(PATH, json=asked).status_code == 200
    assert read == [first["id"]]


def test_the_items_of_a_response_come_in_pages(inside: TestClient) -> None:
    said = [{"role": "user", "content": f"number {n}"} for n in range(5)]
    made = inside.post(PATH, json={"model": MODEL, "input": said}).json()
    path = f"{PATH}/{made['id']}/input_items"
    seen: list[str] = []
    after: dict[str, str] = {}
    more = True
    while more:
        page = inside.get(path, params={"limit": "2", **after}).json()
        seen += [item["content"][0]["text"] for item in page["data"]]
        after = {"after": page["last_id"]}
        more = page["has_more"]

    assert seen == [f"number {n}" for n in (4, 3, 2, 1, 0)]
    assert inside.get(path, params={"after": "msg_x"}).status_code == 400


def test_a_response_that_is_not_stored_is_not_there(inside: TestClient) -> None:
    asked = {"model": MODEL, "input": "hi", "store": False}
    made = inside.post(PATH, json=asked).json()
    chained = {"model": MODEL, "input": "x", "previous_response_id": made["id"]}

    assert made["store"] is False
    assert inside.get(f"{PATH}/{made['id']}").status_code == 404
    refused = inside.post(PATH, json=chained)
    assert refused.status_code == 400
    assert refused.json()["code"] == "previous_response_not_found"


def test_a_deleted_response_is_gone(client: openai.OpenAI, http: httpx2.Client) -> None:
    made = client.responses.create(model=MODEL, input="hi")
    answer = http.delete(f"{PATH}/{made.id}")

    assert answer.json() == {"id": made.id, "object": "response", "deleted": True}
    with pytest.raises(openai.NotFoundError) as caught:
        client.responses.retrieve(made.id)
    assert caught.value.code == "response_not_found"


@pytest.mark.wire
def test_another_key_finds_nothing_on_any_path(
    client: openai.OpenAI, base_url: str
) -> None:
    mine = client.responses.create(model=MODEL, input="mine")
    item = mine.output[0].id
    chained = {"model": MODEL, "input": "x", "previous_response_id": mine.id}
    referring = {"model": MODEL, "input": [{"type": "item_reference", "id": item}]}
    theirs = {"Authorization": f"Bearer {OTHER_KEY}"}
    with httpx2.Client(base_url=base_url, headers=theirs) as other:
        answers = [
            other.get(f"{PATH}/{mine.id}"),
            other.get(f"{PATH}/{mine.id}/input_items"),
            other.delete(f"{PATH}/{mine.id}"),
            other.post(PATH, json=referring),
        ]
        chain = other.post(PATH, json=chained)

    assert [answer.status_code for answer in answers] == [404] * 4
    assert chain.json()["code"] == "previous_response_not_found"
    assert client.responses.retrieve(mine.id) == mine
