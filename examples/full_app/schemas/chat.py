"""The request of `POST /v1/chat/completions`: section 2's, and the rest of OpenAI's.

First the messages, a union whose discriminator is `role`. Text parts become one string.
What clients echo back in an assistant message is accepted and dropped
(`DROPPED_ECHO_FIELDS`, one test for each client); anything else unknown is refused.
Then the request: every field that OpenAI defines is known by name, and
`UNSUPPORTED_PARAMETERS` says why some are refused. These are the rules for what this
process answers itself; `AnyChatRequest` is read by others if an upstream answers.
Source: OpenAI API reference, chat completions.
"""

import contextlib
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from typing import Annotated, Literal, Protocol, Self

from pydantic import (
    BeforeValidator,
    Discriminator,
    Field,
    SerializeAsAny,
    StrictBool,
    StringConstraints,
    TypeAdapter,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from examples import s2_models as s2
from examples.full_app.schemas.base import (
    MAX_TOOLS,
    CallId,
    ModelName,
    ShortText,
    ToolName,
    Wire,
)
from examples.full_app.schemas.parameters import (
    NamedToolChoice,
    ResponseFormat,
    StreamOptions,
    Tool,
)

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

    role: Literal["developer"]  # type: ignore[assignment]  # newer than section 2
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

    role: Literal["tool"]  # type: ignore[assignment]  # newer than section 2
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


MAX_CHOICES = 16

UNSUPPORTED_PARAMETERS: Mapping[str, str] = {
    "audio": "this service answers in text",
    "function_call": "it was replaced by `tool_choice`",
    "functions": "it was replaced by `tools`",
    "modalities": "this service answers in text",
    "moderation": "no moderation model is configured",
    "prediction": "predicted outputs are not implemented",
    "prompt_cache_options": "prompts are not cached",
    "prompt_cache_retention": "prompts are not cached",
    "web_search_options": "this service makes no calls to the web",
}

Penalty = Annotated[float, Field(ge=-2, le=2, strict=True, allow_inf_nan=False)]
StopText = Annotated[str, StringConstraints(min_length=1, max_length=256)]


def _as_list(value: object) -> object:
    return [value] if isinstance(value, str) else value


class ChatCompletionRequest(s2.ChatCompletionRequest):
    """Section 2's request and the rest of OpenAI's fields.

    `null` means "not given", as it does in OpenAI's API. Where both token limits are
    given they must agree; `output_limit` is the one that counts.
    """

    messages: list[ChatMessage] = Field(  # type: ignore[assignment]  # more roles
        min_length=1, max_length=1000, description="The conversation so far."
    )
    model: ModelName
    max_tokens: Annotated[int, Field(ge=1, le=16_384, strict=True)] = 1024
    max_completion_tokens: (
        Annotated[int, Field(ge=1, le=16_384, strict=True)] | None
    ) = None
    n: Annotated[int, Field(ge=1, le=MAX_CHOICES, strict=True)] = 1
    stop: (
        Annotated[
            list[StopText],
            Field(max_length=4),
            BeforeValidator(_as_list, json_schema_input_type=str | list[str]),
        ]
        | None
    ) = None
    seed: Annotated[int, Field(ge=-(2**63), le=2**63 - 1, strict=True)] | None = None
    tools: Annotated[list[Tool], Field(max_length=MAX_TOOLS)] | None = None
    tool_choice: Literal["none", "auto", "required"] | NamedToolChoice | None = None
    parallel_tool_calls: StrictBool = True
    response_format: ResponseFormat | None = None
    stream_options: StreamOptions | None = None
    logprobs: StrictBool = False
    top_logprobs: Annotated[int, Field(ge=0, le=20, strict=True)] | None = None
    frequency_penalty: Penalty = 0.0
    presence_penalty: Penalty = 0.0
    logit_bias: dict[ShortText, float] | None = Field(default=None, max_length=1024)
    reasoning_effort: ShortText | None = None
    verbosity: ShortText | None = None
    service_tier: ShortText | None = None
    store: StrictBool = False
    metadata: (
        dict[ShortText, Annotated[str, StringConstraints(max_length=512)]] | None
    ) = Field(default=None, max_length=16)
    prompt_cache_key: ShortText | None = None
    safety_identifier: ShortText | None = None

    @model_validator(mode="before")
    @classmethod
    def known_parameters(cls, value: object) -> object:
        """Drop nulls, and name the fields of OpenAI's that this service lacks."""
        if not isinstance(value, dict):
            return value
        for name, why in UNSUPPORTED_PARAMETERS.items():
            if value.get(name) is not None and value[name] != ["text"]:
                raise PydanticCustomError(
                    "unsupported_parameter",
                    "`{param}` is not supported: {why}.",
                    {"param": name, "why": why},
                )
        return {
            key: item
            for key, item in value.items()
            if item is not None and key not in UNSUPPORTED_PARAMETERS
        }

    @model_validator(mode="after")
    def check_context_window(self) -> Self:
        """Left to the service, which knows the model's window and counts tokens."""
        return self

    @model_validator(mode="after")
    def check_combinations(self) -> Self:
        """Fields that only make sense, or none, together."""
        check_token_limits(self)
        if self.stream_options is not None and not self.stream:
            raise _conflict("stream_options", "it is for stream: true only")
        if self.tool_choice not in (None, "none", "auto") and not self.tools:
            raise _conflict("tool_choice", "it needs tools")
        if isinstance(self.tool_choice, NamedToolChoice):
            offered = {tool.function.name for tool in self.tools or []}
            if self.tool_choice.function.name not in offered:
                raise _conflict(
                    "tool_choice", "it names a function that tools does not"
                )
        if self.top_logprobs is not None and not self.logprobs:
            raise _conflict("top_logprobs", "it needs logprobs: true")
        return self

    @property
    def output_limit(self) -> int:
        """Tokens an answer may have, at most."""
        return self.max_completion_tokens or self.max_tokens

    @property
    def wants_usage(self) -> bool:
        """Whether a stream ends with a usage chunk."""
        return self.stream_options is not None and self.stream_options.include_usage

    @property
    def prompt_texts(self) -> list[str]:
        """The texts of the messages, for the log's hash."""
        return [message.content or "" for message in self.messages]


def check_token_limits(request: ChatCompletionRequest) -> None:
    """Raise where a request has two limits of output tokens that differ."""
    limits = {"max_tokens", "max_completion_tokens"} & request.model_fields_set
    if len(limits) == 2 and request.max_tokens != request.max_completion_tokens:
        raise _conflict(
            "max_tokens",
            "give max_completion_tokens or max_tokens, or the same twice",
        )


def _conflict(param: str, why: str) -> PydanticCustomError:
    return PydanticCustomError(
        "parameter_conflict", "`{param}`: {why}.", {"param": param, "why": why}
    )


def _without(value: object, names: frozenset[str] | set[str]) -> object:
    if isinstance(value, dict) and not names.isdisjoint(value):
        return {key: item for key, item in value.items() if key not in names}
    return value


# --- Whose rules a request is read by ---
# What a request may hold depends on who answers it, which the settings and the model's
# name decide. FastAPI validates a body without pydantic's validation context, so the
# rules travel in a `ContextVar`, as pydantic's documentation shows it. Whoever reads a
# request sets it around the validation.


class RequestRules(Protocol):
    """Rules that are not section 2's: those of `schemas/upstream.py`."""

    def apply_to(self, value: object) -> bool:
        """Whether `value`, a request as it was sent, is read by these rules."""
        ...

    def chat_request(self, value: object) -> ChatCompletionRequest:
        """`value` as a request. Raises pydantic.ValidationError."""
        ...


_rules: ContextVar[RequestRules | None] = ContextVar("request_rules", default=None)


def current_rules() -> RequestRules | None:
    """The rules that are applied now; None: section 2's alone."""
    return _rules.get()


@contextlib.contextmanager
def rules_applied(rules: RequestRules | None) -> Iterator[None]:
    """A block in which requests are read by these rules; None: by section 2's."""
    token = _rules.set(rules)
    try:
        yield
    finally:
        _rules.reset(token)


def _by_rules(
    value: object, by_own_rules: ValidatorFunctionWrapHandler
) -> ChatCompletionRequest:
    rules = current_rules()
    if rules is not None and rules.apply_to(value):
        return rules.chat_request(value)
    request: ChatCompletionRequest = by_own_rules(value)
    return request


# The request of a body. It is serialized as what it is: an upstream's has fields that
# section 2's lacks.
AnyChatRequest = Annotated[
    SerializeAsAny[ChatCompletionRequest], WrapValidator(_by_rules)
]
