"""What goes over the WebSocket at `/v1/live`, in both directions."""

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from examples.full_app.schemas.base import Wire
from examples.full_app.schemas.chat import AnyChatRequest
from examples.full_app.web.json_body import Bounded


class ChatCreate(Wire):
    """Begin an answer."""

    type: Literal["chat.create"]
    request: AnyChatRequest
    resumable: bool = False


class ChatResume(Wire):
    """Go on with an answer that was begun as resumable."""

    type: Literal["chat.resume"]
    id: Annotated[str, Field(max_length=64)]
    last_event_id: Annotated[str, Field(max_length=64)] | None = None


class ChatCancel(Wire):
    """Stop the running answer."""

    type: Literal["chat.cancel"]


AnyEvent = ChatCreate | ChatResume | ChatCancel
ClientEvent = TypeAdapter[AnyEvent](
    Annotated[AnyEvent, Field(discriminator="type"), Bounded]
)


CHAT_DONE = '{"type":"chat.done"}'
CHAT_CANCELLED = '{"type":"chat.cancelled"}'


def chat_delta(chunk: str, event_id: str | None = None) -> str:
    """A chunk's JSON as an event; `event_id` is there to go on after it."""
    place = f',"event_id":"{event_id}"' if event_id else ""
    return f'{{"type":"chat.delta"{place},"chunk":{chunk}}}'


def chat_error(body: str) -> str:
    """The JSON of an error body as an event."""
    return f'{{"type":"error",{body.removeprefix("{")}'
