"""Streams of responses that are cut, workers that are told to end, and deadlines."""

import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx2
import pytest
import redis
from starlette.testclient import TestClient

from examples.full_app.chat.waiting import MAX_WAIT_SECONDS
from examples.full_app.main import create_app
from examples.full_app.responses.builder import TERMINAL_EVENTS
from tests.full_app.conftest import KEY, KEYS, settings
from tests.full_app.responses.test_background import RUNNING, begun, staged
from tests.full_app.responses.working import runner_of
from tests.full_app.routes.test_responses import PATH, events
from tests.full_app.scripted import Scripted
from tests.full_app.upstreams import HEADERS
from tests.full_app.web.test_shutdown import signals
from tests.full_app.web.test_sigterm_storms import running
from tests.servers import process, serve, wait_until

JSON = dict[str, Any]
QUESTION = {"model": "gpt-4o-mini", "input": "What is a token?"}


def some_events(answer: httpx2.Response, most: int) -> list[JSON]:
    """Up to `most` events; then the connection is cut."""
    found: list[JSON] = []
    for line in answer.iter_lines():
        if line.startswith("data: {"):
            found.append(json.loads(line.removeprefix("data: ")))
            if len(found) == most:
                break
    return found


# --- Cut ---


@pytest.mark.wire
@pytest.mark.parametrize("every", [1, 2, 5])
def test_a_stream_that_is_cut_after_every_few_events_arrives_exactly_once(
    http: httpx2.Client, every: int
) -> None:
    asked = {"model": "offline-echo", "input": "one two three", "background": True}
    with http.stream("POST", PATH, json={**asked, "stream": True}) as answer:
        seen = some_events(answer, every)
    path = f"{PATH}/{seen[0]['response']['id']}"
    while seen[-1]["type"] not in TERMINAL_EVENTS:
        after = {"stream": "true", "starting_after": seen[-1]["sequence_number"]}
        with http.stream("GET", path, params=after) as answer:
            seen += some_events(answer, every)
    whole = events(http.get(path, params={"stream": "true"}))

    assert seen == whole
    assert [event["sequence_number"] for event in seen] == list(range(len(seen)))
    assert seen[-1]["response"] == http.get(path).json()


def test_a_cut_while_the_model_is_silent_loses_nothing_that_comes_later() -> None:
    with staged() as (http, model):
        response_id = begun(http, model)
        path = f"{PATH}/{response_id}"
        with http.stream("GET", path, params={"stream": "true"}) as answer:
            seen = some_events(answer, 6)
        model.late = ["d", "e"]
        model.silent = False
        after = {"stream": "true", "starting_after": seen[-1]["sequence_number"]}
        seen += events(http.get(path, params=after))

    assert model.started == 1
    assert [event["sequence_number"] for event in seen] == list(range(len(seen)))
    assert seen[-1]["response"]["output"][0]["content"][0]["text"] == "abcde"


@pytest.mark.timeout(200)
@pytest.mark.deep
@pytest.mark.usefixtures("redis_server")  # where it is missing, that says so
@pytest.mark.parametrize("where", [[], ["--embedded"]], ids=["processes", "embedded"])
def test_responses_cut_at_random_come_out_as_if_never_cut(where: list[str]) -> None:
    command = ("-m", "benchmarks.stream_cuts", "--responses", "--cuts", "40", *where)
    with process(*command) as cuts:
        output, _ = cuts.communicate(timeout=150)
    report = json.loads(output[output.index(b"{") :])

    assert cuts.returncode == 0, report
    assert report["cuts"] >= 40
    assert report["wrong"] == 0


# --- Told to end ---


@pytest.mark.wire
@pytest.mark.deep
@signals
def test_sigterm_ends_a_stream_in_the_foreground_with_error_and_failed() -> None:
    asked = {**QUESTION, "stream": True}
    with (
        running(FULL_APP_OFFLINE_PACE="4", FULL_APP_DRAIN_SECONDS="0.5") as (
            server,
            base,
        ),
        httpx2.stream(
            "POST", f"{base}{PATH}", json=asked, headers=HEADERS, timeout=20
        ) as answer,
    ):
        lines = answer.iter_lines()
        wait_until(lambda: "output_text.delta" in next(lines), what="the first word")
        server.send_signal(signal.SIGTERM)
        rest = [
            json.loads(it[6:]) for it in lines if it.startswith("data: {")
        ]  # through a clean end
        status = server.wait(20)
    *_, error, failed = rest

    assert status == 0
    assert (error["type"], failed["type"]) == ("error", "response.failed")
    assert error["code"] == "server_shutting_down"
    assert failed["response"]["status"] == "failed"
    assert failed["response"]["error"]["code"] == "server_shutting_down"


@contextmanager
def api_beside_workers(url: str) -> Iterator[httpx2.Client]:
    """An API that leaves the work to other processes, before an empty Redis."""
    with redis.Redis.from_url(url) as store:
        store.flushdb()
    app = create_app(settings(redis_url=url, job_worker=False, job_lease_seconds=1))
    with (
        serve(app) as base,
        httpx2.Client(base_url=base, headers=HEADERS, timeout=20) as http,
    ):
        yield http


WORKER = ("-m", "examples.full_app.worker")


def environment(url: str, **more: str) -> dict[str, str]:
    given = {"REDIS_URL": url, "FULL_APP_API_KEYS": KEY}
    return {**given, "FULL_APP_JOB_LEASE_SECONDS": "1", **more}


def status_of(http: httpx2.Client, response_id: str) -> str:
    return str(http.get(f"{PATH}/{response_id}").json()["status"])


@pytest.mark.deep
@signals
def test_a_worker_that_is_told_to_end_finishes_what_it_has_begun(
    redis_server: str,
) -> None:
    url = f"{redis_server}/12"
    env = environment(url, FULL_APP_OFFLINE_PACE="1", FULL_APP_DRAIN_SECONDS="30")
    with api_beside_workers(url) as http, process(*WORKER, env=env) as worker:
        asked = {**QUESTION, "background": True}
        response_id = http.post(PATH, json=asked).json()["id"]
        wait_until(lambda: status_of(http, response_id) == "in_progress")
        waiting = http.post(PATH, json=asked).json()["id"]
        worker.send_signal(signal.SIGTERM)
        status = worker.wait(40)
        found = events(http.get(f"{PATH}/{response_id}?stream=true"))
        with process(*WORKER, env={**env, "FULL_APP_OFFLINE_PACE": "0"}):
            wait_until(lambda: status_of(http, waiting) not in RUNNING)
        other = events(http.get(f"{PATH}/{waiting}?stream=true"))

    assert status == 0
    for log in (found, other):
        assert log[-1]["type"] == "response.completed"
        assert [event["sequence_number"] for event in log] == list(range(len(log)))


@pytest.mark.deep
@signals
def test_what_a_worker_could_not_finish_in_time_ends_once_and_says_why(
    redis_server: str,
) -> None:
    url = f"{redis_server}/13"
    env = environment(url, FULL_APP_OFFLINE_PACE="6", FULL_APP_DRAIN_SECONDS="0.2")
    with api_beside_workers(url) as http, process(*WORKER, env=env) as worker:
        asked = {**QUESTION, "background": True}
        response_id = http.post(PATH, json=asked).json()["id"]
        path = f"{PATH}/{response_id}"
        with http.stream("GET", f"{path}?stream=true") as answer:
            lines = answer.iter_lines()
            wait_until(lambda: "output_text.delta" in next(lines), what="a word")
            worker.send_signal(signal.SIGTERM)
            worker.wait(20)
        with process(*WORKER, env={**env, "FULL_APP_OFFLINE_PACE": "0"}):
            wait_until(lambda: status_of(http, response_id) not in RUNNING)
        found = events(http.get(f"{path}?stream=true"))
        kept = http.get(path).json()

    assert kept == found[-1]["response"]
    assert kept["status"] == "failed"
    assert kept["error"]["code"] == "response_interrupted"
    assert [event["sequence_number"] for event in found] == list(range(len(found)))
    assert [event["type"] for event in found].count("error") == 1


@pytest.mark.deep
@signals
def test_a_reader_whose_process_ends_is_cut_off_and_reads_on_elsewhere(
    redis_server: str,
) -> None:
    url = f"{redis_server}/9"
    with (
        api_beside_workers(url) as http,
        running(REDIS_URL=url, FULL_APP_JOB_WORKER="0", FULL_APP_API_KEYS=KEYS) as (
            server,
            base,
        ),
    ):
        made = http.post(PATH, json={**QUESTION, "background": True}).json()
        path = f"{PATH}/{made['id']}"
        with httpx2.stream(
            "GET", f"{base}{path}?stream=true", headers=HEADERS, timeout=20
        ) as answer:
            lines = answer.iter_lines()
            written = [next(it for it in lines if it.startswith("data: {"))]
            written += [next(it for it in lines if it.startswith("data: {"))]
            server.send_signal(signal.SIGTERM)
            with pytest.raises(httpx2.TransportError):  # cut, and not ended
                list(lines)
        seen = [json.loads(line[6:]) for line in written]  # created and queued
        with process(*WORKER, env=environment(url, FULL_APP_OFFLINE_PACE="0")):
            seen += events(http.get(f"{path}?stream=true&starting_after=1"))

    assert [event["sequence_number"] for event in seen] == list(range(len(seen)))
    assert seen[-1]["type"] == "response.completed"


# --- Deadlines ---


def test_a_whole_response_that_comes_too_late_is_a_504_and_nothing_is_kept() -> None:
    with staged() as (http, model):
        model.silent = True
        patience = {"x-stainless-read-timeout": "1"}
        asked = {"model": "any", "input": "hi"}
        answer = http.post(PATH, json=asked, headers=patience)
        wait_until(lambda: model.closed == 1, what="the end of the work")

    assert answer.status_code == 504
    assert answer.json()["code"] == "timeout"


def test_a_stream_that_takes_too_long_ends_with_error_and_failed() -> None:
    with staged(request_timeout_seconds=1) as (http, model):
        model.silent = True
        asked = {"model": "any", "input": "hi", "stream": True}
        *_, error, failed = events(http.post(PATH, json=asked))
        kept = http.get(f"{PATH}/{failed['response']['id']}").json()

    assert error["code"] == "timeout"
    assert failed["response"]["error"]["code"] == "timeout"
    assert kept == failed["response"]
    assert model.closed == 1


def test_a_response_in_the_background_has_a_deadline_too() -> None:
    model = Scripted()
    model.silent = True
    app = create_app(settings(job_worker=False), provider=model)
    with TestClient(app, headers=HEADERS) as client:
        asked = {"model": "any", "input": "hi", "background": True}
        response_id = client.post(PATH, json=asked).json()["id"]
        runner = runner_of(client)
        runner.timeout = 0.2 - MAX_WAIT_SECONDS  # as if it had waited for its limits
        assert client.portal is not None
        client.portal.call(runner.run, response_id)
        kept = client.get(f"{PATH}/{response_id}").json()

    assert kept["status"] == "failed"
    assert kept["error"]["code"] == "timeout"
    assert kept["output"][0]["content"][0]["text"] == "abc"
    assert model.closed == 1
