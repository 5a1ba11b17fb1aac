"""`Idempotency-Key`: worked once, answered as often as asked, on both engines."""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor

import fakeredis
import httpx2
import pytest
from redis.asyncio import Redis
from starlette.responses import Response

from examples.full_app.jobs.records import JobStore
from examples.full_app.jobs.service import JobService
from examples.full_app.schemas.jobs import Job, JobRequest
from examples.full_app.web.idempotency import (
    IdempotencyConflictError,
    IdempotencyKeyReusedError,
    IdempotencyStore,
)
from examples.full_app.webhooks.store import WebhookStore
from tests.full_app.conftest import KEY, OTHER_KEY
from tests.full_app.scripted import scripted
from tests.servers import wait_until

CHAT = "/v1/chat/completions"


def ask(text: str = "once", **more: object) -> dict[str, object]:
    message = {"role": "user", "content": text}
    return {"model": "offline-echo", "messages": [message], **more}


def new_key() -> dict[str, str]:
    return {"Idempotency-Key": secrets.token_hex(16)}


@pytest.mark.wire
@pytest.mark.parametrize(
    ("path", "body"), [(CHAT, ask("wörds")), ("/v1/jobs", {"requests": [ask()]})]
)
def test_the_same_request_again_gets_the_same_bytes(
    http: httpx2.Client, path: str, body: dict[str, object]
) -> None:
    key = new_key()
    first = http.post(path, json=body, headers=key)
    again = http.post(path, json=body, headers=key)
    fresh = http.post(path, json=body, headers=new_key())

    assert first.status_code in (200, 202)
    assert "idempotent-replayed" not in first.headers
    assert again.headers["idempotent-replayed"] == "true"
    assert (again.status_code, again.content) == (first.status_code, first.content)
    for name in ("content-type", "location", "retry-after"):
        assert again.headers.get(name) == first.headers.get(name)
    assert fresh.json()["id"] != first.json()["id"]


@pytest.mark.wire
def test_another_body_or_route_under_the_same_key_is_a_422(
    http: httpx2.Client,
) -> None:
    key = new_key()
    http.post(CHAT, json=ask("one"), headers=key)
    body = http.post(CHAT, json=ask("two"), headers=key)
    route = http.post("/v1/jobs", json={"requests": [ask()]}, headers=key)

    for refused in (body, route):
        assert refused.status_code == 422
        assert refused.json()["code"] == "idempotency_key_reused"
        assert refused.json()["error"]["param"] == "Idempotency-Key"
        assert refused.headers["x-should-retry"] == "false"


def test_keys_of_two_callers_are_apart(http: httpx2.Client) -> None:
    key = new_key()
    mine = http.post(CHAT, json=ask("mine"), headers=key)
    others = {**key, "Authorization": f"Bearer {OTHER_KEY}"}
    theirs = http.post(CHAT, json=ask("theirs"), headers=others)

    assert (mine.status_code, theirs.status_code) == (200, 200)
    assert "idempotent-replayed" not in theirs.headers


def test_nobody_without_a_known_key_reads_a_kept_answer(http: httpx2.Client) -> None:
    key = new_key()
    http.post(CHAT, json=ask(), headers=key)
    stranger = http.post(
        CHAT, json=ask(), headers={**key, "Authorization": "Bearer sk-wrong"}
    )

    assert stranger.status_code == 401


@pytest.mark.parametrize("bad", ["", "a b", "x" * 256, "é".encode("latin-1")])
def test_a_malformed_key_is_a_400(http: httpx2.Client, bad: str | bytes) -> None:
    headers = [("Idempotency-Key", bad)]
    answer = http.post(CHAT, json=ask(), headers=headers)  # type: ignore[arg-type]

    assert (answer.status_code, answer.json()["code"]) == (
        400,
        "invalid_idempotency_key",
    )


def test_two_keys_are_none(http: httpx2.Client) -> None:
    headers = [("Idempotency-Key", "one"), ("Idempotency-Key", "two")]
    assert http.post(CHAT, json=ask(), headers=headers).status_code == 400


def test_a_stream_is_not_kept_and_says_so(http: httpx2.Client) -> None:
    refused = http.post(CHAT, json=ask(stream=True), headers=new_key())

    assert refused.status_code == 400
    assert refused.json()["code"] == "unsupported_parameter"


def test_errors_are_not_kept(http: httpx2.Client) -> None:
    key = new_key()
    failed = http.post(CHAT, json=ask(model="fault-500"), headers=key)
    broken = http.post(CHAT, json=ask(model="fault-html-502"), headers=key)
    invalid = http.post(CHAT, json=ask(temperature=9), headers=key)
    worked = http.post(CHAT, json=ask(), headers=key)

    assert failed.status_code >= 500
    assert broken.status_code == 502
    assert invalid.status_code == 400
    assert worked.status_code == 200
    assert "idempotent-replayed" not in worked.headers


@pytest.mark.wire
def test_of_many_at_once_one_works_and_the_others_hear_409() -> None:
    with scripted() as (url, provider), ThreadPoolExecutor(8) as pool:
        provider.silent = True
        any_model = ask(model="any")
        headers = {"Authorization": f"Bearer {KEY}", **new_key()}

        def send() -> httpx2.Response:
            return httpx2.post(
                f"{url}{CHAT}", json=any_model, headers=headers, timeout=20
            )

        first = pool.submit(send)
        wait_until(lambda: provider.started == 1, what="the first call")
        others = [pool.submit(send).result() for _ in range(6)]
        provider.silent = False
        answer = first.result()
        again = send()

    assert provider.started == 1
    assert answer.status_code == 200
    assert again.content == answer.content
    for other in others:
        assert (other.status_code, other.json()["code"]) == (
            409,
            "idempotency_conflict",
        )
        assert other.headers["retry-after"] == "1"
        assert other.headers["x-should-retry"] == "true"


def test_a_client_that_left_frees_its_key() -> None:
    with scripted() as (url, provider):
        provider.silent = True
        any_model = ask(model="any")
        headers = {"Authorization": f"Bearer {KEY}", **new_key()}
        with pytest.raises(httpx2.ReadTimeout):
            httpx2.post(f"{url}{CHAT}", json=any_model, headers=headers, timeout=0.3)
        wait_until(lambda: provider.closed == 1, what="the end of the first")
        provider.silent = False

        def worked() -> bool:
            answer = httpx2.post(f"{url}{CHAT}", json=any_model, headers=headers)
            return answer.status_code == 200

        wait_until(worked, seconds=5, what="an answer under the freed key")


class Unused:
    """A queue nobody works off."""

    async def add_job(self, *_: str) -> None: ...


@pytest.fixture(params=["fakeredis", "redis"])
async def redis(request: pytest.FixtureRequest) -> AsyncIterator[Redis]:
    """A database of its own on both engines."""
    if request.param == "redis":
        url = request.getfixturevalue("redis_server")
        client: Redis = Redis.from_url(f"{url}/10", decode_responses=True)
    else:
        client = fakeredis.FakeAsyncRedis(decode_responses=True)
    await client.flushdb()
    yield client
    await client.aclose()


async def test_who_takes_over_from_the_dead_goes_on_with_their_seed(
    redis: Redis,
) -> None:
    store = IdempotencyStore(redis, keep=60, claim_seconds=0.05)
    jobs = JobService(JobStore(redis), Unused(), WebhookStore(redis))  # type: ignore[arg-type]
    ask_for = JobRequest.model_validate({"requests": [ask()]})
    created: list[Job] = []

    async def create_and_die(seed: str) -> Response:
        created.append(await jobs.create("key:me", ask_for, seed=seed))
        await redis.hset("idempotency:z", "owner", "somebody who is gone")
        return Response(b"nobody hears it")

    async def create(seed: str) -> Response:
        created.append(await jobs.create("key:me", ask_for, seed=seed))
        return Response(b"")

    await store.run("idempotency:z", "f", create_and_die)
    async with asyncio.timeout(10):
        while len(created) < 2:
            with contextlib.suppress(IdempotencyConflictError):
                await store.run("idempotency:z", "f", create)
            await asyncio.sleep(0.01)
    await store.run("idempotency:other", "f", create)
    first, again, other = created

    assert first == again
    assert other.id != first.id
    assert len((await jobs.store.page("key:me", 10)).data) == 2


async def test_a_claim_is_renewed_while_the_work_lasts(redis: Redis) -> None:
    store = IdempotencyStore(redis, keep=60, claim_seconds=1.5)
    go = asyncio.Event()

    async def work(_: str) -> Response:
        await go.wait()
        return Response(b"done")

    async def other(_: str) -> Response:
        raise AssertionError("the claim has ended while its work lasts")

    first = asyncio.create_task(store.run("idempotency:x", "f", work))
    ends = asyncio.get_running_loop().time() + 2  # longer than the claim
    while asyncio.get_running_loop().time() < ends:
        if await redis.exists("idempotency:x"):
            with pytest.raises(IdempotencyConflictError):
                await store.run("idempotency:x", "f", other)
        await asyncio.sleep(0.02)
    assert await redis.exists("idempotency:x")
    go.set()
    assert (await first).body == b"done"
    assert 50_000 < await redis.pttl("idempotency:x") <= 60_000


async def test_the_claim_of_a_process_that_died_ends_by_itself(redis: Redis) -> None:
    store = IdempotencyStore(redis, keep=60, claim_seconds=0.2)

    begun = asyncio.Event()

    async def dies(_: str) -> Response:
        begun.set()
        await asyncio.Event().wait()
        raise AssertionError

    async def never(_: str) -> Response:
        raise AssertionError

    async def works(_: str) -> Response:
        return Response(b"by another")

    dead = asyncio.create_task(store.run("idempotency:y", "f", dies))
    await begun.wait()
    await redis.hset("idempotency:y", "owner", "somebody who is gone")

    async with asyncio.timeout(10):
        while True:
            try:
                answer = await store.run("idempotency:y", "f", works)
                break
            except IdempotencyConflictError:
                await asyncio.sleep(0.02)
    dead.cancel()
    await asyncio.gather(dead, return_exceptions=True)

    assert answer.body == b"by another"
    again = await store.run("idempotency:y", "f", never)  # the late one forgot nothing
    assert again.body == b"by another"
    with pytest.raises(IdempotencyKeyReusedError):
        await store.run("idempotency:y", "g", never)
