"""Fault models: every failure on demand, by the model's name, from any client.

No header and no key is needed: ask `fault-429` and see what your client does with a
429. Some faults are a provider's (an error, silence); others break the wire of this
service after a fine answer (`WireFault`; `faulty_wire.py` obeys it).
"""

import asyncio
import hashlib
import re
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from examples.full_app.errors import ModelNotFoundError
from examples.full_app.providers.offline_models import CREATED, DEFAULT_MODEL
from examples.full_app.providers.protocol import (
    CallContext,
    Delta,
    EmbeddingCall,
    Embeddings,
    Provider,
)
from examples.full_app.schemas.catalogue import Model
from examples.full_app.schemas.chat import ChatCompletionRequest
from examples.s2_models import Usage
from examples.s5_error_handling import (
    ContentFilteredError,
    ContextLengthError,
    InternalError,
    ModelOverloadedError,
    ModelTimeoutError,
    RateLimitExceededError,
)

PREFIX = "fault-"
MAX_SILENCE = 120
SLOW_SECONDS = 0.5
FLAKY_FAILURES = 2
REMEMBERED = 1_000

WireKind = Literal[
    "reset",
    "truncated",
    "garbage",
    "wrong-content-type",
    "html-502",
    "duplicate-done",
]


@dataclass(frozen=True, slots=True)
class WireFault:
    """How this service's own answer is broken, after how many frames of a stream."""

    kind: WireKind
    after: int = 0


@dataclass(frozen=True, slots=True)
class FaultModel:
    """A fault: its `name` as listed, the `pattern` of names for it, what is seen."""

    name: str
    description: str
    pattern: str = ""
    wire: WireKind | None = None

    def match(self, model: str) -> re.Match[str] | None:
        """The match when `model` names this fault, with its number in group 1."""
        return re.fullmatch(self.pattern or re.escape(self.name), model)


FAULT_MODELS: tuple[FaultModel, ...] = (
    FaultModel("fault-429", "429 with Retry-After: 1, every time."),
    FaultModel("fault-500", "500 internal_error, as a bug answers."),
    FaultModel("fault-503", "503 service_unavailable with Retry-After: 1."),
    FaultModel("fault-timeout", "504 timeout, at once."),
    FaultModel("fault-slow", "A good answer, one word every half second."),
    FaultModel(
        "fault-silent-5",
        "Five seconds of silence, then a good answer; any number up to 120.",
        r"fault-silent(?:-(\d{1,3}))?",
    ),
    FaultModel(
        "fault-reset-after-3",
        "The connection is cut after three frames; any number.",
        r"fault-reset-after-(\d{1,4})",
        "reset",
    ),
    FaultModel("fault-truncated", "A stream ends cleanly, too soon.", "", "truncated"),
    FaultModel("fault-garbage", "Half a JSON object in the answer.", "", "garbage"),
    FaultModel(
        "fault-wrong-content-type",
        "The answer as text/plain.",
        "",
        "wrong-content-type",
    ),
    FaultModel("fault-html-502", "A proxy's HTML page with a 502.", "", "html-502"),
    FaultModel("fault-duplicate-done", "[DONE] comes twice.", "", "duplicate-done"),
    FaultModel("fault-missing-usage", "A good answer; the model reports no usage."),
    FaultModel("fault-content-filter", "400 content_filtered."),
    FaultModel("fault-content-filter-late", "Finishes with content_filter, half way."),
    FaultModel("fault-context-length", "400 context_length_exceeded."),
    FaultModel("fault-flaky", "503 twice for the same messages, then a good answer."),
)


def find_fault(model: str) -> tuple[FaultModel, int] | None:
    """The fault that `model` names, and the number in the name (0 without one)."""
    for fault in FAULT_MODELS:
        if (found := fault.match(model)) is not None:
            number = found[1] if found.lastindex else None
            return fault, int(number or 0)
    return None


def wire_fault(model: str) -> WireFault | None:
    """How the wire is to be broken for `model`; None for nearly all models."""
    if not model.startswith(PREFIX):
        return None
    found = find_fault(model)
    if found is None or found[0].wire is None:
        return None
    fault, number = found
    return WireFault(found[0].wire, number if fault.wire == "reset" else 3)


class FaultProvider:
    """Fails as the model's name says; what is no failure `inner` answers."""

    name = "faults"

    def __init__(
        self, inner: Provider, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> None:
        self.inner = inner
        self._sleep = sleep
        self._failures: OrderedDict[str, int] = OrderedDict()

    async def models(self) -> Sequence[Model]:
        """Every fault, with what a client sees of it."""
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
    ) -> AsyncIterator[Delta | Usage]:
        """The failure, or the answer of `inner` with the fault in it."""
        found = find_fault(request.model)
        if found is None:
            raise ModelNotFoundError(
                "There is no such fault; GET /v1/models lists them.", param="model"
            )
        fault, number = found
        self._fail(fault.name, request)
        if fault.name.startswith("fault-silent"):
            await self._sleep(min(number or 5, MAX_SILENCE))
        sane = request.model_copy(update={"model": DEFAULT_MODEL})
        said = 0
        async for item in self.inner.stream(sane, call):
            if isinstance(item, Usage) and fault.name == "fault-missing-usage":
                continue
            if fault.name == "fault-slow" and isinstance(item, Delta):
                await self._sleep(SLOW_SECONDS)
            if fault.name == "fault-content-filter-late" and isinstance(item, Delta):
                said += 1
                if said > 2:
                    for index in range(request.n):
                        yield Delta(index, finish_reason="content_filter")
                    return
            yield item

    async def embed(self, request: EmbeddingCall, call: CallContext) -> Embeddings:
        """Faults are chat models."""
        raise ModelNotFoundError("Fault models chat, they do not embed.", param="model")

    def _fail(self, name: str, request: ChatCompletionRequest) -> None:
        match name:
            case "fault-429":
                raise RateLimitExceededError(retry_after=1)
            case "fault-500":
                raise InternalError("An unexpected error occurred.")
            case "fault-503":
                raise ModelOverloadedError(retry_after=1)
            case "fault-timeout":
                raise ModelTimeoutError("The model did not answer in time.")
            case "fault-content-filter":
                raise ContentFilteredError("The prompt was refused by a filter.")
            case "fault-context-length":
                raise ContextLengthError(130_000, 128_000)
            case "fault-flaky":
                self._fail_twice(request)

    def _fail_twice(self, request: ChatCompletionRequest) -> None:
        text = "\0".join(m.model_dump_json() for m in request.messages)
        key = hashlib.blake2b(text.encode("utf-8"), digest_size=16).hexdigest()
        failed = self._failures.pop(key, 0)
        if failed >= FLAKY_FAILURES:
            return
        self._failures[key] = failed + 1
        while len(self._failures) > REMEMBERED:
            self._failures.popitem(last=False)
        raise ModelOverloadedError(retry_after=0.1)
