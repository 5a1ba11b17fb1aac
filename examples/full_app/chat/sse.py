"""The events of a call as JSON chunks, and as the frames of a stream.

`ChunkSerializer` writes the JSON of chunks, for every edge that sends them. `SSEFrames`
puts them into server-sent events. The fields that are the same in every chunk of a
stream are written once; a test compares every frame with `ChatCompletionChunk`.
Sources: OpenAI API reference (the chunk object); WHATWG HTML (server-sent events).
"""

import time
from collections.abc import Mapping
from typing import Any

from pydantic_core import to_json

from examples.full_app.chat.call import CallEvent, Done, Failed
from examples.full_app.errors import error_body
from examples.full_app.providers.base import Delta
from examples.full_app.schemas.base import FinishReason
from examples.s2_models import Usage

DONE = "[DONE]"
IN_EACH_CHUNK = ("service_tier", "system_fingerprint")


class ChunkSerializer:
    """Writes the chunks of one answer as JSON; a choice's first carries its role.

    `include_usage` is the caller's `stream_options`: without it no usage is sent.
    Further fields of the answer and of a choice are in the first chunk of their item.
    Those in `IN_EACH_CHUNK` are in all that follow, too, as OpenAI has them.
    """

    def __init__(self, answer_id: str, model: str, *, include_usage: bool) -> None:
        self.include_usage = include_usage
        self._in_each_chunk: dict[str, Any] = {
            "id": answer_id,
            "object": "chat.completion.chunk",
            "created": int(time.time()),
            "model": model,
        }
        self._envelope = _without_end(self._in_each_chunk)
        self._opened: set[int] = set()

    def chunks(self, item: Delta | Usage) -> list[str]:
        """The JSON texts that one item of the answer becomes: none, one or two."""
        if not isinstance(item, Delta):
            return [self._usage(item)] if self.include_usage else []
        envelope, fields = self._envelope, item.choice_fields or {}
        if item.answer_fields:
            envelope = self._envelope_with(item.answer_fields)
        texts = []
        if item.index not in self._opened:
            self._opened.add(item.index)
            delta: dict[str, Any] = {"role": "assistant", "content": ""}
            texts.append(_chunk(envelope, _choice(item.index, delta, fields)))
            envelope, fields = self._envelope, {}
        choice = _choice(item.index, _delta_fields(item), fields, item.finish_reason)
        if item.logprobs is not None:
            choice["logprobs"] = item.logprobs.model_dump(
                mode="json", exclude_none=True
            )
        texts.append(_chunk(envelope, choice))
        return texts

    def _envelope_with(self, fields: Mapping[str, Any]) -> str:
        """The envelope of chunks that have these fields, too."""
        lasting = {name: fields[name] for name in IN_EACH_CHUNK if name in fields}
        if lasting:
            self._in_each_chunk |= lasting
            self._envelope = _without_end(self._in_each_chunk)
        return _without_end({**fields, **self._in_each_chunk})

    def _usage(self, usage: Usage) -> str:
        """The last chunk: no choices, only usage."""
        return f'{self._envelope},"choices":[],"usage":{usage.model_dump_json()}}}'


def _without_end(envelope: Mapping[str, Any]) -> str:
    """The JSON of a chunk up to its choices.

    ASCII only: some clients split lines at U+2028, which JSON allows in a string.
    """
    text = to_json(envelope, ensure_ascii=True).decode("ascii")
    return text.removesuffix("}")


def _choice(
    index: int,
    delta: Mapping[str, Any],
    fields: Mapping[str, Any],
    finish_reason: FinishReason | None = None,
) -> dict[str, Any]:
    return {**fields, "index": index, "delta": delta, "finish_reason": finish_reason}


def _chunk(envelope: str, choice: Mapping[str, Any]) -> str:
    text = to_json(choice, ensure_ascii=True).decode("ascii")
    return f'{envelope},"choices":[{text}]}}'


class SSEFrames:
    """Encodes the events of one call as `data:` frames, ready to be sent.

    A complete answer ends with `data: [DONE]`. One that broke off ends with an error
    body, and without `[DONE]`: a client that waits for it notices.
    """

    def __init__(self, chunks: ChunkSerializer, request_id: str) -> None:
        self.chunks = chunks
        self.request_id = request_id

    def encode(self, event: CallEvent) -> bytes:
        """The frames of one event; empty for a usage that nobody asked for."""
        match event:
            case Delta() | Usage():
                texts = self.chunks.chunks(event)
            case Done():
                texts = [DONE]
            case Failed(error):
                texts = [error_body(error, self.request_id).model_dump_json()]
        return "".join([f"data: {text}\n\n" for text in texts]).encode()


def _delta_fields(item: Delta) -> dict[str, Any]:
    """The `delta` object: only what this step adds."""
    fields: dict[str, Any] = dict(item.further) if item.further else {}
    if item.content is not None:
        fields["content"] = item.content
    if item.tool_calls:
        fields["tool_calls"] = [
            piece.model_dump(mode="json", exclude_none=True)
            for piece in item.tool_calls
        ]
    return fields
