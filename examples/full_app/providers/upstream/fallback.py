"""Several upstreams as one provider: fallback, a budget of calls, circuit breakers.

What can be repaired unseen is repaired before the first delta; after it an error stays
an error, since the caller has read half of an answer. One user call makes at most three
upstream calls, those of the client's own retries included: the official clients number
their tries (`x-stainless-retry-count`) and obey `x-should-retry`.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

from examples.full_app.providers.base import (
    CallContext,
    Delta,
    EmbeddingCall,
    Embeddings,
)
from examples.full_app.providers.upstream.errors import (
    UnreadableAnswerError,
    UpstreamRefusedError,
)
from examples.full_app.providers.upstream.upstreams import (
    Answer,
    BudgetSpentError,
    Deltas,
    Failures,
    Policy,
    Upstream,
    close,
    falls_back,
    in_time,
    left,
    reason,
)
from examples.full_app.schemas.catalogue import Model
from examples.full_app.schemas.chat import ChatCompletionRequest
from examples.s2_models import Usage
from examples.s5_error_handling import (
    AIError,
    ModelError,
    ModelOverloadedError,
    ModelTimeoutError,
    RateLimitExceededError,
)


class ResilientProvider:
    """Asks `upstreams` in order until one begins to answer.

    `abandoned` is called for each attempt that gave no answer, with the upstream's
    name and one of `REASONS`' values, "error" or "circuit_open".
    """

    name = "resilient"

    def __init__(
        self,
        upstreams: Sequence[Upstream],
        *,
        policy: Policy | None = None,
        abandoned: Callable[[str, str], None] = lambda name, reason: None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.upstreams = upstreams
        self.policy = policy or Policy()
        self._abandoned = abandoned
        self._sleep = sleep

    async def models(self) -> Sequence[Model]:
        """The list of the first upstream that has one; aliases list nothing."""
        for upstream in self.upstreams:
            if upstream.model is None and (found := await upstream.provider.models()):
                return found
        return []

    async def stream(self, request: ChatCompletionRequest, call: CallContext) -> Deltas:
        """The deltas of the first upstream that sends one. Raises an AIError."""
        ask = partial(_begin_answer, request, call)
        upstream, (deltas, first) = await self._first(self.upstreams, call, ask)
        began, healthy = time.monotonic(), None
        try:
            yield first
            async for item in deltas:
                yield item
            healthy = True
        except AIError as error:
            healthy = self._healthy(error, call, began)
            raise
        finally:
            upstream.breaker.record(healthy)
            await close(deltas)

    async def embed(self, request: EmbeddingCall, call: CallContext) -> Embeddings:
        """Vectors of the first upstream that answers. Raises an AIError.

        An upstream with another model is left out: its vectors mean something else.
        """
        same = [one for one in self.upstreams if one.model is None]
        upstream, found = await self._first(
            same, call, lambda upstream: upstream.provider.embed(request, call)
        )
        upstream.breaker.record(True)
        return found

    async def _first(
        self,
        upstreams: Sequence[Upstream],
        call: CallContext,
        ask: Callable[[Upstream], Awaitable[Answer]],
    ) -> tuple[Upstream, Answer]:
        """The first answer and who gave it: each upstream once, then one once more."""
        budget = max(1, self.policy.calls - call.retry_count)
        waiting, failures, made, retried = list(upstreams), Failures(), 0, False
        while waiting and made < budget and left(call) > 0:
            upstream = waiting.pop(0)
            try:
                probe = upstream.breaker.admit()
                made += 1
                answer = await self._attempt(upstream, call, ask, probe)
            except AIError as error:
                lacks_model = error.status_code == 404 and failures
                if not falls_back(error) and not lacks_model:
                    raise
                self._abandoned(upstream.name, reason(error))
                if not lacks_model:  # the caller's model exists, where it failed
                    failures.append((upstream, error))
            else:
                call.trail.provider = upstream.name
                return upstream, answer
            if not waiting and not retried and made < budget:
                retried = True
                waiting = await self._once_more(failures, call)
        raise self._verdict(failures, call.retry_count, made)

    async def _attempt(
        self,
        upstream: Upstream,
        call: CallContext,
        ask: Callable[[Upstream], Awaitable[Answer]],
        probe: bool,
    ) -> Answer:
        began, healthy = time.monotonic(), None
        try:
            answer = await in_time(ask(upstream), call)
            healthy = True if probe else None  # others count when they have ended
            return answer
        except (AIError, asyncio.CancelledError) as error:
            healthy = self._healthy(error, call, began)
            raise
        finally:
            upstream.breaker.record(healthy, probe=probe)

    async def _once_more(self, failures: Failures, call: CallContext) -> list[Upstream]:
        """The upstream that can soonest be asked again, after the pause it needs.

        Only what certainly did no work: not reached, or refused with 503.
        """
        able = [
            (error.retry_after or 0.0, upstream)
            for upstream, error in failures
            if isinstance(error, ModelOverloadedError)
        ]
        if not able:
            return []
        asked, upstream = min(able, key=lambda item: item[0])
        jitter = 0.5 + random.random()  # noqa: S311  # spreads load, hides nothing
        pause = asked + self.policy.pause * jitter
        if pause > self.policy.longest_pause or pause >= left(call):
            return []
        await self._sleep(pause)
        return [upstream]

    def _verdict(self, failures: Failures, retry_count: int, made: int) -> AIError:
        """What the caller reads: the failure that passes soonest, else the last one.

        A client may go on by itself only if the number of its try, all that it tells
        us, still says how many calls were made.
        """
        if not failures:
            return ModelTimeoutError("The model did not answer in time.")
        timed = [e for _, e in failures if e.retry_after is not None]
        last = failures[-1][1]
        error = min(timed, key=lambda e: e.retry_after or 0.0, default=last)
        if made <= 1 and retry_count + made < self.policy.calls:
            return error
        return BudgetSpentError(
            error.message,
            error.code,
            error.status_code,
            error.details,
            retry_after=error.retry_after,
            headers=error.headers,
        )

    def _healthy(
        self, error: BaseException, call: CallContext, began: float
    ) -> bool | None:
        """What a failure says about the upstream; None: nothing.

        A caller with little patience, or one that leaves, proves nothing.
        """
        late = left(call) <= 0
        if late and isinstance(error, ModelTimeoutError | asyncio.CancelledError):
            hung = time.monotonic() - began >= self.policy.hung_after
            return False if hung else None
        if isinstance(error, RateLimitExceededError | UpstreamRefusedError):
            return None
        if isinstance(error, UnreadableAnswerError):
            return True  # it answered; that we cannot read it is no failure of its own
        return error.status_code < 500 if isinstance(error, AIError) else None


async def _begin_answer(
    request: ChatCompletionRequest, call: CallContext, upstream: Upstream
) -> tuple[Deltas, Delta | Usage]:
    """The deltas of one upstream, and the first of them. Raises an AIError."""
    if upstream.model is not None:
        request = request.model_copy(update={"model": upstream.model})
    deltas = upstream.provider.stream(request, call)
    try:
        return deltas, await anext(deltas)
    except StopAsyncIteration:
        raise ModelError("The model sent no answer.") from None
