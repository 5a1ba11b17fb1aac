"""The same endpoints under OpenAI's paths: what `client.webhooks.*` calls.

An alias: both paths manage the same endpoints, in one store, by the same service. Only
`/v1/webhooks` has the delivery log and the dead letters, and its test event is queued;
only these have pages, changes, and a test that waits for the receiver.
Source: openai-python 3.54, resources/webhooks.
"""

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query
from pydantic import Field, HttpUrl, StringConstraints

from examples.full_app.errors import RequestError
from examples.full_app.limits.rates import management_limit
from examples.full_app.routes.openapi import BODY, errors
from examples.full_app.routes.webhooks import (
    EndpointId,
    EventType,
    create_endpoint,
    read_endpoint,
)
from examples.full_app.schemas.base import Answer, Wire
from examples.full_app.web.dependencies import IdentityDep, WebhookServiceDep
from examples.full_app.web.json_body import Bounded, JSONRoute
from examples.full_app.webhooks.endpoints import ROTATION_SECONDS
from examples.full_app.webhooks.models import WebhookEndpoint
from examples.full_app.webhooks.service import EVENT_TYPES

router = APIRouter(
    prefix="/v1",
    tags=["webhooks"],
    route_class=JSONRoute,
    dependencies=[Depends(management_limit)],
)


class EndpointUpdate(Wire):
    """What to change; what is not named stays."""

    url: HttpUrl | None = None
    name: Annotated[str, StringConstraints(max_length=64)] | None = None
    event_types: list[EventType] | None = Field(default=None, max_length=20)


class RotateRequest(Wire):
    """Whether receivers get time to learn the new secret."""

    keep_old_secret_active_for_24_hours: bool = False


class TestRequest(Wire):
    """The type of the sample event."""

    event_type: EventType


class EndpointPage(Answer):
    """A page of the caller's endpoints, newest first."""

    object: Literal["list"] = "list"
    data: list[WebhookEndpoint]
    first_id: str | None = None
    last_id: str | None = None
    has_more: bool = False


class DeletedEndpoint(Answer):
    """What was deleted."""

    id: str
    object: Literal["webhook_endpoint.deleted"] = "webhook_endpoint.deleted"
    deleted: Literal[True] = True


class TestResult(Answer):
    """What the endpoint answered."""

    object: Literal["webhook_endpoint.test"] = "webhook_endpoint.test"
    webhook_endpoint_id: str
    event_type: str
    status_code: int
    success: Literal[True] = True


class EventTypeList(Answer):
    """The types of events there are."""

    object: Literal["list"] = "list"
    data: tuple[str, ...] = EVENT_TYPES


@router.get("/webhook_event_types", summary="List event types", responses=errors())
async def list_event_types() -> EventTypeList:
    """What an endpoint can be told about."""
    return EventTypeList()


# What answers the same at both paths is one function with two addresses.
router.add_api_route(
    "/webhook_endpoints",
    create_endpoint,
    methods=["POST"],
    status_code=200,
    summary="Register an endpoint",
    responses=errors(*BODY, 409),
)
router.add_api_route(
    "/webhook_endpoints/{endpoint_id}",
    read_endpoint,
    methods=["GET"],
    summary="Read an endpoint",
    responses=errors(404),
)


@router.get("/webhook_endpoints", summary="List your endpoints", responses=errors(400))
async def list_page(
    webhooks: WebhookServiceDep,
    identity: IdentityDep,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    after: Annotated[str | None, Query(max_length=64)] = None,
) -> EndpointPage:
    """A page of your endpoints, newest first."""
    endpoints = list(await webhooks.endpoints.list(identity.subject))
    ids = [endpoint.id for endpoint in endpoints]
    if after is not None and after not in ids:
        raise RequestError("There is no such endpoint to go on from.", param="after")
    start = 0 if after is None else ids.index(after) + 1
    page = endpoints[start : start + limit]
    first, last = (page[0].id, page[-1].id) if page else (None, None)
    more = start + limit < len(endpoints)
    return EndpointPage(data=page, first_id=first, last_id=last, has_more=more)


@router.post(
    "/webhook_endpoints/{endpoint_id}",
    summary="Change an endpoint",
    responses=errors(*BODY, 404),
)
async def update(
    endpoint_id: EndpointId,
    body: Annotated[EndpointUpdate, Bounded],
    webhooks: WebhookServiceDep,
    identity: IdentityDep,
) -> WebhookEndpoint:
    """Change its address, name or event types; deliveries under way follow."""
    changes = body.model_dump(mode="json", exclude_none=True)
    return await webhooks.endpoints.change(identity.subject, endpoint_id, changes)


@router.delete(
    "/webhook_endpoints/{endpoint_id}",
    summary="Delete an endpoint",
    responses=errors(404),
)
async def delete(
    endpoint_id: EndpointId, webhooks: WebhookServiceDep, identity: IdentityDep
) -> DeletedEndpoint:
    """Nothing more is sent to it."""
    await webhooks.endpoints.delete(identity.subject, endpoint_id)
    return DeletedEndpoint(id=endpoint_id)


@router.post(
    "/webhook_endpoints/{endpoint_id}/rotate_secret",
    summary="Replace the secret",
    responses=errors(*BODY, 404),
)
async def rotate_secret(
    endpoint_id: EndpointId,
    body: Annotated[RotateRequest, Bounded],
    webhooks: WebhookServiceDep,
    identity: IdentityDep,
) -> WebhookEndpoint:
    """A new secret, shown this once."""
    keep = ROTATION_SECONDS if body.keep_old_secret_active_for_24_hours else 0
    return await webhooks.endpoints.rotate(
        identity.subject, endpoint_id, keep_old_seconds=keep
    )


@router.post(
    "/webhook_endpoints/{endpoint_id}/test",
    summary="Send a test event now",
    responses=errors(*BODY, 404, 502),
)
async def send_test(
    endpoint_id: EndpointId,
    body: Annotated[TestRequest, Bounded],
    webhooks: WebhookServiceDep,
    identity: IdentityDep,
) -> TestResult:
    """One attempt, and the status it was answered with; 502 when no answer came."""
    made = await webhooks.send_now(identity.subject, endpoint_id, body.event_type)
    return TestResult(
        webhook_endpoint_id=endpoint_id,
        event_type=body.event_type,
        status_code=made.status or 0,
    )
