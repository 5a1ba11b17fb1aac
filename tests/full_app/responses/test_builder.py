"""Deltas of any order become events that every client can put together."""

import json
from collections.abc import Iterable
from typing import Any

import pytest

from examples.full_app.events.follower import Event
from examples.full_app.providers.base import Delta
from examples.full_app.responses.builder import (
    ResponseBuilder,
    ResponseEvent,
    as_response_usage,
    rebuilt,
)
from examples.full_app.responses.translation import as_chat_request, new_response
from examples.full_app.schemas.answers import (
    ChoiceLogprobs,
    TokenLogprob,
    ToolCallDelta,
)
from examples.full_app.schemas.responses import Response, ResponseRequest
from examples.s2_models import Usage
from examples.s5_error_handling import InternalError

USAGE = Usage(prompt_tokens=3, completion_tokens=5)
REQUEST = ResponseRequest.model_validate({"model": "m", "input": "hi"})


def empty() -> Response:
    chat = as_chat_request(
        REQUEST.model_copy(update={"instructions": "Say something."}), []
    )
    return new_response(REQUEST, chat, f"resp_{'0' * 32}", 1, "in_progress")


def written(
    *deltas: Delta, finish: str | None = "stop"
) -> tuple[list[dict[str, Any]], Response]:
    """The events of an answer that consists of these deltas, and the response."""
    builder = ResponseBuilder(empty())
    found: list[ResponseEvent] = [builder.created(), builder.in_progress()]
    for delta in deltas:
        found += builder.add(delta)
    found += builder.add(Delta(finish_reason=finish))  # type: ignore[arg-type]
    found += builder.finish(USAGE)
    found.append(builder.terminal())
    assert all(event.data.isascii() for event in found)  # some split at U+2028
    return as_json(found), builder.response


def as_json(events: Iterable[ResponseEvent]) -> list[dict[str, Any]]:
    return [json.loads(event.data) for event in events]


def call(index: int, arguments: str, name: str | None = None) -> Delta:
    call_id = f"call_{index}" if name else None
    function = {"name": name, "arguments": arguments}
    piece = {"index": index, "id": call_id, "function": function}
    return Delta(tool_calls=(ToolCallDelta.model_validate(piece),))


def text_of(item: dict[str, Any]) -> str:
    """All that was written into an item."""
    parts = item.get("content", []) + item.get("summary", [])
    written = [part.get("text") or part.get("refusal", "") for part in parts]
    return "".join([item.get("arguments", ""), *written])


# What stands between `added` and `done` of an item, besides its deltas.
INSIDE = {
    "text": ["content_part.added", "output_text.done", "content_part.done"],
    "refusal": ["content_part.added", "refusal.done", "content_part.done"],
    "reasoning": [
        "reasoning_summary_part.added",
        "reasoning_summary_text.done",
        "reasoning_summary_part.done",
    ],
    "function_call": ["function_call_arguments.done"],
}
PLACES = {"message": {"content_index"}, "reasoning": {"summary_index"}}


def check_inside(item: dict[str, Any], inside: list[dict[str, Any]]) -> None:
    """What holds for the events of one item: they are complete, and say the same."""
    kind = item["type"]
    if kind == "message":
        kind = "refusal" if "refusal" in item["content"][0] else "text"
    rest = [event for event in inside if not event["type"].endswith(".delta")]
    assert [event["type"].removeprefix("response.") for event in rest] == INSIDE[kind]
    for event in inside:
        places = {name for name in event if name.endswith("_index")} - {"output_index"}
        assert places == PLACES.get(item["type"], set())
        assert event["item_id"] == item["id"]
        for name in ("text", "refusal", "arguments"):
            assert event.get(name, text_of(item)) == text_of(item)
        if event["type"].endswith("part.done"):
            assert [event["part"]] == item.get("content", []) + item.get("summary", [])


def check(events: list[dict[str, Any]], response: Response) -> None:
    """What holds for every stream: numbers, one open item, deltas = done = final."""
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    opened: dict[str, Any] | None = None
    texts: list[str] = []
    inside: list[dict[str, Any]] = []
    done: list[dict[str, Any]] = []
    for event in events:
        match event["type"]:
            case "response.output_item.added":
                assert opened is None
                assert event["item"]["status"] == "in_progress"
                for name in ("content", "summary", "arguments"):
                    assert not event["item"].get(name)
                opened, texts, inside = event["item"], [], []
                assert event["output_index"] == len(done)
            case "response.output_item.done":
                assert opened is not None
                for name in ("id", "call_id", "name"):
                    assert event["item"].get(name) == opened.get(name)
                assert event["output_index"] == len(done)
                assert "".join(texts) == text_of(event["item"])
                check_inside(event["item"], inside)
                done.append(event["item"])
                opened = None
            case kind if "item_id" in event:
                inside.append(event)
                if kind.endswith(".delta"):
                    assert event["delta"]
                    texts.append(event["delta"])
    assert opened is None
    assert len({item["id"] for item in done}) == len(done)
    assert events[-1]["response"]["output"] == done
    assert events[-1]["response"] == response.model_dump(mode="json")


def test_calls_that_come_interleaved_are_written_one_after_the_other() -> None:
    events, response = written(
        call(0, "", "first"),
        call(1, "", "second"),
        call(0, '{"a"'),
        call(1, '{"b"'),
        call(0, ":1}"),
        call(1, ":2}"),
        finish="tool_calls",
    )
    check(events, response)
    items = events[-1]["response"]["output"]

    assert [(it["name"], it["call_id"], it["arguments"]) for it in items] == [
        ("first", "call_0", '{"a":1}'),
        ("second", "call_1", '{"b":2}'),
    ]
    assert response.status == "completed"


def test_thoughts_a_text_and_a_call_are_three_items() -> None:
    events, response = written(
        Delta(further={"reasoning_content": "Let me "}),
        Delta(further={"reasoning_content": "think.", "reasoning": "think."}),
        Delta(content="Well, "),
        Delta(content=""),
        Delta(content="yes."),
        call(0, "{}", "f"),
        finish="tool_calls",
    )
    check(events, response)
    thoughts, message, asked = events[-1]["response"]["output"]

    assert thoughts["summary"] == [{"type": "summary_text", "text": "Let me think."}]
    assert message["content"][0]["text"] == "Well, yes."
    assert asked["arguments"] == "{}"
    assert [it["id"][:3] for it in (thoughts, message, asked)] == ["rs_", "msg", "fc_"]


def test_a_text_beside_a_call_is_written_after_it() -> None:
    events, response = written(
        call(0, '{"a":', "f"), Delta(content="One moment."), call(0, "1}")
    )
    check(events, response)
    asked, message = events[-1]["response"]["output"]

    assert asked["arguments"] == '{"a":1}'
    assert message["content"][0]["text"] == "One moment."


@pytest.mark.parametrize("name", ["reasoning", "refusal"])
def test_thoughts_and_a_refusal_beside_a_call_are_written_after_it(name: str) -> None:
    events, response = written(
        call(0, '{"a":', "f"),
        Delta(further={name: "One "}),
        call(0, "1}"),
        Delta(further={name: "moment."}),
    )
    check(events, response)
    asked, other = events[-1]["response"]["output"]

    assert asked["arguments"] == '{"a":1}'
    assert text_of(other) == "One moment."


def test_one_delta_of_everything_is_written_in_the_order_of_a_message() -> None:
    further = {"reasoning": "Hm.", "refusal": "No."}
    asked = call(0, "{}", "f").tool_calls
    events, response = written(
        Delta(content="Well.", further=further, tool_calls=asked)
    )
    check(events, response)
    output = events[-1]["response"]["output"]

    assert [text_of(item) for item in output] == ["Hm.", "Well.", "No.", "{}"]


def test_a_call_without_an_id_gets_one_that_stays() -> None:
    function = {"name": "f", "arguments": "{"}
    first = ToolCallDelta.model_validate({"index": 0, "function": function})
    rest = {"index": 0, "id": "call_late", "function": {"arguments": "}"}}
    later = ToolCallDelta.model_validate(rest)
    events, response = written(Delta(tool_calls=(first,)), Delta(tool_calls=(later,)))
    check(events, response)
    (asked,) = events[-1]["response"]["output"]

    assert asked["call_id"].startswith("call_")
    assert asked["call_id"] != "call_late"
    assert asked["arguments"] == "{}"


def test_a_call_that_has_no_name_yet_is_opened_with_an_empty_one() -> None:
    events, _ = written(call(0, "{"), call(0, "}", "f"))
    added = next(it for it in events if it["type"] == "response.output_item.added")

    assert added["item"]["name"] == ""
    assert events[-1]["response"]["output"][0]["name"] == "f"


def test_calls_that_waited_are_written_in_the_order_of_the_model() -> None:
    events, response = written(
        call(0, "{}", "first"), call(2, "{}", "third"), call(1, "{}", "second")
    )
    check(events, response)
    names = [item["name"] for item in events[-1]["response"]["output"]]

    assert names == ["first", "second", "third"]


def test_a_piece_of_a_text_is_written_as_every_other_event_is() -> None:
    events, response = written(
        Delta(content="One "), Delta(content='tw"o\u2028 é\n'), Delta(content="three")
    )
    check(events, response)
    first, second, third = (it for it in events if it["type"].endswith("text.delta"))

    assert list(first) == list(second)
    assert second == {**first, "sequence_number": 5, "delta": 'tw"o\u2028 é\n'}
    assert third == {**first, "sequence_number": 6, "delta": "three"}


def chances(*words: str) -> ChoiceLogprobs:
    """Log probabilities of these words."""
    content = [TokenLogprob(token=word, logprob=-0.5) for word in words]
    return ChoiceLogprobs(content=content)


def test_what_comes_together_with_a_piece_of_a_text_is_not_lost() -> None:
    further = {"reasoning": "Hm."}
    asked = call(0, "{}", "f").tool_calls
    events, response = written(
        Delta(content="One "),
        Delta(content="two", logprobs=chances("two")),
        Delta(content=" three", further=further),
        Delta(content=".", tool_calls=asked),
        Delta(content=" Four.", logprobs=chances("Four")),
    )
    check(events, response)
    output = events[-1]["response"]["output"]
    tokens = [
        [chance["token"] for part in item["content"] for chance in part["logprobs"]]
        for item in output
        if item["type"] == "message"
    ]

    texts = [text_of(item) for item in output]
    assert texts == ["One two", "Hm.", " three.", "{}", " Four."]
    assert tokens == [["two"], [], ["Four"]]


def test_a_reason_to_end_counts_whatever_comes_with_it_or_after_it() -> None:
    events, response = written(
        Delta(content="One"), Delta(content=" two", finish_reason="length"), finish=None
    )
    check(events, response)

    assert response.status == "incomplete"
    assert text_of(events[-1]["response"]["output"][0]) == "One two"


def test_a_refusal_is_a_message_with_a_refusal_part() -> None:
    events, response = written(
        Delta(further={"refusal": "I will "}), Delta(further={"refusal": "not."})
    )
    check(events, response)
    (message,) = events[-1]["response"]["output"]

    assert message["content"] == [{"type": "refusal", "refusal": "I will not."}]
    assert "response.refusal.done" in [event["type"] for event in events]


def test_an_answer_of_nothing_is_one_empty_message() -> None:
    events, response = written()
    check(events, response)

    assert events[-1]["response"]["output"][0]["content"][0]["text"] == ""


def test_a_filter_and_a_limit_leave_the_last_item_incomplete() -> None:
    for finish, reason in (
        ("length", "max_output_tokens"),
        ("content_filter", "content_filter"),
    ):
        events, response = written(Delta(content="half"), finish=finish)
        check(events, response)

        assert events[-1]["type"] == "response.incomplete"
        assert response.incomplete_details is not None
        assert response.incomplete_details.reason == reason
        assert response.output[-1].status == "incomplete"
        assert response.completed_at is None


def test_counts_of_cached_and_of_thought_tokens_are_kept() -> None:
    usage = as_response_usage(
        Usage.model_validate(
            {
                "prompt_tokens": 10,
                "completion_tokens": 6,
                "prompt_tokens_details": {"cached_tokens": 4},
                "completion_tokens_details": {"reasoning_tokens": 5},
            }
        )
    )

    assert usage.model_dump() == {
        "input_tokens": 10,
        "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 0},
        "output_tokens": 6,
        "output_tokens_details": {"reasoning_tokens": 5},
        "total_tokens": 16,
    }


@pytest.mark.parametrize("count", [True, -1, 1_000, "4", None])
def test_a_count_of_thought_tokens_that_cannot_be_is_not_passed_on(
    count: object,
) -> None:
    details = {"completion_tokens_details": {"reasoning_tokens": count}}
    usage = Usage.model_validate({**USAGE.model_dump(), **details})

    thoughts = as_response_usage(usage).output_tokens_details.reasoning_tokens
    assert thoughts in (0, USAGE.completion_tokens)
    assert type(thoughts) is int


@pytest.mark.parametrize("details", [None, "none", [], 4])
def test_details_of_a_usage_in_another_form_count_nothing(details: object) -> None:
    named = {"completion_tokens_details": details}
    usage = Usage.model_validate({**USAGE.model_dump(), **named})

    assert as_response_usage(usage).output_tokens_details.reasoning_tokens == 0


def test_a_builder_is_rebuilt_from_the_events_of_every_prefix() -> None:
    builder = ResponseBuilder(empty())
    found = [builder.created(), builder.in_progress()]
    for delta in (
        Delta(further={"reasoning": "Hm."}),
        Delta(content="One"),
        call(0, "{", "f"),
        call(0, "}"),
    ):
        found += builder.add(delta)
    found += builder.finish(USAGE)
    log = [Event(f"1-{n}", it.type, it.data) for n, it in enumerate(found, 1)]
    for length in range(len(log) + 1):
        again = rebuilt(empty(), log[:length], sequence_number=length)
        list(again.fail(InternalError("x"), "req_1", None))
        terminal = json.loads(again.terminal().data)
        output = terminal["response"]["output"]

        assert terminal["sequence_number"] == length + 1
        assert {item["status"] for item in output} <= {"completed", "incomplete"}
        begun = [it for it in log[:length] if it.type == "response.output_item.added"]
        assert len(output) == len(begun)
    assert [item["type"] for item in output] == [
        "reasoning",
        "message",
        "function_call",
    ]
    assert output[2]["arguments"] == "{}"


def test_what_the_service_says_of_a_response_no_upstream_says_in_its_place() -> None:
    theirs: dict[str, Any] = {"status": "broken", "output": [], "id": "x", "pot": 1}
    _, response = written(Delta(content="Tea", answer_fields=theirs))

    assert response.model_extra == {"pot": 1}
    assert (response.status, response.id) == ("completed", empty().id)
    assert response.usage is not None
    assert len(response.output) == 1


def test_fields_that_come_with_a_later_piece_of_the_text_are_kept_too() -> None:
    pieces = Delta(content="Green "), Delta(content="tea", answer_fields={"pot": 1})
    _, response = written(*pieces)

    assert response.model_extra == {"pot": 1}
