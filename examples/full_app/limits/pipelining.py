"""Redis scripts that are called at the same time go out as one pipeline.

By itself redis-py takes a connection out of its pool for each call and waits there for
its answer (it pipelines nothing on its own: redis-py issue 3767). Here all calls of one
turn of the event loop, and those made while a pipeline is on its way, share the next
one. Each caller gets its own answer or error. One pipeline at a time keeps the order:
what was settled before a question was asked is part of its answer.
"""

import asyncio
import contextvars
import hashlib
import importlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import NoScriptError, ResponseError
from redis.utils import HIREDIS_AVAILABLE

Command = tuple[str | int, ...]
Pack = Callable[[Command], bytes]

# In redis-py's asyncio connections only the parser is hiredis: packing there was half
# of what a call cost.
HIREDIS: Pack | None = None
if HIREDIS_AVAILABLE:
    HIREDIS = importlib.import_module("hiredis").pack_command
TURNS = 8  # of the event loop: from a socket to who waits for the answer
MOST = 100  # calls in one pipeline: nobody else is served while Redis runs them


class Script:
    """A Lua script, and the digest by which a Redis that has seen it knows it."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.digest = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


@dataclass(slots=True, eq=False)
class _Call:
    script: Script
    rest: Command
    asked: float  # on the clock of the event loop
    timeout: float | None
    answer: asyncio.Future[Any]


class Pipelining:
    """What one process calls on one Redis.

    A call without an answer after `timeout` seconds gets a TimeoutError; while Redis
    answers others, after four times that. Calls outlive their callers: `idle` waits.
    """

    def __init__(self, redis: Redis, timeout: float | None = None) -> None:
        self.timeout = timeout
        self._pool = redis.connection_pool
        self._seen: set[str] = set()  # digests of scripts that Redis was given
        self._waiting: list[_Call] = []
        self._sent: list[_Call] = []
        self._moved = -math.inf  # when Redis was last asked, or answered
        self._limit: asyncio.Timeout | None = None  # of the pipeline under way
        self._timer: asyncio.Handle | None = None
        self._sender: asyncio.Task[None] | None = None

    def call(
        self, script: Script, keys: Sequence[str], args: Sequence[str | int]
    ) -> asyncio.Future[Any]:
        """Run a script; the answer raises RedisError or TimeoutError.

        Cancelled before it was sent, it never is; after that it is too late.
        """
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Any] = loop.create_future()
        rest = (len(keys), *keys, *args)
        now, timeout = loop.time(), self.timeout
        self._waiting.append(_Call(script, rest, now, timeout, answer))
        # Not in the context of the caller: what is begun here outlives it.
        if timeout is not None and self._timer is None:
            apart = contextvars.Context()
            self._timer = loop.call_at(now + timeout, self._expire, context=apart)
        if self._sender is None:
            apart = contextvars.Context()
            self._sender = loop.create_task(self._send_all(), context=apart)
        return answer

    async def idle(self) -> None:
        """Return when every call made so far has its answer or its error."""
        while self._sender is not None:
            await asyncio.wait({self._sender})

    def _expire(self, turn: int = 0) -> None:
        """Fail each call whose own time is over, whatever else is in its pipeline.

        First the loop gets a few turns: if it was busy, answers lie in the socket.
        """
        loop = asyncio.get_running_loop()
        calls = (*self._sent, *self._waiting)
        dues = [(self._due_of(it), it) for it in calls if not it.answer.done()]
        late = [it for due, it in dues if due <= loop.time()]
        if late and turn < TURNS:
            self._timer = loop.call_soon(self._expire, turn + 1)
            return
        for call in late:
            call.answer.set_exception(TimeoutError("Redis did not answer in time."))
        rest = [due for due, it in dues if not it.answer.done() and due < math.inf]
        self._timer = loop.call_at(min(rest), self._expire) if rest else None
        if self._limit is not None and all(it.answer.done() for it in self._sent):
            self._limit.reschedule(loop.time())

    def _due_of(self, call: _Call) -> float:
        """When a call is late: not while Redis answers, save after four times."""
        if call.timeout is None:
            return math.inf
        alive = max(call.asked, self._moved)
        return min(alive + call.timeout, call.asked + 4 * call.timeout)

    async def _send_all(self) -> None:
        try:
            while self._waiting:
                await self._send_burst()
        finally:
            self._sender = None

    async def _send_burst(self) -> None:
        connection: AbstractConnection | None = None
        try:
            while batch := self._take():
                try:
                    async with asyncio.timeout(None) as self._limit:
                        if connection is None:
                            found = self._pool.get_connection()  # type: ignore[no-untyped-call]
                            connection = await found
                        await self._exchange(connection, batch)
                except Exception as error:  # whatever it is, those who wait hear it
                    for call in batch:
                        if not call.answer.done():
                            call.answer.set_exception(error)
        except asyncio.CancelledError:  # the event loop ends
            for call in (*self._sent, *self._waiting):
                call.answer.cancel()
            self._waiting.clear()
            raise
        finally:
            self._limit = None
            if connection is not None:
                await self._pool.release(connection)

    def _take(self) -> list[_Call]:
        batch = [call for call in self._waiting[:MOST] if not call.answer.done()]
        del self._waiting[:MOST]
        self._sent = batch
        return batch

    async def _exchange(
        self, connection: AbstractConnection, batch: list[_Call]
    ) -> None:
        """Send and hear all; after a broken connection once more what has no answer."""
        pack = HIREDIS or partial(_packed, connection)
        # A timer an answer would be dearer than the answer; the batch has one.
        patience = None if self.timeout is None else math.inf
        loop = asyncio.get_running_loop()

        async def once() -> None:
            sent = [call for call in batch if not call.answer.done()]
            packed = [pack(self._command(call)) for call in sent]
            await connection.send_packed_command([b"".join(packed)])
            self._moved = loop.time()
            unknown = []
            for call in sent:
                try:
                    answer = await connection.read_response(timeout=patience)
                except NoScriptError:
                    self._seen.discard(call.script.digest)
                    unknown.append(call)
                except ResponseError as error:
                    if not call.answer.done():
                        call.answer.set_exception(error)
                else:
                    if not call.answer.done():
                        call.answer.set_result(answer)
                self._moved = loop.time()
            self._waiting[:0] = unknown

        async def broken(_: Exception) -> None:
            await connection.disconnect()

        await connection.retry.call_with_retry(once, broken)

    def _command(self, call: _Call) -> Command:
        script = call.script
        if script.digest in self._seen:
            return ("EVALSHA", script.digest, *call.rest)
        self._seen.add(script.digest)
        return ("EVAL", script.text, *call.rest)


def _packed(connection: AbstractConnection, command: Command) -> bytes:
    """What redis-py makes of a command by itself."""
    return b"".join(connection.pack_command(*command))


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
