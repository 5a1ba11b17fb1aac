"""One resumable answer being written to its event log, until it ends or is unwanted."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
from redis.exceptions import RedisError

from examples.full_app.chat.call import Call, CallEvent, Done, Failed
from examples.full_app.chat.sse import DONE, ChunkSerializer
from examples.full_app.errors import RequestError, error_body
from examples.full_app.events.errors import FencedError
from examples.full_app.events.log import EventWriter
from examples.full_app.lifecycle import ServerShuttingDownError
from examples.full_app.providers.base import Delta
from examples.s2_models import Usage
from examples.s5_error_handling import AIError, CodedError

log = logging.getLogger(__name__)

LAST = frozenset({"done", "error"})
BEAT_SECONDS = 0.25
LAST_WORDS_SECONDS = 2.0  # for an answer that was cancelled, also by a shutdown
CANCEL = "cancel"


class AbandonedAnswerError(RequestError):
    """Nobody read the answer any more, so it was not written to its end."""

    code, status_code = "stream_abandoned", 499
    recovery = "Send the request again; resume sooner."


class CancelledAnswerError(RequestError):
    """The caller cancelled the answer."""

    code, status_code = "cancelled", 499
    recovery = "Nothing to do: what was produced is charged, the rest is not."


class InterruptedAnswerError(CodedError):
    """The process that wrote the answer died."""

    code, status_code, retryable = "stream_interrupted", 503, True
    recovery = "Send the request again."

    def __init__(self) -> None:
        super().__init__("The process that wrote this answer is gone.")


class AnswerWriter:
    """Runs a call to its end. `beat` says: someone reads, cancel, or None: all left.

    The answer is paid for, so it is not given up because Redis is away for a moment:
    what waits to be written is tried again for `grace` seconds.
    """

    def __init__(
        self,
        call: Call,
        writer: EventWriter,
        beat: Callable[[], Awaitable[str | None]],
        *,
        grace: float,
    ) -> None:
        self.call = call
        self.writer = writer
        self.grace = grace
        self.chunks = ChunkSerializer(
            call.id, call.request.model, include_usage=call.request.wants_usage
        )
        self.beat = beat
        self.reason: AIError = ServerShuttingDownError()
        self.ended = asyncio.Event()

    async def run(self) -> None:
        """Write every event, the last one included, and close the call."""
        stop = _canceller()
        beside = [
            asyncio.create_task(self._tend(stop)),
            asyncio.create_task(self._append(stop)),
        ]
        events = self.call.events()
        try:
            async for event in events:
                await self._add(event)
        except asyncio.CancelledError:
            self.grace = min(self.grace, LAST_WORDS_SECONDS)
            await self._add(self.call.failed(self.reason))
        except FencedError:
            pass  # `_end` meets it, too
        except RedisError:
            log.exception("answer not written", extra={"reason": self.call.id})
        finally:
            # Both tasks end by themselves: redis-py may swallow a cancellation.
            self.ended.set()
            self.writer.close()
            with anyio.CancelScope(shield=True):
                await asyncio.wait(beside)
                await events.aclose()
                await self._end()

    async def _end(self) -> None:
        try:
            await self._flush()
        except FencedError:  # a reader took this process for gone
            log.warning("answer was ended by a reader", extra={"reason": self.call.id})
        except RedisError:
            log.exception("end of answer not written", extra={"reason": self.call.id})
        finally:
            await self.call.close()

    async def _flush(self) -> None:
        """Append what waits; while Redis is away, again and again for `grace` seconds.

        Each time the first thing is a sign of life: a reader that finds none takes the
        process for gone and ends the answer in its place.
        """
        gives_up = time.monotonic() + self.grace
        while True:
            try:
                await self.beat()
                await self.writer.flush()
                return
            except RedisError as error:
                if time.monotonic() > gives_up:
                    raise
                log.warning("events wait for Redis", extra={"reason": repr(error)})
                await asyncio.sleep(BEAT_SECONDS)

    async def _add(self, event: CallEvent) -> None:
        """Append one event: its type, and the data that a reader is sent for it."""
        if self.writer.is_full:
            await self._flush()
        match event:
            case Delta() | Usage():
                for chunk in self.chunks.chunks(event):
                    await self.writer.add("delta", chunk)
            case Done():
                await self.writer.add("done", DONE)
            case Failed(error):
                body = error_body(error, self.call.context.request_id)
                await self.writer.add("error", body.model_dump_json())

    async def _append(self, stop: Callable[[], Any]) -> None:
        """Append events as they come; stop when somebody else has ended the answer."""
        try:
            await self.writer.append()
        except FencedError:
            if not self.ended.is_set():
                stop()

    async def _tend(self, stop: Callable[[], Any]) -> None:
        """Show that this process lives; stop when nobody reads, or when cancelled."""
        wanted: str | None = ""
        while wanted is not None and wanted != CANCEL:
            with contextlib.suppress(RedisError):
                wanted = await self.beat()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.ended.wait(), BEAT_SECONDS)
            if self.ended.is_set():
                return
        gone = AbandonedAnswerError("Nobody read on, so it was not written to its end.")
        self.reason = gone if wanted is None else CancelledAnswerError("Cancelled.")
        stop()


def _canceller() -> Callable[[], Any]:
    task = asyncio.current_task()
    return task.cancel if task is not None else lambda: None
