"""Responses when something around them goes wrong: Redis, logs, workers, the wire."""

import asyncio
import dataclasses
import json
import socket
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import httpx2
import pytest
from redis.exceptions import ConnectionError as RedisAwayError
from starlette.testclient import TestClient

from examples.full_app.chat.service import ChatService
from examples.full_app.chat.waiting import MAX_WAIT_SECONDS
from examples.full_app.errors import RequestError
from examples.full_app.events.errors import FencedError
from examples.full_app.events.follower import numbers
from examples.full_app.events.log import EventWriter
from examples.full_app.limits.rates import management_limit
from examples.full_app.main import create_app
from examples.full_app.observability.tracing import current_trace_id
from examples.full_app.providers.base import CallContext, Delta
from examples.full_app.queue import Queue
from examples.full_app.responses import background
from examples.full_app.responses.builder import ResponseBuilder
from examples.full_app.responses.store import (
    LIVE,
    ResponseStore,
    events_key,
    record_key,
)
from examples.full_app.schemas.chat import ChatCompletionRequest
from examples.full_app.webhooks.models import WebhookEvent
from examples.full_app.webhooks.store import WebhookStore
from examples.s2_models import Usage
from examples.s5_error_handling import ContextLengthError
from tests.full_app.conftest import settings
from tests.full_app.responses.test_background import staged
from tests.full_app.responses.working import begin_and_die, runner_of, work_on
from tests.full_app.routes.test_responses import PATH, events
from tests.full_app.scripted import Scripted
from tests.full_app.upstreams import HEADERS
from tests.servers import wait_until

ASKED = {"model": "offline-echo", "input": "one two three"}
QUEUED = {**ASKED, "background": True}


@contextmanager
def inside(
    model: Scripted | None = None, **given: object
) -> Iterator[tuple[TestClient, Any]]:
    """A service in this process, without a worker, and its state."""
    app = create_app(settings(job_worker=False, **given), provider=model)
    client = TestClient(app, headers=HEADERS, raise_server_exceptions=False)
    with client as http:
        yield http, http.app_state


def call(http: TestClient, function: Any, *args: Any) -> Any:
    """The result of an asynchronous function of the service."""
    assert http.portal is not None
    return http.portal.call(function, *args)


async def away(*_: object, **__: object) -> Any:
    """What a Redis that is away answers."""
    raise RedisAwayError("away")


def posted(http: TestClient, asked: dict[str, Any] = QUEUED) -> str:
    """The id of a new response."""
    answer = http.post(PATH, json=asked)
    assert answer.status_code == 200, answer.text
    response_id: str = answer.json()["id"]
    return response_id


# --- Redis is away ---


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_an_answer_that_cannot_be_kept_is_sent_and_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, stream: bool
) -> None:
    monkeypatch.setattr(ResponseStore, "save", away)
    with inside() as (http, _):
        answer = http.post(PATH, json={**ASKED, "stream": stream})
        made = events(answer)[-1]["response"] if stream else answer.json()

    assert made["status"] == "completed"
    assert made["store"] is False
    assert "response not kept" in caplog.text


def test_a_response_that_could_not_be_queued_is_found_by_the_sweep(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    queued: list[str] = []

    async def added(_: object, response_id: str, __: str) -> None:
        queued.append(response_id)

    with inside() as (http, state):
        monkeypatch.setattr(Queue, "add_response", away)
        response_id = posted(http)
        monkeypatch.setattr(Queue, "add_response", added)
        swept = call(http, state["responses"].background.sweep, -1)
        too_soon = call(http, state["responses"].background.sweep, 60)

    assert queued == swept == [response_id]
    assert too_soon == []


def test_words_that_redis_did_not_take_are_written_when_it_is_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    flush, failures = EventWriter.flush, iter(range(3))

    async def flaky(writer: EventWriter) -> None:
        if next(failures, None) is not None:
            raise RedisAwayError("away")
        await flush(writer)

    with inside() as (http, _):
        response_id = posted(http)
        monkeypatch.setattr(EventWriter, "flush", flaky)
        work_on(http, response_id)
        log = events(http.get(f"{PATH}/{response_id}?stream=true"))

    assert next(failures, None) is None
    assert log[-1]["type"] == "response.completed"
    assert [event["sequence_number"] for event in log] == list(range(len(log)))


def test_a_model_that_writes_on_while_redis_is_away_waits_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    flush, failures = EventWriter.flush, iter(range(4))
    model = Scripted()
    model.pieces = ["x"] * 600  # more than two batches

    async def flaky(writer: EventWriter) -> None:
        if writer.is_full and next(failures, None) is not None:
            raise RedisAwayError("away")
        await flush(writer)

    with inside(model) as (http, _):
        response_id = posted(http, {**QUEUED, "model": "any"})
        monkeypatch.setattr(EventWriter, "flush", flaky)
        work_on(http, response_id)
        kept = http.get(f"{PATH}/{response_id}").json()

    assert next(failures, None) is None
    assert kept["status"] == "completed"
    assert kept["output"][0]["content"][0]["text"] == "x" * 600


def test_a_worker_gives_up_on_a_redis_that_stays_away_and_another_may_follow(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with inside() as (http, _):
        response_id = posted(http)
        with monkeypatch.context() as patch:
            patch.setattr(background, "PATIENCE_SECONDS", 0.05)
            patch.setattr(EventWriter, "flush", away)
            with pytest.raises(RedisAwayError):
                work_on(http, response_id)
        meanwhile = http.get(f"{PATH}/{response_id}").json()["status"]
        work_on(http, response_id)
        ended = http.get(f"{PATH}/{response_id}").json()["status"]

    assert (meanwhile, ended) == ("in_progress", "completed")


# --- Logs that were cut ---


def test_events_that_are_gone_are_410_and_the_others_are_read() -> None:
    with inside() as (http, state):
        response_id = posted(http)
        work_on(http, response_id)
        path = f"{PATH}/{response_id}?stream=true"
        whole = events(http.get(path))
        key = events_key(response_id)
        redis = state["redis"]
        entries = call(http, redis.xrange, key)
        call(http, redis.xdel, key, *(entry[0] for entry in entries[:3]))
        from_the_first = http.get(path)
        after_a_lost_one = http.get(f"{path}&starting_after=1")
        rest = events(http.get(f"{path}&starting_after=3"))

    for answer in (from_the_first, after_a_lost_one):
        assert (answer.status_code, answer.json()["code"]) == (410, "events_expired")
    assert rest == whole[4:]


@pytest.mark.parametrize("gone", [2, 3], ids=["before an attempt", "within one"])
def test_a_reader_reads_on_although_the_last_event_that_it_saw_is_gone(
    gone: int,
) -> None:
    with inside() as (http, state):
        response_id = posted(http)
        work_on(http, response_id)
        path, key = f"{PATH}/{response_id}?stream=true", events_key(response_id)
        whole = events(http.get(path))
        entries = call(http, state["redis"].xrange, key)
        call(http, state["redis"].xdel, key, *(entry[0] for entry in entries[:gone]))
        rest = events(http.get(f"{path}&starting_after={gone - 1}"))

    assert rest == whole[gone:]


def test_the_number_after_the_newest_one_has_not_been_given_out() -> None:
    with inside() as (http, _):
        path = f"{PATH}/{posted(http)}?stream=true&starting_after=2"
        refused = http.get(path)

    assert refused.status_code == 400
    assert refused.json()["error"]["param"] == "starting_after"


def test_a_reader_who_has_seen_all_so_far_waits_for_the_rest() -> None:
    with inside() as (http, state):
        response_id = posted(http)
        log, store = state["responses"].log, state["responses"].store

        async def rest() -> list[str]:
            after = await log.begin(await store.find(response_id, None), 1)
            events = log.follow(response_id, after)
            reading = asyncio.create_task(anext(events))
            await runner_of(http).run(response_id)
            first = await reading
            return [first.type, *[event.type async for event in events]]

        first, *_, last = call(http, rest)

    assert (first, last) == ("response.in_progress", "response.completed")


def test_a_reader_is_cut_off_before_a_gap() -> None:
    with inside() as (http, state):
        response_id = posted(http)
        work_on(http, response_id)
        path, key = f"{PATH}/{response_id}?stream=true", events_key(response_id)
        entries = call(http, state["redis"].xrange, key)
        call(http, state["redis"].xdel, key, entries[5][0])
        broken = http.get(path)
        after_it = http.get(f"{path}&starting_after=5")

    assert '"sequence_number":4' in broken.text
    assert '"sequence_number":6' not in broken.text
    assert "[DONE]" not in broken.text
    assert after_it.status_code == 410


# --- An upstream refuses what was asked for ---


@pytest.mark.parametrize(
    ("field", "name"),
    [("max_completion_tokens", "max_output_tokens"), ("messages[2].content", "input")],
    ids=["limit", "item"],
)
@pytest.mark.parametrize(
    "way",
    [{}, {"stream": True}, {"background": True}],
    ids=["whole", "streamed", "background"],
)
@pytest.mark.parametrize("pieces", [[], ["Once"]], ids=["at once", "later"])
def test_a_field_that_an_upstream_refuses_has_the_name_of_this_route(
    field: str, name: str, way: dict[str, Any], pieces: list[str]
) -> None:
    model = Scripted()
    model.pieces = pieces
    model.failure = RequestError("That is too much.", param=field)
    with inside(model) as (http, _):
        answer = http.post(PATH, json={**ASKED, "model": "any", **way})
        if "background" in way:
            work_on(http, answer.json()["id"])
            answer = http.get(f"{PATH}/{answer.json()['id']}")

    if answer.headers["content-type"].startswith("text/event-stream"):
        *_, error, failed = events(answer)
        assert (error["param"], failed["response"]["error"]["param"]) == (name, name)
    else:
        assert answer.json()["error"]["param"] == name


# --- Workers, and who ends their work ---


def test_a_worker_that_meets_a_bug_ends_the_response_as_failed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def buggy(*_: object) -> None:
        raise ZeroDivisionError("a secret reason")

    with inside() as (http, _):
        response_id = posted(http)
        monkeypatch.setattr(ResponseBuilder, "finish", buggy)
        work_on(http, response_id)
        kept = http.get(f"{PATH}/{response_id}").json()
        log = events(http.get(f"{PATH}/{response_id}?stream=true"))

    assert kept["status"] == "failed"
    assert kept["error"]["code"] == "internal_error"
    assert "secret" not in str(log)
    assert log[-1]["response"] == kept


def test_a_response_that_is_refused_when_its_turn_comes_has_failed(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def refused(*_: object, **__: object) -> None:
        raise ContextLengthError(2, 1)

    with inside() as (http, _):
        response_id = posted(http)
        monkeypatch.setattr(ChatService, "open", refused)
        work_on(http, response_id)
        kept = http.get(f"{PATH}/{response_id}").json()

    assert kept["status"] == "failed"
    assert kept["error"]["code"] == "context_length_exceeded"
    assert "response failed" not in caplog.text  # that is for bugs


def test_each_response_gives_back_what_it_was_admitted_with() -> None:
    with inside(concurrent_calls_per_key=1, request_timeout_seconds=1) as (http, _):
        for _ in range(3):
            response_id = posted(http)
            work_on(http, response_id)

            assert http.get(f"{PATH}/{response_id}").json()["status"] == "completed"


def test_a_worker_whose_response_is_deleted_before_its_first_step_leaves_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    begin = ResponseStore.begin

    async def deleted(store: ResponseStore, name: str, *, attempts: int) -> int:
        number = await begin(store, name, attempts=attempts)
        await store.redis.delete(record_key(name))
        return number

    with inside() as (http, _):
        response_id = posted(http)
        monkeypatch.setattr(ResponseStore, "begin", deleted)
        work_on(http, response_id)

        assert http.get(f"{PATH}/{response_id}").status_code == 404


def test_a_worker_whose_response_has_ended_meanwhile_asks_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def gone(*_: object) -> None:
        return None

    with inside() as (http, _):
        response_id = posted(http)
        monkeypatch.setattr(ResponseStore, "request", gone)
        work_on(http, response_id)

    assert "response failed" not in caplog.text


def test_a_response_that_is_new_and_one_that_has_just_begun_are_not_swept_up() -> None:
    with inside() as (http, state):
        response_id = posted(http)
        silent = state["responses"].store.silent
        waiting = call(http, silent, 60)
        call(http, state["redis"].zadd, LIVE, {response_id: 1})
        begin_and_die(http, response_id)
        begun = call(http, silent, 60)

    assert (waiting, begun) == ([], [])


def test_a_sweep_looks_after_a_number_of_responses_and_the_oldest_come_first() -> None:
    with inside() as (http, state):
        newer, older = posted(http), posted(http)
        call(http, state["redis"].zadd, LIVE, {newer: 2, older: 1})
        silent = state["responses"].store.silent

        assert call(http, lambda: silent(60, limit=1)) == [older]
        assert call(http, silent, 60) == [older, newer]


def test_one_that_ended_before_it_was_completed_is_swept_up_once() -> None:
    with inside() as (http, state):
        response_id = posted(http)
        http.post(f"{PATH}/{response_id}/cancel")
        call(http, state["redis"].zadd, LIVE, {response_id: 1})
        sweep = state["responses"].background.sweep

        assert call(http, sweep, -1) == [response_id]
        assert call(http, sweep, -1) == []


@pytest.mark.parametrize(
    ("died", "status", "code"),
    [(1, "completed", None), (2, "failed", "response_attempts_exhausted")],
)
def test_attempts_that_come_to_nothing_are_followed_by_as_many_as_are_allowed(
    died: int, status: str, code: str | None
) -> None:
    with inside(job_attempts=2) as (http, _):
        response_id = posted(http)
        for _ in range(died):
            begin_and_die(http, response_id)
        work_on(http, response_id)
        kept = http.get(f"{PATH}/{response_id}").json()

    assert kept["status"] == status
    assert (kept["error"] or {}).get("code") == code


def test_a_failure_brings_no_deleted_response_back() -> None:
    with inside() as (http, state):
        response_id = posted(http)
        http.delete(f"{PATH}/{response_id}")
        failure = RequestError("refused")
        call(http, state["responses"].background.fail, response_id, failure)

        assert http.get(f"{PATH}/{response_id}").status_code == 404
        assert call(http, state["redis"].keys, f"response:*{response_id}*") == []


def test_the_time_of_an_end_is_kept_for_whoever_announces_it() -> None:
    with inside() as (http, state):
        response_id = posted(http)
        work_on(http, response_id)
        ended = call(http, state["responses"].store.find, response_id, None)

    assert ended.ended_at >= ended.response.created_at


def test_the_trace_of_a_caller_goes_on_in_the_background() -> None:
    traces: list[str | None] = []

    class Traced(Scripted):
        async def stream(
            self, request: ChatCompletionRequest, call: CallContext
        ) -> AsyncIterator[Delta | Usage]:
            traces.append(current_trace_id())
            async for item in super().stream(request, call):
                yield item

    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    with inside(Traced()) as (http, _):
        traced = {"traceparent": f"00-{trace}-00f067aa0ba902b7-01"}
        asked = {**QUEUED, "model": "any"}
        work_on(http, http.post(PATH, json=asked, headers=traced).json()["id"])

    assert traces == [trace]


def test_a_worker_that_was_cut_off_by_a_cancel_reports_no_failure(
    caplog: pytest.LogCaptureFixture,
) -> None:
    model = Scripted()
    model.silent, model.late = True, ["d", "e"]
    with inside(model) as (http, _):
        response_id = posted(http, {**QUEUED, "model": "any"})
        runner = runner_of(http)
        assert http.portal is not None
        working = http.portal.start_task_soon(runner.run, response_id)
        wait_until(lambda: model.produced == 3, what="the first words")
        http.post(f"{PATH}/{response_id}/cancel")
        model.silent = False
        working.result(20)
        kept = http.get(f"{PATH}/{response_id}").json()

    assert kept["status"] == "cancelled"
    assert "response failed" not in caplog.text


def test_a_worker_tells_three_times_in_a_lease_that_it_lives(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pauses: list[float] = []

    @asynccontextmanager
    async def noted(seconds: float, _: object) -> AsyncIterator[None]:
        pauses.append(seconds)
        yield

    monkeypatch.setattr(background, "repeating", noted)
    with inside() as (http, _):
        lease = runner_of(http).lease
        work_on(http, posted(http))

    assert pauses == [lease / 3]


def test_a_shutdown_and_a_wait_for_limits_take_no_time_from_a_response() -> None:
    model = Scripted()
    with inside(model) as (http, _):
        before = time.monotonic()
        work_on(http, posted(http, {**QUEUED, "model": "any"}))
    (context,) = model.contexts

    assert context.detached
    assert context.deadline is not None
    assert context.deadline > before + MAX_WAIT_SECONDS


def test_what_a_model_said_before_it_failed_is_counted_and_the_error_names_it() -> None:
    model = Scripted()
    model.failure = RuntimeError("broken")
    with inside(model) as (http, _):
        response_id = posted(http, {**QUEUED, "model": "any"})
        work_on(http, response_id)
        kept = http.get(f"{PATH}/{response_id}").json()
        *_, error, _ = events(http.get(f"{PATH}/{response_id}?stream=true"))

    assert kept["status"] == "failed"
    assert kept["usage"]["output_tokens"] > 0
    assert error["error"]["request_id"] == response_id


def test_a_worker_announces_no_end_that_it_did_not_write(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    published: list[str] = []

    async def publish(_: object, __: str, news: WebhookEvent) -> list[str]:
        published.append(news.type)
        return []

    async def moved(*_: object, **__: object) -> str:
        return "moved"

    monkeypatch.setattr(WebhookStore, "publish", publish)
    monkeypatch.setattr(ResponseStore, "end", moved)
    with inside() as (http, _):
        work_on(http, posted(http))

    assert published == []


def test_a_response_whose_events_are_lost_is_worked_on_all_the_same() -> None:
    with inside() as (http, state):
        response_id = posted(http)
        call(http, state["redis"].delete, events_key(response_id))
        work_on(http, response_id)

        assert http.get(f"{PATH}/{response_id}").json()["status"] == "completed"


def test_a_response_whose_events_are_lost_can_be_cancelled() -> None:
    with inside() as (http, state):
        response_id = posted(http)
        call(http, state["redis"].delete, events_key(response_id))
        cancelled = http.post(f"{PATH}/{response_id}/cancel").json()

    assert cancelled["status"] == "cancelled"


def test_one_that_is_not_there_any_more_is_swept_away() -> None:
    with inside() as (http, state):
        response_id = posted(http)
        call(http, state["redis"].delete, record_key(response_id))
        sweep = state["responses"].background.sweep

        assert call(http, sweep, -1) == [response_id]
        assert call(http, sweep, -1) == []


def test_a_worker_that_another_one_has_overtaken_does_not_begin(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    begin = ResponseStore.begin

    async def overtaken(store: ResponseStore, name: str, *, attempts: int) -> int:
        number = await begin(store, name, attempts=attempts)
        await begin(store, name, attempts=attempts)
        return number

    with inside() as (http, _):
        response_id = posted(http)
        with monkeypatch.context() as patch:
            patch.setattr(ResponseStore, "begin", overtaken)
            work_on(http, response_id)
        meanwhile = http.get(f"{PATH}/{response_id}").json()["status"]
        work_on(http, response_id)
        ended = http.get(f"{PATH}/{response_id}").json()["status"]

    assert (meanwhile, ended) == ("in_progress", "completed")


def test_a_worker_says_that_it_lives_while_the_model_is_silent() -> None:
    model = Scripted()
    model.silent = True
    with inside(model) as (http, state):
        response_id = posted(http, {**QUEUED, "model": "any"})
        runner = runner_of(http)
        runner.lease = 0.3
        assert http.portal is not None
        working = http.portal.start_task_soon(runner.run, response_id)
        wait_until(lambda: model.started == 1, what="the work")
        call(http, state["redis"].zadd, LIVE, {response_id: 1})

        def last_sign() -> bool:
            score: float = call(http, state["redis"].zscore, LIVE, response_id)
            return score > 1

        wait_until(last_sign, what="a sign of life")
        model.silent = False
        working.result(20)
        left = call(http, state["redis"].zscore, LIVE, response_id)
        call(http, state["responses"].store.alive, response_id)

        assert left is None  # it is over
        assert call(http, state["redis"].zscore, LIVE, response_id) is None


def test_a_worker_that_has_written_nothing_cannot_write_after_a_cancel() -> None:
    with inside() as (http, state):
        response_id = posted(http)
        store, log = state["responses"].store, state["responses"].log

        async def three_attempts() -> None:
            for _ in range(3):
                await store.begin(response_id, attempts=5)

        call(http, three_attempts)
        http.post(f"{PATH}/{response_id}/cancel")
        *_, last = call(http, log.all, response_id)

    assert numbers(last.id)[0] > 3


def test_words_that_a_worker_still_holds_are_not_added_after_a_cancel() -> None:
    with inside() as (http, _):
        response_id = posted(http)
        begin_and_die(http, response_id, said="Once")
        path = f"{PATH}/{response_id}?stream=true"
        http.post(f"{PATH}/{response_id}/cancel")
        whole = events(http.get(path))

        async def write_on() -> None:
            log = runner_of(http).event_log
            writer = EventWriter(log, events_key(response_id), attempt=1)
            writer.count = len(whole) - 1  # all but the last one, which it has not seen
            for _ in range(3):
                await writer.add("response.output_text.delta", "{}")
            await writer.flush()

        with pytest.raises(FencedError):
            call(http, write_on)
        again = events(http.get(path))

    assert whole[-1]["response"]["status"] == "cancelled"
    assert again == whole


def test_cancelling_tries_again_while_the_worker_writes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    end = ResponseStore.end
    outcomes: list[str] = []
    published: list[str] = []

    async def publish(_: object, __: str, news: WebhookEvent) -> list[str]:
        published.append(news.type)
        return []

    monkeypatch.setattr(WebhookStore, "publish", publish)

    async def late(*args: Any, **given: Any) -> str:
        outcomes.append("moved")
        return "moved" if len(outcomes) < 3 else await end(*args, **given)

    with inside() as (http, _):
        response_id = posted(http)
        monkeypatch.setattr(ResponseStore, "end", late)
        cancelled = http.post(f"{PATH}/{response_id}/cancel").json()

    assert len(outcomes) == 3
    assert published == ["response.cancelled"]
    assert cancelled["status"] == "cancelled"


def test_cancelling_what_is_written_for_ever_is_a_503(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def moved(*_: object, **__: object) -> str:
        return "moved"

    with inside() as (http, _):
        response_id = posted(http)
        monkeypatch.setattr(ResponseStore, "end", moved)
        answer = http.post(f"{PATH}/{response_id}/cancel")

    assert answer.status_code == 503
    assert answer.headers["x-should-retry"] == "true"


def test_an_end_that_nobody_heard_of_is_announced_as_the_same_event(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    published: list[WebhookEvent] = []

    async def publish(_: object, __: str, news: WebhookEvent) -> list[str]:
        published.append(news)
        return []

    monkeypatch.setattr(WebhookStore, "publish", publish)
    with inside() as (http, state):
        response_id = posted(http)
        work_on(http, response_id)  # which announces it
        call(http, state["redis"].zadd, LIVE, {response_id: 1})  # and dies then
        call(http, state["redis"].hset, record_key(response_id), "ended_at", 7)
        swept = call(http, state["responses"].background.sweep, 60)
        again = call(http, state["responses"].background.sweep, 60)
    first, second = published

    assert (swept, again) == ([response_id], [])
    assert (second.id, second.data, second.type) == (first.id, first.data, first.type)
    assert second.created_at == 7  # when it ended, and not when it was announced


def test_a_key_whose_first_request_died_after_it_was_kept_gets_that_response() -> None:
    with inside() as (http, state):
        key = {"Idempotency-Key": "one"}
        response_id = http.post(PATH, json=QUEUED, headers=key).json()["id"]
        work_on(http, response_id)
        (name,) = call(http, state["redis"].keys, "idempotency:*")
        call(http, state["redis"].hdel, name, "answer", "until")
        again = http.post(PATH, json=QUEUED, headers=key).json()

    assert again["id"] == response_id
    assert again["status"] == "completed"


# --- The wire ---


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_each_fault_of_the_wire_works_on_this_route(stream: bool) -> None:
    with inside() as (http, _):

        def ask(fault: str) -> httpx2.Response:
            asked = {**ASKED, "model": fault, "stream": stream}
            return http.post(PATH, json=asked)

        page = ask("fault-html-502")
        plain = ask("fault-wrong-content-type")
        cut = ask("fault-truncated")
        garbage = ask("fault-garbage")

    assert page.status_code == 502
    assert page.headers["content-type"].startswith("text/html")
    assert plain.headers["content-type"].startswith("text/plain")
    assert "response.completed" not in cut.text
    assert "response.completed" not in garbage.text
    if not stream:
        for answer in (cut, garbage):
            with pytest.raises(ValueError, match=r"JSON|Expecting|Unterminated"):
                answer.json()


def test_leaving_a_whole_answer_in_the_foreground_stops_the_work() -> None:
    with staged() as (http, model):
        model.silent = True
        body = json.dumps({"model": "any", "input": "x"})
        lines = [f"POST {PATH} HTTP/1.1", "host: localhost"]
        lines += [f"{name}: {value}" for name, value in HEADERS.items()]
        lines += ["content-type: application/json", f"content-length: {len(body)}"]
        place = (http.base_url.host, http.base_url.port or 80)
        with socket.create_connection(place) as connection:
            connection.sendall("\r\n".join([*lines, "", body]).encode("utf-8"))
            wait_until(lambda: model.started == 1, what="the work")
        wait_until(lambda: model.closed == 1, what="the end of the work")


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_a_call_that_fails_at_once_gives_its_slot_back(stream: bool) -> None:
    model = Scripted()
    model.pieces, model.failure = [], RuntimeError("broken")
    asked = {"model": "any", "input": "x", "stream": stream}
    with inside(model, concurrent_calls_per_key=1) as (http, _):
        statuses = [http.post(PATH, json=asked).status_code for _ in range(3)]
        model.failure = None
        works = http.post(PATH, json=asked)

    assert statuses == [500] * 3
    assert works.status_code == 200


def test_looking_after_responses_is_counted_as_managing() -> None:
    app = create_app(settings())
    few = dataclasses.replace(management_limit, requests=4)
    app.dependency_overrides[management_limit] = few
    with TestClient(app, headers=HEADERS) as http:
        statuses = [
            http.get(f"{PATH}/resp_x").status_code,
            http.get(f"{PATH}/resp_x/input_items").status_code,
            http.post(f"{PATH}/resp_x/cancel").status_code,
            http.delete(f"{PATH}/resp_x").status_code,
            http.get(f"{PATH}/resp_x").status_code,
        ]

    assert statuses == [404, 404, 404, 404, 429]
