"""What calls cost their caller, however they end; nothing stays reserved."""

import asyncio
import gc
import json
import logging
import signal
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx2
import openai
import pytest
import redis
from websockets.sync.client import connect

from examples.full_app.chat.call import Call
from examples.full_app.chat.service import ChatService
from examples.full_app.limits.ledger import Ledger, Limits
from examples.full_app.limits.rates import Limiter, RateLimit
from examples.full_app.limits.waiting import WaitingQueue
from examples.full_app.main import create_app
from examples.full_app.money import Account, Prices, as_usd
from examples.full_app.observability.metrics import Metrics
from examples.full_app.providers.base import CallContext, Delta, EmbeddingCall
from examples.full_app.schemas.answers import FunctionDelta, ToolCallDelta
from examples.full_app.schemas.chat import ChatCompletionRequest
from examples.full_app.tokens import EstimateTokenizer, count_messages
from examples.s2_models import Usage
from examples.s4_dependency_injection import open_redis
from examples.s5_error_handling import ContentFilteredError
from tests.conftest import running_redis
from tests.full_app.conftest import KEY, OTHER_KEY, settings
from tests.full_app.limits.test_ledger import over_a_wire
from tests.full_app.scripted import Scripted
from tests.servers import serve, wait_until

PRICES = Prices()
MODEL = "gpt-4o-mini"
ASK: dict[str, Any] = {
    "model": MODEL,
    "messages": [{"role": "user", "content": "one two"}],
    "max_tokens": 50,
}
STREAM = {**ASK, "stream": True}
PROMPT_TOKENS = count_messages(
    EstimateTokenizer(), ChatCompletionRequest.model_validate(ASK).messages
)
PATH = "/v1/chat/completions"
RESPONSES = "/v1/responses"
RESPONSE: dict[str, Any] = {"model": MODEL, "input": "one two", "max_output_tokens": 50}
RESPONSE_STREAM = {**RESPONSE, "stream": True}
CALLS = [
    (PATH, ASK),
    (PATH, STREAM),
    (RESPONSES, RESPONSE),
    (RESPONSES, RESPONSE_STREAM),
]
CALL_NAMES = ["whole", "stream", "response", "response stream"]
HEADERS = {"Authorization": f"Bearer {KEY}"}
OTHER = {"Authorization": f"Bearer {OTHER_KEY}"}


class Toolish(Scripted):
    """Also begins to call a tool, if told."""

    tool: ToolCallDelta | None = None

    async def stream(
        self, request: ChatCompletionRequest, call: CallContext
    ) -> AsyncIterator[Delta | Usage]:
        """The tool call first, then what the script says."""
        if self.tool is not None:
            yield Delta(tool_calls=(self.tool,))
        async for item in super().stream(request, call):
            yield item


def keys(budget: str) -> list[dict[str, str]]:
    """One key with this budget, and one without any."""
    return [
        {"name": "alpha", "key": KEY, "budget_usd": budget},
        {"name": "beta", "key": OTHER_KEY},
    ]


@contextmanager
def paid(
    redis_url: str | None, budget: str = "1", database: int = 6, **given: object
) -> Iterator[tuple[httpx2.Client, Toolish]]:
    """full_app with a budget, a scripted provider behind it, and a client of it."""
    provider = Toolish()
    apart = redis_url and f"{redis_url}/{database}"
    flush(apart)
    given = {"api_keys": keys(budget), "redis_url": apart, **given}
    with (
        serve(create_app(settings(**given), provider=provider)) as url,
        httpx2.Client(base_url=url, headers=HEADERS, timeout=10) as http,
    ):
        yield http, provider


def flush(url: str | None) -> None:
    """Forget what other tests have spent."""
    if url is not None:
        with redis.Redis.from_url(url) as client:
            client.flushdb()


@pytest.fixture(scope="module")
def running(redis_url: str | None) -> Iterator[tuple[httpx2.Client, Toolish]]:
    # Its workers would take the jobs of another one in the same database.
    with paid(redis_url, database=7, heartbeat_seconds=0.2) as found:
        yield found


@pytest.fixture
def http(running: tuple[httpx2.Client, Toolish]) -> httpx2.Client:
    return running[0]


@pytest.fixture
def provider(running: tuple[httpx2.Client, Toolish]) -> Toolish:
    used = running[1]
    used.__dict__.clear()
    used.__dict__.update(Toolish().__dict__)
    return used


def nano(usd: str) -> int:
    """An amount of the answer in nano-USD."""
    whole, _, rest = usd.partition(".")
    return int(whole + rest.ljust(9, "0"))


def account(http: httpx2.Client) -> dict[str, int]:
    """What `GET /v1/usage` says, in nano-USD; it must add up."""
    answer = http.get("/v1/usage").raise_for_status().json()
    found = {name: nano(answer[f"{name}_usd"]) for name in ("spent", "reserved")}
    assert sum(found.values()) + nano(answer["left_usd"]) == nano(answer["budget_usd"])
    return found


class Meter:
    """What a caller spends between two looks."""

    def __init__(self, http: httpx2.Client) -> None:
        self.http = http
        self.before = account(http)["spent"]

    def settled(self) -> int:
        """What was spent since then, as soon as nothing is reserved."""
        wait_until(lambda: account(self.http)["reserved"] == 0, what="the settlement")
        return account(self.http)["spent"] - self.before


def price(prompt: int, completion: int) -> int:
    """Nano-USD of so many tokens of `MODEL`."""
    cost = PRICES.cost_of(MODEL, prompt, completion)
    assert cost is not None
    return cost


@pytest.mark.parametrize(
    ("path", "body"),
    [*CALLS, (RESPONSES, {**RESPONSE, "background": True})],
    ids=[*CALL_NAMES, "response in the background"],
)
def test_a_call_costs_what_its_usage_says(
    http: httpx2.Client, provider: Toolish, path: str, body: dict[str, Any]
) -> None:
    meter = Meter(http)
    assert http.post(path, json=body).status_code == 200
    wait_until(lambda: provider.closed == 1, what="the end of the answer")

    assert meter.settled() == price(1, 3)


def test_a_running_call_has_reserved_the_most_it_may_cost(
    http: httpx2.Client, provider: Toolish
) -> None:
    provider.pieces, provider.silent = [], True
    body = {**STREAM, "n": 3}
    with http.stream("POST", PATH, json=body) as answer:
        chunks = answer.iter_raw()  # dropping it would close the connection
        next(chunks)
        assert account(http)["reserved"] == price(PROMPT_TOKENS, 3 * 50)
    Meter(http).settled()


@contextmanager
def asking(
    http: httpx2.Client, body: dict[str, Any], path: str = PATH
) -> Iterator[socket.socket]:
    """A connection on which the request was sent; closed in the end."""
    content = json.dumps(body).encode()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {KEY}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
    )
    address = (http.base_url.host, http.base_url.port or 80)
    with socket.create_connection(address, timeout=5) as connection:
        connection.sendall(head.encode() + content)
        yield connection


@pytest.mark.wire
@pytest.mark.parametrize(("path", "body"), CALLS, ids=CALL_NAMES)
@pytest.mark.parametrize("pieces", [[], ["Once", " upon", " a time"]])
def test_a_client_that_leaves_pays_for_what_was_produced(
    http: httpx2.Client,
    provider: Toolish,
    path: str,
    body: dict[str, Any],
    pieces: list[str],
) -> None:
    meter = Meter(http)
    provider.pieces, provider.silent = pieces, True
    with asking(http, body, path):
        wait_until(lambda: provider.started == 1 and provider.produced == len(pieces))
        assert account(http)["reserved"] == price(PROMPT_TOKENS, 50)

    tokens = EstimateTokenizer().count("".join(pieces))
    assert meter.settled() == (price(PROMPT_TOKENS, tokens) if pieces else 0)
    assert provider.closed == 1


def test_a_tool_call_that_was_cut_off_was_produced_too(
    http: httpx2.Client, provider: Toolish
) -> None:
    meter = Meter(http)
    provider.pieces, provider.silent = [], True
    function = FunctionDelta(name="search", arguments='{"q":')
    provider.tool = ToolCallDelta(index=0, id="call_1", function=function)
    with asking(http, STREAM):
        wait_until(lambda: provider.started == 1)

    tokens = EstimateTokenizer().count('search{"q":')
    assert meter.settled() == price(PROMPT_TOKENS, tokens)


@pytest.mark.parametrize(("path", "body"), CALLS, ids=CALL_NAMES)
@pytest.mark.parametrize("pieces", [[], ["Once upon"]])
@pytest.mark.parametrize("failure", [ContentFilteredError("No."), RuntimeError("bug")])
def test_a_call_that_fails_costs_what_was_produced_before(
    http: httpx2.Client,
    provider: Toolish,
    path: str,
    body: dict[str, Any],
    pieces: list[str],
    failure: Exception,
) -> None:
    meter = Meter(http)
    provider.pieces, provider.failure = pieces, failure
    http.post(path, json=body)

    assert meter.settled() == (price(PROMPT_TOKENS, 3) if pieces else 0)


def test_an_embedding_costs_what_was_read(
    http: httpx2.Client, provider: Toolish
) -> None:
    meter = Meter(http)
    body = {"model": MODEL, "input": ["a", "b"]}
    assert http.post("/v1/embeddings", json=body).status_code == 200

    assert meter.settled() == price(1, 0)


def test_an_embedding_nobody_waits_for_costs_nothing(
    http: httpx2.Client, provider: Toolish
) -> None:
    meter = Meter(http)
    provider.silent = True
    body = {"model": MODEL, "input": "one two three"}
    with pytest.raises(httpx2.ReadTimeout):
        http.post("/v1/embeddings", json=body, timeout=0.3)

    assert provider.started == 1
    assert meter.settled() == 0


def test_models_without_a_price_are_refused_and_cost_nothing(
    http: httpx2.Client, provider: Toolish
) -> None:
    meter = Meter(http)
    assert http.post(PATH, json={**ASK, "model": "llama-3"}).status_code == 403

    assert meter.settled() == 0
    assert provider.started == 0


def test_a_websocket_pays_and_closed_at_once_leaves_nothing_reserved(
    http: httpx2.Client, provider: Toolish, caplog: pytest.LogCaptureFixture
) -> None:
    meter = Meter(http)
    url = f"{http.base_url}".replace("http", "ws", 1).rstrip("/") + "/v1/live"
    create = json.dumps({"type": "chat.create", "request": ASK})
    with connect(url, additional_headers=HEADERS) as live:
        live.send(create)
        while json.loads(live.recv(timeout=5))["type"] != "chat.done":
            pass
    assert meter.settled() == price(1, 3)
    for number in range(20):
        with connect(url, additional_headers=HEADERS) as live:
            live.send(create)
            if number % 2:
                live.send('{"type": "chat.cancel"}')

    assert meter.settled() > 0
    gc.collect()
    assert "never retrieved" not in caplog.text  # of tasks that failed unseen


def outcome_of_a_job(http: httpx2.Client) -> dict[str, Any]:
    """The only item of a job that asks what `ASK` asks."""
    job = http.post("/v1/jobs", json={"requests": [ASK]}).json()
    path = f"/v1/jobs/{job['id']}"
    wait_until(lambda: bool(http.get(path).json()["status"] == "succeeded"))
    (item,) = http.get(path).json()["results"]
    found: dict[str, Any] = item
    return found


def test_each_item_of_a_job_pays_until_the_budget_is_exceeded(
    redis_url: str | None,
) -> None:
    enough_for_one = as_usd(price(PROMPT_TOKENS, 50))
    with paid(redis_url, enough_for_one) as (http, _):
        first, second = outcome_of_a_job(http), outcome_of_a_job(http)
        spent = account(http)

    assert first["error"] is None
    assert spent == {"spent": price(1, 3), "reserved": 0}
    error = second["error"]["error"]
    assert (error["code"], error["type"]) == ("budget_exceeded", "insufficient_quota")


@pytest.mark.wire
def test_over_budget_is_a_429_that_the_official_client_does_not_retry(
    redis_url: str | None,
) -> None:
    asked: list[httpx2.Request] = []
    with (
        paid(redis_url, "0.00001") as (http, provider),
        httpx2.Client(event_hooks={"request": [asked.append]}) as counting,
        openai.OpenAI(
            base_url=f"{http.base_url}/v1", api_key=KEY, http_client=counting
        ) as client,
        pytest.raises(openai.RateLimitError) as caught,
    ):
        client.chat.completions.create(**ASK)

    error = caught.value
    assert (error.code, error.type) == ("budget_exceeded", "insufficient_quota")
    assert error.response.headers["x-should-retry"] == "false"
    assert "retry-after" not in error.response.headers
    assert "0.00001 USD of the budget of 0.00001 USD are left" in str(error)
    assert error.response.headers["x-ratelimit-remaining-requests"] == "6000"
    assert len(asked) == 1
    assert provider.started == 0


def test_a_budget_of_nothing_is_not_a_budget_without_end() -> None:
    with paid(None, "0") as (http, _):
        assert http.post(PATH, json=ASK).json()["code"] == "budget_exceeded"
        refusal = http.post(PATH, json={**ASK, "model": "llama-3"})
        assert refusal.json()["code"] == "model_not_priced"


def test_a_key_without_a_budget_has_none_to_read(http: httpx2.Client) -> None:
    answer = http.get("/v1/usage", headers=OTHER).json()

    assert (answer["object"], answer["key"]) == ("usage", "beta")
    for name in ("budget_usd", "spent_usd", "reserved_usd", "left_usd"):
        assert answer[name] is None


def test_without_redis_only_calls_that_cost_a_budget_are_refused(
    tmp_path: Path,
) -> None:
    provider = Toolish()
    with running_redis(tmp_path) as (redis_url, server):
        given = {"api_keys": keys("1"), "redis_url": redis_url, "job_worker": False}
        free = {**given, "unpriced_models": "free"}
        app = create_app(settings(**free), provider=provider)
        with serve(app) as url, httpx2.Client(base_url=url, timeout=10) as http:
            server.terminate()
            server.wait(10)
            refused = [
                http.post(PATH, json=ASK, headers=HEADERS),
                http.post(PATH, json=STREAM, headers=HEADERS),
                http.get("/v1/usage", headers=HEADERS),
            ]
            answered = [
                http.post(PATH, json=ASK, headers=OTHER),
                http.post(PATH, json={**ASK, "model": "llama-3"}, headers=HEADERS),
                http.get("/v1/usage", headers=OTHER),
            ]

    assert [a.status_code for a in refused] == [503] * 3
    assert [a.json()["code"] for a in refused] == ["service_unavailable"] * 3
    assert all(a.headers["x-should-retry"] == "true" for a in refused)
    assert [a.status_code for a in answered] == [200] * 3
    assert answered[-1].json()["models"] is None  # nobody knows
    assert provider.started == 2


def test_a_redis_that_hangs_is_waited_for_briefly_and_told_later(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """`/health/ready` gives it a second; what ended meanwhile is told on the way out.

    The stream begins before Redis hangs, and ends while it does.
    """
    provider = Toolish()
    provider.pieces, provider.silent = ["Once"], True
    with running_redis(tmp_path) as (redis_url, server):
        given = {"api_keys": keys("1"), "redis_url": redis_url, "job_worker": False}
        given["redis_timeout_seconds"] = 0.75  # less than /health/ready waits
        with (
            serve(create_app(settings(**given), provider=provider)) as url,
            httpx2.Client(base_url=url, headers=HEADERS, timeout=10) as http,
            ThreadPoolExecutor() as threads,
            http.stream("POST", PATH, json=STREAM) as stream,
        ):
            lines = stream.iter_lines()
            next(lines)
            server.send_signal(signal.SIGSTOP)
            ready = threads.submit(http.get, "/health/ready")
            refused = http.post(PATH, json=ASK)
            assert not ready.done()
            provider.silent = False
            assert "data: [DONE]" in list(lines)
            wait_until(lambda: "money not settled yet" in caplog.text)
            server.send_signal(signal.SIGCONT)
        with redis.Redis.from_url(redis_url, decode_responses=True) as client:
            (account,) = client.keys("ledger:*}")
            sums = client.hgetall(account)

    assert refused.status_code == 503
    assert sums == {"spent": str(price(1, 3)), "reserved": "0"}


def test_a_service_that_is_called_all_the_time_recovers_from_a_silent_redis(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Callers come back at once, for two seconds in which Redis says nothing.

    Then paid calls pass again, what was reserved is given back, and the log is short.
    """
    with running_redis(tmp_path) as (redis_url, server):
        given = {"api_keys": keys("1"), "redis_url": redis_url, "job_worker": False}
        given["redis_timeout_seconds"] = 0.25
        answers: list[int] = []
        with (
            serve(create_app(settings(**given), provider=Toolish())) as url,
            ThreadPoolExecutor(4) as threads,
        ):
            over = threading.Event()

            def call_again_and_again() -> None:
                with httpx2.Client(base_url=url, headers=HEADERS, timeout=20) as http:
                    while not over.is_set():
                        answers.append(http.post(PATH, json=ASK).status_code)

            callers = [threads.submit(call_again_and_again) for _ in range(4)]
            try:
                wait_until(lambda: answers.count(200) > 4, what="paid calls")
                server.send_signal(signal.SIGSTOP)
                stopped = time.monotonic()
                wait_until(lambda: time.monotonic() > stopped + 2, what="two seconds")
                server.send_signal(signal.SIGCONT)
                paid_for = answers.count(200)
                wait_until(
                    lambda: answers.count(200) > paid_for + 4, what="paid calls again"
                )
            finally:
                over.set()
            for caller in callers:
                caller.result()
            with httpx2.Client(base_url=url, headers=HEADERS, timeout=20) as http:
                wait_until(lambda: account(http)["reserved"] == 0, what="the releases")
                spent = account(http)["spent"]

    assert set(answers) == {200, 503}
    assert spent == answers.count(200) * price(1, 3)
    # Each refused call has its own line of the access log, and no other.
    lines = [one for one in caplog.records if one.levelno >= logging.WARNING]
    assert len(lines) <= 10, [one.getMessage() for one in lines]


class Settled:
    """Stands in for a call's account, and remembers what it was settled with."""

    def __init__(self) -> None:
        self.usages: list[Usage] = []
        self.error = ""

    def note_chunk(self) -> None:
        """Nobody asks for it here."""

    def settle(self, usage: Usage) -> None:
        """Settle a call."""
        self.usages.append(usage)


def a_call(provider: Scripted, settled: Settled) -> Call:
    """A call of `provider` whose settlement is remembered."""
    return Call(
        ChatCompletionRequest.model_validate(STREAM),
        CallContext("req_1"),
        provider,
        settled,  # type: ignore[arg-type]
        tokenizer=EstimateTokenizer(),
        prompt_tokens=3,
    )


ONE_PIECE = Usage(prompt_tokens=3, completion_tokens=1)  # "a"


async def test_what_was_produced_and_never_sent_is_settled_once() -> None:
    settled = Settled()
    call = a_call(Scripted(), settled)
    await call.begin(1)
    await asyncio.gather(call.close(), call.close())

    assert settled.usages == [ONE_PIECE]


async def test_a_provider_that_fails_to_stop_is_settled_all_the_same() -> None:
    class Stubborn(Scripted):
        async def stream(
            self, request: ChatCompletionRequest, call: CallContext
        ) -> AsyncIterator[Delta | Usage]:
            try:
                yield Delta(content="a")
            finally:
                raise RuntimeError("cannot stop")

    settled = Settled()
    call = a_call(Stubborn(), settled)
    await call.begin(1)
    with pytest.raises(RuntimeError):
        await call.close()

    assert settled.usages == [ONE_PIECE]


class Waiting(Scripted):
    """Says when it was reached, and never answers."""

    def __init__(self) -> None:
        super().__init__()
        self.pieces, self.reached = [], asyncio.Event()

    async def _silence(self) -> None:
        self.reached.set()
        await asyncio.Event().wait()


async def test_an_answer_does_not_wait_for_its_settlement(
    redis_url: str | None,
) -> None:
    apart = redis_url and f"{redis_url}/6"
    flush(apart)
    async with (
        open_redis(settings(redis_url=apart)) as client,
        over_a_wire(client) as (wired, wire),
    ):
        limits = RateLimit("requests", 10**6), RateLimit("tokens", 10**6)
        ledger = Ledger(Limiter(wired, *limits), {"ada": 10**9})
        elsewhere = Ledger(Limiter(client, *limits), {"ada": 10**9})
        async with ledger.sending_unsent():
            provider = Scripted()
            service = ChatService(
                provider,
                {},
                tokenizer=EstimateTokenizer(),
                metrics=Metrics(),
            )
            body = ChatCompletionRequest.model_validate(ASK)
            ada = Limits(ledger, WaitingQueue(0, 0)).of("ada")
            call = await service.open(body, CallContext("req_1"), ada)
            wire.hold_back = True
            await call.collect()
            await call.close()
            assert not wire.arrived.is_set()
            await wire.arrived.wait()
            wire.go_on.set()
        after = await elsewhere.account("ada")

    assert after == Account(10**9, price(1, 3), 0)


@pytest.mark.parametrize("way", ["chat", "embeddings"])
async def test_of_who_is_cancelled_redis_is_told_before_the_process_ends(
    redis_url: str | None, way: str
) -> None:
    provider, budgets = Waiting(), {"ada": 10**9}
    apart = redis_url and f"{redis_url}/6"
    flush(apart)
    context, scope = CallContext("req_1"), anyio.CancelScope()
    async with open_redis(settings(redis_url=apart)) as client:
        limits = RateLimit("requests", 10**6), RateLimit("tokens", 10**6)
        here, elsewhere = (Ledger(Limiter(client, *limits), budgets) for _ in range(2))
        service = ChatService(
            provider,
            {},
            tokenizer=EstimateTokenizer(),
            metrics=Metrics(),
        )

        ada = Limits(here, WaitingQueue(0, 0)).of("ada")

        async def ask() -> None:
            with scope:
                if way == "embeddings":
                    asked = EmbeddingCall(MODEL, ["one", "two"])
                    await service.embed(asked, context, ada)
                body = ChatCompletionRequest.model_validate(ASK)
                call = await service.open(body, context, ada)
                try:
                    await call.collect()
                finally:
                    await call.close()

        asking = asyncio.create_task(ask())
        await provider.reached.wait()
        before = await elsewhere.account("ada")
        await client.script_flush()  # now a settlement is more than one message
        scope.cancel()
        await asking
        await here.scripts.idle()  # as the process does before it ends
        after = await elsewhere.account("ada")

    assert before is not None
    assert before.reserved > 0
    assert after == Account(10**9, 0, 0)
