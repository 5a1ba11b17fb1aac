"""One running chat call: begun, read to its end or cut off, and closed exactly once."""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from dataclasses import replace
from typing import Any, Self

import anyio

from examples.full_app.chat.answers import collect, collect_json
from examples.full_app.chat.deadlines import Deadline, current_task
from examples.full_app.chat.sse import DONE, ChunkWriter, new_id
from examples.full_app.errors import error_body
from examples.full_app.lifecycle import ServerShuttingDownError
from examples.full_app.providers.base import CallContext, Delta, Provider
from examples.full_app.schemas.answers import ChatCompletion
from examples.full_app.schemas.chat import ChatCompletionRequest
from examples.s2_models import Usage
from examples.s5_error_handling import (
    AIError,
    InternalError,
    ModelError,
    ModelTimeoutError,
)

log = logging.getLogger(__name__)


class Call:
    """A chat call that was admitted. Whoever opens it closes it, whatever happens.

    `close` stops the provider and hands what was used to `settle`, once.
    """

    def __init__(
        self,
        request: ChatCompletionRequest,
        context: CallContext,
        provider: Provider,
        settle: Callable[["Call"], None],
        estimate: Callable[[str], Usage],
    ) -> None:
        self.id = new_id()
        self.request = request
        self.context = context
        self.usage: Usage | None = None
        self.produced: list[str] = []
        self._settle = settle
        self._estimate = estimate
        self._provider = provider
        self._deltas: AsyncIterator[Delta | Usage] | None = None
        self._first: asyncio.Future[Delta | Usage] | None = None
        self._reader: asyncio.Task[Any] | None = None
        self._exhausted = False
        self._closed = False
        self.started = time.monotonic()
        self.first_token: float | None = None
        self.error = "ClientClosedRequest"  # until another end is seen
        self._deadline = Deadline(context.deadline)
        self._stopped = False
        self._ended: Callable[[], None] | None = None

    def on_close(self, ended: Callable[[], None]) -> None:
        """Have `ended` called when the call is closed."""
        self._ended = ended

    def stop(self) -> None:
        """The process shuts down: end as soon as can be, with an error."""
        self._stopped = True
        self._deadline.ring()

    async def begin(self, patience: float) -> None:
        """Wait up to `patience` seconds for the first delta.

        What fails before it raises here, while there still can be a real status;
        after `patience` the stream starts all the same, so that it can be kept alive.
        """
        self._first = asyncio.ensure_future(self._begin())
        await asyncio.wait({self._first}, timeout=patience)
        if self._first.done():
            self._first.result()
        self._deadline.at = self.context.stream_deadline or self._deadline.at

    async def _begin(self) -> Delta | Usage:
        return await self._next(current_task())

    async def collect(self) -> ChatCompletion:
        """The whole answer. Raises an AIError."""
        self._wants_whole()
        return await collect(self, self.request.model, self.request.n, self.id)

    async def collect_json(self) -> bytes:
        """The whole answer as it is sent. Raises an AIError."""
        self._wants_whole()
        return await collect_json(self, self.request.model, self.request.n, self.id)

    def _wants_whole(self) -> None:
        if not self.context.whole:
            self.context = replace(self.context, whole=True)

    async def frames(self) -> AsyncGenerator[bytes, None]:
        """The frames of a stream, with exactly one terminal event.

        That is `[DONE]` after a complete answer, an error object otherwise.
        """
        writer = ChunkWriter(self.request.model, self.id)
        try:
            async for item in self:
                if isinstance(item, Delta):
                    yield writer.delta(item)
            if self.usage is None or not writer.complete(self.request.n):
                raise ModelError("The model's answer broke off.")
            if self.request.wants_usage:
                yield writer.usage(self.usage)
            yield DONE
        except AIError as error:
            yield self.error_frame(error)
        except Exception:
            log.exception("stream failed", extra=self._log_fields())
            yield self.error_frame(InternalError("An unexpected error occurred."))

    async def close(self) -> None:
        """Stop the provider and settle; safe to call twice and when cancelled."""
        if self._closed:
            return
        self._closed = True
        self._deadline.close()
        try:
            if not self._exhausted:
                with anyio.CancelScope(shield=True):
                    await self._stop_provider()
        finally:
            ended, self._ended = self._ended, None  # which would keep this alive
            if ended is not None:
                ended()
            self._settle(self)

    async def _stop_provider(self) -> None:
        if self._first is not None and not self._first.done():
            self._first.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await self._first
        if isinstance(self._deltas, AsyncGenerator):
            await self._deltas.aclose()

    def _ask(self) -> AsyncIterator[Delta | Usage]:
        """The provider's deltas, which are asked for once."""
        if self._deltas is None:
            self._deltas = self._provider.stream(self.request, self.context)
        return self._deltas

    def __aiter__(self) -> Self:
        """Read by the task that runs now; another one's would be cut short in vain."""
        self._reader = current_task()
        return self

    async def __anext__(self) -> Delta | Usage:
        """What comes next; at the end the usage, which some upstreams never say."""
        try:
            if self._first is not None:
                item = await self._first
                self._first = None
                return item
            return await self._next(self._reader)
        except StopAsyncIteration:
            self._exhausted = True
            if self.usage is not None:
                raise
        self.usage = self._estimate("".join(self.produced))
        return self.usage

    async def _next(self, task: asyncio.Task[Any] | None) -> Delta | Usage:
        try:
            if self._stopped:
                raise ServerShuttingDownError
            item = await self._deadline.wait_for(anext(self._ask()), task)
        except StopAsyncIteration:
            self.error = ""
            raise
        except TimeoutError:
            error = self._too_late()
            self.error = type(error).__name__
            raise error from None
        except Exception as error:
            self.error = type(error).__name__
            raise
        self._note(item)
        return item

    def _too_late(self) -> AIError:
        if self._stopped:
            return ServerShuttingDownError()
        return ModelTimeoutError("The model did not answer in time.")

    def _note(self, item: Delta | Usage) -> None:
        """Remember what is charged if nothing more comes."""
        if isinstance(item, Usage):
            self.usage = item
            return
        if self.first_token is None:
            self.first_token = time.monotonic() - self.started
        if item.content:
            self.produced.append(item.content)
        for piece in item.tool_calls:
            told = piece.function
            self.produced.append((told.name or "") + (told.arguments or ""))

    def error_frame(self, error: AIError) -> bytes:
        """The terminal event of a stream that broke off."""
        log.warning(
            "stream broke off", extra={**self._log_fields(), "error_code": error.code}
        )
        body = error_body(error, self.context.request_id).model_dump_json()
        return f"data: {body}\n\n".encode()

    def _log_fields(self) -> dict[str, str]:
        return {"request_id": self.context.request_id, "model": self.request.model}
