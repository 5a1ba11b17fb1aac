"""The series of one application, with labels whose values no caller can add to.

A label is a route template, a model that the service lists ("other" for the rest), a
status, or a name of ours. Names follow OpenTelemetry's semantic conventions for HTTP
and for generative AI, version 0.1.0 (`GEN_AI`), written as Prometheus writes them:
`gen_ai.client.inference.duration`, in seconds, becomes
`gen_ai_client_inference_duration_seconds`. Sources: Prometheus exposition format;
OpenTelemetry; open-telemetry/semantic-conventions-genai.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from examples.full_app.money import cached_tokens
from examples.s2_models import Usage

OTHER = "other"
MAX_MODELS = 200  # an upstream may list thousands
DURATIONS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
# The buckets that the conventions for generative AI advise.
SECONDS = tuple(0.01 * 2**step for step in range(14))
TOKENS = tuple(4**power for power in range(14))
# What tells two calls of a model apart. `openai.api.type` says by which of OpenAI's
# APIs the caller asked: both are the operation `chat`.
OPERATION = "gen_ai.operation.name"
PROVIDER = "gen_ai.provider.name"
REQUEST_MODEL = "gen_ai.request.model"
API_TYPE = "openai.api.type"


def label(attribute: str) -> str:
    """An attribute of OpenTelemetry as Prometheus writes a label: no dots."""
    return attribute.replace(".", "_")


EMBEDDED = (label(OPERATION), label(PROVIDER), label(REQUEST_MODEL))
MODEL = (*EMBEDDED, label(API_TYPE))
# Nothing here breaks tokens down into those of text, images and sound.
UNKNOWN_MODALITY = "unknown"


@dataclass(frozen=True, slots=True)
class Instrument:
    """One metric of the conventions. Without buckets it is a counter."""

    description: str
    labels: tuple[str, ...] = MODEL
    unit: Literal["s", "{token}"] = "s"
    buckets: tuple[float, ...] = ()


COUNTED = (*MODEL, "gen_ai_token_modality")
TIMED = (*MODEL, "error_type")
INFERENCE = "gen_ai.client.inference"
EMBEDDINGS = "gen_ai.client.embeddings"
GEN_AI = {
    f"{INFERENCE}.duration": Instrument(
        "Time of a call of a model, until it was settled.", TIMED, "s", SECONDS
    ),
    f"{INFERENCE}.time_to_first_chunk": Instrument(
        "Time until a stream's first chunk came.", MODEL, "s", SECONDS
    ),
    f"{INFERENCE}.time_per_output_chunk": Instrument(
        "Time between two chunks of a stream.", MODEL, "s", SECONDS
    ),
    f"{INFERENCE}.usage.input_tokens": Instrument(
        "Prompt tokens, the cached ones among them.", COUNTED, "{token}"
    ),
    f"{INFERENCE}.usage.output_tokens": Instrument(
        "Tokens of answers.", COUNTED, "{token}"
    ),
    f"{INFERENCE}.usage.cache_read.input_tokens": Instrument(
        "Prompt tokens that the upstream read from its cache.", COUNTED, "{token}"
    ),
    f"{INFERENCE}.operation.input_tokens": Instrument(
        "Prompt tokens of one call.", MODEL, "{token}", TOKENS
    ),
    f"{INFERENCE}.operation.output_tokens": Instrument(
        "Tokens of one answer.", MODEL, "{token}", TOKENS
    ),
    f"{EMBEDDINGS}.duration": Instrument(
        "Time of a call for vectors, until it was settled.",
        (*EMBEDDED, "error_type"),
        "s",
        SECONDS,
    ),
    f"{EMBEDDINGS}.operation.input_tokens": Instrument(
        "Tokens of one call for vectors.", EMBEDDED, "{token}", TOKENS
    ),
}


def prometheus_name(name: str, instrument: Instrument) -> str:
    """A name of OpenTelemetry as Prometheus writes it: no dots, the unit at the end."""
    return name.replace(".", "_") + ("_seconds" if instrument.unit == "s" else "")


class Metrics:
    """The series, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self._models: set[str] = set()
        self._of_requests: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}
        self.requests = Counter(
            "http_server_requests",
            "Requests answered.",
            ("method", "route", "status"),
            registry=registry,
        )
        self.duration = Histogram(
            "http_server_request_duration_seconds",
            "Time until the last byte of the answer.",
            ("method", "route"),
            buckets=DURATIONS,
            registry=registry,
        )
        self.active = Gauge(
            "http_server_active_requests", "Now running.", registry=registry
        )
        self.lines_dropped = Gauge(
            "log_lines_dropped", "Too many to be written in time.", registry=registry
        )
        self.running = 0
        self.active.set_function(lambda: self.running)
        self.waiting = Gauge(
            "calls_waiting", "Calls that wait for a slot.", registry=registry
        )
        self.counters: dict[str, Counter] = {}
        self.histograms: dict[str, Histogram] = {}
        self._labelled_counters: dict[tuple[str, tuple[str, ...]], Counter] = {}
        self._labelled_histograms: dict[tuple[str, tuple[str, ...]], Histogram] = {}
        for name, instrument in GEN_AI.items():
            written = prometheus_name(name, instrument)
            if instrument.buckets:
                self.histograms[name] = Histogram(
                    written,
                    instrument.description,
                    instrument.labels,
                    buckets=instrument.buckets,
                    registry=registry,
                )
            else:
                self.counters[name] = Counter(
                    written,
                    instrument.description,
                    instrument.labels,
                    registry=registry,
                )
        self.abandoned = Counter(
            "upstream_attempts_abandoned",
            "Attempts at an upstream that gave no answer.",
            ("provider", "reason"),
            registry=registry,
        )

    def know(self, models: Iterable[str]) -> None:
        """Let these models have labels of their own, up to MAX_MODELS."""
        for model in models:
            if len(self._models) < MAX_MODELS:
                self._models.add(model)

    def count_abandoned(self, provider: str, reason: str) -> None:
        """Add one attempt; both labels are names of ours, never an upstream's words."""
        self.abandoned.labels(provider, reason).inc()

    def count_request(
        self, method: str, route: str, status: int, seconds: float
    ) -> None:
        """Add one HTTP request."""
        key = method, route, status
        found = self._of_requests.get(key)
        if found is None:
            found = (
                self.requests.labels(method, route, str(status)),
                self.duration.labels(method, route),
            )
            self._of_requests[key] = found
        found[0].inc()
        found[1].observe(seconds)

    def count_call(
        self,
        operation: str,
        provider: str,
        model: str,
        usage: Usage,
        seconds: float,
        *,
        api_type: str = "chat_completions",
        error: str = "",
        first_chunk: float | None = None,
        gaps: Sequence[float] = (),
    ) -> None:
        """Add one call: `chat` or `embeddings`, its tokens and its times in seconds.

        `provider` is the name that one of ours has, never an upstream's words.
        `api_type` is the API of a chat call: `chat_completions` or `responses`.
        `first_chunk` and `gaps` are times of a stream: until its first chunk, and
        between two of its chunks.
        """
        kind = EMBEDDINGS if operation == "embeddings" else INFERENCE
        labels: tuple[str, ...] = (
            operation,
            provider,
            model if model in self._models else OTHER,
        )
        if kind == INFERENCE:
            labels = (*labels, api_type)
        self._histogram(f"{kind}.duration", (*labels, error)).observe(seconds)
        tokens_read = self._histogram(f"{kind}.operation.input_tokens", labels)
        tokens_read.observe(usage.prompt_tokens)
        if kind == EMBEDDINGS:
            return
        produced = usage.completion_tokens
        self._histogram(f"{kind}.operation.output_tokens", labels).observe(produced)
        counts = {
            f"{kind}.usage.input_tokens": usage.prompt_tokens,
            f"{kind}.usage.output_tokens": produced,
            f"{kind}.usage.cache_read.input_tokens": cached_tokens(usage),
        }
        for name, count in counts.items():
            self._counter(name, (*labels, UNKNOWN_MODALITY)).inc(count)
        if first_chunk is None:
            return
        self._histogram(f"{kind}.time_to_first_chunk", labels).observe(first_chunk)
        between = self._histogram(f"{kind}.time_per_output_chunk", labels)
        for gap in gaps:
            between.observe(gap)

    def _histogram(self, name: str, labels: tuple[str, ...]) -> Histogram:
        """The series with these labels, which the library looks up only once."""
        series = self._labelled_histograms.get((name, labels))
        if series is None:
            series = self.histograms[name].labels(*labels)
            self._labelled_histograms[name, labels] = series
        return series

    def _counter(self, name: str, labels: tuple[str, ...]) -> Counter:
        """As `_histogram`, of the counters."""
        series = self._labelled_counters.get((name, labels))
        if series is None:
            series = self.counters[name].labels(*labels)
            self._labelled_counters[name, labels] = series
        return series
