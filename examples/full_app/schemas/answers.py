"""What the service answers: whole chat completions and the chunks of a stream.

Source: OpenAI API reference, the chat completion object and its chunk.
"""

from typing import Literal

from pydantic import ConfigDict, Field

from examples import s2_models as s2
from examples.full_app.money import Charged
from examples.full_app.schemas.base import Answer, FinishReason, is_none


class CalledFunction(Answer):
    """The function that the model wants called; `arguments` is JSON text as sampled."""

    name: str
    arguments: str


class ResponseToolCall(Answer):
    """One call that the model wants made. Fields of an upstream's own are kept."""

    model_config = ConfigDict(extra="allow")

    id: str
    type: Literal["function"] = "function"
    function: CalledFunction


class ResponseMessage(s2.ResponseMessage):
    """What the model said: text, or the calls it wants made.

    An answer that was paid for is not refused for its length, and what we do not know
    of it (`reasoning_content`, `annotations` and others) is passed on.
    """

    model_config = ConfigDict(extra="allow")

    content: str | None = None
    refusal: str | None = None
    tool_calls: list[ResponseToolCall] | None = Field(default=None, exclude_if=is_none)


class TopLogprob(Answer):
    """One alternative at one position."""

    token: str
    logprob: float
    bytes: list[int] | None = None


class TokenLogprob(TopLogprob):
    """One sampled token and its alternatives."""

    top_logprobs: list[TopLogprob] = Field(default_factory=list)


class ChoiceLogprobs(Answer):
    """The log probabilities of one choice's tokens."""

    content: list[TokenLogprob] | None = None


class Choice(s2.Choice):
    """One answer of `n`. Fields of an upstream's own are kept."""

    model_config = ConfigDict(extra="allow")

    message: ResponseMessage
    finish_reason: FinishReason | None = None  # type: ignore[assignment]  # + tool_calls
    logprobs: ChoiceLogprobs | None = None


class ChatCompletion(Charged, s2.ChatCompletionResponse):
    """The whole answer of `POST /v1/chat/completions` without `stream`.

    Fields of an upstream's own are kept.
    """

    model_config = ConfigDict(extra="allow")

    model: str = Field(min_length=1)
    choices: list[Choice]  # type: ignore[assignment]  # choices with tool calls
    service_tier: str | None = Field(default=None, exclude_if=is_none)
    system_fingerprint: str | None = Field(default=None, exclude_if=is_none)


class FunctionDelta(Answer):
    """A piece of a function call; the name comes with the first piece only."""

    name: str | None = None
    arguments: str | None = None


class ToolCallDelta(Answer):
    """A piece of one tool call; `id` and `type` come with the first piece only."""

    model_config = ConfigDict(extra="allow")

    index: int
    id: str | None = None
    type: Literal["function"] | None = None
    function: FunctionDelta


class ChunkDelta(Answer):
    """What one chunk adds to one choice."""

    role: Literal["assistant"] | None = None
    content: str | None = None
    tool_calls: list[ToolCallDelta] | None = None


class ChunkChoice(Answer):
    """One choice's part of a chunk. Fields of an upstream's own are kept."""

    model_config = ConfigDict(extra="allow")

    index: int
    delta: ChunkDelta
    finish_reason: FinishReason | None = None
    logprobs: ChoiceLogprobs | None = None


class ChatCompletionChunk(Answer):
    """One `data:` frame of a stream; the usage chunk has no choices and comes last.

    Fields of an upstream's own are kept.
    """

    model_config = ConfigDict(extra="allow")

    id: str
    object: Literal["chat.completion.chunk"] = "chat.completion.chunk"
    created: int
    model: str
    choices: list[ChunkChoice]
    usage: s2.Usage | None = None
    service_tier: str | None = None
    system_fingerprint: str | None = None
