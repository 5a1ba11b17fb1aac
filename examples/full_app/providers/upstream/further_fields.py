"""What an upstream says of an answer beside OpenAI's fields, to be passed on unread.

Upstreams add fields to an answer and to its choices: the sources of a text, what a
filter found in it, times of the work. Clients of that upstream know them.
"""

from collections.abc import Mapping
from typing import Any

from pydantic_core import to_json

from examples.full_app.providers.upstream.tolerance import plain, whole_characters
from examples.full_app.schemas.answers import ChatCompletion, ChatCompletionChunk
from examples.full_app.schemas.catalogue import EmbeddingResponse, EmbeddingUsage

MAX_FURTHER_BYTES = 1024 * 1024  # of one answer with its choices, as JSON

# Fields that OpenAI defines and this service does not make itself.
TEXTS_OF_ANSWER = frozenset({"system_fingerprint", "service_tier"})
# What this service says itself, and no upstream in its place. A client reads `error` as
# the failure of the answer.
OWN_OF_ANSWER = (
    frozenset(
        {
            "error",
            *ChatCompletion.model_fields,
            *ChatCompletion.model_computed_fields,
            *ChatCompletionChunk.model_fields,
        }
    )
    - TEXTS_OF_ANSWER
)
OWN_OF_CHOICE = frozenset(
    {"error", "index", "message", "delta", "text", "finish_reason", "logprobs"}
)
OWN_OF_VECTORS = frozenset({"error", "embeddings", *EmbeddingResponse.model_fields})
OWN_OF_VECTORS_USAGE = frozenset(EmbeddingUsage.model_fields)


class FurtherFields:
    """The fields of one answer, and of its choices, that are passed on.

    A stream may repeat a field in each of its chunks. So a value is passed on when it
    first comes, and again when it has changed. What would make all of them together
    larger than `MAX_FURTHER_BYTES` is left out: the answer itself is not lost for it.
    """

    def __init__(self) -> None:
        self._passed: dict[tuple[str | int, str], Any] = {}
        self._room = MAX_FURTHER_BYTES

    def of_answer(self, answer: Mapping[str, Any]) -> dict[str, Any]:
        """What is new in a whole answer or a chunk, beside its choices."""
        fields = self._new("answer", answer, OWN_OF_ANSWER)
        return {
            name: value
            for name, value in fields.items()
            if name not in TEXTS_OF_ANSWER or isinstance(value, str)
        }

    def of_choice(self, index: int, choice: Mapping[str, Any]) -> dict[str, Any]:
        """What is new in the choice with this index, beside its message."""
        return self._new(index, choice, OWN_OF_CHOICE)

    def of_vectors(self, answer: Mapping[str, Any]) -> dict[str, Any]:
        """What an answer with vectors has beside these."""
        return self._new("answer", answer, OWN_OF_VECTORS)

    def of_vectors_usage(self, usage: Mapping[str, Any]) -> dict[str, Any]:
        """What the usage of vectors has beside the two counts."""
        return self._new("usage", usage, OWN_OF_VECTORS_USAGE)

    def _new(
        self, owner: str | int, sent: Mapping[str, Any], own: frozenset[str]
    ) -> dict[str, Any]:
        if sent.keys() <= own:  # as in most chunks
            return {}
        new: dict[str, Any] = {}
        for key, item in sent.items():
            if key in own or item is None:
                continue
            name, value = whole_characters(key), plain(item)
            if self._passed.get((owner, name)) == value:
                continue
            size = len(to_json({name: value}))
            if size <= self._room:
                self._room -= size
                self._passed[owner, name] = value
                new[name] = value
        return new
