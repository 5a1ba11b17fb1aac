"""Which of the offered tools the offline provider calls."""

import re
from collections.abc import Sequence

from examples.full_app.providers.prose import keywords, last_question
from examples.full_app.schemas.chat import ChatCompletionRequest
from examples.full_app.schemas.messages import ToolMessage
from examples.full_app.schemas.parameters import NamedToolChoice, Tool


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


def _is_meant(tool: Tool, question: str) -> bool:
    asked = {word.lower() for word in re.findall(r"\w+", question)}
    name = tool.function.name
    telling = [*re.split(r"[_-]", name), *keywords(tool.function.description or "")]
    words = {word.lower() for word in telling if len(word) > 3}
    return name in question or not words.isdisjoint(asked)
