"""Responses in the background: queued, followed, resumed, cancelled, and announced."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import httpx2
import openai
import pytest
from openai.types.responses import Response
from starlette.testclient import TestClient

from examples.full_app.main import create_app
from examples.full_app.responses.store import LIVE, events_key
from tests.full_app.conftest import KEY, OTHER_KEY, settings
from tests.full_app.responses.working import begin_and_die, runner_of, work_on
from tests.full_app.routes.test_jobs import receiver
from tests.full_app.routes.test_responses import PATH, events
from tests.full_app.scripted import Scripted, scripted
from tests.full_app.upstreams import HEADERS
from tests.servers import process, serve, wait_until

RUNNING = ("queued", "in_progress")


def until_ended(client: openai.OpenAI, response_id: str) -> Response:
    """Poll a response until it has ended."""
    found: list[Response] = []

    def ended() -> bool:
        found.append(client.responses.retrieve(response_id))
        return found[-1].status not in RUNNING

    wait_until(ended, what="the end of the response")
    return found[-1]


@contextmanager
def staged(**given: object) -> Iterator[tuple[httpx2.Client, Scripted]]:
    """A service of its own, and the model behind it."""
    with (
        scripted(**given) as (url, model),
        httpx2.Client(base_url=url, headers=HEADERS, timeout=20) as http,
    ):
        yield http, model


def begun(http: httpx2.Client, model: Scripted) -> str:
    """The id of a response in the background, of which `abc` was said."""
    model.silent = True
    asked = {"model": "any", "input": "hi", "background": True}
    response_id: str = http.post(PATH, json=asked).json()["id"]
    with http.stream("GET", f"{PATH}/{response_id}?stream=true") as answer:
        for line in answer.iter_lines():
            if line.startswith("data: ") and json.loads(line[6:]).get("delta") == "c":
                return response_id
    raise AssertionError("the stream ended")


@pytest.mark.wire
def test_a_response_in_the_background_ends_as_the_same_in_the_foreground(
    client: openai.OpenAI,
) -> None:
    question: Any = {"model": "gpt-4o-mini", "input": "Why is async good for AI?"}
    queued = client.responses.create(**question, background=True)
    ended = until_ended(client, queued.id)
    whole = client.responses.create(**question)

    assert queued.status == "queued"
    assert queued.output == []
    assert ended.status == "completed"
    assert ended.background is True
    assert ended.output_text == whole.output_text
    assert ended.usage == whole.usage


@pytest.mark.wire
def test_the_events_can_be_read_again_from_every_number(
    client: openai.OpenAI,
) -> None:
    stream = client.responses.create(
        model="gpt-4o-mini", input="What is a token?", background=True, stream=True
    )
    whole = list(stream)
    response_id = whole[0].response.id  # type: ignore[union-attr]

    assert [event.type for event in whole[:3]] == [
        "response.created",
        "response.queued",
        "response.in_progress",
    ]
    assert [event.sequence_number for event in whole] == list(range(len(whole)))
    for number in range(len(whole)):
        rest = client.responses.retrieve(
            response_id, stream=True, starting_after=number
        )
        assert list(rest) == whole[number + 1 :]
    assert list(client.responses.retrieve(response_id, stream=True)) == whole
    assert client.responses.retrieve(response_id) == whole[-1].response  # type: ignore[union-attr]


def test_the_stream_helper_resumes_a_response(client: openai.OpenAI) -> None:
    made = client.responses.create(model="gpt-4o-mini", input="Hi?", background=True)
    ended = until_ended(client, made.id)
    with client.responses.stream(response_id=made.id, starting_after=4) as stream:
        numbers = [event.sequence_number for event in stream]
        final = stream.get_final_response()

    assert numbers[0] == 5
    assert final.output_text == ended.output_text


@pytest.mark.parametrize("number", [-1, 999, "x"])
def test_a_number_that_was_not_given_out_is_refused(
    client: openai.OpenAI, http: httpx2.Client, number: object
) -> None:
    made = client.responses.create(model="offline-echo", input="Hi", background=True)
    until_ended(client, made.id)
    answer = http.get(f"{PATH}/{made.id}?stream=true&starting_after={number}")

    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "starting_after"


def test_a_response_in_the_foreground_has_no_events_to_read_again(
    client: openai.OpenAI, http: httpx2.Client
) -> None:
    made = client.responses.create(model="offline-echo", input="Hi")
    again = http.get(f"{PATH}/{made.id}?stream=true")
    cancelled = http.post(f"{PATH}/{made.id}/cancel")

    assert (again.status_code, cancelled.status_code) == (400, 400)
    assert again.json()["error"]["param"] == "stream"
    assert cancelled.headers["x-should-retry"] == "false"
    assert http.get(f"{PATH}/{made.id}?starting_after=1").status_code == 400


def test_events_that_are_not_kept_any_more_are_410() -> None:
    app = create_app(settings(job_worker=False))
    with TestClient(app, headers=HEADERS) as client:
        asked = {"model": "offline-echo", "input": "x", "background": True}
        made = client.post(PATH, json=asked).json()
        work_on(client, made["id"])
        state: Any = client.app_state
        assert client.portal is not None
        client.portal.call(state["redis"].delete, events_key(made["id"]))
        answer = client.get(f"{PATH}/{made['id']}?stream=true")

        assert (answer.status_code, answer.json()["code"]) == (410, "events_expired")
        assert client.get(f"{PATH}/{made['id']}").json()["status"] == "completed"


def test_readers_come_and_go_and_the_work_goes_on() -> None:
    with staged() as (http, model):
        response_id = begun(http, model)  # by a reader who has left
        path = f"{PATH}/{response_id}?stream=true"
        with ThreadPoolExecutor(4) as pool:
            reading = [
                pool.submit(http.get, f"{path}&starting_after={n}") for n in range(4)
            ]
            model.late = ["d"]
            model.silent = False
            answers = [events(each.result(30)) for each in reading]
        kept = http.get(f"{PATH}/{response_id}").json()

    assert model.closed == model.started == 1
    assert kept["output"][0]["content"][0]["text"] == "abcd"
    for number, found in enumerate(answers):
        assert found[0]["sequence_number"] == number + 1
        assert found[-1]["response"] == kept


def test_leaving_a_stream_in_the_foreground_stops_the_work_and_keeps_nothing() -> None:
    with staged() as (http, model):
        model.silent = True
        asked = {"model": "any", "input": "hi", "stream": True}
        with http.stream("POST", PATH, json=asked) as answer:
            line = next(it for it in answer.iter_lines() if it.startswith("data: "))
        response_id = json.loads(line[6:])["response"]["id"]
        wait_until(lambda: model.closed == 1, what="the end of the work")

        assert http.get(f"{PATH}/{response_id}").status_code == 404


# --- Cancelled ---


@pytest.mark.wire
def test_cancelling_stops_the_work_and_all_agree_on_how_it_ended() -> None:
    with staged() as (http, model):
        response_id = begun(http, model)
        with ThreadPoolExecutor(1) as pool:
            reading = pool.submit(http.get, f"{PATH}/{response_id}?stream=true")
            cancelled = http.post(f"{PATH}/{response_id}/cancel").json()
            found = events(reading.result(30))
        wait_until(lambda: model.closed == 1, what="the end of the work")
        again = http.post(f"{PATH}/{response_id}/cancel").json()
        kept = http.get(f"{PATH}/{response_id}").json()

    assert cancelled["status"] == "cancelled"
    assert cancelled["error"] is None
    assert cancelled["completed_at"] is None
    assert cancelled["output"][0]["status"] == "incomplete"
    assert cancelled["output"][0]["content"][0]["text"] == "abc"
    assert cancelled == again == kept == found[-1]["response"]
    assert found[-1]["type"] == "response.failed"
    assert [event["sequence_number"] for event in found] == list(range(len(found)))


def test_cancelling_one_that_has_ended_changes_nothing(client: openai.OpenAI) -> None:
    made = client.responses.create(model="offline-echo", input="x", background=True)
    ended = until_ended(client, made.id)

    assert client.responses.cancel(made.id) == ended


def test_one_that_waits_its_turn_can_be_cancelled() -> None:
    with TestClient(create_app(settings(job_worker=False)), headers=HEADERS) as client:
        asked = {"model": "offline-echo", "input": "x", "background": True}
        made = client.post(PATH, json=asked).json()
        cancelled = client.post(f"{PATH}/{made['id']}/cancel").json()
        work_on(client, made["id"])

        assert cancelled["status"] == "cancelled"
        assert client.get(f"{PATH}/{made['id']}").json() == cancelled


def test_another_key_can_neither_follow_nor_cancel(
    client: openai.OpenAI, base_url: str
) -> None:
    made = client.responses.create(model="offline-echo", input="x", background=True)
    theirs = {"Authorization": f"Bearer {OTHER_KEY}"}
    with httpx2.Client(base_url=base_url, headers=theirs) as other:
        followed = other.get(f"{PATH}/{made.id}?stream=true")
        cancelled = other.post(f"{PATH}/{made.id}/cancel")

    assert (followed.status_code, cancelled.status_code) == (404, 404)


def test_deleting_one_that_runs_stops_it() -> None:
    with staged() as (http, model):
        response_id = begun(http, model)
        assert http.delete(f"{PATH}/{response_id}").json()["deleted"] is True
        wait_until(lambda: model.closed == 1, what="the end of the work")

        assert http.get(f"{PATH}/{response_id}").status_code == 404


def test_one_that_runs_cannot_be_gone_on_from() -> None:
    with staged() as (http, model):
        response_id = begun(http, model)
        asked = {"model": "any", "input": "x", "previous_response_id": response_id}
        refused = http.post(PATH, json=asked)
        model.silent = False

    assert refused.status_code == 400
    assert refused.json()["code"] == "previous_response_not_finished"


# --- Workers that die ---


def test_a_worker_that_dies_before_the_first_word_is_followed_by_another() -> None:
    with TestClient(create_app(settings(job_worker=False)), headers=HEADERS) as client:
        asked = {"model": "offline-echo", "input": "x y", "background": True}
        response_id = client.post(PATH, json=asked).json()["id"]
        begin_and_die(client, response_id)
        meanwhile = client.get(f"{PATH}/{response_id}")
        work_on(client, response_id)
        found = events(client.get(f"{PATH}/{response_id}?stream=true"))

    assert meanwhile.json()["status"] == "in_progress"
    assert meanwhile.headers["retry-after"] == "1"
    kinds = [event["type"] for event in found]
    assert kinds.count("response.in_progress") == 1
    assert kinds[-1] == "response.completed"
    assert [event["sequence_number"] for event in found] == list(range(len(found)))


def test_what_was_said_is_not_taken_back_by_the_next_worker() -> None:
    with TestClient(create_app(settings(job_worker=False)), headers=HEADERS) as client:
        asked = {"model": "offline-echo", "input": "x y", "background": True}
        response_id = client.post(PATH, json=asked).json()["id"]
        begin_and_die(client, response_id, said="Once upon")
        work_on(client, response_id)
        found = events(client.get(f"{PATH}/{response_id}?stream=true"))
        kept = client.get(f"{PATH}/{response_id}").json()

    assert [event["type"] for event in found[-2:]] == ["error", "response.failed"]
    assert kept == found[-1]["response"]
    assert kept["output"][0]["content"][0]["text"] == "Once upon"
    assert kept["output"][0]["status"] == "incomplete"
    assert [event["sequence_number"] for event in found] == list(range(len(found)))


def test_a_response_that_its_queue_has_lost_is_swept_up() -> None:
    with TestClient(create_app(settings(job_worker=False)), headers=HEADERS) as client:
        asked = {"model": "offline-echo", "input": "x", "background": True}
        response_id = client.post(PATH, json=asked).json()["id"]
        state: Any = client.app_state
        background = state["responses"].background
        assert client.portal is not None
        assert client.portal.call(background.sweep, -1) == [response_id]
        work_on(client, response_id)

        assert client.portal.call(background.sweep, -1) == []
        assert client.get(f"{PATH}/{response_id}").json()["status"] == "completed"


def test_one_that_was_swept_up_is_left_alone_for_another_lease() -> None:
    with TestClient(create_app(settings(job_worker=False)), headers=HEADERS) as client:
        asked = {"model": "offline-echo", "input": "x", "background": True}
        response_id = client.post(PATH, json=asked).json()["id"]
        state: Any = client.app_state
        background = state["responses"].background

        async def swept_twice() -> list[list[str]]:
            await state["redis"].zadd(LIVE, {response_id: 1})  # of long ago
            return [await background.sweep(30) for _ in range(2)]

        assert client.portal is not None
        assert client.portal.call(swept_twice) == [[response_id], []]


def test_a_worker_does_not_begin_while_its_process_shuts_down() -> None:
    with TestClient(create_app(settings(job_worker=False)), headers=HEADERS) as client:
        asked = {"model": "offline-echo", "input": "x", "background": True}
        response_id = client.post(PATH, json=asked).json()["id"]
        runner = runner_of(client)
        runner.draining.began.set()
        assert client.portal is not None
        assert client.portal.call(runner.run, response_id) is False


@pytest.mark.deep
def test_a_killed_worker_loses_no_response_and_answers_none_twice(
    redis_server: str,
) -> None:
    url = f"{redis_server}/11"
    env = {"REDIS_URL": url, "FULL_APP_API_KEYS": KEY}
    env |= {"FULL_APP_OFFLINE_PACE": "3", "FULL_APP_JOB_LEASE_SECONDS": "1"}
    command = ("-m", "examples.full_app.worker")
    app = create_app(settings(redis_url=url, job_worker=False, job_lease_seconds=1))
    with (
        serve(app) as base,
        httpx2.Client(base_url=base, headers=HEADERS, timeout=20) as http,
        process(*command, env=env) as first,
    ):
        asked = {"model": "gpt-4o-mini", "input": "What is a token?"}
        ids = [
            http.post(PATH, json={**asked, "background": True}).json()["id"]
            for _ in range(6)
        ]

        def all_begun() -> bool:
            states = [http.get(f"{PATH}/{each}").json()["status"] for each in ids]
            return states.count("in_progress") >= 4  # as many as run at a time

        wait_until(all_begun, what="the work")
        first.kill()
        with process(*command, env={**env, "FULL_APP_OFFLINE_PACE": "0"}):
            for each in ids:
                wait_until(
                    lambda path=f"{PATH}/{each}": (  # type: ignore[misc]
                        http.get(path).json()["status"] not in RUNNING
                    )
                )
        for each in ids:
            found = events(http.get(f"{PATH}/{each}?stream=true"))
            kept = http.get(f"{PATH}/{each}").json()
            numbers = [event["sequence_number"] for event in found]

            assert numbers == list(range(len(found)))
            assert found[-1]["response"] == kept
            assert kept["status"] in ("completed", "failed")
            if kept["status"] == "failed":
                assert kept["error"]["code"] == "response_interrupted"
            endings = [
                it for it in found if it["type"] in ("response.completed", "error")
            ]
            assert len(endings) == 1


# --- Announced ---


@pytest.mark.wire
@pytest.mark.parametrize("end", ["completed", "failed", "incomplete", "cancelled"])
def test_an_end_is_announced_once_and_can_be_read_before(end: str) -> None:
    with staged() as (http, model), receiver() as (hook, got):
        made = http.post("/v1/webhooks", json={"url": hook}).json()
        api = openai.OpenAI(base_url=str(http.base_url.join("/v1")), api_key=KEY)
        if end == "failed":
            model.failure = RuntimeError("broken")
        if end == "cancelled":
            response_id = begun(http, model)
            http.post(f"{PATH}/{response_id}/cancel")
            http.post(f"{PATH}/{response_id}/cancel")
        else:
            name = "offline-echo" if end == "incomplete" else "any"
            asked: dict[str, Any] = {"model": name, "input": "one two three four"}
            asked |= {"background": True, "max_output_tokens": 2}
            response_id = http.post(PATH, json=asked).json()["id"]
        headers, content = got.get(timeout=20)
        seen = http.get(f"{PATH}/{response_id}").json()
        with api:
            event = api.webhooks.unwrap(content, headers, secret=made["signing_secret"])
        deliveries = http.get(f"/v1/webhooks/{made['id']}/deliveries")

    assert seen["status"] == end
    assert event.type == f"response.{end}"
    assert event.data.id == response_id  # type: ignore[union-attr]
    assert type(event).__name__ == f"Response{end.title()}WebhookEvent"
    assert len(deliveries.json()["data"]) <= 1
    assert got.empty()


def test_the_types_are_among_those_that_an_endpoint_can_ask_for(
    http: httpx2.Client,
) -> None:
    types = http.get("/v1/webhook_event_types").text

    for end in ("completed", "failed", "incomplete", "cancelled"):
        assert f'"response.{end}"' in types


def test_an_idempotency_key_makes_one_response_in_the_background() -> None:
    with TestClient(create_app(settings(job_worker=False)), headers=HEADERS) as client:
        asked = {"model": "offline-echo", "input": "x", "background": True}
        key = {"Idempotency-Key": "one"}
        first = client.post(PATH, json=asked, headers=key)
        second = client.post(PATH, json=asked, headers=key)

    assert first.json()["id"] == second.json()["id"]


def test_what_can_be_known_is_refused_before_it_is_queued(
    client: openai.OpenAI,
) -> None:
    long: Any = [{"role": "user", "content": "x" * 90_000} for _ in range(8)]
    with pytest.raises(openai.BadRequestError) as caught:
        client.responses.create(model="offline-echo", input=long, background=True)

    assert caught.value.code == "context_length_exceeded"


def test_an_end_that_was_decided_on_old_facts_is_not_written() -> None:
    with TestClient(create_app(settings(job_worker=False)), headers=HEADERS) as client:
        asked = {"model": "offline-echo", "input": "x", "background": True}
        response_id = client.post(PATH, json=asked).json()["id"]
        state: Any = client.app_state
        responses = state["responses"]

        async def outcomes() -> list[str]:
            queued = await responses.store.find(response_id, None)
            newest = (await responses.log.all(response_id))[-1].id
            await responses.store.begin(response_id, attempts=5)
            begun = await responses.store.find(response_id, None)
            ended = begun.response.model_copy(update={"status": "failed"})
            return [
                await responses.store.end(stored, ended, event_id, [], log_bytes=0)
                for stored, event_id in (
                    (queued, newest),  # another attempt has begun
                    (begun, "0-1"),  # there are more events
                    (begun, newest),
                    (begun, newest),
                )
            ]

        assert client.portal is not None
        assert client.portal.call(outcomes) == ["moved", "moved", "done", "ended"]
