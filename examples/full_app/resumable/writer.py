"""One resumable answer being written to its event log, until it ends or is unwanted."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
from redis.exceptions import RedisError

from examples.full_app.chat.call import Call
from examples.full_app.errors import RequestError
from examples.full_app.events.errors import FencedError
from examples.full_app.events.log import EventWriter
from examples.full_app.lifecycle import ServerShuttingDownError
from examples.s5_error_handling import AIError, CodedError

log = logging.getLogger(__name__)

LAST = frozenset({"done", "error"})
BEAT_SECONDS = 0.25
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
    """Runs a call to its end. `beat` says: someone reads, cancel, or None: all left."""

    def __init__(
        self,
        call: Call,
        writer: EventWriter,
        beat: Callable[[], Awaitable[str | None]],
    ) -> None:
        self.call = call
        self.writer = writer
        self.beat = beat
        self.reason: AIError = ServerShuttingDownError()
        self.ended = False  # redis-py can make a ConnectionError of a cancellation

    async def run(self) -> None:
        """Write every event, the last one included, and close the call."""
        stop = _canceller()
        beside = [
            asyncio.create_task(self._tend(stop)),
            asyncio.create_task(self._append(stop)),
        ]
        frames = self.call.frames()
        try:
            async for frame in frames:
                await self._add(frame)
        except asyncio.CancelledError:
            await self._add(self.call.error_frame(self.reason))
        except (FencedError, RedisError):
            log.exception("answer not written", extra={"answer": self.call.id})
        finally:
            self.ended = True
            with anyio.CancelScope(shield=True):
                for task in beside:
                    task.cancel()
                await asyncio.wait(beside)
                await frames.aclose()
                await self._end()

    async def _end(self) -> None:
        try:
            await self.writer.flush()
        except (FencedError, RedisError):
            log.exception("end of answer not written", extra={"answer": self.call.id})
        finally:
            await self.call.close()

    async def _add(self, frame: bytes) -> None:
        for text in filter(None, frame.decode("utf-8").split("\n\n")):
            data = text.removeprefix("data: ")
            await self.writer.add(_kind(data), data)

    async def _append(self, stop: Callable[[], Any]) -> None:
        """Send events soon after they come; again, when Redis was away."""
        while not self.ended:
            try:
                await self.writer.flush_soon()
            except FencedError:
                stop()
                return
            except RedisError as error:
                log.warning("events wait for Redis", extra={"reason": repr(error)})
                await asyncio.sleep(BEAT_SECONDS)

    async def _tend(self, stop: Callable[[], Any]) -> None:
        """Show that this process lives; stop when nobody reads, or when cancelled."""
        wanted: str | None = ""
        while wanted is not None and wanted != CANCEL:
            if self.ended:
                return
            with contextlib.suppress(RedisError):
                wanted = await self.beat()
            await asyncio.sleep(BEAT_SECONDS)
        gone = AbandonedAnswerError("Nobody read on, so it was not written to its end.")
        self.reason = gone if wanted is None else CancelledAnswerError("Cancelled.")
        stop()


def _canceller() -> Callable[[], Any]:
    task = asyncio.current_task()
    return task.cancel if task is not None else lambda: None


def _kind(data: str) -> str:
    if data == "[DONE]":
        return "done"
    return "error" if data.startswith('{"error":') else "delta"
