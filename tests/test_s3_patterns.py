"""Section 3 in the chapter's order: four patterns, and the figures that go with them.

What happens when somebody means harm is in tests/sections/test_s3_patterns.py.
"""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient

from examples import s3_patterns as s3
from tests.servers import wait_until

HELLO = {"text": "hello there", "delay_ms": 0}
SLOW = {"text": "this takes a while", "delay_ms": 2_500}


@pytest.fixture
def client() -> Iterator[TestClient]:
    s3.inbox.clear()
    with TestClient(s3.app) as client:
        yield client


def wait_for(client: TestClient, field: str, value: str) -> None:
    """Return as soon as this field of the newest job has this value."""
    wait_until(lambda: client.get("/jobs/latest").json()[field] == value, what=value)


@pytest.mark.parametrize(
    ("prompt", "status"),
    [
        pytest.param({"text": "x" * 2_000}, 200, id="text=2000-characters-fit"),
        pytest.param({"text": "x" * 2_001}, 422, id="text=2001-characters-do-not"),
        pytest.param({"text": "x", "delay_ms": 2_501}, 422, id="delay_ms=2501"),
        pytest.param({"txt": "x"}, 422, id="a-misspelt-field"),
    ],
)
def test_a_prompt_is_checked_before_the_model_works(
    client: TestClient, prompt: dict[str, Any], status: int
) -> None:
    assert client.post("/answers", json=prompt).status_code == status


# --- 1. Synchronous ---


def test_a_synchronous_answer_comes_whole(client: TestClient) -> None:
    answer = client.post("/answers", json=HELLO)
    assert answer.json() == {"answer": "You said: hello there"}


def test_who_would_wait_longer_than_5_seconds_gets_504(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert s3.SYNC_SECONDS == 5
    monkeypatch.setattr(s3, "SYNC_SECONDS", 0.01)
    assert client.post("/answers", json=SLOW).status_code == 504


# --- 2. Streaming ---


@pytest.mark.parametrize(
    ("text", "last"), [("hello there", "done"), ("fails at café", "error")]
)
def test_a_stream_is_an_event_per_word_and_then_done_or_error(
    client: TestClient, text: str, last: str
) -> None:
    answer = client.post("/answers/stream", json={"text": text, "delay_ms": 0})
    assert re.findall(r"event: (\w+)", answer.text) == ["word"] * 4 + [last]


# --- 3. Job ---


def test_a_job_is_accepted_with_202_and_found_where_location_says(
    client: TestClient,
) -> None:
    accepted = client.post("/jobs", json=HELLO)
    assert accepted.status_code == 202

    wait_for(client, "status", "succeeded")
    found = client.get(accepted.headers["location"])
    assert found.json()["answer"] == "You said: hello there"


def test_a_job_is_cancelled_and_one_that_has_ended_is_not(client: TestClient) -> None:
    client.post("/jobs", json=SLOW)
    assert client.delete("/jobs/latest").json()["status"] == "cancelled"
    client.post("/jobs", json=HELLO)
    wait_for(client, "status", "succeeded")
    assert client.delete("/jobs/latest").status_code == 409


# --- 4. Webhook ---


def test_a_webhook_job_calls_back_and_the_receiver_verifies_it(
    client: TestClient,
) -> None:
    assert client.post("/webhook-jobs", json=HELLO).json()["webhook"] == "pending"
    wait_for(client, "webhook", "delivered")
    [received] = client.get("/webhooks/inbox").json()
    assert received["verified"] is True


def test_a_signature_is_good_for_300_seconds() -> None:
    secret = s3.new_webhook_secret()
    headers = {
        "webhook-id": "evt_1",
        "webhook-timestamp": "1700000000",
        "webhook-signature": s3.sign_webhook(secret, "evt_1", 1_700_000_000, b"{}"),
    }
    assert s3.verify_webhook([secret], headers, b"{}", now=1_700_000_300) == "evt_1"
    with pytest.raises(s3.WebhookVerificationError):
        s3.verify_webhook([secret], headers, b"{}", now=1_700_000_301)
