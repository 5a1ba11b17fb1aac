"""What a cell may show: text for everyone, and something richer where it is drawn."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

Bundle = tuple[dict[str, Any], dict[str, Any]]


@dataclass(frozen=True)
class Shown:
    """Text, and the same in Markdown.

    `_repr_mimebundle_` is IPython's protocol: MIME types to data, and their metadata.
    """

    text: str
    markdown: str

    def __repr__(self) -> str:
        return self.text

    def _repr_mimebundle_(
        self,
        include: Collection[str] | None = None,
        exclude: Collection[str] | None = None,
    ) -> Bundle:
        both = {"text/plain": self.text, "text/markdown": self.markdown}
        return {kind: both[kind] for kind in wanted(both, include, exclude)}, {}


def wanted(
    kinds: Collection[str],
    include: Collection[str] | None,
    exclude: Collection[str] | None,
) -> list[str]:
    """Those MIME types of `kinds` that were asked for."""
    return [
        kind
        for kind in kinds
        if (include is None or kind in include) and kind not in (exclude or ())
    ]


def fenced(text: str, language: str = "text") -> str:
    """A Markdown code block; its fence is longer than any inside it."""
    fence = "```"
    while fence in text:
        fence += "`"
    return f"{fence}{language}\n{text.rstrip()}\n{fence}"
