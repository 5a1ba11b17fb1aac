"""Calls that nobody waits for on a connection: they wait for the caller's limits."""

import asyncio
import time

from examples.full_app.chat.call import Call
from examples.full_app.chat.service import ChatService
from examples.full_app.errors import NotReadyError
from examples.full_app.limits.ledger import CallerLimits
from examples.full_app.limits.slots import RETRY_AFTER, NoSlotError
from examples.full_app.providers.base import CallContext
from examples.full_app.schemas.chat import ChatCompletionRequest
from examples.s5_error_handling import RateLimitExceededError

MAX_WAIT_SECONDS = 600.0


async def open_when_possible(
    service: ChatService,
    request: ChatCompletionRequest,
    context: CallContext,
    limits: CallerLimits,
) -> Call:
    """Admit a call, waiting as long as the caller's rate limit says, and for Redis.

    After ten minutes it raises what it waits for, and at once whatever else
    `ChatService.open` raises.
    """
    give_up = time.monotonic() + MAX_WAIT_SECONDS
    while True:
        try:
            return await service.open(request, context, limits)
        except (RateLimitExceededError, NotReadyError, NoSlotError) as error:
            wait = error.retry_after or 1.0
            if isinstance(error, NoSlotError):
                wait = RETRY_AFTER  # whose queue is here: it may look more often
            if time.monotonic() + wait > give_up:
                raise
            await asyncio.sleep(wait)
