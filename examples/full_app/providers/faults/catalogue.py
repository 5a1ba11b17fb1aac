"""The catalogue of fault models: every failure on demand, by the model's name.

No header and no key is needed: ask for `fault-429` and see what your client does with
a 429. `GET /v1/models` lists them; a number in a name can be any other.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from examples.s5_error_handling import (
    AIError,
    ContentFilteredError,
    ContextLengthError,
    InternalError,
    ModelOverloadedError,
    ModelTimeoutError,
    RateLimitExceededError,
)

PREFIX = "fault-"
MAX_SECONDS = 120  # that a fault waits, or has a client wait

WireKind = Literal[
    "reset",
    "truncated",
    "garbage",
    "wrong-content-type",
    "html-502",
    "duplicate-done",
]
Effect = Literal["limited", "flaky", "silent", "slow", "no-usage", "filtered"]


@dataclass(frozen=True, slots=True)
class WireFault:
    """How this service's own answer is broken, after how many frames of a stream.

    `web/faulty_wire.py` obeys it, for whole answers too; the model answers well.
    """

    kind: WireKind
    after: int = 0


@dataclass(frozen=True, slots=True)
class FaultModel:
    """A fault: its `name` as listed, what is sent, and what the official client sees.

    It is an `error`, or an `effect` on a good answer, or a fault of the `wire`. Names
    that match `pattern` may carry another number in group 1; `number` stands for none.
    """

    name: str
    description: str
    sees: str
    error: Callable[[], AIError] | None = None
    effect: Effect | None = None
    wire: WireKind | None = None
    pattern: str = ""
    number: int = 0

    def match(self, model: str) -> int | None:
        """The number of the fault if `model` names this one, else None."""
        matched = re.fullmatch(self.pattern or re.escape(self.name), model, re.ASCII)
        if matched is None:
            return None
        return int(matched[1]) if matched.lastindex else self.number


FAULT_MODELS: tuple[FaultModel, ...] = (
    FaultModel(
        "fault-429",
        "429 with Retry-After: 1, every time.",
        "RateLimitError, after two retries.",
        error=lambda: RateLimitExceededError(retry_after=1),
    ),
    FaultModel(
        "fault-429-for-2",
        "429 for two seconds from the first time, with the time left; then an answer.",
        "An answer, because it waits for as long as retry-after-ms says.",
        effect="limited",
        pattern=r"fault-429-for-(\d{1,3})",
    ),
    FaultModel(
        "fault-500",
        "500 internal_error, as a bug answers.",
        "InternalServerError at once: x-should-retry is false.",
        error=lambda: InternalError("An unexpected error occurred."),
    ),
    FaultModel(
        "fault-503",
        "503 service_unavailable with Retry-After: 1.",
        "InternalServerError, after two retries.",
        error=lambda: ModelOverloadedError(retry_after=1),
    ),
    FaultModel(
        "fault-timeout",
        "504 timeout, at once.",
        "InternalServerError, after two retries.",
        error=lambda: ModelTimeoutError("The model did not answer in time."),
    ),
    FaultModel(
        "fault-slow",
        "A good answer, one word every half second.",
        "A slow answer; APITimeoutError if its own patience is shorter.",
        effect="slow",
    ),
    FaultModel(
        "fault-silent-5",
        "Five seconds of silence, then a good answer; any number up to 120.",
        "A late answer: a stream is kept alive meanwhile.",
        effect="silent",
        pattern=r"fault-silent(?:-(\d{1,3}))?",
        number=5,
    ),
    FaultModel(
        "fault-reset-after-3",
        "The connection is cut after three frames; any number.",
        "APIConnectionError; of a stream, after the first chunks and without a retry.",
        wire="reset",
        pattern=r"fault-reset-after-(\d{1,4})",
    ),
    FaultModel(
        "fault-truncated",
        "The answer ends cleanly, too soon.",
        "JSONDecodeError; of a stream nothing at all: look for finish_reason.",
        wire="truncated",
        number=3,
    ),
    FaultModel(
        "fault-garbage",
        "Half a JSON object in the answer.",
        "JSONDecodeError, which is not an error of its own.",
        wire="garbage",
        number=3,
    ),
    FaultModel(
        "fault-wrong-content-type",
        "The answer as text/plain.",
        "An answer all the same.",
        wire="wrong-content-type",
    ),
    FaultModel(
        "fault-html-502",
        "A proxy's HTML page with a 502.",
        "InternalServerError without code or message, after two retries.",
        wire="html-502",
    ),
    FaultModel(
        "fault-duplicate-done",
        "[DONE] comes twice.",
        "A good answer: it stops reading at the first.",
        wire="duplicate-done",
    ),
    FaultModel(
        "fault-missing-usage",
        "A good answer; the model reports no usage.",
        "A good answer, with usage: this service counts it.",
        effect="no-usage",
    ),
    FaultModel(
        "fault-content-filter",
        "400 content_filtered.",
        "BadRequestError at once.",
        error=lambda: ContentFilteredError("The prompt was refused by a filter."),
    ),
    FaultModel(
        "fault-content-filter-late",
        "Finishes with content_filter, half way.",
        "An answer; .parse() raises ContentFilterFinishReasonError.",
        effect="filtered",
    ),
    FaultModel(
        "fault-context-length",
        "400 context_length_exceeded.",
        "BadRequestError at once.",
        error=lambda: ContextLengthError(130_000, 128_000),
    ),
    FaultModel(
        "fault-flaky",
        "503 twice for the same messages, then a good answer.",
        "An answer, on its second retry.",
        effect="flaky",
    ),
)


def find_fault(model: str) -> tuple[FaultModel, int] | None:
    """The fault that `model` names, and its number."""
    for fault in FAULT_MODELS:
        if (number := fault.match(model)) is not None:
            return fault, number
    return None


def wire_fault(model: str) -> WireFault | None:
    """How the wire is to be broken for `model`; None for nearly all models."""
    if not model.startswith(PREFIX):
        return None
    fault, number = find_fault(model) or (None, 0)
    if fault is None or fault.wire is None:
        return None
    return WireFault(fault.wire, number)
