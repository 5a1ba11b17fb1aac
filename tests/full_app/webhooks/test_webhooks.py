"""Webhooks, sent: endpoints, signatures, retries, the log and the dead letters.

The store is tested on both engines: fakeredis, answering bytes and answering text,
and a real Redis.
"""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

import fakeredis
import httpx2
import openai
import pytest
import standardwebhooks
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from examples.full_app.egress.client import (
    EgressPolicy,
    ForbiddenTargetError,
    guarded_client,
)
from examples.full_app.errors import RequestError
from examples.full_app.webhooks import endpoints
from examples.full_app.webhooks import sender as sender_module
from examples.full_app.webhooks import store as store_module
from examples.full_app.webhooks.endpoints import (
    EndpointNotFoundError,
    TooManyEndpointsError,
)
from examples.full_app.webhooks.models import (
    DeadLetter,
    DeliveryAttempt,
    WebhookEndpoint,
    WebhookEvent,
    event,
)
from examples.full_app.webhooks.schedule import (
    MAX_JITTER,
    MAX_RETRY_AFTER,
    SCHEDULE,
    next_attempt,
    outcome_of,
    parse_retry_after,
)
from examples.full_app.webhooks.sender import WebhookSender
from examples.full_app.webhooks.service import (
    DeadLetterNotFoundError,
    WebhookService,
)
from examples.full_app.webhooks.store import WebhookStore
from examples.s3_patterns import WebhookVerificationError, verify_webhook

ME, OTHER = "key:me", "key:other"
URL = "https://hooks.example.com/in"
NOW = 1_800_000_000.0

Reply = Callable[[httpx2.Request], Awaitable[httpx2.Response]]


@pytest.fixture(params=["fakeredis", "fakeredis-text", "redis"])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[WebhookStore]:
    if request.param == "redis":
        # A database of its own: others use this server at the same time.
        url = request.getfixturevalue("redis_server")
        client: Redis = Redis.from_url(f"{url}/9")
        await client.flushdb()
    else:
        text = request.param == "fakeredis-text"
        client = fakeredis.FakeAsyncRedis(decode_responses=text)
    yield WebhookStore(client)
    await client.aclose()


@pytest.fixture
async def fake_store() -> AsyncIterator[WebhookStore]:
    client = fakeredis.FakeAsyncRedis()
    yield WebhookStore(client)
    await client.aclose()


class Part(httpx2.AsyncByteStream):
    """A response body of parts; None waits for ever, "cut" breaks the connection."""

    def __init__(self, *parts: bytes | str | None) -> None:
        self.parts = parts
        self.read = 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for part in self.parts:
            if part is None:
                await asyncio.Event().wait()
            elif isinstance(part, str):
                raise httpx2.ReadError(part)
            else:
                self.read += len(part)
                yield part


def answer(status: int, text: str = "", **headers: str) -> httpx2.Response:
    """An answer whose body is not read yet, as one from a network."""
    return httpx2.Response(status, headers=headers, stream=Part(text.encode()))


class Receiver:
    """Another service, without a network: answers what `replies` say, in turn."""

    def __init__(self, *replies: int | httpx2.Response | Reply) -> None:
        self.replies = list(replies)
        self.requests: list[httpx2.Request] = []
        self.client = httpx2.AsyncClient(transport=httpx2.MockTransport(self.answer))

    async def answer(self, request: httpx2.Request) -> httpx2.Response:
        self.requests.append(request)
        reply = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
        if isinstance(reply, int):
            return answer(reply)
        return reply if isinstance(reply, httpx2.Response) else await reply(request)


def sender_to(receiver: Receiver, store: WebhookStore, **options: Any) -> WebhookSender:
    options = {"jitter": lambda: 0.0, "timeout": 5.0, **options}
    return WebhookSender(store, receiver.client, **options)


async def prepared(store: WebhookStore) -> tuple[WebhookEndpoint, WebhookEvent]:
    endpoint = await store.endpoints.create(ME, URL)
    news = event("job.succeeded", {"id": "job_1"})
    await store.save_event(news)
    return endpoint, news


def secret_of(endpoint: WebhookEndpoint) -> str:
    assert endpoint.signing_secret is not None
    return endpoint.signing_secret


# --- Endpoints ---


async def test_an_endpoint_is_registered_listed_read_and_deleted(
    store: WebhookStore,
) -> None:
    first = await store.endpoints.create(ME, URL)
    second = await store.endpoints.create(
        ME, "https://b.example/", name="B", event_types=["job.failed", "job.failed"]
    )
    assert first.id.startswith("we_")
    assert len(first.id) >= 32
    assert first.object == "webhook_endpoint"
    assert (second.name, second.event_types) == ("B", ("job.failed",))
    assert [found.id for found in await store.endpoints.list(ME)] == [
        second.id,
        first.id,
    ]
    assert (await store.endpoints.get(ME, first.id)).url == URL
    await store.endpoints.delete(ME, first.id)
    assert [found.id for found in await store.endpoints.list(ME)] == [second.id]
    with pytest.raises(EndpointNotFoundError):
        await store.endpoints.get(ME, first.id)


async def test_the_secret_is_shown_at_creation_only(store: WebhookStore) -> None:
    created = await store.endpoints.create(ME, URL)
    secret = secret_of(created)
    assert secret.startswith("whsec_")
    assert secret in created.model_dump_json()
    assert secret not in repr(created)
    assert secret not in repr(await store.endpoints.load(created.id))
    for later in (
        await store.endpoints.get(ME, created.id),
        *await store.endpoints.list(ME),
    ):
        assert "signing_secret" not in later.model_dump()
        assert later.signing_secret_hint == f"whsec_...{secret[-4:]}"


async def test_the_endpoints_of_others_do_not_exist(store: WebhookStore) -> None:
    mine = await store.endpoints.create(ME, URL)
    assert list(await store.endpoints.list(OTHER)) == []
    tries: list[Callable[[], Awaitable[Any]]] = [
        lambda: store.endpoints.get(OTHER, mine.id),
        lambda: store.endpoints.delete(OTHER, mine.id),
        lambda: store.endpoints.rotate(OTHER, mine.id),
        lambda: store.endpoints.enable(OTHER, mine.id),
        lambda: store.attempts(OTHER, mine.id),
        lambda: store.endpoints.get(ME, "we_unknown"),
    ]
    for attempt in tries:
        with pytest.raises(EndpointNotFoundError) as refusal:
            await attempt()
        assert refusal.value.status_code == 404
        assert refusal.value.code == "webhook_endpoint_not_found"
    assert (await store.endpoints.get(ME, mine.id)).id == mine.id


async def test_forbidden_urls_are_refused_at_registration(store: WebhookStore) -> None:
    for url in ("http://example.com/", "https://10.0.0.1/", "http://localhost:8000/"):
        with pytest.raises(ForbiddenTargetError):
            await store.endpoints.create(ME, url)
        with pytest.raises(ForbiddenTargetError):
            await store.endpoints.create_ephemeral(ME, url)
    assert await store.redis.keys("*") == []
    development = WebhookStore(store.redis, policy=EgressPolicy(allow_loopback=True))
    made = await development.endpoints.create(ME, "http://localhost:8000/")
    assert made.url == "http://localhost:8000/"


async def test_the_number_of_endpoints_is_bounded_also_under_a_rush(
    store: WebhookStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endpoints, "MAX_ENDPOINTS", 5)
    tries = [store.endpoints.create(ME, URL) for _ in range(20)]
    made = await asyncio.gather(*tries, return_exceptions=True)
    refused = [one for one in made if isinstance(one, TooManyEndpointsError)]
    assert len(await store.endpoints.list(ME)) == 5
    assert len(refused) == 15
    assert refused[0].status_code == 409
    await store.endpoints.delete(ME, (await store.endpoints.list(ME))[0].id)
    assert (await store.endpoints.create(ME, URL)).url == URL
    assert (await store.endpoints.create(OTHER, URL)).url == URL


async def test_rotation_signs_with_both_secrets_for_a_while(
    store: WebhookStore,
) -> None:
    old = await store.endpoints.create(ME, URL)
    new = await store.endpoints.rotate(ME, old.id)
    record = await store.endpoints.load(old.id)
    now = record.created_at
    assert record.secrets_at(now) == [secret_of(new), secret_of(old)]
    assert record.secrets_at(now + 23 * 3600) == [secret_of(new), secret_of(old)]
    assert record.secrets_at(now + 25 * 3600) == [secret_of(new)]
    assert new.signing_secret_hint == f"whsec_...{secret_of(new)[-4:]}"


async def test_a_leaked_secret_ends_at_once(store: WebhookStore) -> None:
    first = await store.endpoints.create(ME, URL)
    await store.endpoints.rotate(ME, first.id)
    last = await store.endpoints.rotate(ME, first.id, keep_old_seconds=0)
    record = await store.endpoints.load(first.id)
    assert [secret.value for secret in record.secrets] == [secret_of(last)]


async def test_another_rotation_does_not_prolong_older_secrets(
    store: WebhookStore,
) -> None:
    first = await store.endpoints.create(ME, URL)
    second = await store.endpoints.rotate(ME, first.id, keep_old_seconds=100)
    await store.endpoints.rotate(ME, first.id, keep_old_seconds=100_000)
    record = await store.endpoints.load(first.id)
    later = record.secrets_at(record.created_at + 1000)
    assert secret_of(second) in later
    assert secret_of(first) not in later


async def test_rotations_at_once_lose_no_secret_that_was_shown(
    store: WebhookStore,
) -> None:
    first = await store.endpoints.create(ME, URL)
    rotated = await asyncio.gather(
        *(store.endpoints.rotate(ME, first.id) for _ in range(3))
    )
    record = await store.endpoints.load(first.id)
    shown = {secret_of(first), *map(secret_of, rotated)}
    assert set(record.secrets_at(record.created_at)) == shown
    assert len(shown) == endpoints.MAX_SECRETS
    await store.endpoints.rotate(ME, first.id)
    assert len((await store.endpoints.load(first.id)).secrets) == endpoints.MAX_SECRETS


async def test_a_disabled_endpoint_is_told_nothing_until_it_is_enabled(
    store: WebhookStore,
) -> None:
    all_types = await store.endpoints.create(ME, URL)
    failures = await store.endpoints.create(ME, URL, event_types=["job.failed"])
    await store.endpoints.create(OTHER, URL)
    assert await store.endpoints.subscribed(ME, "job.succeeded") == [all_types.id]
    assert await store.endpoints.subscribed(ME, "job.failed") == [
        failures.id,
        all_types.id,
    ]
    await store.endpoints.disable(all_types.id, "It answered 410 Gone.")
    assert list(await store.endpoints.subscribed(ME, "job.succeeded")) == []
    found = await store.endpoints.get(ME, all_types.id)
    assert (found.disabled, found.disabled_reason) == (True, "It answered 410 Gone.")
    found = await store.endpoints.enable(ME, all_types.id)
    assert (found.disabled, found.disabled_reason) == (False, None)
    assert await store.endpoints.subscribed(ME, "job.succeeded") == [all_types.id]


async def test_a_jobs_callback_is_an_endpoint_that_goes_away_by_itself(
    store: WebhookStore,
) -> None:
    mine = "whsec_" + base64.b64encode(b"k" * 24).decode()
    given = await store.endpoints.create_ephemeral(ME, URL, secret=mine)
    made = await store.endpoints.create_ephemeral(ME, URL)
    assert secret_of(given) == mine
    assert secret_of(made).startswith("whsec_")
    assert list(await store.endpoints.list(ME)) == []
    assert (await store.endpoints.get(ME, given.id)).url == URL
    await store.endpoints.rotate(ME, given.id)
    for endpoint in (given, made):
        ttl = await store.redis.ttl(f"webhook:endpoint:{endpoint.id}")
        assert sum(SCHEDULE) * (1 + MAX_JITTER) < ttl <= endpoints.KEEP_SECONDS


@pytest.mark.parametrize(
    "secret",
    [
        "",
        "whsec_",
        "plain text",
        "whsec_not base64!",
        "whsec_é",
        "whsec_" + base64.b64encode(b"k" * 23).decode(),
        "whsec_" + base64.b64encode(b"k" * 65).decode(),
        base64.b64encode(b"k" * 32).decode(),
    ],
)
async def test_secrets_that_cannot_sign_are_refused(
    fake_store: WebhookStore, secret: str
) -> None:
    with pytest.raises(RequestError) as refusal:
        await fake_store.endpoints.create_ephemeral(ME, URL, secret=secret)
    assert (refusal.value.status_code, refusal.value.param) == (400, "secret")


# --- Events, the log, the dead letters ---


async def test_an_event_has_the_shape_that_openai_sends() -> None:
    news = event("job.succeeded", {"id": "job_1"})
    shape = json.loads(news.model_dump_json())
    assert list(shape) == ["id", "object", "created_at", "type", "data"]
    assert shape["id"].startswith("evt_")
    assert (shape["object"], shape["data"]) == ("event", {"id": "job_1"})
    assert isinstance(shape["created_at"], int)
    assert event("job.succeeded", {"id": "job_1"}).id != news.id


async def test_events_are_kept_longer_than_the_longest_retries(
    store: WebhookStore,
) -> None:
    news = event("job.succeeded", {"id": "jöb"})
    saved = await store.save_event(news)
    assert await store.load_event(news.id) == saved
    assert saved.body == news.model_dump_json().encode()
    assert await store.load_event("evt_unknown") is None
    waits = [max(wait, MAX_RETRY_AFTER) * (1 + MAX_JITTER) for wait in SCHEDULE]
    ttl = await store.redis.ttl(f"webhook:event:{news.id}")
    assert sum(waits) < ttl <= endpoints.KEEP_SECONDS


async def test_publishing_names_the_endpoints_to_deliver_to(
    store: WebhookStore,
) -> None:
    listed = await store.endpoints.create(ME, URL)
    await store.endpoints.create(ME, URL, event_types=["job.failed"])
    callback = await store.endpoints.create_ephemeral(ME, URL)
    news = event("job.succeeded", {"id": "job_1"})
    targets = await store.publish(ME, news, also=[callback.id, listed.id])
    assert targets == [callback.id, listed.id]
    assert await store.load_event(news.id) is not None


async def test_the_delivery_log_keeps_the_newest_attempts(
    store: WebhookStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "KEPT_ATTEMPTS", 3)
    endpoint = await store.endpoints.create(ME, URL)
    for number in range(1, 6):
        await store.log(made_attempt(endpoint_id=endpoint.id, attempt=number))
    found = await store.attempts(ME, endpoint.id)
    assert [attempt.attempt for attempt in found] == [5, 4, 3]
    assert len(await store.attempts(ME, endpoint.id, limit=1)) == 1
    assert await store.redis.ttl(f"webhook:log:{endpoint.id}") > 0


async def test_a_dead_letter_is_listed_to_its_owner_and_taken_once(
    store: WebhookStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "KEPT_DEAD_LETTERS", 3)
    for number in range(5):
        letter = DeadLetter(
            endpoint_id="we_1", event_id=f"evt_{number}", attempts=8, at=1, reason="x"
        )
        await store.bury(ME, letter)
    found = await store.dead_letters(ME)
    assert [letter.event_id for letter in found] == ["evt_4", "evt_3", "evt_2"]
    assert list(await store.dead_letters(OTHER)) == []
    taken = await asyncio.gather(
        *(store.take_dead_letter(ME, "we_1", "evt_3") for _ in range(4))
    )
    assert sum(taken) == 1
    assert not await store.take_dead_letter(OTHER, "we_1", "evt_4")
    assert not await store.take_dead_letter(ME, "we_2", "evt_4")
    found = await store.dead_letters(ME)
    assert [letter.event_id for letter in found] == ["evt_4", "evt_2"]


# --- When to try again ---


def made_attempt(**changes: Any) -> DeliveryAttempt:
    fields = {"event_id": "evt_1", "endpoint_id": "we_1", "attempt": 1, "at": 1}
    return DeliveryAttempt(**{**fields, "outcome": "failed", **changes})


def test_the_schedule_is_the_published_one() -> None:
    assert SCHEDULE == (0, 5, 300, 1800, 7200, 18_000, 36_000, 36_000)


def test_failures_are_tried_again_by_the_schedule_until_it_ends() -> None:
    failed = made_attempt()
    waits = [next_attempt(number, failed) for number in range(1, 10)]
    assert waits == [*SCHEDULE[1:], None, None]
    assert next_attempt(1, failed, schedule=(0, 1)) == 1
    assert next_attempt(2, failed, schedule=(0, 1)) is None


def test_jitter_only_ever_adds() -> None:
    assert next_attempt(2, made_attempt(), jitter=0.2) == pytest.approx(360)
    drawn = [sender_module._jitter() for _ in range(200)]
    assert 0 <= min(drawn) < max(drawn) <= MAX_JITTER


@pytest.mark.parametrize("outcome", ["delivered", "gone", "forbidden"])
def test_nothing_follows_a_final_outcome(outcome: str) -> None:
    assert next_attempt(1, made_attempt(outcome=outcome)) is None


@pytest.mark.parametrize(
    ("asked", "wait"),
    [(0.0, 5.0), (4.0, 5.0), (60.0, 60.0), (1e9, MAX_RETRY_AFTER)],
)
def test_a_longer_retry_after_is_honoured_within_bounds(
    asked: float, wait: float
) -> None:
    assert next_attempt(1, made_attempt(retry_after=asked)) == wait


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("120", 120),
        ("0", 0),
        ("-1", None),
        ("1.5", None),
        ("9" * 400, None),
        ("soon", None),
        ("", None),
        (format_datetime(datetime.fromtimestamp(NOW + 90, UTC), usegmt=True), 90),
        (format_datetime(datetime.fromtimestamp(NOW + 90, UTC)), 90),
        ("Fri, 15 Jan 2027 08:01:30 -0000", 90),
        ("Fri, 15 Jan 2027 10:01:30 +0200", 90),
        (format_datetime(datetime.fromtimestamp(NOW - 90, UTC), usegmt=True), 0),
        ("Fri, 99 Jan 2027 08:01:30 GMT", None),
    ],
)
def test_retry_after_is_a_number_or_a_date(
    value: str | None, seconds: float | None
) -> None:
    assert parse_retry_after(value, NOW) == seconds


def test_what_an_answer_means() -> None:
    assert [outcome_of(status, None) for status in (200, 204, 299)] == ["delivered"] * 3
    statuses = (100, 199, 300, 301, 304, 307, 400, 404, 409, 429, 500, 503, None)
    assert {outcome_of(status, None) for status in statuses} == {"failed"}
    assert outcome_of(410, None) == "gone"
    assert outcome_of(None, "forbidden_target") == "forbidden"
    assert outcome_of(200, "ReadError") == "delivered"


# --- Deliveries ---


@pytest.mark.wire
async def test_a_delivery_is_accepted_by_the_clients_that_verify_webhooks(
    store: WebhookStore,
) -> None:
    receiver = Receiver(200)
    endpoint, news = await prepared(store)
    sender = sender_to(receiver, store)
    assert await sender.attempt_delivery(endpoint.id, news.id, 1) is None
    [request] = receiver.requests
    assert (request.method, str(request.url)) == ("POST", URL)
    assert request.headers["content-type"] == "application/json"
    assert request.headers["webhook-id"] == news.id
    body, headers, secret = (
        request.content,
        dict(request.headers),
        secret_of(endpoint),
    )
    with openai.OpenAI(api_key="none", base_url="http://127.0.0.1:1") as client:
        unwrapped: Any = client.webhooks.unwrap(body, headers, secret=secret)
        assert (unwrapped.type, unwrapped.id) == ("job.succeeded", news.id)
        with pytest.raises(openai.InvalidWebhookSignatureError):
            client.webhooks.unwrap(body + b" ", headers, secret=secret)
    expected = json.loads(news.model_dump_json())
    assert standardwebhooks.Webhook(secret).verify(body, headers) == expected
    import svix.webhooks  # here: it takes half a second

    svix.webhooks.Webhook(secret).verify(body, headers)
    with pytest.raises(svix.webhooks.WebhookVerificationError):
        svix.webhooks.Webhook(secret).verify(body + b" ", headers)
    assert verify_webhook([secret], headers, body) == news.id


@pytest.mark.wire
async def test_during_rotation_receivers_with_either_secret_accept(
    fake_store: WebhookStore,
) -> None:
    receiver = Receiver(200)
    old, news = await prepared(fake_store)
    new = await fake_store.endpoints.rotate(ME, old.id)
    await sender_to(receiver, fake_store).attempt_delivery(old.id, news.id, 1)
    [request] = receiver.requests
    headers = dict(request.headers)
    assert len(headers["webhook-signature"].split(" ")) == 2
    with openai.OpenAI(api_key="none", base_url="http://127.0.0.1:1") as client:
        for secret in (secret_of(old), secret_of(new)):
            standardwebhooks.Webhook(secret).verify(request.content, headers)
            client.webhooks.unwrap(request.content, headers, secret=secret)
    await fake_store.endpoints.rotate(ME, old.id, keep_old_seconds=0)
    await sender_to(receiver, fake_store).attempt_delivery(old.id, news.id, 1)
    headers = dict(receiver.requests[-1].headers)
    with pytest.raises(standardwebhooks.WebhookVerificationError):
        standardwebhooks.Webhook(secret_of(old)).verify(request.content, headers)


@pytest.mark.wire
async def test_retries_repeat_id_and_bytes_under_a_new_timestamp(
    store: WebhookStore,
) -> None:
    receiver = Receiver(500, 500, 200)
    endpoint, news = await prepared(store)
    times = iter([NOW, NOW + 5, NOW + 305])
    sender = sender_to(receiver, store, clock=lambda: next(times))
    waits = [await sender.attempt_delivery(endpoint.id, news.id, n) for n in (1, 2, 3)]
    assert waits == [5.0, 300.0, None]
    sent = receiver.requests
    assert {request.headers["webhook-id"] for request in sent} == {news.id}
    assert {request.content for request in sent} == {news.model_dump_json().encode()}
    stamps = [float(request.headers["webhook-timestamp"]) for request in sent]
    assert stamps == [NOW, NOW + 5, NOW + 305]
    assert len({request.headers["webhook-signature"] for request in sent}) == 3
    for request in sent:
        at = int(request.headers["webhook-timestamp"])
        secrets, headers = [secret_of(endpoint)], dict(request.headers)
        assert verify_webhook(secrets, headers, request.content, now=at) == news.id
        with pytest.raises(WebhookVerificationError):
            verify_webhook(secrets, headers, request.content, now=at + 301)


async def test_every_attempt_is_on_record(store: WebhookStore) -> None:
    busy = answer(503, "bu\0sy" * 200, **{"Retry-After": "60"})
    receiver = Receiver(busy, 204)
    endpoint, news = await prepared(store)
    sender = sender_to(receiver, store, jitter=lambda: 0.1)
    wait = await sender.attempt_delivery(endpoint.id, news.id, 1)
    assert wait == pytest.approx(66)
    assert await sender.attempt_delivery(endpoint.id, news.id, 2) is None
    second, first = await store.attempts(ME, endpoint.id)
    assert (second.attempt, second.outcome, second.status) == (2, "delivered", 204)
    assert second.next_in is None
    assert (first.event_id, first.endpoint_id) == (news.id, endpoint.id)
    assert (first.attempt, first.outcome, first.status) == (1, "failed", 503)
    assert (first.retry_after, first.next_in) == (60.0, wait)
    assert first.response == ("bu\0sy" * 200)[: sender_module.SHOWN_CHARACTERS]
    assert first.duration_ms >= 0
    assert list(await store.dead_letters(ME)) == []


async def test_the_last_failure_makes_a_dead_letter(store: WebhookStore) -> None:
    endpoint, news = await prepared(store)
    sender = sender_to(Receiver(500), store, schedule=(0.0, 1.0))
    assert await sender.attempt_delivery(endpoint.id, news.id, 1) == 1.0
    assert list(await store.dead_letters(ME)) == []
    assert await sender.attempt_delivery(endpoint.id, news.id, 2) is None
    [letter] = await store.dead_letters(ME)
    assert (letter.endpoint_id, letter.event_id) == (endpoint.id, news.id)
    assert (letter.attempts, letter.reason) == (2, "status 500")


@pytest.mark.wire
async def test_gone_disables_the_endpoint(fake_store: WebhookStore) -> None:
    receiver = Receiver(410)
    endpoint, news = await prepared(fake_store)
    sender = sender_to(receiver, fake_store)
    assert await sender.attempt_delivery(endpoint.id, news.id, 1) is None
    found = await fake_store.endpoints.get(ME, endpoint.id)
    assert (found.disabled, found.disabled_reason) == (True, "It answered 410 Gone.")
    assert await sender.attempt_delivery(endpoint.id, news.id, 2) is None
    assert len(receiver.requests) == 1
    letters = await fake_store.dead_letters(ME)
    assert [letter.reason for letter in letters] == ["endpoint disabled", "status 410"]


async def test_an_endpoint_deleted_meanwhile_ends_its_deliveries(
    fake_store: WebhookStore,
) -> None:
    endpoint, news = await prepared(fake_store)

    async def deletes(request: httpx2.Request) -> httpx2.Response:
        await fake_store.endpoints.delete(ME, endpoint.id)
        return answer(410)

    receiver = Receiver(deletes)
    sender = sender_to(receiver, fake_store)
    assert await sender.attempt_delivery(endpoint.id, news.id, 1) is None
    assert await sender.attempt_delivery(endpoint.id, news.id, 2) is None
    assert len(receiver.requests) == 1
    with pytest.raises(EndpointNotFoundError):
        await fake_store.endpoints.get(ME, endpoint.id)


async def test_an_event_that_expired_is_a_dead_letter(fake_store: WebhookStore) -> None:
    receiver = Receiver(200)
    endpoint, _ = await prepared(fake_store)
    sender = sender_to(receiver, fake_store)
    assert await sender.attempt_delivery(endpoint.id, "evt_old", 3) is None
    [letter] = await fake_store.dead_letters(ME)
    assert (letter.reason, letter.attempts) == ("event expired", 3)
    assert receiver.requests == []


@pytest.mark.wire
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects_are_failures_and_not_followed(
    fake_store: WebhookStore, status: int
) -> None:
    moved = answer(status, Location="https://elsewhere.example/")
    receiver = Receiver(moved, 200)
    endpoint, news = await prepared(fake_store)
    sender = sender_to(receiver, fake_store)
    assert await sender.attempt_delivery(endpoint.id, news.id, 1) == 5.0
    assert len(receiver.requests) == 1


async def test_an_endless_answer_is_read_up_to_a_cap(fake_store: WebhookStore) -> None:
    flood = Part(*[b"x" * 4_096] * 1_000)
    receiver = Receiver(httpx2.Response(200, stream=flood))
    endpoint, news = await prepared(fake_store)
    sender = sender_to(receiver, fake_store)
    assert await sender.attempt_delivery(endpoint.id, news.id, 1) is None
    assert flood.read <= sender_module.MAX_RESPONSE_BYTES + 4_096
    [attempt] = await fake_store.attempts(ME, endpoint.id)
    assert attempt.outcome == "delivered"
    assert attempt.response == "x" * sender_module.SHOWN_CHARACTERS


async def test_one_huge_chunk_is_cut_to_the_cap(fake_store: WebhookStore) -> None:
    receiver = Receiver(httpx2.Response(500, stream=Part(b"x" * 100_000)))
    reply = await sender_to(receiver, fake_store)._post(URL, b"", {})
    assert len(reply.body) == sender_module.MAX_RESPONSE_BYTES


async def test_an_attempt_is_bounded_in_time(fake_store: WebhookStore) -> None:
    async def silent(request: httpx2.Request) -> httpx2.Response:
        await asyncio.Event().wait()
        raise AssertionError

    endpoint, news = await prepared(fake_store)
    sender = sender_to(Receiver(silent), fake_store, timeout=0.02)
    async with asyncio.timeout(3):
        assert await sender.attempt_delivery(endpoint.id, news.id, 1) == 5.0
    [attempt] = await fake_store.attempts(ME, endpoint.id)
    assert (attempt.outcome, attempt.status) == ("failed", None)
    assert attempt.error == "TimeoutError"


async def test_an_answer_that_is_not_text_is_shown_as_well_as_it_can_be(
    fake_store: WebhookStore,
) -> None:
    receiver = Receiver(httpx2.Response(200, stream=Part(b"\xffok")))
    endpoint, news = await prepared(fake_store)
    await sender_to(receiver, fake_store).attempt_delivery(endpoint.id, news.id, 1)
    [attempt] = await fake_store.attempts(ME, endpoint.id)
    assert attempt.response == "\ufffdok"


@pytest.mark.parametrize(
    ("part", "error"), [(None, "TimeoutError"), ("cut", "ReadError")]
)
async def test_a_status_that_came_counts_though_the_body_never_ends(
    fake_store: WebhookStore, part: str | None, error: str
) -> None:
    receiver = Receiver(httpx2.Response(200, stream=Part(b"o", part)))
    endpoint, news = await prepared(fake_store)
    sender = sender_to(receiver, fake_store, timeout=0.05)
    async with asyncio.timeout(3):
        assert await sender.attempt_delivery(endpoint.id, news.id, 1) is None
    [attempt] = await fake_store.attempts(ME, endpoint.id)
    assert (attempt.outcome, attempt.status, attempt.error) == ("delivered", 200, error)
    assert attempt.response == "o"


async def test_a_receiver_that_is_down_is_tried_again(fake_store: WebhookStore) -> None:
    async def down(request: httpx2.Request) -> httpx2.Response:
        raise httpx2.ConnectError("refused")

    endpoint, news = await prepared(fake_store)
    sender = sender_to(Receiver(down), fake_store, schedule=(0.0,))
    assert await sender.attempt_delivery(endpoint.id, news.id, 1) is None
    [letter] = await fake_store.dead_letters(ME)
    assert letter.reason == "ConnectError"


async def test_a_forbidden_target_is_a_dead_letter_at_once_and_never_called(
    fake_store: WebhookStore,
) -> None:
    async def private(host: str, port: int) -> list[str]:
        return ["10.0.0.1"]

    endpoint, news = await prepared(fake_store)
    async with guarded_client(EgressPolicy(), resolve=private) as client:
        sender = WebhookSender(fake_store, client)
        assert await sender.attempt_delivery(endpoint.id, news.id, 1) is None
    [letter] = await fake_store.dead_letters(ME)
    assert letter.reason == "forbidden_target"
    [attempt] = await fake_store.attempts(ME, endpoint.id)
    assert (attempt.outcome, attempt.status) == ("forbidden", None)


async def test_an_endpoint_that_fails_for_days_is_disabled(store: WebhookStore) -> None:
    receiver = Receiver(500)
    endpoint, news = await prepared(store)
    times = iter([NOW, NOW + 99, NOW + 100])
    sender = sender_to(receiver, store, clock=lambda: next(times), disable_after=100)
    await sender.attempt_delivery(endpoint.id, news.id, 1)
    first = await store.endpoints.get(ME, endpoint.id)
    await sender.attempt_delivery(endpoint.id, news.id, 2)
    second = await store.endpoints.get(ME, endpoint.id)
    await sender.attempt_delivery(endpoint.id, news.id, 3)
    third = await store.endpoints.get(ME, endpoint.id)
    again = await store.endpoints.enable(ME, endpoint.id)

    assert (first.failing_since, first.disabled) == (NOW, False)
    assert (second.failing_since, second.disabled) == (NOW, False)
    assert third.disabled
    assert str(third.disabled_reason).startswith("Nothing could be delivered for")
    assert (again.disabled, again.failing_since) == (False, None)


async def test_one_delivery_makes_up_for_all_failures(fake_store: WebhookStore) -> None:
    receiver = Receiver(500, 204, 500)
    endpoint, news = await prepared(fake_store)
    times = iter([NOW, NOW + 99, NOW + 100])
    sender = sender_to(
        receiver, fake_store, clock=lambda: next(times), disable_after=100
    )
    for attempt in (1, 2, 3):
        await sender.attempt_delivery(endpoint.id, news.id, attempt)
    found = await fake_store.endpoints.get(ME, endpoint.id)

    assert (found.failing_since, found.disabled) == (NOW + 100, False)


async def test_a_dead_letter_stays_while_the_queue_is_away(
    fake_store: WebhookStore,
) -> None:
    class Away:
        async def add_delivery(self, *_: object) -> None:
            raise RedisConnectionError("away")

    endpoint, news = await prepared(fake_store)
    sender = sender_to(Receiver(500), fake_store, schedule=(0.0,))
    await sender.attempt_delivery(endpoint.id, news.id, 1)
    service = WebhookService(fake_store, sender, Away())  # type: ignore[arg-type]
    with pytest.raises(RedisConnectionError):
        await service.resend(ME, endpoint.id, news.id)

    [letter] = await fake_store.dead_letters(ME)
    assert letter.event_id == news.id


async def test_a_dead_letter_whose_event_has_expired_is_not_sent_again(
    fake_store: WebhookStore,
) -> None:
    endpoint, news = await prepared(fake_store)
    sender = sender_to(Receiver(500), fake_store, schedule=(0.0,))
    await sender.attempt_delivery(endpoint.id, news.id, 1)
    await fake_store.redis.delete(f"webhook:event:{news.id}")
    service = WebhookService(fake_store, sender, None)  # type: ignore[arg-type]
    with pytest.raises(DeadLetterNotFoundError):
        await service.resend(ME, endpoint.id, news.id)
    assert len(await fake_store.dead_letters(ME)) == 1
