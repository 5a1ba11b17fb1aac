"""A request of this route as a request of the chat route, and as fields of its answer.

Every model behind this service speaks chat completions. So a response is a chat call
with other words around it, and whatever holds for chat calls holds for it.
`metadata` and `store` stay here: chat completions of an upstream would keep the
conversation a second time.
"""

import contextlib
import re
from collections.abc import Iterator, Sequence
from typing import Any

from pydantic import TypeAdapter, ValidationError

from examples.full_app.errors import RequestError
from examples.full_app.responses.items import as_messages
from examples.full_app.schemas.chat import AnyChatRequest, ChatCompletionRequest
from examples.full_app.schemas.responses import (
    LOGPROBS,
    AllowedTools,
    ContextItem,
    EchoedTool,
    FunctionTool,
    HostedTool,
    JSONObjectFormat,
    JSONSchemaFormat,
    NamedTool,
    Response,
    ResponseRequest,
    ResponseStatus,
)
from examples.s5_error_handling import AIError

COPIED_FIELDS = (
    "temperature",
    "top_p",
    "frequency_penalty",
    "presence_penalty",
    "parallel_tool_calls",
    "user",
    "service_tier",
    "prompt_cache_key",
    "safety_identifier",
)
NAMES_HERE = {
    "max_completion_tokens": "max_output_tokens",
    "max_tokens": "max_output_tokens",
    "messages": "input",
    "reasoning_effort": "reasoning.effort",
    "response_format": "text.format",
    "verbosity": "text.verbosity",
}
CHAT_REQUEST: TypeAdapter[ChatCompletionRequest] = TypeAdapter(AnyChatRequest)


def split_tools(
    request: ResponseRequest, *, drop: bool
) -> tuple[ResponseRequest, list[str]]:
    """The request with functions only, and the types of the tools that were dropped.

    Raises RequestError (400) for a tool that only OpenAI runs, unless `drop` is set.
    """
    dropped = []
    for index, tool in enumerate(request.tools):
        if isinstance(tool, HostedTool):
            if not drop:
                raise RequestError(
                    "Only tools of type function run here.",
                    param=f"tools[{index}].type",
                    code="unsupported_parameter",
                )
            dropped.append(tool.type)
    if not dropped:
        return request, []
    functions = [tool for tool in request.tools if isinstance(tool, FunctionTool)]
    if request.tool_choice == "required" and not functions:
        raise RequestError(
            "`tool_choice`: none of the tools runs here.",
            param="tool_choice",
            code="parameter_conflict",
        )
    return request.model_copy(update={"tools": functions}), dropped


def as_chat_request(
    request: ResponseRequest, context: Sequence[ContextItem]
) -> ChatCompletionRequest:
    """The chat request that answers this one. Raises RequestError (400)."""
    fields: dict[str, Any] = {
        "model": request.model,
        "messages": as_messages(context, request.instructions),
        "stream": request.stream,
    }
    given = request.model_fields_set
    for name in COPIED_FIELDS:
        if name in given:
            fields[name] = getattr(request, name)
    if request.max_output_tokens is not None:
        fields["max_completion_tokens"] = request.max_output_tokens
    if request.reasoning is not None:
        fields["reasoning_effort"] = request.reasoning.effort
    fields["verbosity"] = request.text.verbosity
    fields["response_format"] = _response_format(request)
    if LOGPROBS in request.include:
        fields["logprobs"] = True
        fields["top_logprobs"] = request.top_logprobs
    fields |= _tools(request)
    try:
        return CHAT_REQUEST.validate_python(fields)
    except ValidationError as error:
        raise _in_words_of_this_route(error) from None


def as_upstream_request(
    response: Response, context: Sequence[ContextItem], chat: ChatCompletionRequest
) -> dict[str, Any]:
    """The request for an upstream's own `/v1/responses`, without model and stream.

    It is made from what is kept of a response, so that it is the same in the
    background. The upstream keeps nothing: ids, storage and turns are ours.
    """
    given = chat.model_fields_set
    fields: dict[str, Any] = {
        name: getattr(response, name) for name in COPIED_FIELDS if name in given
    }
    fields |= {
        "input": [_upstream_item(item) for item in context],
        "instructions": response.instructions,
        "max_output_tokens": response.max_output_tokens,
        "max_tool_calls": response.max_tool_calls,
        "reasoning": _given(response.reasoning) or None,
        "store": False,
        "text": _without_defaults(response.text),
    }
    if response.truncation != "disabled":
        fields["truncation"] = response.truncation
    if response.tools:
        fields["tools"] = [_given(tool.model_dump()) for tool in response.tools]
        fields["tool_choice"] = response.tool_choice
    if chat.logprobs:
        fields["include"] = [LOGPROBS]
        fields["top_logprobs"] = response.top_logprobs
    return _given(fields)


def _upstream_item(item: ContextItem) -> dict[str, Any]:
    """An item as another server reads it: without the ids that we gave it."""
    fields = item.model_dump(mode="json", exclude={"id", "status"})
    for part in fields.get("content", []):
        part.pop("logprobs", None)
    return fields


def _without_defaults(text: dict[str, Any]) -> dict[str, Any] | None:
    """The options of the text without nulls; None where all of them are defaults."""
    options = {**text, "format": _given(text["format"])}
    return None if options == {"format": {"type": "text"}} else options


def _in_words_of_this_route(error: ValidationError) -> RequestError:
    """What the chat route refuses, with the name that the field has here.

    A conversation that grew over many turns can be more than one call may hold.
    """
    first = error.errors(include_input=False, include_url=False)[0]
    field = str(first["loc"][0]) if first["loc"] else ""
    message = first["msg"][:300]
    if first["type"] == "string_pattern_mismatch":
        message = "The form of this text is not one that is accepted here."
    if first["type"] == "too_long" and field == "messages":
        message = "The conversation has too many items."
    return RequestError(message, param=NAMES_HERE.get(field, field) or None)


@contextlib.contextmanager
def names_of_this_route() -> Iterator[None]:
    """A block in which a refusal names the field as this route does, not as chat."""
    try:
        yield
    except RequestError as error:
        named_here(error)
        raise


def named_here(error: AIError) -> AIError:
    """The error, in which the field at fault has the name of this route.

    An upstream may name a place inside of a field of the chat route, as in
    `messages[2].content`. The field alone is named then: its items are others here.
    """
    if isinstance(error, RequestError) and error.param is not None:
        field = re.split(r"[.\[]", error.param, maxsplit=1)[0]
        error.param = NAMES_HERE.get(field, error.param)
    return error


def _response_format(request: ResponseRequest) -> dict[str, Any] | None:
    """The format of the text, nested as chat completions nest it."""
    wanted = request.text.format
    if isinstance(wanted, JSONSchemaFormat):
        schema = {
            "name": wanted.name,
            "schema": wanted.schema_,
            "description": wanted.description,
            "strict": wanted.strict,
        }
        return {"type": "json_schema", "json_schema": _given(schema)}
    if isinstance(wanted, JSONObjectFormat):
        return {"type": "json_object"}
    return None


def _tools(request: ResponseRequest) -> dict[str, Any]:
    """The tools as chat completions nest them, and which of them may be called."""
    tools = [tool for tool in request.tools if isinstance(tool, FunctionTool)]
    choice: Any = request.tool_choice
    if isinstance(choice, AllowedTools):
        allowed = {tool.name for tool in choice.tools}
        tools = [tool for tool in tools if tool.name in allowed]
        choice = choice.mode
    elif isinstance(choice, NamedTool):
        choice = {"type": "function", "function": {"name": choice.name}}
    if not tools:
        return {}
    nested = [
        {
            "type": "function",
            "function": _given(
                {
                    "name": tool.name,
                    "description": tool.description,
                    "parameters": tool.parameters,
                    "strict": tool.strict,
                }
            ),
        }
        for tool in tools
    ]
    return {"tools": nested, "tool_choice": choice}


def new_response(
    request: ResponseRequest,
    chat: ChatCompletionRequest,
    response_id: str,
    created_at: int,
    status: ResponseStatus,
) -> Response:
    """The response before its first word: what was asked for, written out.

    What was not given shows the value that counts in its place.
    """
    text: dict[str, Any] = {"format": _echoed_format(request)}
    if request.text.verbosity is not None:
        text["verbosity"] = request.text.verbosity
    reasoning = request.reasoning
    choice = request.tool_choice
    return Response(
        id=response_id,
        created_at=created_at,
        status=status,
        background=request.background,
        instructions=request.instructions,
        max_output_tokens=request.max_output_tokens,
        max_tool_calls=request.max_tool_calls,
        metadata=request.metadata,
        model=request.model,
        parallel_tool_calls=request.parallel_tool_calls,
        previous_response_id=request.previous_response_id,
        prompt_cache_key=request.prompt_cache_key,
        reasoning={
            "effort": None if reasoning is None else reasoning.effort,
            "summary": None if reasoning is None else reasoning.summary,
        },
        safety_identifier=request.safety_identifier,
        service_tier=request.service_tier or "default",
        store=request.store,
        temperature=chat.temperature,
        text=text,
        tool_choice=choice if isinstance(choice, str) else choice.model_dump(),
        tools=[
            EchoedTool(**tool.model_dump(include=set(EchoedTool.model_fields)))
            for tool in request.tools
            if isinstance(tool, FunctionTool)
        ],
        top_logprobs=request.top_logprobs or 0,
        top_p=chat.top_p,
        frequency_penalty=request.frequency_penalty,
        presence_penalty=request.presence_penalty,
        truncation=request.truncation,
        user=request.user,
    )


def _echoed_format(request: ResponseRequest) -> dict[str, Any]:
    """The format of the text, with every field that its type has."""
    return request.text.format.model_dump(by_alias=True)


def _given(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}
