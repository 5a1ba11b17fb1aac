"""Records what the service keeps in Redis, for the tests of those that come after it.

`python -m tests.full_app.recorded.record` starts a Redis, an API process and a worker,
leaves work undone in every way a stop can, and writes all keys to `redis.json`. Record
again only when a format in Redis is meant to change: the point of the file is its age.
"""

import json
import signal
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx2
import redis

from tests.conftest import running_redis
from tests.servers import free_port, process, wait_for_http, wait_until

RECORDED = Path(__file__).with_name("redis.json")
KEY = "sk-test-recorded"
KEYS = [{"name": "alpha", "key": KEY, "budget_usd": "1"}]
IDEMPOTENCY_KEY = "recorded-1"
QUESTION = {
    "model": "gpt-4o-mini",
    "messages": [{"role": "user", "content": "What is a token?"}],
}


def text(value: bytes) -> str:
    """Bytes as JSON can hold them: each byte is one character."""
    return value.decode("latin-1")


def echo(words: str) -> dict[str, object]:
    """A chat request whose answer is what was asked."""
    return {
        "model": "offline-echo",
        "messages": [{"role": "user", "content": words}],
    }


def dump(store: Any) -> list[dict[str, Any]]:
    """All keys with their types, times to live in milliseconds and values."""
    keys = []
    for name in sorted(store.keys()):
        entry: dict[str, Any] = {
            "key": text(name),
            "type": text(store.type(name)),
            "ttl_ms": store.pttl(name),
        }
        match entry["type"]:
            case "string":
                entry["value"] = text(store.get(name) or b"")
            case "hash":
                entry["value"] = [
                    [text(field), text(value)]
                    for field, value in store.hgetall(name).items()
                ]
            case "zset":
                entry["value"] = [
                    [text(member), score]
                    for member, score in store.zrange(name, 0, -1, withscores=True)
                ]
            case "set":
                entry["value"] = sorted(map(text, store.smembers(name)))
            case "list":
                entry["value"] = [text(item) for item in store.lrange(name, 0, -1)]
            case "stream":
                entry |= dump_stream(store, name)
            case "none":
                continue  # its time ended meanwhile
            case other:
                raise NotImplementedError(other)
        keys.append(entry)
    return keys


def dump_stream(store: Any, name: bytes) -> dict[str, Any]:
    """The entries of a stream, its groups, and what each group has not acknowledged."""
    groups = []
    for group in store.xinfo_groups(name):
        pending = store.xpending_range(name, group["name"], "-", "+", 1_000)
        groups.append(
            {
                "name": text(group["name"]),
                "last_delivered_id": text(group["last-delivered-id"]),
                "pending": [
                    [text(one["message_id"]), text(one["consumer"])] for one in pending
                ],
            }
        )
    entries = [
        [text(entry_id), [[text(k), text(v)] for k, v in fields.items()]]
        for entry_id, fields in store.xrange(name)
    ]
    return {"value": entries, "groups": groups}


def load(store: Any, keys: list[dict[str, Any]]) -> None:
    """Write the keys that `dump` has read into an empty Redis."""
    for entry in keys:
        name = entry["key"].encode("latin-1")
        value = entry["value"]
        match entry["type"]:
            case "string":
                store.set(name, value.encode("latin-1"))
            case "hash":
                for field, content in value:
                    store.hset(name, field.encode("latin-1"), content.encode("latin-1"))
            case "zset":
                store.zadd(name, {m.encode("latin-1"): score for m, score in value})
            case "set":
                store.sadd(name, *(member.encode("latin-1") for member in value))
            case "list":
                store.rpush(name, *(item.encode("latin-1") for item in value))
            case "stream":
                load_stream(store, name, entry)
        if entry["ttl_ms"] > 0:
            store.pexpire(name, entry["ttl_ms"])


def load_stream(store: Any, name: bytes, entry: dict[str, Any]) -> None:
    """The entries under their ids; what was pending is pending again, for long."""
    for entry_id, fields in entry["value"]:
        pairs = {k.encode("latin-1"): v.encode("latin-1") for k, v in fields}
        store.xadd(name, pairs, id=entry_id)
    for group in entry["groups"]:
        store.xgroup_create(
            name, group["name"], id=group["last_delivered_id"], mkstream=True
        )
        for entry_id, consumer in group["pending"]:
            store.xclaim(
                name,
                group["name"],
                consumer,
                0,
                [entry_id],
                idle=3_600_000,
                force=True,
                justid=True,
            )


def main() -> None:
    """Record, and say how much was recorded."""
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        url, _ = stack.enter_context(running_redis(Path(folder)))
        env = {
            "REDIS_URL": url,
            "FULL_APP_API_KEYS": json.dumps(KEYS),
            "FULL_APP_JOB_WORKER": "0",
            "FULL_APP_ALLOW_LOOPBACK_WEBHOOKS": "1",
            "FULL_APP_WEBHOOK_SCHEDULE": "[0, 3600]",
            "FULL_APP_OFFLINE_PACE": "2",
        }
        port = free_port()
        server = ("-m", "uvicorn", "examples.full_app.main:app", "--port", str(port))
        stack.enter_context(process(*server, env=env))
        base = f"http://127.0.0.1:{port}"
        wait_for_http(f"{base}/health/ready")
        headers = {"Authorization": f"Bearer {KEY}"}
        http = stack.enter_context(
            httpx2.Client(base_url=base, headers=headers, timeout=30)
        )
        worker = stack.enter_context(process("-m", "examples.full_app.worker", env=env))
        recorded = leave_work(http, worker)
        with redis.Redis.from_url(url) as store:
            recorded["keys"] = dump(store)
    RECORDED.write_text(
        json.dumps(recorded, indent=1, ensure_ascii=True) + "\n", encoding="utf-8"
    )
    print(len(recorded["keys"]), "keys")


def leave_work(http: httpx2.Client, worker: Any) -> dict[str, Any]:
    """Everything the service keeps, some of it half done; what the tests compare."""
    endpoint = http.post(
        "/v1/webhooks", json={"url": f"http://127.0.0.1:{free_port()}/hook"}
    ).json()

    def job(*words: str) -> str:
        body = {"requests": [echo(each) for each in words]}
        made: str = http.post("/v1/jobs", json=body).json()["id"]
        return made

    def read(job_id: str) -> Any:
        return http.get(f"/v1/jobs/{job_id}").json()

    ended = job("ended")
    deliveries = f"/v1/webhooks/{endpoint['id']}/deliveries"
    wait_until(lambda: bool(http.get(deliveries).json()["data"]), what="a delivery")
    begun = job("quick", "word " * 400, "short")
    wait_until(lambda: bool(read(begun)["progress"]["done"] == 2), what="two items")
    worker.send_signal(signal.SIGKILL)
    worker.wait(10)
    queued = job("one", "two")
    once = http.post(
        "/v1/chat/completions",
        json=QUESTION,
        headers={"Idempotency-Key": IDEMPOTENCY_KEY},
    )
    stream = http.post(
        "/v1/chat/completions",
        json={**QUESTION, "stream": True},
        headers={"X-Resumable": "true"},
    )
    first = next(
        line.removeprefix("data: ")
        for line in stream.text.splitlines()
        if line.startswith("data: ")
    )
    return {
        "endpoint": endpoint,
        "jobs": {
            name: read(job_id)
            for name, job_id in {
                "ended": ended,
                "begun": begun,
                "queued": queued,
            }.items()
        },
        "idempotent": {"status": once.status_code, "body": once.text},
        "stream": {"id": json.loads(first)["id"], "text": stream.text},
        "usage": http.get("/v1/usage").json(),
    }


if __name__ == "__main__":
    main()
