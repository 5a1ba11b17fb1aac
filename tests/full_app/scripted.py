"""A provider that does what a test says, and remembers how it was treated."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager

from examples.full_app.main import create_app
from examples.full_app.providers.base import (
    CallContext,
    Delta,
    EmbeddingCall,
    Embeddings,
)
from examples.full_app.schemas.base import FinishReason
from examples.full_app.schemas.catalogue import Model
from examples.full_app.schemas.chat import ChatCompletionRequest
from examples.s2_models import Usage
from tests.full_app.conftest import settings
from tests.servers import serve


class Scripted:
    """Answers with `pieces`; `endless`, `silent` and `failure` make it misbehave."""

    name = "scripted"

    def __init__(self) -> None:
        self.pieces = ["a", "b", "c"]
        self.deltas: list[Delta] = []  # what it says besides, thoughts or calls
        self.late: list[str] = []  # what it says when it is silent no more
        self.endless = False
        self.more = "more " * 200
        self.silent = False
        self.finish = True
        self.finish_reason: FinishReason = "stop"
        self.failure: Exception | None = None
        self.started = 0
        self.closed = 0
        self.produced = 0
        self.contexts: list[CallContext] = []
        self.requests: list[ChatCompletionRequest] = []

    async def models(self) -> Sequence[Model]:
        """None: every name is taken."""
        return []

    async def stream(
        self, request: ChatCompletionRequest, call: CallContext
    ) -> AsyncIterator[Delta | Usage]:
        """What the script says."""
        self.started += 1
        self.contexts.append(call)
        self.requests.append(request)
        try:
            for piece in self.pieces:
                self.produced += 1
                yield Delta(content=piece)
            for delta in self.deltas:
                yield delta
            await self._silence()
            for piece in self.late:
                self.produced += 1
                yield Delta(content=piece)
            while self.endless:
                self.produced += 1
                yield Delta(content=self.more)
            if self.failure is not None:
                raise self.failure
            if self.finish:
                yield Delta(finish_reason=self.finish_reason)
                yield Usage(prompt_tokens=1, completion_tokens=3)
        finally:
            self.closed += 1

    async def _silence(self) -> None:
        """Until the test, on its own thread, says otherwise."""
        while self.silent:  # noqa: ASYNC110  # an asyncio.Event is not thread-safe
            await asyncio.sleep(0.01)

    async def embed(self, request: EmbeddingCall, call: CallContext) -> Embeddings:
        """Never finishes while `silent`."""
        self.started += 1
        try:
            await self._silence()
        finally:
            self.closed += 1
        return Embeddings([[1.0]] * len(request.inputs), 1)


@contextmanager
def scripted(**given: object) -> Iterator[tuple[str, Scripted]]:
    """full_app running with a `Scripted` provider behind every model."""
    provider = Scripted()
    with serve(create_app(settings(**given), provider=provider)) as url:
        yield url, provider
