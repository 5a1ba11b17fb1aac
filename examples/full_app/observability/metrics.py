"""The series of one application, with labels whose values no caller can add to.

A label is a route template, a model that the service lists ("other" for the rest), a
status, or a name of ours. Names follow OpenTelemetry's semantic conventions for HTTP
and generative AI, written as Prometheus writes them (`gen_ai.client.token.usage` is
`gen_ai_client_token_usage`). Sources: Prometheus exposition format; OpenTelemetry
(generative AI has moved to open-telemetry/semantic-conventions-genai).
"""

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from examples.s2_models import Usage

OTHER = "other"
MAX_MODELS = 200  # an upstream may list thousands
DURATIONS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
# The buckets that the conventions for generative AI advise.
CALLS = tuple(0.01 * 2**step for step in range(14))
FIRST_TOKEN = (
    *(0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75),
    *(1.0, 2.5, 5.0, 7.5, 10.0),
)
EACH_TOKEN = (
    *(0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5),
)
TOKENS = tuple(4**power for power in range(14))
MODEL = ("gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_request_model")


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
        self.tokens = Histogram(
            "gen_ai_client_token_usage",
            "Tokens of a call.",
            (*MODEL, "gen_ai_token_type"),
            buckets=TOKENS,
            registry=registry,
        )
        self.calls = Histogram(
            "gen_ai_server_request_duration_seconds",
            "Time of a call of a model, until it was settled.",
            (*MODEL, "error_type"),
            buckets=CALLS,
            registry=registry,
        )
        self.first_token = Histogram(
            "gen_ai_server_time_to_first_token_seconds",
            "Time until a model had produced something.",
            MODEL,
            buckets=FIRST_TOKEN,
            registry=registry,
        )
        self.each_token = Histogram(
            "gen_ai_server_time_per_output_token_seconds",
            "Time of each token after the first.",
            MODEL,
            buckets=EACH_TOKEN,
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
        error: str = "",
        first_token: float | None = None,
    ) -> None:
        """Add one call: `chat` or `embeddings`, its tokens and its times in seconds.

        `provider` is the name that one of ours has, never an upstream's words.
        """
        model = model if model in self._models else OTHER
        self.calls.labels(operation, provider, model, error).observe(seconds)
        self.tokens.labels(operation, provider, model, "input").observe(
            usage.prompt_tokens
        )
        produced = usage.completion_tokens
        if operation == "chat":
            self.tokens.labels(operation, provider, model, "output").observe(produced)
        if first_token is None:
            return
        self.first_token.labels(operation, provider, model).observe(first_token)
        if produced > 1:
            each = (seconds - first_token) / (produced - 1)
            self.each_token.labels(operation, provider, model).observe(each)
