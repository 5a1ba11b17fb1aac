"""What a run found, as plain data. `peers.json` is a `Results`, and the site reads it.

Times in milliseconds, memory in bytes, CPU in seconds a thousand requests, of all
processes of a contestant together.
"""

from datetime import UTC, datetime
from typing import Literal

from pydantic import BaseModel, Field

from benchmarks.report import Machine

Mode = Literal["offline", "proxy"]
Kind = Literal["whole", "stream"]


class Cell(BaseModel):
    """One contestant under one load: medians of `rounds`, errors summed.

    `events_per_second` counts the chunks with text of a stream. A load with errors, or
    one that nothing answered in time, is not `valid`.
    """

    contestant: str
    mode: Mode
    kind: Kind
    connections: int
    requests_per_second: float
    events_per_second: float | None
    p50_ms: float
    p99_ms: float
    cpu_seconds_per_1000: float
    errors: int
    rounds: list[float]

    @property
    def valid(self) -> bool:
        """Whether it says anything."""
        return not self.errors and min(self.rounds) > 0


class Waiting(BaseModel):
    """How long one contestant has a client wait: medians of rounds, errors summed.

    First text of a stream, one at a time; whole answers at `rate` requests a second,
    None for a contestant that cannot answer so many.
    """

    contestant: str
    mode: Mode
    first_text_p50_ms: float
    rate: int
    p50_ms: float | None
    p99_ms: float | None
    errors: int


class Memory(BaseModel):
    """What `streams` open and silent streams add to a contestant's memory."""

    contestant: str
    streams: int
    idle_bytes: int
    per_stream_bytes: float


class Scale(BaseModel):
    """full_app with more of something: keys, messages, workers.

    `cpu_ms` a request; `requests_per_second` where that is the question.
    """

    what: Literal["keys", "messages", "workers"]
    number: int
    cpu_ms: float
    requests_per_second: float


class Figure(BaseModel):
    """A number of full_app alone: jobs, resuming, the limiter."""

    what: str
    value: float
    unit: str


class Target(BaseModel):
    """One line of what was to be reached; `held` is None where it was not measured."""

    what: str
    wanted: str
    measured: str
    held: bool | None


class Results(BaseModel):
    """One run of `course bench --peers`."""

    created: datetime = Field(default_factory=lambda: datetime.now(UTC))
    quick: bool
    tool: str
    machine: Machine = Field(default_factory=Machine)
    versions: dict[str, str]
    skipped: dict[str, str]
    cells: list[Cell]
    waiting: list[Waiting]
    memory: list[Memory]
    scales: list[Scale]
    figures: list[Figure] = Field(default_factory=list)
    targets: list[Target] = Field(default_factory=list)
