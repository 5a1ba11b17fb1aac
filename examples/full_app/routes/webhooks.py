"""Webhook endpoints: register, list, rotate the secret, send a test event, delete.

Events are signed as Standard Webhooks are, so `openai`'s `client.webhooks.unwrap` and
the `standardwebhooks` libraries verify them.
"""

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Response
from pydantic import Field, HttpUrl, StringConstraints

from examples.full_app.dependencies import IdentityDep, JobServiceDep
from examples.full_app.json_body import JSONRoute
from examples.full_app.limits import management_limit
from examples.full_app.routes.documents import BODY, errors
from examples.full_app.schemas.base import Answer, Wire
from examples.full_app.validation import Bounded
from examples.full_app.webhooks import (
    DeadLetter,
    DeliveryAttempt,
    WebhookEndpoint,
    WebhookEvent,
    event,
)

router = APIRouter(
    prefix="/v1/webhooks",
    tags=["webhooks"],
    route_class=JSONRoute,
    dependencies=[Depends(management_limit)],
)

EndpointId = Annotated[str, Path(max_length=64, pattern="^we_[0-9a-f]+$")]
EventType = Annotated[str, StringConstraints(pattern=r"^[a-z_]+(\.[a-z_]+)*$")]


class EndpointRequest(Wire):
    """`POST /v1/webhooks`: where to send events, and which."""

    url: HttpUrl = Field(examples=["https://example.com/hooks"])
    name: Annotated[str, StringConstraints(max_length=64)] = ""
    event_types: list[EventType] = Field(
        default_factory=list,
        max_length=20,
        description="Empty: all. `job.succeeded`, `job.failed`, `job.cancelled`.",
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
    jobs: JobServiceDep,
    identity: IdentityDep,
) -> WebhookEndpoint:
    """The answer carries the signing secret, this once."""
    return await jobs.webhooks.create(
        identity.subject, str(body.url), name=body.name, event_types=body.event_types
    )


@router.get("", summary="List your endpoints", responses=errors())
async def list_endpoints(jobs: JobServiceDep, identity: IdentityDep) -> EndpointList:
    """Your endpoints, newest first."""
    return EndpointList(data=list(await jobs.webhooks.list(identity.subject)))


@router.get("/dead-letters", summary="List what was given up", responses=errors())
async def list_dead_letters(
    jobs: JobServiceDep, identity: IdentityDep
) -> DeadLetterList:
    """Events that no retry could deliver."""
    return DeadLetterList(data=list(await jobs.webhooks.dead_letters(identity.subject)))


@router.get("/{endpoint_id}", summary="Read an endpoint", responses=errors(404))
async def read_endpoint(
    endpoint_id: EndpointId, jobs: JobServiceDep, identity: IdentityDep
) -> WebhookEndpoint:
    """One endpoint, without its secret."""
    return await jobs.webhooks.get(identity.subject, endpoint_id)


@router.delete(
    "/{endpoint_id}",
    status_code=204,
    summary="Delete an endpoint",
    responses=errors(404),
)
async def delete_endpoint(
    endpoint_id: EndpointId, jobs: JobServiceDep, identity: IdentityDep
) -> Response:
    """Nothing more is sent to it."""
    await jobs.webhooks.delete(identity.subject, endpoint_id)
    return Response(status_code=204)


@router.post(
    "/{endpoint_id}/rotate", summary="Replace the secret", responses=errors(404)
)
async def rotate_secret(
    endpoint_id: EndpointId, jobs: JobServiceDep, identity: IdentityDep
) -> WebhookEndpoint:
    """A new secret, shown this once; for a day deliveries carry both signatures."""
    return await jobs.webhooks.rotate(identity.subject, endpoint_id)


@router.post(
    "/{endpoint_id}/test",
    status_code=202,
    summary="Send a test event",
    responses=errors(404),
)
async def send_test_event(
    endpoint_id: EndpointId, jobs: JobServiceDep, identity: IdentityDep
) -> WebhookEvent:
    """Queue one `webhook.test` event; the delivery log shows what came of it."""
    await jobs.webhooks.get(identity.subject, endpoint_id)
    news = event("webhook.test", {"id": endpoint_id})
    await jobs.webhooks.save_event(news)
    await jobs.queue.add_delivery(endpoint_id, news.id)
    return news


@router.get(
    "/{endpoint_id}/deliveries", summary="Read the delivery log", responses=errors(404)
)
async def list_deliveries(
    endpoint_id: EndpointId, jobs: JobServiceDep, identity: IdentityDep
) -> AttemptList:
    """The latest attempts: status, duration, and when the next one comes."""
    attempts = await jobs.webhooks.attempts(identity.subject, endpoint_id)
    return AttemptList(data=list(attempts))
