"""Webhook endpoints: register, list, rotate the secret, send a test event, delete.

Events are signed as Standard Webhooks are, so `openai`'s `client.webhooks.unwrap` and
the `standardwebhooks` libraries verify them. `/v1/webhook_endpoints` is the same in
OpenAI's words (`routes/openai_webhooks.py`).
"""

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Response
from pydantic import Field, HttpUrl, StringConstraints

from examples.full_app.limits.rates import management_limit
from examples.full_app.routes.openapi import BODY, errors
from examples.full_app.schemas.base import Answer, Wire
from examples.full_app.web.dependencies import IdentityDep, WebhookServiceDep
from examples.full_app.web.json_body import Bounded, JSONRoute
from examples.full_app.webhooks.models import (
    DeadLetter,
    DeliveryAttempt,
    WebhookEndpoint,
    WebhookEvent,
)

router = APIRouter(
    prefix="/v1/webhooks",
    tags=["webhooks"],
    route_class=JSONRoute,
    dependencies=[Depends(management_limit)],
)

EndpointId = Annotated[str, Path(max_length=64, pattern="^we_[0-9a-f]+$")]
EventId = Annotated[str, Path(max_length=64, pattern="^evt_[0-9a-f]+$")]
EventType = Annotated[str, StringConstraints(pattern=r"^[a-z_]+(\.[a-z_]+)*$")]


class EndpointRequest(Wire):
    """`POST /v1/webhooks`: where to send events, and which."""

    url: HttpUrl = Field(examples=["https://example.com/hooks"])
    name: Annotated[str, StringConstraints(max_length=64)] = ""
    event_types: list[EventType] = Field(
        default_factory=list,
        max_length=20,
        description="Empty: all of them. `GET /v1/webhook_event_types` lists them.",
    )


class EndpointList(Answer):
    """The caller's endpoints, newest first, without their secrets."""

    object: str = "list"
    data: list[WebhookEndpoint]


class AttemptList(Answer):
    """Deliveries to one endpoint, newest first."""

    object: str = "list"
    data: list[DeliveryAttempt]


class DeadLetterList(Answer):
    """Events that were given up, newest first."""

    object: str = "list"
    data: list[DeadLetter]


@router.post(
    "", status_code=201, summary="Register an endpoint", responses=errors(*BODY, 409)
)
async def create_endpoint(
    body: Annotated[EndpointRequest, Bounded],
    webhooks: WebhookServiceDep,
    identity: IdentityDep,
) -> WebhookEndpoint:
    """The answer carries the signing secret, this once."""
    return await webhooks.endpoints.create(
        identity.subject, str(body.url), name=body.name, event_types=body.event_types
    )


@router.get("", summary="List your endpoints", responses=errors())
async def list_endpoints(
    webhooks: WebhookServiceDep, identity: IdentityDep
) -> EndpointList:
    """Your endpoints, newest first."""
    return EndpointList(data=list(await webhooks.endpoints.list(identity.subject)))


@router.get("/dead-letters", summary="List what was given up", responses=errors())
async def list_dead_letters(
    webhooks: WebhookServiceDep, identity: IdentityDep
) -> DeadLetterList:
    """Events that no retry could deliver."""
    return DeadLetterList(
        data=list(await webhooks.store.dead_letters(identity.subject))
    )


@router.get("/{endpoint_id}", summary="Read an endpoint", responses=errors(404))
async def read_endpoint(
    endpoint_id: EndpointId, webhooks: WebhookServiceDep, identity: IdentityDep
) -> WebhookEndpoint:
    """One endpoint, without its secret."""
    return await webhooks.endpoints.get(identity.subject, endpoint_id)


@router.delete(
    "/{endpoint_id}",
    status_code=204,
    summary="Delete an endpoint",
    responses=errors(404),
)
async def delete_endpoint(
    endpoint_id: EndpointId, webhooks: WebhookServiceDep, identity: IdentityDep
) -> Response:
    """Nothing more is sent to it."""
    await webhooks.endpoints.delete(identity.subject, endpoint_id)
    return Response(status_code=204)


@router.post(
    "/{endpoint_id}/rotate", summary="Replace the secret", responses=errors(404)
)
async def rotate_secret(
    endpoint_id: EndpointId, webhooks: WebhookServiceDep, identity: IdentityDep
) -> WebhookEndpoint:
    """A new secret, shown this once; for a day deliveries carry both signatures."""
    return await webhooks.endpoints.rotate(identity.subject, endpoint_id)


@router.post(
    "/{endpoint_id}/test",
    status_code=202,
    summary="Send a test event",
    responses=errors(404),
)
async def send_test_event(
    endpoint_id: EndpointId, webhooks: WebhookServiceDep, identity: IdentityDep
) -> WebhookEvent:
    """Queue one `webhook.test` event; the delivery log shows what came of it."""
    return await webhooks.send(identity.subject, endpoint_id, "webhook.test")


@router.get(
    "/{endpoint_id}/deliveries", summary="Read the delivery log", responses=errors(404)
)
async def list_deliveries(
    endpoint_id: EndpointId, webhooks: WebhookServiceDep, identity: IdentityDep
) -> AttemptList:
    """The latest attempts: status, duration, and when the next one comes."""
    attempts = await webhooks.store.attempts(identity.subject, endpoint_id)
    return AttemptList(data=list(attempts))


@router.post(
    "/{endpoint_id}/enable",
    summary="Deliver to an endpoint again",
    responses=errors(404),
)
async def enable_endpoint(
    endpoint_id: EndpointId, webhooks: WebhookServiceDep, identity: IdentityDep
) -> WebhookEndpoint:
    """After it answered 410 or failed for days. Its dead letters stay: resend them."""
    return await webhooks.endpoints.enable(identity.subject, endpoint_id)


@router.post(
    "/{endpoint_id}/dead-letters/resend",
    status_code=202,
    summary="Resend all that was given up",
    responses=errors(404, 409),
)
async def resend_dead_letters(
    endpoint_id: EndpointId, webhooks: WebhookServiceDep, identity: IdentityDep
) -> DeadLetterList:
    """Queue every dead letter of the endpoint again; the answer lists them."""
    letters = await webhooks.resend(identity.subject, endpoint_id)
    return DeadLetterList(data=list(letters))


@router.post(
    "/{endpoint_id}/dead-letters/{event_id}/resend",
    status_code=202,
    summary="Resend what was given up",
    responses=errors(404, 409),
)
async def resend_dead_letter(
    endpoint_id: EndpointId,
    event_id: EventId,
    webhooks: WebhookServiceDep,
    identity: IdentityDep,
) -> DeadLetter:
    """Queue it again, with its old id and bytes, from the first attempt."""
    (letter,) = await webhooks.resend(identity.subject, endpoint_id, event_id)
    return letter
