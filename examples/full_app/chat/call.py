"""One running chat call: admitted, read to its end or cut off, closed exactly once.

A call is read in one of two ways. `events` never raises: it yields typed events, the
last of which says how the answer ended. `collect` returns the whole answer, or raises.
How events are written (server-sent events, WebSocket messages, entries of a log) is
decided where they are written.
"""

import asyncio
import contextlib
import logging
import secrets
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, Self, TypeVar

import anyio

from examples.full_app.chat.accounting import CallAccount
from examples.full_app.chat.answers import collect, size_of
from examples.full_app.lifecycle import ServerShuttingDownError
from examples.full_app.money import as_usd
from examples.full_app.providers.base import CallContext, Delta, Provider
from examples.full_app.schemas.answers import ChatCompletion
from examples.full_app.schemas.chat import ChatCompletionRequest
from examples.full_app.tokens import Tokenizer
from examples.s2_models import Usage
from examples.s5_error_handling import (
    AIError,
    CodedError,
    InternalError,
    ModelError,
    ModelTimeoutError,
)

log = logging.getLogger(__name__)

T = TypeVar("T")

MAX_ANSWER_BYTES = 16 * 1024 * 1024


class AnswerTooLargeError(CodedError):
    """The model said more than an answer may have: the rest was not read."""

    code, status_code, retryable = "answer_too_large", 502, False
    recovery = "Ask for fewer tokens; what the model had written is charged."

    def __init__(self, max_bytes: int) -> None:
        super().__init__(
            f"The model's answer is larger than {max_bytes} bytes.",
            {"max_bytes": max_bytes},
        )


@dataclass(frozen=True, slots=True)
class Done:
    """The answer is complete. Nothing follows."""


@dataclass(frozen=True, slots=True)
class Failed:
    """The answer broke off because of `error`. Nothing follows."""

    error: AIError


CallEvent = Delta | Usage | Done | Failed


class Call:
    """A chat call that was admitted. Whoever opens it closes it, whatever happens.

    `close` stops the provider and settles the account, once.
    """

    def __init__(
        self,
        request: ChatCompletionRequest,
        context: CallContext,
        provider: Provider,
        account: CallAccount,
        *,
        tokenizer: Tokenizer,
        prompt_tokens: int,
        max_bytes: int = MAX_ANSWER_BYTES,
    ) -> None:
        """`prompt_tokens` were counted by `tokenizer`, which estimates the answer too,
        where the upstream reports no usage. An answer of more than `max_bytes` bytes
        breaks off with an AnswerTooLargeError."""
        self.id = f"chatcmpl-{secrets.token_hex(16)}"
        self.request = request
        self.context = context
        self.account = account
        self.usage: Usage | None = None
        self._produced: list[str] = []
        self._size = 0
        self._max_bytes = max_bytes
        self._provider = provider
        self._tokenizer = tokenizer
        self._prompt_tokens = prompt_tokens
        self._items: AsyncIterator[Delta | Usage] | None = None
        self._first: asyncio.Future[Delta | Usage] | None = None
        self._reader: asyncio.Task[Any] | None = None
        self._exhausted = False
        self._closed = False
        self._stopped = False
        self._deadline = Deadline(context.deadline)
        self._on_close: Callable[[], None] | None = None

    @property
    def headers(self) -> Mapping[str, str]:
        """Response headers: where the caller's limits stand, and who answers."""
        return {**self.account.headers, **provider_header(self.context)}

    def on_close(self, callback: Callable[[], None]) -> None:
        """Have `callback` called when the call is closed."""
        self._on_close = callback

    def stop(self) -> None:
        """End the call as soon as possible, because the process shuts down."""
        self._stopped = True
        self._deadline.cut_short()

    async def begin(self, seconds: float) -> None:
        """Wait up to `seconds` for the first item of the answer.

        What fails before it raises here, while a real status can still be sent. After
        `seconds` the stream starts all the same, so that it can be kept alive.
        """
        self._first = asyncio.ensure_future(self._begin())
        await asyncio.wait({self._first}, timeout=seconds)
        if self._first.done():
            self._first.result()
        self._deadline.at = self.context.stream_deadline or self._deadline.at

    async def _begin(self) -> Delta | Usage:
        return await self._next(current_task())

    async def collect(self) -> ChatCompletion:
        """The whole answer. Raises an AIError."""
        self.context = replace(self.context, whole=True)
        return await collect(self, self.request.model, self.id, self._charged_usd)

    def _charged_usd(self, usage: Usage) -> Decimal | None:
        cost = self.account.cost(usage)
        return None if cost is None else Decimal(as_usd(cost))

    async def events(self) -> AsyncGenerator[CallEvent, None]:
        """The deltas, the usage, and exactly one terminal event: `Done` or `Failed`.

        An answer of which a choice has begun and not finished has broken off. Some
        upstreams send fewer choices than they were asked for.
        """
        begun: set[int] = set()
        finished: set[int] = set()
        try:
            async for item in self:
                if isinstance(item, Delta):  # a usage is sent at the end
                    begun.add(item.index)
                    if item.finish_reason is not None:
                        finished.add(item.index)
                    yield item
            if self.usage is None or not begun or begun != finished:
                raise ModelError("The model's answer broke off.")
            yield self.usage
            yield Done()
        except AIError as error:
            yield self.failed(error)
        except Exception:
            log.exception("stream failed", extra=self._log_fields())
            yield self.failed(InternalError("An unexpected error occurred."))

    def failed(self, error: AIError) -> Failed:
        """The terminal event of an answer that broke off, which is logged here."""
        log.warning(
            "stream broke off", extra={**self._log_fields(), "error_code": error.code}
        )
        return Failed(error)

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
            if self._on_close is not None:
                self._on_close()
                self._on_close = None
            self.account.settle(self.usage_so_far())

    async def _stop_provider(self) -> None:
        if self._first is not None and not self._first.done():
            self._first.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await self._first
        if isinstance(self._items, AsyncGenerator):
            await self._items.aclose()

    def __aiter__(self) -> Self:
        """Iterate over deltas, then one usage. The task that runs now is the reader."""
        self._reader = current_task()
        return self

    async def __anext__(self) -> Delta | Usage:
        """The next item. An upstream that reports no usage has it estimated here."""
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
        self.usage = self._estimated_usage()
        return self.usage

    async def _next(self, task: asyncio.Task[Any] | None) -> Delta | Usage:
        if self._items is None:
            self._items = self._provider.stream(self.request, self.context)
        try:
            if self._stopped:
                raise ServerShuttingDownError
            item = await self._deadline.wait_for(anext(self._items), task)
            return self._remember(item)
        except StopAsyncIteration:
            self.account.error = ""
            raise
        except TimeoutError:
            error = self._timeout_error()
            self.account.error = type(error).__name__
            raise error from None
        except Exception as error:
            self.account.error = type(error).__name__
            raise

    def _timeout_error(self) -> AIError:
        if self._stopped:
            return ServerShuttingDownError()
        return ModelTimeoutError("The model did not answer in time.")

    def _remember(self, item: Delta | Usage) -> Delta | Usage:
        """Keep what is charged if nothing more comes."""
        if not isinstance(item, Delta):
            self.usage = self._completed(item)
            return self.usage
        if not self.context.whole:
            self.account.note_chunk()
        self._size += size_of(item)
        if self._size > self._max_bytes:
            raise AnswerTooLargeError(self._max_bytes)
        if item.content:
            self._produced.append(item.content)
        for piece in item.tool_calls:
            function = piece.function
            self._produced.append((function.name or "") + (function.arguments or ""))
        if item.further:
            texts = (text for text in item.further.values() if isinstance(text, str))
            self._produced.extend(texts)
        return item

    def _completed(self, usage: Usage) -> Usage:
        """The usage as reported; if it counts one part only, the other is estimated.

        An upstream that counts tokens of a prompt, and none of the text that followed,
        has not counted them. A usage of zeros is a call that costs nothing.
        """
        if bool(usage.prompt_tokens) == bool(usage.completion_tokens):
            return usage
        estimated = self._estimated_usage()
        return usage.model_copy(
            update={
                "prompt_tokens": usage.prompt_tokens or estimated.prompt_tokens,
                "completion_tokens": (
                    usage.completion_tokens or estimated.completion_tokens
                ),
            }
        )

    def usage_so_far(self) -> Usage:
        """What is charged if nothing more comes.

        A call that was cut off has produced more than it reported, if its upstream
        counts at the beginning only.
        """
        if self.usage is not None and self._exhausted:
            return self.usage
        estimated = self._estimated_usage()
        if self.usage is None:
            return estimated
        produced = max(self.usage.completion_tokens, estimated.completion_tokens)
        return self.usage.model_copy(update={"completion_tokens": produced})

    def _estimated_usage(self) -> Usage:
        """What was produced, counted here. A call that produced nothing is free."""
        text = "".join(self._produced)
        return Usage(
            prompt_tokens=self._prompt_tokens if text else 0,
            completion_tokens=self._tokenizer.count(text),
        )

    def _log_fields(self) -> dict[str, str]:
        return {"request_id": self.context.request_id, "model": self.request.model}


def provider_header(context: CallContext) -> dict[str, str]:
    """`x-provider`: which upstream has begun to answer, once one has."""
    provider = context.trail.provider
    return {} if provider is None else {"x-provider": provider}


class Deadline:
    """A time, on `time.monotonic()`'s clock, at which a wait is cut short.

    An `asyncio.timeout` for each token of a stream costs a third of the whole request's
    CPU. So one timer serves all waits of a call: when it goes off, it looks whether
    something waits, and whether its time is over. `at` may be moved to a later time
    while something waits; None means never. One task waits at a time. Whoever makes a
    deadline closes it.
    """

    def __init__(self, at: float | None) -> None:
        self.at = at
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[Any] | None = None
        self._cancelled = False

    async def wait_for(self, step: Awaitable[T], task: asyncio.Task[Any] | None) -> T:
        """The result of `step`. Raises TimeoutError once `step` has been cancelled.

        As with `asyncio.timeout`, what is ready without waiting is never too late, and
        a cancellation from elsewhere stays one. `task` is the one that waits: a reader
        that waits often looks it up once.
        """
        task = task or current_task()
        self._task = task
        if self._timer is None and self.at is not None:
            self._set_timer(self.at)
        before = task.cancelling()
        try:
            return await step
        except asyncio.CancelledError:
            if self._cancelled and self._uncancel(task) <= before:
                raise TimeoutError from None
            raise
        finally:
            self._task = None
            if self._cancelled:  # `step` was ready at the same moment
                self._uncancel(task)

    def cut_short(self) -> None:
        """Cancel the wait that goes on now, if there is one."""
        if self._task is not None and not self._cancelled:
            self._cancelled = True
            self._task.cancel()

    def close(self) -> None:
        """Take the timer back: nothing will wait any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _set_timer(self, at: float) -> None:
        left = max(0.0, at - time.monotonic())
        self._timer = asyncio.get_running_loop().call_later(left, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        if self._task is None or self.at is None:
            return  # the next wait sets it again
        if time.monotonic() < self.at:
            self._set_timer(self.at)
        else:
            self.cut_short()

    def _uncancel(self, task: asyncio.Task[Any]) -> int:
        self._cancelled = False
        return task.uncancel()


def current_task() -> asyncio.Task[Any]:
    """The task that runs now. Raises RuntimeError outside of any."""
    task = asyncio.current_task()
    if task is None:
        raise RuntimeError("There is no task to wait in.")
    return task
