"""Deltas become one whole answer.

Source: OpenAI API reference (the chat completion object).
"""

import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

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

    def add(self, piece: ToolCallDelta) -> None:
        """Append one piece: `id` and `name` come once, `arguments` bit by bit."""
        self.id = piece.id or self.id
        self.name = piece.function.name or self.name
        self.arguments.append(piece.function.arguments or "")

    def build(self) -> dict[str, Any]:
        """The whole call, as `ToolCall` takes it."""
        function = {"name": self.name, "arguments": "".join(self.arguments)}
        return {"id": self.id, "function": function}


@dataclass(slots=True)
class ChoiceBuilder:
    """Collects the deltas of one choice."""

    text: list[str] = field(default_factory=list)
    tool_calls: dict[int, ToolCallBuilder] = field(default_factory=dict)
    logprobs: list[TokenLogprob] = field(default_factory=list)
    finish_reason: FinishReason | None = None

    def add(self, delta: Delta) -> None:
        """Append one delta."""
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
            "content": text if text or not tool_calls else None,
            "tool_calls": tool_calls or None,
        }
        return {
            "index": index,
            "message": message,
            "finish_reason": self.finish_reason,
            "logprobs": {"content": self.logprobs} if self.logprobs else None,
        }


async def collect(
    items: AsyncIterator[Delta | Usage], model: str, choices: int, answer_id: str
) -> ChatCompletion:
    """One whole answer of a provider's items.

    Raises ModelError if the answer breaks off: a choice without a finish_reason, or no
    usage at the end.
    """
    builders = [ChoiceBuilder() for _ in range(choices)]
    usage: Usage | None = None
    async for item in items:
        if isinstance(item, Usage):
            usage = item
        else:
            builders[item.index].add(item)
    complete = all(builder.finish_reason is not None for builder in builders)
    if usage is None or not complete:
        raise ModelError("The model's answer broke off.")
    # Pydantic builds models within models in one go, and checks each of them once.
    return ChatCompletion.model_validate(
        {
            "id": answer_id,
            "created": int(time.time()),
            "model": model,
            "choices": [each.build(index) for index, each in enumerate(builders)],
            "usage": usage,
        }
    )
