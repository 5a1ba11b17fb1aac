"""What an operator sees: logs without secrets, one trace, series that do not grow."""

import io
import json
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx2
import pytest
from fastapi.testclient import TestClient
from opentelemetry import trace as otel
from opentelemetry.context import Context
from websockets.sync.client import connect

from examples.full_app.main import TELEMETRY, create_app
from examples.full_app.observability.logs import JSONFormatter, log_as_json, redacted
from examples.full_app.observability.metrics import (
    GEN_AI,
    MAX_MODELS,
    Metrics,
    label,
    prometheus_name,
)
from examples.full_app.observability.tracing import (
    continued,
    current_trace_id,
    traceparent,
    tracing,
)
from examples.s2_models import Usage
from examples.s5_error_handling import ContentFilteredError
from tests.full_app.conftest import KEY, settings
from tests.full_app.scripted import Scripted
from tests.full_app.upstreams import FRAMES, SSE, answering, refusal
from tests.servers import serve, wait_until

PATH = "/v1/chat/completions"
HEADERS = {"Authorization": f"Bearer {KEY}"}
PROMPT = "my grandmother's maiden name is Xylander"
UPSTREAM_KEY = "sk-upstream-0123456789"
MESSAGES = [{"role": "user", "content": PROMPT}]
ASK = {"model": "any", "messages": MESSAGES}
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
TRACEPARENT = f"00-{TRACE}-00f067aa0ba902b7-01"


@contextmanager
def everything_logged() -> Iterator[io.StringIO]:
    """All that any logger says, as the service would write it."""
    text = io.StringIO()
    handler = logging.StreamHandler(text)
    handler.setFormatter(JSONFormatter())
    root, access = logging.getLogger(), logging.getLogger("full_app.access")
    levels = root.level, access.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    access.setLevel(logging.INFO)
    try:
        yield text
    finally:
        root.removeHandler(handler)
        root.setLevel(levels[0])
        access.setLevel(levels[1])


def lines(text: io.StringIO, message: str = "request") -> list[dict[str, object]]:
    """The entries with this message."""
    found = [json.loads(line) for line in text.getvalue().splitlines()]
    return [entry for entry in found if entry["message"] == message]


@pytest.mark.deep
@pytest.mark.parametrize(
    "failure",
    [
        None,
        ContentFilteredError(f"Not this: {PROMPT}"),
        RuntimeError(f"bug: {PROMPT} {KEY}"),
        ExceptionGroup(PROMPT, [ValueError(f"{UPSTREAM_KEY} {PROMPT}")]),
    ],
)
def test_no_route_and_no_failure_logs_a_prompt_or_a_key(
    failure: Exception | None,
) -> None:
    provider = Scripted()
    provider.failure = failure
    app = create_app(settings(), provider=provider)
    bodies = [
        {**ASK, "stream": True},
        ASK,
        {**ASK, PROMPT: PROMPT},
        {"input": PROMPT, "model": "m"},
        {"requests": [ASK]},
        {"url": f"http://127.0.0.1:9/{KEY}", "secret": KEY},
        [PROMPT],
    ]
    with (
        everything_logged() as log,
        TestClient(app, headers=HEADERS, raise_server_exceptions=False) as http,
    ):
        for template, methods in app.openapi()["paths"].items():
            path = re.sub(r"\{.*?\}", f"job_{'0' * 32}", template)
            for method in map(str.upper, methods):
                for body in bodies if method in {"POST", "PATCH"} else [None]:
                    http.request(method, path, json=body)
        http.get(f"/{KEY}?key={KEY}")
        http.post(PATH, content=f'{{"messages": "{PROMPT}')
        http.post(PATH, json=ASK, headers={"Authorization": f"Bearer {KEY}-not"})
        http.post(PATH, json=ASK, headers={"X-Request-ID": f"{PROMPT}"})
    text = log.getvalue()

    assert redacted(PROMPT) in text
    for secret in (PROMPT, "Xylander", KEY, UPSTREAM_KEY):
        assert secret not in text


@pytest.mark.deep
@pytest.mark.parametrize(
    "reply", [refusal(401), refusal(500), SSE + b"data: {", SSE + FRAMES]
)
def test_the_upstreams_key_is_in_no_log_however_the_upstream_fails(
    reply: bytes,
) -> None:
    with (
        answering(reply) as (url, requests),
        everything_logged() as log,
        TestClient(
            create_app(settings(upstream_base_url=url, upstream_api_key=UPSTREAM_KEY)),
            headers=HEADERS,
        ) as http,
    ):
        http.post(PATH, json=ASK)

    assert UPSTREAM_KEY in requests[0]
    assert lines(log)
    assert UPSTREAM_KEY not in log.getvalue()
    assert PROMPT not in log.getvalue()


def test_what_looks_like_a_key_is_redacted_wherever_it_stands() -> None:
    record = logging.LogRecord(
        "x", logging.INFO, "f", 1, "sent %s to %s", ("Bearer abcdef", KEY), None
    )
    record.reason = "redis://:hunter2@cache:6379 whsec_c2VjcmV0"
    text = JSONFormatter().format(record)

    for secret in ("abcdef", KEY, "hunter2", "c2VjcmV0"):
        assert secret not in text
    assert redacted(KEY) in json.loads(text)["message"]


def test_a_line_has_model_tokens_cost_and_time_of_its_call() -> None:
    body = {"model": "gpt-4o-mini", "messages": MESSAGES, "max_tokens": 5}
    with (
        everything_logged() as log,
        TestClient(create_app(settings()), headers=HEADERS) as http,
    ):
        usage = http.post(PATH, json=body).json()["usage"]
        http.post(PATH, json={**body, "stream": True})
    whole, streamed = lines(log)

    for entry in (whole, streamed):
        assert entry["prompt_tokens"] == usage["prompt_tokens"]
        assert entry["completion_tokens"] == usage["completion_tokens"]
        assert entry["cost_usd"] == f"{usage['prompt_tokens'] * 15e-8 + 3e-6:.8f}"
        assert (entry["model"], entry["key"]) == ("gpt-4o-mini", "alpha")
        assert len(str(entry["trace_id"])) == 32


def test_uvicorns_lines_are_json_too(capsys: pytest.CaptureFixture[str]) -> None:
    root = logging.getLogger()
    before = root.handlers[:], root.level
    uvicorn_log = logging.getLogger("uvicorn.error")
    uvicorn_log.addHandler(logging.StreamHandler())
    httpx_log = logging.getLogger("httpx2")
    try:
        handler = log_as_json()
        httpx_log.info("HTTP Request: POST https://example.com/hook?token=secret")
        uvicorn_log.setLevel(logging.INFO)
        uvicorn_log.info("Started")
        handler.close()
    finally:
        root.handlers, root.level = before
        httpx_log.setLevel(logging.NOTSET)

    (line,) = capsys.readouterr().err.splitlines()
    assert json.loads(line)["message"] == "Started"


@pytest.mark.wire
def test_a_trace_goes_on_in_logs_upstream_job_and_webhook() -> None:
    with (
        answering(SSE + FRAMES) as (upstream, asked),
        answering(refusal(200)) as (receiver, delivered),
        everything_logged() as log,
        serve(create_app(settings(upstream_base_url=upstream))) as base,
        httpx2.Client(base_url=base, headers=HEADERS, timeout=10) as http,
    ):
        traced = {"traceparent": TRACEPARENT}
        http.post(PATH, json=ASK, headers=traced)
        address = base.replace("http", "ws", 1) + "/v1/live"
        with connect(address, additional_headers={**HEADERS, **traced}) as live:
            live.send(json.dumps({"type": "chat.create", "request": ASK}))
            while "chat.done" not in str(live.recv(10)):
                pass
        job = {"requests": [ASK], "webhook": {"url": receiver}}
        http.post("/v1/jobs", json=job, headers=traced)
        wait_until(lambda: bool(delivered), what="the delivery")

    calls = [request for request in asked if request.startswith("POST")]
    assert len(calls) == 3
    for request in [*calls, *delivered]:
        assert f"traceparent: 00-{TRACE}-" in request
        assert "00f067aa0ba902b7-01" not in request  # its parent is a span of ours
    assert {entry["trace_id"] for entry in lines(log)} == {TRACE}
    assert [entry["trace_id"] for entry in lines(log, "call")] == [TRACE, TRACE]


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "nonsense",
        f"ff-{TRACE}-00f067aa0ba902b7-01",
        f"00-{'0' * 32}-00f067aa0ba902b7-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-00f067aa0ba902b7-01",
        f"00-{TRACE}-00f067aa0ba902b7-01-more",
    ],
)
def test_what_is_no_traceparent_begins_a_trace(header: str | None) -> None:
    first, second = continued(header), continued(header)

    assert first.is_valid
    assert first.trace_id != second.trace_id
    assert first.trace_id != int(TRACE, 16)


def test_a_later_version_is_read_as_far_as_it_is_known() -> None:
    later = continued(f"01-{TRACE}-00f067aa0ba902b7-01-more")

    assert later.trace_id == int(TRACE, 16)


def test_the_span_of_an_opentelemetry_sdk_is_the_parent_of_what_follows() -> None:
    span = otel.NonRecordingSpan(
        otel.SpanContext(int(TRACE, 16), 0xABC, is_remote=False)
    )
    with otel.use_span(span), tracing(continued(None)):
        assert otel.get_current_span() is span
        assert traceparent() == f"00-{TRACE}-{0xABC:016x}-00"


def test_a_block_that_is_traced_ends_where_it_ends() -> None:
    trace = continued(TRACEPARENT)
    with tracing(trace):
        inside = traceparent()

    assert inside == f"00-{TRACE}-{trace.span_id:016x}-01"
    assert traceparent() is None
    assert current_trace_id() is None


@pytest.mark.wire
@pytest.mark.deep
def test_no_caller_can_grow_the_number_of_series() -> None:
    app = create_app(settings(), provider=Scripted())
    with TestClient(app, headers=HEADERS, raise_server_exceptions=False) as http:

        def invent(number: int) -> None:
            http.post(PATH, json={**ASK, "model": f"model-{number}"})
            http.get(f"/nowhere/{number}")
            http.request(f"VERB{number}", "/v1/models")
            http.get(f"/v1/models/m{number}", headers={"X-User-ID": f"u{number}"})
            http.get("/v1/models", headers={"Authorization": f"Bearer {number}"})

        def series() -> list[str]:
            text = http.get("/metrics").text
            return [line.split(" ")[0] for line in text.splitlines()]

        for number in range(5):
            invent(number)
        series()
        before = series()
        for number in range(5, 205):
            invent(number)
        after = series()

    assert after == before
    assert 'gen_ai_request_model="other"' in "".join(after)
    assert not any("model-1" in name or KEY in name for name in after)


def test_an_upstream_that_lists_thousands_of_models_does_not_either() -> None:
    metrics = Metrics()
    names = [f"model-{number}" for number in range(1000)]
    metrics.know(names)
    for name in names:
        usage = Usage(prompt_tokens=1, completion_tokens=3)
        metrics.count_call("chat", "p", name, usage, 2.0, first_chunk=1.0)
    counts = [
        sample
        for family in metrics.registry.collect()
        for sample in family.samples
        if sample.name == "gen_ai_client_inference_time_to_first_chunk_seconds_count"
    ]

    assert len(counts) == MAX_MODELS + 1
    assert counts[-1].labels["gen_ai_request_model"] == "other"
    assert counts[-1].value == 1000 - MAX_MODELS


# Those of open-telemetry/semantic-conventions-genai, version 0.1.0, that fit here.
CONVENTIONS = {
    "gen_ai.client.inference.duration",
    "gen_ai.client.inference.time_to_first_chunk",
    "gen_ai.client.inference.time_per_output_chunk",
    "gen_ai.client.inference.usage.input_tokens",
    "gen_ai.client.inference.usage.output_tokens",
    "gen_ai.client.inference.usage.cache_read.input_tokens",
    "gen_ai.client.inference.operation.input_tokens",
    "gen_ai.client.inference.operation.output_tokens",
    "gen_ai.client.embeddings.duration",
    "gen_ai.client.embeddings.operation.input_tokens",
}


ATTRIBUTES = ("gen_ai.operation.name", "gen_ai.provider.name", "gen_ai.request.model")


def test_metrics_of_models_have_the_names_of_the_conventions_and_no_older_ones() -> (
    None
):
    ask = {"model": "offline-echo", "messages": [{"role": "user", "content": "a b c"}]}
    with TestClient(create_app(settings()), headers=HEADERS) as client:
        client.post("/v1/chat/completions", json={**ask, "stream": True})
        client.post("/v1/embeddings", json={"model": "any", "input": "hi"})
        text = client.get("/metrics").text
    families = {
        line.split(" ")[2]: line.split(" ")[3]
        for line in text.splitlines()
        if line.startswith("# TYPE gen_ai") and "_created" not in line
    }

    assert GEN_AI.keys() == CONVENTIONS
    for name, instrument in GEN_AI.items():
        expected = {*ATTRIBUTES, *(["openai.api.type"] if "inference" in name else [])}
        of_calls = {label(attribute) for attribute in expected}
        assert of_calls <= {*instrument.labels}, name
    assert families == {
        prometheus_name(name, it) + ("" if it.buckets else "_total"): (
            "histogram" if it.buckets else "counter"
        )
        for name, it in GEN_AI.items()
    }
    for family, kind in families.items():
        sample = f"{family}_count{{" if kind == "histogram" else f"{family}{{"
        assert sample in text, family


def test_metrics_say_by_which_api_a_call_came_and_vectors_have_none() -> None:
    said = [{"role": "user", "content": "hi"}]
    with TestClient(create_app(settings()), headers=HEADERS) as client:
        client.post(
            "/v1/chat/completions", json={"model": "offline-echo", "messages": said}
        )
        asked = {"model": "offline-echo", "input": "hi"}
        client.post("/v1/responses", json=asked)
        queued = client.post("/v1/responses", json={**asked, "background": True})
        path = f"/v1/responses/{queued.json()['id']}"
        wait_until(lambda: client.get(path).json()["status"] == "completed")
        client.post("/v1/embeddings", json={"model": "any", "input": "hi"})
        text = client.get("/metrics").text
    of_chat = [it for it in text.splitlines() if 'gen_ai_operation_name="chat"' in it]
    counts = {
        api_type: [
            float(line.split(" ")[-1])
            for line in of_chat
            if line.startswith("gen_ai_client_inference_duration_seconds_count{")
            and f'openai_api_type="{api_type}"' in line
        ]
        for api_type in ("chat_completions", "responses")
    }

    assert counts == {"chat_completions": [1], "responses": [2]}
    assert all("openai_api_type" in line for line in of_chat)
    for line in text.splitlines():
        if 'gen_ai_operation_name="embeddings"' in line:
            assert "openai_api_type" not in line


def test_a_streams_chunks_are_timed_and_a_whole_answer_has_none() -> None:
    ask = {"model": "offline-echo", "messages": [{"role": "user", "content": "a b c"}]}
    first = "gen_ai_client_inference_time_to_first_chunk_seconds_count{"
    between = "gen_ai_client_inference_time_per_output_chunk_seconds_count{"
    with TestClient(create_app(settings()), headers=HEADERS) as client:
        client.post("/v1/chat/completions", json=ask)
        whole = client.get("/metrics").text
        client.post("/v1/chat/completions", json={**ask, "stream": True})
        streamed = client.get("/metrics").text.splitlines()

    assert first not in whole
    assert between not in whole
    counts = {
        name: float(next(it for it in streamed if it.startswith(name)).split()[-1])
        for name in (first, between)
    }
    assert counts[first] == 1
    assert counts[between] >= 2


class Tracing(otel.TracerProvider, otel.Tracer):
    """As much of an OpenTelemetry SDK as tells which spans began, in which trace."""

    SPAN_ID = 0xABC

    def __init__(self) -> None:
        self.started: list[tuple[str, int]] = []

    def get_tracer(self, *_: Any, **__: Any) -> otel.Tracer:
        return self

    def start_span(
        self, name: str, context: Context | None = None, *_: Any, **__: Any
    ) -> otel.Span:
        parent = otel.get_current_span(context).get_span_context()
        trace_id = parent.trace_id or 1
        self.started.append((name, trace_id))
        return otel.NonRecordingSpan(
            otel.SpanContext(trace_id, self.SPAN_ID, is_remote=False)
        )

    def start_as_current_span(self, *args: Any, **kwargs: Any) -> Any:
        return otel.use_span(self.start_span(args[0], kwargs.get("context")))


def test_fastapis_spans_are_part_of_the_trace_and_probes_have_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    provider = Tracing()
    monkeypatch.setitem(TELEMETRY, "tracer_provider", provider)
    with (
        answering(SSE + FRAMES) as (upstream, asked),
        TestClient(
            create_app(settings(upstream_base_url=upstream)), headers=HEADERS
        ) as http,
    ):
        http.get("/health/live")
        http.get("/metrics")
        assert provider.started == []
        http.post(PATH, json=ASK, headers={"traceparent": TRACEPARENT})

    assert {trace_id for _, trace_id in provider.started} == {int(TRACE, 16)}
    assert f"traceparent: 00-{TRACE}-{Tracing.SPAN_ID:016x}-" in asked[-1]


class RecordedSpan(otel.NonRecordingSpan):
    """A span that keeps its attributes."""

    def __init__(self) -> None:
        super().__init__(otel.SpanContext(1, Tracing.SPAN_ID, is_remote=False))
        self.attributes: dict[str, Any] = {}

    def is_recording(self) -> bool:
        return True

    def set_attribute(self, key: str, value: Any) -> None:
        self.attributes[key] = value


class RecordingTracing(Tracing):
    """An SDK that records."""

    def __init__(self) -> None:
        super().__init__()
        self.spans: list[RecordedSpan] = []

    def start_span(self, *_: Any, **__: Any) -> otel.Span:
        self.spans.append(RecordedSpan())
        return self.spans[-1]


def test_the_span_of_a_call_says_which_model_was_asked_by_which_api(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    provider = RecordingTracing()
    monkeypatch.setitem(TELEMETRY, "tracer_provider", provider)
    with TestClient(create_app(settings()), headers=HEADERS) as http:
        said = [{"role": "user", "content": "hi"}]
        http.post(PATH, json={"model": "offline-echo", "messages": said})
        http.post("/v1/responses", json={"model": "offline-echo", "input": "hi"})
        http.post("/v1/embeddings", json={"model": "any", "input": "hi"})
    described = [
        {
            key: it
            for key, it in span.attributes.items()
            if "gen_ai" in key or "openai" in key
        }
        for span in provider.spans
    ]
    chat = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "offline-echo"}

    assert [it for it in described if it] == [
        {**chat, "openai.api.type": "chat_completions"},
        {**chat, "openai.api.type": "responses"},
        {"gen_ai.operation.name": "embeddings", "gen_ai.request.model": "any"},
    ]
