"""What an upstream's answers say, read straight from their bytes into what is kept.

Only the fields that become deltas are looked at: the envelope of a chunk costs more to
validate than its text. Source: OpenAI API reference (chat completion, chunk object).
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from pydantic import TypeAdapter

from examples.full_app.providers.base import Delta
from examples.full_app.providers.upstream.errors import UpstreamError
from examples.full_app.schemas.answers import (
    ChoiceLogprobs,
    FunctionDelta,
    ToolCallDelta,
)
from examples.full_app.schemas.base import FinishReason
from examples.s2_models import Usage


@dataclass(slots=True)
class _Change:
    content: str | None = None
    tool_calls: list[ToolCallDelta] | None = None


@dataclass(slots=True)
class _ChunkChoice:
    index: int
    delta: _Change
    finish_reason: FinishReason | None = None
    logprobs: ChoiceLogprobs | None = None


@dataclass(slots=True)
class _Chunk:
    choices: list[_ChunkChoice] = field(default_factory=list)
    usage: Usage | None = None
    error: Any = None


@dataclass(slots=True)
class _ToolCall:
    id: str
    function: FunctionDelta


@dataclass(slots=True)
class _Message:
    content: str | None = None
    tool_calls: list[_ToolCall] | None = None


@dataclass(slots=True)
class _Choice:
    index: int
    message: _Message
    finish_reason: FinishReason | None = None
    logprobs: ChoiceLogprobs | None = None


@dataclass(slots=True)
class _Answer:
    choices: list[_Choice] = field(default_factory=list)
    usage: Usage | None = None
    error: Any = None


_CHUNK = TypeAdapter(_Chunk)
_ANSWER = TypeAdapter(_Answer)


def items_of_chunk(data: bytes) -> Iterator[Delta | Usage]:
    """What one event of a stream says.

    Raises UpstreamError when it says that the answer failed, ValueError (pydantic's
    too) when it is no chunk.
    """
    chunk = _CHUNK.validate_json(data)
    _check(chunk.error)
    for choice in chunk.choices:
        yield Delta(
            index=choice.index,
            content=choice.delta.content,
            tool_calls=tuple(choice.delta.tool_calls or ()),
            finish_reason=choice.finish_reason,
            logprobs=choice.logprobs,
        )
    if chunk.usage is not None:
        yield chunk.usage


def items_of_answer(data: bytes) -> Iterator[Delta | Usage]:
    """What a whole answer says: a delta a choice. Raises as `items_of_chunk` does."""
    answer = _ANSWER.validate_json(data)
    _check(answer.error)
    for choice in answer.choices:
        yield Delta(
            index=choice.index,
            content=choice.message.content,
            tool_calls=tuple(_calls(choice.message.tool_calls or [])),
            finish_reason=choice.finish_reason,
            logprobs=choice.logprobs,
        )
    if answer.usage is not None:
        yield answer.usage


def _calls(calls: list[_ToolCall]) -> Iterator[ToolCallDelta]:
    for index, call in enumerate(calls):
        yield ToolCallDelta(
            index=index, id=call.id, type="function", function=call.function
        )


def _check(error: Any) -> None:
    if error is not None:
        said = error.get("message") if isinstance(error, dict) else None
        raise UpstreamError(str(said or "The upstream failed.")[:500])
