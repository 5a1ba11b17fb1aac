"""The models that answer without a network, and what to say about other names."""

from collections.abc import Sequence

from examples.full_app.errors import ModelNotFoundError, RequestError
from examples.full_app.schemas.catalogue import Model

CREATED = 1_767_225_600  # 2026-01-01, so that lists are the same every day
ECHO = "offline-echo"
ECHOES = frozenset({ECHO})
DEFAULT_MODEL = "gpt-4o-mini"
CHAT_MODELS = {
    DEFAULT_MODEL: "Answers offline, word by word; the default model.",
    "gpt-4o": "Answers offline; costs more in the ledger.",
    "gpt-4o-mini-2024-07-18": "A dated snapshot: priced as its family.",
    ECHO: "Says the last user message back, character by character the same.",
}
EMBEDDING_MODELS = {"text-embedding-3-small": 1536, "text-embedding-3-large": 3072}


def offline_models() -> Sequence[Model]:
    """The chat and the embedding models, each with a line on what it does."""
    described = CHAT_MODELS | {
        name: f"Embeds offline in {size} dimensions; similar texts are near."
        for name, size in EMBEDDING_MODELS.items()
    }
    return [
        Model(id=name, created=CREATED, owned_by="offline", description=text)
        for name, text in described.items()
    ]


def model_not_found(name: str) -> ModelNotFoundError:
    """The 404 for a name that no model has."""
    return ModelNotFoundError(
        f"The model {name[:80]!r} does not exist; GET /v1/models lists those that do.",
        param="model",
    )


def wrong_model(name: str) -> RequestError:
    """The error for a model that does not do what it was asked for, or is not there."""
    if name in CHAT_MODELS:
        return RequestError(
            f"{name} is a chat model; it does not embed.", param="model"
        )
    if name in EMBEDDING_MODELS:
        return RequestError(f"{name} embeds; it does not chat.", param="model")
    return model_not_found(name)
