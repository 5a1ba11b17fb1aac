"""What the official client does by itself when it is refused, and must not do."""

import math
from collections.abc import Iterator

import httpx2
import openai
import pytest
import redis

from examples.full_app.main import create_app
from tests.full_app.conftest import settings
from tests.full_app.contract.asks import EMBEDDER
from tests.servers import serve

TOKENS = 6_000  # a minute: a hundred come back in a second
REQUESTS = 8
DATABASE = 12  # nobody else's
NAMES = ("told", "exact", "counted")


@pytest.fixture(scope="module")
def tight(redis_url: str | None) -> Iterator[httpx2.Client]:
    """A client of a full_app with narrow limits and a key for each test."""
    apart = redis_url and f"{redis_url}/{DATABASE}"
    if apart is not None:
        with redis.Redis.from_url(apart) as client:
            client.flushdb()
    app = create_app(
        settings(
            redis_url=apart,
            redis_timeout_seconds=5,  # a busy machine is no outage
            api_keys=",".join(f"{name}:sk-{name}" for name in NAMES),
            tokens_per_minute=TOKENS,
            requests_per_minute=REQUESTS,
        )
    )
    with serve(app) as url, httpx2.Client(base_url=url, timeout=10) as client:
        yield client


def embed(tight: httpx2.Client, key: str, tokens: int) -> httpx2.Response:
    """Spend this many tokens."""
    return tight.post(
        "/v1/embeddings",
        json={"model": EMBEDDER, "input": [1] * tokens, "dimensions": 1},
        headers={"Authorization": f"Bearer {key}"},
    )


@pytest.mark.wire
def test_the_client_waits_as_long_as_retry_after_ms_says_and_succeeds(
    tight: httpx2.Client,
) -> None:
    sent: list[httpx2.Request] = []
    with (
        httpx2.Client(event_hooks={"request": [sent.append]}) as counting,
        openai.OpenAI(
            base_url=f"{tight.base_url}/v1", api_key="sk-told", http_client=counting
        ) as client,
    ):
        assert embed(tight, "sk-told", TOKENS).status_code == 200
        answer = client.embeddings.create(model=EMBEDDER, input=[1] * 100)

    assert answer.data
    counts = [request.headers["x-stainless-retry-count"] for request in sent]
    assert counts == ["0", "1"]


@pytest.mark.wire
def test_retry_after_is_what_is_needed_rounded_up_to_a_second(
    tight: httpx2.Client,
) -> None:
    assert embed(tight, "sk-exact", TOKENS).status_code == 200
    first, second = (embed(tight, "sk-exact", TOKENS) for _ in range(2))
    waits = [float(answer.headers["retry-after-ms"]) for answer in (first, second)]

    assert [answer.status_code for answer in (first, second)] == [429, 429]
    assert 60_000 >= waits[0] >= waits[1] > 50_000
    for answer, wait in zip((first, second), waits, strict=True):
        assert int(answer.headers["retry-after"]) == math.ceil(wait / 1000)
        assert answer.headers["x-should-retry"] == "true"


@pytest.mark.wire
def test_what_remains_counts_down_to_the_refusal(tight: httpx2.Client) -> None:
    answers = [embed(tight, "sk-counted", 1) for _ in range(REQUESTS + 1)]
    left = [int(a.headers["x-ratelimit-remaining-requests"]) for a in answers]

    assert left == [*range(REQUESTS - 1, -1, -1), 0]
    assert [answer.status_code for answer in answers] == [200] * REQUESTS + [429]
    for answer in answers:
        assert answer.headers["x-ratelimit-limit-requests"] == str(REQUESTS)
        assert f"q={REQUESTS};w=60" in answer.headers["ratelimit-policy"]
