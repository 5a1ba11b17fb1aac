"""An upstream's embeddings and its list of models, read with what they may lack.

Vectors are matched with the inputs: another number of them is no answer, since nobody
could say which text is missing. All else that is absent is made up or left out.
Source: OpenAI API reference, embeddings and models.
"""

import base64
import binascii
import math
import struct
from collections.abc import Mapping, Sequence
from typing import Any

from examples.full_app.providers.base import Embeddings
from examples.full_app.providers.upstream.answers import error_in
from examples.full_app.providers.upstream.errors import UnreadableAnswerError
from examples.full_app.providers.upstream.further_fields import FurtherFields
from examples.full_app.providers.upstream.tolerance import (
    count_of,
    parse_json,
    plain,
    whole_characters,
)
from examples.full_app.schemas.catalogue import Model

LARGEST = 3.4028234663852886e38  # of float32, in which clients ask for vectors
MAX_MODEL_ID = 512  # characters
MAX_MODELS = 10_000


def embeddings_in(raw: bytes, inputs: int) -> Embeddings:
    """The vectors of an answer to `inputs` inputs, in the order of these.

    Raises UpstreamError if the answer is an error, and UnreadableAnswerError if a
    vector is missing, too many or no vector.
    """
    value = parse_json(raw)
    error = error_in(value)
    if error is not None:
        raise error
    entries = _listed(value, "data", "embeddings")
    if len(entries) != inputs:
        raise UnreadableAnswerError(
            f"The upstream sent {len(entries)} vectors for {inputs} inputs."
        )
    vectors = [_vector(entry) for entry in _in_order(entries)]
    if not isinstance(value, Mapping):
        return Embeddings(vectors, None)
    sent_usage = value.get("usage")
    usage = sent_usage if isinstance(sent_usage, Mapping) else {}
    further = FurtherFields()
    return Embeddings(
        vectors,
        _prompt_tokens(usage),
        further.of_vectors(value),
        further.of_vectors_usage(usage),
    )


def models_in(raw: bytes) -> list[Model]:
    """The models of a list; an entry without an id is left out. Raises ValueError."""
    models = []
    for entry in _listed(parse_json(raw), "data", "models")[:MAX_MODELS]:
        fields = entry if isinstance(entry, Mapping) else {"id": entry}
        model_id = fields.get("id") or fields.get("name")
        if not isinstance(model_id, str) or len(model_id) > MAX_MODEL_ID:
            continue
        owner = fields.get("owned_by")
        description = fields.get("description")
        known = {"id", "object", "created", "owned_by", "description"}
        further = {
            whole_characters(name): plain(item)
            for name, item in fields.items()
            if name not in known
        }
        models.append(
            Model.model_validate(
                {
                    **further,
                    "id": whole_characters(model_id),
                    "created": count_of(fields.get("created")) or 0,
                    "owned_by": _text(owner) or "upstream",
                    "description": _text(description),
                }
            )
        )
    return models


def _listed(value: object, *names: str) -> Sequence[Any]:
    """The list that a value is, or has under one of these names; else an empty one."""
    if isinstance(value, list):
        return value
    if isinstance(value, Mapping):
        for name in names:
            if isinstance(value.get(name), list):
                listed: list[Any] = value[name]
                return listed
    return []


def _in_order(entries: Sequence[Any]) -> Sequence[Any]:
    """The entries by their index, if each has one of its own; else as they came."""
    by_index = {
        entry["index"]: entry
        for entry in entries
        if isinstance(entry, Mapping) and type(entry.get("index")) is int
    }
    if sorted(by_index) != list(range(len(entries))):
        return entries
    return [by_index[index] for index in range(len(entries))]


def _vector(entry: object) -> list[float]:
    """The numbers of one entry, which may be written as base64 of float32."""
    value = entry.get("embedding") if isinstance(entry, Mapping) else entry
    if isinstance(value, str):
        value = _decoded(value)
    if not isinstance(value, list) or not value or not all(map(_is_number, value)):
        raise UnreadableAnswerError("The upstream sent something that is no vector.")
    return [float(number) for number in value]


def _decoded(text: str) -> list[float] | None:
    """Little-endian float32, as OpenAI encodes them; None for another text."""
    try:
        octets = base64.b64decode(text, validate=True)
        return list(struct.unpack(f"<{len(octets) // 4}f", octets))
    except (binascii.Error, ValueError, struct.error):
        return None


def _is_number(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return -LARGEST <= value <= LARGEST and not math.isnan(value)


def _prompt_tokens(usage: Mapping[str, Any]) -> int | None:
    """The tokens that were read; None where the upstream does not say it."""
    counts = map(count_of, (usage.get("prompt_tokens"), usage.get("total_tokens")))
    return next((count for count in counts if count), None)


def _text(value: object) -> str | None:
    return whole_characters(value) if isinstance(value, str) else None
