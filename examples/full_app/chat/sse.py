"""Deltas become bytes: the `data:` frames of a stream.

Frames are written by hand around the JSON of the text, because a chunk's envelope
never changes within a stream; a test holds every frame against `ChatCompletionChunk`.
Source: OpenAI API reference (chunk object), WHATWG HTML (server-sent events).
"""

import json
import time
from dataclasses import dataclass, field
from json.encoder import encode_basestring_ascii as _quoted

from examples.full_app.ids import random_hex
from examples.full_app.providers.base import Delta
from examples.full_app.schemas.answers import (
    ChunkChoice,
    ChunkDelta,
)
from examples.s2_models import Usage

DONE = b"data: [DONE]\n\n"
PING = b": ping\n"  # one newline: two end an event, and the official client trips


def new_id() -> str:
    """The id of an answer: nobody can guess it."""
    return f"chatcmpl-{random_hex()}"


@dataclass(slots=True)
class ChunkWriter:
    """Writes the frames of one stream; the first of each choice carries the role."""

    model: str
    id: str = field(default_factory=new_id)
    created: int = field(default_factory=lambda: int(time.time()))
    _head: str = field(init=False)
    _opened: set[int] = field(default_factory=set)
    _finished: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._head = (
            f'data: {{"id":"{self.id}","object":"chat.completion.chunk",'
            f'"created":{self.created},"model":{_quoted(self.model)},"choices":['
        )

    def complete(self, choices: int) -> bool:
        """Whether each of the choices 0..choices-1 has had its finish_reason."""
        return self._finished.issuperset(range(choices))

    def delta(self, delta: Delta) -> bytes:
        """The frame, or frames, of one delta."""
        opening, index, reason = "", delta.index, "null"
        if delta.finish_reason is not None:
            self._finished.add(index)
            reason = _quoted(delta.finish_reason)
        if index not in self._opened:
            self._opened.add(index)
            opening = (
                f'{self._head}{{"index":{index},"delta":{{"role":"assistant",'
                '"content":""},"finish_reason":null}]}\n\n'
            )
        if delta.tool_calls or delta.logprobs:
            return f"{opening}{self._head}{_slow_choice(delta)}]}}\n\n".encode()
        said = "" if delta.content is None else f'"content":{_quoted(delta.content)}'
        return (
            f'{opening}{self._head}{{"index":{index},"delta":{{{said}}},'
            f'"finish_reason":{reason}}}]}}\n\n'
        ).encode("ascii")

    def usage(self, usage: Usage) -> bytes:
        """The last frame, for callers who asked for it: no choices, only usage."""
        return f'{self._head}],"usage":{usage.model_dump_json()}}}\n\n'.encode()


def _slow_choice(delta: Delta) -> str:
    """Tool calls and logprobs are rare enough to go through the models."""
    choice = ChunkChoice(
        index=delta.index,
        delta=ChunkDelta(
            content=delta.content, tool_calls=list(delta.tool_calls) or None
        ),
        finish_reason=delta.finish_reason,
        logprobs=delta.logprobs,
    )
    text = choice.model_dump(mode="json", exclude_none=True)
    return json.dumps({"finish_reason": None, **text})
