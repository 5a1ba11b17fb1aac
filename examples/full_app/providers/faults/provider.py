"""Plays the fault models: fails as a model's name says; see `catalogue.py`.

Some faults are a provider's (an error, silence) and happen here. Others break the wire
of this service after a good answer: for those this provider just gives the answer.
"""

import asyncio
import hashlib
import time
from collections import Counter, OrderedDict
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Generic, TypeVar

from examples.full_app.errors import RequestError
from examples.full_app.providers.base import (
    CallContext,
    Delta,
    EmbeddingCall,
    Embeddings,
    Provider,
)
from examples.full_app.providers.faults.catalogue import (
    FAULT_MODELS,
    MAX_SECONDS,
    FaultModel,
    find_fault,
)
from examples.full_app.providers.offline.models import (
    CREATED,
    DEFAULT_MODEL,
    model_not_found,
)
from examples.full_app.providers.upstream.upstreams import close
from examples.full_app.schemas.catalogue import Model
from examples.full_app.schemas.chat import ChatCompletionRequest
from examples.s2_models import Usage
from examples.s5_error_handling import ModelOverloadedError, RateLimitExceededError

SLOW_SECONDS = 0.5
FLAKY_FAILURES = 2
UNFILTERED = 2  # pieces of a choice before the filter
REMEMBERED = 1_000  # questions, the oldest is forgotten first

Items = AsyncIterator[Delta | Usage]
Value = TypeVar("Value")


class FaultProvider:
    """Fails as the model's name says; what is no failure `inner` answers.

    What it remembers of earlier tries is this process's, and about the same messages.
    """

    name = "faults"

    def __init__(
        self,
        inner: Provider,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.inner = inner
        self._sleep = sleep
        self._clock = clock
        self._failures: Memory[int] = Memory()
        self._limits: Memory[float] = Memory()

    async def models(self) -> Sequence[Model]:
        """Every fault, with what is sent for it."""
        return [
            Model(
                id=fault.name,
                created=CREATED,
                owned_by="faults",
                description=fault.description,
            )
            for fault in FAULT_MODELS
        ]

    async def stream(
        self, request: ChatCompletionRequest, call: CallContext
    ) -> AsyncGenerator[Delta | Usage, None]:
        """The failure, or the answer of `inner` with the fault in it."""
        matched = find_fault(request.model)
        if matched is None:
            raise model_not_found(request.model)
        fault, number = matched
        await self._fail(fault, number, request)
        sane = request.model_copy(update={"model": DEFAULT_MODEL})
        items = self.inner.stream(sane, replace(call, whole=False))  # to fail between
        try:
            async for item in self._affected(items, fault, request.n):
                yield item
        finally:
            await close(items)

    async def embed(self, request: EmbeddingCall, call: CallContext) -> Embeddings:
        """Raises an AIError: faults are chat models."""
        if find_fault(request.model) is None:
            raise model_not_found(request.model)
        raise RequestError(
            f"{request.model} is a chat model; it does not embed.", param="model"
        )

    async def _fail(
        self, fault: FaultModel, number: int, request: ChatCompletionRequest
    ) -> None:
        """What happens before the first word."""
        if fault.error is not None:
            raise fault.error()
        seconds = min(number, MAX_SECONDS)
        match fault.effect:
            case "limited":
                self._refuse_for(seconds, _key(request))
            case "flaky":
                self._refuse_twice(_key(request))
            case "silent":
                await self._sleep(seconds)

    def _refuse_for(self, seconds: float, key: str) -> None:
        now = self._clock()
        until = self._limits.pop(key, now + seconds)
        if now < until:
            self._limits.keep(key, until)
            raise RateLimitExceededError(retry_after=until - now)

    def _refuse_twice(self, key: str) -> None:
        failed = self._failures.pop(key, 0)
        if failed < FLAKY_FAILURES:
            self._failures.keep(key, failed + 1)
            raise ModelOverloadedError(retry_after=0.1)

    def _affected(self, items: Items, fault: FaultModel, choices: int) -> Items:
        match fault.effect:
            case "slow":
                return self._slowed(items)
            case "filtered":
                return _filtered(items, choices)
            case "no-usage":
                return _without_usage(items)
        return items

    async def _slowed(self, items: Items) -> Items:
        left: float = MAX_SECONDS
        async for item in items:
            if left > 0 and isinstance(item, Delta):
                left -= SLOW_SECONDS
                await self._sleep(SLOW_SECONDS)
            yield item


async def _filtered(items: Items, choices: int) -> Items:
    """Each choice ends early; what was said until then is left to be counted."""
    counts: Counter[int] = Counter()
    finished: set[int] = set()
    async for item in items:
        if isinstance(item, Usage) or item.index in finished:
            continue
        counts[item.index] += 1
        if item.finish_reason is None and counts[item.index] <= UNFILTERED:
            yield item
            continue
        finished.add(item.index)
        yield Delta(item.index, finish_reason="content_filter")
        if len(finished) == choices:
            return


async def _without_usage(items: Items) -> Items:
    async for item in items:
        if isinstance(item, Delta):
            yield item


class Memory(Generic[Value]):
    """The newest values by key, at most `REMEMBERED`."""

    def __init__(self) -> None:
        self._values: OrderedDict[str, Value] = OrderedDict()

    def __len__(self) -> int:
        return len(self._values)

    def pop(self, key: str, default: Value) -> Value:
        """The value of `key`, forgotten with this; else `default`."""
        return self._values.pop(key, default)

    def keep(self, key: str, value: Value) -> None:
        """Remember `value`, and forget the oldest if there are too many."""
        self._values[key] = value
        if len(self._values) > REMEMBERED:
            self._values.popitem(last=False)


def _key(request: ChatCompletionRequest) -> str:
    """The same for the same messages to the same model, and short."""
    facts = [request.model, *(m.model_dump_json() for m in request.messages)]
    return hashlib.blake2b("\0".join(facts).encode("utf-8")).hexdigest()
