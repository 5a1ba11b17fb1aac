"""Workers of responses in the background, one step at a time."""

from typing import Any

from starlette.testclient import TestClient

from examples.full_app.events.log import EventWriter
from examples.full_app.providers.base import Delta
from examples.full_app.responses.background import ResponseRunner
from examples.full_app.responses.builder import ResponseBuilder
from examples.full_app.responses.store import events_key


def runner_of(client: TestClient) -> ResponseRunner:
    """A worker of this service, which has none of its own."""
    state: Any = client.app_state
    settings = state["settings"]
    return ResponseRunner(
        state["responses"].background,
        state["generations"].log,
        state["limits"],
        state["draining"],
        timeout=5,
        lease=30,
        attempts=settings.job_attempts,
    )


def work_on(client: TestClient, response_id: str) -> None:
    """One attempt, as the queue would begin it."""
    assert client.portal is not None
    assert client.portal.call(runner_of(client).run, response_id)


def begin_and_die(client: TestClient, response_id: str, *, said: str = "") -> None:
    """An attempt that begins, has said `said`, and then is killed."""

    async def attempt() -> None:
        runner = runner_of(client)
        number = await runner.store.begin(response_id, attempts=runner.attempts)
        stored = await runner.store.find(response_id, None)
        assert stored is not None
        before = await runner.responses.events.all(response_id)
        builder = ResponseBuilder(stored.response, sequence_number=len(before))
        writer = EventWriter(runner.event_log, events_key(response_id), attempt=number)
        writer.count = len(before)
        events = [] if len(before) > 2 else [builder.in_progress()]
        if said:
            events += builder.add(Delta(content=said))
        for event in events:
            await writer.add(event.type, event.data)
        await writer.flush()

    assert client.portal is not None
    client.portal.call(attempt)
