"""Jobs over HTTP: started, polled, cancelled, and their webhooks received."""

import base64
import json
import queue
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx2
import openai
import pytest
import standardwebhooks

from tests.full_app.conftest import KEY, OTHER_KEY
from tests.full_app.scripted import scripted
from tests.servers import wait_until

HEADERS = {"Authorization": f"Bearer {KEY}"}


def ask(text: str, model: str = "offline-echo") -> dict[str, object]:
    return {"model": model, "messages": [{"role": "user", "content": text}]}


def until_ended(http: httpx2.Client, job_id: str) -> dict[str, Any]:
    """Poll a job until it has ended."""
    found: dict[str, Any] = {}

    def ended() -> bool:
        found.update(http.get(f"/v1/jobs/{job_id}").json())
        return bool(found["status"] not in ("queued", "running"))

    wait_until(ended, what="the end of the job")
    return found


@pytest.mark.wire
def test_a_job_answers_202_and_where_to_look_and_ends_with_its_results(
    http: httpx2.Client,
) -> None:
    body = {"requests": [ask("first"), ask("second"), ask("x", "no-such-model")]}
    started = http.post("/v1/jobs", json=body)
    job = until_ended(http, started.json()["id"])

    assert started.status_code == 202
    assert started.headers["location"] == f"/v1/jobs/{job['id']}"
    assert started.headers["retry-after"] == "1"
    assert started.json()["status"] == "queued"
    assert job["status"] == "succeeded"
    assert job["progress"] == {"done": 3, "failed": 1, "total": 3}
    assert job["attempt"] == 1
    first, second, third = job["results"]
    assert first["response"]["choices"][0]["message"]["content"] == "first"
    assert second["response"]["choices"][0]["message"]["content"] == "second"
    assert third["error"]["error"]["code"] == "model_not_found"
    assert [item["attempt"] for item in job["results"]] == [1, 1, 1]
    assert "results" not in http.get(f"/v1/jobs/{job['id']}?results=false").json()


@pytest.mark.parametrize(("model", "known"), [("gpt-4o", True), ("llama3", False)])
def test_a_job_says_what_it_cost(
    redis_url: str | None, model: str, known: bool
) -> None:
    apart = redis_url and f"{redis_url}/1"
    with (
        scripted(redis_url=apart) as (url, _),
        httpx2.Client(base_url=url, headers=HEADERS) as http,
    ):
        body = {"requests": [ask("x", model), ask("y", model)]}
        job = until_ended(http, http.post("/v1/jobs", json=body).json()["id"])
    costs = [item["response"]["cost_usd"] for item in job["results"]]

    if known:
        assert Decimal(job["cost_usd"]) == sum(map(Decimal, costs)) > 0
    else:
        assert job["cost_usd"] is None
        assert costs == [None, None]


def events(answer: httpx2.Response) -> list[tuple[str, str, dict[str, Any]]]:
    """Id, type and data of the events in an answer, read to its end."""
    found = []
    for block in answer.read().decode("utf-8").strip().split("\n\n"):
        lines = [line for line in block.splitlines() if not line.startswith(":")]
        fields = dict(line.split(": ", 1) for line in lines)
        found.append((fields["id"], fields["event"], json.loads(fields["data"])))
    return found


@pytest.mark.wire
def test_a_job_can_be_followed_and_gone_on_with_until_its_end(
    http: httpx2.Client,
) -> None:
    body = {"requests": [ask(f"number {n}") for n in range(5)]}
    job = http.post("/v1/jobs", json=body).json()
    path = f"/v1/jobs/{job['id']}/events"
    with http.stream("GET", path) as answer:
        whole = events(answer)

    assert answer.headers["content-type"].startswith("text/event-stream")
    assert [kind for _, kind, _ in whole] == [
        "job.queued",
        "job.running",
        *["job.progress"] * 5,
        "job.succeeded",
    ]
    assert [data["progress"]["done"] for _, _, data in whole[2:]] == [1, 2, 3, 4, 5, 5]
    for cut, (event_id, _, _) in enumerate(whole[:-1]):
        again = http.get(path, headers={"Last-Event-ID": event_id})
        assert events(again) == whole[cut + 1 :]
    ended = http.get(path, headers={"Last-Event-ID": whole[-1][0]})
    assert (ended.status_code, ended.content) == (204, b"")


def test_a_job_that_is_silent_is_kept_alive_by_comments(redis_url: str | None) -> None:
    apart = redis_url and f"{redis_url}/1"
    with (
        scripted(redis_url=apart, heartbeat_seconds=0.05) as (url, provider),
        httpx2.Client(base_url=url, headers=HEADERS, timeout=10) as http,
    ):
        provider.silent = True
        job = http.post("/v1/jobs", json={"requests": [ask("x", "any")]}).json()
        with http.stream("GET", f"/v1/jobs/{job['id']}/events") as answer:
            lines = answer.iter_lines()
            while next(lines) != ": ping":
                pass
            http.delete(f"/v1/jobs/{job['id']}")
            *_, kind, data, _ = lines

    assert kind == "event: job.cancelled"
    assert json.loads(data.removeprefix("data: "))["status"] == "cancelled"


def test_only_the_owner_follows_a_job_and_only_by_ids_it_gave_out(
    http: httpx2.Client,
) -> None:
    job = http.post("/v1/jobs", json={"requests": [ask("x")]}).json()
    path = f"/v1/jobs/{job['id']}/events"
    foreign = http.get(path, headers={"Authorization": f"Bearer {OTHER_KEY}"})
    bad = http.get(path, headers={"Last-Event-ID": "99-99"})

    assert (foreign.status_code, foreign.json()["code"]) == (404, "job_not_found")
    assert (bad.status_code, bad.json()["code"]) == (400, "invalid_last_event_id")


def test_of_one_callers_jobs_only_so_many_run_at_a_time(redis_url: str | None) -> None:
    apart = redis_url and f"{redis_url}/1"
    with (
        scripted(redis_url=apart, jobs_per_caller=2) as (url, provider),
        httpx2.Client(base_url=url, headers=HEADERS, timeout=10) as http,
    ):
        provider.silent = True
        body = {"requests": [ask("x", "any")]}
        ids = [http.post("/v1/jobs", json=body).json()["id"] for _ in range(4)]
        wait_until(lambda: provider.started == 2, what="two jobs")
        other = {"Authorization": f"Bearer {OTHER_KEY}"}
        http.post("/v1/jobs", json=body, headers=other)
        wait_until(lambda: provider.started == 3, what="the other caller's")
        states = [http.get(f"/v1/jobs/{job_id}").json()["status"] for job_id in ids]
        provider.silent = False
        ended = [until_ended(http, job_id)["status"] for job_id in ids]

    assert sorted(states) == ["queued", "queued", "running", "running"]
    assert ended == ["succeeded"] * 4


@pytest.mark.parametrize(
    "given",
    [{"concurrent_calls_per_key": 1, "queue_places": 0}, {"tokens_per_minute": 600}],
    ids=["slots", "tokens"],
)
def test_the_items_of_a_job_wait_for_what_they_may_use(given: dict[str, int]) -> None:
    with (
        scripted(**given) as (base, provider),
        httpx2.Client(base_url=base, headers=HEADERS, timeout=20) as http,
    ):
        provider.silent = True
        first = {**ask("one", "any"), "max_tokens": 580}  # of the 600 of a minute
        second = {**ask("another", "any"), "max_tokens": 30}
        body = {"requests": [first, second]}
        job_id = http.post("/v1/jobs", json=body).json()["id"]
        wait_until(lambda: provider.started == 1)
        refused = http.post("/v1/chat/completions", json=second)
        provider.silent = False
        job = until_ended(http, job_id)

    assert refused.status_code == 429  # and so was the second item
    assert job["progress"] == {"done": 2, "failed": 0, "total": 2}


def test_a_bad_item_is_named_by_its_index(http: httpx2.Client) -> None:
    answer = http.post("/v1/jobs", json={"requests": [ask("a"), {"model": "m"}]})

    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "requests[1].messages"


@pytest.mark.parametrize("requests", [[], [ask("x")] * 10_001])
def test_a_batch_has_one_to_ten_thousand_items(
    http: httpx2.Client, requests: list[object]
) -> None:
    answer = http.post("/v1/jobs", json={"requests": requests})

    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "requests"


def test_jobs_are_listed_newest_first_without_results(http: httpx2.Client) -> None:
    ids = [
        http.post("/v1/jobs", json={"requests": [ask(text)]}).json()["id"]
        for text in ("older", "newer")
    ]
    page = http.get("/v1/jobs", params={"limit": 2}).json()
    after = http.get("/v1/jobs", params={"limit": 1, "after": ids[1]}).json()

    assert page["object"] == "list"
    assert [job["id"] for job in page["data"]] == ids[::-1]
    assert (page["first_id"], page["last_id"]) == (ids[1], ids[0])
    assert all("results" not in job for job in page["data"])
    assert [job["id"] for job in after["data"]] == ids[:1]
    assert http.get("/v1/jobs?after=job_00").json()["error"]["param"] == "after"


@pytest.mark.parametrize(
    "job_id",
    ["job_00", "nonsense", "job_" + "0" * 32, "job_0'", "%00", "x" * 2_000, "job_{*}"],
)
def test_an_unknown_job_is_not_found_whatever_its_form(
    http: httpx2.Client, job_id: str
) -> None:
    path = f"/v1/jobs/{job_id}"
    answers = [
        http.get(path),
        http.get(f"{path}?results=false"),
        http.get(f"{path}/events"),
        http.delete(path),
    ]

    assert [answer.status_code for answer in answers] == [404] * 4
    assert {answer.json()["code"] for answer in answers} == {"job_not_found"}


def test_results_come_in_pages_of_at_most_4_mebibytes_each_result_once() -> None:
    with (
        scripted() as (url, provider),
        httpx2.Client(base_url=url, headers=HEADERS, timeout=20) as http,
    ):
        provider.pieces = ["x" * 600_000]
        body = {"requests": [ask("x", "any")] * 16}
        job_id = http.post("/v1/jobs", json=body).json()["id"]
        path = f"/v1/jobs/{job_id}"
        wait_until(
            lambda: http.get(f"{path}?results=false").json()["status"] == "succeeded"
        )
        pages = [http.get(path)]
        while pages[-1].json().get("has_more_results"):
            last = pages[-1].json()["results"][-1]["index"]
            pages.append(http.get(path, params={"results_after": last}))
        behind = http.get(path, params={"results_after": 15}).json()

    indexes = [item["index"] for page in pages for item in page.json()["results"]]
    assert indexes == list(range(16))
    assert len(pages) == 3
    assert all(len(page.content) <= 4 * 1024 * 1024 for page in pages)
    assert behind["results"] == []
    assert "has_more_results" not in behind


def test_a_result_that_is_larger_than_a_page_is_a_page_of_its_own() -> None:
    with (
        scripted() as (url, provider),
        httpx2.Client(base_url=url, headers=HEADERS, timeout=20) as http,
    ):
        provider.pieces = ["x" * 5 * 1024 * 1024]
        body = {"requests": [ask("x", "any")] * 2}
        job = until_ended(http, http.post("/v1/jobs", json=body).json()["id"])

    assert [item["index"] for item in job["results"]] == [0]
    assert job["has_more_results"]


def test_a_job_whose_results_are_too_large_fails_and_keeps_what_it_has() -> None:
    with (
        scripted(job_results_bytes=30_000) as (url, provider),
        httpx2.Client(base_url=url, headers=HEADERS, timeout=20) as http,
    ):
        provider.pieces = ["x" * 9_000]
        body = {"requests": [ask("x", "any")] * 40}
        job = until_ended(http, http.post("/v1/jobs", json=body).json()["id"])
        started = provider.started

    assert job["status"] == "failed"
    assert job["error"]["code"] == "job_results_too_large"
    assert job["progress"] == {"done": 3, "failed": 0, "total": 40}
    assert len(job["results"]) == 3
    assert started < 40  # the rest is not asked for, and costs nothing


@pytest.mark.wire
def test_cancelling_stops_the_work_and_twice_is_once(redis_url: str | None) -> None:
    apart = redis_url and f"{redis_url}/1"  # no other worker takes the job
    with (
        scripted(redis_url=apart) as (url, provider),
        httpx2.Client(base_url=url, headers=HEADERS) as http,
    ):
        provider.silent = True
        two = [ask("x", "any"), ask("y", "any")]
        job = http.post("/v1/jobs", json={"requests": two}).json()
        wait_until(lambda: provider.started == 2, what="the work")
        cancelled = http.delete(f"/v1/jobs/{job['id']}")
        wait_until(lambda: provider.closed == 2, seconds=5, what="the end of the work")
        again = http.delete(f"/v1/jobs/{job['id']}")

    assert cancelled.status_code == again.status_code == 200
    assert cancelled.json() == again.json()
    assert cancelled.json()["status"] == "cancelled"


@pytest.mark.wire
def test_a_job_that_has_ended_cannot_be_cancelled(http: httpx2.Client) -> None:
    job = http.post("/v1/jobs", json={"requests": [ask("x")]}).json()
    until_ended(http, job["id"])
    refused = http.delete(f"/v1/jobs/{job['id']}")

    assert (refused.status_code, refused.json()["code"]) == (409, "job_conflict")
    assert refused.headers["x-should-retry"] == "false"


Received = tuple[dict[str, str], bytes]


@contextmanager
def receiver() -> Iterator[tuple[str, "queue.Queue[Received]"]]:
    """A web server on loopback that keeps every POST it gets."""
    got: queue.Queue[Received] = queue.Queue()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            got.put(({k.lower(): v for k, v in self.headers.items()}, body))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(
            target=server.serve_forever, args=(0.02,), daemon=True
        )
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/hook", got
        server.shutdown()
        thread.join(5)


@pytest.mark.wire
def test_a_jobs_webhook_is_signed_and_its_result_can_be_read_before(
    http: httpx2.Client, client: openai.OpenAI
) -> None:
    secret = "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
    with receiver() as (url, got):
        body = {"requests": [ask("x")], "webhook": {"url": url, "secret": secret}}
        job = http.post("/v1/jobs", json=body).json()
        headers, content = got.get(timeout=10)
        seen = http.get(f"/v1/jobs/{job['id']}").json()

    event = json.loads(content)
    assert seen["status"] == "succeeded"
    assert (event["object"], event["type"]) == ("event", "job.succeeded")
    assert event["data"] == {"id": job["id"]}
    assert headers["webhook-id"] == event["id"]
    standardwebhooks.Webhook(secret).verify(content, headers)
    assert client.webhooks.unwrap(content, headers, secret=secret).id == event["id"]


def test_a_secret_is_made_and_shown_once_when_none_is_given(
    http: httpx2.Client,
) -> None:
    with receiver() as (url, got):
        body = {"requests": [ask("x")], "webhook": {"url": url}}
        job = http.post("/v1/jobs", json=body).json()
        headers, content = got.get(timeout=10)

    standardwebhooks.Webhook(job["webhook_secret"]).verify(content, headers)
    assert "webhook_secret" not in http.get(f"/v1/jobs/{job['id']}").json()


def test_an_endpoint_is_registered_tested_rotated_and_deleted(
    http: httpx2.Client,
) -> None:
    with receiver() as (url, got):
        made = http.post("/v1/webhooks", json={"url": url, "name": "mine"})
        endpoint = made.json()
        path = f"/v1/webhooks/{endpoint['id']}"
        sent = http.post(f"{path}/test")
        first_headers, first = got.get(timeout=10)
        rotated = http.post(f"{path}/rotate").json()
        http.post(f"{path}/test")
        second_headers, second = got.get(timeout=10)
        wait_until(lambda: len(http.get(f"{path}/deliveries").json()["data"]) == 2)
        log = http.get(f"{path}/deliveries").json()["data"]

    old, new = endpoint["signing_secret"], rotated["signing_secret"]
    assert (made.status_code, sent.status_code) == (201, 202)
    standardwebhooks.Webhook(old).verify(first, first_headers)
    for secret in (old, new):
        standardwebhooks.Webhook(secret).verify(second, second_headers)
    assert [entry["outcome"] for entry in log] == ["delivered", "delivered"]
    assert "signing_secret" not in http.get(path).json()
    assert endpoint["id"] in {e["id"] for e in http.get("/v1/webhooks").json()["data"]}
    assert http.delete(path).status_code == 204
    assert http.get(path).status_code == 404


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/hook",
        "https://169.254.169.254/latest",
        "https://10.0.0.1/",
        "https://user:pass@example.com/",
        "https://example.com:8443/",
    ],
)
def test_a_forbidden_target_is_refused_at_once(http: httpx2.Client, url: str) -> None:
    endpoint = http.post("/v1/webhooks", json={"url": url})
    job = http.post("/v1/jobs", json={"requests": [ask("x")], "webhook": {"url": url}})

    for answer in (endpoint, job):
        assert (answer.status_code, answer.json()["code"]) == (400, "forbidden_target")


def test_dead_letters_start_empty(http: httpx2.Client) -> None:
    assert http.get("/v1/webhooks/dead-letters").json()["data"] == []
