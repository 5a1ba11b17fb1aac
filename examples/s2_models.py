r"""Section 2: Pydantic models for every request and every answer of a chat API.

A model is a class that says what data must look like. Pydantic checks each request
against it before any of our code runs, so a bad request costs no tokens.

Run it with `python -m course run s2`, `uvicorn examples.s2_models:app` or
`python examples/s2_models.py`. The documentation is at http://127.0.0.1:8000/docs.

`/validate/chat` and `/validate/embeddings` answer with what your JSON became, or say
what is wrong with it. The first line below is valid; the second has two mistakes.

    curl -s http://127.0.0.1:8000/validate/chat \
        -H 'Content-Type: application/json' \
        -d '{"messages": [{"role": "user", "content": "    def f(): ..."}]}'
    curl -s http://127.0.0.1:8000/validate/chat \
        -H 'Content-Type: application/json' \
        -d '{"temperature": true}'
    curl -s http://127.0.0.1:8000/validate/embeddings \
        -H 'Content-Type: application/json' \
        -d '{"input": ["a", "b"]}'

`/complete` repeats the last message as an answer and says what it would have cost.

    curl -s http://127.0.0.1:8000/complete \
        -H 'Content-Type: application/json' \
        -d '{"messages": [{"role": "user", "content": "What do you cost?"}]}'
"""

import re
import time
import unicodedata
import uuid
from decimal import Decimal
from typing import Annotated, Any, Literal, Self

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    PlainSerializer,
    Tag,
    computed_field,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

# --- A message -----------------------------------------------------------------------
# A conversation is a list of messages. Each field states its own limits, and a field
# validator adds a rule that limits cannot express. It could raise a ValueError, which
# has words for people; a PydanticCustomError also has a type that programs can compare.
# Two functions that it calls come at the end of the file, in "What production adds".


class Message(BaseModel):
    """One turn of a conversation: who speaks, and what they say."""

    # A misspelt field is an error instead of being ignored, and a message that was
    # validated cannot be changed afterwards.
    model_config = ConfigDict(extra="forbid", frozen=True)

    role: Literal["system", "user", "assistant"]
    content: str = Field(min_length=1, max_length=100_000)
    name: str | None = Field(default=None, max_length=64)

    @field_validator("content")
    @classmethod
    def check_content(cls, content: str) -> str:
        """Refuse null bytes, because databases and C libraries end the text there.

        The content is otherwise kept as it came: removing the spaces in front would
        take the indentation of code that somebody pastes.
        """
        if "\x00" in content:
            raise PydanticCustomError(
                "null_byte", "content must not contain null bytes"
            )
        return refuse_blank("content", content)

    @field_validator("name")
    @classmethod
    def check_name(cls, name: str | None) -> str | None:
        """Accept one line only: a second line could pose as another speaker."""
        if name is None:
            return None
        return refuse_blank("name", single_line("name", name))


# --- A chat request ------------------------------------------------------------------
# A request is a conversation and a few numbers that say how to continue it. A range
# protects each number, and a model validator checks what no single field can know:
# whether the question and the answer fit into the model's context window together.

CONTEXT_WINDOW = 128_000  # tokens, for the question and the answer together
CHARS_PER_TOKEN = 4  # an estimate for English; other languages need more tokens

# The name of a model is needed in two requests, so its rule has a name of its own.
ModelName = Annotated[
    str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=128)
]


class ChatCompletionRequest(BaseModel):
    """A conversation, and how the model shall continue it."""

    # A number that is infinite, or no number (NaN), is refused in every field.
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    messages: list[Message] = Field(
        min_length=1,
        max_length=1000,
        description="The conversation, oldest message first.",
        examples=[[{"role": "user", "content": "Why?"}]],
    )
    model: ModelName = "gpt-4o-mini"
    # Without `strict`, Pydantic would read true as 1.0 and "12" as 12.
    temperature: float = Field(default=0.7, ge=0, le=2, strict=True)
    max_tokens: int = Field(default=1024, ge=1, le=16_384, strict=True)
    top_p: float = Field(default=1.0, ge=0, le=1, strict=True)
    stream: bool = Field(default=False, strict=True)
    user: str | None = Field(default=None, max_length=256)

    @field_validator("user")
    @classmethod
    def check_user(cls, user: str | None) -> str | None:
        """Accept one line only: in a log, a second line could pose as an entry."""
        return None if user is None else single_line("user", user)

    @model_validator(mode="after")
    def check_context_window(self) -> Self:
        """Refuse a request that cannot fit, before a single token is paid for.

        The check runs after every field was found valid, so it can rely on them.
        """
        characters = sum(len(message.content) for message in self.messages)
        prompt_tokens = characters // CHARS_PER_TOKEN
        if prompt_tokens + self.max_tokens > CONTEXT_WINDOW:
            raise PydanticCustomError(
                "context_length_exceeded",
                "messages (about {prompt_tokens} tokens) and max_tokens ({max_tokens}) "
                "exceed the context window of {context_window} tokens",
                {
                    "prompt_tokens": prompt_tokens,
                    "max_tokens": self.max_tokens,
                    "context_window": CONTEXT_WINDOW,
                },
            )
        return self


# --- A request for embeddings --------------------------------------------------------
# An embedding turns text into a list of numbers. The input is one text or a list of
# texts, and every one of them obeys the same rules. That is why the rules of a text are
# an alias here: `Annotated` ties a type, its limits and a check together.

MAX_TEXT = 100_000  # characters of one text, as many as a message may have
MAX_EMBEDDING_CHARS = 1_000_000  # characters of all texts of one request together


def check_text(text: str) -> str:
    """Refuse null bytes and blank text, as `Message` does for its content."""
    if "\x00" in text:
        raise PydanticCustomError("null_byte", "a text must not contain null bytes")
    return refuse_blank("a text", text)


def check_total_length(texts: list[str]) -> list[str]:
    """Limit all texts together: 2048 texts of full length would be 204 MB."""
    if sum(len(text) for text in texts) > MAX_EMBEDDING_CHARS:
        raise PydanticCustomError(
            "input_too_long",
            "all texts together must not exceed {limit} characters",
            {"limit": MAX_EMBEDDING_CHARS},
        )
    return texts


VisibleText = Annotated[
    str,
    Field(min_length=1, max_length=MAX_TEXT, examples=["Why?"]),
    AfterValidator(check_text),
]
Texts = Annotated[
    list[VisibleText],
    Field(min_length=1, max_length=2048),
    AfterValidator(check_total_length),
]


def kind_of_input(value: object) -> Literal["text", "texts"]:
    """Tell which of the two kinds of input the caller meant.

    Pydantic then checks that kind alone. A plain union would try both, and one mistake
    would be reported twice.
    """
    return "texts" if isinstance(value, list) else "text"


# A tag gives a type the name that `kind_of_input` returns for it.
OneText = Annotated[VisibleText, Tag("text")]
ManyTexts = Annotated[Texts, Tag("texts")]


class EmbeddingRequest(BaseModel):
    """One text to embed, or up to 2048 of them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    input: Annotated[OneText | ManyTexts, Discriminator(kind_of_input)]
    model: ModelName = "text-embedding-3-small"
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: int | None = Field(default=None, ge=1, le=3072, strict=True)


# --- Usage and choices ---------------------------------------------------------------
# From here on the models describe what we answer. An answer is checked as well: when it
# is built, and once more when it is sent. A total is computed, never stored, so that it
# cannot disagree with its parts.


class ResponseModel(BaseModel):
    """The base of all models of an answer: each is checked again when it is sent."""

    model_config = ConfigDict(frozen=True, revalidate_instances="always")


Count = Annotated[int, Field(ge=0, le=10**12, strict=True)]
FinishReason = Literal["stop", "length", "content_filter"]


class Usage(ResponseModel):
    """The tokens of one call. Further counts that a provider sends are kept."""

    model_config = ConfigDict(extra="allow")

    prompt_tokens: Count
    completion_tokens: Count

    @computed_field
    @property
    def total_tokens(self) -> int:
        """Prompt and completion together."""
        return self.prompt_tokens + self.completion_tokens

    @model_validator(mode="after")
    def check_total(self) -> Self:
        """Refuse a `total_tokens` that is not the sum.

        Providers send a total, and our own JSON has one when it is read back.
        """
        extra = self.model_extra or {}
        if "total_tokens" not in extra:
            return self
        claimed = extra.pop("total_tokens")
        # True equals 1 and 3.0 equals 3, but neither is a count.
        if type(claimed) is not int or claimed != self.total_tokens:
            raise PydanticCustomError(
                "false_total", "total_tokens is not the sum of its parts"
            )
        return self


class ResponseMessage(ResponseModel):
    """What the model said. `content` is null where the model refused to answer."""

    role: Literal["assistant"] = "assistant"
    content: str | None = Field(max_length=1_000_000)
    refusal: str | None = Field(default=None, max_length=1_000_000)


class Choice(ResponseModel):
    """One answer. `finish_reason` is null until the answer is finished."""

    index: Count
    message: ResponseMessage
    finish_reason: FinishReason | None = None


# --- What an answer costs ------------------------------------------------------------
# Prices are Decimal and not float: 0.1 + 0.2 is 0.30000000000000004 as a float, and a
# bill must be exact.

PRICES_PER_1K = {  # USD for 1,000 tokens: prompt, completion
    "gpt-4o": (Decimal("0.0025"), Decimal("0.010")),
    "gpt-4o-mini": (Decimal("0.00015"), Decimal("0.0006")),
}
SNAPSHOT_DATE = re.compile(r"-[0-9]{4}-[0-9]{2}-[0-9]{2}$")


def price_usd(model: str, prompt_tokens: int, completion_tokens: int) -> Decimal | None:
    """The price as an exact Decimal in USD, or None if we do not know it.

    A dated snapshot, such as `gpt-4o-2024-08-06`, costs what its family costs.
    """
    family = SNAPSHOT_DATE.sub("", model)
    if family not in PRICES_PER_1K:
        return None
    prompt_price, completion_price = PRICES_PER_1K[family]
    return (prompt_tokens * prompt_price + completion_tokens * completion_price) / 1000


# --- A whole answer ------------------------------------------------------------------
# The answer has the shape of OpenAI's, so that every client of theirs can read it. The
# cost is a computed field: it follows from the model and the usage.


def write_in_full(amount: Decimal) -> str:
    """Write an amount without an exponent: 0.00000015 instead of 1.5E-7."""
    return f"{amount:f}"


def new_completion_id() -> str:
    """A fresh id: `chatcmpl-` and 32 hexadecimal digits."""
    return f"chatcmpl-{uuid.uuid4().hex}"


def unix_time() -> int:
    """The time now, in whole seconds since 1970."""
    return int(time.time())


USD = Annotated[Decimal, PlainSerializer(write_in_full, when_used="json")]


class ChatCompletionResponse(ResponseModel):
    """A whole answer, as in OpenAI's API reference (the chat completion object)."""

    id: str = Field(
        default_factory=new_completion_id,
        pattern=r"^chatcmpl-[A-Za-z0-9]+$",
        max_length=128,
    )
    object: Literal["chat.completion"] = "chat.completion"
    created: Count = Field(default_factory=unix_time)
    model: str = Field(min_length=1, max_length=128)
    choices: list[Choice]
    usage: Usage

    @computed_field
    @property
    def cost_usd(self) -> USD | None:
        """The price in USD: a string in JSON, and null where we do not know it."""
        return price_usd(
            self.model, self.usage.prompt_tokens, self.usage.completion_tokens
        )


# --- One error format everywhere -----------------------------------------------------
# Every failure has the same body. A client that can read one failure can read them all.


class ErrorResponse(ResponseModel):
    """The body of every failure, for people and for programs."""

    error: str = Field(max_length=10_000)
    code: str = Field(max_length=128)
    request_id: str | None = Field(default=None, max_length=128)
    details: dict[str, Any] | None = None


# --- The routes ----------------------------------------------------------------------
# A route names its models as parameter and as return type. FastAPI does the rest: it
# reads the JSON, validates it, and documents the models at /docs.

MAX_BODY_BYTES = 16 * 1024 * 1024  # room for the longest valid request in any spelling

app = FastAPI(
    title="Section 2: models",
    max_body_size=MAX_BODY_BYTES,
    responses={422: {"model": ErrorResponse}},
)


@app.post("/validate/chat", tags=["validate"], summary="Check a chat request")
async def validate_chat(request: ChatCompletionRequest) -> ChatCompletionRequest:
    """Answer with the request as the model sees it, defaults filled in."""
    return request


@app.post(
    "/validate/embeddings", tags=["validate"], summary="Check a request for embeddings"
)
async def validate_embeddings(request: EmbeddingRequest) -> EmbeddingRequest:
    """Answer with the request as the model sees it, defaults filled in."""
    return request


@app.post("/complete", tags=["answer"], summary="Answer a chat request")
async def complete(request: ChatCompletionRequest) -> ChatCompletionResponse:
    """Repeat the last message as the answer, and price it. No model is called."""
    question = request.messages[-1].content
    answer = question[: request.max_tokens * CHARS_PER_TOKEN]
    finish_reason: FinishReason = "stop" if answer == question else "length"
    prompt_characters = sum(len(message.content) for message in request.messages)
    return ChatCompletionResponse(
        model=request.model,
        choices=[
            Choice(
                index=0,
                message=ResponseMessage(content=answer),
                finish_reason=finish_reason,
            )
        ],
        usage=Usage(
            prompt_tokens=prompt_characters // CHARS_PER_TOKEN,
            completion_tokens=len(answer) // CHARS_PER_TOKEN,
        ),
    )


# --- What production adds ------------------------------------------------------------
# Text from strangers can look blank although it has characters, and can break the line
# that it is printed in. An error message must not repeat what was sent. The section can
# be taught without this part.

MAX_ERRORS = 20  # mistakes named in one answer
MAX_PATH = 200  # characters of a field's path in one answer

# Unicode's categories: control and format characters, line and paragraph separators,
# spaces. A character of another category can be seen.
INVISIBLE = {"Cc", "Cf", "Zl", "Zp", "Zs"}
ENDS_A_LINE = {"Cc", "Zl", "Zp"}


def refuse_blank(field: str, text: str) -> str:
    """Return the text if any of it can be seen.

    Spaces and zero-width characters look like nothing, and are billed as tokens.
    Raises PydanticCustomError with the type `blank_text`.
    """
    if all(unicodedata.category(character) in INVISIBLE for character in text):
        raise PydanticCustomError(
            "blank_text", "{field} must not be blank", {"field": field}
        )
    return text


def single_line(field: str, text: str) -> str:
    """Return the text without the spaces around it, if it is one line.

    Raises PydanticCustomError with the type `not_one_line` for a line break or any
    other control character.
    """
    stripped = text.strip()
    if any(unicodedata.category(character) in ENDS_A_LINE for character in stripped):
        raise PydanticCustomError(
            "not_one_line",
            "{field} must be one line, without control characters",
            {"field": field},
        )
    return stripped


@app.exception_handler(RequestValidationError)
async def explain_validation_error(
    _: Request, error: RequestValidationError
) -> Response:
    """Answer a bad request with status 422 and the mistakes by field.

    Only paths and messages are sent, never the input: it may be secret or huge, and a
    NaN or half a surrogate pair in it cannot be written as JSON.
    """
    details: dict[str, str] = {}
    for mistake in error.errors()[:MAX_ERRORS]:
        path = ".".join(str(part) for part in mistake["loc"])
        details[path[:MAX_PATH]] = mistake["msg"]
    body = ErrorResponse(
        error="The request is not valid.", code="validation_error", details=details
    )
    return Response(body.model_dump_json(), 422, media_type="application/json")


if __name__ == "__main__":
    import uvicorn

    uvicorn.run(app, host="127.0.0.1", port=8000)
