"""The official `openai` client, untouched, against a running full_app."""

import openai
import pytest

from tests.full_app.conftest import KEY

ASK: list[openai.types.chat.ChatCompletionMessageParam] = [
    {"role": "user", "content": "Why does streaming feel faster?"}
]


def test_a_chat_answer_has_text_usage_and_the_request_id(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model="gpt-4o-mini", messages=ASK)

    assert answer.choices[0].message.content
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None
    parts = answer.usage.prompt_tokens + answer.usage.completion_tokens
    assert answer.usage.total_tokens == parts > 0
    assert answer._request_id is not None
    assert answer._request_id.startswith("req_")


def test_two_prompts_get_two_answers_and_one_prompt_the_same(
    client: openai.OpenAI,
) -> None:
    def ask(text: str) -> str | None:
        answer = client.chat.completions.create(
            model="gpt-4o-mini", messages=[{"role": "user", "content": text}], seed=1
        )
        return answer.choices[0].message.content

    assert ask("What is a token?") == ask("What is a token?")
    assert ask("What is a token?") != ask("What is a webhook?")


def test_a_stream_says_what_the_whole_answer_says(client: openai.OpenAI) -> None:
    whole = client.chat.completions.create(model="gpt-4o-mini", messages=ASK, seed=7)
    stream = client.chat.completions.create(
        model="gpt-4o-mini",
        messages=ASK,
        seed=7,
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks = list(stream)
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)

    assert text == whole.choices[0].message.content
    assert chunks[0].choices[0].delta.role == "assistant"
    finishes = [c.choices[0].finish_reason for c in chunks if c.choices]
    assert [reason for reason in finishes if reason] == ["stop"]
    assert chunks[-1].choices == []
    assert chunks[-1].usage == whole.usage
    assert all(chunk.usage is None for chunk in chunks[:-1])
    assert {chunk.id for chunk in chunks} == {chunks[0].id}


def test_usage_is_absent_from_a_stream_that_did_not_ask(client: openai.OpenAI) -> None:
    stream = client.chat.completions.create(
        model="gpt-4o-mini", messages=ASK, stream=True
    )

    assert all(chunk.usage is None for chunk in stream)


def test_the_stream_helper_reports_the_same_answer(client: openai.OpenAI) -> None:
    with client.chat.completions.stream(model="gpt-4o-mini", messages=ASK) as stream:
        kinds = {event.type for event in stream}
        final = stream.get_final_completion()

    assert {"chunk", "content.delta", "content.done"} <= kinds
    assert final.choices[0].message.content


def test_embeddings_come_as_base64_by_default_and_as_floats_on_request(
    client: openai.OpenAI,
) -> None:
    model, text = "text-embedding-3-small", "The cat sat on the mat."
    default = client.embeddings.create(model=model, input=text)
    floats = client.embeddings.create(model=model, input=text, encoding_format="float")

    assert len(default.data[0].embedding) == 1536
    assert default.data[0].embedding == pytest.approx(
        floats.data[0].embedding, abs=1e-6
    )


def test_similar_texts_are_nearer_than_different_ones(client: openai.OpenAI) -> None:
    texts = ["A cat sat on a mat.", "The cat sits on the mat.", "Revenue rose sharply."]
    answer = client.embeddings.create(model="text-embedding-3-small", input=texts)
    first, second, third = (item.embedding for item in answer.data)

    def near(a: list[float], b: list[float]) -> float:
        return sum(x * y for x, y in zip(a, b, strict=True))

    assert near(first, second) > near(first, third)


def test_token_ids_embed_too(client: openai.OpenAI) -> None:
    one = client.embeddings.create(model="text-embedding-3-small", input=[1, 2, 3])
    two = client.embeddings.create(
        model="text-embedding-3-small", input=[[1, 2, 3], [4]], dimensions=64
    )

    assert len(one.data) == 1
    assert [len(item.embedding) for item in two.data] == [64, 64]


def test_models_are_listed_and_read_one_by_one(client: openai.OpenAI) -> None:
    ids = {model.id for model in client.models.list()}

    assert {"gpt-4o", "gpt-4o-mini", "text-embedding-3-small", "fault-429"} <= ids
    assert client.models.retrieve("gpt-4o-mini").id == "gpt-4o-mini"


@pytest.mark.parametrize(
    ("model", "expected", "status", "code"),
    [
        (
            "fault-context-length",
            openai.BadRequestError,
            400,
            "context_length_exceeded",
        ),
        ("fault-content-filter", openai.BadRequestError, 400, "content_filtered"),
        ("no-such-model", openai.NotFoundError, 404, "model_not_found"),
        ("fault-429", openai.RateLimitError, 429, "rate_limit_exceeded"),
        ("fault-500", openai.InternalServerError, 500, "internal_error"),
        ("fault-503", openai.InternalServerError, 503, "service_unavailable"),
        ("fault-timeout", openai.InternalServerError, 504, "timeout"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_each_failure_raises_its_class_with_code_and_request_id(
    client: openai.OpenAI,
    model: str,
    expected: type[openai.APIStatusError],
    status: int,
    code: str,
    stream: bool,
) -> None:
    with pytest.raises(expected) as caught:
        client.chat.completions.create(model=model, messages=ASK, stream=stream)

    error = caught.value
    assert (error.status_code, error.code) == (status, code)
    assert error.request_id == error.response.headers["x-request-id"]
    assert isinstance(error.body, dict)
    assert error.body["request_id"] == error.request_id
    assert error.body["message"] in str(error)


def test_an_invalid_request_names_the_parameter(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model="gpt-4o-mini", messages=ASK, temperature=9)

    assert caught.value.code == "validation_error"
    assert caught.value.param == "temperature"


def test_an_unknown_parameter_is_named_with_the_nearest_known_one(
    client: openai.OpenAI,
) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(
            model="gpt-4o-mini", messages=ASK, extra_body={"temperatur": 1}
        )

    assert caught.value.code == "unknown_parameter"
    assert caught.value.param == "temperatur"
    assert "'temperature'" in caught.value.message


def test_a_wrong_key_raises_authentication_error(base_url: str) -> None:
    with (
        openai.OpenAI(
            base_url=f"{base_url}/v1", api_key="sk-wrong", max_retries=0
        ) as client,
        pytest.raises(openai.AuthenticationError) as caught,
    ):
        client.models.list()

    assert caught.value.code == "invalid_api_key"
    assert caught.value.request_id


def test_an_unknown_route_is_a_404_in_the_same_shape(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        client.get("/nowhere", cast_to=object)

    assert caught.value.code == "http_error"
    assert caught.value.request_id


def test_a_route_of_openai_that_is_missing_names_what_to_use(
    client: openai.OpenAI,
) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        client.responses.create(model="gpt-4o-mini", input="hi")

    assert caught.value.code == "route_not_served"
    assert "chat/completions" in caught.value.message


async def test_the_async_client_streams(base_url: str) -> None:
    async with openai.AsyncOpenAI(
        base_url=f"{base_url}/v1", api_key=KEY, max_retries=0
    ) as client:
        stream = await client.chat.completions.create(
            model="gpt-4o-mini", messages=ASK, stream=True
        )
        pieces = [chunk.choices[0].delta.content or "" async for chunk in stream]

    assert "".join(pieces)


def test_an_answer_can_be_sent_back(client: openai.OpenAI) -> None:
    first = client.chat.completions.create(model="gpt-4o-mini", messages=ASK)
    again = client.chat.completions.create(
        model="gpt-4o-mini",
        messages=[
            *ASK,
            first.choices[0].message,  # type: ignore[list-item]  # as the docs show
            {"role": "user", "content": "And then?"},
        ],
    )

    assert again.choices[0].message.content


def test_a_tool_call_goes_there_and_back(client: openai.OpenAI) -> None:
    tool: openai.types.chat.ChatCompletionToolParam = {
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": "The weather in a city.",
            "parameters": {
                "type": "object",
                "properties": {"city": {"type": "string"}},
                "required": ["city"],
            },
        },
    }
    ask: openai.types.chat.ChatCompletionMessageParam = {
        "role": "user",
        "content": "What is the weather in Lisbon?",
    }
    called = client.chat.completions.create(
        model="gpt-4o-mini", messages=[ask], tools=[tool], tool_choice="required"
    )
    message = called.choices[0].message
    assert called.choices[0].finish_reason == "tool_calls"
    assert message.tool_calls is not None
    call = message.tool_calls[0]

    answer = client.chat.completions.create(
        model="gpt-4o-mini",
        messages=[
            ask,
            message,  # type: ignore[list-item]  # as the docs show
            {"role": "tool", "tool_call_id": call.id, "content": "17 degrees, sunny"},
        ],
        tools=[tool],
    )

    assert "17 degrees" in (answer.choices[0].message.content or "")
