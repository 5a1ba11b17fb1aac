"""Work that an earlier version left in Redis is finished by this one.

`redis.json` was recorded from the service as it was before its modules moved into
packages (see `record.py`). docket stores names of tasks and pickled arguments; a name
or a type that moved would leave jobs in the queue that nobody can run.
"""

import json
import pickletools
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
import redis

from examples.full_app.main import create_app
from tests.full_app.conftest import settings
from tests.full_app.recorded.record import (
    IDEMPOTENCY_KEY,
    KEY,
    KEYS,
    QUESTION,
    RECORDED,
    load,
)
from tests.full_app.routes.test_webhooks import receiving
from tests.servers import process, serve, wait_until

HEADERS = {"Authorization": f"Bearer {KEY}"}


@pytest.fixture(scope="module")
def recorded() -> Any:
    return json.loads(RECORDED.read_text(encoding="utf-8"))


@pytest.fixture
def restored(redis_server: str, recorded: Any) -> Iterator[str]:
    """The URL of a Redis that holds what was recorded, and nothing else."""
    url = f"{redis_server}/11"
    with redis.Redis.from_url(url) as store:
        store.flushdb()
        load(store, recorded["keys"])
        yield url
        store.flushdb()


@pytest.fixture
def http(restored: str) -> Iterator[httpx2.Client]:
    app = create_app(settings(redis_url=restored, api_keys=KEYS, job_worker=False))
    with (
        serve(app) as base,
        httpx2.Client(base_url=base, headers=HEADERS, timeout=30) as http,
    ):
        yield http


def test_jobs_and_deliveries_of_the_earlier_version_are_finished(
    restored: str, http: httpx2.Client, recorded: Any
) -> None:
    env = {
        "REDIS_URL": restored,
        "FULL_APP_API_KEYS": json.dumps(KEYS),
        "FULL_APP_ALLOW_LOOPBACK_WEBHOOKS": "1",
        "FULL_APP_OFFLINE_PACE": "0",
        "FULL_APP_JOB_LEASE_SECONDS": "1",
    }
    jobs = recorded["jobs"]
    endpoint = recorded["endpoint"]["id"]
    with receiving() as hooks:
        changed = http.post(
            f"/v1/webhook_endpoints/{endpoint}", json={"url": hooks.url}
        )
        make_due(restored)
        with process("-m", "examples.full_app.worker", env=env):
            for name in ("begun", "queued"):
                path = f"/v1/jobs/{jobs[name]['id']}"
                wait_until(lambda: http.get(path).json()["status"] == "succeeded")  # noqa: B023
            events = [json.loads(hooks.got.get(timeout=45)[1]) for _ in range(3)]
    begun = http.get(f"/v1/jobs/{jobs['begun']['id']}").json()

    assert changed.status_code == 200
    assert begun["attempt"] == jobs["begun"]["attempt"] + 1
    kept = [item for item in begun["results"] if item["attempt"] == 1]
    assert kept == without_unknown_fingerprints(jobs["begun"]["results"])
    assert {event["data"]["id"] for event in events} == {
        job["id"] for job in jobs.values()
    }


def without_unknown_fingerprints(items: list[Any]) -> list[Any]:
    """Items as they read now: a `system_fingerprint` that is unknown is left out."""
    for item in items:
        response = item["response"] or {}
        assert response.pop("system_fingerprint", None) is None
    return items


def make_due(url: str) -> None:
    """The recorded retry is due now: the clock of the test is not the recorder's."""
    with redis.Redis.from_url(url) as store:
        for task in store.zrange("full_app:queue", 0, -1):
            store.zadd("full_app:queue", {task: 1})


def test_what_has_ended_reads_as_it_did(http: httpx2.Client, recorded: Any) -> None:
    ended = recorded["jobs"]["ended"]
    ended["results"] = without_unknown_fingerprints(ended["results"])

    assert http.get(f"/v1/jobs/{ended['id']}").json() == ended
    usage = http.get("/v1/usage").json()
    assert {name: usage[name] for name in recorded["usage"]} == recorded["usage"]


def test_an_answer_kept_for_its_key_is_replayed_byte_for_byte(
    http: httpx2.Client, recorded: Any
) -> None:
    again = http.post(
        "/v1/chat/completions",
        json=QUESTION,
        headers={"Idempotency-Key": IDEMPOTENCY_KEY},
    )

    assert again.status_code == recorded["idempotent"]["status"]
    assert again.text == recorded["idempotent"]["body"]
    assert again.headers["idempotent-replayed"] == "true"


def test_a_recorded_stream_is_resumed_event_for_event(
    http: httpx2.Client, recorded: Any
) -> None:
    stream = recorded["stream"]
    path = f"/v1/chat/completions/{stream['id']}"
    frames = [part for part in stream["text"].split("\n\n") if part]
    second = frames[1].splitlines()[0].removeprefix("id: ")

    assert http.get(path).text == stream["text"]
    rest = http.get(path, headers={"Last-Event-ID": second}).text
    assert rest.split("\n\n")[:-1] == frames[2:]


def test_docket_carries_names_and_plain_values_and_no_path_of_a_module(
    recorded: Any,
) -> None:
    pickled = [
        value.encode("latin-1")
        for entry in recorded["keys"]
        if entry["key"].startswith("full_app:") and entry["type"] == "hash"
        for field, value in entry["value"]
        if field in {"args", "kwargs"}
    ]
    imports = {"GLOBAL", "STACK_GLOBAL", "INST", "REDUCE", "BUILD"}
    opcodes = {
        opcode.name for each in pickled for opcode, _, _ in pickletools.genops(each)
    }

    assert len(pickled) >= 8
    assert not opcodes & imports
