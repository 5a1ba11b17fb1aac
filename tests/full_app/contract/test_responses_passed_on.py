"""An upstream that is asked by its own `/v1/responses`: a setting, and what it changes.

The upstream is scripted: it keeps what it was asked, and answers given events.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx2
import openai
import pytest

from tests.full_app.conftest import KEY
from tests.full_app.contract.test_responses import JSON
from tests.full_app.responses.test_background import RUNNING
from tests.full_app.routes.test_responses import PATH, WEATHER, events
from tests.full_app.upstreams import answering, head, in_front_of
from tests.servers import wait_until

ASK = {"model": "any", "input": "hi"}
USAGE = {
    "input_tokens": 7,
    "input_tokens_details": {"cached_tokens": 3},
    "output_tokens": 5,
    "output_tokens_details": {"reasoning_tokens": 2},
    "total_tokens": 12,
}
TEXT = {"type": "output_text", "text": "Hello there.", "annotations": []}
MESSAGE = {"id": "msg_up", "type": "message", "role": "assistant", "content": [TEXT]}
THOUGHT = {
    "id": "rs_up",
    "type": "reasoning",
    "summary": [{"type": "summary_text", "text": "Hm."}],
}
CALL = {
    "id": "fc_up",
    "type": "function_call",
    "call_id": "call_up",
    "name": "get_weather",
    "arguments": '{"city":"Oslo"}',
}


def response(*output: JSON, **fields: Any) -> JSON:
    """A response of the upstream's, whose ids are its own."""
    return {
        "id": "resp_up",
        "object": "response",
        "status": "completed",
        "error": None,
        "output": list(output),
        "usage": USAGE,
        **fields,
    }


def whole(answer: JSON, status: int = 200) -> bytes:
    """An answer in one piece."""
    return head(status, "application/json") + json.dumps(answer).encode("utf-8")


def streamed(*sent: JSON) -> bytes:
    """Events as OpenAI sends them: no `[DONE]` follows."""
    frames = [
        f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode()
        for event in sent
    ]
    return head(200, "text/event-stream") + b"".join(frames)


def delta(kind: str, text: str, **fields: Any) -> JSON:
    return {"type": f"response.{kind}.delta", "delta": text, **fields}


def ended(*output: JSON, kind: str = "completed", **fields: Any) -> JSON:
    """The last event of a stream."""
    body = response(*output, status=kind, **fields)
    return {"type": f"response.{kind}", "response": body}


TEXT_EVENTS = (
    {"type": "response.created", "response": response(status="in_progress")},
    {"type": "response.output_item.added", "item": {**MESSAGE, "content": []}},
    delta("output_text", "Hello "),
    delta("output_text", "there."),
    {"type": "response.output_text.done", "text": "Hello there."},
    {"type": "response.output_item.done", "item": MESSAGE},
    ended(MESSAGE),
)


@contextmanager
def passing(
    *replies: bytes | None, **given: object
) -> Iterator[tuple[httpx2.Client, list[str]]]:
    """The service before an upstream with these replies, and what that was asked."""
    with (
        answering(*replies) as (upstream, asked),
        in_front_of(upstream, upstream_responses="pass", **given) as http,
    ):
        yield http, asked


def body_of(request: str) -> JSON:
    """The JSON of a request that the upstream got."""
    found: JSON = json.loads(request.partition("\r\n\r\n")[2])
    return found


def test_a_whole_response_is_asked_for_whole_and_gets_our_ids() -> None:
    with passing(whole(response(THOUGHT, MESSAGE))) as (http, asked):
        answer = http.post(PATH, json=ASK)
        kept = http.get(f"{PATH}/{answer.json()['id']}").json()
    thought, message = answer.json()["output"]

    assert asked[0].startswith("POST /v1/responses ")
    assert f"Bearer {KEY}" in asked[0]
    assert body_of(asked[0]) == {
        "model": "any",
        "input": [
            {
                "type": "message",
                "role": "user",
                "content": [{"type": "input_text", "text": "hi"}],
            }
        ],
        "store": False,
        "stream": False,
    }
    assert kept == answer.json()
    assert "_up" not in answer.text
    assert thought["summary"][0]["text"] == "Hm."
    assert message["content"][0]["text"] == "Hello there."
    assert answer.json()["usage"] == {
        **USAGE,
        "input_tokens_details": {"cached_tokens": 3, "cache_write_tokens": 0},
    }
    assert answer.headers["x-provider"] == "upstream"


def test_a_stream_is_asked_for_as_a_stream_and_gets_our_events() -> None:
    with passing(streamed(*TEXT_EVENTS)) as (http, asked):
        found = events(http.post(PATH, json={**ASK, "stream": True}))
        kept = http.get(f"{PATH}/{found[-1]['response']['id']}").json()
    deltas = [it["delta"] for it in found if it["type"].endswith("text.delta")]

    assert body_of(asked[0])["stream"] is True
    assert deltas == ["Hello ", "there."]
    assert [event["sequence_number"] for event in found] == list(range(len(found)))
    assert found[-1]["type"] == "response.completed"
    assert found[-1]["response"] == kept
    assert kept["usage"]["total_tokens"] == 12


@pytest.mark.parametrize("stream", [False, True])
def test_fields_of_the_upstreams_own_are_in_the_response(stream: bool) -> None:
    others = {"service_tier": "flex", "citations": ["a"], "object": "theirs"}
    body = response(MESSAGE, **others)
    last = {"type": "response.completed", "response": body}
    reply = streamed(*TEXT_EVENTS[:-1], last) if stream else whole(body)
    with passing(reply) as (http, _):
        answer = http.post(PATH, json={**ASK, "stream": stream})
        found = events(answer)[-1]["response"] if stream else answer.json()
        kept = http.get(f"{PATH}/{found['id']}").json()

    assert (found["service_tier"], found["citations"]) == ("flex", ["a"])
    assert found["object"] == "response"
    assert kept == found


def test_all_that_was_asked_for_reaches_the_upstream_in_the_words_of_the_route() -> (
    None
):
    options = {
        "instructions": "Be brief.",
        "max_output_tokens": 50,
        "temperature": 0.5,
        "reasoning": {"effort": "low", "summary": "auto"},
        "text": {
            "format": {"type": "json_schema", "name": "x", "schema": {"type": "object"}}
        },
        "tools": [WEATHER],
        "tool_choice": {
            "type": "allowed_tools",
            "mode": "auto",
            "tools": [{"type": "function", "name": "get_weather"}],
        },
        "parallel_tool_calls": False,
        "max_tool_calls": 2,
        "truncation": "auto",
        "include": ["message.output_text.logprobs"],
        "top_logprobs": 2,
        "user": "u",
    }
    with passing(whole(response(MESSAGE))) as (http, asked):
        http.post(PATH, json={**ASK, **options, "metadata": {"a": "b"}})
    body = body_of(asked[0])

    assert {name: body[name] for name in options} == options
    assert body["store"] is False
    assert "metadata" not in body  # kept here, as what was said is


def test_a_conversation_is_ours_and_the_upstream_is_sent_all_of_it() -> None:
    call = whole(response(CALL))
    with passing(call, whole(response(MESSAGE))) as (http, asked):
        first = http.post(PATH, json={**ASK, "tools": [WEATHER]}).json()
        output = {"type": "function_call_output", "call_id": "call_up", "output": "sun"}
        http.post(
            PATH,
            json={
                "model": "any",
                "previous_response_id": first["id"],
                "input": [output],
            },
        )
    sent = body_of(asked[1])

    assert "previous_response_id" not in sent
    assert sent["input"][1:] == [
        {name: CALL[name] for name in ("type", "call_id", "name", "arguments")},
        output,
    ]


def test_thoughts_a_refusal_and_calls_of_a_stream_are_read() -> None:
    added = {"type": "response.output_item.added"}
    done = {"type": "response.output_item.done"}
    second = {**CALL, "id": "fc_2", "call_id": "call_2", "arguments": "{}"}
    sent = (
        delta("reasoning_summary_text", "Hm.", summary_index=0),
        delta("reasoning_summary_text", "So.", summary_index=1),
        delta("reasoning_text", "not twice"),
        delta("refusal", "No."),
        {**added, "item": {**CALL, "arguments": ""}},
        delta("function_call_arguments", '{"city":', item_id="fc_up"),
        {**done, "item": CALL},  # what was not streamed of its arguments is there
        {**done, "item": second},
        ended(),
    )
    with passing(streamed(*sent)) as (http, _):
        found = events(http.post(PATH, json={**ASK, "stream": True}))
    thought, refusal, *calls = found[-1]["response"]["output"]

    assert thought["summary"][0]["text"] == "Hm.\n\nSo."
    assert refusal["content"] == [{"type": "refusal", "refusal": "No."}]
    assert [(it["call_id"], it["arguments"]) for it in calls] == [
        ("call_up", '{"city":"Oslo"}'),
        ("call_2", "{}"),
    ]


def test_a_last_event_alone_is_the_whole_answer() -> None:
    with passing(streamed(ended(MESSAGE))) as (http, _):
        found = events(http.post(PATH, json={**ASK, "stream": True}))

    assert found[-1]["response"]["output"][0]["content"][0]["text"] == "Hello there."


@pytest.mark.parametrize("reason", ["max_output_tokens", "content_filter"])
def test_an_incomplete_response_stays_incomplete(reason: str) -> None:
    fields = {"incomplete_details": {"reason": reason}}
    replies = (
        whole(response(MESSAGE, status="incomplete", **fields)),
        streamed(
            delta("output_text", "Hello"), ended(MESSAGE, kind="incomplete", **fields)
        ),
    )
    with passing(*replies) as (http, _):
        answers = [
            http.post(PATH, json=ASK).json(),
            events(http.post(PATH, json={**ASK, "stream": True}))[-1]["response"],
        ]

    for answer in answers:
        assert answer["status"] == "incomplete"
        assert answer["incomplete_details"] == {"reason": reason}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    "refusal",
    [
        whole({"error": {"message": "Invalid URL (POST /v1/responses)"}}, 404),
        whole({"detail": "Not Found"}, 404),
        head(404, "text/plain") + b"404 page not found",
        whole({"detail": "Method Not Allowed"}, 405),
    ],
    ids=["OpenAI", "vLLM", "Ollama", "405"],
)
def test_an_upstream_without_the_route_is_an_error_that_names_the_setting(
    refusal: bytes, stream: bool
) -> None:
    with passing(refusal) as (http, asked):
        answer = http.post(PATH, json={**ASK, "stream": stream})
        chat = http.post(
            "/v1/chat/completions",
            json={"model": "any", "messages": [{"role": "user", "content": "hi"}]},
        )

    assert answer.status_code == 502
    assert answer.json()["code"] == "upstream_lacks_responses"
    assert "FULL_APP_UPSTREAM_RESPONSES" in answer.json()["error"]["message"]
    assert answer.headers["x-should-retry"] == "false"
    assert chat.json()["code"] != "upstream_lacks_responses"
    assert len(asked) == 2


def test_a_model_that_the_upstream_lacks_stays_a_404() -> None:
    error = {"message": "The model `any` does not exist.", "code": "model_not_found"}
    with passing(whole({"error": error}, 404)) as (http, _):
        answer = http.post(PATH, json=ASK)

    assert (answer.status_code, answer.json()["code"]) == (404, "model_not_found")


def test_what_the_caller_can_mend_is_said_in_the_upstreams_words() -> None:
    error = {"message": "Too long.", "code": "context_length", "param": "input"}
    with passing(whole({"error": error}, 400)) as (http, _):
        answer = http.post(PATH, json=ASK)

    assert answer.status_code == 400
    assert answer.json()["error"]["message"] == "Too long."
    assert answer.json()["error"]["param"] == "input"


BROKEN = {
    "failed": streamed(
        delta("output_text", "Half"),
        ended(kind="failed", error={"code": "server_error", "message": "Broken."}),
    ),
    "error event": streamed(
        delta("output_text", "Half"), {"type": "error", "message": "Broken."}
    ),
    "no last event": streamed(delta("output_text", "Half")),
    "no JSON": streamed(delta("output_text", "Half")) + b"data: {\n\n",
    "cancelled": streamed(delta("output_text", "Half"), ended(kind="cancelled")),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_stream_that_breaks_off_raises_in_the_official_client(case: str) -> None:
    with passing(BROKEN[case]) as (http, _):
        api = openai.OpenAI(base_url=f"{http.base_url}/v1", api_key=KEY, max_retries=0)
        stream = api.responses.create(model="any", input="hi", stream=True)
        with pytest.raises(openai.APIError) as caught, api:
            for _event in stream:
                pass

    assert caught.value.code in ("upstream_error", "model_error")


@pytest.mark.parametrize(
    "answer",
    [
        response(status="failed", error={"message": "Broken."}),
        response(status="queued"),
        {"choices": [{"message": {"content": "chat"}}]},
        {"output": "text"},
    ],
    ids=["failed", "queued", "chat completion", "no list"],
)
def test_a_whole_answer_that_is_no_finished_response_is_a_502(answer: JSON) -> None:
    with passing(whole(answer)) as (http, _):
        refused = http.post(PATH, json=ASK)

    assert refused.status_code == 502
    assert refused.json()["code"] == "upstream_error"


def test_a_response_in_the_background_is_passed_on_and_resumed_here() -> None:
    with passing(streamed(*TEXT_EVENTS)) as (http, asked):
        made = http.post(PATH, json={**ASK, "background": True}).json()
        path = f"{PATH}/{made['id']}"
        wait_until(lambda: http.get(path).json()["status"] not in RUNNING)
        kept = http.get(path).json()
        log = events(http.get(f"{path}?stream=true"))
        rest = events(http.get(f"{path}?stream=true&starting_after=4"))
    body = body_of(asked[0])

    assert asked[0].startswith("POST /v1/responses ")
    assert "background" not in body
    assert kept["status"] == "completed"
    assert kept["output"][0]["content"][0]["text"] == "Hello there."
    assert log[-1]["response"] == kept
    assert rest == log[5:]


def test_a_caller_who_leaves_hangs_up_on_the_upstream() -> None:
    with passing(None) as (http, asked):
        with pytest.raises(httpx2.TimeoutException):
            http.post(PATH, json={**ASK, "stream": True}, timeout=0.5)
        # The scripted upstream takes the next connection when this one is closed.
        with pytest.raises(httpx2.TimeoutException):
            http.post(PATH, json={**ASK, "stream": True}, timeout=0.5)
        wait_until(lambda: len(asked) == 2, what="the end of the first connection")


def test_the_deadline_of_the_caller_holds() -> None:
    with passing(None) as (http, _):
        answer = http.post(PATH, json=ASK, headers={"x-stainless-read-timeout": "1"})

    assert answer.status_code == 504


def test_what_the_upstream_counted_is_what_is_charged() -> None:
    key = [{"name": "alpha", "key": KEY, "budget_usd": "100"}]
    price = {"any": {"input": 1_000, "output": 10_000}}
    with passing(whole(response(MESSAGE)), api_keys=key, prices=price) as (http, _):
        http.post(PATH, json=ASK)
        wait_until(lambda: http.get("/v1/usage").json()["reserved_usd"] == "0")
        usage = http.get("/v1/usage").json()

    assert float(usage["spent_usd"]) == pytest.approx(0.007 + 0.05)


def test_without_the_setting_an_upstream_is_asked_for_chat_completions() -> None:
    with (
        answering(whole({"choices": [{"message": {"content": "x"}}]})) as (url, asked),
        in_front_of(url) as http,
    ):
        answer = http.post(PATH, json=ASK)

    assert answer.status_code == 200
    assert asked[0].startswith("POST /v1/chat/completions ")


def test_models_that_answer_here_do_not_ask_the_upstream() -> None:
    with passing(whole(response(MESSAGE))) as (http, asked):
        answer = http.post(PATH, json={"model": "offline-echo", "input": "here"})

    assert answer.json()["output"][0]["content"][0]["text"] == "here"
    assert asked == []
