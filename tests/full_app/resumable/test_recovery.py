"""Resumable streams whose process is killed, and what they cost."""

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from subprocess import Popen

import httpx2
import pytest
import redis

from tests.full_app.conftest import KEY
from tests.full_app.resumable.test_generations import PATH, begin, error_code, resume
from tests.full_app.scripted import Scripted, scripted
from tests.servers import free_port, process, wait_for_http, wait_until

HEADERS = {"Authorization": f"Bearer {KEY}"}
PAID_KEY = [{"name": "alpha", "key": KEY, "budget_usd": "1"}]


def clear(url: str) -> None:
    """Forget what other tests have spent."""
    with redis.Redis.from_url(url) as store:
        store.flushdb()


@pytest.fixture
def paid(redis_url: str | None) -> Iterator[tuple[httpx2.Client, Scripted]]:
    apart = redis_url and f"{redis_url}/14"
    if apart:
        clear(apart)
    with (
        scripted(redis_url=apart, api_keys=PAID_KEY) as (url, provider),
        httpx2.Client(base_url=url, headers=HEADERS, timeout=10) as http,
    ):
        yield http, provider


def spending(http: httpx2.Client) -> dict[str, str]:
    """The key's account, once Redis has answered in time: machines are busy."""
    answers: list[httpx2.Response] = []

    def answered() -> bool:
        answers.append(http.get("/v1/usage"))
        return answers[-1].status_code != 503

    wait_until(answered, what="an answer of Redis in time")
    found: dict[str, str] = answers[-1].raise_for_status().json()
    return found


def test_a_stream_costs_the_same_however_often_it_is_resumed(
    paid: tuple[httpx2.Client, Scripted],
) -> None:
    http, provider = paid
    provider.pieces = [str(n) for n in range(20)]
    begin(http)
    wait_until(lambda: spending(http)["reserved_usd"] == "0", what="the settlement")
    once = float(spending(http)["spent_usd"])

    where, seen = begin(http, 1)
    while seen[-1][1] != "[DONE]":
        seen += resume(http, where, seen[-1][0], 2)
    for last in (None, seen[3][0], seen[-2][0]):
        resume(http, where, last)
    wait_until(lambda: spending(http)["reserved_usd"] == "0", what="the settlement")

    assert once > 0
    assert float(spending(http)["spent_usd"]) == pytest.approx(2 * once)
    assert provider.started == 2


@contextmanager
def two_processes(redis_url: str) -> Iterator[list[tuple[str, "Popen[bytes]"]]]:
    """Two servers as an operator starts them, on one Redis: address and process."""
    env = {
        "REDIS_URL": redis_url,
        "FULL_APP_API_KEYS": json.dumps(PAID_KEY),
        "FULL_APP_JOB_WORKER": "0",
        "FULL_APP_CONCURRENT_CALLS_PER_KEY": "1",
        "FULL_APP_OFFLINE_PACE": "4",  # it is killed long before it is done
        "FULL_APP_SLOT_LEASE_SECONDS": "2",
    }
    command = ("-m", "uvicorn", "examples.full_app.main:app", "--port")
    ports = [free_port(), free_port()]
    with ExitStack() as stack:
        started = [
            stack.enter_context(process(*command, str(port), env=env)) for port in ports
        ]
        urls = [f"http://127.0.0.1:{port}" for port in ports]
        for url in urls:
            wait_for_http(f"{url}/health/ready")
        yield list(zip(urls, started, strict=True))


@pytest.mark.deep
def test_a_killed_process_ends_its_streams_and_gives_back_what_they_held(
    redis_server: str,
) -> None:
    clear(f"{redis_server}/15")
    with (
        two_processes(f"{redis_server}/15") as [(first, writer), (second, _)],
        redis.Redis.from_url(f"{redis_server}/15") as store,
        httpx2.Client(base_url=second, headers=HEADERS, timeout=30) as http,
    ):
        with httpx2.Client(base_url=first, headers=HEADERS) as other:
            where, seen = begin(other, 3)
            begun = spending(other)
        writer.kill()
        rest = resume(http, where, seen[-1][0])
        again = resume(http, where, seen[1][0])
        last = http.get(where, headers={"Last-Event-ID": rest[-1][0]})
        said = [{"role": "user", "content": "hi"}]
        ask = {"model": "gpt-4o-mini", "messages": said, "max_tokens": 1}
        wait_until(
            lambda: http.post(PATH, json=ask).status_code == 200, what="a free slot"
        )
        for account in store.keys("ledger:*:holds"):  # as if its time had passed
            for hold in store.zrange(account, 0, -1):
                store.zadd(account, {hold: 1})
        after = spending(http)

    assert error_code(rest[-1]) == "stream_interrupted"
    assert [event_id for event_id, _ in (seen + rest)[:-1]] == [
        f"1-{n + 1}" for n in range(len(seen + rest) - 1)
    ]
    assert again == (seen + rest)[2:]
    assert last.status_code == 204
    assert begun["reserved_usd"] != "0"
    assert after["reserved_usd"] == "0"


@pytest.mark.timeout(200)
@pytest.mark.deep
@pytest.mark.usefixtures("redis_server")  # where it is missing, that says so
@pytest.mark.parametrize("where", [[], ["--embedded"]], ids=["processes", "embedded"])
def test_streams_cut_at_random_come_out_as_if_never_cut(where: list[str]) -> None:
    with process("-m", "benchmarks.stream_cuts", "--cuts", "60", *where) as cuts:
        output, _ = cuts.communicate(timeout=150)
    report = json.loads(output[output.index(b"{") :])

    assert cuts.returncode == 0, report
    assert report["cuts"] >= 60
    assert report["wrong"] == 0
