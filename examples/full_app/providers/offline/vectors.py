"""Embeddings without a model: texts that share words and letters come out near.

Words and letter trigrams are hashed into the dimensions with a sign ("feature
hashing", Weinberger et al. 2009), and the vector is scaled to length 1.
"""

import math
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence

WORD_WEIGHT = 2.0


def add_features(
    weights: dict[int, float], features: Iterable[tuple[str, float]], size: int
) -> None:
    """Add weighted features, each at the one of `size` places that its hash says.

    A short text has a weight at a few places only: the others are not kept.
    """
    for feature, weight in features:
        code = zlib.crc32(feature.encode("utf-8"))
        sign = 1.0 if code & 0x8000_0000 else -1.0
        place = code % size
        weights[place] = weights.get(place, 0.0) + sign * weight


def features_of(item: str | Sequence[int]) -> Iterator[tuple[str, float]]:
    """Words and trigrams of a text, or token ids and their pairs."""
    if not isinstance(item, str):
        for token, following in zip(item, [*item[1:], -1], strict=True):
            yield f"#{token}", WORD_WEIGHT
            yield f"#{token},{following}", 1.0
        return
    text = item.lower()
    for word in text.split():
        yield word.strip(".,;:!?()\"'"), WORD_WEIGHT
    padded = f" {' '.join(text.split())} "
    for start in range(len(padded) - 2):
        yield padded[start : start + 3], 1.0


def vector_of(weights: Mapping[int, float], dimensions: int) -> list[float]:
    """The first `dimensions` places as a vector of length 1, as OpenAI shortens them.

    A vector without any length points along the first axis.
    """
    kept = [(place, weights[place]) for place in sorted(weights) if place < dimensions]
    length = math.sqrt(sum(weight * weight for _, weight in kept))
    vector = [0.0] * dimensions
    if length == 0:
        vector[0] = 1.0
        return vector
    for place, weight in kept:
        vector[place] = weight / length
    return vector
