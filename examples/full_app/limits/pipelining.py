"""Redis scripts that are called at the same time go out as one pipeline.

By itself redis-py takes a connection out of its pool for each call and waits there for
its answer. Here all calls of one turn of the event loop, and those made while a
pipeline is on its way, share the next one. Each caller gets its own answer or error.
One pipeline at a time keeps the order: what was settled before a question was asked is
part of its answer. After a broken connection redis-py sends the whole pipeline once
more, so a script has to allow that it runs twice: money is held and settled by ids,
and so is a slot with what was taken beside it.

Once Redis was silent or away, one call at a time asks it, as its probe. All others fail
at once and are never sent, so that an outage leaves nothing behind that has to be sent
later. The first answer ends that.
"""

import asyncio
import contextvars
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import NoScriptError

TURNS = 8  # of the event loop: from a socket to the caller that awaits the answer
MAX_CALLS = 100  # in one pipeline: nobody else is served while Redis runs them


class Script:
    """A Lua script, and the digest by which a Redis that has seen it knows it."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.digest = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


class RedisSilentError(TimeoutError):
    """Redis was silent, and another call asks it now. This one was not sent."""

    def __init__(self) -> None:
        super().__init__("Redis is silent, and is asked by another call.")


@dataclass(slots=True, eq=False)
class _PendingScript:
    """One call of a script, and the answer that its caller waits for."""

    script: Script
    keys: Sequence[str]
    args: Sequence[str | int]
    answer: asyncio.Future[Any]


class Pipelining:
    """What one process calls on one Redis.

    A call without an answer after `timeout` seconds gets a TimeoutError; while Redis
    answers others, after four times that. Calls outlive their callers: `idle` waits.
    """

    def __init__(self, redis: Redis, timeout: float | None = None) -> None:
        self.timeout = timeout
        self._redis = redis
        self._known: set[str] = set()  # digests of scripts that Redis was given
        self._waiting: list[_PendingScript] = []
        self._sender: asyncio.Task[None] | None = None
        self._last_answer = 0.0  # when Redis last answered, on the event loop's clock
        self._silent = False
        self._probe: asyncio.Future[Any] | None = None

    @property
    def is_silent(self) -> bool:
        """Whether Redis did not answer the last call that asked it."""
        return self._silent

    @property
    def is_probing(self) -> bool:
        """Whether a silent Redis is being asked: every other call fails at once."""
        return self._silent and self._probe is not None and not self._probe.done()

    def call(
        self, script: Script, keys: Sequence[str], args: Sequence[str | int]
    ) -> asyncio.Future[Any]:
        """Run a script; the answer raises RedisError or TimeoutError.

        A RedisSilentError says that it was never sent. Cancelled before it was sent, it
        never is; after that it is too late.
        """
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Any] = loop.create_future()
        if self.is_probing:
            answer.set_exception(RedisSilentError())
            return answer
        if self._silent:
            self._probe = answer
        self._waiting.append(_PendingScript(script, keys, args, answer))
        own = contextvars.Context()  # the sender and the timer outlive this caller
        if self._sender is None:
            self._sender = loop.create_task(self._send_all(), context=own)
        if self.timeout is not None:
            due = loop.time() + self.timeout
            last = loop.time() + 4 * self.timeout
            loop.call_at(due, self._expire, answer, self.timeout, last, context=own)
        return answer

    async def idle(self) -> None:
        """Return when every call made so far has its answer or its error."""
        while self._sender is not None:
            await asyncio.wait({self._sender})

    def _expire(
        self, answer: asyncio.Future[Any], timeout: float, last: float, turn: int = 0
    ) -> None:
        """Fail a call whose time is over, unless Redis is answering others.

        First the event loop gets a few turns: if it was busy, the answer may have
        arrived and not been read yet.
        """
        loop = asyncio.get_running_loop()
        again = min(self._last_answer + timeout, last)
        if answer.done():
            return
        if turn < TURNS:
            loop.call_soon(self._expire, answer, timeout, last, turn + 1)
        elif again > loop.time():
            loop.call_at(again, self._expire, answer, timeout, last)
        else:
            self._silent = True
            answer.set_exception(TimeoutError("Redis did not answer in time."))

    async def _send_all(self) -> None:
        try:
            while self._waiting:
                calls = [
                    call for call in self._waiting[:MAX_CALLS] if not call.answer.done()
                ]
                del self._waiting[:MAX_CALLS]
                if calls:
                    await self._send(calls)
        finally:
            self._sender = None

    async def _send(self, calls: list[_PendingScript]) -> None:
        pipeline = self._redis.pipeline(transaction=False)
        for call in calls:
            size = len(call.keys)
            script = call.script
            # Redis takes bytes; redis-py looks at the type of every other word.
            words = [str(word).encode() for word in (*call.keys, *call.args)]
            if script.digest in self._known:
                pipeline.evalsha(script.digest, size, *words)
            else:
                pipeline.eval(script.text, size, *words)
                self._known.add(script.digest)
        try:
            answers = await pipeline.execute(raise_on_error=False)
            self._last_answer = asyncio.get_running_loop().time()
            self._silent = False
        except asyncio.CancelledError:  # the event loop ends
            for call in [*calls, *self._waiting]:
                call.answer.cancel()
            raise
        except Exception as error:  # whatever it is, every caller gets it
            self._silent = True
            answers = [error] * len(calls)
        forgotten: list[_PendingScript] = []
        for call, answer in zip(calls, answers, strict=True):
            if isinstance(answer, NoScriptError):
                self._known.discard(call.script.digest)
                forgotten.append(call)
            elif call.answer.done():
                continue
            elif isinstance(answer, Exception):
                call.answer.set_exception(answer)
            else:
                call.answer.set_result(answer)
        self._waiting[:0] = forgotten


def regardless(answer: asyncio.Future[Any]) -> asyncio.Future[None]:
    """Done when `answer` is, however it ends; it is not cancelled with this one."""
    done: asyncio.Future[None] = answer.get_loop().create_future()

    def ended(answer: asyncio.Future[Any]) -> None:
        if not answer.cancelled():
            answer.exception()
        if not done.done():
            done.set_result(None)

    answer.add_done_callback(ended)
    return done
