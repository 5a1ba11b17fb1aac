"""A worker that dies between sending a webhook and knowing that it arrived."""

import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx2
import pytest
import standardwebhooks

from examples.full_app.main import create_app
from tests.full_app.conftest import KEY, settings
from tests.full_app.contract.asks import ASK
from tests.servers import process, serve

DATABASE = 12  # as test_retries.py: nobody else's
Received = tuple[dict[str, str], bytes]


@contextmanager
def receiver() -> Iterator[tuple[str, "queue.Queue[Received]", threading.Event]]:
    """A web server that keeps each POST, and answers once the event is set."""
    got: queue.Queue[Received] = queue.Queue()
    answers = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            got.put(({k.lower(): v for k, v in self.headers.items()}, body))
            answers.wait(30)
            try:
                self.send_response(204)
                self.end_headers()
            except OSError:
                pass  # who asked is dead

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/hook", got, answers
        answers.set()
        server.shutdown()
        thread.join(5)


@pytest.mark.wire
@pytest.mark.deep
def test_a_webhook_is_sent_again_by_another_worker_when_its_sender_is_killed(
    redis_server: str,
) -> None:
    redis_url = f"{redis_server}/{DATABASE}"
    app = create_app(settings(redis_url=redis_url, job_worker=False))
    command = ("-m", "examples.full_app.worker")
    env = {
        "REDIS_URL": redis_url,
        "FULL_APP_API_KEYS": KEY,
        "FULL_APP_OFFLINE_PACE": "0",
        "FULL_APP_ALLOW_LOOPBACK_WEBHOOKS": "true",
        "FULL_APP_JOB_LEASE_SECONDS": "2",
    }
    request = {"model": "offline-echo", "messages": ASK}
    headers = {"Authorization": f"Bearer {KEY}"}
    with (
        serve(app) as base,
        httpx2.Client(base_url=base, headers=headers) as http,
        receiver() as (url, got, answers),
        process(*command, env=env) as first,
    ):
        body = {"requests": [request], "webhook": {"url": url}}
        job = http.post("/v1/jobs", json=body).raise_for_status().json()
        before = got.get(timeout=60)
        first.kill()
        first.wait(10)
        answers.set()
        with process(*command, env=env):
            after = got.get(timeout=60)
            ended = http.get(f"/v1/jobs/{job['id']}").json()

    assert before[0]["webhook-id"] == after[0]["webhook-id"]
    assert before[1] == after[1]
    for sent_headers, content in (before, after):
        signed = standardwebhooks.Webhook(job["webhook_secret"])
        signed.verify(content, sent_headers)
    assert (ended["status"], ended["attempt"]) == ("succeeded", 1)
