"""Section 3, when something goes wrong, and when somebody makes it go wrong."""

import base64
import gc
import json
import logging
import socket
import threading
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from types import SimpleNamespace
from typing import Any

import anyio
import anyio.lowlevel
import httpx2
import openai
import pytest
import standardwebhooks
from fastapi import Response
from fastapi.testclient import TestClient
from hypothesis import given, settings
from hypothesis import strategies as st

from examples import s3_patterns as s3
from examples.s3_patterns import (
    JobStatus,
    WebhookVerificationError,
    new_webhook_secret,
    sign_webhook,
    verify_webhook,
)
from tests.servers import serve, wait_until
from tests.tryit import try_lines

NOW = 1_700_000_000
HELLO = {"text": "hello there", "delay_ms": 0}
HEADERS = ("webhook-id", "webhook-timestamp", "webhook-signature")


class StubbornModel:
    """Says one word and then nothing more, until it is stopped; notes both."""

    def __init__(self) -> None:
        self.starts = 0
        self.spoke = threading.Event()
        self.stopped = threading.Event()

    async def __call__(self, prompt: s3.Prompt) -> AsyncGenerator[str, None]:
        self.starts += 1
        try:
            yield "Well,"
            self.spoke.set()
            await anyio.sleep_forever()
        finally:
            self.stopped.set()


@pytest.fixture(autouse=True)
def _nothing_is_remembered() -> Iterator[None]:
    yield
    for memory in (s3.jobs, s3.seen_ids, s3.inbox):
        memory.clear()


@pytest.fixture
def client() -> Iterator[TestClient]:
    with TestClient(s3.app) as client:
        yield client


@pytest.fixture
def browser() -> Iterator[httpx2.Client]:
    """A client of a real server: one that can leave half way."""
    plain = httpx2.HTTPTransport(verify=False)  # certificates take long to load
    with (
        serve(s3.app, log_config=None) as base,
        httpx2.Client(base_url=base, transport=plain) as browser,
    ):
        yield browser


@pytest.fixture
def stubborn(monkeypatch: pytest.MonkeyPatch) -> StubbornModel:
    model = StubbornModel()
    monkeypatch.setattr(s3, "speak", model)
    return model


def job(client: TestClient, job_id: str = "latest") -> dict[str, Any]:
    answer: dict[str, Any] = client.get(f"/jobs/{job_id}").raise_for_status().json()
    return answer


def wait_for(client: TestClient, **expected: str) -> dict[str, Any]:
    """The newest job, as soon as its fields are as expected."""
    wait_until(lambda: expected.items() <= job(client).items(), what=str(expected))
    return job(client)


def events(text: str) -> list[tuple[str, Any]]:
    """The events of a stream: their names with their data."""
    blocks = [block.splitlines() for block in text.split("\n\n") if block.strip()]
    fields = [dict(line.split(": ", 1) for line in block) for block in blocks]
    return [(field["event"], json.loads(field["data"])) for field in fields]


# --- What comes in -------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/answers", "/answers/stream", "/jobs"])
@pytest.mark.parametrize(
    ("body", "where"),
    [
        ({}, "text"),
        ({"text": ""}, "text"),
        ({"text": " \n"}, "text"),
        ({"text": "x" * 2_001}, "text"),
        ({"text": "x", "delay_ms": -1}, "delay_ms"),
        ({"text": "x", "delay_ms": 2_501}, "delay_ms"),
        ({"text": "x", "delay_ms": "5"}, "delay_ms"),
        ({"text": "x", "delay_ms": True}, "delay_ms"),
        ({"text": "x", "temperature": 1}, "temperature"),
    ],
    ids=str,
)
def test_a_bad_prompt_is_a_422_that_names_the_field_and_starts_nothing(
    client: TestClient, path: str, body: Any, where: str, stubborn: StubbornModel
) -> None:
    answer = client.post(path, json=body)

    assert answer.status_code == 422
    assert [e["loc"] for e in answer.json()["detail"]] == [["body", where]]
    assert stubborn.starts == 0


@pytest.mark.parametrize(
    "body",
    [
        '{"text": NaN}',
        '{"text": "x", "delay_ms": Infinity}',
        r'{"text": "\ud800 canary"}',
        r'{"text": "x", "\ud800": 1}',
        '{"text": "canary", "more": ' + "[" * 900 + "]" * 900 + "}",
    ],
    ids=["NaN", "infinity", "surrogate", "surrogate key", "deep"],
)
def test_a_body_made_to_break_the_error_answer_is_the_clients_error(
    client: TestClient, body: str
) -> None:
    headers = {"Content-Type": "application/json"}
    answer = client.post("/answers", content=body, headers=headers)

    assert answer.status_code == 422
    assert "canary" not in answer.text


def test_a_422_lists_at_most_twenty_errors(client: TestClient) -> None:
    body = {"text": "x", **{f"field{number}": 1 for number in range(30)}}
    assert len(client.post("/answers", json=body).json()["detail"]) == 20


@pytest.mark.parametrize("path", ["/answers", "/webhooks/receiver"])
def test_a_body_over_64_kib_is_refused(client: TestClient, path: str) -> None:
    assert client.post(path, content=b" " * (64 * 1024 + 1)).status_code == 413


# --- Synchronous ---------------------------------------------------------------------


def test_two_prompts_have_two_answers(client: TestClient) -> None:
    texts = [{"text": text, "delay_ms": 0} for text in ("one", "two")]
    assert len({client.post("/answers", json=text).text for text in texts}) == 2


def test_an_answer_that_takes_too_long_is_a_504_and_stops_the_model(
    client: TestClient, stubborn: StubbornModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert s3.SYNC_SECONDS == 5
    monkeypatch.setattr(s3, "SYNC_SECONDS", 0.01)

    answer = client.post("/answers", json=HELLO)

    assert answer.status_code == 504
    assert "stream" in answer.json()["detail"]
    assert stubborn.stopped.is_set()


# --- Streaming -----------------------------------------------------------------------


def test_a_stream_is_words_and_then_exactly_one_done(client: TestClient) -> None:
    answer = client.post("/answers/stream", json=HELLO)

    words = [("word", word) for word in ("You", "said:", "hello", "there")]
    assert events(answer.text) == [*words, ("done", "")]
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["cache-control"] == "no-cache"
    assert answer.headers["x-accel-buffering"] == "no"


@pytest.mark.parametrize("text", ["café at once", "fails at café and no later"])
def test_a_stream_that_fails_ends_with_exactly_one_error_and_tells_no_secrets(
    client: TestClient, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    prompt = {"text": text, "delay_ms": 0}
    streamed = events(client.post("/answers/stream", json=prompt).text)

    assert [name for name, _ in streamed if name != "word"] == ["error"]
    assert streamed[-1] == ("error", "The model failed.")
    assert len(streamed) == text.split().index("café") + 3
    assert "the model knows ASCII only" in caplog.text


def test_a_word_is_sent_before_the_next_one_is_made(
    browser: httpx2.Client, stubborn: StubbornModel
) -> None:
    with browser.stream("POST", "/answers/stream", json=HELLO) as answer:
        lines = answer.iter_lines()
        assert [next(lines), next(lines)] == ["event: word", 'data: "Well,"']
        assert not stubborn.stopped.is_set()
    assert stubborn.stopped.wait(10)


class Torrent:
    """Speaks faster than anybody reads, so that the stream is held at a `yield`."""

    def __init__(self) -> None:
        self.stopped = threading.Event()
        self.words = 0

    async def __call__(self, prompt: s3.Prompt) -> AsyncGenerator[str, None]:
        try:
            while True:
                self.words += 1
                yield "word" * 25_000
        finally:
            await anyio.lowlevel.checkpoint()  # cleaning up may take its time
            self.stopped.set()


def test_a_reader_that_is_slow_and_leaves_stops_the_model_without_the_gc(
    browser: httpx2.Client,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    torrent = Torrent()
    monkeypatch.setattr(s3, "speak", torrent)
    gc.disable()
    try:
        with browser.stream("POST", "/answers/stream", json=HELLO):
            wait_until(_held(torrent), what="the stream, held back")
        assert torrent.stopped.wait(5)
    finally:
        gc.enable()
        gc.collect()
    assert "ignored" not in caplog.text


def _held(torrent: Torrent) -> Callable[[], bool]:
    """Whether no word was said since the last few looks."""
    looks: list[int] = []

    def held() -> bool:
        looks.append(torrent.words)
        return len(looks) > 10 and len(set(looks[-10:])) == 1

    return held


# --- Jobs ----------------------------------------------------------------------------


def test_a_job_is_accepted_at_once_and_found_where_location_says(
    client: TestClient,
) -> None:
    accepted = client.post("/jobs", json=HELLO)

    assert accepted.status_code == 202
    assert accepted.json()["status"] in ("queued", "running")
    assert accepted.headers["location"] == f"/jobs/{accepted.json()['id']}"
    assert int(accepted.headers["retry-after"]) > 0
    done = wait_for(client, status="succeeded")
    assert client.get(accepted.headers["location"]).json() == done
    assert done["answer"] == "You said: hello there"
    assert done["webhook"] is None
    assert client.get("/webhooks/inbox").json() == []


def test_latest_is_the_newest_job_and_no_job_is_a_404(client: TestClient) -> None:
    assert client.get("/jobs/latest").status_code == 404
    first, second = (client.post("/jobs", json=HELLO).json()["id"] for _ in range(2))
    assert job(client)["id"] == second != first
    for method in ("GET", "DELETE"):
        answer = client.request(method, "/jobs/job_unknown")
        assert (answer.status_code, list(answer.json())) == (404, ["detail"])


def test_a_job_whose_model_fails_says_so_and_no_other_job_suffers(
    client: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    client.post("/jobs", json={"text": "café", "delay_ms": 0})
    failed = wait_for(client, status="failed")
    client.post("/jobs", json=HELLO)
    wait_for(client, status="succeeded")

    assert failed["answer"] is None
    assert failed["id"] in caplog.text


def test_cancelling_a_running_job_stops_its_model(
    client: TestClient, stubborn: StubbornModel
) -> None:
    client.post("/jobs", json=HELLO)
    assert stubborn.spoke.wait(10)

    first, second = (client.delete("/jobs/latest") for _ in range(2))

    assert stubborn.stopped.is_set()
    assert first.status_code == second.status_code == 200
    assert first.json() == second.json() == job(client)
    assert first.json()["status"] == "cancelled"


async def test_a_job_cancelled_before_it_began_is_cancelled_all_the_same(
    stubborn: StubbornModel,
) -> None:
    created = await s3.create_job(s3.Prompt(text="hello"), Response())
    assert created.status is JobStatus.QUEUED
    cancelled = await s3.cancel_job(created.id)

    assert cancelled.status is JobStatus.CANCELLED
    assert cancelled.answer is None
    assert stubborn.stopped.is_set()


@pytest.mark.parametrize(("text", "end"), [("hello", "succeeded"), ("café", "failed")])
def test_a_job_that_has_ended_cannot_be_cancelled(
    client: TestClient, text: str, end: str, caplog: pytest.LogCaptureFixture
) -> None:
    client.post("/jobs", json={"text": text, "delay_ms": 0})
    ended = wait_for(client, status=end)

    answer = client.delete("/jobs/latest")

    assert answer.status_code == 409
    assert end in answer.json()["detail"]
    assert job(client) == ended


def test_the_oldest_finished_job_makes_room_and_running_ones_are_kept(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3, "MAX_JOBS", 3)
    slow = {"text": "slow", "delay_ms": 2_500}
    running = client.post("/jobs", json=slow).json()["id"]
    ended = [client.post("/jobs", json=HELLO).json()["id"] for _ in range(2)]
    wait_until(lambda: {job(client, one)["status"] for one in ended} == {"succeeded"})

    newest = client.post("/jobs", json=slow).json()["id"]

    assert list(s3.jobs) == [running, ended[1], newest]
    assert client.get(f"/jobs/{ended[0]}").status_code == 404


@pytest.mark.parametrize("path", ["/jobs", "/webhook-jobs"])
def test_when_every_job_is_running_the_next_one_is_told_to_come_later(
    client: TestClient,
    stubborn: StubbornModel,
    monkeypatch: pytest.MonkeyPatch,
    path: str,
) -> None:
    monkeypatch.setattr(s3, "MAX_JOBS", 1)
    assert client.post(path, json=HELLO).status_code == 202
    assert stubborn.spoke.wait(10)

    refused = client.post(path, json=HELLO)

    assert refused.status_code == 503
    assert int(refused.headers["retry-after"]) > 0
    assert (len(s3.jobs), stubborn.starts) == (1, 1)


def test_a_shutdown_stops_the_jobs_and_forgets_them(stubborn: StubbornModel) -> None:
    with TestClient(s3.app) as client:
        client.post("/jobs", json=HELLO)
        assert stubborn.spoke.wait(10)
    assert stubborn.stopped.is_set()
    with TestClient(s3.app) as client:
        assert client.get("/jobs/latest").status_code == 404


async def test_when_a_shutdown_is_over_no_work_goes_on(stubborn: StubbornModel) -> None:
    async with s3.stop_at_shutdown(s3.app):
        job = await s3.create_job_with_webhook(s3.Prompt(text="hello"), Response())
        while job.status is JobStatus.QUEUED:
            await anyio.lowlevel.checkpoint()
        assert len(s3.background_tasks) == 2  # the job, and what waits for its end

    assert stubborn.stopped.is_set()
    assert not s3.background_tasks


def test_the_statuses_are_the_five_and_three_are_final() -> None:
    assert [str(status) for status in JobStatus] == [
        "queued",
        "running",
        "succeeded",
        "failed",
        "cancelled",
    ]
    final = {status for status in JobStatus if status.is_terminal}
    assert final == {JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELLED}


# --- Webhooks: there and back --------------------------------------------------------


class Receiver:
    """Stands before `verify_webhook`: keeps what arrives, refuses the first few."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, refusals: int = 0) -> None:
        self.arrived: list[tuple[dict[str, str], bytes]] = []
        self.refusals = refusals
        monkeypatch.setattr(s3, "verify_webhook", self.verify)

    def verify(self, secrets: list[str], headers: Any, body: bytes) -> str:
        self.arrived.append((dict(headers), body))
        if len(self.arrived) <= self.refusals:
            raise WebhookVerificationError("try me again")
        return verify_webhook(secrets, headers, body)


@pytest.mark.parametrize(
    ("text", "end"), [("hello", "succeeded"), ("café", "failed"), (None, "cancelled")]
)
def test_a_webhook_job_calls_back_and_the_receiver_verifies_it(
    client: TestClient,
    request: pytest.FixtureRequest,
    caplog: pytest.LogCaptureFixture,
    text: str | None,
    end: str,
) -> None:
    if text is None:
        request.getfixturevalue("stubborn")
    prompt = {"text": text or "x", "delay_ms": 0}
    accepted = client.post("/webhook-jobs", json=prompt)
    assert accepted.status_code == 202
    assert accepted.headers["location"] == f"/jobs/{accepted.json()['id']}"
    assert accepted.json()["webhook"] == "pending"
    if text is None:
        client.delete(accepted.headers["location"])

    done = wait_for(client, webhook="delivered")

    inbox = client.get("/webhooks/inbox").json()
    [arrival] = [it for it in inbox if done["id"] in it.get("event", "")]
    event = json.loads(arrival["event"])
    assert done["status"] == end
    assert arrival["verified"] is True
    assert event["type"] == f"job.{end}"
    assert event["data"] == {"id": done["id"]}
    assert event["object"] == "event"
    assert isinstance(event["created_at"], int)


def test_what_is_delivered_verifies_with_the_clients_of_others(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    receiver = Receiver(monkeypatch)
    client.post("/webhook-jobs", json=HELLO)
    wait_for(client, webhook="delivered")
    [(headers, body)] = receiver.arrived
    secret = s3.webhook_secrets[0]

    standardwebhooks.Webhook(secret).verify(body, headers)
    event = openai.OpenAI(api_key="x").webhooks.unwrap(body, headers, secret=secret)

    assert str(event.type) == "job.succeeded"
    assert event.id == headers["webhook-id"]


def test_a_delivery_opens_no_connection_and_asks_no_proxy(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a socket was used")

    for name in ("connect", "connect_ex"):
        monkeypatch.setattr(socket.socket, name, refuse)
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    client.post("/webhook-jobs", json={**HELLO, "text": "http://169.254.169.254/"})
    wait_for(client, webhook="delivered")


def test_a_refused_delivery_is_tried_again_with_its_id_and_a_new_timestamp(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    receiver = Receiver(monkeypatch, refusals=2)
    waits: list[float] = []
    ticks = iter(range(int(time.time()) - 100, int(time.time())))

    async def skip(seconds: float) -> None:
        waits.append(seconds)

    monkeypatch.setattr(s3, "time", SimpleNamespace(time=lambda: next(ticks)))
    monkeypatch.setattr("asyncio.sleep", skip)
    client.post("/webhook-jobs", json={"text": "hello", "delay_ms": 7})
    wait_for(client, webhook="delivered")

    assert len({body for _, body in receiver.arrived}) == 1
    assert len({headers["webhook-id"] for headers, _ in receiver.arrived}) == 1
    assert len({headers["webhook-timestamp"] for headers, _ in receiver.arrived}) == 3
    assert len({headers["webhook-signature"] for headers, _ in receiver.arrived}) == 3
    assert [wait for wait in waits if wait != 0.007] == list(s3.RETRY_WAITS)
    inbox = client.get("/webhooks/inbox").json()
    assert [arrival["verified"] for arrival in inbox] == [False, False, True]


def test_after_three_refusals_a_delivery_is_given_up_and_the_job_stands(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    receiver = Receiver(monkeypatch, refusals=99)
    monkeypatch.setattr(s3, "RETRY_WAITS", (0, 0, 0))
    client.post("/webhook-jobs", json=HELLO)
    given_up = wait_for(client, webhook="failed")

    assert len(receiver.arrived) == 3
    assert given_up["status"] == "succeeded"


def test_a_receiver_that_breaks_does_not_break_the_sender(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(*_: object) -> str:
        raise RuntimeError("a bug of the receiver")

    monkeypatch.setattr(s3, "verify_webhook", breaks)
    monkeypatch.setattr(s3, "RETRY_WAITS", (0,))
    client.post("/webhook-jobs", json=HELLO)
    wait_for(client, webhook="failed")
    client.post("/jobs", json=HELLO)
    wait_for(client, status="succeeded")


# --- Webhooks: the receiver ----------------------------------------------------------


def signed(
    body: bytes = b'{"type": "x"}',
    *,
    message_id: str = "evt_1",
    at: int | None = None,
    secret: str | None = None,
) -> dict[str, str]:
    """The headers of a delivery, made now with the receiver's secret by default."""
    at = int(time.time()) if at is None else at
    signature = sign_webhook(secret or s3.webhook_secrets[0], message_id, at, body)
    return dict(zip(HEADERS, (message_id, str(at), signature), strict=True))


def receive(
    client: TestClient, headers: dict[str, str], body: bytes = b'{"type": "x"}'
) -> int:
    return client.post("/webhooks/receiver", content=body, headers=headers).status_code


def test_a_signed_webhook_is_a_204_and_so_is_its_repetition_which_does_nothing(
    client: TestClient,
) -> None:
    headers = signed()

    assert [receive(client, headers) for _ in range(3)] == [204, 204, 204]
    assert receive(client, signed(message_id="evt_2")) == 204
    assert len(client.get("/webhooks/inbox").json()) == 2


def test_what_was_not_signed_is_a_401_and_shown_as_not_verified(
    client: TestClient,
) -> None:
    headers = signed()
    old = signed(at=int(time.time()) - 400)
    early = signed(at=int(time.time()) + 400)

    assert receive(client, headers, b'{"type": "y"}') == 401
    assert receive(client, headers, b'{"type":"x"}') == 401
    assert receive(client, signed(secret=new_webhook_secret())) == 401
    assert receive(client, {**headers, "webhook-id": "evt_9"}) == 401
    assert receive(client, old) == receive(client, early) == 401
    inbox = client.get("/webhooks/inbox").json()
    assert [arrival["verified"] for arrival in inbox] == [False] * 6
    assert not s3.seen_ids


@pytest.mark.parametrize(
    "change",
    [
        {"webhook-id": ""},
        {"webhook-id": "evt.1"},
        {"webhook-timestamp": ""},
        {"webhook-timestamp": "nan"},
        {"webhook-timestamp": "1e9"},
        {"webhook-timestamp": "9" * 5_000},
        {"webhook-signature": "v1,é"},
    ],
    ids=str,
)
def test_malformed_webhook_headers_are_a_400(
    client: TestClient, change: dict[str, str]
) -> None:
    headers = {
        name: value.encode("latin-1") for name, value in {**signed(), **change}.items()
    }
    answer = client.post(
        "/webhooks/receiver",
        content=b'{"type": "x"}',
        headers=list(headers.items()),  # type: ignore[arg-type]  # raw bytes are fine
    )
    assert answer.status_code == 400


@pytest.mark.parametrize("name", HEADERS[:2])
def test_a_missing_webhook_header_is_a_400(client: TestClient, name: str) -> None:
    headers = signed()
    del headers[name]
    assert receive(client, headers) == 400


def test_a_signed_body_need_not_be_text(client: TestClient) -> None:
    body = b"\xff\x00"
    assert receive(client, signed(body), body) == 204
    [arrival] = client.get("/webhooks/inbox").json()
    assert arrival["verified"] is True


def test_what_the_receiver_remembers_is_bounded(client: TestClient) -> None:
    for number in range(101):
        receive(client, signed(message_id=f"evt_{number}"))

    assert len(client.get("/webhooks/inbox").json()) == 100
    assert receive(client, signed(message_id="evt_0")) == 204
    assert len(s3.seen_ids) == 101
    assert s3.seen_ids.maxlen == 1_000


def test_old_and_new_secret_are_both_accepted_while_they_are_rotated(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = s3.webhook_secrets[0]
    new = new_webhook_secret()
    monkeypatch.setattr(s3, "webhook_secrets", [new, old])

    assert receive(client, signed(secret=old, message_id="evt_1")) == 204
    assert receive(client, signed(secret=new, message_id="evt_2")) == 204


# --- Signatures ----------------------------------------------------------------------

SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
OTHER_SECRET = "whsec_" + "b3RoZXIh" * 6
BODY = '{"object": "event", "note": "héllo ✓"}'.encode()


def headers_with(
    signature: str | None = None, *, message_id: str = "msg_1", at: str = str(NOW)
) -> dict[str, str]:
    made = signature or sign_webhook(SECRET, "msg_1", NOW, BODY)
    return dict(zip(HEADERS, (message_id, at, made), strict=True))


def verified(headers: dict[str, str], body: bytes = BODY, **options: Any) -> str:
    return verify_webhook([SECRET], headers, body, **{"now": NOW, **options})


def test_a_secret_is_32_fresh_bytes_in_base64() -> None:
    made = {new_webhook_secret() for _ in range(100)}
    keys = {base64.b64decode(secret.removeprefix("whsec_")) for secret in made}

    assert {secret[:6] for secret in made} == {"whsec_"}
    assert (len(keys), {len(key) for key in keys}) == (100, {32})


def test_a_signature_is_the_one_of_the_standard() -> None:
    # The vector that the libraries of Standard Webhooks are tested with.
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    body = b'{"test": 2432232314}'
    message_id, at = "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330

    signature = sign_webhook(secret, message_id, at, body)

    assert signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_a_signature_verifies_with_standardwebhooks_and_openai() -> None:
    event = {"id": "evt_1", "object": "event", "created_at": NOW}
    event |= {"type": "batch.completed", "data": {"id": "batch_1"}}
    body = json.dumps(event).encode()
    secret = new_webhook_secret()
    headers = signed(body, secret=secret)

    standardwebhooks.Webhook(secret).verify(body, headers)
    client = openai.OpenAI(api_key="x", webhook_secret=secret)
    unwrapped = client.webhooks.unwrap(body, headers)

    assert unwrapped.type == "batch.completed"
    assert unwrapped.data.id == "batch_1"


@pytest.mark.parametrize(
    "secret",
    [
        "",
        "whsec_",
        SECRET.removeprefix("whsec_"),
        "whsec_" + base64.b64encode(b"x" * 23).decode(),
        "whsec_" + base64.b64encode(b"x" * 65).decode(),
        SECRET.rstrip("="),
        "whsec_!" + SECRET[6:],
        "whsec_é",
    ],
)
def test_a_bad_secret_signs_nothing_and_verifies_nothing(secret: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        sign_webhook(secret, "msg_1", NOW, BODY)
    with pytest.raises(WebhookVerificationError):
        verify_webhook([secret], headers_with(), BODY, now=NOW)


@pytest.mark.parametrize("size", [24, 64])
def test_a_secret_has_24_to_64_bytes(size: int) -> None:
    secret = "whsec_" + base64.b64encode(b"x" * size).decode()
    assert sign_webhook(secret, "msg_1", NOW, BODY).startswith("v1,")


@pytest.mark.parametrize("message_id", ["", "a.b", ".", "\ud800"])
def test_an_id_that_could_be_read_in_two_ways_is_not_signed(message_id: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        sign_webhook(SECRET, message_id, NOW, BODY)


def test_a_verified_webhook_gives_its_id_whatever_the_case_of_the_headers() -> None:
    assert verified(headers_with()) == "msg_1"
    titled = {name.title(): value for name, value in headers_with().items()}
    assert verified(titled) == "msg_1"


def test_one_good_signature_among_several_is_enough() -> None:
    good = sign_webhook(SECRET, "msg_1", NOW, BODY)
    other = sign_webhook(new_webhook_secret(), "msg_1", NOW, BODY)

    for several in (
        f"{other} {good}",
        f"{good} {other}",
        f"v1a,{good[3:]} v2,x {good}",
    ):
        assert verified(headers_with(several)) == "msg_1"
    with pytest.raises(WebhookVerificationError):
        verified(headers_with(f"{other} {other}"))


@pytest.mark.parametrize(
    "signature",
    [
        " ",
        "garbage",
        "v1",
        "v1,",
        "v1,a,b",
        "v1,!!!!",
        "v1,é",
        "v1,\ud800",
        "v2," + sign_webhook(SECRET, "msg_1", NOW, BODY)[3:],
        "v1a," + sign_webhook(SECRET, "msg_1", NOW, BODY)[3:],
        sign_webhook(SECRET, "msg_1", NOW, BODY)[3:],
        sign_webhook(SECRET, "msg_1", NOW, BODY)[:-1],
        sign_webhook(SECRET, "msg_1", NOW, BODY).lower(),
        sign_webhook(SECRET, "msg_1", NOW + 1, BODY),
        sign_webhook(SECRET, "msg_2", NOW, BODY),
        sign_webhook(SECRET, "msg_1", NOW, BODY + b" "),
        sign_webhook(OTHER_SECRET, "msg_1", NOW, BODY),
        "v1," + "A" * 5_000,
    ],
)
def test_any_other_signature_is_refused(signature: str) -> None:
    with pytest.raises(WebhookVerificationError):
        verified(headers_with(signature))


@pytest.mark.parametrize(
    "at",
    ["", " ", "nan", "inf", "-inf", "1e9", "0x10", f"{NOW}.0", "-1", "9" * 9_999, "é"],
)
def test_a_timestamp_that_is_none_is_refused(at: str) -> None:
    with pytest.raises(WebhookVerificationError):
        verified(headers_with(at=at))


@pytest.mark.parametrize("name", HEADERS)
def test_no_header_may_be_missing(name: str) -> None:
    headers = headers_with()
    del headers[name]
    with pytest.raises(WebhookVerificationError):
        verified(headers)


@pytest.mark.parametrize(
    ("late", "options", "accepted"),
    [
        (300, {}, True),
        (301, {}, False),
        (-300, {}, True),
        (-301, {}, False),
        (5, {"tolerance": 5}, True),
        (6, {"tolerance": 5}, False),
    ],
)
def test_the_replay_window_is_exact_on_both_sides(
    late: int, options: dict[str, Any], accepted: bool
) -> None:
    try:
        verified(headers_with(), now=NOW + late, **options)
    except WebhookVerificationError:
        assert not accepted
    else:
        assert accepted


def test_without_now_the_clock_decides() -> None:
    at = int(time.time())
    assert verify_webhook([s3.webhook_secrets[0]], signed(BODY, at=at), BODY) == "evt_1"
    with pytest.raises(WebhookVerificationError):
        verify_webhook([SECRET], headers_with(), BODY)


def test_without_secrets_nothing_is_believed() -> None:
    with pytest.raises(WebhookVerificationError):
        verify_webhook([], headers_with(), BODY, now=NOW)


def test_signatures_are_compared_in_constant_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    compared: list[tuple[str, str]] = []

    def compare(ours: str, theirs: str) -> bool:
        compared.append((ours, theirs))
        return False

    monkeypatch.setattr("hmac.compare_digest", compare)
    with pytest.raises(WebhookVerificationError):
        verified(headers_with("v1,one v1,two"))
    assert [theirs for _, theirs in compared] == ["v1,one", "v1,two"]


@settings(max_examples=50, deadline=None)
@given(
    st.dictionaries(st.sampled_from([*HEADERS, "Webhook-Id"]), st.text()),
    st.binary(),
)
def test_whatever_comes_in_only_the_promised_error_comes_out(
    headers: dict[str, str], body: bytes
) -> None:
    with pytest.raises(WebhookVerificationError):
        verified({**headers_with(), **headers}, body)


@settings(max_examples=50, deadline=None)
@given(st.from_regex("[^.]+", fullmatch=True), st.integers(0, 2**40), st.binary())
def test_whatever_is_signed_verifies(message_id: str, at: int, body: bytes) -> None:
    try:
        signature = sign_webhook(SECRET, message_id, at, body)
    except UnicodeEncodeError:  # a lone surrogate has no bytes
        return
    headers = headers_with(signature, message_id=message_id, at=str(at))
    assert verified(headers, body, now=at) == message_id


# --- What the docs say ---------------------------------------------------------------


def test_every_route_is_described_with_a_tag_and_its_errors(client: TestClient) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    errors = {
        f"{method} {path}": {int(code) for code in route["responses"] if code >= "4"}
        for path, routes in paths.items()
        for method, route in routes.items()
    }

    assert all(route["tags"] for routes in paths.values() for route in routes.values())
    assert errors == {
        "post /answers": {422, 504},
        "post /answers/stream": {422},
        "post /jobs": {422, 503},
        "post /webhook-jobs": {422, 503},
        "get /jobs/{job_id}": {404, 422},
        "delete /jobs/{job_id}": {404, 409, 422},
        "post /webhooks/receiver": {400, 401},
        "get /webhooks/inbox": set(),
    }
    stream = paths["/answers/stream"]["post"]["responses"]["200"]["content"]
    assert list(stream) == ["text/event-stream"]


def test_the_docstring_compares_rest_and_ai_in_the_figures_of_the_chapter() -> None:
    text = s3.__doc__ or ""
    figures = ("10-50 ms", "500-5000 ms", "1-10 KB", "10-500 KB")
    for expected in ("GET /users/123", "POST /chat/completions", *figures):
        assert expected in " ".join(text.split())


def test_the_try_it_lines_work_as_they_are_written(
    browser: httpx2.Client, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)  # one line lets the model fail
    answers = [line.send(browser) for line in try_lines(s3.__doc__)]
    sync, streamed, broken, job, polled, cancelled, *webhooks = answers
    webhook, called_back, inbox, forged = webhooks

    assert sync.json() == {"answer": "You said: hello"}
    assert [name for name, _ in events(streamed.text)] == ["word"] * 5 + ["done"]
    assert [name for name, _ in events(broken.text)] == ["word"] * 4 + ["error"]
    assert (job.status_code, webhook.status_code) == (202, 202)
    assert polled.json()["status"] == "running"
    assert cancelled.json()["status"] == "cancelled"
    assert polled.json()["id"] == cancelled.json()["id"] == job.json()["id"]
    assert called_back.json()["id"] == webhook.json()["id"]
    assert isinstance(inbox.json(), list)
    assert forged.status_code == 401
