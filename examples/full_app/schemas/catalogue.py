"""Embeddings and the list of models.

Source: OpenAI API reference, embeddings and models.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Discriminator, Field, Tag, model_validator

from examples import s2_models as s2
from examples.full_app.schemas.base import Answer, ModelName

TokenId = Annotated[int, Field(ge=0, le=1_000_000, strict=True)]
TokenIds = Annotated[list[TokenId], Field(min_length=1, max_length=8192)]


def kind_of_input(value: object) -> str:
    """Which of the four forms is meant, so that one mistake is one error."""
    if not isinstance(value, list):
        return "text"
    first = value[0] if value else ""
    if isinstance(first, list):
        return "batches"
    return "ids" if isinstance(first, int) else "texts"


class EmbeddingRequest(s2.EmbeddingRequest):
    """`POST /v1/embeddings`: section 2's texts, or token ids, one list or several."""

    model: ModelName
    input: Annotated[  # type: ignore[assignment]  # token ids as well
        Annotated[s2.VisibleText, Tag("text")]
        | Annotated[s2.Texts, Tag("texts")]
        | Annotated[TokenIds, Tag("ids")]
        | Annotated[
            list[TokenIds], Field(min_length=1, max_length=2048), Tag("batches")
        ],
        Discriminator(kind_of_input),
    ]

    @model_validator(mode="before")
    @classmethod
    def null_is_not_given(cls, value: object) -> object:
        """`null` means "not given", as it does in OpenAI's API."""
        if not isinstance(value, dict):
            return value
        return {name: item for name, item in value.items() if item is not None}

    @property
    def further(self) -> Mapping[str, Any]:
        """Fields that this service does not read: none, unless an upstream may."""
        return {}

    @property
    def inputs(self) -> Sequence[str] | Sequence[Sequence[int]]:
        """The input as a batch; one text, or one list of token ids, is one of one."""
        if isinstance(self.input, str):
            return [self.input]
        texts = [item for item in self.input if isinstance(item, str)]
        ids = [item for item in self.input if isinstance(item, int)]
        return texts or (
            [ids] if ids else [i for i in self.input if isinstance(i, list)]
        )


class Embedding(Answer):
    """One vector: a list of floats, or base64 of little-endian float32."""

    object: Literal["embedding"] = "embedding"
    index: int
    embedding: list[float] | str


class EmbeddingUsage(Answer):
    """Tokens read; nothing is generated. Fields of an upstream's own are kept."""

    model_config = ConfigDict(extra="allow")

    prompt_tokens: int
    total_tokens: int


class EmbeddingResponse(Answer):
    """The answer of `POST /v1/embeddings`. Fields of an upstream's own are kept."""

    model_config = ConfigDict(extra="allow")

    object: Literal["list"] = "list"
    data: list[Embedding]
    model: str
    usage: EmbeddingUsage


class Model(Answer):
    """A model this service answers for; fields of an upstream's own are kept.

    `description` is ours, clients ignore it.
    """

    model_config = ConfigDict(extra="allow")

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str
    description: str | None = None


class ModelList(Answer):
    """The answer of `GET /v1/models`."""

    object: Literal["list"] = "list"
    data: list[Model]
