"""Webhooks as routes see them: test an endpoint, and send again what was given up."""

from collections.abc import Sequence

from examples.full_app.errors import ConflictError, NotFoundError
from examples.full_app.queue import Queue
from examples.full_app.webhooks.models import (
    DeadLetter,
    DeliveryAttempt,
    WebhookEvent,
    event,
)
from examples.full_app.webhooks.sender import WebhookSender
from examples.full_app.webhooks.store import WebhookStore
from examples.s5_error_handling import CodedError

EVENT_TYPES = (
    "job.succeeded",
    "job.failed",
    "job.cancelled",
    "response.completed",
    "response.failed",
    "response.incomplete",
    "response.cancelled",
)


class EndpointDisabledError(ConflictError):
    """Nothing is delivered to this endpoint."""

    code = "webhook_endpoint_disabled"
    recovery = "Enable the endpoint first."


class DeadLetterNotFoundError(NotFoundError):
    """No such dead letter: it was sent again, or it was too long ago."""

    code = "dead_letter_not_found"
    recovery = "List the dead letters to see those that exist."


class EndpointUnreachableError(CodedError):
    """The endpoint gave no answer at all."""

    code, status_code = "webhook_endpoint_unreachable", 502
    recovery = "Check the address, its certificate, and that it answers within 15 s."


class WebhookService:
    """The store of webhooks, who sends them, and the queue between the two."""

    def __init__(
        self, store: WebhookStore, sender: WebhookSender, queue: Queue
    ) -> None:
        self.store = store
        self.endpoints = store.endpoints
        self.sender = sender
        self.queue = queue

    async def send(self, owner: str, endpoint_id: str, event_type: str) -> WebhookEvent:
        """Queue a test event of this type. Raises EndpointNotFoundError."""
        await self.endpoints.get(owner, endpoint_id)
        news = event(event_type, {"id": endpoint_id})
        await self.store.save_event(news)
        await self.queue.add_delivery(owner, endpoint_id, news.id)
        return news

    async def send_now(
        self, owner: str, endpoint_id: str, event_type: str
    ) -> DeliveryAttempt:
        """Send a test event, once, and wait for the answer, whatever its status.

        Raises EndpointUnreachableError (502) when none comes.
        """
        endpoint = await self.endpoints.load(endpoint_id, owner)
        stored = await self.store.save_event(event(event_type, {"id": endpoint_id}))
        made = await self.sender.deliver(endpoint, stored)
        await self.store.log(made)
        if made.status is None:
            raise EndpointUnreachableError(f"No answer came: {made.error}.")
        return made

    async def resend(
        self, owner: str, endpoint_id: str, event_id: str | None = None
    ) -> Sequence[DeadLetter]:
        """Queue one dead letter of an endpoint again, or all of them; what was queued.

        A delivery begins at its first attempt. Raises EndpointNotFoundError,
        EndpointDisabledError (409) and, for one, DeadLetterNotFoundError (404).
        """
        if (await self.endpoints.get(owner, endpoint_id)).disabled:
            raise EndpointDisabledError("The endpoint is disabled.")
        sent = []
        for letter in await self.store.dead_letters(owner, limit=None):
            if letter.endpoint_id != endpoint_id:
                continue
            if event_id in (None, letter.event_id) and await self._again(owner, letter):
                sent.append(letter)
        if event_id is not None and not sent:
            raise DeadLetterNotFoundError("There is no such dead letter.")
        return sent

    async def _again(self, owner: str, letter: DeadLetter) -> bool:
        """Of two who ask at once, one sends it; if the queue is away, it stays."""
        place = (letter.endpoint_id, letter.event_id)
        if await self.store.load_event(letter.event_id) is None:
            return False
        if not await self.store.take_dead_letter(owner, *place):
            return False
        try:
            await self.queue.add_delivery(owner, *place)
        except BaseException:
            await self.store.bury(owner, letter)
            raise
        return True
