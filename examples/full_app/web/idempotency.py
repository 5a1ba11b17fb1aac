"""`Idempotency-Key`: the same request sent twice is worked once and answered twice.

The key is claimed before the work, so that of requests sent at once one works and the
others hear 409. An answer of success is kept and replayed to the byte. An error is
not kept: it leaves nothing behind here, and the next try may do better.
Sources: draft-ietf-httpapi-idempotency-key-header (400, 409, 422); Stripe's API (the
replay header, the key's length, validation before the claim counts as no use).
"""

import hashlib
import json
import re
import secrets
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
from redis.asyncio import Redis
from starlette.requests import Request
from starlette.responses import Response

from examples.full_app.errors import ConflictError, RequestError
from examples.full_app.periodic import repeating
from examples.full_app.web.json_body import JSONRequest, JSONRoute

HEADER = "Idempotency-Key"
REPLAYED = {"Idempotent-Replayed": "true"}
KEPT_HEADERS = ("content-type", "location", "retry-after")
CLAIM_SECONDS = 15.0  # renewed while the work lasts

CURRENT_MS = """
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
"""
CLAIM = (
    CURRENT_MS
    + """
-- ARGV: fingerprint, owner, claim in ms, ms to keep, seed. Answers the state of the
-- key ('new', 'other', 'busy', 'done'), and the seed of the work or its answer.
local entry = redis.call('HMGET', KEYS[1], 'fingerprint', 'answer', 'until', 'seed')
if entry[1] and entry[1] ~= ARGV[1] then return {'other', ''} end
if entry[2] then return {'done', entry[2]} end
if entry[3] and tonumber(entry[3]) > now then return {'busy', ''} end
local seed = entry[4] or ARGV[5]
redis.call('HSET', KEYS[1], 'fingerprint', ARGV[1], 'owner', ARGV[2],
  'until', string.format('%.0f', now + ARGV[3]), 'seed', seed)
redis.call('PEXPIRE', KEYS[1], ARGV[4])
return {'new', seed}
"""
)
SETTLE = """
-- ARGV: owner, answer ('' forgets the claim), ms to keep. Only the owner settles.
if redis.call('HGET', KEYS[1], 'owner') ~= ARGV[1] then return 0 end
if ARGV[2] == '' then return redis.call('DEL', KEYS[1]) end
redis.call('HSET', KEYS[1], 'answer', ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 1
"""
RENEW = (
    CURRENT_MS
    + """
if redis.call('HGET', KEYS[1], 'owner') ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'until', string.format('%.0f', now + ARGV[2]))
return 1
"""
)


class InvalidIdempotencyKeyError(RequestError):
    """The key is empty, too long or not visible ASCII, or there are two."""

    code = "invalid_idempotency_key"
    recovery = "Send one key of 1 to 255 visible ASCII characters, such as a UUID."


class IdempotencyKeyReusedError(RequestError):
    """The key was used for a different request before."""

    code, status_code = "idempotency_key_reused", 422
    recovery = "Use a new key for every new request."


class IdempotencyConflictError(ConflictError):
    """The first request with this key is still being worked."""

    code, retryable = "idempotency_conflict", True
    recovery = "Wait for `Retry-After`, then send the same request again."

    def __init__(self) -> None:
        super().__init__("A request with this Idempotency-Key is being worked.")
        self.retry_after = 1.0


class IdempotencyStore:
    """Claims and answers in Redis, for `keep` seconds; one hash per caller and key."""

    def __init__(
        self, redis: Redis, *, keep: float, claim_seconds: float = CLAIM_SECONDS
    ) -> None:
        self.redis = redis
        self.keep = keep
        self.claim_seconds = claim_seconds

    async def run(
        self, name: str, fingerprint: str, work: Callable[[str], Awaitable[Response]]
    ) -> Response:
        """Answer with what `work` answers, or answered before to this `fingerprint`.

        Raises IdempotencyConflictError (409), IdempotencyKeyReusedError (422), and
        what `work` raises. A claim outlives the process that made it by
        `claim_seconds`; while the work lasts it is renewed. `work` gets a seed, 32
        hexadecimal digits: whoever takes over from a process that died gets the same.
        """
        owner = secrets.token_hex(8)
        claim, keep = _ms(self.claim_seconds), _ms(self.keep)
        state, kept = await self._call(
            CLAIM, name, fingerprint, owner, claim, keep, secrets.token_hex(16)
        )
        if state == "other":
            raise IdempotencyKeyReusedError(
                "This Idempotency-Key was used for a different request.", param=HEADER
            )
        if state == "busy":
            raise IdempotencyConflictError
        if state == "done":
            return _unpack(kept)
        answer = ""
        try:
            lease = _ms(self.claim_seconds)
            async with repeating(
                self.claim_seconds / 3,
                lambda: self._call(RENEW, name, owner, lease),
            ):
                response = await work(kept)
            if response.status_code < 300:
                answer = _pack(response)
            return response
        finally:
            with anyio.CancelScope(shield=True):
                await self._call(SETTLE, name, owner, answer, keep)

    async def _call(self, script: str, name: str, *args: str | int) -> Any:
        return await self.redis.register_script(script)(keys=[name], args=args)


class IdempotentRoute(JSONRoute):
    """A JSON route that honours `Idempotency-Key` on its `POST`."""

    def respond(
        self, request: JSONRequest, answer: Callable[[Request], Awaitable[Response]]
    ) -> Awaitable[Response]:
        """Answer once for each key; without a key, as often as asked."""
        if HEADER not in request.headers or request.method != "POST":
            return answer(request)
        return self._once(request, answer)

    async def _once(
        self, request: JSONRequest, answer: Callable[[Request], Awaitable[Response]]
    ) -> Response:
        keys = request.headers.getlist(HEADER)
        key = keys[0]
        if len(keys) > 1 or not re.fullmatch(r"[\x21-\x7e]{1,255}", key):
            raise InvalidIdempotencyKeyError(
                "The Idempotency-Key is not 1 to 255 visible characters.", param=HEADER
            )
        body = await request.json()
        if isinstance(body, dict) and body.get("stream") is True:
            raise RequestError(
                "A stream is not kept: resume it by its event ids instead.",
                param=HEADER,
                code="unsupported_parameter",
            )
        state = request.state
        store = IdempotencyStore(state.redis, keep=state.settings.idempotency_seconds)
        target = f"{request.method} {request.url.path}?{request.url.query}\n"
        fingerprint = _digest(target.encode() + await request.body())
        name = f"idempotency:{_digest(f'{state.identity.subject} {key}'.encode())}"

        async def work(seed: str) -> Response:
            state.idempotency_seed = seed
            return await answer(request)

        return await store.run(name, fingerprint, work)


def _pack(response: Response) -> str:
    headers = {h: response.headers[h] for h in KEPT_HEADERS if h in response.headers}
    body = bytes(response.body).decode("utf-8", "surrogateescape")  # cut by a fault
    return json.dumps([response.status_code, headers, body])


def _unpack(kept: str) -> Response:
    status, headers, body = json.loads(kept)
    content = body.encode("utf-8", "surrogateescape")
    return Response(content, status, {**headers, **REPLAYED})


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _ms(seconds: float) -> int:
    return max(1, round(seconds * 1000))
