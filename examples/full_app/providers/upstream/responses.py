"""What an upstream's own `/v1/responses` answers, whole or streamed, as deltas.

It is read into the same deltas as chat completions, so that everything behind them
(accounting, limits, deadlines, the event log) is the same for both. Only functions are
sent to it as tools, so items of other kinds are not expected and are left out.
Source: OpenAI API reference, responses and their streaming events.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from examples.full_app.providers.base import Delta
from examples.full_app.providers.upstream.errors import (
    UnreadableAnswerError,
    UpstreamError,
    reason_in,
)
from examples.full_app.providers.upstream.further_fields import FurtherFields
from examples.full_app.providers.upstream.tolerance import (
    arguments_of,
    logprobs_of,
    parse_json,
    usage_of,
    whole_characters,
)
from examples.full_app.schemas.answers import FunctionDelta, ToolCallDelta
from examples.full_app.schemas.base import FinishReason
from examples.full_app.schemas.responses import OWN_FIELDS
from examples.s2_models import Usage

THOUGHTS = "reasoning_content"  # the name that chat completions give them
THOUGHT_DELTAS = frozenset(
    {"response.reasoning_summary_text.delta", "response.reasoning_text.delta"}
)
ENDS = frozenset({"response.completed", "response.incomplete", "response.failed"})
FINISHED = frozenset({"completed", "incomplete"})


class ResponseReader:
    """Reads one response. It is complete when its last event, or its status, says so.

    Nothing but the end is believed twice: where the last event repeats the output that
    was streamed, only its usage is read.
    """

    def __init__(self) -> None:
        self.complete = False
        self._said_something = False
        self._calls: dict[str, int] = {}  # ids of items that are calls, and their place
        self._arguments: dict[str, str] = {}  # by the same ids: what was streamed
        self._thoughts = ""  # the kind of event that brings thoughts
        self._thoughts_part: object = 0

    @property
    def has_all_choices(self) -> bool:
        """Whether nothing follows but the end of the stream."""
        return self.complete

    def event(self, kind: bytes, data: bytes) -> Iterator[Delta | Usage]:
        """What one event of a stream says.

        Raises UpstreamError if it says that the response failed, and ValueError if it
        is no JSON.
        """
        if not data or self.complete:
            return
        value = parse_json(data)
        if not isinstance(value, Mapping):
            return
        sent = value.get("type")
        name = sent if isinstance(sent, str) else kind.decode("utf-8", "replace")
        if name == "error" or (value.get("error") and "response" not in value):
            raise UpstreamError(reason_in(value) or "The upstream failed.")
        if name in ENDS:
            yield from self._end(value.get("response"))
            return
        for delta in self._deltas(name, value):
            self._said_something = True
            yield delta

    def answer(self, data: bytes) -> Iterator[Delta | Usage]:
        """What a whole response says.

        Raises UpstreamError for one that failed, UnreadableAnswerError for what is not
        a response, and ValueError for what is no JSON.
        """
        value = parse_json(data)
        if isinstance(value, Mapping) and value.get("error"):
            raise UpstreamError(reason_in(value) or "The upstream failed.")
        if not isinstance(value, Mapping) or not isinstance(value.get("output"), list):
            raise UnreadableAnswerError("The upstream sent no response.")
        yield from self._end(value)

    def end(self) -> Iterator[Delta]:
        """Nothing: a response without its last event has broken off."""
        return iter(())

    # --- A stream ---

    def _deltas(self, name: str, event: Mapping[str, Any]) -> Iterator[Delta]:
        item_id = _text(event.get("item_id"))
        text = _text(event.get("delta"))
        match name:
            case "response.output_text.delta":
                chances = logprobs_of({"content": event.get("logprobs")})
                has_chances = chances is not None and chances.content
                yield Delta(content=text, logprobs=chances if has_chances else None)
            case "response.refusal.delta":
                yield Delta(further={"refusal": text})
            case name if name in THOUGHT_DELTAS:
                yield from self._thought(name, event, text)
            case "response.output_item.added":
                yield from self._item_added(event.get("item"))
            case "response.function_call_arguments.delta" if item_id in self._calls:
                yield self._more_arguments(item_id, text)
            case "response.output_item.done":
                yield from self._item_done(event.get("item"))

    def _thought(
        self, name: str, event: Mapping[str, Any], text: str
    ) -> Iterator[Delta]:
        """A piece of a thought; parts of a summary are paragraphs.

        Of an upstream that sends a summary and the text itself one is read.
        """
        self._thoughts = self._thoughts or name
        if name != self._thoughts:
            return
        part = event.get("summary_index", 0)
        if part != self._thoughts_part:
            self._thoughts_part = part
            text = f"\n\n{text}"
        yield Delta(further={THOUGHTS: text})

    def _item_added(self, item: object) -> Iterator[Delta]:
        if isinstance(item, Mapping) and item.get("type") == "function_call":
            yield self._new_call(item, "")

    def _item_done(self, item: object) -> Iterator[Delta]:
        """What was not streamed of a call: all of it, or the end of its arguments."""
        if not isinstance(item, Mapping) or item.get("type") != "function_call":
            return
        item_id = _text(item.get("id"))
        arguments = arguments_of(item.get("arguments"))
        if item_id not in self._calls:
            yield self._new_call(item, arguments)
            return
        streamed = self._arguments[item_id]
        if arguments.startswith(streamed) and arguments != streamed:
            yield self._more_arguments(item_id, arguments.removeprefix(streamed))

    def _new_call(self, item: Mapping[str, Any], arguments: str) -> Delta:
        place = len(self._calls)
        item_id = _text(item.get("id")) or f"without an id {place}"
        self._calls[item_id] = place
        self._arguments[item_id] = arguments
        call = ToolCallDelta(
            index=place,
            id=_text(item.get("call_id")) or None,
            type="function",
            function=FunctionDelta(name=_text(item.get("name")), arguments=arguments),
        )
        return Delta(tool_calls=(call,))

    def _more_arguments(self, item_id: str, text: str) -> Delta:
        self._arguments[item_id] += text
        function = FunctionDelta(arguments=text)
        call = ToolCallDelta(index=self._calls[item_id], function=function)
        return Delta(tool_calls=(call,))

    # --- The end ---

    def _end(self, response: object) -> Iterator[Delta | Usage]:
        """The output, unless it was streamed; the reason to finish; the usage."""
        if not isinstance(response, Mapping):
            raise UnreadableAnswerError("The upstream's last event has no response.")
        status = response.get("status", "completed")
        if status not in FINISHED:
            raise UpstreamError(
                reason_in(response.get("error")) or f"The response is {status}."
            )
        if not self._said_something:
            yield from self._output(response.get("output"))
        self.complete = True
        others = {
            name: value for name, value in response.items() if name not in OWN_FIELDS
        }
        yield Delta(
            finish_reason=self._finish_reason(status, response),
            answer_fields=FurtherFields().of_answer(others),
        )
        usage = usage_of(_chat_usage(response.get("usage")))
        if usage is not None:
            yield usage

    def _output(self, output: object) -> Iterator[Delta]:
        for item in _list(output):
            match item.get("type"):
                case "message":
                    yield from _message(item)
                case "reasoning":
                    texts = [
                        _text(part.get("text"))
                        for part in _list(item.get("summary"))
                        or _list(item.get("content"))
                    ]
                    if any(texts):
                        yield Delta(further={THOUGHTS: "\n\n".join(texts)})
                case "function_call":
                    yield self._new_call(item, arguments_of(item.get("arguments")))

    def _finish_reason(
        self, status: object, response: Mapping[str, Any]
    ) -> FinishReason:
        if status == "incomplete":
            details = response.get("incomplete_details")
            reason = details.get("reason") if isinstance(details, Mapping) else None
            return "content_filter" if reason == "content_filter" else "length"
        return "tool_calls" if self._calls else "stop"


def _message(item: Mapping[str, Any]) -> Iterator[Delta]:
    for part in _list(item.get("content")):
        if part.get("type") == "refusal":
            yield Delta(further={"refusal": _text(part.get("refusal"))})
        elif text := _text(part.get("text")):
            chances = logprobs_of({"content": part.get("logprobs")})
            has_chances = chances is not None and chances.content
            yield Delta(content=text, logprobs=chances if has_chances else None)


def _chat_usage(usage: object) -> object:
    """The usage of a response in the words of chat completions."""
    if not isinstance(usage, Mapping):
        return None
    return {
        "prompt_tokens": usage.get("input_tokens"),
        "completion_tokens": usage.get("output_tokens"),
        "total_tokens": usage.get("total_tokens"),
        "prompt_tokens_details": usage.get("input_tokens_details"),
        "completion_tokens_details": usage.get("output_tokens_details"),
    }


def _list(value: object) -> Sequence[Mapping[str, Any]]:
    """The objects of a list; none of what is no list."""
    if not isinstance(value, list):
        return []
    return [entry for entry in value if isinstance(entry, Mapping)]


def _text(value: object) -> str:
    return whole_characters(value) if isinstance(value, str) else ""
