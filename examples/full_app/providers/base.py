"""What a provider is: anything that turns a chat or embedding request into an answer.

A provider speaks in `Delta`s, small and without JSON, so that one piece of code
(`chat/sse.py`) writes every frame and one (`chat/answers.py`) every whole answer.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from examples.full_app.schemas.answers import ChoiceLogprobs, ToolCallDelta
from examples.full_app.schemas.base import FinishReason
from examples.full_app.schemas.catalogue import Model
from examples.full_app.schemas.chat import ChatCompletionRequest
from examples.s2_models import Usage

APIType = Literal["chat_completions", "responses"]


@dataclass(slots=True)
class Trail:
    """What the provider reports of a call on the way, for the answer's headers."""

    provider: str | None = None


@dataclass(frozen=True, slots=True)
class CallContext:
    """Facts of one call that travel to the provider, and the trail back.

    `deadline` is a time on `time.monotonic()`'s clock, in seconds; None: no deadline.
    A stream that has begun has until `stream_deadline`: its reader's patience starts
    anew with every byte.
    `retry_count` is how often the client's library has tried before.
    `detached`: no connection waits for it (a job's); shutting down is no error of it.
    `whole`: nobody reads the pieces, so that a choice may come in one.
    `api_type` is the API by which the caller asked.
    `response_body` is the same call as a request of `/v1/responses`, for an upstream
    that is asked by that route; None: it is asked for chat completions.
    """

    request_id: str
    deadline: float | None = None
    stream_deadline: float | None = None
    traceparent: str | None = None
    retry_count: int = 0
    detached: bool = False
    whole: bool = False
    api_type: APIType = "chat_completions"
    response_body: Mapping[str, Any] | None = field(default=None, compare=False)
    trail: Trail = field(default_factory=Trail, compare=False)


@dataclass(slots=True)  # not frozen: there is one a token, made in a third of the time
class Delta:
    """What one step adds to one choice; `finish_reason` closes that choice.

    Fields that this service passes on unread keep the names that the upstream gave
    them. `further` are those of the message: `refusal`, `reasoning_content` and others;
    `choice_fields` those of the choice, and `answer_fields` those of the whole answer.
    """

    index: int = 0
    content: str | None = None
    tool_calls: tuple[ToolCallDelta, ...] = ()
    finish_reason: FinishReason | None = None
    logprobs: ChoiceLogprobs | None = None
    further: Mapping[str, Any] | None = None
    choice_fields: Mapping[str, Any] | None = None
    answer_fields: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Embeddings:
    """Vectors in the order of the inputs, and the tokens that were read, if known.

    `further` holds fields of the answer that this service passes on unread, and
    `usage_fields` those of its usage.
    """

    vectors: Sequence[Sequence[float]]
    prompt_tokens: int | None
    further: Mapping[str, Any] = field(default_factory=dict)
    usage_fields: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class EmbeddingCall:
    """What a provider needs of an embedding request: texts or token ids, normalised.

    `further` holds fields of the caller that are for the upstream alone.
    """

    model: str
    inputs: Sequence[str] | Sequence[Sequence[int]]
    dimensions: int | None = None
    further: Mapping[str, Any] = field(default_factory=dict)


class Provider(Protocol):
    """The protocol every source of answers follows."""

    name: str

    async def models(self) -> Sequence[Model]:
        """The models this provider answers for."""
        ...

    def stream(
        self, request: ChatCompletionRequest, call: CallContext
    ) -> AsyncIterator[Delta | Usage]:
        """Deltas of all choices, each closed by a finish_reason; then one `Usage`.

        Raises an `AIError` when the answer cannot begin or breaks off. Closing the
        iterator (`aclose`) stops the work at its source.
        """
        ...

    async def embed(self, request: EmbeddingCall, call: CallContext) -> Embeddings:
        """One vector for each input. Raises an `AIError`."""
        ...
