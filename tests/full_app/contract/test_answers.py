"""Whole answers, as the official client reads them."""

import json
import logging
from typing import Any

import httpx2
import openai
import pytest
from openai.types.chat import ChatCompletionContentPartParam

from tests.full_app.contract.asks import (
    ASK,
    EMBEDDER,
    MODEL,
    PATH,
    PLAIN,
    QUESTION,
    WEATHER,
    WEATHER_QUESTION,
    Place,
)
from tests.servers import wait_until


@pytest.mark.wire
def test_create_returns_text_and_the_request_id_of_the_header(
    client: openai.OpenAI,
) -> None:
    raw = client.chat.completions.with_raw_response.create(model=MODEL, messages=ASK)
    answer = raw.parse()

    assert answer.choices[0].message.content
    assert answer.choices[0].finish_reason == "stop"
    assert (answer.object, answer.model) == ("chat.completion", MODEL)
    assert answer._request_id == raw.headers["x-request-id"] != ""


@pytest.mark.wire
@pytest.mark.parametrize("model", [MODEL, "fault-content-filter"])
def test_the_same_id_is_in_answer_log_and_error(
    http: httpx2.Client, caplog: pytest.LogCaptureFixture, model: str
) -> None:
    caplog.set_level(logging.INFO, "full_app.access")
    answer = http.post(PATH, json={**PLAIN, "model": model})
    given = answer.headers["x-request-id"]

    def logged() -> bool:
        return given in {getattr(line, "request_id", "") for line in caplog.records}

    wait_until(logged, what="the line")
    if answer.is_error:
        assert answer.json()["error"]["request_id"] == given


def test_what_is_not_known_of_an_answer_is_left_out(http: httpx2.Client) -> None:
    whole = http.post(PATH, json=PLAIN)
    streamed = http.post(PATH, json={**PLAIN, "stream": True})

    for answer in (whole, streamed):
        assert answer.status_code == 200
        assert "system_fingerprint" not in answer.text
        assert "annotations" not in answer.text


@pytest.mark.wire
def test_the_total_of_the_usage_is_its_sum(client: openai.OpenAI) -> None:
    usage = client.chat.completions.create(model=MODEL, messages=ASK).usage

    assert usage is not None
    assert usage.prompt_tokens > 0
    assert usage.completion_tokens > 0
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens


@pytest.mark.wire
@pytest.mark.parametrize("stream", [False, True])
def test_a_model_that_is_not_there_is_model_not_found(
    client: openai.OpenAI, stream: bool
) -> None:
    with pytest.raises(openai.NotFoundError) as chat:
        client.chat.completions.create(model="nobody", messages=ASK, stream=stream)
    with pytest.raises(openai.NotFoundError) as embedding:
        client.embeddings.create(model="nobody", input="x")

    for caught in (chat.value, embedding.value):
        assert (caught.code, caught.param) == ("model_not_found", "model")
        assert "'nobody'" in caught.message


@pytest.mark.wire
def test_either_limit_of_tokens_cuts_the_answer(client: openai.OpenAI) -> None:
    old = client.chat.completions.create(model=MODEL, messages=ASK, max_tokens=5)
    new = client.chat.completions.create(
        model=MODEL, messages=ASK, max_completion_tokens=5
    )

    assert old.choices[0].message.content == new.choices[0].message.content
    for answer in (old, new):
        assert answer.choices[0].finish_reason == "length"
        assert answer.usage is not None
        assert 0 < answer.usage.completion_tokens <= 5


@pytest.mark.wire
def test_n_choices_are_n_answers(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model=MODEL, messages=ASK, n=2)

    assert [choice.index for choice in answer.choices] == [0, 1]
    first, second = (choice.message.content for choice in answer.choices)
    assert first != second


@pytest.mark.wire
@pytest.mark.parametrize("stop", ["faster", ["nowhere", "faster"]])
def test_an_answer_stops_before_a_stop_text_or_one_of_a_list(
    client: openai.OpenAI, stop: str | list[str]
) -> None:
    echo, question = "offline-echo", "it is faster now"
    answer = client.chat.completions.create(
        model=echo, messages=[{"role": "user", "content": question}], stop=stop
    )

    assert answer.choices[0].message.content == "it is "
    assert answer.choices[0].finish_reason == "stop"


@pytest.mark.wire
def test_parts_of_text_are_one_text_and_an_image_is_refused_by_name(
    client: openai.OpenAI,
) -> None:
    text: list[ChatCompletionContentPartParam] = [
        {"type": "text", "text": "one "},
        {"type": "text", "text": "text"},
    ]
    image: list[ChatCompletionContentPartParam] = [
        *text,
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}},
    ]
    answer = client.chat.completions.create(
        model="offline-echo", messages=[{"role": "user", "content": text}]
    )
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(
            model=MODEL, messages=[{"role": "user", "content": image}]
        )

    assert answer.choices[0].message.content == "one text"
    assert caught.value.code == "unsupported_content"
    assert caught.value.param == "messages[0].content"


@pytest.mark.wire
def test_a_developer_message_is_a_system_message(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(
        model=MODEL,
        messages=[{"role": "developer", "content": "Be short."}, QUESTION],
    )

    assert answer.choices[0].message.content


@pytest.mark.wire
def test_a_tool_call_goes_there_and_back(client: openai.OpenAI) -> None:
    called = client.chat.completions.create(
        model=MODEL,
        messages=[WEATHER_QUESTION],
        tools=[WEATHER],
        tool_choice="required",
    )
    message = called.choices[0].message
    assert called.choices[0].finish_reason == "tool_calls"
    assert message.content is None
    assert message.tool_calls is not None
    (call,) = message.tool_calls
    assert call.type == "function"
    assert call.function.name == "get_weather"
    assert isinstance(json.loads(call.function.arguments)["city"], str)

    answer = client.chat.completions.create(
        model=MODEL,
        messages=[
            WEATHER_QUESTION,
            message,  # type: ignore[list-item]  # as the docs show
            {"role": "tool", "tool_call_id": call.id, "content": "17 degrees, sunny"},
        ],
        tools=[WEATHER],
    )

    assert answer.choices[0].finish_reason == "stop"
    assert "17 degrees" in (answer.choices[0].message.content or "")


@pytest.mark.wire
def test_json_formats_answer_json_that_fits(client: openai.OpenAI) -> None:
    free = client.chat.completions.create(
        model=MODEL, messages=ASK, response_format={"type": "json_object"}
    )
    schema = {**Place.model_json_schema(), "additionalProperties": False}
    fitting = client.chat.completions.create(
        model=MODEL,
        messages=ASK,
        response_format={
            "type": "json_schema",
            "json_schema": {"name": "place", "schema": schema, "strict": True},
        },
    )

    assert isinstance(json.loads(free.choices[0].message.content or ""), dict)
    Place.model_validate_json(fitting.choices[0].message.content or "", extra="forbid")


@pytest.mark.wire
def test_parse_returns_an_object_of_the_given_class(client: openai.OpenAI) -> None:
    answer = client.chat.completions.parse(
        model=MODEL, messages=ASK, response_format=Place
    )

    assert isinstance(answer.choices[0].message.parsed, Place)


@pytest.mark.wire
def test_parse_returns_the_arguments_of_a_pydantic_tool(
    client: openai.OpenAI,
) -> None:
    answer = client.chat.completions.parse(
        model=MODEL,
        messages=ASK,
        tools=[openai.pydantic_function_tool(Place)],
        tool_choice="required",
    )
    (call,) = answer.choices[0].message.tool_calls or []

    assert isinstance(call.function.parsed_arguments, Place)


@pytest.mark.parametrize("change", [{"seed": 1}, {"seed": 2}, {"temperature": 0.5}])
def test_the_same_request_gets_the_same_answer(
    http: httpx2.Client, change: dict[str, Any]
) -> None:
    def said() -> object:
        return http.post(PATH, json={**PLAIN, **change}).json()["choices"]

    assert said() == said()


def test_similar_texts_are_nearer_than_different_ones(client: openai.OpenAI) -> None:
    texts = ["A cat sat on a mat.", "The cat sits on the mat.", "Revenue rose sharply."]
    answer = client.embeddings.create(model=EMBEDDER, input=texts)
    first, second, third = (item.embedding for item in answer.data)

    def near(a: list[float], b: list[float]) -> float:
        return sum(x * y for x, y in zip(a, b, strict=True))

    assert near(first, second) > near(first, third)
