"""Responses in the background: queued, worked on by any process, ended exactly once.

The record and the log in Redis are the truth, and the queue carries ids only. A worker
that dies is followed by another one. Events that were sent cannot be taken back, so the
second one begins again only while no word of the answer is in the log; otherwise it
ends the response as failed. Whoever ends a response (its worker, a cancel, a successor)
writes the record and the last events in one step, and only the first one succeeds: what
GET, the stream and the webhook say is the same.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterable

from redis.exceptions import RedisError

from examples.full_app.chat.call import Call, Done, Failed
from examples.full_app.chat.service import ChatService
from examples.full_app.chat.waiting import MAX_WAIT_SECONDS, open_when_possible
from examples.full_app.errors import NotReadyError, RequestError
from examples.full_app.events.errors import FencedError
from examples.full_app.events.follower import START, Event, numbers
from examples.full_app.events.log import RETRY_SECONDS, EventLog, EventWriter
from examples.full_app.lifecycle import Draining
from examples.full_app.limits.ledger import CallerLimits, Limits
from examples.full_app.observability.tracing import continued, tracing
from examples.full_app.periodic import repeating
from examples.full_app.providers.base import CallContext, Delta
from examples.full_app.queue import Queue
from examples.full_app.responses.builder import (
    ResponseBuilder,
    ResponseEvent,
    rebuilt,
)
from examples.full_app.responses.errors import (
    ResponseAttemptsError,
    ResponseInterruptedError,
)
from examples.full_app.responses.items import RESPONSE_PREFIX
from examples.full_app.responses.log import ResponseLog
from examples.full_app.responses.service import Prepared
from examples.full_app.responses.store import (
    ResponseStore,
    StoredResponse,
    events_key,
)
from examples.full_app.responses.translation import (
    as_upstream_request,
    names_of_this_route,
)
from examples.full_app.schemas.chat import rules_applied
from examples.full_app.schemas.responses import Response
from examples.full_app.webhooks.models import WebhookEvent
from examples.full_app.webhooks.store import WebhookStore
from examples.s5_error_handling import AIError, InternalError

log = logging.getLogger(__name__)

TRIES = 50  # to end a response whose worker goes on writing meanwhile
PATIENCE_SECONDS = 15.0  # for a Redis that is away while an answer is written
OPENING = frozenset(
    {"response.created", "response.queued", "response.in_progress"}
)  # events before the first word


class BackgroundResponses:
    """Responses in the background as routes see them: create, cancel, tell of ends."""

    def __init__(
        self,
        store: ResponseStore,
        events: ResponseLog,
        chat: ChatService,
        queue: Queue,
        webhooks: WebhookStore,
    ) -> None:
        self.store = store
        self.events = events
        self.chat = chat
        self.queue = queue
        self.webhooks = webhooks

    async def create(self, prepared: Prepared, limits: CallerLimits) -> Response:
        """Keep the response, then queue it. What is kept already is queued again.

        Raises what `ChatService.check` raises, and TooManyResponsesError (409).
        """
        with names_of_this_route():
            self.chat.check(prepared.chat, limits)
        response = prepared.response
        begun = await self.store.find(response.id, prepared.owner)
        if begun is None:
            builder = ResponseBuilder(response)
            first = [builder.created(), builder.queued()]
            await self.store.create(
                prepared.owner, response, prepared.context, prepared.chat, first
            )
        else:
            response = begun.response
        try:
            await self.queue.add_response(response.id, prepared.owner)
        except RedisError:  # it is on record: the sweep queues it
            log.warning("response not queued yet", extra={"reason": response.id})
        return response

    async def cancel(self, response_id: str, owner: str) -> Response:
        """Stop it, wherever it runs. One that has ended is answered as it is.

        Raises ResponseNotFoundError (404), and RequestError (400) for a response in the
        foreground: that is stopped by leaving.
        """
        stored = await self.store.read(response_id, owner)
        if not stored.response.background:
            raise RequestError(
                "Only a response that was created with `background: true` can be "
                "cancelled.",
                param="response_id",
            )
        if not stored.is_over:
            await self.end(response_id, _cancelled)
            await self.queue.cancel_job(response_id)
        return (await self.store.read(response_id, owner)).response

    async def delete(self, response_id: str, owner: str) -> None:
        """Forget a response; one that still runs is cancelled first."""
        stored = await self.store.read(response_id, owner)
        if not stored.is_over:
            await self.cancel(response_id, owner)
        await self.store.delete(response_id, owner)

    async def fail(self, response_id: str, error: AIError) -> None:
        """End a response whose worker is gone."""

        def failed(builder: ResponseBuilder) -> Iterable[ResponseEvent]:
            return builder.fail(error, response_id, None)

        await self.end(response_id, failed)

    async def end(
        self,
        response_id: str,
        finish: Callable[[ResponseBuilder], Iterable[ResponseEvent]],
    ) -> None:
        """End a response in place of its worker, after what that has written.

        The last events have the number of a newer attempt: the worker cannot add to
        them, and stops. While it writes on, this is tried again. Raises NotReadyError
        (503) when it always writes.
        """
        for _ in range(TRIES):
            stored = await self.store.find(response_id, None)
            if stored is None or stored.is_over:
                return
            events = await self.events.all(response_id)
            newest_id = events[-1].id if events else ""
            _, number = numbers(newest_id or START)
            builder = rebuilt(stored.response, events, sequence_number=number)
            last = [*finish(builder), builder.terminal()]
            outcome = await self.store.end(
                stored,
                builder.response,
                newest_id,
                _numbered(last, stored.attempt + 1, number),
                log_bytes=sum(len(event.data) for event in events),
            )
            if outcome == "done":
                await self.ended(response_id)
            if outcome != "moved":
                return
        raise NotReadyError("The response is written faster than it can be ended.")

    async def ended(self, response_id: str) -> None:
        """Publish the event of a response that has ended, and queue its deliveries.

        Doing it twice sends the same event, which receivers drop by its id.
        """
        stored = await self.store.find(response_id, None)
        if stored is not None:
            news = WebhookEvent(
                id=f"evt_{response_id.removeprefix(RESPONSE_PREFIX)}",
                created_at=stored.ended_at or int(time.time()),
                type=f"response.{stored.response.status}",
                data={"id": response_id},
            )
            for endpoint_id in await self.webhooks.publish(stored.owner, news):
                await self.queue.add_delivery(stored.owner, endpoint_id, news.id)
        await self.store.over(response_id)

    async def sweep(self, lease: float) -> list[str]:
        """Look after those without a sign of life for `lease` seconds; their ids.

        A response that nobody works on is queued again. An end that nobody heard of is
        announced.
        """
        silent = list(await self.store.silent(lease))
        for response_id in silent:
            stored = await self.store.find(response_id, None)
            if stored is None or stored.is_over:
                await self.ended(response_id)
            else:
                await self.queue.add_response(response_id, stored.owner)
                await self.store.alive(response_id)
        return silent


def _cancelled(builder: ResponseBuilder) -> Iterable[ResponseEvent]:
    builder.cancel()
    return ()


def _numbered(
    events: Iterable[ResponseEvent], attempt: int, number: int
) -> list[Event]:
    """The events as entries of the log, after the one with this number."""
    return [
        Event(f"{attempt}-{next_number}", event.type, event.data)
        for next_number, event in enumerate(events, number + 1)
    ]


class ResponseRunner:
    """Works on one response at a time; several may be worked on side by side.

    `lease` is in seconds: three times in it a worker tells that it lives. `attempts` in
    a row may come to nothing. Once `draining` is set no response is begun any more.
    With `pass_on`, an upstream is asked by its own `/v1/responses`.
    """

    def __init__(
        self,
        responses: BackgroundResponses,
        event_log: EventLog,
        limits: Limits,
        draining: Draining,
        *,
        timeout: float,
        lease: float,
        attempts: int,
        pass_on: bool = False,
    ) -> None:
        self.responses = responses
        self.store = responses.store
        self.event_log = event_log
        self.limits = limits
        self.draining = draining
        self.timeout = timeout
        self.lease = lease
        self.attempts = attempts
        self.pass_on = pass_on

    async def run(self, response_id: str) -> bool:
        """Run an attempt to its end. Does nothing when the response has ended.

        False: it was not begun; another worker may, now.
        """
        if self.draining.is_set():
            return False
        attempt = await self.store.begin(response_id, attempts=self.attempts)
        if attempt == 0:
            return True
        if attempt < 0:
            await self.responses.fail(response_id, ResponseAttemptsError(self.attempts))
            return True
        written = await self.responses.events.all(response_id)
        if any(event.type not in OPENING for event in written):
            await self.responses.fail(response_id, ResponseInterruptedError())
            return True
        stored = await self.store.find(response_id, None)
        if stored is None or stored.attempt != attempt:  # another one has begun since
            return True
        try:
            with tracing(continued(stored.traceparent)):
                async with repeating(
                    self.lease / 3, lambda: self.store.alive(response_id)
                ):
                    await self._work(stored, written)
        except FencedError:
            log.info("attempt ended early", extra={"attempt": attempt})
        except RedisError:
            raise
        except Exception:
            log.exception("response failed", extra={"attempt": attempt})
            error = InternalError("An unexpected error occurred.")
            await self.responses.fail(response_id, error)
        return True

    async def _work(self, stored: StoredResponse, written: list[Event]) -> None:
        """Ask the model, and write what it says after the events in `written`."""
        call = await self._open(stored)
        if call is None:
            return
        builder = ResponseBuilder(stored.response, sequence_number=len(written))
        writer = LogWriter(self.event_log, stored.response.id, stored.attempt, written)
        try:
            async with writer.appending():
                if all(event.type != "response.in_progress" for event in written):
                    await writer.add([builder.in_progress()])
                await self._answer(call, builder, writer)
            await self._end(stored, builder, writer)
        finally:
            await call.close()

    async def _open(self, stored: StoredResponse) -> Call | None:
        """The call behind the response, admitted; None when there is nothing to ask.

        Then the response has ended meanwhile, or ends here as failed: it was refused.
        """
        response_id = stored.response.id
        with rules_applied(self.responses.chat.upstream_rules):
            request = await self.store.request(response_id)
        if request is None:
            return None
        body = None
        if self.pass_on:
            body = as_upstream_request(stored.response, stored.items, request)
        context = CallContext(
            response_id,
            time.monotonic() + self.timeout + MAX_WAIT_SECONDS,
            detached=True,
            api_type="responses",
            response_body=body,
        )
        limits = self.limits.of(stored.owner)
        try:
            return await open_when_possible(
                self.responses.chat, request, context, limits
            )
        except AIError as error:
            await self.responses.fail(response_id, error)
            return None

    async def _answer(
        self, call: Call, builder: ResponseBuilder, writer: "LogWriter"
    ) -> None:
        """Read the call to its end, and write what it says. Raises FencedError."""
        async with contextlib.aclosing(call.events()) as events:
            async for event in events:
                usage = call.usage_so_far
                match event:
                    case Delta():
                        await writer.add(builder.add(event))
                    case Done():
                        await writer.add(builder.finish(usage()))
                    case Failed(error):
                        reason = builder.fail(error, call.context.request_id, usage())
                        await writer.add(reason)

    async def _end(
        self, stored: StoredResponse, builder: ResponseBuilder, writer: "LogWriter"
    ) -> None:
        _, number = numbers(writer.newest_id)
        outcome = await self.store.end(
            stored,
            builder.response,
            writer.newest_id,
            _numbered([builder.terminal()], stored.attempt, number),
            log_bytes=writer.bytes,
        )
        if outcome == "done":
            await self.responses.ended(stored.response.id)


class LogWriter:
    """Appends the events of one attempt, a batch at a time.

    The answer is paid for, so it is not given up because Redis is away for a moment:
    what waits to be written is tried again for PATIENCE_SECONDS.
    """

    def __init__(
        self, event_log: EventLog, response_id: str, attempt: int, before: list[Event]
    ) -> None:
        self.newest_id = before[-1].id if before else ""
        self.bytes = sum(len(event.data) for event in before)
        self._writer = EventWriter(event_log, events_key(response_id), attempt=attempt)
        self._writer.count = len(before)
        self._fenced: FencedError | None = None

    async def add(self, events: Iterable[ResponseEvent]) -> None:
        """Have the events appended soon. Raises FencedError: somebody else ended it."""
        for event in events:
            if self._fenced is not None:
                raise self._fenced
            if self._writer.is_full:
                await self._flush()
            self.newest_id = await self._writer.add(event.type, event.data)
            self.bytes += len(event.data)

    @contextlib.asynccontextmanager
    async def appending(self) -> AsyncIterator[None]:
        """A block beside which events are appended; all are when it ends well."""
        task = asyncio.create_task(self._append())
        try:
            yield
        finally:
            self._writer.close()
            await asyncio.wait({task})
        await self._flush()

    async def _append(self) -> None:
        try:
            await self._writer.append()
        except FencedError as error:
            self._fenced = error

    async def _flush(self) -> None:
        gives_up = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                await self._writer.flush()
                return
            except RedisError as error:
                if time.monotonic() > gives_up:
                    raise
                log.warning("events wait for Redis", extra={"reason": repr(error)})
                await asyncio.sleep(RETRY_SECONDS)
