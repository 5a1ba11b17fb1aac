"""How much is kept, for how long, and what makes room for what."""

from typing import Any

from starlette.testclient import TestClient

from examples.full_app.main import create_app
from examples.full_app.responses.store import events_key, record_key
from tests.full_app.conftest import settings
from tests.full_app.responses.working import work_on
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


def used_bytes(client: TestClient) -> int:
    state: Any = client.app_state
    assert client.portal is not None
    used: int = client.portal.call(state["responses"].store.used_bytes, "key:alpha")
    return used


def test_the_oldest_responses_make_room_for_the_newest() -> None:
    with inside(response_bytes_per_caller=ROOM) as client:
        ids = [client.post(PATH, json=LARGE).json()["id"] for _ in range(8)]
        found = [client.get(f"{PATH}/{each}").status_code for each in ids]

        assert found[0] == 404
        assert found[-1] == 200
        assert found == sorted(found, reverse=True)
        assert 0 < used_bytes(client) <= ROOM


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


def test_what_is_deleted_gives_its_room_back() -> None:
    with inside() as client:
        ids = [client.post(PATH, json=LARGE).json()["id"] for _ in range(3)]
        full = used_bytes(client)
        for each in ids:
            client.delete(f"{PATH}/{each}")

        assert full > 27_000
        assert used_bytes(client) == 0


def test_a_response_and_its_events_have_a_lifetime() -> None:
    with inside(response_keep_seconds=100, resume_seconds=50) as client:
        made = client.post(PATH, json=LARGE).json()["id"]
        queued = client.post(PATH, json={**LARGE, "background": True}).json()["id"]
        work_on(client, queued)

        assert 0 < ask_redis(client, "ttl", record_key(made)) <= 100
        assert 0 < ask_redis(client, "ttl", record_key(queued)) <= 100
        assert 0 < ask_redis(client, "ttl", events_key(queued)) <= 50
        assert ask_redis(client, "hget", record_key(queued), "request") is None


def test_redis_holds_nothing_of_a_response_that_is_not_stored() -> None:
    with inside() as client:
        client.post(PATH, json={**LARGE, "input": "a secret word", "store": False})
        keys = ask_redis(client, "keys", "response*")

        assert keys == []
