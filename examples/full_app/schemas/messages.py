"""The messages of a chat request, a union told apart by `role`.

Text parts become one string. What clients echo back in an assistant message is
accepted and dropped (`DROPPED_ECHO_FIELDS`, one test a client); anything else unknown
is refused. Source: OpenAI API reference, chat completions.
"""

from typing import Annotated, Literal, Self

from pydantic import (
    BeforeValidator,
    Discriminator,
    Field,
    StringConstraints,
    TypeAdapter,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from examples import s2_models as s2
from examples.full_app.schemas.base import MAX_TOOLS, CallId, ToolName, Wire

DROPPED_ECHO_FIELDS = frozenset(
    {
        "annotations",
        "audio",
        "extra_content",
        "function_call",
        "parsed",
        "provider_specific_fields",
        "reasoning",
        "reasoning_content",
        "refusal",
    }
)


class TextPart(Wire):
    """A text part of a message's content."""

    type: Literal["text"]
    text: Annotated[str, StringConstraints(max_length=s2.MAX_TEXT)]


MAX_PARTS = 2048
PARTS = TypeAdapter(
    Annotated[list[TextPart], Field(max_length=MAX_PARTS, fail_fast=True)]
)


def _join_text_parts(content: object) -> object:
    """Content parts become one string; a part that is not text is named."""
    if not isinstance(content, list):
        return content
    for part in content[:MAX_PARTS]:
        kind = part.get("type") if isinstance(part, dict) else None
        if kind in ("image_url", "input_audio", "file"):
            raise PydanticCustomError(
                "unsupported_content", "This model reads text parts only."
            )
    return "".join(part.text for part in PARTS.validate_python(content))


TextContent = Annotated[
    str,
    StringConstraints(max_length=s2.MAX_TEXT),
    BeforeValidator(_join_text_parts, json_schema_input_type=str | list[TextPart]),
]


class SystemMessage(s2.Message):
    """Instructions of the application."""

    role: Literal["system"]
    content: TextContent


class DeveloperMessage(s2.Message):
    """What newer models call the system message."""

    role: Literal["developer"]  # type: ignore[assignment]  # newer than the lecture
    content: TextContent


class UserMessage(s2.Message):
    """What the person said."""

    role: Literal["user"]
    content: TextContent


class FunctionCall(Wire):
    """A function the model wants called; `arguments` is JSON text as sampled."""

    name: ToolName
    arguments: Annotated[str, StringConstraints(max_length=s2.MAX_TEXT)] = ""

    @model_validator(mode="before")
    @classmethod
    def drop_echo(cls, value: object) -> object:
        """`.parse()` of the official client sends `parsed_arguments` back."""
        return _without(value, {"parsed_arguments"})


class ToolCall(Wire):
    """One call in an assistant message."""

    id: CallId
    type: Literal["function"] = "function"
    function: FunctionCall

    @model_validator(mode="before")
    @classmethod
    def drop_echo(cls, value: object) -> object:
        """Clients that rebuilt a stream send its `index` back."""
        return _without(value, {"index", "extra_content", "provider_specific_fields"})


class AssistantMessage(s2.Message):
    """An earlier answer: text, tool calls, or both."""

    role: Literal["assistant"]
    content: TextContent | None = None  # type: ignore[assignment]  # calls have none
    tool_calls: list[ToolCall] | None = Field(default=None, max_length=MAX_TOOLS)

    @model_validator(mode="before")
    @classmethod
    def drop_echo(cls, value: object) -> object:
        """Accept, then drop, what clients are known to echo."""
        return _without(value, DROPPED_ECHO_FIELDS)

    @field_validator("content", mode="before")
    @classmethod
    def empty_is_none(cls, value: object) -> object:
        """Clients send `""` beside tool calls; the API answers `null` there."""
        return None if value in ("", []) else value

    @field_validator("content")
    @classmethod
    def check_content(  # type: ignore[override]  # calls have no content
        cls, content: str | None
    ) -> str | None:
        """Text obeys section 2's rules; a message that only calls tools has none."""
        return None if content is None else super().check_content(content)

    @model_validator(mode="after")
    def says_something(self) -> Self:
        """An assistant message without text and without calls says nothing."""
        if self.content is None and not self.tool_calls:
            raise PydanticCustomError(
                "empty_message", "An assistant message needs content or tool_calls."
            )
        return self


class ToolMessage(s2.Message):
    """The result of one tool call."""

    role: Literal["tool"]  # type: ignore[assignment]  # newer than the lecture
    content: TextContent
    tool_call_id: CallId

    @field_validator("content")
    @classmethod
    def check_content(cls, content: str) -> str:
        """A tool may have nothing to say."""
        return content


ChatMessage = Annotated[
    SystemMessage | DeveloperMessage | UserMessage | AssistantMessage | ToolMessage,
    Discriminator("role"),
]


def _without(value: object, names: frozenset[str] | set[str]) -> object:
    if isinstance(value, dict) and not names.isdisjoint(value):
        return {key: item for key, item in value.items() if key not in names}
    return value
