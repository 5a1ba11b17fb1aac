"""Which of the offered tools the offline provider calls, and the calls in pieces."""

import hashlib
import json
import random
import re
from collections.abc import Iterator, Sequence

from examples.full_app.providers.offline.prose import keywords, last_question
from examples.full_app.schemas.answers import FunctionDelta, ToolCallDelta
from examples.full_app.schemas.chat import ChatCompletionRequest, ToolMessage
from examples.full_app.schemas.parameters import NamedToolChoice, Tool

PIECE = 12  # characters of arguments in one delta


def tools_to_call(request: ChatCompletionRequest) -> Sequence[Tool]:
    """The tools to call now; none when the answer is to be text.

    Named or required: always. Left to the model: when the question mentions a tool's
    name or a telling word of its description, and no result has come back yet.
    """
    tools = request.tools or []
    choice = request.tool_choice
    if not tools or choice == "none":
        return []
    if isinstance(choice, NamedToolChoice):
        return [tool for tool in tools if tool.function.name == choice.function.name]
    if isinstance(request.messages[-1], ToolMessage) and choice != "required":
        return []
    question = last_question(request.messages)
    meant = [tool for tool in tools if _is_meant(tool, question)]
    if choice == "required":
        meant = meant or tools[:1]
    return meant if request.parallel_tool_calls else meant[:1]


def tool_calls(
    tools: Sequence[Tool], question: str, dice: random.Random
) -> Iterator[ToolCallDelta]:
    """Calls of `tools`, one after the other, in pieces as an API streams them.

    Of each call the first piece has id, type and name; the rest is its arguments, JSON
    that satisfies the tool's `parameters`. Raises UnsupportedSchemaError (400).
    """
    # Imported when it is needed: beside Jupyter, `jsonschema` takes seconds to import,
    # because it prepares formats that are not used here.
    from examples.full_app.providers.offline.json_answers import json_answer

    for index, tool in enumerate(tools):
        schema = tool.function.parameters or {"type": "object"}
        value = json_answer(schema, question, dice)
        arguments = json.dumps(value, ensure_ascii=False)
        digest = hashlib.blake2b(dice.randbytes(16), digest_size=12).hexdigest()
        first = FunctionDelta(name=tool.function.name, arguments="")
        yield ToolCallDelta(
            index=index, id=f"call_{digest}", type="function", function=first
        )
        for at in range(0, len(arguments), PIECE):
            more = FunctionDelta(arguments=arguments[at : at + PIECE])
            yield ToolCallDelta(index=index, function=more)


def text_of(piece: ToolCallDelta) -> str:
    """What a piece adds to the tokens of an answer."""
    return (piece.function.name or "") + (piece.function.arguments or "")


def cut(pieces: Sequence[ToolCallDelta], length: int) -> Iterator[ToolCallDelta]:
    """The pieces up to `length` characters of text; a name is whole or not there."""
    for piece in pieces:
        if length <= 0 or length < len(piece.function.name or ""):
            return
        length -= len(text_of(piece))
        if length < 0:
            shorter = FunctionDelta(arguments=text_of(piece)[:length])
            piece = piece.model_copy(update={"function": shorter})
        yield piece


def _is_meant(tool: Tool, question: str) -> bool:
    asked = {word.lower() for word in re.findall(r"\w+", question)}
    name = tool.function.name
    parts = [*re.split(r"[_-]", name), *keywords(tool.function.description or "")]
    words = {word.lower() for word in parts if len(word) > 3}
    return name in question or not words.isdisjoint(asked)
