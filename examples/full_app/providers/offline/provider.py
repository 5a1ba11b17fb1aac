"""The default provider: answers from the prompt, always the same, with no network.

Same conversation, seed and choice: same text, whole or streamed. It streams word by
word with pauses like a model's (`pace` scales them, 0 turns them off), stops at stop
sequences and limits, calls tools when asked to, and answers JSON that fits a schema.
"""

import asyncio
import itertools
import json
import random
import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass

from examples.full_app.errors import RequestError
from examples.full_app.providers.base import (
    CallContext,
    Delta,
    EmbeddingCall,
    Embeddings,
)
from examples.full_app.providers.offline.logprobs import logprobs_of
from examples.full_app.providers.offline.models import (
    CHAT_MODELS,
    ECHOES,
    EMBEDDING_MODELS,
    offline_models,
    wrong_model,
)
from examples.full_app.providers.offline.prose import (
    compose,
    dice_of,
    last_question,
    seeded,
)
from examples.full_app.providers.offline.tools import (
    cut,
    text_of,
    tool_calls,
    tools_to_call,
)
from examples.full_app.providers.offline.vectors import (
    add_features,
    features_of,
    vector_of,
)
from examples.full_app.schemas.base import FinishReason
from examples.full_app.schemas.catalogue import Model
from examples.full_app.schemas.chat import ChatCompletionRequest
from examples.full_app.schemas.parameters import (
    JSONObjectResponseFormat,
    JSONSchemaResponseFormat,
)
from examples.full_app.tokens import EstimateTokenizer, Tokenizer, count_messages
from examples.s2_models import Usage

FIRST_TOKEN_SECONDS = 0.2
WORD_SECONDS = 0.03
FEATURES_AT_ONCE = 5_000  # a few milliseconds
TURN = 16  # pieces between two turns of the loop, when there are no pauses
_PIECES = re.compile(r"\s*\S+\s*\Z|\s*\S+|\s+")


@dataclass(frozen=True, slots=True)
class _Script:
    """What one choice will say."""

    text: str
    reason: FinishReason


class OfflineProvider:
    """Deterministic answers and embeddings, made here."""

    name = "offline"

    def __init__(
        self,
        pace: float = 1.0,
        tokenizer: Tokenizer | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        echoes: frozenset[str] = ECHOES,
    ) -> None:
        """`pace` scales the pauses; `echoes` are the models that say what they hear."""
        self.pace = pace
        self.tokenizer = tokenizer or EstimateTokenizer()
        self._sleep = sleep
        self._echoes = echoes

    async def models(self) -> Sequence[Model]:
        """The chat and the embedding models."""
        return offline_models()

    async def stream(
        self, request: ChatCompletionRequest, call: CallContext
    ) -> AsyncGenerator[Delta | Usage, None]:
        """The choices one after the other, then the usage of all of them."""
        if request.model not in CHAT_MODELS:
            raise wrong_model(request.model)
        produced = 0
        whole = call.whole and not self.pace  # who leaves during a pause pays no more
        # Dice of their own: no answer rests on the pace.
        pauses = seeded(request, -1) if self.pace else None
        await self._pause(FIRST_TOKEN_SECONDS)
        for index in range(request.n):
            pieces: list[str] = []
            dice = dice_of(request, index, self._echoes)
            for delta in self._choice(request, index, dice, whole):
                pieces += [delta.content or "", *map(text_of, delta.tool_calls)]
                yield delta
                if pauses is not None:
                    await self._pause(WORD_SECONDS * (0.5 + pauses.random()))
                elif len(pieces) % TURN == 0:
                    await self._sleep(0)
            produced += self.tokenizer.count("".join(pieces))
        yield Usage(
            prompt_tokens=count_messages(self.tokenizer, request.messages),
            completion_tokens=produced,
        )

    async def embed(self, request: EmbeddingCall, call: CallContext) -> Embeddings:
        """A vector of length 1 for each input."""
        size = EMBEDDING_MODELS.get(request.model)
        if size is None:
            raise wrong_model(request.model)
        if request.dimensions is not None and request.dimensions > size:
            raise RequestError(
                f"{request.model} has {size} dimensions at most.", param="dimensions"
            )
        dimensions = request.dimensions or size
        vectors = [
            vector_of(await self._weights(item, size), dimensions)
            for item in request.inputs
        ]
        tokens = sum(
            self.tokenizer.count(item) if isinstance(item, str) else len(item)
            for item in request.inputs
        )
        return Embeddings(vectors, tokens)

    async def _weights(self, item: str | Sequence[int], size: int) -> dict[int, float]:
        weights: dict[int, float] = {}
        features = features_of(item)
        while batch := list(itertools.islice(features, FEATURES_AT_ONCE)):
            add_features(weights, batch, size)
            await self._sleep(0)  # a long text must not keep others waiting
        return weights

    def _choice(
        self,
        request: ChatCompletionRequest,
        index: int,
        dice: random.Random,
        whole: bool,
    ) -> Iterator[Delta]:
        if request.tools and (tools := tools_to_call(request)):
            question = last_question(request.messages)
            pieces = list(tool_calls(tools, question, dice))
            text = "".join(map(text_of, pieces))
            length = len(self._fitting(text, request.output_limit))
            for piece in cut(pieces, length):
                yield Delta(index, tool_calls=(piece,))
            cut_off = length < len(text)
            yield Delta(index, finish_reason="length" if cut_off else "tool_calls")
            return
        script = self._script(request, dice, index)
        if whole and not request.logprobs:
            yield Delta(index, script.text, finish_reason=script.reason)
            return
        for word in _PIECES.findall(script.text):
            chances = logprobs_of(word, request, dice) if request.logprobs else None
            yield Delta(index, word, logprobs=chances)
        yield Delta(index, finish_reason=script.reason)

    def _script(
        self, request: ChatCompletionRequest, dice: random.Random, index: int
    ) -> _Script:
        text = self._text(request, dice, index)
        cuts = [at for stop in request.stop or [] if (at := text.find(stop)) >= 0]
        text = text[: min(cuts)] if cuts else text
        fitting = self._fitting(text, request.output_limit)
        reason: FinishReason = "stop" if len(fitting) == len(text) else "length"
        return _Script(fitting, reason)

    def _text(
        self, request: ChatCompletionRequest, dice: random.Random, index: int
    ) -> str:
        # Who sets a seed or wants several choices wants answers that differ.
        written = request.seed is None and index == 0
        question = last_question(request.messages)
        match request.response_format:
            case JSONSchemaResponseFormat(json_schema=wanted):
                # Imported when it is needed, as in `tools`.
                from examples.full_app.providers.offline.json_answers import json_answer

                value = json_answer(wanted.schema_, question, dice)
                return json.dumps(value, ensure_ascii=False)
            case JSONObjectResponseFormat():
                answer = compose(request.messages, dice, written=written)
                fields = {"question": question[:200], "answer": answer}
                return json.dumps(fields, ensure_ascii=False)
        if request.model in self._echoes:
            return question
        return compose(request.messages, dice, written=written)

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
