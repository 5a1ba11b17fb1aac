"""`/v1/responses` on the wire: the request, its items, and the response object.

A conversation is a list of items here, not of messages: a message, a function
call, its output. Clients send items back in many shapes; unknown fields of an item are
ignored, and `null` means "not given". Fields of the request itself are checked as
strictly as on the chat route. `UNSUPPORTED_FIELDS` says why some are refused.
Sources: OpenAI API reference, responses; Open Responses (the fields of a response).
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    StrictBool,
    StringConstraints,
    Tag,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from examples import s2_models as s2
from examples.full_app.schemas.answers import TokenLogprob
from examples.full_app.schemas.base import (
    MAX_TOOLS,
    Answer,
    CallId,
    JSONSchema,
    ShortText,
    ToolName,
    Wire,
)
from examples.full_app.schemas.chat import Penalty

MAX_PARTS = 2048
MAX_INPUT_ITEMS = 2000
MAX_METADATA = 16
MetadataKey = Annotated[str, StringConstraints(max_length=64)]
ItemId = Annotated[str, StringConstraints(min_length=1, max_length=128)]
# Bounds for what is read here. How much a model may be sent is the chat route's to say,
# and what an upstream answers has other limits than what is answered here.
MAX_CHARS = 8_000_000
MAX_TOKENS = 10**9
AnyModelName = Annotated[str, StringConstraints(pattern=r"^[!-~]+$", max_length=256)]
LongText = Annotated[str, StringConstraints(max_length=MAX_CHARS)]
ItemStatus = Literal["in_progress", "completed", "incomplete"]
ResponseStatus = Literal[
    "queued", "in_progress", "completed", "incomplete", "failed", "cancelled"
]
TERMINAL_STATUSES: frozenset[ResponseStatus] = frozenset(
    {"completed", "incomplete", "failed", "cancelled"}
)


def _without_nulls(value: object) -> object:
    if isinstance(value, dict):
        return {key: item for key, item in value.items() if item is not None}
    return value


# --- Parts of a message ---


class Tolerant(BaseModel):
    """Base of what clients send back: unknown fields are ignored, nulls not given."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def drop_nulls(cls, value: object) -> object:
        """`null` means "not given", as in the whole API."""
        return _without_nulls(value)


class InputText(Tolerant):
    """A text that the model reads."""

    type: Literal["input_text"] = "input_text"
    text: LongText


class OutputText(Tolerant):
    """A text that a model wrote. Its annotations say nothing to the next model."""

    type: Literal["output_text"] = "output_text"
    text: LongText


class RefusalPart(Tolerant):
    """A refusal that a model wrote in place of a text."""

    type: Literal["refusal"] = "refusal"
    refusal: LongText


class UnsupportedPart(Tolerant):
    """An image, a file or a sound: models behind this route read text only."""

    @model_validator(mode="before")
    @classmethod
    def refuse(cls, value: object) -> object:
        """Name the part, and say what can be sent."""
        raise PydanticCustomError(
            "unsupported_content", "This route reads text parts only."
        )


def _kind_of_part(value: object) -> str:
    kind = value.get("type") if isinstance(value, dict) else getattr(value, "type", "")
    if kind in ("output_text", "refusal"):
        return str(kind)
    if kind in ("input_text", "text"):
        return "input_text"
    return "unsupported"


def _text_part(value: object) -> object:
    """Some clients write `text` where the API says `input_text`."""
    if isinstance(value, dict):
        return {**value, "type": "input_text"}
    return value


Part = Annotated[
    Annotated[InputText, BeforeValidator(_text_part), Tag("input_text")]
    | Annotated[OutputText, Tag("output_text")]
    | Annotated[RefusalPart, Tag("refusal")]
    | Annotated[UnsupportedPart, Tag("unsupported")],
    Discriminator(_kind_of_part),
]


def _as_parts(content: object) -> object:
    """A content that is one text is a list of one part."""
    return [{"type": "input_text", "text": content}] if _is_text(content) else content


def _is_text(value: object) -> bool:
    return isinstance(value, str)


Parts = Annotated[
    list[Part],
    Field(max_length=MAX_PARTS, fail_fast=True),
    BeforeValidator(_as_parts, json_schema_input_type=str | list[InputText]),
]


def _joined(parts: Sequence[Part]) -> str:
    return "".join(
        part.refusal if isinstance(part, RefusalPart) else part.text
        for part in parts
        if not isinstance(part, UnsupportedPart)
    )


# --- Items of the input ---


class InputMessage(Tolerant):
    """What somebody said. The assistant's earlier answers are messages, too."""

    type: Literal["message"] = "message"
    id: ItemId | None = None
    role: Literal["user", "assistant", "system", "developer"]
    content: Parts

    @property
    def text(self) -> str:
        """The texts of all parts, joined; a refusal counts as what was said."""
        return _joined(self.content)

    @model_validator(mode="after")
    def says_something(self) -> Self:
        """No null bytes; and of all roles only the assistant may have said nothing."""
        if "\x00" in self.text:
            raise PydanticCustomError(
                "null_byte", "The content must not contain null bytes."
            )
        if self.role != "assistant" and not self.text.strip():
            raise PydanticCustomError("blank_text", "The content must not be empty.")
        return self


class FunctionCall(Tolerant):
    """A call that a model asked for in an earlier answer."""

    type: Literal["function_call"] = "function_call"
    id: ItemId | None = None
    call_id: CallId
    name: ToolName
    arguments: LongText = ""


class FunctionCallOutput(Tolerant):
    """What a function answered, for the call with this `call_id`."""

    type: Literal["function_call_output"] = "function_call_output"
    id: ItemId | None = None
    call_id: CallId
    output: Parts

    @property
    def text(self) -> str:
        """The texts of all parts, joined."""
        return _joined(self.output)


class Reasoning(Tolerant):
    """What a model thought before an earlier answer. It is accepted, and not used."""

    type: Literal["reasoning"] = "reasoning"
    id: ItemId | None = None


class ItemReference(Tolerant):
    """An item of a stored response of the same caller, named by its id."""

    type: Literal["item_reference"] = "item_reference"
    id: ItemId


ITEM_TYPES = (
    "message",
    "function_call",
    "function_call_output",
    "reasoning",
    "item_reference",
)


def _kind_of_item(value: object) -> str | None:
    if not isinstance(value, dict):
        return getattr(value, "type", None)
    kind = value.get("type")
    if kind is None and "role" in value:
        return "message"
    if kind is None and "id" in value:
        return "item_reference"
    return kind if kind in ITEM_TYPES else None


InputItem = Annotated[
    Annotated[InputMessage, Tag("message")]
    | Annotated[FunctionCall, Tag("function_call")]
    | Annotated[FunctionCallOutput, Tag("function_call_output")]
    | Annotated[Reasoning, Tag("reasoning")]
    | Annotated[ItemReference, Tag("item_reference")],
    Discriminator(
        _kind_of_item,
        custom_error_type="unknown_item",
        custom_error_message="Input should be an item of a known type: message, "
        "function_call, function_call_output, reasoning or item_reference",
    ),
]


def _as_items(value: object) -> object:
    """An input that is one text is one message of the user."""
    if isinstance(value, str):
        if not value.strip():
            raise PydanticCustomError(
                "blank_text", "The input must not be empty.", {"param": "input"}
            )
        return [{"type": "message", "role": "user", "content": value}]
    return value


# --- Tools and formats ---


class FunctionTool(Tolerant):
    """A function that the model may ask for; `parameters` is a JSON Schema."""

    type: Literal["function"] = "function"
    name: ToolName
    description: Annotated[str, StringConstraints(max_length=10_000)] | None = None
    parameters: JSONSchema | None = None
    strict: StrictBool | None = None


class HostedTool(Tolerant):
    """A tool that OpenAI runs itself. This service runs none of them."""

    type: Annotated[str, StringConstraints(min_length=1, max_length=64)]


def _kind_of_tool(value: object) -> str:
    kind = value.get("type") if isinstance(value, dict) else getattr(value, "type", "")
    return "function" if kind == "function" else "hosted"


Tool = Annotated[
    Annotated[FunctionTool, Tag("function")] | Annotated[HostedTool, Tag("hosted")],
    Discriminator(_kind_of_tool),
]


class NamedTool(Tolerant):
    """The function that a `tool_choice` insists on."""

    type: Literal["function"]
    name: ToolName


class AllowedTools(Tolerant):
    """A `tool_choice` that narrows what may be called to some of the `tools`."""

    type: Literal["allowed_tools"]
    mode: Literal["auto", "required"] = "auto"
    tools: list[NamedTool] = Field(min_length=1, max_length=MAX_TOOLS)


def _kind_of_choice(value: object) -> str:
    if isinstance(value, str):
        return "mode"
    kind = value.get("type") if isinstance(value, dict) else getattr(value, "type", "")
    if kind in ("function", "allowed_tools"):
        return str(kind)
    raise PydanticCustomError(
        "unsupported_parameter",
        "Only `none`, `auto`, `required`, a function, and `allowed_tools` work here.",
        {"param": "tool_choice"},
    )


ToolChoice = Annotated[
    Annotated[Literal["none", "auto", "required"], Tag("mode")]
    | Annotated[NamedTool, Tag("function")]
    | Annotated[AllowedTools, Tag("allowed_tools")],
    Discriminator(_kind_of_choice),
]


class PlainFormat(Tolerant):
    """Plain text, the default."""

    type: Literal["text"] = "text"


class JSONObjectFormat(Tolerant):
    """Any JSON object."""

    type: Literal["json_object"]


class JSONSchemaFormat(Tolerant):
    """JSON that fits a schema."""

    type: Literal["json_schema"]
    name: ToolName
    schema_: JSONSchema = Field(alias="schema")
    description: Annotated[str, StringConstraints(max_length=10_000)] | None = None
    strict: StrictBool | None = None


TextFormat = Annotated[
    PlainFormat | JSONObjectFormat | JSONSchemaFormat, Discriminator("type")
]


class TextOptions(Tolerant):
    """What the text of the answer looks like."""

    format: TextFormat = PlainFormat()
    verbosity: ShortText | None = None


class ReasoningOptions(Tolerant):
    """How much a reasoning model thinks."""

    effort: ShortText | None = None
    summary: ShortText | None = None


class ResponseStreamOptions(Tolerant):
    """Accepted, because clients send it: this service never obfuscates."""

    include_obfuscation: StrictBool = False


# --- The request ---

Includable = Literal[
    "code_interpreter_call.outputs",
    "computer_call_output.output.image_url",
    "file_search_call.results",
    "message.input_image.image_url",
    "message.output_text.logprobs",
    "reasoning.encrypted_content",
    "web_search_call.action.sources",
    "web_search_call.results",
]
LOGPROBS: Includable = "message.output_text.logprobs"
UNSUPPORTED_FIELDS: Mapping[str, str] = {
    "access_programs": "this service has none",
    "background_options": "a background response has no options here",
    "context_management": "a context is never shortened here",
    "conversation": "use `previous_response_id`",
    "image": "this service reads text",
    "moderation": "no moderation model is configured",
    "prompt": "no prompts are stored here",
    "prompt_cache_options": "prompts are not cached",
    "prompt_cache_retention": "prompts are not cached",
}


class ResponseRequest(Wire):
    """`POST /v1/responses`.

    `instructions`, `tools` and `text` are of this request only: a response that
    `previous_response_id` names brings along its items, and nothing else.
    """

    model: AnyModelName
    input: Annotated[
        list[InputItem],
        Field(max_length=MAX_INPUT_ITEMS, description="A text, or a list of items."),
        BeforeValidator(_as_items, json_schema_input_type=str | list[InputItem]),
    ] = Field(default_factory=list)
    instructions: LongText | None = None
    previous_response_id: ItemId | None = None
    max_output_tokens: (
        Annotated[int, Field(ge=1, le=MAX_TOKENS, strict=True)] | None
    ) = None
    temperature: (
        Annotated[float, Field(ge=0, le=2, strict=True, allow_inf_nan=False)] | None
    ) = None
    top_p: (
        Annotated[float, Field(ge=0, le=1, strict=True, allow_inf_nan=False)] | None
    ) = None
    frequency_penalty: Penalty = 0.0
    presence_penalty: Penalty = 0.0
    text: TextOptions = TextOptions()
    reasoning: ReasoningOptions | None = None
    tools: Annotated[list[Tool], Field(max_length=MAX_TOOLS)] = Field(
        default_factory=list
    )
    tool_choice: ToolChoice = "auto"
    parallel_tool_calls: StrictBool = True
    max_tool_calls: Annotated[int, Field(ge=1, strict=True)] | None = None
    include: list[Includable] = Field(default_factory=list, max_length=20)
    top_logprobs: Annotated[int, Field(ge=0, le=20, strict=True)] | None = None
    truncation: Literal["auto", "disabled"] = "disabled"
    store: StrictBool = Field(
        default=True,
        description="Whether the response can be read again and continued.",
    )
    stream: StrictBool = False
    stream_options: ResponseStreamOptions | None = None
    background: StrictBool = Field(
        default=False,
        description="Answer at once with a queued response, and work as a job.",
    )
    metadata: dict[MetadataKey, Annotated[str, StringConstraints(max_length=512)]] = (
        Field(default_factory=dict, max_length=MAX_METADATA)
    )
    user: Annotated[str, StringConstraints(max_length=256)] | None = None
    service_tier: ShortText | None = None
    prompt_cache_key: ShortText | None = None
    safety_identifier: ShortText | None = None

    @field_validator("user")
    @classmethod
    def check_user(cls, user: str | None) -> str | None:
        """Accept one line only, as on the chat route."""
        return None if user is None else s2.single_line("user", user)

    @model_validator(mode="before")
    @classmethod
    def known_fields(cls, value: object) -> object:
        """Drop nulls; name the fields that this service lacks, and chat's `messages`.

        `client.responses.parse(verbosity=...)` sends `verbosity` at the top.
        """
        if not isinstance(value, dict):
            return value
        given = {key: item for key, item in value.items() if item is not None}
        for name, why in UNSUPPORTED_FIELDS.items():
            if name in given:
                raise PydanticCustomError(
                    "unsupported_parameter",
                    "`{param}` is not supported: {why}.",
                    {"param": name, "why": why},
                )
        if "messages" in given:
            raise PydanticCustomError(
                "unknown_parameter",
                "This route reads `input`; `messages` is of /v1/chat/completions.",
                {"param": "messages"},
            )
        if "verbosity" in given:
            verbosity = given.pop("verbosity")
            text = given.get("text", {})
            if isinstance(text, dict):
                given["text"] = {"verbosity": verbosity, **text}
        return given

    @model_validator(mode="after")
    def check_combinations(self) -> Self:
        """Fields that only make sense, or none, together."""
        if not self.input and self.previous_response_id is None:
            raise _conflict("input", "give a text or at least one item")
        if self.stream_options is not None and not self.stream:
            raise _conflict("stream_options", "it is for stream: true only")
        if self.background and not self.store:
            raise _conflict("background", "it needs store: true, to be read later")
        if self.tool_choice == "required" and not self.tools:
            raise _conflict("tool_choice", "it needs tools")
        offered = {tool.name for tool in self.tools if isinstance(tool, FunctionTool)}
        if not offered.issuperset(self._chosen_names()):
            raise _conflict("tool_choice", "it names a function that tools does not")
        return self

    def _chosen_names(self) -> set[str]:
        """The functions that `tool_choice` names."""
        if isinstance(self.tool_choice, NamedTool):
            return {self.tool_choice.name}
        if isinstance(self.tool_choice, AllowedTools):
            return {tool.name for tool in self.tool_choice.tools}
        return set()


def _conflict(param: str, why: str) -> PydanticCustomError:
    return PydanticCustomError(
        "conflicting_parameters", "`{param}`: {why}.", {"param": param, "why": why}
    )


# --- Items of the output, and of what is stored ---


class WrittenText(Answer):
    """A text of the answer."""

    type: Literal["output_text"] = "output_text"
    text: str
    annotations: list[Any] = Field(default_factory=list)
    logprobs: list[TokenLogprob] = Field(default_factory=list)


class WrittenRefusal(Answer):
    """A refusal in place of a text."""

    type: Literal["refusal"] = "refusal"
    refusal: str


class ReadText(Answer):
    """A text that the model read."""

    type: Literal["input_text"] = "input_text"
    text: str


class OutputMessage(Answer):
    """What the model said."""

    id: str
    type: Literal["message"] = "message"
    status: ItemStatus = "completed"
    role: Literal["assistant"] = "assistant"
    content: list[Annotated[WrittenText | WrittenRefusal, Discriminator("type")]] = (
        Field(default_factory=list)
    )


class FunctionCallItem(Answer):
    """A call that the model wants made. `call_id` is what its output names."""

    id: str
    type: Literal["function_call"] = "function_call"
    status: ItemStatus = "completed"
    call_id: str
    name: str
    arguments: str


class SummaryText(Answer):
    """What the model thought, as far as it says."""

    type: Literal["summary_text"] = "summary_text"
    text: str


class ReasoningItem(Answer):
    """What the model thought before it answered."""

    id: str
    type: Literal["reasoning"] = "reasoning"
    status: ItemStatus = "completed"
    summary: list[SummaryText] = Field(default_factory=list)


class StoredMessage(Answer):
    """A message that the model read."""

    id: str
    type: Literal["message"] = "message"
    status: ItemStatus = "completed"
    role: Literal["user", "system", "developer"]
    content: list[ReadText]


class StoredOutput(Answer):
    """The output of a function, which the model read."""

    id: str
    type: Literal["function_call_output"] = "function_call_output"
    status: ItemStatus = "completed"
    call_id: str
    output: str


OutputItem = Annotated[
    OutputMessage | FunctionCallItem | ReasoningItem, Discriminator("type")
]


def _kind_of_context(value: object) -> str:
    """A message of the assistant has parts of its own; other items go by their type."""
    if isinstance(value, dict):
        kind, role = value.get("type"), value.get("role")
    else:
        kind, role = getattr(value, "type", None), getattr(value, "role", None)
    return "answer" if kind == "message" and role == "assistant" else str(kind)


ContextItem = Annotated[
    Annotated[OutputMessage, Tag("answer")]
    | Annotated[StoredMessage, Tag("message")]
    | Annotated[FunctionCallItem, Tag("function_call")]
    | Annotated[StoredOutput, Tag("function_call_output")],
    Discriminator(_kind_of_context),
]


# --- The response ---


class InputTokensDetails(Answer):
    """Of the tokens read: those that the model had read before."""

    cached_tokens: int = 0
    cache_write_tokens: int = 0


class OutputTokensDetails(Answer):
    """Of the tokens written: those that are thoughts."""

    reasoning_tokens: int = 0


class ResponseUsage(Answer):
    """The tokens of one response."""

    input_tokens: int
    input_tokens_details: InputTokensDetails
    output_tokens: int
    output_tokens_details: OutputTokensDetails
    total_tokens: int


class IncompleteDetails(Answer):
    """Why an answer is not complete."""

    reason: Literal["max_output_tokens", "content_filter"]


class ResponseError(Answer):
    """Why a response failed."""

    code: str
    message: str
    type: str = "server_error"
    param: str | None = None


class EchoedTool(Answer):
    """A function of the request, with every field written out."""

    type: Literal["function"] = "function"
    name: str
    description: str | None = None
    parameters: JSONSchema | None = None
    strict: bool | None = None


class Response(Answer):
    """A response, whole. Every field is always there: clients rely on it.

    Fields of an upstream's own are kept.
    """

    model_config = ConfigDict(extra="allow")

    id: str = Field(examples=["resp_0123456789abcdef0123456789abcdef"])
    object: Literal["response"] = "response"
    created_at: int
    completed_at: int | None = None
    status: ResponseStatus
    background: bool
    error: ResponseError | None = None
    incomplete_details: IncompleteDetails | None = None
    instructions: str | None
    max_output_tokens: int | None
    max_tool_calls: int | None
    metadata: dict[str, str]
    model: str
    output: list[OutputItem] = Field(default_factory=list)
    parallel_tool_calls: bool
    previous_response_id: str | None
    prompt_cache_key: str | None
    reasoning: dict[str, str | None]
    safety_identifier: str | None
    service_tier: str
    store: bool
    temperature: float
    text: dict[str, Any]
    tool_choice: str | dict[str, Any]
    tools: list[EchoedTool]
    top_logprobs: int
    top_p: float
    frequency_penalty: float
    presence_penalty: float
    truncation: str
    usage: ResponseUsage | None = None
    user: str | None


# What this service says of a response itself, and no upstream in its place.
OWN_FIELDS = frozenset(Response.model_fields) - {"service_tier"}


class InputItemList(Answer):
    """A page of what a response was made from."""

    object: Literal["list"] = "list"
    data: list[ContextItem]
    first_id: str | None = None
    last_id: str | None = None
    has_more: bool = False


class DeletedResponse(Answer):
    """What was deleted."""

    id: str
    object: Literal["response"] = "response"
    deleted: Literal[True] = True
