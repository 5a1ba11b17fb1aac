"""The deltas of a call become the events of a response, and the response itself.

One item is open at a time, because clients put together what comes between `added` and
`done`. The first function call is written as it comes; what comes beside it (pieces of
a second call, a text) is kept until the answer ends, and is written whole then.
Thoughts of a model are written as a summary: that is the form that all clients read.
Sources: OpenAI API reference, responses streaming; Open Responses (order of events).
"""

import json
import secrets
import time
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import TypeAdapter
from pydantic_core import to_json

from examples.full_app.chat.answers import ToolCallBuilder
from examples.full_app.errors import error_body
from examples.full_app.events.follower import Event
from examples.full_app.money import cached_tokens
from examples.full_app.providers.base import Delta
from examples.full_app.responses.items import output_id
from examples.full_app.responses.translation import named_here
from examples.full_app.schemas.answers import TokenLogprob, ToolCallDelta
from examples.full_app.schemas.base import FinishReason
from examples.full_app.schemas.responses import (
    OWN_FIELDS,
    FunctionCallItem,
    IncompleteDetails,
    InputTokensDetails,
    ItemStatus,
    OutputItem,
    OutputMessage,
    OutputTokensDetails,
    ReasoningItem,
    Response,
    ResponseError,
    ResponseStatus,
    ResponseUsage,
    SummaryText,
    WrittenRefusal,
    WrittenText,
)
from examples.s2_models import Usage
from examples.s5_error_handling import AIError

REASONING_FIELDS = ("reasoning_content", "reasoning")  # names that upstreams use
REFUSAL_FIELD = "refusal"
OUTPUT_ITEM: TypeAdapter[OutputItem] = TypeAdapter(OutputItem)
TEXT_DELTA = "response.output_text.delta"
TERMINAL_EVENTS: frozenset[str] = frozenset(
    {"response.completed", "response.incomplete", "response.failed"}
)
INCOMPLETE_REASONS: Mapping[
    FinishReason, Literal["max_output_tokens", "content_filter"]
] = {"length": "max_output_tokens", "content_filter": "content_filter"}


@dataclass(slots=True)  # not frozen: there is one a token, as of `Delta`
class ResponseEvent:
    """One event of a response: its type, and its JSON, in which the type is again."""

    type: str
    data: str

    @property
    def is_terminal(self) -> bool:
        """Whether nothing follows."""
        return self.type in TERMINAL_EVENTS


# --- Items that are being written ---


@dataclass(slots=True)
class _Text:
    """A message with one text."""

    id: str
    text: list[str] = field(default_factory=list)
    logprobs: list[TokenLogprob] = field(default_factory=list)

    def part(self) -> WrittenText:
        return WrittenText(text="".join(self.text), logprobs=self.logprobs)

    def item(self, status: ItemStatus) -> OutputItem:
        return OutputMessage(id=self.id, status=status, content=[self.part()])


@dataclass(slots=True)
class _Refusal:
    """A message with a refusal in place of a text."""

    id: str
    text: list[str] = field(default_factory=list)

    def part(self) -> WrittenRefusal:
        return WrittenRefusal(refusal="".join(self.text))

    def item(self, status: ItemStatus) -> OutputItem:
        return OutputMessage(id=self.id, status=status, content=[self.part()])


@dataclass(slots=True)
class _Thoughts:
    """What the model thinks, as a summary of one part."""

    id: str
    text: list[str] = field(default_factory=list)

    def part(self) -> SummaryText:
        return SummaryText(text="".join(self.text))

    def item(self, status: ItemStatus) -> OutputItem:
        return ReasoningItem(id=self.id, status=status, summary=[self.part()])


@dataclass(slots=True)
class _Call:
    """A function call. `index` is its place among the calls of the chat answer."""

    id: str
    call_id: str
    index: int
    pieces: ToolCallBuilder = field(default_factory=ToolCallBuilder)

    def item(self, status: ItemStatus) -> OutputItem:
        return FunctionCallItem(
            id=self.id,
            status=status,
            call_id=self.call_id,
            name=self.pieces.name,
            arguments="".join(self.pieces.arguments),
        )


_Open = _Text | _Refusal | _Thoughts | _Call


class ResponseBuilder:
    """Writes one response: feed it deltas, send its events, read `response` at the end.

    Events are numbered without gaps from `sequence_number` on.
    """

    def __init__(self, response: Response, *, sequence_number: int = 0) -> None:
        self.response = response
        self.sequence_number = sequence_number
        self.output: list[OutputItem] = []
        self._open: _Open | None = None
        self._waiting: dict[int, ToolCallBuilder] = {}
        self._late: list[Delta] = []  # what came beside a function call
        self._finish_reason: FinishReason | None = None
        self._upstream_fields: dict[str, Any] = {}  # passed on unread

    # --- The beginning ---

    def created(self) -> ResponseEvent:
        """The first event of all."""
        return self._lifecycle("response.created")

    def queued(self) -> ResponseEvent:
        """The second event of a response in the background."""
        return self._lifecycle("response.queued")

    def in_progress(self) -> ResponseEvent:
        """The event after which the output begins."""
        return self._lifecycle("response.in_progress")

    # --- The output ---

    def add(self, delta: Delta) -> Iterable[ResponseEvent]:
        """The events that one delta becomes: none to many.

        Most deltas are a piece of the text that is open. There is one a token, so its
        event is written by itself; a test compares it with one written in general.
        """
        message = self._open
        if isinstance(message, _Text) and delta.content and _is_text_only(delta):
            message.text.append(delta.content)
            return (self._text_delta(message.id, delta.content),)
        return self._add(delta)

    def _text_delta(self, item_id: str, text: str) -> ResponseEvent:
        number = self.sequence_number
        self.sequence_number = number + 1
        written = to_json(text, ensure_ascii=True).decode("ascii")
        return ResponseEvent(
            TEXT_DELTA,
            f'{{"type":"{TEXT_DELTA}","sequence_number":{number},'
            f'"output_index":{len(self.output)},"item_id":"{item_id}",'
            f'"content_index":0,"delta":{written},"logprobs":[]}}',
        )

    def _add(self, delta: Delta) -> Iterator[ResponseEvent]:
        further = delta.further or {}
        if thoughts := _first_text(further, REASONING_FIELDS):
            yield from self._write_thoughts(thoughts)
        if delta.content:
            yield from self._write_text(delta)
        if refusal := _first_text(further, (REFUSAL_FIELD,)):
            yield from self._write_refusal(refusal)
        for piece in delta.tool_calls:
            yield from self._write_call(piece)
        for name, value in (delta.answer_fields or {}).items():
            if name not in OWN_FIELDS:
                self._upstream_fields[name] = value
        self._finish_reason = delta.finish_reason or self._finish_reason

    def _write_thoughts(self, text: str) -> Iterator[ResponseEvent]:
        if isinstance(self._open, _Call):
            self._late.append(Delta(further={REASONING_FIELDS[0]: text}))
            return
        thoughts = self._open
        if not isinstance(thoughts, _Thoughts):
            yield from self._close()
            thoughts = _Thoughts(self._new_id("rs"))
            yield from self._added(thoughts, {"summary": []})
            yield self._part(
                "response.reasoning_summary_part.added", SummaryText(text="")
            )
        thoughts.text.append(text)
        yield self._delta("response.reasoning_summary_text.delta", text)

    def _write_text(self, delta: Delta) -> Iterator[ResponseEvent]:
        if isinstance(self._open, _Call):
            self._late.append(Delta(content=delta.content, logprobs=delta.logprobs))
            return
        message = self._open
        if not isinstance(message, _Text):
            yield from self._close()
            message = _Text(self._new_id("msg"))
            yield from self._added(message, {"content": []})
            yield self._part("response.content_part.added", WrittenText(text=""))
        logprobs = (delta.logprobs and delta.logprobs.content) or []
        message.text.append(delta.content or "")
        message.logprobs += logprobs
        written = [chance.model_dump(mode="json") for chance in logprobs]
        yield self._delta(TEXT_DELTA, delta.content or "", logprobs=written)

    def _write_refusal(self, text: str) -> Iterator[ResponseEvent]:
        if isinstance(self._open, _Call):
            self._late.append(Delta(further={REFUSAL_FIELD: text}))
            return
        refusal = self._open
        if not isinstance(refusal, _Refusal):
            yield from self._close()
            refusal = _Refusal(self._new_id("msg"))
            yield from self._added(refusal, {"content": []})
            yield self._part("response.content_part.added", WrittenRefusal(refusal=""))
        refusal.text.append(text)
        yield self._delta("response.refusal.delta", text)

    def _write_call(self, piece: ToolCallDelta) -> Iterator[ResponseEvent]:
        """The first call goes out as it comes; pieces of others wait for its end."""
        call = self._open
        if not isinstance(call, _Call):
            yield from self._close()
            call = yield from self._open_call(piece)
        if piece.index != call.index:
            self._waiting.setdefault(piece.index, ToolCallBuilder()).add(piece)
            return
        call.pieces.add(piece)
        if piece.function.arguments:
            yield self._delta(
                "response.function_call_arguments.delta", piece.function.arguments
            )

    def _open_call(self, piece: ToolCallDelta) -> Generator[ResponseEvent, None, _Call]:
        """Open an item for a call; some upstreams give it no id."""
        call_id = piece.id or f"call_{secrets.token_hex(12)}"
        call = _Call(self._new_id("fc"), call_id, piece.index)
        named = {"name": piece.function.name or "", "arguments": ""}
        yield from self._added(call, {"call_id": call_id, **named})
        return call

    # --- The end ---

    def finish(self, usage: Usage) -> Iterator[ResponseEvent]:
        """What closes the output of an answer that came to its end.

        Afterwards `response` is what the terminal event, from `terminal`, will hold.
        """
        reason = INCOMPLETE_REASONS.get(self._finish_reason or "stop")
        yield from self._write_what_waited()
        if self._open is None:
            message = _Text(self._new_id("msg"))
            yield from self._added(message, {"content": []})
            yield self._part("response.content_part.added", WrittenText(text=""))
        yield from self._close("incomplete" if reason else "completed")
        details = IncompleteDetails(reason=reason) if reason else None
        self._end(
            "incomplete" if reason else "completed",
            usage=usage,
            incomplete_details=details,
            completed_at=None if reason else int(time.time()),
        )

    def _write_what_waited(self) -> Iterator[ResponseEvent]:
        """The calls and texts that came beside the first call, one after the other."""
        for index, builder in sorted(self._waiting.items()):
            yield from self._close()
            call = builder.build()
            piece = ToolCallDelta.model_validate({"index": index, **call})
            yield from self._write_call(piece)
        if self._late:
            yield from self._close()
        for delta in self._late:
            yield from self.add(delta)

    def fail(
        self, error: AIError, request_id: str | None, usage: Usage | None
    ) -> Iterator[ResponseEvent]:
        """The event that says why an answer broke off; `terminal` follows it.

        It has the fields that OpenAI documents, and the object `error`, which makes the
        official clients raise: without it they take the stream for a complete one.
        """
        body = error_body(named_here(error), request_id).error
        yield self._event(
            "error",
            code=body.code,
            message=body.message,
            param=body.param,
            error=body.model_dump(mode="json"),
        )
        self._break_off()
        self._end(
            "failed",
            usage=usage,
            error=ResponseError(
                code=body.code, message=body.message, type=body.type, param=body.param
            ),
        )

    def cancel(self) -> None:
        """End the response as its caller wished; `terminal` says so."""
        self._break_off()
        self._end("cancelled", usage=None)

    def _break_off(self) -> None:
        """Keep what was written of the open item, as incomplete."""
        if self._open is not None:
            self.output.append(self._open.item("incomplete"))
            self._open = None

    def terminal(self) -> ResponseEvent:
        """The last event, which holds the whole response.

        There is no `response.cancelled`: every client notices `response.failed`.
        """
        status = self.response.status
        kind = "failed" if status == "cancelled" else status
        return self._lifecycle(f"response.{kind}")

    def _end(
        self, status: ResponseStatus, *, usage: Usage | None, **fields: Any
    ) -> None:
        self.response = self.response.model_copy(
            update={
                **self._upstream_fields,
                "status": status,
                "output": self.output,
                "usage": None if usage is None else as_response_usage(usage),
                **fields,
            }
        )

    # --- Events ---

    def _close(self, status: ItemStatus = "completed") -> Iterator[ResponseEvent]:
        """The events that end the open item, if there is one."""
        match self._open:
            case _Thoughts() as thoughts:
                text = thoughts.part().text
                yield self._inside("response.reasoning_summary_text.done", text=text)
                yield self._part(
                    "response.reasoning_summary_part.done", thoughts.part()
                )
            case _Text() as message:
                part = message.part()
                written = [chance.model_dump(mode="json") for chance in part.logprobs]
                yield self._inside(
                    "response.output_text.done", text=part.text, logprobs=written
                )
                yield self._part("response.content_part.done", part)
            case _Refusal() as message:
                refused = message.part()
                yield self._inside("response.refusal.done", refusal=refused.refusal)
                yield self._part("response.content_part.done", refused)
            case _Call() as call:
                yield self._inside(
                    "response.function_call_arguments.done",
                    name=call.pieces.name,
                    arguments="".join(call.pieces.arguments),
                )
            case None:
                return
        item = self._open.item(status)
        yield self._event(
            "response.output_item.done",
            output_index=len(self.output),
            item=item.model_dump(mode="json"),
        )
        self.output.append(item)
        self._open = None

    def _added(self, opened: _Open, empty: dict[str, Any]) -> Iterator[ResponseEvent]:
        """The event that opens an item, in which nothing is written yet."""
        self._open = opened
        item = opened.item("in_progress").model_dump(mode="json") | empty
        yield self._event(
            "response.output_item.added", output_index=len(self.output), item=item
        )

    def _part(
        self, kind: str, part: WrittenText | WrittenRefusal | SummaryText
    ) -> ResponseEvent:
        return self._inside(kind, part=part.model_dump(mode="json"))

    def _delta(self, kind: str, text: str, **fields: Any) -> ResponseEvent:
        return self._inside(kind, delta=text, **fields)

    def _inside(self, kind: str, **fields: Any) -> ResponseEvent:
        """An event about the open item: where it stands, and which part is meant."""
        place: dict[str, Any] = {"output_index": len(self.output)}
        if self._open is not None:
            place["item_id"] = self._open.id
        if isinstance(self._open, _Thoughts):
            place["summary_index"] = 0
        elif not isinstance(self._open, _Call):
            place["content_index"] = 0
        return self._event(kind, **place, **fields)

    def _lifecycle(self, kind: str) -> ResponseEvent:
        return self._event(kind, response=self.response.model_dump(mode="json"))

    def _event(self, kind: str, **fields: Any) -> ResponseEvent:
        content = {"type": kind, "sequence_number": self.sequence_number, **fields}
        self.sequence_number += 1
        # ASCII only: some clients split lines at U+2028, which JSON allows in a string.
        return ResponseEvent(kind, to_json(content, ensure_ascii=True).decode("ascii"))

    def _new_id(self, kind: str) -> str:
        return output_id(kind, self.response.id, len(self.output))


def rebuilt(
    response: Response, events: Sequence[Event], *, sequence_number: int
) -> ResponseBuilder:
    """A builder as it was after these events of a log, to end what its writer began.

    The item that was open is kept as incomplete. `sequence_number` is the next one.
    """
    builder = ResponseBuilder(response, sequence_number=sequence_number)
    opened: dict[str, Any] | None = None
    part: dict[str, Any] = {}
    text: list[str] = []
    for event in events:
        fields = json.loads(event.data)
        if event.type == "response.output_item.added":
            opened, part, text = fields["item"], {}, []
        elif event.type.endswith("part.added"):
            part = fields["part"]
        elif event.type.endswith(".delta"):
            text.append(fields["delta"])
        elif event.type == "response.output_item.done":
            opened = None
            builder.output.append(OUTPUT_ITEM.validate_python(fields["item"]))
    if opened is not None:
        item = _filled(opened, part, "".join(text)) | {"status": "incomplete"}
        builder.output.append(OUTPUT_ITEM.validate_python(item))
    return builder


def _filled(item: dict[str, Any], part: dict[str, Any], text: str) -> dict[str, Any]:
    """An item that was added empty, with the text of its deltas."""
    if item["type"] == "function_call":
        return item | {"arguments": text}
    if not part:
        return item
    name = "refusal" if part["type"] == "refusal" else "text"
    where = "summary" if item["type"] == "reasoning" else "content"
    return item | {where: [part | {name: text}]}


def as_response_usage(usage: Usage) -> ResponseUsage:
    """The usage of a chat call in the words of this route."""
    details = (usage.model_extra or {}).get("completion_tokens_details")
    thoughts = details.get("reasoning_tokens") if isinstance(details, Mapping) else 0
    if type(thoughts) is not int:  # a boolean is no count
        thoughts = 0
    return ResponseUsage(
        input_tokens=usage.prompt_tokens,
        input_tokens_details=InputTokensDetails(cached_tokens=cached_tokens(usage)),
        output_tokens=usage.completion_tokens,
        output_tokens_details=OutputTokensDetails(
            reasoning_tokens=min(max(thoughts, 0), usage.completion_tokens)
        ),
        total_tokens=usage.total_tokens,
    )


def _is_text_only(delta: Delta) -> bool:
    """Whether a delta has nothing besides its content."""
    return not (
        delta.tool_calls
        or delta.further
        or delta.logprobs
        or delta.finish_reason
        or delta.answer_fields
    )


def _first_text(further: Mapping[str, Any], names: tuple[str, ...]) -> str:
    """The first of these fields that holds text: some upstreams send it twice."""
    for name in names:
        if isinstance(text := further.get(name), str) and text:
            return text
    return ""


def as_delta(message: Mapping[str, Any], finish_reason: FinishReason | None) -> Delta:
    """A whole chat message as one delta."""
    calls = message.get("tool_calls") or []
    known = {"role", "content", "tool_calls"}
    return Delta(
        content=message.get("content"),
        tool_calls=tuple(
            ToolCallDelta.model_validate({**call, "index": index})
            for index, call in enumerate(calls)
        ),
        finish_reason=finish_reason,
        further={name: value for name, value in message.items() if name not in known},
    )
