r"""Section 2: Pydantic v2 models for every request and response of a chat API.

Run it: `python -m course run s2`, `uvicorn examples.s2_models:app` or
`python examples/s2_models.py`; the docs are at http://127.0.0.1:8000/docs. Try it, and
post mistakes: `/validate` shows what your JSON became, or what is wrong with it.
    curl -s http://127.0.0.1:8000/validate/chat \
        --json '{"messages": [{"role": "user", "content": "    def f(): ..."}]}'
    curl -s http://127.0.0.1:8000/validate/chat --json '{"temperature": true}'
    curl -s http://127.0.0.1:8000/validate/embeddings --json '{"input": ["a", "b"]}'
    curl -s http://127.0.0.1:8000/complete \
        --json '{"messages": [{"role": "user", "content": "What do you cost?"}]}'
"""

import re
import time
import unicodedata
import uuid
from decimal import Decimal
from typing import Annotated, Any, Literal, Self

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field, computed_field, field_validator
from pydantic.functional_serializers import PlainSerializer
from pydantic.functional_validators import AfterValidator, model_validator
from pydantic.types import Discriminator, StringConstraints, Tag
from pydantic_core import PydanticCustomError

CONTEXT_WINDOW = 128_000  # tokens, question and answer together
CHARS_PER_TOKEN = 4  # a rule of thumb for English; Chinese needs more tokens
MAX_TEXT = 100_000  # characters of one message or of one text to embed
MAX_EMBEDDING_CHARS = 1_000_000  # of one request; the lecture let 204 MB through
MAX_BODY_BYTES = 16 * 1024 * 1024  # room for all that, every character \u-escaped
MAX_ERRORS = 20
TOO_LONG = "messages (about {prompt} tokens) and max_tokens ({most}) exceed {n} tokens"
PRICES_PER_1K = {  # USD per 1,000 tokens: prompt, completion
    "gpt-4o": (Decimal("0.0025"), Decimal("0.010")),
    "gpt-4o-mini": (Decimal("0.00015"), Decimal("0.0006")),
}


def check_text(text: str) -> str:
    """`text` as it came: stripping cost code its indentation. Zero width is blank."""
    if "\0" in text:
        raise PydanticCustomError("null_byte", "Text must not contain null bytes")
    if all(unicodedata.category(c) in {"Cc", "Cf", "Zl", "Zp", "Zs"} for c in text):
        raise PydanticCustomError("blank_text", "Text must not be blank")
    return text


def check_total(texts: list[str]) -> list[str]:
    """`texts` as they came: each was checked before, here all of them together."""
    if sum(map(len, texts)) > MAX_EMBEDDING_CHARS:
        limit = {"limit": MAX_EMBEDDING_CHARS}
        raise PydanticCustomError("input_too_long", "Over {limit} characters", limit)
    return texts


NAME = "^[A-Za-z0-9][A-Za-z0-9._-]*$"  # Rust's `$` is exact, Python's allows a "\n"
ModelName = Annotated[str, Field(pattern=NAME, max_length=128)]
ChatId = Annotated[str, Field(pattern="^chatcmpl-[A-Za-z0-9]+$", max_length=128)]
Text = Annotated[str, Field(min_length=1, max_length=MAX_TEXT, examples=["Why?"])]
Visible = AfterValidator(check_text)
VisibleText = Annotated[Text, Visible]
Texts = Annotated[
    list[VisibleText], Field(min_length=1, max_length=2048), AfterValidator(check_total)
]
Line = StringConstraints(strip_whitespace=True, pattern=r"^[^\p{Cc}\p{Zl}\p{Zp}]*$")
Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0, le=10**12, strict=True)]
USD = Annotated[Decimal, PlainSerializer(lambda d: f"{d:f}", str, when_used="json")]
FinishReason = Literal["stop", "length", "content_filter"]


class Message(BaseModel):
    """One turn of a conversation. A `name` is one line: no "x\\nsystem: obey"."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    role: Literal["system", "user", "assistant"]
    content: Text
    name: Annotated[str, Line, Field(max_length=64), Visible] | None = None

    @field_validator("content")
    @classmethod
    def check_content(cls, content: str | None) -> str | None:
        """A subclass may allow None, for messages that only call tools."""
        return content if content is None else check_text(content)


class ChatCompletionRequest(BaseModel):
    """A conversation and how to continue it. Defaults follow `=`, for type checkers."""

    model_config = ConfigDict(extra="forbid", frozen=True)  # here and in each Message
    messages: list[Message] = Field(
        min_length=1, max_length=1000, description="The conversation, oldest first."
    )
    model: ModelName = "gpt-4o-mini"
    temperature: Annotated[Number, Field(ge=0, le=2)] = 0.7  # `true` was 1.0
    max_tokens: Annotated[int, Field(ge=1, le=16_384, strict=True)] = 1024
    top_p: Annotated[Number, Field(ge=0, le=1)] = 1.0
    stream: Annotated[bool, Field(strict=True)] = False
    user: Annotated[str, Line, Field(max_length=256)] | None = None

    @model_validator(mode="after")
    def check_context_window(self) -> Self:
        """Refuse what cannot fit, before a token is paid for."""
        prompt = sum(len(m.content) for m in self.messages) // CHARS_PER_TOKEN
        if prompt + self.max_tokens > CONTEXT_WINDOW:
            figures = {"prompt": prompt, "most": self.max_tokens, "n": CONTEXT_WINDOW}
            raise PydanticCustomError("context_length_exceeded", TOO_LONG, figures)
        return self


class EmbeddingRequest(BaseModel):
    """One to 2048 texts to embed: 100,000 characters each, 1,000,000 together."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    input: Annotated[  # a plain union would report the errors of both its arms
        Annotated[VisibleText, Tag("text")] | Annotated[Texts, Tag("texts")],
        Discriminator(lambda value: "texts" if isinstance(value, list) else "text"),
    ]
    model: ModelName = "text-embedding-3-small"
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: Annotated[int, Field(ge=1, le=3072, strict=True)] | None = None


class ResponseModel(BaseModel):
    """Base of what is answered: checked when it is built, and again when it is sent."""

    model_config = ConfigDict(frozen=True, revalidate_instances="always")


class Usage(ResponseModel):
    """Tokens of one call. Counts a provider adds (cached, reasoning) are kept."""

    model_config = ConfigDict(extra="allow")
    prompt_tokens: Count
    completion_tokens: Count

    @computed_field  # type: ignore[prop-decorator]  # python/mypy#14461
    @property
    def total_tokens(self) -> int:
        """Prompt and completion together."""
        return self.prompt_tokens + self.completion_tokens

    @model_validator(mode="after")
    def check_sum(self) -> Self:
        """A total that was sent along, as in our own dump, must be true."""
        claim = (self.model_extra or {}).pop("total_tokens", self.total_tokens)
        if repr(claim) != repr(self.total_tokens):
            raise PydanticCustomError("false_total", "total_tokens is not the sum")
        return self


class ResponseMessage(ResponseModel):
    """What the model said; `content` is null where it refused."""

    role: Literal["assistant"] = "assistant"
    content: Annotated[str, Field(max_length=1_000_000)] | None
    refusal: Annotated[str, Field(max_length=1_000_000)] | None = None


class Choice(ResponseModel):
    """One answer; `finish_reason` is null, not "null", until it is finished."""

    index: Count
    message: ResponseMessage
    finish_reason: FinishReason | None = None


def price_usd(model: str, prompt_tokens: int, completion_tokens: int) -> Decimal | None:
    """USD, exact; None for models without a price: not all are gpt-4o, nor floats."""
    family = re.sub(r"-[0-9]{4}-[0-9]{2}-[0-9]{2}\Z", "", model)  # of a dated snapshot
    if family not in PRICES_PER_1K:
        return None
    prompt, completion = PRICES_PER_1K[family]
    return (prompt_tokens * prompt + completion_tokens * completion) / 1000


class ChatCompletionResponse(ResponseModel):
    """A whole answer in OpenAI's shape; `created` is Unix time in seconds."""

    id: ChatId = Field(default_factory=lambda: f"chatcmpl-{uuid.uuid4().hex}")
    object: Literal["chat.completion"] = "chat.completion"
    created: Count = Field(default_factory=lambda: int(time.time()))
    model: Annotated[str, Field(min_length=1, max_length=128)]
    choices: list[Choice]
    usage: Usage

    @computed_field  # type: ignore[prop-decorator]  # python/mypy#14461
    @property
    def cost_usd(self) -> USD | None:
        """In JSON a string without exponent; null where the price is not known."""
        used = self.usage
        return price_usd(self.model, used.prompt_tokens, used.completion_tokens)


class ErrorResponse(ResponseModel):
    """The one body of every failure."""

    error: Annotated[str, Field(max_length=10_000)]
    code: Annotated[str, Field(max_length=128)]
    request_id: Annotated[str, Field(max_length=128)] | None = None
    details: dict[str, Any] | None = None


shapes: dict[int | str, dict[str, Any]] = {422: {"model": ErrorResponse}}
app = FastAPI(title="Section 2: models", max_body_size=MAX_BODY_BYTES, responses=shapes)


@app.exception_handler(RequestValidationError)
async def explain(_: Request, error: RequestValidationError) -> Response:
    """No `input`, no `ctx`: a NaN or lone surrogate echoed made a 500 of the 422."""
    details = {
        ".".join(map(str, e["loc"]))[:200]: e["msg"]
        for e in error.errors()[:MAX_ERRORS]
    }
    body = ErrorResponse(error="Not valid", code="validation_error", details=details)
    return Response(body.model_dump_json(), 422, media_type="application/json")


@app.post("/validate/chat", tags=["validate"])
async def validate_chat(request: ChatCompletionRequest) -> ChatCompletionRequest:
    """Your request as the model sees it."""
    return request


@app.post("/validate/embeddings", tags=["validate"])
async def validate_embeddings(request: EmbeddingRequest) -> EmbeddingRequest:
    """Your request as the model sees it."""
    return request


@app.post("/complete", tags=["answer"])
async def complete(request: ChatCompletionRequest) -> ChatCompletionResponse:
    """An answer that repeats the last message, and its price; no model is called."""
    said = request.messages[-1].content
    text = said[: request.max_tokens * CHARS_PER_TOKEN]
    ended: FinishReason = "stop" if text == said else "length"
    choice = Choice(index=0, message=ResponseMessage(content=text), finish_reason=ended)
    prompt = sum(len(m.content) for m in request.messages) // CHARS_PER_TOKEN
    usage = Usage(prompt_tokens=prompt, completion_tokens=len(text) // CHARS_PER_TOKEN)
    return ChatCompletionResponse(model=request.model, choices=[choice], usage=usage)


if __name__ == "__main__":
    import uvicorn

    uvicorn.run(app, host="127.0.0.1", port=8000)
