"""The default provider: answers from the prompt, always the same, with no network.

Same conversation, seed and choice: same text, whole or streamed. It streams word by
word with pauses like a model's (`pace` scales them, 0 turns them off), stops at stop
sequences and limits, calls tools when asked to, and answers JSON that fits a schema.
"""

import asyncio
import hashlib
import json
import random
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass

from examples.full_app.errors import ModelNotFoundError, RequestError
from examples.full_app.providers.json_answers import Filler
from examples.full_app.providers.logprobs import logprobs_of
from examples.full_app.providers.prose import compose, last_question, seeded
from examples.full_app.providers.protocol import (
    CallContext,
    Delta,
    EmbeddingCall,
    Embeddings,
)
from examples.full_app.providers.tools import tools_to_call
from examples.full_app.providers.vectors import embed, features_of, shortened
from examples.full_app.schemas.answers import FunctionDelta, ToolCallDelta
from examples.full_app.schemas.base import FinishReason
from examples.full_app.schemas.catalogue import Model
from examples.full_app.schemas.chat import ChatCompletionRequest
from examples.full_app.schemas.parameters import (
    JSONObjectResponseFormat,
    JSONSchemaResponseFormat,
)
from examples.full_app.tokens import EstimateTokenizer, Tokenizer, count_messages
from examples.s2_models import Usage

CREATED = 1_767_225_600  # 2026-01-01, so that lists are the same every day
FIRST_TOKEN_SECONDS = 0.2
WORD_SECONDS = 0.03
TURN = 16  # pieces between two turns of the loop, when there are no pauses
ECHO = "offline-echo"
DEFAULT_MODEL = "gpt-4o-mini"
CHAT_MODELS = {
    DEFAULT_MODEL: "Answers offline, word by word; the default of the course.",
    "gpt-4o": "Answers offline; costs more in the ledger.",
    "gpt-4o-mini-2024-07-18": "A dated snapshot: priced as its family.",
    ECHO: "Says the last user message back, character by character the same.",
}
EMBEDDING_MODELS = {"text-embedding-3-small": 1536, "text-embedding-3-large": 3072}
_PIECES = re.compile(r"\s*\S+\s*\Z|\s*\S+|\s+")


@dataclass(frozen=True, slots=True)
class _Script:
    """What one choice will say."""

    pieces: Sequence[str]
    reason: FinishReason


class OfflineProvider:
    """Deterministic answers and embeddings, made here."""

    name = "offline"

    def __init__(
        self,
        pace: float = 1.0,
        tokenizer: Tokenizer | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.pace = pace
        self.tokenizer = tokenizer or EstimateTokenizer()
        self._sleep = sleep

    async def models(self) -> Sequence[Model]:
        """The chat and the embedding models."""
        described = CHAT_MODELS | {
            name: f"Embeds offline in {size} dimensions; similar texts are near."
            for name, size in EMBEDDING_MODELS.items()
        }
        return [
            Model(id=name, created=CREATED, owned_by="offline", description=text)
            for name, text in described.items()
        ]

    async def stream(
        self, request: ChatCompletionRequest, call: CallContext
    ) -> AsyncIterator[Delta | Usage]:
        """The choices one after the other, then the usage of all of them."""
        if request.model not in CHAT_MODELS:
            raise _wrong_model(request.model)
        produced = 0
        await self._pause(FIRST_TOKEN_SECONDS)
        for index in range(request.n):
            dice = seeded(request, index)
            text: list[str] = []
            for delta in self._choice(request, index, dice):
                text.append(delta.content or "")
                for piece in delta.tool_calls:
                    text.append(piece.function.name or "")
                    text.append(piece.function.arguments or "")
                yield delta
                if self.pace:
                    await self._pause(WORD_SECONDS * (0.5 + dice.random()))
                elif len(text) % TURN == 0:
                    await self._sleep(0)
            produced += self.tokenizer.count("".join(text))
        yield Usage(
            prompt_tokens=count_messages(self.tokenizer, request.messages),
            completion_tokens=produced,
        )

    async def embed(self, request: EmbeddingCall, call: CallContext) -> Embeddings:
        """A vector of length 1 for each input."""
        size = EMBEDDING_MODELS.get(request.model)
        if size is None:
            raise _wrong_model(request.model)
        if request.dimensions is not None and request.dimensions > size:
            raise RequestError(
                f"{request.model} has {size} dimensions at most.", param="dimensions"
            )
        vectors = []
        for item in request.inputs:
            vector = embed(features_of(item), size)
            vectors.append(shortened(vector, request.dimensions or size))
            await self._sleep(0)
        tokens = sum(
            self.tokenizer.count(item) if isinstance(item, str) else len(item)
            for item in request.inputs
        )
        return Embeddings(vectors, tokens)

    def _choice(
        self, request: ChatCompletionRequest, index: int, dice: random.Random
    ) -> Iterator[Delta]:
        calls = tools_to_call(request)
        if calls:
            prompt = last_question(request.messages)
            for number, tool in enumerate(calls):
                schema = tool.function.parameters or {"type": "object"}
                arguments = json.dumps(Filler(schema, prompt, dice).fill(schema))
                yield from _call(index, number, tool.function.name, arguments, dice)
            yield Delta(index, finish_reason="tool_calls")
            return
        script = self._script(request, dice)
        for piece in script.pieces:
            chances = logprobs_of(piece, request, dice) if request.logprobs else None
            yield Delta(index, piece, logprobs=chances)
        yield Delta(index, finish_reason=script.reason)

    def _script(self, request: ChatCompletionRequest, dice: random.Random) -> _Script:
        text = self._text(request, dice)
        cuts = [at for stop in request.stop or [] if (at := text.find(stop)) >= 0]
        text = text[: min(cuts)] if cuts else text
        fitting = self._fitting(text, request.output_limit)
        reason: FinishReason = "stop" if len(fitting) == len(text) else "length"
        pieces = _PIECES.findall(fitting)
        return _Script(pieces, reason)

    def _text(self, request: ChatCompletionRequest, dice: random.Random) -> str:
        question = last_question(request.messages)
        match request.response_format:
            case JSONSchemaResponseFormat(json_schema=wanted):
                schema = wanted.schema_
                return json.dumps(Filler(schema, question, dice).fill(schema))
            case JSONObjectResponseFormat():
                answer = compose(request.messages, dice)
                return json.dumps({"question": question[:200], "answer": answer})
        if request.model == ECHO:
            return question
        return compose(request.messages, dice)

    def _fitting(self, text: str, limit: int) -> str:
        """The longest beginning of `text` that has at most `limit` tokens."""
        if self.tokenizer.count(text) <= limit:
            return text
        low, high = 0, len(text)
        while low < high:
            middle = (low + high + 1) // 2
            fits = self.tokenizer.count(text[:middle]) <= limit
            low, high = (middle, high) if fits else (low, middle - 1)
        return text[:low]

    async def _pause(self, seconds: float) -> None:
        if self.pace:
            await self._sleep(seconds * self.pace)


def _call(
    index: int, number: int, name: str, arguments: str, dice: random.Random
) -> Iterator[Delta]:
    """One tool call in pieces: the first has id, type and name."""
    call_id = f"call_{hashlib.blake2b(dice.randbytes(16), digest_size=12).hexdigest()}"
    first = FunctionDelta(name=name, arguments="")
    opening = ToolCallDelta(index=number, id=call_id, type="function", function=first)
    yield Delta(index, tool_calls=(opening,))
    for piece in re.findall(r".{1,12}", arguments, re.DOTALL):
        more = ToolCallDelta(index=number, function=FunctionDelta(arguments=piece))
        yield Delta(index, tool_calls=(more,))


def _wrong_model(name: str) -> RequestError:
    if name in CHAT_MODELS:
        return RequestError(
            f"{name} is a chat model; it does not embed.", param="model"
        )
    if name in EMBEDDING_MODELS:
        return RequestError(f"{name} embeds; it does not chat.", param="model")
    return ModelNotFoundError(
        "The model does not exist; GET /v1/models lists those that do.", param="model"
    )
