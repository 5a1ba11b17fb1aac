"""Responses that are kept: each has an owner, a lifetime, and a share of bounded room.

Another caller's response is not there, on every path. A caller's oldest responses make
room for its newest; those that still run in the background are not forgotten.
"""

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import TypeAdapter
from redis.asyncio import Redis

from examples.full_app.events.follower import Event
from examples.full_app.observability.tracing import traceparent
from examples.full_app.responses.builder import ResponseEvent
from examples.full_app.responses.errors import (
    ResponseNotFoundError,
    TooManyResponsesError,
)
from examples.full_app.responses.scripts import BEGIN, END, FORGET, KEEP
from examples.full_app.schemas.chat import AnyChatRequest, ChatCompletionRequest
from examples.full_app.schemas.responses import (
    TERMINAL_STATUSES,
    ContextItem,
    Response,
)

LIVE = "responses:live"  # ids of those that are worked on, by the last sign of life
LIVE_SECONDS = 7 * 24 * 3600  # the longest that one in the background may take
RECORD_BYTES = 512  # about what Redis needs besides the texts
RESPONSE_ID = re.compile("resp_[0-9a-f]{32}")
Outcome = Literal["done", "ended", "moved"]
CHAT_REQUEST: TypeAdapter[ChatCompletionRequest] = TypeAdapter(AnyChatRequest)
ITEMS = TypeAdapter(list[ContextItem])


@dataclass(frozen=True, slots=True)
class StoredResponse:
    """A response as it is kept. `items` is what it was made from, oldest first.

    `attempt` counts the workers that began it; 0 for one in the foreground.
    """

    owner: str
    response: Response
    items: Sequence[ContextItem]
    attempt: int = 0
    ended_at: int | None = None
    traceparent: str | None = None

    @property
    def is_over(self) -> bool:
        """Whether nothing changes any more."""
        return self.response.status in TERMINAL_STATUSES


class ResponseStore:
    """The records of responses in Redis.

    `keep` is how many seconds a response is kept after its end, `events_keep` how long
    its events are, `max_bytes` how much one caller may have.
    """

    def __init__(
        self, redis: Redis, *, keep: int, events_keep: int, max_bytes: int
    ) -> None:
        self.redis = redis
        self.keep = keep
        self.events_keep = events_keep
        self.max_bytes = max_bytes
        self._keep = redis.register_script(KEEP)
        self._forget = redis.register_script(FORGET)
        self._begin = redis.register_script(BEGIN)
        self._end = redis.register_script(END)

    async def save(
        self, owner: str, response: Response, items: Sequence[ContextItem]
    ) -> bool:
        """Keep a response that has ended; False when there is no room for it."""
        answer = response.model_dump_json()
        context = ITEMS.dump_json(list(items)).decode("utf-8")
        size = _size(answer) + _size(context) + RECORD_BYTES
        expires = time.time() + self.keep
        if not await self._make_room(owner, response.id, size, expires):
            return False
        record: Any = {
            "owner": owner,
            "status": response.status,
            "response": answer,
            "items": context,
            "attempt": 0,
        }
        async with self.redis.pipeline(transaction=True) as pipe:
            pipe.hset(record_key(response.id), mapping=record)
            pipe.expire(record_key(response.id), self.keep)
            await pipe.execute()
        return True

    async def create(
        self,
        owner: str,
        response: Response,
        items: Sequence[ContextItem],
        request: ChatCompletionRequest,
        events: Sequence[ResponseEvent],
    ) -> None:
        """Keep a response that is queued, the request for it, and its first events.

        Raises TooManyResponsesError (409).
        """
        answer = response.model_dump_json()
        context = ITEMS.dump_json(list(items)).decode("utf-8")
        body = request.model_dump_json(by_alias=True, exclude_unset=True)
        texts = [answer, context, body, *(event.data for event in events)]
        size = sum(_size(text) for text in texts) + RECORD_BYTES
        if not await self._make_room(owner, response.id, size, float("inf")):
            raise TooManyResponsesError
        record: Any = {
            "owner": owner,
            "status": response.status,
            "response": answer,
            "items": context,
            "request": body,
            "attempt": 0,
            "traceparent": traceparent() or "",
        }
        key, log = record_key(response.id), events_key(response.id)
        async with self.redis.pipeline(transaction=True) as pipe:
            pipe.hset(key, mapping=record)
            pipe.expire(key, LIVE_SECONDS + self.keep)
            for number, event in enumerate(events, 1):
                fields: Any = {"event": event.type, "data": event.data}
                pipe.xadd(log, fields, id=f"0-{number}")
            pipe.expire(log, LIVE_SECONDS)
            pipe.zadd(LIVE, {response.id: int(time.time())})
            await pipe.execute()

    async def find(self, response_id: str, owner: str | None) -> StoredResponse | None:
        """The response; None if it is not there, or is not the owner's.

        `owner` None: whoever's it is, for workers.
        """
        if not RESPONSE_ID.fullmatch(response_id):
            return None
        record = await self._record(response_id)
        if not record or owner not in (None, record["owner"]):
            return None
        response = Response.model_validate_json(record["response"])
        if response.status != record["status"]:  # it began after it was written
            response = response.model_copy(update={"status": record["status"]})
        ended_at = record.get("ended_at")
        return StoredResponse(
            record["owner"],
            response,
            ITEMS.validate_json(record["items"]),
            int(record["attempt"]),
            None if ended_at is None else int(ended_at),
            record.get("traceparent"),
        )

    async def read(self, response_id: str, owner: str) -> StoredResponse:
        """The owner's response. Raises ResponseNotFoundError (404)."""
        stored = await self.find(response_id, owner)
        if stored is None:
            raise ResponseNotFoundError
        return stored

    async def request(self, response_id: str) -> ChatCompletionRequest | None:
        """The request for one that is not over; None when there is none any more."""
        request = await self.redis.hget(record_key(response_id), "request")
        return None if request is None else CHAT_REQUEST.validate_json(request)

    async def begin(self, response_id: str, *, attempts: int) -> int:
        """The number of the attempt that begins; 0: nothing to do; -1: too many."""
        keys = [record_key(response_id), LIVE]
        args: list[Any] = [response_id, int(time.time()), attempts]
        return int(await self._begin(keys=keys, args=args))

    async def end(
        self,
        stored: StoredResponse,
        response: Response,
        newest_id: str,
        events: Sequence[Event],
        *,
        log_bytes: int,
    ) -> Outcome:
        """End a response in the background, and append its last events.

        `newest_id` is the id of the event before them, '' for none. Answers `done`, or
        `ended` or `moved` where nothing was changed.
        """
        answer = response.model_dump_json()
        keys = [record_key(response.id), events_key(response.id)]
        args: list[Any] = [stored.attempt, newest_id, response.status, answer]
        args += [int(time.time()), self.keep, self.events_keep]
        for event in events:
            args += [event.id, event.type, event.data]
        outcome: Outcome = await self._end(keys=keys, args=args)
        if outcome == "done":
            context = ITEMS.dump_json(list(stored.items)).decode("utf-8")
            size = _size(answer) + _size(context) + log_bytes + RECORD_BYTES
            expires = time.time() + self.keep
            await self._make_room(stored.owner, response.id, size, expires)
        return outcome

    async def delete(self, response_id: str, owner: str) -> None:
        """Forget a response and its events. Raises ResponseNotFoundError (404)."""
        await self.read(response_id, owner)
        async with self.redis.pipeline(transaction=True) as pipe:
            pipe.delete(record_key(response_id), events_key(response_id))
            pipe.zrem(LIVE, response_id)
            keys = [_owned_key(owner), _sizes_key(owner)]
            await self._forget(keys=keys, args=[response_id], client=pipe)
            await pipe.execute()

    async def alive(self, response_id: str) -> None:
        """Note that somebody looks after the response."""
        await self.redis.zadd(LIVE, {response_id: int(time.time())}, xx=True)

    async def silent(self, seconds: float, *, limit: int = 1_000) -> Sequence[str]:
        """Responses without a sign of life for `seconds`, oldest first."""
        until = time.time() - seconds
        members = await self.redis.zrangebyscore(LIVE, 0, until, start=0, num=limit)
        return [str(member) for member in members]

    async def over(self, response_id: str) -> None:
        """It has ended, and whom it concerns was told."""
        await self.redis.zrem(LIVE, response_id)

    async def used_bytes(self, owner: str) -> int:
        """How much room the caller's responses take."""
        return int(await self.redis.hget(_sizes_key(owner), "total") or 0)

    async def _record(self, response_id: str) -> dict[str, str]:
        record: Any = await self.redis.hgetall(record_key(response_id))
        return dict(record)

    async def _make_room(
        self, owner: str, response_id: str, size: int, expires: float
    ) -> bool:
        keys = [_owned_key(owner), _sizes_key(owner)]
        score = "+inf" if expires == float("inf") else expires
        args: list[Any] = [response_id, size, score, time.time(), self.max_bytes]
        kept, *gone = await self._keep(keys=keys, args=args)
        forgotten = [
            key for each in gone for key in (record_key(each), events_key(each))
        ]
        async with self.redis.pipeline(transaction=False) as pipe:
            if forgotten:
                pipe.delete(*forgotten)
            for key in keys:
                pipe.expire(key, LIVE_SECONDS + self.keep)
            await pipe.execute()
        return bool(kept)


def record_key(response_id: str) -> str:
    """A hash: the record."""
    return f"response:{{{response_id}}}"


def events_key(response_id: str) -> str:
    """A stream: the events of a response in the background."""
    return f"response:{{{response_id}}}:events"


def _owned_key(owner: str) -> str:
    return f"responses:{owner}:expiry"


def _sizes_key(owner: str) -> str:
    return f"responses:{owner}:bytes"


def _size(text: str) -> int:
    return len(text.encode("utf-8"))
