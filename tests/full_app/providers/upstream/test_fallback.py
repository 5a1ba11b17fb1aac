"""Fallback, the budget of upstream calls, deadlines, circuit breakers."""

import contextlib
import json
import socket
import threading
import time
from collections.abc import AsyncGenerator, Iterator

import httpx2
import openai
import pytest
from fastapi import FastAPI
from pydantic import ValidationError

from examples.full_app.main import create_app
from examples.full_app.providers.base import CallContext, Provider
from examples.full_app.providers.upstream.breaker import (
    CircuitBreaker,
    CircuitOpenError,
)
from examples.full_app.providers.upstream.client import (
    OpenAICompatibleProvider,
    open_session,
)
from examples.full_app.providers.upstream.fallback import ResilientProvider
from examples.full_app.providers.upstream.upstreams import Policy, Upstream
from examples.full_app.schemas.chat import ChatCompletionRequest
from examples.s5_error_handling import (
    AIError,
    ContextLengthError,
    ModelError,
    ModelOverloadedError,
    RateLimitExceededError,
)
from tests.full_app.conftest import KEY, settings
from tests.full_app.scripted import Scripted
from tests.full_app.upstreams import (
    ASK,
    FRAMES,
    HEADERS,
    HELLO,
    PATH,
    SSE,
    answering,
    head,
    in_front_of,
    inside,
    refusal,
)
from tests.servers import free_port, serve, wait_until

FINE = SSE + FRAMES
BUSY = refusal(503, "retry-after: 0")
STREAMED = {**ASK, "stream": True}
COUNT, PATIENCE = "x-stainless-retry-count", "x-stainless-read-timeout"


@contextlib.contextmanager
def two(
    first: bytes | None, second: bytes | None, **given: object
) -> Iterator[tuple[httpx2.Client, list[str], list[str]]]:
    """A client of a full_app with two upstreams, and the requests of each."""
    with (
        answering(first) as (url, asked_first),
        answering(second) as (other, asked_second),
        before(url, fallback_base_url=other, **given) as http,
    ):
        yield http, asked_first, asked_second


def before(
    upstream: str, **given: object
) -> contextlib.AbstractContextManager[httpx2.Client]:
    """A full_app that asks `upstream`, in this process, and a client of it."""
    given = {"upstream_base_url": upstream, "upstream_api_key": KEY, **given}
    return inside(create_app(settings(**given)))


# --- the budget: at most three upstream calls for one user call


@pytest.mark.wire
@pytest.mark.parametrize(
    ("first", "second", "calls"),
    [
        (BUSY, None, 2),  # one retry of ours, and the client is told to stop
        (refusal(500), None, 3),  # none of ours: the client's three tries
        (refusal(429, "retry-after: 0"), None, 3),
        (BUSY, BUSY, 3),
        (refusal(500), refusal(500), 2),
        (refusal(500), BUSY, 3),
    ],
    ids=["503", "500", "429", "503 and 503", "500 and 500", "500 and 503"],
)
def test_client_and_service_together_make_at_most_three_upstream_calls(
    first: bytes, second: bytes | None, calls: int
) -> None:
    with contextlib.ExitStack() as stack:
        url, asked = stack.enter_context(answering(first))
        given: dict[str, object] = {}
        also: list[str] = []
        if second is not None:
            given["fallback_base_url"], also = stack.enter_context(answering(second))
        http = stack.enter_context(in_front_of(url, **given))
        client = stack.enter_context(
            openai.OpenAI(base_url=f"{http.base_url}/v1", api_key=KEY, max_retries=2)
        )
        with pytest.raises(openai.APIStatusError):
            client.chat.completions.create(**ASK)  # type: ignore[call-overload]  # a plain dict

    assert len(asked) + len(also) == calls <= 3


@pytest.mark.wire
def test_an_upstream_that_is_not_there_is_tried_at_most_three_times() -> None:
    with (
        in_front_of(f"http://127.0.0.1:{free_port()}/v1") as http,
        openai.OpenAI(
            base_url=f"{http.base_url}/v1", api_key=KEY, max_retries=2
        ) as client,
    ):
        with pytest.raises(openai.InternalServerError):
            client.chat.completions.create(**ASK)  # type: ignore[call-overload]  # a plain dict
        series = http.get("/metrics").text

    line = 'abandoned_total{provider="upstream",reason="unavailable"} 2.0'
    assert line in series


@pytest.mark.parametrize(
    ("told", "calls"),
    [("0", 3), ("1", 2), ("2", 1), ("7", 1), ("-1", 3), ("x", 3), ("1" * 9, 3)],
)
def test_the_clients_own_retries_are_part_of_the_budget(told: str, calls: int) -> None:
    with two(BUSY, BUSY) as (http, first, second):
        answer = http.post(PATH, json=ASK, headers={COUNT: told})

    assert len(first) + len(second) == calls
    assert answer.headers["x-should-retry"] == "false"


def test_a_client_may_try_again_while_its_count_tells_all_calls() -> None:
    with answering(refusal(500)) as (url, _), before(url) as http:
        told = [
            http.post(PATH, json=ASK, headers={COUNT: str(tried)}).headers
            for tried in range(3)
        ]

    assert [h["x-should-retry"] for h in told] == ["true", "true", "false"]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (refusal(503, "retry-after: 9"), refusal(429, "retry-after: 4")),
        (refusal(429, "retry-after: 4"), refusal(503, "retry-after: 9")),
        (refusal(429, "retry-after: 4"), refusal(500)),
    ],
    ids=["the second", "the first", "the only one"],
)
def test_a_spent_budget_reads_like_the_failure_that_passes_soonest(
    first: bytes, second: bytes
) -> None:
    with two(first, second) as (http, *_):
        answer = http.post(PATH, json=ASK)

    assert (answer.status_code, answer.json()["code"]) == (429, "rate_limit_exceeded")
    assert answer.headers["retry-after"] == "4"
    assert answer.headers["retry-after-ms"] == "4000"
    assert answer.headers["x-should-retry"] == "false"


async def test_the_http_client_never_retries_by_itself() -> None:
    """What fails in the TLS handshake did no work, so a client could try it again."""
    accepted = 0
    with socket.create_server(("127.0.0.1", 0)) as server:

        def run() -> None:
            nonlocal accepted
            with contextlib.suppress(OSError):
                while True:
                    server.accept()[0].close()
                    accepted += 1

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        url = f"https://127.0.0.1:{server.getsockname()[1]}/v1"
        async with open_session() as session:
            provider = OpenAICompatibleProvider(session, url, None)
            with pytest.raises(ModelOverloadedError):
                await anext(aiter(provider.stream(request(), CallContext("r"))))
        server.shutdown(socket.SHUT_RDWR)
        thread.join(5)

    assert accepted == 1


def request() -> ChatCompletionRequest:
    """The request the tests send, as a provider gets it."""
    return ChatCompletionRequest.model_validate(ASK)


# --- fallback


REPAIRED = {
    "500": refusal(500),
    "502 of a proxy": head(502, "text/html") + b"<h1>Bad Gateway</h1>",
    "503": refusal(503, "retry-after: 60"),
    "504": refusal(504),
    "429": refusal(429, "retry-after: 60"),
    "our key refused": refusal(401),
    "nothing": b"",
    "another content type": head(200, "text/html") + b"<p>hello</p>",
    "an error event first": SSE + b'data: {"error": {"message": "no"}}\n\n',
    "only an end": SSE + b"data: [DONE]\n\n",
}


@pytest.mark.wire
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("reply", REPAIRED.values(), ids=REPAIRED.keys())
def test_what_fails_before_the_first_byte_another_upstream_answers(
    reply: bytes, stream: bool
) -> None:
    with two(reply, FINE) as (http, first, second):
        answer = http.post(PATH, json={**ASK, "stream": stream})

    assert answer.status_code == 200
    assert "hello" in answer.text
    assert answer.headers["x-provider"] == "fallback"
    assert (len(first), len(second)) == (1, 1)


@pytest.mark.wire
def test_an_upstream_that_is_not_there_is_replaced_by_another() -> None:
    with (
        answering(FINE) as (other, _),
        before(f"http://127.0.0.1:{free_port()}/v1", fallback_base_url=other) as http,
    ):
        answer = http.post(PATH, json=ASK)
        label = 'gen_ai_provider_name="fallback"'
        wait_until(lambda: label in http.get("/metrics").text, what="its metrics")

    assert (answer.status_code, answer.headers["x-provider"]) == (200, "fallback")


@pytest.mark.wire
@pytest.mark.parametrize("stream", [False, True])
def test_after_the_first_byte_an_error_stays_an_error(stream: bool) -> None:
    with two(SSE + HELLO, FINE) as (http, first, second):
        answer = http.post(PATH, json={**ASK, "stream": stream})

    assert "upstream_error" in answer.text
    assert "[DONE]" not in answer.text
    assert answer.text.count("hello") == stream
    assert (len(first), len(second)) == (1, 0)


@pytest.mark.parametrize("status", [400, 404, 413, 422])
def test_what_the_caller_must_mend_is_not_asked_elsewhere(status: int) -> None:
    with two(refusal(status), FINE) as (http, first, second):
        answer = http.post(PATH, json=ASK)

    assert answer.status_code in (400, status)
    assert (len(first), len(second)) == (1, 0)


@pytest.mark.parametrize(
    ("first", "status"),
    [(refusal(503, "retry-after: 9"), 503), (refusal(500), 502)],
    ids=["503", "500"],
)
def test_a_fallback_without_the_model_does_not_hide_why_it_was_asked(
    first: bytes, status: int
) -> None:
    with two(first, refusal(404)) as (http, *_):
        answer = http.post(PATH, json=ASK)

    assert answer.status_code == status


def test_a_healthy_upstream_answers_alone_and_is_named() -> None:
    with two(FINE, FINE) as (http, first, second):
        whole, streamed = http.post(PATH, json=ASK), http.post(PATH, json=STREAMED)
        local = http.post(PATH, json={**ASK, "model": "offline-echo"})

    assert whole.headers["x-provider"] == streamed.headers["x-provider"] == "upstream"
    assert "x-provider" not in local.headers
    assert (len(first), len(second)) == (2, 0)


def test_the_fallback_gets_its_own_key_and_its_own_model() -> None:
    given = {"fallback_api_key": "sk-other", "fallback_model": "small"}
    with two(refusal(500), FINE, **given) as (http, first, second):
        answer = http.post(PATH, json=ASK).json()

    assert "authorization: bearer sk-other" in second[0].lower()
    assert KEY not in second[0]
    assert [_body(first)["model"], _body(second)["model"]] == ["any", "small"]
    assert answer["model"] == "any"


def _body(requests: list[str]) -> dict[str, object]:
    body: dict[str, object] = json.loads(requests[0].partition("\r\n\r\n")[2])
    return body


VECTORS = (
    head(200, "application/json")
    + json.dumps(
        {
            "object": "list",
            "model": "m",
            "data": [{"object": "embedding", "index": 0, "embedding": [1.0]}],
            "usage": {"prompt_tokens": 1, "total_tokens": 1},
        }
    ).encode()
)
EMBED = {"model": "e", "input": "a"}


def test_embeddings_fall_back_to_the_same_model_elsewhere() -> None:
    with two(refusal(500), VECTORS) as (http, *_):
        answer = http.post("/v1/embeddings", json=EMBED)

    assert (answer.status_code, answer.headers["x-provider"]) == (200, "fallback")


def test_embeddings_never_come_from_another_model() -> None:
    with two(refusal(500), VECTORS, fallback_model="m") as (http, _, second):
        answer = http.post("/v1/embeddings", json=EMBED)

    assert answer.status_code == 502
    assert second == []


def test_abandoned_attempts_are_counted_under_names_of_ours() -> None:
    with two(refusal(500), FINE) as (http, *_):
        for model in ("any", "other"):
            http.post(PATH, json={**ASK, "model": model})
        series = [
            line
            for line in http.get("/metrics").text.splitlines()
            if line.startswith("upstream_attempts_abandoned_total{")
        ]

    assert series == [
        'upstream_attempts_abandoned_total{provider="upstream",reason="error"} 2.0'
    ]


def test_the_models_are_those_of_the_first_upstream_that_lists_any() -> None:
    listed = {
        "object": "list",
        "data": [{"id": "theirs", "created": 1, "owned_by": "x"}],
    }
    reply = head(200, "application/json") + json.dumps(listed).encode()
    with two(refusal(500), reply) as (http, *_):
        ids = {model["id"] for model in http.get("/v1/models").json()["data"]}
    with two(refusal(500), reply, fallback_model="theirs") as (http, *_):
        hidden = {model["id"] for model in http.get("/v1/models").json()["data"]}

    assert "theirs" in ids
    assert "theirs" not in hidden


def test_a_fallback_without_an_upstream_is_refused_at_start() -> None:
    with pytest.raises(ValidationError, match="FULL_APP_UPSTREAM_BASE_URL"):
        settings(fallback_base_url="http://127.0.0.1:1/v1")


# --- deadlines and pauses


@pytest.mark.parametrize(
    ("told", "seconds"),
    [
        ("8", 7.6),
        ("8.0", 7.6),
        ("50", 49),
        ("600", 120),
        ("999999", 120),
        *((bad, 120) for bad in ("", "0", "0.0", "-1", "nan", "inf", "1e1", "9" * 7)),
    ],
)
def test_the_deadline_is_the_clients_patience_or_the_setting(
    told: str, seconds: float
) -> None:
    provider = Scripted()
    app = create_app(settings(request_timeout_seconds=120), provider=provider)
    with inside(app) as http:
        earliest = time.monotonic() + seconds
        http.post(PATH, json=ASK, headers={PATIENCE: told})
        latest = time.monotonic() + seconds
    deadline = provider.contexts[0].deadline

    assert deadline is not None
    assert earliest <= deadline <= latest


@pytest.mark.parametrize("path", [PATH, "/v1/embeddings"])
def test_an_impatient_clients_call_ends_in_time_and_asks_nobody_else(path: str) -> None:
    with two(None, FINE) as (http, first, second):
        body = EMBED if path != PATH else ASK
        answer = http.post(path, json=body, headers={PATIENCE: "0.3"})

    assert (answer.status_code, answer.json()["code"]) == (504, "timeout")
    assert (len(first), len(second)) == (1, 0)


@contextlib.contextmanager
def resilient(
    *providers: Provider,
    breaker: CircuitBreaker | None = None,
    policy: Policy | None = None,
    served: bool = False,
) -> Iterator[tuple[httpx2.Client, list[float]]]:
    """A client of full_app before these providers, and the pauses it made."""
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    upstreams = [
        Upstream(f"p{place}", provider, breaker=breaker or CircuitBreaker())
        for place, provider in enumerate(providers)
    ]
    app = create_app(
        settings(tokens_per_minute=10**12),  # an endless answer has many
        provider=ResilientProvider(upstreams, policy=policy, sleep=sleep),
    )
    with over_http(app) if served else inside(app) as http:
        yield http, pauses


@contextlib.contextmanager
def over_http(app: FastAPI) -> Iterator[httpx2.Client]:
    """A client of `app` under a real server, which notices clients that leave."""
    with (
        serve(app) as url,
        httpx2.Client(base_url=url, headers=HEADERS, timeout=10) as http,
    ):
        yield http


def failing(error: Exception) -> Scripted:
    """A provider that fails before its first delta."""
    provider = Scripted()
    provider.pieces, provider.failure = [], error
    return provider


@pytest.mark.parametrize(
    ("asked", "patience", "pauses"),
    [
        (0.0, "60", 1),
        (1.5, "60", 1),
        (1.5, "1.2", 0),  # longer than the deadline
        (2.5, "60", 0),  # longer than we hold a caller
    ],
)
def test_a_retry_waits_as_long_as_the_upstream_asked_or_is_not_made(
    asked: float, patience: str, pauses: int
) -> None:
    provider = failing(ModelOverloadedError(asked))
    with resilient(provider) as (http, made):
        answer = http.post(PATH, json=ASK, headers={PATIENCE: patience})

    assert answer.status_code == 503
    assert len(made) == pauses
    assert all(asked < pause <= asked + 0.375 for pause in made)
    assert provider.started == 1 + pauses


def test_pauses_differ_so_that_callers_do_not_return_together() -> None:
    with resilient(failing(ModelOverloadedError(0)), breaker=_patient()) as (
        http,
        made,
    ):
        for _ in range(5):
            http.post(PATH, json=ASK)

    assert len(set(made)) == 5


def _patient() -> CircuitBreaker:
    return CircuitBreaker(threshold=100)


def test_what_may_have_done_work_is_not_asked_twice() -> None:
    provider = failing(ModelError("It broke."))
    with resilient(provider) as (http, pauses):
        answer = http.post(PATH, json=ASK)

    assert answer.status_code == 502
    assert (provider.started, pauses) == (1, [])


def test_of_two_busy_upstreams_the_one_free_sooner_is_asked_once_more() -> None:
    first, second = (
        failing(ModelOverloadedError(1.5)),
        failing(ModelOverloadedError(1)),
    )
    with resilient(first, second) as (http, pauses):
        answer = http.post(PATH, json=ASK)

    assert (first.started, second.started, len(pauses)) == (1, 2, 1)
    assert answer.headers["retry-after"] == "1"


@pytest.mark.parametrize(
    ("text", "least", "most"),
    [
        ("Fri, 01 Jan 2100 00:00:00 GMT", 10**8, 10**10),
        ("Thu, 01 Jan 2004 00:00:00 GMT", 1, 1),
        ("soon", 1, 1),
        ("9" * 400, 1, 1),
    ],
)
def test_either_form_of_retry_after_passes_on(text: str, least: int, most: int) -> None:
    reply = refusal(429, f"retry-after: {text}")
    with answering(reply) as (url, _), before(url) as http:
        answer = http.post(PATH, json=ASK)

    assert answer.status_code == 429
    assert least <= int(answer.headers["retry-after"]) <= most


# --- the circuit breaker


class Clock:
    """A clock that a test moves."""

    now = 0.0

    def __call__(self) -> float:
        """The time, in seconds."""
        return self.now


@contextlib.contextmanager
def breaking(
    error: AIError | None = None,
    policy: Policy | None = None,
    served: bool = False,
) -> Iterator[tuple[httpx2.Client, Scripted, Clock]]:
    """A client, the provider behind a breaker, and the breaker's clock."""
    clock = Clock()
    provider = failing(error or ModelError("It broke."))
    breaker = CircuitBreaker(clock=clock)
    with resilient(provider, breaker=breaker, policy=policy, served=served) as (
        http,
        _,
    ):
        yield http, provider, clock


def ask(http: httpx2.Client, times: int, **headers: str) -> list[int]:
    """The statuses of calls one after the other."""
    told = {name.replace("_", "-"): value for name, value in headers.items()}
    return [http.post(PATH, json=ASK, headers=told).status_code for _ in range(times)]


def test_five_failures_in_a_row_open_the_breaker_and_it_fails_fast() -> None:
    with breaking() as (http, provider, clock):
        statuses = ask(http, 5)
        clock.now = 1.5
        refused = http.post(PATH, json=ASK)

    assert statuses == [502] * 5
    assert (refused.status_code, refused.json()["code"]) == (503, "service_unavailable")
    assert refused.headers["retry-after-ms"] == "3500"
    assert refused.headers["x-should-retry"] == "true"
    assert provider.started == 5


def test_a_success_in_between_starts_the_count_anew() -> None:
    with breaking() as (http, provider, _):
        ask(http, 4)
        _mend(provider)
        ask(http, 1)
        provider.pieces, provider.failure = [], ModelError("It broke.")

        assert ask(http, 5) == [502] * 5
        assert ask(http, 1) == [503]


def _mend(provider: Scripted) -> None:
    provider.pieces, provider.failure = ["a"], None


def test_who_waits_as_told_finds_the_breaker_closed_by_one_good_probe() -> None:
    with breaking() as (http, provider, clock):
        ask(http, 5)
        _mend(provider)
        clock.now = 4.999
        early = ask(http, 1)
        clock.now = 5.0

        assert (early, ask(http, 3)) == ([503], [200] * 3)
        provider.pieces, provider.failure = [], ModelError("It broke.")
        assert ask(http, 5) == [502] * 5


def test_a_failed_probe_opens_the_breaker_for_another_pause() -> None:
    with breaking() as (http, provider, clock):
        ask(http, 5)
        clock.now = 5.0

        assert ask(http, 2) == [502, 503]
        clock.now = 9.9
        assert ask(http, 1) == [503]
        assert provider.started == 6


def test_half_open_lets_one_call_through_at_a_time() -> None:
    with breaking(served=True) as (http, provider, clock):
        ask(http, 5)
        clock.now = 5.0
        provider.silent = True
        with in_background(http) as probe:
            wait_until(lambda: provider.started == 6)
            beside = http.post(PATH, json=ASK)
            _mend(provider)
            provider.silent = False
        after = ask(http, 1)

    assert (beside.status_code, beside.headers["retry-after"]) == (503, "1")
    assert (probe, after, provider.started) == ([200], [200], 7)


@contextlib.contextmanager
def in_background(http: httpx2.Client) -> Iterator[list[int]]:
    """A call beside the block; its status, once the block has ended."""
    statuses: list[int] = []
    thread = threading.Thread(target=lambda: statuses.extend(ask(http, 1)))
    thread.start()
    yield statuses
    thread.join(10)


def test_a_client_that_leaves_is_no_failure_and_frees_the_probe() -> None:
    with breaking(served=True) as (http, provider, clock):
        ask(http, 4)
        provider.silent = True
        _leave(http, provider)
        provider.silent = False
        assert ask(http, 1) == [502]  # the fifth
        clock.now = 5.0
        provider.silent = True
        _leave(http, provider)
        provider.silent = False
        _mend(provider)

        assert ask(http, 1) == [200]


def _leave(http: httpx2.Client, provider: Scripted) -> None:
    begun = provider.started
    with contextlib.suppress(httpx2.ReadTimeout):
        http.post(PATH, json=ASK, timeout=httpx2.Timeout(10, read=0.2))
    wait_until(lambda: provider.closed == provider.started == begun + 1)


def test_a_client_that_leaves_in_mid_stream_is_no_failure() -> None:
    with breaking(served=True) as (http, provider, _):
        ask(http, 4)
        _mend(provider)
        provider.endless = True
        with http.stream("POST", PATH, json=STREAMED) as answer:
            next(answer.iter_lines())
        wait_until(lambda: provider.closed == provider.started == 5)
        provider.pieces, provider.endless = [], False
        provider.failure = ModelError("It broke.")

        assert ask(http, 2) == [502, 503]


def test_streams_that_break_off_open_the_breaker_too() -> None:
    with breaking() as (http, provider, _):
        provider.pieces = ["half"]

        assert ask(http, 6) == [502] * 5 + [503]


@pytest.mark.parametrize(
    ("error", "status"),
    [(RateLimitExceededError(30), 429), (ContextLengthError(2, 1), 400)],
)
def test_an_upstream_that_says_no_is_alive(error: AIError, status: int) -> None:
    with breaking(error) as (http, *_):
        assert ask(http, 6) == [status] * 6


def test_a_429_is_neither_a_failure_nor_a_success() -> None:
    with breaking() as (http, provider, _):
        ask(http, 4)
        provider.failure = RateLimitExceededError(30)
        ask(http, 1)
        provider.failure = ModelError("It broke.")

        assert ask(http, 2) == [502, 503]


def test_embeddings_count_for_the_breaker_as_well() -> None:
    with breaking() as (http, provider, _):
        ask(http, 4)
        assert http.post("/v1/embeddings", json=EMBED).status_code == 200

        assert ask(http, 6) == [502] * 5 + [503]
        assert http.post("/v1/embeddings", json=EMBED).status_code == 503
        assert provider.started == 10


def test_a_bug_of_ours_is_not_the_upstreams_failure() -> None:
    with breaking() as (http, provider, _):
        provider.failure = ZeroDivisionError()

        assert ask(http, 6) == [500] * 6


@pytest.mark.parametrize(("hung_after", "last"), [(10.0, 504), (0.001, 503)])
def test_only_a_real_wait_counts_as_a_hung_upstream(
    hung_after: float, last: int
) -> None:
    with breaking(policy=Policy(hung_after=hung_after)) as (http, provider, _):
        provider.silent = True

        assert ask(http, 6, x_stainless_read_timeout="0.1") == [504] * 5 + [last]


def test_an_open_breaker_leaves_the_budget_to_the_fallback() -> None:
    clock = Clock()
    broken, spare = failing(ModelError("It broke.")), Scripted()
    upstreams = [
        Upstream("p0", broken, breaker=CircuitBreaker(1, clock=clock)),
        Upstream("p1", spare),
    ]
    told: list[tuple[str, str]] = []

    def abandoned(name: str, reason: str) -> None:
        told.append((name, reason))

    provider = ResilientProvider(upstreams, abandoned=abandoned)
    app = create_app(settings(), provider=provider)
    with inside(app) as http:
        statuses = ask(http, 2, x_stainless_retry_count="1")

    assert statuses == [200, 200]
    assert (broken.started, spare.started) == (1, 2)
    assert told == [("p0", "error"), ("p0", "circuit_open")]


def test_a_call_from_before_does_not_close_an_open_breaker() -> None:
    breaker = CircuitBreaker(threshold=1, clock=Clock())
    breaker.admit()
    breaker.record(False)
    breaker.record(True)

    with pytest.raises(CircuitOpenError):
        breaker.admit()


def test_calls_from_before_that_fail_late_do_not_lengthen_the_pause() -> None:
    clock = Clock()
    breaker = CircuitBreaker(threshold=1, clock=clock)
    breaker.record(False)
    clock.now = 3.0
    breaker.record(False)
    clock.now = 5.0

    assert breaker.admit()


async def test_closing_the_stream_closes_the_upstream_before_it_returns() -> None:
    upstream = Scripted()
    stream = ResilientProvider([Upstream("p0", upstream)]).stream(
        request(), CallContext("r")
    )
    await anext(stream)
    assert isinstance(stream, AsyncGenerator)
    await stream.aclose()

    assert upstream.closed == 1


def test_embeddings_end_in_time_whatever_the_provider_does() -> None:
    provider = Scripted()
    provider.silent = True
    with resilient(provider) as (http, _):
        answer = http.post("/v1/embeddings", json=EMBED, headers={PATIENCE: "0.2"})

    assert (answer.status_code, provider.closed) == (504, 1)


async def test_without_a_deadline_nothing_is_cut() -> None:
    provider = ResilientProvider([Upstream("p0", Scripted())])
    items = [item async for item in provider.stream(request(), CallContext("r"))]

    assert len(items) == 5


@pytest.mark.parametrize("seconds", [0.005, 0.0, -1.0])
async def test_past_the_deadline_nobody_is_asked(seconds: float) -> None:
    upstream = Scripted()
    provider = ResilientProvider([Upstream("p0", upstream)])
    call = CallContext("r", deadline=time.monotonic() + seconds)
    with pytest.raises(AIError, match="in time"):
        await anext(aiter(provider.stream(request(), call)))

    assert upstream.started == 0
