"""Webhooks, received: verified, once, and nothing malformed is a 500."""

import json
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Annotated, Any

import anyio
import fakeredis
import pytest
from fastapi import Depends, FastAPI
from redis.asyncio import Redis
from starlette.testclient import TestClient

from examples.full_app.egress.client import EgressPolicy, guarded_client
from examples.full_app.webhooks import receiving
from examples.full_app.webhooks.models import WebhookEvent, event
from examples.full_app.webhooks.receiving import signed_webhook
from examples.full_app.webhooks.sender import WebhookSender
from examples.full_app.webhooks.store import WebhookStore
from examples.s3_patterns import new_webhook_secret, sign_webhook
from examples.s5_error_handling import setup_error_handlers
from tests.servers import serve

OLD, NEW, UNKNOWN = (new_webhook_secret() for _ in range(3))
MAX_BYTES = 2_000

MakeRedis = Callable[[], "Redis"]


@pytest.fixture(params=["fakeredis", "fakeredis-text", "redis"])
def make_redis(request: pytest.FixtureRequest) -> MakeRedis:
    """Makes clients of one Redis; the apps under test have loops of their own."""
    if request.param == "redis":
        url = request.getfixturevalue("redis_server")
        return lambda: Redis.from_url(f"{url}/9")
    server, text = fakeredis.FakeServer(), request.param == "fakeredis-text"
    return lambda: fakeredis.FakeAsyncRedis(server=server, decode_responses=text)


@pytest.fixture
def fake_redis() -> MakeRedis:
    server = fakeredis.FakeServer()
    return lambda: fakeredis.FakeAsyncRedis(server=server)


class Service:
    """A service with two receivers of webhooks: what they were given, in order."""

    def __init__(self, make_redis: MakeRedis) -> None:
        self.handled: list[str] = []
        self.failures = 0
        self.go_on = threading.Event()
        self.go_on.set()
        self.entered = threading.Event()
        self.app = FastAPI()
        setup_error_handlers(self.app)

        async def get_redis() -> AsyncIterator[Redis]:
            client = make_redis()
            try:
                yield client
            finally:
                await client.aclose()

        def get_secrets() -> list[str]:
            return [NEW, OLD]

        verified = signed_webhook(get_secrets, get_redis, max_bytes=MAX_BYTES)
        other = signed_webhook(get_secrets, get_redis, name="other")

        @self.app.post("/hooks", status_code=204)
        async def hook(event: Annotated[WebhookEvent, Depends(verified)]) -> None:
            self.entered.set()
            await anyio.to_thread.run_sync(self.go_on.wait)
            if self.failures:
                self.failures -= 1
                raise RuntimeError("the handler's database is down")
            self.handled.append(event.id)

        @self.app.post("/other", status_code=204)
        async def hook2(event: Annotated[WebhookEvent, Depends(other)]) -> None:
            self.handled.append(f"other:{event.id}")


@pytest.fixture
def service(make_redis: MakeRedis) -> Service:
    return Service(make_redis)


@pytest.fixture
def client(service: Service) -> Iterator[TestClient]:
    with TestClient(service.app, raise_server_exceptions=False) as client:
        yield client


@pytest.fixture
def fake_service(fake_redis: MakeRedis) -> Service:
    return Service(fake_redis)


@pytest.fixture
def fake_client(fake_service: Service) -> Iterator[TestClient]:
    with TestClient(fake_service.app, raise_server_exceptions=False) as client:
        yield client


def message(number: str = "1", **data: Any) -> tuple[bytes, str]:
    """A body and the id it has; ids are new in every test."""
    news = event("job.succeeded", {"id": f"job_{number}", **data})
    return news.model_dump_json().encode(), news.id


def signed(
    body: bytes, message_id: str, *, secret: str = NEW, age: int = 0
) -> dict[str, str]:
    sent_at = int(time.time()) - age
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(sent_at),
        "webhook-signature": sign_webhook(secret, message_id, sent_at, body),
    }


def test_an_event_is_handled_once_however_often_it_comes(
    service: Service, client: TestClient
) -> None:
    body, message_id = message()
    for _ in range(3):
        answer = client.post("/hooks", content=body, headers=signed(body, message_id))
        assert (answer.status_code, answer.content) == (204, b"")
    assert service.handled == [message_id]


def test_a_replay_is_remembered_for_a_day(
    fake_redis: MakeRedis, fake_client: TestClient
) -> None:
    body, message_id = message()
    fake_client.post("/hooks", content=body, headers=signed(body, message_id))

    async def ttls() -> list[int]:
        redis = fake_redis()
        return [await redis.ttl(key) for key in await redis.keys("webhook:seen:*")]

    [ttl] = anyio.run(ttls)
    assert 23 * 3600 < ttl <= 24 * 3600


def test_either_secret_is_accepted_while_they_are_rotated(
    fake_service: Service, fake_client: TestClient
) -> None:
    for secret, status in ((OLD, 204), (NEW, 204), (UNKNOWN, 401)):
        body, message_id = message()
        headers = signed(body, message_id, secret=secret)
        answer = fake_client.post("/hooks", content=body, headers=headers)
        assert answer.status_code == status
    body, message_id = message()
    both = [
        signed(body, message_id, secret=secret)["webhook-signature"]
        for secret in (UNKNOWN, OLD)
    ]
    headers = {**signed(body, message_id), "webhook-signature": " ".join(both)}
    assert fake_client.post("/hooks", content=body, headers=headers).status_code == 204
    assert len(fake_service.handled) == 3


@pytest.mark.wire
@pytest.mark.parametrize(
    "forge",
    [
        lambda body, key: (body + b" ", signed(body, key)),
        lambda body, key: (body.replace(b"job_1", b"job_2"), signed(body, key)),
        lambda body, key: (body, {**signed(body, key), "webhook-id": "evt_other"}),
        lambda body, key: (body, signed(body, key, age=301)),
        lambda body, key: (body, signed(body, key, age=-302)),
        lambda body, key: (
            body,
            {**signed(body, key), "webhook-timestamp": str(int(time.time()) - 1)},
        ),
        lambda body, key: (
            body,
            {
                **signed(body, key),
                "webhook-signature": signed(body, key)["webhook-signature"][3:],
            },
        ),
    ],
    ids=[
        *("byte-added", "byte-changed", "other-id", "too-old", "too-new", "other-time"),
        "no-version",
    ],
)
def test_what_was_altered_or_is_out_of_time_is_refused(
    fake_service: Service, fake_client: TestClient, forge: Any
) -> None:
    body, headers = forge(*message())
    answer = fake_client.post("/hooks", content=body, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (401, "invalid_signature")
    assert fake_service.handled == []


@pytest.mark.wire
def test_the_replay_window_is_five_minutes(
    fake_service: Service, fake_client: TestClient
) -> None:
    for age in (-290, 290):
        body, message_id = message()
        headers = signed(body, message_id, age=age)
        assert fake_client.post("/hooks", content=body, headers=headers).is_success
    assert len(fake_service.handled) == 2


MALFORMED: list[dict[str, str | None]] = [
    *({"webhook-id": value} for value in (None, "", "x" * 5_000, "a.b", "é", "\x00")),
    *(
        {"webhook-timestamp": value}
        for value in (None, "", "nan", "1e9", "1e99", "-1", "0", "9" * 5_000, "²", "é")
    ),
    *(
        {"webhook-signature": value}
        for value in (
            *(None, "", " ", ",", "v1", "v1,", "v1,a,b", "v1,!!!!", "v1a,AAAA"),
            *("garbage", "v1,\xe9", "v2,AAAA", "v1," + "A" * 3_000, "v1," * 1_000),
        )
    ),
    dict.fromkeys(("webhook-id", "webhook-timestamp", "webhook-signature")),
]


@pytest.mark.parametrize("changes", MALFORMED, ids=repr)
def test_malformed_headers_are_the_senders_fault(
    fake_service: Service, fake_client: TestClient, changes: dict[str, str | None]
) -> None:
    body, message_id = message()
    headers = [
        (name.encode(), value.encode("latin-1" if value.isascii() else "utf-8"))
        for name, value in {**signed(body, message_id), **changes}.items()
        if value is not None
    ]
    answer = fake_client.post("/hooks", content=body, headers=headers)
    assert answer.status_code in (400, 401)
    assert answer.json()["code"] in ("invalid_webhook_headers", "invalid_signature")
    assert fake_service.handled == []


@pytest.mark.parametrize("name", receiving.HEADERS)
def test_a_header_that_is_there_twice_is_refused(
    fake_service: Service, fake_client: TestClient, name: str
) -> None:
    body, message_id = message()
    good = signed(body, message_id)
    headers = [*good.items(), (name, good[name])]
    answer = fake_client.post("/hooks", content=body, headers=headers)
    assert answer.status_code == 400
    assert answer.json()["code"] == "invalid_webhook_headers"
    assert fake_service.handled == []


def test_a_header_too_long_to_be_one_is_refused(
    fake_service: Service, fake_client: TestClient
) -> None:
    body, message_id = message()
    headers = signed(body, message_id)
    headers["webhook-signature"] += " v1,AAAA" * 1_000
    answer = fake_client.post("/hooks", content=body, headers=headers)
    assert answer.status_code == 400
    assert answer.json()["code"] == "invalid_webhook_headers"
    assert fake_service.handled == []


def test_a_missing_header_is_a_400(fake_client: TestClient) -> None:
    body, message_id = message()
    for name in receiving.HEADERS:
        headers = {k: v for k, v in signed(body, message_id).items() if k != name}
        assert (
            fake_client.post("/hooks", content=body, headers=headers).status_code == 400
        )


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff",
        b"{",
        b"[]",
        b"null",
        b"{}",
        b'{"id": "evt_1", "type": "x"}',
        b'{"id": "evt_1", "type": "x", "created_at": NaN, "data": {}}',
        b'{"id": "evt_1", "type": "x", "created_at": 1, "data": "\\ud800"}',
        b'{"id": "evt_1", "type": "x", "created_at": 1, "data": ' + b"[" * 900,
    ],
)
def test_signed_bodies_that_are_no_events_are_refused_and_not_remembered(
    fake_redis: MakeRedis, fake_client: TestClient, body: bytes
) -> None:
    answer = fake_client.post("/hooks", content=body, headers=signed(body, "evt_1"))
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_json")

    async def keys() -> list[bytes]:
        return [key async for key in fake_redis().scan_iter()]

    assert anyio.run(keys) == []


def test_a_body_over_the_cap_is_not_read_to_its_end(
    fake_service: Service, fake_client: TestClient
) -> None:
    body, message_id = message(filler="x" * MAX_BYTES)
    answer = fake_client.post("/hooks", content=body, headers=signed(body, message_id))
    assert (answer.status_code, answer.json()["code"]) == (413, "request_too_large")
    assert answer.json()["details"] == {"max_bytes": MAX_BYTES}

    async def endless() -> tuple[int, int]:
        sent: list[Any] = []
        read = 0

        async def receive() -> dict[str, Any]:
            nonlocal read
            read += 1
            return {"type": "http.request", "body": b"x" * 500, "more_body": True}

        async def send(part: Any) -> None:
            sent.append(part)

        headers = [(k.encode(), v.encode()) for k, v in signed(b"", "evt_1").items()]
        scope = {
            "type": "http",
            "method": "POST",
            "path": "/hooks",
            "query_string": b"",
            "headers": headers,
        }
        await fake_service.app(scope, receive, send)
        return sent[0]["status"], read

    status, read = anyio.run(endless)
    assert status == 413
    assert read <= 5
    assert fake_service.handled == []


def test_an_event_whose_handler_failed_is_handled_when_it_comes_again(
    service: Service, client: TestClient
) -> None:
    service.failures = 1
    body, message_id = message()
    statuses = [
        client.post("/hooks", content=body, headers=signed(body, message_id))
        for _ in range(3)
    ]
    assert [answer.status_code for answer in statuses] == [500, 204, 204]
    assert service.handled == [message_id]


def test_a_repetition_while_the_first_is_handled_is_told_to_come_again(
    service: Service, client: TestClient
) -> None:
    body, message_id = message()
    service.go_on.clear()
    first: list[int] = []

    def post() -> None:
        answer = client.post("/hooks", content=body, headers=signed(body, message_id))
        first.append(answer.status_code)

    thread = threading.Thread(target=post)
    thread.start()
    try:
        assert service.entered.wait(10)
        answer = client.post("/hooks", content=body, headers=signed(body, message_id))
    finally:
        service.go_on.set()
        thread.join(10)
    assert (answer.status_code, answer.json()["code"]) == (409, "webhook_in_progress")
    assert first == [204]
    assert service.handled == [message_id]


def test_a_handler_that_died_blocks_its_event_for_a_minute_only(
    fake_redis: MakeRedis,
) -> None:
    async def ttl() -> int:
        redis = fake_redis()
        await receiving.claim(redis, "webhook:seen:x")
        return int(await redis.ttl("webhook:seen:x"))

    assert 0 < anyio.run(ttl) <= receiving.HANDLING_SECONDS <= 60


def test_two_receivers_each_get_the_event(
    fake_service: Service, fake_client: TestClient
) -> None:
    body, message_id = message()
    for path in ("/hooks", "/other", "/hooks", "/other"):
        answer = fake_client.post(path, content=body, headers=signed(body, message_id))
        assert answer.status_code == 204
    assert fake_service.handled == [message_id, f"other:{message_id}"]


async def test_what_we_send_over_a_real_connection_is_what_we_receive(
    fake_redis: MakeRedis,
) -> None:
    service = Service(fake_redis)
    policy = EgressPolicy(allow_loopback=True)
    redis = fakeredis.FakeAsyncRedis()
    store = WebhookStore(redis, policy=policy)
    with serve(service.app) as url:
        async with guarded_client(policy) as client:
            sender = WebhookSender(store, client)
            endpoint = await store.endpoints.create_ephemeral(
                "me", f"{url}/hooks", secret=OLD
            )
            news = event("job.succeeded", {"id": "jöb"})
            [target] = await store.publish("me", news, also=[endpoint.id])
            for attempt in (1, 2):
                assert await sender.attempt_delivery(target, news.id, attempt) is None
            made = await store.attempts("me", endpoint.id)
    await redis.aclose()
    assert [(one.outcome, one.status) for one in made] == [("delivered", 204)] * 2
    assert service.handled == [news.id]


def test_events_of_other_senders_may_say_more(
    fake_service: Service, fake_client: TestClient
) -> None:
    news = {
        "id": "evt_68",
        "object": "event",
        "created_at": 1_719_168_000,
        "type": "batch.completed",
        "data": {"id": "batch_1", "extra": [1, 2]},
        "livemode": True,
    }
    body = json.dumps(news).encode()
    answer = fake_client.post("/hooks", content=body, headers=signed(body, "wh_68"))
    assert answer.status_code == 204
    assert fake_service.handled == ["evt_68"]
