"""Requests for the models of an upstream: checked less, and passed on as written.

What this process answers itself keeps section 2's strictness (`schemas/chat.py`). An
upstream has limits, fields and kinds of content of its own, and says itself what is
wrong with a request. So only two sorts of things are checked here: what this service
reads itself, and what would cost money by mistake. How far a request may go is a
matter of settings, which `UpstreamRules` holds.

The model's name and the settings decide which of the two a request is
(`AnyChatRequest` in `schemas/chat.py`).
Source: OpenAI API reference, chat completions and embeddings.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    StringConstraints,
    Tag,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError, PydanticKnownError

from examples import s2_models as s2
from examples.full_app.schemas.base import ShortText
from examples.full_app.schemas.catalogue import (
    EmbeddingRequest,
    TokenId,
    kind_of_input,
)
from examples.full_app.schemas.chat import (
    MAX_PARTS,
    ChatCompletionRequest,
    check_token_limits,
    current_rules,
)

MAX_TOKENS = 10**9  # a bound for arithmetic; the context window is the real one
UpstreamModelName = Annotated[
    str, StringConstraints(pattern=r"^[!-~]+$", max_length=256)
]
TokenLimit = Annotated[int, Field(ge=1, le=MAX_TOKENS, strict=True)]
Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
JSONObject = dict[str, Any]
Request = TypeVar("Request", bound=BaseModel)


# --- The rules ---


@dataclass(frozen=True, slots=True)
class UpstreamRules:
    """How far a request for an upstream's model may go.

    `context_window` is in tokens, for the question and the answer together.
    `max_text_chars` counts the characters of all texts of one message. Models whose
    names begin with one of `local_prefixes` are answered here, by section 2's rules.
    """

    unknown_fields: Literal["pass", "refuse"] = "pass"
    context_window: int = 2_000_000
    max_text_chars: int = 8_000_000
    local_prefixes: tuple[str, ...] = ()

    def apply_to(self, value: object) -> bool:
        """Whether `value`, a request as it was sent, names an upstream's model."""
        model = value.get("model") if isinstance(value, dict) else None
        return isinstance(model, str) and not model.startswith(self.local_prefixes)

    def chat_request(self, value: object) -> ChatCompletionRequest:
        """`value` as an upstream's request. Raises pydantic.ValidationError."""
        return self.validate(UpstreamChatRequest, value)

    def validate(self, kind: type[Request], value: object) -> Request:
        """`value` as a request of this kind. Raises pydantic.ValidationError."""
        passed = self.unknown_fields == "pass"
        return kind.model_validate(
            value, extra="allow" if passed else "forbid", context=self
        )


def _check_length(texts: Iterable[str], info: ValidationInfo) -> None:
    """Raise for texts that are longer together than the rules allow."""
    rules = info.context
    if not isinstance(rules, UpstreamRules):
        return
    if sum(map(len, texts)) > rules.max_text_chars:
        raise PydanticCustomError(
            "text_too_long",
            "The text must not have more than {limit} characters.",
            {"limit": rules.max_text_chars},
        )


# --- A message ---

# What a client's library adds to an answer of ours, and no upstream ever sent.
CLIENT_FIELDS = frozenset({"parsed"})
CLIENT_FIELDS_OF_CALLS = frozenset({"index"})
CLIENT_FIELDS_OF_FUNCTIONS = frozenset({"parsed_arguments"})
WRITTEN_BY_PEOPLE = frozenset({"system", "developer", "user"})


class UpstreamMessage(BaseModel):
    """One turn of a conversation, with the fields and parts that its upstream knows.

    A field that is named here is one that OpenAI or a well-known server defines; it
    passes also where unknown fields are refused.
    """

    model_config = ConfigDict(extra="allow", frozen=True)

    role: ShortText
    content: str | list[JSONObject] | None = Field(default=None, validate_default=True)
    name: ShortText | None = None
    tool_calls: list[JSONObject] | None = None
    tool_call_id: str | None = None
    annotations: Any = None
    audio: Any = None
    cache_control: Any = None
    extra_content: Any = None
    function_call: Any = None
    prefix: Any = None
    provider_specific_fields: Any = None
    reasoning: Any = None
    reasoning_content: Any = None
    reasoning_details: Any = None
    refusal: Any = None
    thinking: Any = None
    thinking_blocks: Any = None

    @model_validator(mode="before")
    @classmethod
    def as_the_upstream_sent_it(cls, value: object) -> object:
        """Leave out nulls, and what the client's library has added.

        A turn of the assistant that says nothing gets an empty text: some upstreams
        refuse a message without content, and all take an empty one.
        """
        if not isinstance(value, dict):
            return value
        fields = _given(value, CLIENT_FIELDS)
        if isinstance(fields.get("tool_calls"), list):
            fields["tool_calls"] = [_plain_call(call) for call in fields["tool_calls"]]
        silent = _is_empty(fields.get("content")) and not fields.get("tool_calls")
        if fields.get("role") == "assistant" and silent:
            fields["content"] = ""
        return fields

    @field_validator("content", mode="before")
    @classmethod
    def check_kind(cls, content: object) -> object:
        """Content is a text or a list of parts; one error says so, not one for each."""
        if content is None or isinstance(content, str):
            return content
        if not isinstance(content, list) or not all(
            isinstance(part, dict) for part in content
        ):
            raise PydanticCustomError(
                "content_type", "Content is a text or a list of parts."
            )
        if len(content) > MAX_PARTS:
            raise PydanticCustomError(
                "too_many_parts",
                "Content has at most {limit} parts.",
                {"limit": MAX_PARTS},
            )
        return content

    @field_validator("content")
    @classmethod
    def check_content(
        cls, content: str | list[JSONObject] | None, info: ValidationInfo
    ) -> str | list[JSONObject] | None:
        """What a person wrote obeys section 2's rules; a model's or a tool's need not.

        An empty question would be paid for. An empty answer of a tool says something.
        """
        _check_length(_texts_of(content), info)
        if info.data.get("role") not in WRITTEN_BY_PEOPLE:
            return content
        if content is None:
            raise PydanticKnownError("missing")
        if isinstance(content, str):
            s2.check_text(content)
        return content

    @property
    def text(self) -> str:
        """The texts of the content, joined."""
        return "".join(_texts_of(self.content))

    @property
    def other_parts(self) -> int:
        """How many parts of the content are not text: images, audio, files."""
        if not isinstance(self.content, list):
            return 0
        return sum(1 for part in self.content if _text_of_part(part) is None)

    @property
    def further_text(self) -> str:
        """What a model reads beside the content: calls, reasoning, fields unknown here.

        As JSON, because only its length is of interest.
        """
        if self.model_fields_set <= {"role", "content", "tool_call_id"}:
            return ""
        fields = self.model_dump(
            exclude={"role", "content", "tool_call_id"},
            exclude_unset=True,
            exclude_none=True,
        )
        return json.dumps(fields) if fields else ""


def _given(value: Mapping[str, Any], left_out: frozenset[str]) -> dict[str, Any]:
    """The fields of an object without the nulls and without those of these names."""
    return {
        name: item
        for name, item in value.items()
        if item is not None and name not in left_out
    }


def _plain_call(call: object) -> object:
    """A tool call without what clients that rebuilt a stream have added."""
    if not isinstance(call, dict):
        return call
    fields = _given(call, CLIENT_FIELDS_OF_CALLS)
    if isinstance(fields.get("function"), dict):
        fields["function"] = _given(fields["function"], CLIENT_FIELDS_OF_FUNCTIONS)
    return fields


def _is_empty(content: object) -> bool:
    """Whether content has no part but empty texts."""
    if isinstance(content, list):
        return all(_text_of_part(part) == "" for part in content)
    return content is None or content == ""


def _texts_of(content: str | list[JSONObject] | None) -> list[str]:
    """The texts in a message's content."""
    if content is None or isinstance(content, str):
        return [content or ""]
    texts = map(_text_of_part, content)
    return [text for text in texts if text is not None]


def _text_of_part(part: object) -> str | None:
    """The text of a part; None for a part that has none, such as an image."""
    text = part.get("text") if isinstance(part, dict) else None
    return text if isinstance(text, str) else None


# --- A chat request ---


class UpstreamChatRequest(ChatCompletionRequest):
    """A chat request whose limits, tools and formats are for the upstream to judge.

    Checked are the types that this service reads, `n`, and that two limits of tokens
    agree.
    """

    model_config = ConfigDict(extra="allow")

    messages: list[UpstreamMessage] = Field(  # type: ignore[assignment]  # more fields
        min_length=1
    )
    model: UpstreamModelName
    temperature: Number = 0.7
    top_p: Number = 1.0
    frequency_penalty: Number = 0.0
    presence_penalty: Number = 0.0
    max_tokens: TokenLimit = 1024
    max_completion_tokens: TokenLimit | None = None
    stop: Any = None
    tools: list[JSONObject] | None = None  # type: ignore[assignment]  # more kinds
    tool_choice: Any = None
    response_format: Any = None
    logit_bias: Any = None
    reasoning_effort: Any = None
    verbosity: Any = None
    service_tier: Any = None
    metadata: Any = None
    audio: Any = None
    function_call: Any = None
    functions: Any = None
    modalities: Any = None
    moderation: Any = None
    prediction: Any = None
    prompt_cache_options: Any = None
    prompt_cache_retention: Any = None
    web_search_options: Any = None

    @model_validator(mode="before")
    @classmethod
    def known_parameters(cls, value: object) -> object:
        """Leave out nulls: they mean "not given", as in OpenAI's API."""
        return _given(value, frozenset()) if isinstance(value, dict) else value

    @model_validator(mode="after")
    def check_combinations(self) -> Self:
        """Two limits that differ would leave open what the answer may cost."""
        check_token_limits(self)
        return self

    @property
    def prompt_texts(self) -> list[str]:
        """The texts of the messages, for the log's hash."""
        return [message.text for message in self.messages]


# --- A request for embeddings ---


def _check_text(text: str, info: ValidationInfo) -> str:
    """Section 2's rules of a text, with the rules' own length."""
    _check_length([text], info)
    return s2.check_text(text)


def _check_texts(texts: list[str], info: ValidationInfo) -> list[str]:
    _check_length(texts, info)
    return texts


UpstreamText = Annotated[str, Field(min_length=1), AfterValidator(_check_text)]
UpstreamTexts = Annotated[
    list[UpstreamText],
    Field(min_length=1, max_length=2048),
    AfterValidator(_check_texts),
]
UpstreamIds = Annotated[list[TokenId], Field(min_length=1)]


class UpstreamEmbeddingRequest(EmbeddingRequest):
    """Texts or token ids for an upstream, with the fields that it knows."""

    model_config = ConfigDict(extra="allow")

    model: UpstreamModelName
    input: Annotated[
        Annotated[UpstreamText, Tag("text")]
        | Annotated[UpstreamTexts, Tag("texts")]
        | Annotated[UpstreamIds, Tag("ids")]
        | Annotated[
            list[UpstreamIds], Field(min_length=1, max_length=2048), Tag("batches")
        ],
        Discriminator(kind_of_input),
    ]
    dimensions: int | None = Field(default=None, ge=1, le=MAX_TOKENS, strict=True)
    user: str | None = None

    @property
    def further(self) -> Mapping[str, Any]:
        """The fields that this service does not read."""
        user = {} if self.user is None else {"user": self.user}
        return {**(self.model_extra or {}), **user}


def _embedding_request_by_rules(
    value: object, strict: ValidatorFunctionWrapHandler
) -> EmbeddingRequest:
    rules = current_rules()
    if isinstance(rules, UpstreamRules) and rules.apply_to(value):
        return rules.validate(UpstreamEmbeddingRequest, value)
    request: EmbeddingRequest = strict(value)
    return request


AnyEmbeddingRequest = Annotated[
    EmbeddingRequest, WrapValidator(_embedding_request_by_rules)
]
