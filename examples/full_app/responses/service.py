"""Responses as the route sees them: resolve the conversation, ask, keep the answer.

A response is a chat call in other words. Its conversation is put together from what is
stored, translated, and opened as a call by the chat service; the call's deltas become
the response. It is kept before its last event is sent, so that whoever sees the end can
read it, and the next request can go on from it.
"""

import logging
import secrets
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, replace

from redis.exceptions import RedisError

from examples.full_app.chat.call import Call, Done, Failed
from examples.full_app.chat.service import ChatService
from examples.full_app.limits.ledger import CallerLimits
from examples.full_app.providers.base import CallContext, Delta
from examples.full_app.responses.builder import (
    ResponseBuilder,
    ResponseEvent,
    as_delta,
)
from examples.full_app.responses.errors import (
    ItemNotFoundError,
    PreviousResponseNotFinishedError,
    PreviousResponseNotFoundError,
)
from examples.full_app.responses.items import (
    RESPONSE_PREFIX,
    as_context,
    check_outputs,
    response_of,
    stored,
)
from examples.full_app.responses.store import ResponseStore, StoredResponse
from examples.full_app.responses.translation import (
    as_chat_request,
    as_upstream_request,
    names_of_this_route,
    new_response,
    split_tools,
)
from examples.full_app.schemas.chat import ChatCompletionRequest
from examples.full_app.schemas.responses import (
    ContextItem,
    ItemReference,
    Response,
    ResponseRequest,
    ResponseStatus,
)

log = logging.getLogger(__name__)

DROPPED_TOOLS = "x-dropped-tools"
KNOWN_TOOLS = frozenset(
    {
        *("apply_patch", "code_interpreter", "computer", "computer_use_preview"),
        *("custom", "file_search", "image_generation", "local_shell", "mcp"),
        *("namespace", "shell", "tool_search", "web_search", "web_search_preview"),
    }
)


@dataclass(frozen=True, slots=True)
class Prepared:
    """A response that can be asked for: all that was checked and looked up.

    `context` is what the model reads, oldest first. `headers` say what was dropped.
    """

    owner: str
    response: Response
    chat: ChatCompletionRequest
    context: Sequence[ContextItem]
    headers: Mapping[str, str]


class ResponseService:
    """Makes responses in the foreground, and reads the kept ones.

    With `drop_tools`, tools that only OpenAI runs are dropped and not refused. With
    `pass_on`, an upstream is asked by its own `/v1/responses`.
    """

    def __init__(
        self,
        store: ResponseStore,
        chat: ChatService,
        *,
        drop_tools: bool,
        pass_on: bool = False,
    ) -> None:
        self.store = store
        self.chat = chat
        self.drop_tools = drop_tools
        self.pass_on = pass_on

    async def prepare(
        self, request: ResponseRequest, owner: str, *, seed: str | None = None
    ) -> Prepared:
        """Put the conversation together, and translate it.

        The id is made from `seed`, 32 hexadecimal digits, if there is one. Raises
        RequestError (400), PreviousResponseNotFoundError (400),
        PreviousResponseNotFinishedError (400) and ItemNotFoundError (404).
        """
        request, dropped = split_tools(request, drop=self.drop_tools)
        response_id = RESPONSE_PREFIX + (seed or secrets.token_hex(16))
        before = await self._before(request.previous_response_id, owner)
        context = [*before, *await self._given(request, owner, response_id)]
        check_outputs(context, len(before))
        chat = as_chat_request(request, context)
        status: ResponseStatus = "queued" if request.background else "in_progress"
        response = new_response(request, chat, response_id, int(time.time()), status)
        headers = {}
        if dropped:
            headers[DROPPED_TOOLS] = ", ".join(_shown(kind) for kind in dropped)
            log.warning(
                "tools dropped",
                extra={"reason": headers[DROPPED_TOOLS], "model": chat.model},
            )
        return Prepared(owner, response, chat, context, headers)

    async def _before(
        self, response_id: str | None, owner: str
    ) -> Sequence[ContextItem]:
        """What the previous response read and wrote."""
        if response_id is None:
            return []
        previous = await self.store.find(response_id, owner)
        if previous is None:
            raise PreviousResponseNotFoundError
        status = previous.response.status
        if status not in ("completed", "incomplete"):
            raise PreviousResponseNotFinishedError(status)
        return [*previous.items, *as_context(previous.response.output)]

    async def _given(
        self, request: ResponseRequest, owner: str, response_id: str
    ) -> list[ContextItem]:
        """The items of the request, in which references are replaced."""
        items: list[ContextItem] = []
        looked_up: dict[str, StoredResponse | None] = {}
        for index, item in enumerate(request.input):
            if isinstance(item, ItemReference):
                items += await self._referenced(
                    item, owner, f"input[{index}].id", looked_up
                )
            elif (kept := stored(item, response_id, index)) is not None:
                items.append(kept)
        return items

    async def _referenced(
        self,
        reference: ItemReference,
        owner: str,
        param: str,
        looked_up: dict[str, StoredResponse | None],
    ) -> list[ContextItem]:
        """The item that is meant; none for a thought, which no model reads.

        `looked_up` holds the responses that were read before, and gets what is read.
        """
        response_id = response_of(reference.id) or ""
        if response_id not in looked_up:
            looked_up[response_id] = await self.store.find(response_id, owner)
        source = looked_up[response_id]
        if source is not None:
            for item in (*source.items, *source.response.output):
                if item.id == reference.id:
                    return [] if item.type == "reasoning" else [item]
        raise ItemNotFoundError("There is no such item.", param=param)

    async def open(
        self, prepared: Prepared, context: CallContext, limits: CallerLimits
    ) -> Call:
        """Admit the call behind a response. Whoever opens it closes it."""
        body = None
        if self.pass_on:
            body = as_upstream_request(
                prepared.response, prepared.context, prepared.chat
            )
        context = replace(context, api_type="responses", response_body=body)
        with names_of_this_route():
            return await self.chat.open(prepared.chat, context, limits)

    async def whole(self, prepared: Prepared, call: Call) -> Response:
        """The whole response, which is kept. Raises an AIError."""
        with names_of_this_route():
            completion = await call.collect()
        builder = ResponseBuilder(prepared.response)
        choice = completion.choices[0]
        message = choice.message.model_dump(exclude_none=True)
        delta = as_delta(message, choice.finish_reason)
        delta.logprobs = choice.logprobs
        delta.answer_fields = {
            **(completion.model_extra or {}),
            **completion.model_dump(
                include={"service_tier", "system_fingerprint"}, exclude_none=True
            ),
        }
        for _ in builder.add(delta):
            pass  # nobody reads the events of a response that is sent whole
        for _ in builder.finish(completion.usage):
            pass
        return await self._kept(prepared, builder.response)

    async def events(
        self, prepared: Prepared, call: Call
    ) -> AsyncGenerator[ResponseEvent, None]:
        """Every event of the response in its order, the terminal one last."""
        builder = ResponseBuilder(prepared.response)
        yield builder.created()
        yield builder.in_progress()
        async for event in call.events():
            match event:
                case Delta():
                    for written in builder.add(event):
                        yield written
                case Done():
                    for written in builder.finish(call.usage_so_far()):
                        yield written
                case Failed(error):
                    usage = call.usage_so_far()
                    for written in builder.fail(error, call.context.request_id, usage):
                        yield written
        builder.response = await self._kept(prepared, builder.response)
        yield builder.terminal()

    async def _kept(self, prepared: Prepared, response: Response) -> Response:
        """The response after it was kept. One that could not be kept says so.

        The answer is paid for: a Redis that is away does not take it from its caller.
        """
        if not response.store:
            return response
        try:
            kept = await self.store.save(prepared.owner, response, prepared.context)
        except RedisError as error:
            log.warning("response not kept", extra={"reason": repr(error)})
            kept = False
        return response if kept else response.model_copy(update={"store": False})


def _shown(kind: str) -> str:
    """The type of a tool as a header may say it: a name that is known, or `other`."""
    return kind if kind in KNOWN_TOOLS else "other"
