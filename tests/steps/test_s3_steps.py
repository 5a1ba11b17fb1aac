"""The four rungs of section 3, each on a real server, as a student runs it."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx2
import pytest

from examples.steps import s3_1_synchronous as synchronous
from examples.steps import s3_2_streaming as streaming
from examples.steps import s3_3_job as job
from examples.steps import s3_4_webhook as webhook
from tests.servers import serve, wait_until


@contextmanager
def running(app: Any) -> Iterator[httpx2.Client]:
    """A client of a real server that serves `app`."""
    with serve(app) as address, httpx2.Client(base_url=address) as client:
        yield client


def events(text: str) -> list[tuple[str, Any]]:
    """The events of a stream: their names with their data."""
    lines = text.splitlines()
    names = [line.removeprefix("event: ") for line in lines if line[:6] == "event:"]
    data = [json.loads(line[6:]) for line in lines if line[:5] == "data:"]
    return list(zip(names, data, strict=True))


# --- s3.1 synchronous ---


def test_the_whole_answer_comes_in_one_piece() -> None:
    with running(synchronous.app) as client:
        answer = client.post("/answers", json={"text": "hello", "delay_ms": 0})

    assert answer.status_code == 200
    assert answer.json() == {"answer": "You said: hello"}


def test_who_would_wait_longer_than_the_limit_gets_504(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert synchronous.SYNC_SECONDS == 5
    monkeypatch.setattr(synchronous, "SYNC_SECONDS", 0.01)

    with running(synchronous.app) as client:
        answer = client.post("/answers", json={"text": "slow", "delay_ms": 2_500})

    assert answer.status_code == 504


# --- s3.2 streaming ---


def test_each_word_is_an_event_and_the_last_event_is_done() -> None:
    with running(streaming.app) as client:
        prompt = {"text": "one two", "delay_ms": 0}
        answer = client.post("/answers/stream", json=prompt)

    words = [("word", word) for word in ("You", "said:", "one", "two")]
    assert events(answer.text) == [*words, ("done", "")]


def test_the_first_word_arrives_while_the_model_still_works() -> None:
    prompt = {"text": "and " + "on " * 600, "delay_ms": 50}  # half a minute of words
    with (
        running(streaming.app) as client,
        client.stream("POST", "/answers/stream", json=prompt) as answer,
    ):
        assert next(answer.iter_lines()) == "event: word"


def test_a_stream_that_fails_half_way_ends_with_error_and_without_done() -> None:
    with running(streaming.app) as client:
        prompt = {"text": "fails at café", "delay_ms": 0}
        answer = client.post("/answers/stream", json=prompt)

    assert events(answer.text)[-1] == ("error", "The model failed.")
    assert "done" not in [name for name, _ in events(answer.text)]


# --- s3.3 job ---


@pytest.fixture
def _no_jobs_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job, "jobs", {})


@pytest.mark.usefixtures("_no_jobs_yet")
def test_a_job_is_accepted_before_it_is_done() -> None:
    with running(job.app) as client:
        accepted = client.post("/jobs")
        asked = client.get(accepted.headers["location"])

    assert accepted.status_code == 202
    assert accepted.headers["location"] == "/jobs/job_1"
    assert accepted.json()["answer"] is asked.json()["answer"] is None


async def test_a_job_that_has_been_run_has_succeeded_and_has_an_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def no_pause(seconds: float) -> None:
        assert seconds == 5

    monkeypatch.setattr("asyncio.sleep", no_pause)
    one = job.Job(id="job_1")

    await job.run_job(one)

    assert (one.status, one.answer) == ("succeeded", "This took five seconds.")


@pytest.mark.usefixtures("_no_jobs_yet")
def test_a_job_that_does_not_exist_is_a_404() -> None:
    with running(job.app) as client:
        assert client.get("/jobs/job_99").status_code == 404


# --- s3.4 webhook ---


@pytest.fixture(autouse=True)
def _the_inbox_is_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook, "inbox", [])


def test_the_receiver_is_called_back_after_the_202() -> None:
    with running(webhook.app) as client:
        accepted = client.post("/webhook-jobs")
        wait_until(lambda: bool(client.get("/webhooks/inbox").json()), what="the call")
        received = client.get("/webhooks/inbox").json()

    assert accepted.status_code == 202
    assert [json.loads(body)["type"] for body in received] == ["job.succeeded"]


@pytest.mark.parametrize("signature", [None, "", "forged", "é"])
def test_a_call_without_our_signature_is_a_401_and_is_not_accepted(
    signature: str | None,
) -> None:
    headers = {} if signature is None else {b"webhook-signature": signature.encode()}
    with running(webhook.app) as client:
        answer = client.post("/webhooks/receiver", content=b"{}", headers=headers)

    assert answer.status_code == 401
    assert webhook.inbox == []


def test_a_signature_fits_no_other_body() -> None:
    assert webhook.sign_webhook(b"1 euro") == webhook.sign_webhook(b"1 euro")
    assert webhook.sign_webhook(b"1 euro") != webhook.sign_webhook(b"9 euro")
