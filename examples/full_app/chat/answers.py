"""Deltas become one whole answer: the model of it, or its bytes.

Of an answer that is only text the bytes are written around the text, which costs a
third of building the models and having them write; a test holds every byte against
`ChatCompletion`. All others are written by it.
Source: OpenAI API reference (the chat completion object).
"""

import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic_core import to_json

from examples.full_app.chat.sse import new_id
from examples.full_app.providers.base import Delta
from examples.full_app.schemas.answers import (
    ChatCompletion,
    TokenLogprob,
    ToolCallDelta,
)
from examples.full_app.schemas.base import FinishReason
from examples.s2_models import Usage, price_usd
from examples.s5_error_handling import ModelError

LONGEST_TEXT = 1_000_000  # characters; what is longer, the models refuse


@dataclass(slots=True)
class _Call:
    id: str = ""
    name: str = ""
    arguments: list[str] = field(default_factory=list)


@dataclass(slots=True)
class ChoiceBuilder:
    """Collects the deltas of one choice."""

    text: list[str] = field(default_factory=list)
    calls: dict[int, _Call] = field(default_factory=dict)
    logprobs: list[TokenLogprob] = field(default_factory=list)
    finish_reason: FinishReason | None = None

    @property
    def plain(self) -> bool:
        """Whether there is nothing but text in it, as much as there may be."""
        simple = not self.calls and not self.logprobs
        return simple and sum(map(len, self.text)) <= LONGEST_TEXT

    def add(self, delta: Delta) -> None:
        """Append one delta."""
        if delta.content is not None:
            self.text.append(delta.content)
        for piece in delta.tool_calls:
            self._add_call(piece)
        if delta.logprobs is not None:
            self.logprobs += delta.logprobs.content or []
        self.finish_reason = delta.finish_reason or self.finish_reason

    def _add_call(self, piece: ToolCallDelta) -> None:
        call = self.calls.setdefault(piece.index, _Call())
        call.id = piece.id or call.id
        call.name = piece.function.name or call.name
        call.arguments.append(piece.function.arguments or "")

    def build(self, index: int) -> dict[str, Any]:
        """The whole choice, as `Choice` takes it."""
        calls = [
            {
                "id": call.id,
                "function": {
                    "name": call.name,
                    "arguments": "".join(call.arguments),
                },
            }
            for _, call in sorted(self.calls.items())
        ]
        text = "".join(self.text)
        message = {
            "content": text if text or not calls else None,
            "tool_calls": calls or None,
        }
        return {
            "index": index,
            "message": message,
            "finish_reason": self.finish_reason,
            "logprobs": {"content": self.logprobs} if self.logprobs else None,
        }


async def collect(
    deltas: AsyncIterator[Delta | Usage], model: str, choices: int, answer_id: str = ""
) -> ChatCompletion:
    """One whole answer of a provider's deltas. Raises ModelError if it breaks off."""
    builders, usage = await _gathered(deltas, choices)
    return _modelled(builders, usage, model, answer_id or new_id())


async def collect_json(
    deltas: AsyncIterator[Delta | Usage], model: str, choices: int, answer_id: str
) -> bytes:
    """The same as JSON, to the byte what `collect`'s would be."""
    builders, usage = await _gathered(deltas, choices)
    if usage.model_extra or not all(builder.plain for builder in builders):
        answer = _modelled(builders, usage, model, answer_id)
        return answer.model_dump_json().encode("utf-8")
    return _written(builders, usage, model, answer_id)


async def _gathered(
    deltas: AsyncIterator[Delta | Usage], choices: int
) -> tuple[list[ChoiceBuilder], Usage]:
    builders = [ChoiceBuilder() for _ in range(choices)]
    usage: Usage | None = None
    async for item in deltas:
        if isinstance(item, Usage):
            usage = item
        else:
            builders[item.index].add(item)
    if usage is None:
        raise ModelError("The model's answer broke off.")
    for builder in builders:
        if builder.finish_reason is None:
            raise ModelError("The model's answer broke off.")
    return builders, usage


def _modelled(
    builders: Sequence[ChoiceBuilder], usage: Usage, model: str, answer_id: str
) -> ChatCompletion:
    """Pydantic builds the models within one another in one go, and checks each once."""
    return ChatCompletion.model_validate(
        {
            "id": answer_id,
            "created": int(time.time()),
            "model": model,
            "choices": [each.build(index) for index, each in enumerate(builders)],
            "usage": usage,
        }
    )


def _written(
    builders: Sequence[ChoiceBuilder], usage: Usage, model: str, answer_id: str
) -> bytes:
    choices = b",".join(
        b'{"index":%d,"message":{"role":"assistant","content":%b,"refusal":null},'
        b'"finish_reason":%b,"logprobs":null}'
        % (index, to_json("".join(each.text)), to_json(each.finish_reason))
        for index, each in enumerate(builders)
    )
    read, wrote = usage.prompt_tokens, usage.completion_tokens
    price = price_usd(model, read, wrote)
    return (
        b'{"id":%b,"object":"chat.completion","created":%d,"model":%b,"choices":[%b],'
        b'"usage":{"prompt_tokens":%d,"completion_tokens":%d,"total_tokens":%d},'
        b'"system_fingerprint":null,"cost_usd":%b}'
    ) % (
        to_json(answer_id),
        int(time.time()),
        to_json(model),
        choices,
        read,
        wrote,
        read + wrote,
        b"null" if price is None else b'"%b"' % f"{price:f}".encode("ascii"),
    )
