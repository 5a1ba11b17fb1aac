"""What the service answers: whole chat completions and the chunks of a stream.

Source: OpenAI API reference, the chat completion object and its chunk.
"""

from typing import Literal

from pydantic import Field

from examples import s2_models as s2
from examples.full_app.money import Charged
from examples.full_app.schemas.base import Answer, FinishReason, is_none
from examples.full_app.schemas.chat import ToolCall


class ResponseMessage(s2.ResponseMessage):
    """What the model said: text, or the calls it wants made."""

    tool_calls: list[ToolCall] | None = Field(default=None, exclude_if=is_none)


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
    """One answer of `n`."""

    message: ResponseMessage
    finish_reason: FinishReason | None = None  # type: ignore[assignment]  # + tool_calls
    logprobs: ChoiceLogprobs | None = None


class ChatCompletion(Charged, s2.ChatCompletionResponse):
    """The whole answer of `POST /v1/chat/completions` without `stream`."""

    choices: list[Choice]  # type: ignore[assignment]  # choices with tool calls
    system_fingerprint: str | None = None


class FunctionDelta(Answer):
    """A piece of a function call; the name comes with the first piece only."""

    name: str | None = None
    arguments: str | None = None


class ToolCallDelta(Answer):
    """A piece of one tool call; `id` and `type` come with the first piece only."""

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
    """One choice's part of a chunk."""

    index: int
    delta: ChunkDelta
    finish_reason: FinishReason | None = None
    logprobs: ChoiceLogprobs | None = None


class ChatCompletionChunk(Answer):
    """One `data:` frame of a stream; the usage chunk has no choices and comes last."""

    id: str
    object: Literal["chat.completion.chunk"] = "chat.completion.chunk"
    created: int
    model: str
    choices: list[ChunkChoice]
    usage: s2.Usage | None = None
