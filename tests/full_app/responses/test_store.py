"""How much is kept, for how long, and what makes room for what."""

from typing import Any

import pytest
from starlette.testclient import TestClient

from examples.full_app.main import create_app
from examples.full_app.responses.errors import ResponseNotFoundError
from examples.full_app.responses.store import (
    LIVE,
    LIVE_SECONDS,
    RECORD_BYTES,
    events_key,
    record_key,
)
from tests.full_app.conftest import OTHER_KEY, settings
from tests.full_app.responses.working import begin_and_die, work_on
from tests.full_app.routes.test_responses import PATH
from tests.full_app.upstreams import HEADERS

ROOM = 64 * 1024
LARGE = {"model": "offline-echo", "input": "x" * 9_000, "max_output_tokens": 1}


def inside(**given: object) -> TestClient:
    app = create_app(settings(job_worker=False, **given))
    return TestClient(app, headers=HEADERS)


def ask_redis(client: TestClient, name: str, *args: Any) -> Any:
    state: Any = client.app_state
    assert client.portal is not None
    return client.portal.call(getattr(state["redis"], name), *args)


def used_bytes(client: TestClient, owner: str = "key:alpha") -> int:
    state: Any = client.app_state
    assert client.portal is not None
    used: int = client.portal.call(state["responses"].store.used_bytes, owner)
    return used


def kept_bytes(client: TestClient, response_id: str) -> int:
    """What Redis holds for a response: its texts, its events, and what they need."""
    record = ask_redis(client, "hgetall", record_key(response_id))
    texts = [record.get(name, "") for name in ("response", "items", "request")]
    entries = ask_redis(client, "xrange", events_key(response_id))
    texts += [fields["data"] for _, fields in entries]
    return sum(len(text.encode("utf-8")) for text in texts) + RECORD_BYTES


def test_a_response_takes_as_much_room_as_redis_has_bytes_of_it() -> None:
    asked = {**LARGE, "input": "ä" * 1_000}
    with inside() as client:
        made = client.post(PATH, json=asked).json()["id"]
        foreground = used_bytes(client)
        queued = client.post(PATH, json={**asked, "background": True}).json()["id"]

        assert foreground == kept_bytes(client, made)
        assert used_bytes(client) - foreground == kept_bytes(client, queued)


def test_the_oldest_responses_make_room_for_the_newest() -> None:
    with inside(response_bytes_per_caller=ROOM) as client:
        ids = [client.post(PATH, json=LARGE).json()["id"] for _ in range(8)]
        found = [client.get(f"{PATH}/{each}").status_code for each in ids]

        assert found[0] == 404
        assert found[-1] == 200
        assert found == sorted(found, reverse=True)
        assert 0 < used_bytes(client) <= ROOM


def test_a_response_that_makes_room_for_others_is_gone_with_its_events() -> None:
    with inside(response_bytes_per_caller=ROOM) as client:
        old = client.post(PATH, json={**LARGE, "background": True}).json()["id"]
        work_on(client, old)
        before = ask_redis(client, "keys", f"response:*{old}*")
        for _ in range(8):
            client.post(PATH, json=LARGE)

        assert len(before) == 2
        assert ask_redis(client, "keys", f"response:*{old}*") == []


def test_a_response_that_is_larger_than_the_room_is_answered_and_not_kept() -> None:
    with inside(response_bytes_per_caller=ROOM) as client:
        made = client.post(PATH, json={**LARGE, "input": "x" * 70_000})

        assert made.status_code == 200
        assert made.json()["store"] is False
        assert client.get(f"{PATH}/{made.json()['id']}").status_code == 404


def test_what_runs_in_the_background_is_not_forgotten_for_others() -> None:
    with inside(response_bytes_per_caller=ROOM) as client:
        running = client.post(PATH, json={**LARGE, "background": True}).json()["id"]
        for _ in range(8):
            client.post(PATH, json=LARGE)
        work_on(client, running)

        assert client.get(f"{PATH}/{running}").json()["status"] == "incomplete"


def test_an_answer_for_which_running_ones_leave_no_room_is_not_kept() -> None:
    with inside(response_bytes_per_caller=ROOM) as client:
        asked = {**LARGE, "background": True}
        running = [client.post(PATH, json=asked).json()["id"] for _ in range(2)]
        made = client.post(PATH, json={**LARGE, "input": "x" * 30_000})
        statuses = [client.get(f"{PATH}/{each}").status_code for each in running]

    assert made.json()["store"] is False
    assert statuses == [200, 200]


@pytest.mark.parametrize("background", [False, True], ids=["foreground", "background"])
def test_what_has_no_room_in_any_case_pushes_nothing_out(background: bool) -> None:
    with inside(response_bytes_per_caller=ROOM) as client:
        kept = client.post(PATH, json=LARGE).json()["id"]
        before = used_bytes(client)
        asked = {**LARGE, "input": "x" * 70_000, "background": background}
        status = client.post(PATH, json=asked).status_code

        assert status == (409 if background else 200)
        assert client.get(f"{PATH}/{kept}").status_code == 200
        assert used_bytes(client) == before


def test_one_that_has_ended_takes_room_however_large_it_has_become() -> None:
    with inside(response_bytes_per_caller=ROOM) as client:
        asked = {**LARGE, "input": "x" * 12_000, "background": True}
        asked["max_output_tokens"] = 3_000
        ids = [client.post(PATH, json=asked).json()["id"] for _ in range(2)]
        for each in ids:
            work_on(client, each)
        found = [client.get(f"{PATH}/{each}").status_code for each in ids]

        assert found == [404, 200]
        assert used_bytes(client) > ROOM
        newest = client.post(PATH, json=LARGE).json()["id"]
        assert client.get(f"{PATH}/{ids[1]}").status_code == 404
        assert client.get(f"{PATH}/{newest}").status_code == 200
        assert 0 < used_bytes(client) <= ROOM


def test_one_caller_takes_no_room_from_another() -> None:
    theirs = {"Authorization": f"Bearer {OTHER_KEY}"}
    with inside(response_bytes_per_caller=ROOM) as client:
        mine = client.post(PATH, json=LARGE).json()["id"]
        for _ in range(8):
            client.post(PATH, json=LARGE, headers=theirs)

        assert client.get(f"{PATH}/{mine}").status_code == 200
        assert 0 < used_bytes(client) < ROOM / 2
        assert ROOM / 2 < used_bytes(client, "key:beta") <= ROOM


def test_what_a_response_in_the_background_wrote_counts_with_its_events() -> None:
    long = {**LARGE, "max_output_tokens": 2_000}  # it reads 9,000 bytes, writes 8,000
    with inside() as client:
        client.post(PATH, json=long)
        foreground = used_bytes(client)
        queued = client.post(PATH, json={**long, "background": True}).json()["id"]
        waiting = used_bytes(client) - foreground
        work_on(client, queued)
        ended = used_bytes(client) - foreground

        assert foreground > 16_000  # what was read, and what was written
        assert 18_000 < waiting < 30_000  # what was read, and the request
        assert ended > 50_000  # and each event that says the text once more
        client.delete(f"{PATH}/{queued}")
        assert used_bytes(client) == foreground


def test_events_from_before_a_worker_began_count_too() -> None:
    asked = {**LARGE, "instructions": "y" * 10_000, "background": True}
    with inside() as client:
        work_on(client, client.post(PATH, json=asked).json()["id"])

        # Read, answered, and in three events before the first word.
        assert used_bytes(client) > 9_000 + 10_000 + 3 * 10_000


def test_what_was_written_before_a_cancel_counts_with_its_events() -> None:
    with inside() as client:
        queued = client.post(PATH, json={**LARGE, "background": True}).json()["id"]
        begin_and_die(client, queued, said="x" * 10_000)
        client.post(f"{PATH}/{queued}/cancel")

        assert used_bytes(client) > 9_000 + 2 * 10_000  # read, written, and its event


def test_a_response_whose_time_has_come_is_gone_on_every_path() -> None:
    with inside() as client:
        made = client.post(PATH, json=LARGE).json()
        path, item = f"{PATH}/{made['id']}", made["output"][0]["id"]
        ask_redis(client, "pexpire", record_key(made["id"]), 0)
        chained = {**LARGE, "previous_response_id": made["id"]}
        referring = {**LARGE, "input": [{"type": "item_reference", "id": item}]}
        answers = [
            client.get(path),
            client.get(f"{path}/input_items"),
            client.get(f"{path}?stream=true"),
            client.post(f"{path}/cancel"),
            client.delete(path),
            client.post(PATH, json=referring),
        ]
        chain = client.post(PATH, json=chained)

        assert [answer.status_code for answer in answers] == [404] * 6
        assert chain.json()["code"] == "previous_response_not_found"


def test_an_id_of_another_form_names_nothing() -> None:
    with inside() as client:
        made = client.post(PATH, json=LARGE).json()["id"]
        ask_redis(client, "rename", record_key(made), record_key("resp_short"))

        assert client.get(f"{PATH}/resp_short").status_code == 404


def test_room_comes_back_when_a_response_expires() -> None:
    with inside(response_keep_seconds=100) as client:
        old = client.post(PATH, json=LARGE).json()["id"]
        full = used_bytes(client)
        ask_redis(client, "zadd", "responses:key:alpha:expiry", {old: 1})
        client.post(PATH, json=LARGE)

        assert used_bytes(client) == pytest.approx(full, abs=100)


def test_room_comes_back_from_the_old_also_when_the_new_one_is_too_large() -> None:
    with inside(response_bytes_per_caller=ROOM) as client:
        old = client.post(PATH, json=LARGE).json()["id"]
        ask_redis(client, "zadd", "responses:key:alpha:expiry", {old: 1})
        client.post(PATH, json={**LARGE, "input": "x" * 70_000})

        assert used_bytes(client) == 0


def test_what_is_deleted_gives_its_room_back() -> None:
    with inside() as client:
        ids = [client.post(PATH, json=LARGE).json()["id"] for _ in range(3)]
        full = used_bytes(client)
        for each in ids:
            client.delete(f"{PATH}/{each}")

        assert full > 27_000
        sizes = ask_redis(client, "hgetall", "responses:key:alpha:bytes")
        assert sizes == {"total": "0"}


def test_the_store_deletes_for_the_owner_only_and_then_all_of_it() -> None:
    with inside() as client:
        queued = client.post(PATH, json={**LARGE, "background": True}).json()["id"]
        state: Any = client.app_state
        delete = state["responses"].store.delete
        assert client.portal is not None
        with pytest.raises(ResponseNotFoundError):
            client.portal.call(delete, queued, "key:beta")

        assert client.get(f"{PATH}/{queued}").status_code == 200
        client.portal.call(delete, queued, "key:alpha")
        assert ask_redis(client, "keys", f"response:*{queued}*") == []
        assert ask_redis(client, "zscore", LIVE, queued) is None


def test_an_end_that_comes_after_its_response_was_deleted_takes_no_room() -> None:
    with inside() as client:
        queued = client.post(PATH, json={**LARGE, "background": True}).json()["id"]
        state: Any = client.app_state
        store = state["responses"].store

        async def outcome() -> str:
            stored = await store.find(queued, None)
            await store.delete(queued, "key:alpha")
            ended = stored.response.model_copy(update={"status": "failed"})
            written: str = await store.end(stored, ended, "0-2", [], log_bytes=1_000)
            return written

        assert client.portal is not None
        assert client.portal.call(outcome) == "ended"
        assert used_bytes(client) == 0


def test_a_response_and_its_events_have_a_lifetime() -> None:
    with inside(response_keep_seconds=100, resume_seconds=50) as client:
        made = client.post(PATH, json=LARGE).json()["id"]
        queued = client.post(PATH, json={**LARGE, "background": True}).json()["id"]
        waiting = [
            ask_redis(client, "ttl", key(queued)) for key in (record_key, events_key)
        ]
        work_on(client, queued)

        assert min(waiting) > 100  # it must not be gone before it has its turn
        assert max(waiting) <= LIVE_SECONDS + 100
        for room in ("expiry", "bytes"):
            ttl = ask_redis(client, "ttl", f"responses:key:alpha:{room}")
            assert 0 < ttl <= LIVE_SECONDS + 100
        assert 0 < ask_redis(client, "ttl", record_key(made)) <= 100
        assert 0 < ask_redis(client, "ttl", record_key(queued)) <= 100
        assert 0 < ask_redis(client, "ttl", events_key(queued)) <= 50
        assert ask_redis(client, "hget", record_key(queued), "request") is None


def test_one_that_is_cancelled_before_it_began_has_the_same_lifetime() -> None:
    with inside(response_keep_seconds=100, resume_seconds=50) as client:
        queued = client.post(PATH, json={**LARGE, "background": True}).json()["id"]
        client.post(f"{PATH}/{queued}/cancel")

        assert 0 < ask_redis(client, "ttl", record_key(queued)) <= 100
        assert 0 < ask_redis(client, "ttl", events_key(queued)) <= 50


def test_redis_holds_nothing_of_a_response_that_is_not_stored() -> None:
    with inside() as client:
        client.post(PATH, json={**LARGE, "input": "a secret word", "store": False})
        keys = ask_redis(client, "keys", "response*")

        assert keys == []
