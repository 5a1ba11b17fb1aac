"""Deltas become one whole answer.

Source: OpenAI API reference (the chat completion object).
"""

import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from pydantic_core import to_json

from examples.full_app.providers.base import Delta
from examples.full_app.schemas.answers import (
    ChatCompletion,
    TokenLogprob,
    ToolCallDelta,
)
from examples.full_app.schemas.base import FinishReason
from examples.s2_models import Usage
from examples.s5_error_handling import ModelError


@dataclass(slots=True)
class ToolCallBuilder:
    """Collects the pieces of one tool call."""

    id: str = ""
    name: str = ""
    arguments: list[str] = field(default_factory=list)
    further: dict[str, Any] = field(default_factory=dict)

    def add(self, piece: ToolCallDelta) -> None:
        """Append one piece: `id` comes once, `name` and `arguments` bit by bit."""
        self.id = piece.id or self.id
        self.name += piece.function.name or ""
        self.arguments.append(piece.function.arguments or "")
        self.further |= piece.model_extra or {}

    def build(self) -> dict[str, Any]:
        """The whole call, as `ResponseToolCall` takes it."""
        function = {"name": self.name, "arguments": "".join(self.arguments)}
        return {**self.further, "id": self.id, "function": function}


@dataclass(slots=True)
class ChoiceBuilder:
    """Collects the deltas of one choice."""

    text: list[str] = field(default_factory=list)
    tool_calls: dict[int, ToolCallBuilder] = field(default_factory=dict)
    logprobs: list[TokenLogprob] = field(default_factory=list)
    finish_reason: FinishReason | None = None
    further: dict[str, Any] = field(default_factory=dict)
    choice_fields: dict[str, Any] = field(default_factory=dict)

    def add(self, delta: Delta) -> None:
        """Append one delta."""
        self.choice_fields |= delta.choice_fields or {}
        for name, value in (delta.further or {}).items():
            self.further[name] = joined(name, self.further.get(name), value)
        if delta.content is not None:
            self.text.append(delta.content)
        for piece in delta.tool_calls:
            self.tool_calls.setdefault(piece.index, ToolCallBuilder()).add(piece)
        if delta.logprobs is not None:
            self.logprobs += delta.logprobs.content or []
        self.finish_reason = delta.finish_reason or self.finish_reason

    def build(self, index: int) -> dict[str, Any]:
        """The whole choice, as `Choice` takes it."""
        text = "".join(self.text)
        tool_calls = [call.build() for _, call in sorted(self.tool_calls.items())]
        message = {
            **self.further,
            "content": text if text or self._needs_content(tool_calls) else None,
            "tool_calls": tool_calls or None,
        }
        return {
            **self.choice_fields,
            "index": index,
            "message": message,
            "finish_reason": self.finish_reason,
            "logprobs": {"content": self.logprobs} if self.logprobs else None,
        }

    def _needs_content(self, tool_calls: list[dict[str, Any]]) -> bool:
        """Whether an empty text is written as "" and not as null."""
        return not tool_calls and not self.further.get("refusal")


LOGPROB_BYTES = 70  # of one token with its probability and its bytes, as JSON


def size_of(delta: Delta) -> int:
    """About how many bytes a delta adds to an answer, counted without writing it."""
    size = _bytes_of(delta.content)
    for piece in delta.tool_calls:
        size += _bytes_of(piece.function.arguments)
    if delta.further:
        size += sum(_bytes_of(value) for value in delta.further.values())
    if delta.logprobs is not None:
        for token in delta.logprobs.content or []:
            size += LOGPROB_BYTES * (1 + len(token.top_logprobs))
    return size


def _bytes_of(value: object) -> int:
    if isinstance(value, str):
        return len(value) if value.isascii() else len(value.encode("utf-8", "replace"))
    return len(to_json(value)) if isinstance(value, dict | list) else 0


TEXTS_IN_PIECES = ("refusal", "reasoning", "thinking")


def joined(name: str, before: object, piece: Any) -> Any:
    """A further field after one more piece: texts of a model grow, and so do lists.

    Another value takes the place of the one before it.
    """
    if isinstance(before, list) and isinstance(piece, list):
        return before + piece
    grows = name.startswith(TEXTS_IN_PIECES)
    if grows and isinstance(before, str) and isinstance(piece, str):
        return before + piece
    return piece


async def collect(
    items: AsyncIterator[Delta | Usage],
    model: str,
    answer_id: str,
    charged_usd: Callable[[Usage], Decimal | None] = lambda usage: None,
) -> ChatCompletion:
    """One whole answer of a provider's items, with as many choices as it sent.

    `charged_usd` says what was charged for its usage, in USD; None without a price.
    Raises ModelError if the answer breaks off: a choice without a finish_reason, no
    choice at all, or no usage at the end.
    """
    builders: dict[int, ChoiceBuilder] = {}
    answer_fields: dict[str, Any] = {}
    usage: Usage | None = None
    async for item in items:
        if isinstance(item, Usage):
            usage = item
        else:
            builders.setdefault(item.index, ChoiceBuilder()).add(item)
            answer_fields |= item.answer_fields or {}
    unfinished = [b for b in builders.values() if b.finish_reason is None]
    if usage is None or unfinished or not builders:
        raise ModelError("The model's answer broke off.")
    # Pydantic builds models within models in one go, and checks each of them once.
    return ChatCompletion.model_validate(
        {
            **answer_fields,
            "id": answer_id,
            "created": int(time.time()),
            "model": model,
            "choices": [each.build(index) for index, each in sorted(builders.items())],
            "usage": usage,
            "charged_usd": charged_usd(usage),
        }
    )
