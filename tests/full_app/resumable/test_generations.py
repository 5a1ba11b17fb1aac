"""Streams that are resumed: every token once, after any cut, for their owner only."""

import json
from collections.abc import Iterator

import httpx2
import openai
import pytest
import redis

from tests.full_app.conftest import KEY, OTHER_KEY
from tests.full_app.scripted import Scripted, scripted
from tests.servers import wait_until

PATH = "/v1/chat/completions"
ASK = {
    "model": "gpt-4o-mini",
    "messages": [{"role": "user", "content": "Why do streams break?"}],
    "stream": True,
    "stream_options": {"include_usage": True},
}
RESUMABLE = {"X-Resumable": "true"}
Event = tuple[str, str]


def read(response: httpx2.Response, most: int | None = None) -> list[Event]:
    """Id and data of the events that a connection brings before it is cut."""
    found: list[Event] = []
    event_id = ""
    if most == 0:
        return found
    for line in response.iter_lines():
        if line.startswith("id: "):
            event_id = line[4:]
        elif line.startswith("data: "):
            found.append((event_id, line[6:]))
            if len(found) == most:
                break
    return found


def begin(
    http: httpx2.Client, most: int | None = None, **ask: object
) -> tuple[str, list[Event]]:
    """The address of a new resumable stream, and its first `most` events."""
    with http.stream("POST", PATH, json={**ASK, **ask}, headers=RESUMABLE) as response:
        assert response.status_code == 200
        return response.headers["content-location"], read(response, most)


def resume(
    http: httpx2.Client, where: str, last: str | None, most: int | None = None
) -> list[Event]:
    headers = {"Last-Event-ID": last} if last else {}
    with http.stream("GET", where, headers=headers) as response:
        assert response.status_code == 200, response.read()
        return read(response, most)


@pytest.mark.wire
def test_a_stream_cut_after_any_event_goes_on_with_the_next(
    http: httpx2.Client,
) -> None:
    where, whole = begin(http)
    assert whole[-1][1] == "[DONE]"
    assert [i for i, _ in whole] == [f"1-{n + 1}" for n in range(len(whole))]

    for cut in range(len(whole) - 1):
        assert whole[: cut + 1] + resume(http, where, whole[cut][0]) == whole
    assert resume(http, where, None) == whole


def test_a_running_stream_survives_cuts_everywhere(http: httpx2.Client) -> None:
    where, seen = begin(http, 1)
    while seen[-1][1] != "[DONE]":
        seen += resume(http, where, seen[-1][0], 7)

    assert [i for i, _ in seen] == [f"1-{n + 1}" for n in range(len(seen))]
    assert seen == resume(http, where, None)


def test_the_last_event_seen_means_there_is_nothing_more(http: httpx2.Client) -> None:
    where, whole = begin(http)
    again = http.get(where, headers={"Last-Event-ID": whole[-1][0]})

    assert (again.status_code, again.content) == (204, b"")


@pytest.mark.wire
@pytest.mark.parametrize("bad", ["1", "abc", "1-", "-1-1", "1-999999", "9-1", "0-0"])
def test_an_id_that_was_never_given_out_is_a_400(http: httpx2.Client, bad: str) -> None:
    where, _ = begin(http)
    answer = http.get(where, headers={"Last-Event-ID": bad})

    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "invalid_last_event_id"
    assert answer.json()["error"]["param"] == "Last-Event-ID"


def test_another_callers_stream_is_not_found(http: httpx2.Client) -> None:
    where, _ = begin(http)
    stranger = {"Authorization": f"Bearer {OTHER_KEY}"}
    wrong = [http.get(where, headers=stranger), http.delete(where, headers=stranger)]
    none = http.get(f"{PATH}/chatcmpl-none", headers=stranger)

    assert [each.status_code for each in [*wrong, none]] == [404, 404, 404]
    assert wrong[0].json()["error"]["message"] == none.json()["error"]["message"]


def test_a_stream_that_was_not_asked_to_be_resumable_has_no_ids_and_is_not_kept(
    http: httpx2.Client,
) -> None:
    answer = http.post(PATH, json=ASK)
    chunk = json.loads(answer.text.split("\n")[0].removeprefix("data: "))

    assert "id: " not in answer.text
    assert http.get(f"{PATH}/{chunk['id']}").status_code == 404


@pytest.mark.wire
def test_heartbeats_between_events_with_ids_do_not_trip_the_official_client() -> None:
    with scripted(heartbeat_seconds=0.05) as (url, provider):
        provider.silent = True
        with openai.OpenAI(base_url=f"{url}/v1", api_key=KEY, max_retries=0) as client:
            stream = client.chat.completions.create(
                model="any",
                messages=[{"role": "user", "content": "x"}],
                stream=True,
                extra_headers=RESUMABLE,
            )
            chunks = [next(stream) for _ in range(4)]
            with (
                httpx2.Client(
                    base_url=url, headers={"Authorization": f"Bearer {KEY}"}
                ) as http,
                http.stream("GET", f"{PATH}/{chunks[0].id}") as raw,
            ):
                lines = raw.iter_lines()
                assert ": ping" in (next(lines) for _ in range(50))
            provider.silent = False
            chunks += list(stream)

    assert "".join(c.choices[0].delta.content or "" for c in chunks) == "abc"
    assert chunks[-1].choices[0].finish_reason == "stop"


@pytest.fixture(scope="module")
def brief() -> Iterator[tuple[str, Scripted]]:
    """A service that waits half a second for a reader to come back."""
    with scripted(resume_grace_seconds=0.5) as found:
        yield found


@pytest.fixture
def running(brief: tuple[str, Scripted]) -> Iterator[tuple[httpx2.Client, Scripted]]:
    brief[1].__dict__.update(Scripted().__dict__)
    headers = {"Authorization": f"Bearer {KEY}"}
    with httpx2.Client(base_url=brief[0], headers=headers, timeout=10) as client:
        yield client, brief[1]


def error_code(event: Event) -> str:
    code: str = json.loads(event[1])["error"]["code"]
    return code


def test_an_answer_nobody_comes_back_for_is_stopped_and_settled(
    running: tuple[httpx2.Client, Scripted],
) -> None:
    http, provider = running
    provider.silent = True
    where, seen = begin(http, 2)
    assert provider.closed == 0
    wait_until(lambda: provider.closed == 1)

    assert error_code(resume(http, where, seen[-1][0])[-1]) == "stream_abandoned"


def test_a_reader_keeps_an_answer_running_past_the_grace(
    running: tuple[httpx2.Client, Scripted],
) -> None:
    http, provider = running
    provider.silent = True
    with http.stream("POST", PATH, json=ASK, headers=RESUMABLE) as response:
        lines = response.iter_lines()
        other, seen = begin(http, 2)  # nobody comes back for this one
        wait_until(lambda: provider.closed == 1)
        provider.silent = False
        rest = [line for line in lines if line.startswith("data: ")]

    assert rest[-1] == "data: [DONE]"
    assert error_code(resume(http, other, seen[-1][0])[-1]) == "stream_abandoned"


def test_cancelling_stops_the_provider_and_tells_the_reader(
    running: tuple[httpx2.Client, Scripted],
) -> None:
    http, provider = running
    provider.silent = True
    with http.stream("POST", PATH, json=ASK, headers=RESUMABLE) as response:
        where = response.headers["content-location"]
        assert http.delete(where).status_code == 204
        events = read(response)

    assert error_code(events[-1]) == "cancelled"
    wait_until(lambda: provider.closed == 1)
    assert http.delete(where).status_code == 204


@pytest.mark.wire
def test_events_that_are_gone_are_410_with_a_code(redis_server: str) -> None:
    with scripted(redis_url=f"{redis_server}/11") as (url, provider):
        headers = {"Authorization": f"Bearer {KEY}"}
        provider.pieces = [str(n) for n in range(20)]
        with (
            httpx2.Client(base_url=url, headers=headers, timeout=10) as http,
            redis.Redis.from_url(f"{redis_server}/11") as store,
        ):
            where, seen = begin(http)
            (key,) = store.keys("generation:*:events")
            store.xtrim(key, maxlen=5, approximate=False)
            lost = http.get(where, headers={"Last-Event-ID": seen[2][0]})
            kept = resume(http, where, seen[-6][0])
            from_start = http.get(where)
            store.delete(key, *store.keys("generation:*:alive"))
            gone = http.get(where, headers={"Last-Event-ID": seen[2][0]})

    assert [each.status_code for each in (lost, from_start, gone)] == [410] * 3
    assert gone.json()["error"]["code"] == "events_expired"
    assert kept == seen[-5:]


def test_any_process_resumes_and_ends_a_stream_whose_process_died(
    redis_server: str,
) -> None:
    url = f"{redis_server}/12"
    with (
        scripted(redis_url=url) as (first, provider),
        scripted(redis_url=url) as (second, _),
        redis.Redis.from_url(url) as store,
    ):
        headers = {"Authorization": f"Bearer {KEY}"}
        provider.silent = True
        with httpx2.Client(base_url=first, headers=headers, timeout=10) as http:
            where, seen = begin(http, 2)
        with (
            httpx2.Client(base_url=second, headers=headers, timeout=10) as http,
            http.stream("GET", where, headers={"Last-Event-ID": seen[-1][0]}) as rest,
        ):
            (key,) = store.keys("generation:*:events")
            store.xadd(key, {"event": "error", "data": '{"error":{}}'}, id="2-1")
            events = read(rest)
            provider.endless, provider.silent = True, False
        wait_until(lambda: provider.closed == 1)  # refused by Redis, it stops too

    assert events[-1] == ("2-1", '{"error":{}}')
    assert len(seen + events) == len({i for i, _ in seen + events})


def test_an_answer_that_a_reader_has_ended_is_one_line_of_the_log_and_no_bug(
    redis_server: str, caplog: pytest.LogCaptureFixture
) -> None:
    apart = f"{redis_server}/13"
    with (
        scripted(redis_url=apart, job_worker=False) as (url, provider),
        httpx2.Client(base_url=url, headers={"Authorization": f"Bearer {KEY}"}) as http,
        redis.Redis.from_url(apart) as store,
    ):
        provider.pieces, provider.silent = ["a", "b"], True
        where, _ = begin(http, 2)
        answer_id = where.rpartition("/")[2]
        last = {"event": "error", "data": "{}"}  # as if this process were gone
        store.xadd(f"generation:{{{answer_id}}}:events", last, id="2-1")
        provider.late, provider.silent = ["c"], False
        wait_until(lambda: provider.closed == 1, what="the end of the call")
        wait_until(lambda: "ended by a reader" in caplog.text, what="the line")

    lines = [one for one in caplog.records if one.name.endswith("resumable.writer")]
    assert [one.getMessage() for one in lines] == ["answer was ended by a reader"]
    assert [one.exc_info for one in lines] == [None]
