"""One running chat call: begun, read to its end or cut off, and closed exactly once."""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator

import anyio

from examples.full_app.draining import ServerShuttingDownError
from examples.full_app.errors import error_body
from examples.full_app.frames import DONE, ChunkWriter, collect, new_id
from examples.full_app.providers.protocol import CallContext, Delta, Provider
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
        settle: Callable[["Call"], Awaitable[None]],
        estimate: Callable[[str], Usage],
    ) -> None:
        self.id = new_id()
        self.request = request
        self.context = context
        self.usage: Usage | None = None
        self.produced: list[str] = []
        self._settle = settle
        self._estimate = estimate
        self._deltas = provider.stream(request, context)
        self._first: asyncio.Future[Delta | Usage] | None = None
        self._closed = False
        self.started = time.monotonic()
        self.first_token: float | None = None
        self.error = "ClientClosedRequest"  # until another end is seen
        self._deadline = context.deadline
        self._limit: asyncio.Timeout | None = None
        self._stopped = False
        self._ended: Callable[[], None] | None = None

    def on_close(self, ended: Callable[[], None]) -> None:
        """Have `ended` called when the call is closed."""
        self._ended = ended

    def stop(self) -> None:
        """The process shuts down: end as soon as can be, with an error."""
        self._stopped = True
        if self._limit is not None:
            self._limit.reschedule(asyncio.get_running_loop().time())

    async def begin(self, patience: float) -> None:
        """Wait up to `patience` seconds for the first delta.

        What fails before it raises here, while there still can be a real status;
        after `patience` the stream starts all the same, so that it can be kept alive.
        """
        self._first = asyncio.ensure_future(self._next())
        await asyncio.wait({self._first}, timeout=patience)
        if self._first.done():
            self._first.result()
        self._deadline = self.context.stream_deadline or self._deadline

    async def collect(self) -> ChatCompletion:
        """The whole answer. Raises an AIError."""
        return await collect(self._items(), self.request.model, choices=self.request.n)

    async def frames(self) -> AsyncGenerator[bytes, None]:
        """The frames of a stream, with exactly one terminal event.

        That is `[DONE]` after a complete answer, an error object otherwise.
        """
        writer = ChunkWriter(self.request.model, self.id)
        try:
            async for item in self._items():
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
        with anyio.CancelScope(shield=True):
            if self._first is not None and not self._first.done():
                self._first.cancel()
                with contextlib.suppress(asyncio.CancelledError, Exception):
                    await self._first
            try:
                if isinstance(self._deltas, AsyncGenerator):
                    await self._deltas.aclose()
            finally:
                if self._ended is not None:
                    self._ended()
                await self._settle(self)

    async def _items(self) -> AsyncIterator[Delta | Usage]:
        with contextlib.suppress(StopAsyncIteration):
            first = self._first or self._next()
            while True:
                yield await first
                first = self._next()
        if self.usage is None:  # some upstreams never say
            self.usage = self._estimate("".join(self.produced))
            yield self.usage

    async def _next(self) -> Delta | Usage:
        try:
            return await self._step()
        except StopAsyncIteration:
            self.error = ""
            raise
        except Exception as error:
            self.error = type(error).__name__
            raise

    async def _step(self) -> Delta | Usage:
        if self._stopped:
            raise ServerShuttingDownError
        left = None
        if self._deadline is not None:
            left = max(0.0, self._deadline - time.monotonic())
        try:
            async with asyncio.timeout(left) as self._limit:
                item = await anext(self._deltas)
        except TimeoutError:
            if self._stopped:
                raise ServerShuttingDownError from None
            raise ModelTimeoutError("The model did not answer in time.") from None
        finally:
            self._limit = None
        if isinstance(item, Usage):
            self.usage = item
        else:
            if self.first_token is None:
                self.first_token = time.monotonic() - self.started
            self.produced += _texts(item)
        return item

    def error_frame(self, error: AIError) -> bytes:
        """The terminal event of a stream that broke off."""
        log.warning(
            "stream broke off", extra={**self._log_fields(), "error_code": error.code}
        )
        body = error_body(error, self.context.request_id).model_dump_json()
        return f"data: {body}\n\n".encode()

    def _log_fields(self) -> dict[str, str]:
        return {"request_id": self.context.request_id, "model": self.request.model}


def _texts(delta: Delta) -> Iterator[str]:
    """What a delta adds, as far as it is counted in tokens: text, names, arguments."""
    if delta.content:
        yield delta.content
    for piece in delta.tool_calls:
        yield (piece.function.name or "") + (piece.function.arguments or "")
