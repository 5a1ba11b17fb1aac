"""SIGTERM: unready, no new work, streams that end, exit status 0; twice: at once."""

import asyncio
import json
import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import httpx2
import pytest
from starlette.types import Message, Receive, Scope, Send
from websockets.sync.client import connect

from examples.full_app.lifecycle import Draining, ServerShuttingDownError
from examples.full_app.web.middleware.draining import DrainingMiddleware
from tests.full_app.conftest import KEY
from tests.servers import free_port, process, wait_for_http, wait_until

PATH = "/v1/chat/completions"
HEADERS = {"Authorization": f"Bearer {KEY}"}
ENV = {
    "REDIS_URL": "",
    "FULL_APP_API_KEYS": KEY,
    "FULL_APP_OFFLINE_PACE": "0.2",
    "FULL_APP_HEARTBEAT_SECONDS": "0.1",
}
signals = pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGTERM to catch")


def ask(model: str, *, stream: bool) -> dict[str, object]:
    """A request body."""
    messages = [{"role": "user", "content": "hello"}]
    return {"model": model, "messages": messages, "stream": stream}


@contextmanager
def streaming(base: str, model: str) -> Iterator[Iterator[str]]:
    """The lines of a stream that has begun."""
    with httpx2.stream(
        "POST",
        f"{base}{PATH}",
        json=ask(model, stream=True),
        headers=HEADERS,
        timeout=20,
    ) as answer:
        lines = answer.iter_lines()
        next(lines)
        yield lines


@pytest.mark.wire
@pytest.mark.deep
@signals
def test_sigterm_refuses_what_is_new_and_ends_what_runs_with_status_0() -> None:
    """uvicorn as anyone starts it: no limit of its own, signals of its own."""
    port = free_port()
    base = f"http://127.0.0.1:{port}"
    command = ("-m", "uvicorn", "examples.full_app.main:app", "--port", str(port))
    silent = ask("fault-silent-60", stream=False)
    with (
        process(*command, env={**ENV, "FULL_APP_DRAIN_SECONDS": "2"}) as server,
        ThreadPoolExecutor() as pool,
        httpx2.Client(base_url=base, headers=HEADERS, timeout=20) as http,
    ):
        wait_for_http(f"{base}/health/live")
        ready = http.get("/health/ready")
        waiting = pool.submit(lambda: http.post(PATH, json=silent))
        with (
            streaming(base, "fault-silent-60") as hung,
            streaming(base, "gpt-4o-mini") as running,
            connect(f"ws{base[4:]}/v1/live", additional_headers=HEADERS) as live,
            connect(f"ws{base[4:]}/v1/live", additional_headers=HEADERS) as idle,
        ):
            asked = ask("fault-silent-60", stream=True)
            live.send(json.dumps({"type": "chat.create", "request": asked}))
            live.send(json.dumps({"type": "chat.create", "request": asked}))
            assert "conflict" in str(live.recv(10))  # so the first one runs
            server.send_signal(signal.SIGTERM)
            wait_until(lambda: http.get("/health/ready").status_code == 503)
            metrics = http.get("/metrics")
            late = ask("gpt-4o-mini", stream=True)
            idle.send(json.dumps({"type": "chat.create", "request": late}))
            too_late = str(idle.recv(10))
            refused = http.post(PATH, json=ask("gpt-4o-mini", stream=False))
            finished, broken_off = list(running), list(hung)
            said = str(live.recv(10))
        cut_off = waiting.result(20)

        assert server.wait(10) == 0
    assert ready.status_code == metrics.status_code == 200
    assert refused.status_code == cut_off.status_code == 503
    assert refused.json()["code"] == cut_off.json()["code"] == "server_shutting_down"
    assert refused.headers["connection"] == "close"
    assert refused.headers["retry-after"] == "1"
    assert finished[-2:] == ["data: [DONE]", ""]
    assert '"code":"server_shutting_down"' in broken_off[-2]
    assert '"code":"server_shutting_down"' in said
    assert '"code":"server_shutting_down"' in too_late
    assert not any("[DONE]" in line for line in broken_off)


@signals
@pytest.mark.deep
def test_a_second_sigterm_ends_course_run_at_once() -> None:
    port = free_port()
    base = f"http://127.0.0.1:{port}"
    command = ("-m", "course", "run", "--port", str(port))
    with process(*command, env={**ENV, "FULL_APP_DRAIN_SECONDS": "50"}) as server:
        wait_for_http(f"{base}/health/live")
        with streaming(base, "fault-silent-60"):
            server.send_signal(signal.SIGTERM)
            wait_until(
                lambda: httpx2.get(f"{base}/health/ready").status_code == 503,
                what="draining",
            )
            server.send_signal(signal.SIGTERM)

            assert server.wait(10) == 128 + signal.SIGTERM


async def test_draining_waits_for_what_is_counted_and_stops_what_takes_too_long() -> (
    None
):
    draining = Draining(0.01)
    stopped = asyncio.Event()

    async def never_done() -> None:
        async with draining.limited():
            await asyncio.Event().wait()

    forgotten = draining.watch(lambda: None)
    forgotten()
    ended = draining.watch(stopped.set)
    hanging = asyncio.create_task(never_done())
    await asyncio.sleep(0)
    drained = asyncio.create_task(draining.drain())
    await stopped.wait()

    assert not drained.done()
    with pytest.raises(ServerShuttingDownError):
        await hanging
    ended()
    await drained
    with pytest.raises(ServerShuttingDownError):
        draining.admit()


@pytest.mark.wire
async def test_a_request_that_is_under_way_is_waited_for_and_the_next_refused() -> None:
    draining, go_on, sent = Draining(60), asyncio.Event(), list[Message]()

    async def slow(_: Scope, __: Receive, send: Send) -> None:
        await go_on.wait()
        await send({"type": "http.response.start", "status": 204, "headers": []})

    async def send(message: Message) -> None:
        sent.append(message)

    async def request() -> None:
        state = {"draining": draining, "request_id": "req_1"}
        scope = {"type": "http", "path": "/v1/usage", "state": state}
        await DrainingMiddleware(slow)(scope, receive, send)

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    running = asyncio.create_task(request())
    await asyncio.sleep(0)
    drained = asyncio.create_task(draining.drain())
    await draining.began.wait()
    await request()
    for _ in range(20):
        await asyncio.sleep(0)

    assert not drained.done()
    go_on.set()
    await asyncio.gather(running, drained)
    assert [message.get("status", 0) for message in sent] == [503, 0, 204]


async def test_what_is_idle_is_still_unready_for_as_long_as_it_was_told() -> None:
    draining = Draining(60, notice=0.05)
    drained = asyncio.create_task(draining.drain())
    for _ in range(20):
        await asyncio.sleep(0)

    assert not drained.done()
    await drained
