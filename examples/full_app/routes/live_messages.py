"""What goes over the WebSocket at `/v1/live`, in both directions."""

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from examples.full_app.schemas.base import Bounded, Wire
from examples.full_app.schemas.chat import ChatCompletionRequest

DELTA = '{"type":"chat.delta"'


class ChatCreate(Wire):
    """Begin an answer."""

    type: Literal["chat.create"]
    request: ChatCompletionRequest
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


def event_of(data: str, event_id: str | None = None) -> str:
    """The data of a frame as an event of this protocol."""
    if data == "[DONE]":
        return '{"type":"chat.done"}'
    if data.startswith('{"error":'):
        return f'{{"type":"error",{data[1:]}'
    place = f',"event_id":"{event_id}"' if event_id else ""
    return f'{DELTA}{place},"chunk":{data}}}'
