"""Embeddings without a model: texts that share words and letters come out near.

Words and letter trigrams are hashed into the dimensions with a sign ("feature
hashing", Weinberger et al. 2009), and the vector is scaled to length 1.
"""

import math
import zlib
from collections.abc import Iterable, Iterator, Sequence

WORD_WEIGHT = 2.0


def add_features(vector: list[float], features: Iterable[tuple[str, float]]) -> None:
    """Add weighted features to `vector`, each at the place its hash says."""
    for feature, weight in features:
        code = zlib.crc32(feature.encode("utf-8"))
        sign = 1.0 if code & 0x8000_0000 else -1.0
        vector[code % len(vector)] += sign * weight


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


def shortened(vector: Sequence[float], dimensions: int) -> list[float]:
    """The first `dimensions` of a vector, scaled to length 1 again, as OpenAI does."""
    return normalised(vector[:dimensions])


def normalised(vector: Sequence[float]) -> list[float]:
    """`vector` at length 1; one without any length points along the first axis."""
    length = math.sqrt(sum(value * value for value in vector))
    if length == 0:
        return [1.0, *([0.0] * (len(vector) - 1))]
    return [value / length for value in vector]
