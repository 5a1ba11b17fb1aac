"""Items of a conversation, and the chat messages that they become.

What a response was made from is a flat list of items. It holds everything that the
model read, also of the responses before, so that nothing that is deleted or expires
later changes it. An item's id begins with its kind and names the response in which it
first appeared: a reference to it needs no index, only that response.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Any

from examples.full_app.errors import RequestError
from examples.full_app.schemas.responses import (
    ContextItem,
    FunctionCall,
    FunctionCallItem,
    FunctionCallOutput,
    InputItem,
    InputItemList,
    InputMessage,
    ItemReference,
    OutputItem,
    OutputMessage,
    ReadText,
    Reasoning,
    ReasoningItem,
    RefusalPart,
    StoredMessage,
    StoredOutput,
    UnsupportedPart,
    WrittenRefusal,
    WrittenText,
)

RESPONSE_PREFIX = "resp_"
ITEM_ID = re.compile(r"[a-z]{2,4}_([0-9a-f]{32})[io][0-9]{1,5}")


def input_id(kind: str, response_id: str, position: int) -> str:
    """The id of an item of the input; `kind` is `msg`, `fc` or `fco`."""
    return f"{kind}_{response_id.removeprefix(RESPONSE_PREFIX)}i{position}"


def output_id(kind: str, response_id: str, position: int) -> str:
    """The id of an item of the output; `kind` is `msg`, `fc` or `rs`."""
    return f"{kind}_{response_id.removeprefix(RESPONSE_PREFIX)}o{position}"


def response_of(item_id: str) -> str | None:
    """The id of the response in which an item first appeared; None: it is not ours."""
    match = ITEM_ID.fullmatch(item_id)
    return None if match is None else RESPONSE_PREFIX + match[1]


def stored(item: InputItem, response_id: str, position: int) -> ContextItem | None:
    """An item of the input as it is kept, with an id; None for what is not kept.

    Thoughts of a model are not kept, since no model would read them. References are
    replaced by what they name before.
    """
    if isinstance(item, Reasoning | ItemReference):
        return None
    if isinstance(item, FunctionCall):
        return FunctionCallItem(
            id=item.id or input_id("fc", response_id, position),
            call_id=item.call_id,
            name=item.name,
            arguments=item.arguments,
        )
    if isinstance(item, FunctionCallOutput):
        return StoredOutput(
            id=item.id or input_id("fco", response_id, position),
            call_id=item.call_id,
            output=item.text,
        )
    return _stored_message(item, item.id or input_id("msg", response_id, position))


def _stored_message(message: InputMessage, item_id: str) -> ContextItem:
    if message.role == "assistant":
        content: list[WrittenText | WrittenRefusal] = []
        for part in message.content:
            if isinstance(part, RefusalPart):
                content.append(WrittenRefusal(refusal=part.refusal))
            elif not isinstance(part, UnsupportedPart):
                content.append(WrittenText(text=part.text))
        return OutputMessage(id=item_id, content=content)
    return StoredMessage(
        id=item_id, role=message.role, content=[ReadText(text=message.text)]
    )


def as_context(output: Iterable[OutputItem]) -> list[ContextItem]:
    """The items of an answer that the next model reads: all but thoughts."""
    return [item for item in output if not isinstance(item, ReasoningItem)]


def check_outputs(context: Sequence[ContextItem], first_index: int) -> None:
    """Raise RequestError for an output whose call is not in the conversation.

    `first_index` is where the items of this request begin: `param` counts from there.
    """
    call_ids: set[str] = set()
    for index, item in enumerate(context):
        if isinstance(item, FunctionCallItem):
            call_ids.add(item.call_id)
        if isinstance(item, StoredOutput) and item.call_id not in call_ids:
            raise RequestError(
                "No earlier function call has this call_id.",
                param=f"input[{max(0, index - first_index)}].call_id",
            )


def as_messages(
    context: Iterable[ContextItem], instructions: str | None
) -> list[dict[str, Any]]:
    """The chat messages that the items become, `instructions` first.

    Calls that follow each other, and the text before them, are one message of the
    assistant: that is how chat completions write them.
    """
    messages: list[dict[str, Any]] = []
    if instructions:
        messages.append({"role": "system", "content": instructions})
    calling: dict[str, Any] | None = None  # the assistant's message that calls go into
    for item in context:
        if isinstance(item, FunctionCallItem):
            if calling is None:
                calling = {"role": "assistant"}
                messages.append(calling)
            calling.setdefault("tool_calls", []).append(_tool_call(item))
            continue
        calling = None
        if isinstance(item, StoredOutput):
            messages.append(
                {"role": "tool", "tool_call_id": item.call_id, "content": item.output}
            )
        elif isinstance(item, OutputMessage):
            if text := _text_of(item):
                calling = {"role": "assistant", "content": text}
                messages.append(calling)
        else:
            text = "".join(part.text for part in item.content)
            messages.append({"role": item.role, "content": text})
    return messages


def _text_of(message: OutputMessage) -> str:
    """The text of an answer of the assistant; a refusal is a text, too."""
    return "".join(
        part.text if isinstance(part, WrittenText) else part.refusal
        for part in message.content
    )


def _tool_call(item: FunctionCallItem) -> dict[str, Any]:
    function = {"name": item.name, "arguments": item.arguments}
    return {"id": item.call_id, "type": "function", "function": function}


def page_of(
    items: Sequence[ContextItem], limit: int, after: str | None
) -> InputItemList:
    """Up to `limit` items, those after the item `after`.

    Raises RequestError (400) when `after` is none of them.
    """
    start = 0
    if after is not None:
        ids = [item.id for item in items]
        if after not in ids:
            raise RequestError("There is no such item to go on from.", param="after")
        start = ids.index(after) + 1
    page = list(items[start : start + limit])
    return InputItemList(
        data=page,
        first_id=page[0].id if page else None,
        last_id=page[-1].id if page else None,
        has_more=start + limit < len(items),
    )
