"""What an upstream's answer says, whole or streamed, as deltas and a usage.

`AnswerReader` keeps what has to be known from one event of a stream to the next: which
choices have begun and finished, which tool calls, and the half of a character that a
piece ended in. How a single value is read is in `tolerance.py`.
Source: OpenAI API reference (chat completion, chunk object).
"""

import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from examples.full_app.providers.base import Delta
from examples.full_app.providers.upstream.errors import (
    UnreadableAnswerError,
    UpstreamError,
    reason_in,
)
from examples.full_app.providers.upstream.further_fields import FurtherFields
from examples.full_app.providers.upstream.tolerance import (
    REPLACEMENT,
    arguments_of,
    ends_in_half,
    finish_reason_of,
    logprobs_of,
    parse_json,
    plain,
    text_of,
    thinking_of,
    usage_of,
    whole_characters,
)
from examples.full_app.schemas.answers import FunctionDelta, ToolCallDelta
from examples.full_app.schemas.base import FinishReason
from examples.s2_models import Usage

# What is not passed on as a further field of a message.
KNOWN_FIELDS = frozenset({"role", "content", "tool_calls", "function_call", "index"})


@dataclass(slots=True)
class _ToolCall:
    """One tool call of a choice, as far as it has come."""

    index: int
    sent_id: str | None  # the upstream's own, if it gave one
    name: str = ""


@dataclass(slots=True)
class _Choice:
    """One choice, as far as it has come."""

    index: int
    calls: list[_ToolCall] = field(default_factory=list)
    by_index: dict[int, _ToolCall] = field(default_factory=dict)
    ids: set[str] = field(default_factory=set)
    halves: dict[str, str] = field(default_factory=dict)
    finished: bool = False
    said_empty_reason: bool = False


class AnswerReader:
    """Reads one answer of up to `choices` choices.

    An answer is complete when at least one choice has begun and all that have begun
    have finished: some upstreams ignore `n`.
    """

    def __init__(self, choices: int) -> None:
        self._limit = choices
        self._choices: dict[int, _Choice] = {}
        self._numbers: dict[int, int] = {}  # the upstream's numbers, as ours
        self._further = FurtherFields()
        self._answer_fields: dict[str, Any] = {}  # that came before any choice

    @property
    def complete(self) -> bool:
        """Whether all choices that have begun have finished."""
        begun = self._choices.values()
        return bool(begun) and all(choice.finished for choice in begun)

    @property
    def has_all_choices(self) -> bool:
        """Whether every choice that was asked for has finished."""
        return self.complete and len(self._choices) >= self._limit

    def event(self, kind: bytes, data: bytes) -> Iterator[Delta | Usage]:
        """What one event of a stream says.

        Raises UpstreamError if it says that the answer failed, and ValueError if it is
        no JSON. Neither can spoil an answer that is complete.
        """
        if not data:
            return
        try:
            value = parse_json(data)
        except ValueError:
            if self.complete:
                return
            if kind == b"error":
                raise UpstreamError(data.decode("utf-8", "replace")[:500]) from None
            raise
        error = error_in(value, is_error=kind == b"error")
        if error is not None and not self.complete:
            raise error
        if isinstance(value, dict):
            yield from self._items(value, whole=False)

    def answer(self, data: bytes) -> Iterator[Delta | Usage]:
        """What a whole answer says, also as the one entry of a list.

        It may be the chunks of a stream, too, each in a line of its own. Raises as
        `event` does, and without a choice.
        """
        try:
            value = parse_json(data)
        except ValueError:
            yield from self._json_lines(data)
        else:
            error = error_in(value)
            if error is not None:
                raise error
            if isinstance(value, list) and len(value) == 1:
                value = value[0]
            if isinstance(value, dict):
                yield from self._items(value, whole=True)
        if not self._choices:
            raise UnreadableAnswerError("The upstream sent no answer.")

    def _json_lines(self, data: bytes) -> Iterator[Delta | Usage]:
        """What chunks say that come without `data:`. Raises as `event` does."""
        for line in data.splitlines():
            chunk = line.strip()
            if chunk == b"[DONE]":
                yield from self.end()
            else:
                yield from self.event(b"message", chunk)

    def end(self) -> Iterator[Delta]:
        """Finish the choices whose last reason to finish was an empty text."""
        for choice in self._choices.values():
            if choice.said_empty_reason and not choice.finished:
                choice.finished = True
                yield Delta(choice.index, finish_reason="stop")

    def _items(self, value: dict[str, Any], *, whole: bool) -> Iterator[Delta | Usage]:
        self._answer_fields |= self._further.of_answer(value)
        for delta in self._deltas(value.get("choices"), whole=whole):
            if self._answer_fields:
                delta.answer_fields = self._answer_fields
                self._answer_fields = {}
            yield delta
        if self._answer_fields and self._choices:
            # In a delta that says nothing else: some clients fail without a choice.
            yield Delta(next(iter(self._choices)), answer_fields=self._answer_fields)
            self._answer_fields = {}
        usage = usage_of(value.get("usage"))
        if usage is not None:
            yield usage

    def _deltas(self, listed: object, *, whole: bool) -> Iterator[Delta]:
        """What the choices of a whole answer or of a chunk say."""
        entries = listed if isinstance(listed, list) else [listed]
        for position, entry in enumerate(entries):
            if not isinstance(entry, dict):
                continue
            message = _message_of(entry)
            says_nothing = not message and entry.get("finish_reason") is None
            sent = _number(entry.get("index"), position)
            if says_nothing and sent not in self._numbers:
                continue  # a choice that begins so may never finish
            choice = self._choice_of(sent)
            if choice is None:
                continue
            fields = self._further.of_choice(choice.index, entry)
            if says_nothing and not fields:
                continue
            delta = self._delta(choice, entry, message, whole=whole)
            delta.choice_fields = fields or None
            yield delta

    def _choice_of(self, sent: int) -> _Choice | None:
        """The choice with this number; None for more choices than were asked for.

        A number that is out of range (some upstreams count from 1) becomes the first
        that is free.
        """
        if sent not in self._numbers:
            taken = set(self._numbers.values())
            free = [number for number in range(self._limit) if number not in taken]
            if not free:
                return None
            self._numbers[sent] = sent if sent in free else free[0]
        number = self._numbers[sent]
        if number not in self._choices:
            self._choices[number] = _Choice(number)
        return self._choices[number]

    def _delta(
        self,
        choice: _Choice,
        entry: dict[str, Any],
        message: dict[str, Any],
        *,
        whole: bool,
    ) -> Delta:
        calls = self._tool_calls(choice, message, whole=whole)
        reason = self._finish_reason(choice, entry, bool(calls), whole=whole)
        content = message.get("content")
        text = self._text(choice, "content", text_of(content), ends=reason is not None)
        further = self._further_fields(choice, message, ends=reason is not None)
        if thinking := thinking_of(content):
            further["reasoning_content"] = whole_characters(thinking)
        return Delta(
            index=choice.index,
            content=text,
            tool_calls=tuple(calls),
            finish_reason=reason,
            logprobs=logprobs_of(entry.get("logprobs")),
            further=further or None,
        )

    def _finish_reason(
        self, choice: _Choice, entry: dict[str, Any], calls: bool, *, whole: bool
    ) -> FinishReason | None:
        sent = entry.get("finish_reason")
        if sent == "error":
            raise UpstreamError(reason_in(entry) or "The upstream failed.")
        if whole:
            unnamed: FinishReason = "tool_calls" if calls else "stop"
            reason = unnamed if sent in (None, "") else finish_reason_of(sent)
        else:
            choice.said_empty_reason = sent == ""
            reason = None if sent == "" else finish_reason_of(sent)
        choice.finished = choice.finished or reason is not None
        return reason

    def _text(
        self, choice: _Choice, name: str, piece: str | None, *, ends: bool
    ) -> str | None:
        """A piece of a text, whose characters are whole.

        Half of a surrogate pair at its end is kept for the next piece.
        """
        half = choice.halves.pop(name, "")
        if piece is None:
            if half and ends:
                return REPLACEMENT
            if half:
                choice.halves[name] = half
            return None
        text = half + piece
        if not ends and ends_in_half(text):
            choice.halves[name] = text[-1]
            text = text[:-1]
        return whole_characters(text)

    def _further_fields(
        self, choice: _Choice, message: dict[str, Any], *, ends: bool
    ) -> dict[str, Any]:
        """Fields of the message that we do not read, under the upstream's names."""
        further: dict[str, Any] = {}
        for name, value in message.items():
            if name in KNOWN_FIELDS or value is None:
                continue
            if name == "refusal":
                value = text_of(value)  # the official clients read no other type
            if isinstance(value, str):
                value = self._text(choice, name, value, ends=ends)
            further[whole_characters(name)] = plain(value)
        return further

    def _tool_calls(
        self, choice: _Choice, message: dict[str, Any], *, whole: bool
    ) -> list[ToolCallDelta]:
        listed = message.get("tool_calls")
        if not listed and isinstance(message.get("function_call"), dict):
            listed = [{"index": 0, "function": message["function_call"]}]
        if not listed:
            return []
        pieces = listed if isinstance(listed, list) else [listed]
        deltas = [
            self._tool_call(choice, piece, whole=whole)
            for piece in pieces
            if isinstance(piece, dict)
        ]
        return [delta for delta in deltas if delta is not None]

    def _tool_call(
        self, choice: _Choice, piece: dict[str, Any], *, whole: bool
    ) -> ToolCallDelta | None:
        """A piece with what is missing filled in; None if nothing is left to send.

        In a whole answer each piece is a call of its own.
        """
        function = piece.get("function")
        if not isinstance(function, dict):
            function = piece
        name = function.get("name")
        name = whole_characters(name) if isinstance(name, str) else ""
        arguments = arguments_of(function.get("arguments"))
        sent_id = piece.get("id") if isinstance(piece.get("id"), str) else None
        known = {"index", "id", "type", "function", "name", "arguments"}
        further = {
            whole_characters(key): plain(value)
            for key, value in piece.items()
            if key not in known and value is not None
        }
        call = None
        if not whole:
            call = self._call_of(choice, piece.get("index"), sent_id or None, name)
        first = call is None
        if call is None:
            call = _ToolCall(len(choice.calls), sent_id or None)
            choice.calls.append(call)
            choice.by_index[_number(piece.get("index"), call.index)] = call
        repeated = name == call.name  # some upstreams name the function in each piece
        if not repeated:
            call.name += name
        written = self._text(choice, f"call {call.index}", arguments, ends=False) or ""
        if not first and repeated and not written and not further:
            return None
        return ToolCallDelta.model_validate(
            {
                **further,
                "index": call.index,
                "id": self._new_id(choice, call.sent_id) if first else None,
                "type": "function" if first else None,
                "function": FunctionDelta(
                    name=name if first or not repeated else None, arguments=written
                ),
            }
        )

    def _call_of(
        self, choice: _Choice, index: object, sent_id: str | None, name: str
    ) -> _ToolCall | None:
        """The call that a piece continues; None if it begins one.

        By its index; without one by its id, unless it names another function; without
        both it continues the last call, unless it names a function. Some upstreams give
        every call the index 0: another id beside a name begins another call.
        """
        if type(index) is int:
            call = choice.by_index.get(index)
            if call is None or not (sent_id and name and call.sent_id):
                return call
            return call if call.sent_id == sent_id else None
        if sent_id is not None:
            same = [call for call in choice.calls if call.sent_id == sent_id]
            if not same or (name and name != same[-1].name):
                return None
            return same[-1]
        return choice.calls[-1] if choice.calls and not name else None

    def _new_id(self, choice: _Choice, sent_id: str | None) -> str:
        """The upstream's id, or one made here if it has none or used it before."""
        own = whole_characters(sent_id) if sent_id else ""
        if not own or own in choice.ids:
            own = f"call_{secrets.token_hex(12)}"
        choice.ids.add(own)
        return own


def _number(index: object, otherwise: int) -> int:
    return index if type(index) is int else otherwise


def _message_of(entry: dict[str, Any]) -> dict[str, Any]:
    """The delta or the message of a choice, whichever it has; else its bare text."""
    for name in ("delta", "message"):
        value = entry.get(name)
        if isinstance(value, dict):
            return value
        if isinstance(value, str):
            return {"content": value}
    return {"content": entry["text"]} if "text" in entry else {}


def error_in(value: object, *, is_error: bool = False) -> UpstreamError | None:
    """The error that an event, or a body with status 200, is in truth."""
    holders = value if isinstance(value, list) else [value]
    for holder in holders:
        if isinstance(holder, dict) and holder.get("error"):
            return UpstreamError(reason_in(holder) or "The upstream failed.")
    if isinstance(value, dict):
        if value.get("choices"):
            return None
        is_error = is_error or value.get("object") == "error"
    if is_error:
        return UpstreamError(reason_in(value) or "The upstream failed.")
    return None
