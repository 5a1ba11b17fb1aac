"""Webhooks over HTTP: OpenAI's client manages them, dead letters are sent again."""

import json
import queue
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx2
import openai
import pytest

from examples.full_app.webhooks.service import EVENT_TYPES
from tests.full_app.conftest import OTHER_KEY, settings
from tests.servers import free_port, process, wait_until

Received = tuple[dict[str, str], bytes]


class Hooks:
    """A receiver on loopback that answers `status` and keeps what it got."""

    def __init__(self) -> None:
        self.status = 204
        self.got: queue.Queue[Received] = queue.Queue()
        self.url = ""


@pytest.fixture
def hooks() -> Iterator[Hooks]:
    with receiving() as found:
        yield found


@contextmanager
def receiving() -> Iterator[Hooks]:
    hooks = Hooks()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            hooks.got.put(({k.lower(): v for k, v in self.headers.items()}, body))
            self.send_response(hooks.status)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        hooks.url = f"http://127.0.0.1:{server.server_port}/hook"
        thread = threading.Thread(
            target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        )
        thread.start()
        yield hooks
        server.shutdown()
        thread.join(5)


def test_the_official_client_manages_endpoints(
    client: openai.OpenAI, hooks: Hooks
) -> None:
    types: Any = list(EVENT_TYPES)
    made = client.webhooks.create(url=hooks.url, name="mine", event_types=types)
    changed = client.webhooks.update(made.id, name="ours", event_types=types[:1])
    tested = client.webhooks.test(made.id, event_type=types[0])
    headers, body = hooks.got.get(timeout=10)
    event = client.webhooks.unwrap(body, headers, secret=made.signing_secret)
    rotated = client.webhooks.rotate_secret(made.id)
    client.webhooks.test(made.id, event_type=types[0])
    headers, body = hooks.got.get(timeout=10)
    client.webhooks.unwrap(body, headers, secret=rotated.signing_secret)
    with pytest.raises(openai.InvalidWebhookSignatureError):
        client.webhooks.unwrap(body, headers, secret=made.signing_secret)
    read = client.webhooks.retrieve(made.id)
    deleted = client.webhooks.delete(made.id)

    assert made.signing_secret.startswith("whsec_")
    assert (changed.name, changed.event_types) == ("ours", types[:1])
    assert (tested.status_code, tested.success, str(event.type)) == (
        204,
        True,
        types[0],
    )
    assert read.signing_secret_hint == f"whsec_...{rotated.signing_secret[-4:]}"
    assert (deleted.id, deleted.deleted) == (made.id, True)
    assert list(client.webhooks.event_types.list().data) == types
    with pytest.raises(openai.NotFoundError):
        client.webhooks.retrieve(made.id)


def test_both_paths_manage_the_same_endpoints(
    client: openai.OpenAI, http: httpx2.Client
) -> None:
    types: Any = ["job.failed"]
    made = client.webhooks.create(
        url="https://example.com/", name="mine", event_types=types
    )
    ours = http.get(f"/v1/webhooks/{made.id}").json()
    theirs = http.get(f"/v1/webhook_endpoints/{made.id}").json()
    http.delete(f"/v1/webhooks/{made.id}")

    assert ours == theirs
    with pytest.raises(openai.NotFoundError):
        client.webhooks.retrieve(made.id)


def test_the_official_client_pages_through_endpoints(client: openai.OpenAI) -> None:
    url, types = "https://example.com/hooks", ["job.failed"]
    made = [
        client.webhooks.create(url=url, name=str(n), event_types=types).id  # type: ignore[arg-type]
        for n in range(3)
    ]
    pages = list(client.webhooks.list(limit=1).iter_pages())
    for endpoint_id in made:
        client.webhooks.delete(endpoint_id)

    assert [page.data[0].id for page in pages][:3] == made[::-1]
    assert not pages[-1].has_more
    with pytest.raises(openai.BadRequestError):
        client.webhooks.list(after="we_00")


def test_an_endpoint_is_not_moved_to_a_forbidden_target(http: httpx2.Client) -> None:
    made = http.post("/v1/webhooks", json={"url": "https://example.com/"}).json()
    path = f"/v1/webhook_endpoints/{made['id']}"
    refused = http.post(path, json={"url": "https://10.0.0.1/"})

    assert (refused.status_code, refused.json()["code"]) == (400, "forbidden_target")
    assert http.get(path).json()["url"] == "https://example.com/"
    http.delete(path)


def test_a_test_of_an_endpoint_that_is_down_says_so(http: httpx2.Client) -> None:
    url = f"http://127.0.0.1:{free_port()}/"
    made = http.post("/v1/webhooks", json={"url": url}).json()
    path = f"/v1/webhook_endpoints/{made['id']}"
    answer = http.post(f"{path}/test", json={"event_type": "job.failed"})
    http.delete(path)

    assert answer.status_code == 502
    assert answer.json()["code"] == "webhook_endpoint_unreachable"


def test_what_was_given_up_is_listed_and_sent_again_once_it_is_enabled(
    http: httpx2.Client, hooks: Hooks
) -> None:
    hooks.status = 410
    made = http.post("/v1/webhooks", json={"url": hooks.url}).json()
    path = f"/v1/webhooks/{made['id']}"
    sent = http.post(f"{path}/test").json()
    first = hooks.got.get(timeout=10)
    letters: list[dict[str, Any]] = []

    def buried() -> bool:
        listed = http.get("/v1/webhooks/dead-letters").json()["data"]
        letters[:] = [x for x in listed if x["endpoint_id"] == made["id"]]
        return len(letters) == 1

    wait_until(buried, what="the dead letter")
    resend = f"{path}/dead-letters/{sent['id']}/resend"
    disabled = http.post(resend)
    state = http.get(path).json()
    enabled = http.post(f"{path}/enable").json()
    hooks.status = 204
    other = {"Authorization": f"Bearer {OTHER_KEY}"}
    foreign = http.post(resend, headers=other)
    resent = http.post(resend)
    second = hooks.got.get(timeout=10)
    again = http.post(resend)
    http.delete(path)

    assert (letters[0]["event_id"], letters[0]["reason"]) == (sent["id"], "status 410")
    assert (disabled.status_code, disabled.json()["code"]) == (
        409,
        "webhook_endpoint_disabled",
    )
    assert (state["disabled"], state["disabled_reason"]) == (
        True,
        "It answered 410 Gone.",
    )
    assert (enabled["disabled"], enabled["disabled_reason"]) == (False, None)
    assert foreign.status_code == 404
    assert (resent.status_code, resent.json()) == (202, letters[0])
    assert first[0]["webhook-id"] == second[0]["webhook-id"] == sent["id"]
    assert first[1] == second[1]
    assert (again.status_code, again.json()["code"]) == (404, "dead_letter_not_found")


def test_all_of_an_endpoints_dead_letters_are_sent_again_at_once(
    http: httpx2.Client, hooks: Hooks
) -> None:
    hooks.status = 410
    made = http.post("/v1/webhooks", json={"url": hooks.url}).json()
    path = f"/v1/webhooks/{made['id']}"
    sent = {http.post(f"{path}/test").json()["id"] for _ in range(3)}

    def buried() -> bool:
        listed = http.get("/v1/webhooks/dead-letters").json()["data"]
        return sent <= {letter["event_id"] for letter in listed}

    wait_until(buried, what="three dead letters")
    hooks.status = 204
    while not hooks.got.empty():
        hooks.got.get()
    http.post(f"{path}/enable")
    resent = http.post(f"{path}/dead-letters/resend").json()["data"]
    got = {hooks.got.get(timeout=10)[0]["webhook-id"] for _ in range(3)}
    nothing = http.post(f"{path}/dead-letters/resend").json()["data"]
    http.delete(path)

    assert {letter["event_id"] for letter in resent} == got == sent
    assert nothing == []


def test_event_ids_and_endpoint_ids_are_checked(http: httpx2.Client) -> None:
    unknown = f"we_{secrets.token_hex(16)}"
    for path, status in (
        (f"/v1/webhooks/{unknown}/dead-letters/evt_00/resend", 404),
        (f"/v1/webhooks/{unknown}/dead-letters/resend", 404),
        (f"/v1/webhooks/{unknown}/enable", 404),
        (f"/v1/webhooks/{unknown}/dead-letters/evt_x'/resend", 400),
        ("/v1/webhook_endpoints/nonsense", 400),
    ):
        assert http.post(path, json={}).status_code == status, path


def test_the_days_until_a_failing_endpoint_is_disabled_are_a_setting() -> None:
    assert settings().webhook_disable_after_days == 5
    assert settings(webhook_disable_after_days=0.5).webhook_disable_after_days == 0.5


def test_the_schedule_of_attempts_is_a_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FULL_APP_WEBHOOK_SCHEDULE", "[0, 1.5]")
    assert settings().webhook_schedule == (0, 1.5)
    with pytest.raises(ValueError, match="webhook_schedule"):
        settings(webhook_schedule=[])


@pytest.mark.timeout(200)
@pytest.mark.deep
@pytest.mark.usefixtures("redis_server")  # where it is missing, that says so
def test_a_receiver_that_fails_half_the_time_gets_every_event_under_one_id() -> None:
    with process("-m", "benchmarks.webhook_storm", "--events", "300") as storm:
        output, _ = storm.communicate(timeout=150)
    report = json.loads(output[output.index(b"{") :])

    assert storm.returncode == 0, report
    assert (report["events"], report["delivered"]) == (300, 300)
    assert report["missing"] == report["unverified"] == []
    assert report["requests"] > 400
