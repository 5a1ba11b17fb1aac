"""Counting tokens, by one estimate everywhere: before a call, after it, and offline.

A real BPE vocabulary (tiktoken) would have to be downloaded, and offline is a feature.
Section 2's rule is four characters a token; it holds for English only, so here each
character beyond ASCII counts as one token. Rounded up: a limit must not be undershot.
"""

from collections.abc import Sequence
from typing import Protocol

from examples.full_app.schemas.chat import (
    AssistantMessage,
    ChatCompletionRequest,
    ChatMessage,
)
from examples.full_app.schemas.upstream import UpstreamChatRequest
from examples.s2_models import CHARS_PER_TOKEN

MESSAGE_OVERHEAD = 3  # tokens around each message, as in OpenAI's chat format
# For an image, a sound or a file. Nobody here knows how an upstream counts it: what is
# charged is what the upstream reports.
PART_TOKENS = 1_500


class Tokenizer(Protocol):
    """Anything that can say how many tokens a text has."""

    def count(self, text: str) -> int:
        """Tokens in `text`; 0 for an empty one."""
        ...


class EstimateTokenizer:
    """Four ASCII characters a token, and one token for every other character."""

    def count(self, text: str) -> int:
        """Tokens in `text`, estimated, in a few passes at the speed of C."""
        if text.isascii():  # which a text knows without being looked through
            return -(-len(text) // CHARS_PER_TOKEN)
        narrow = len(text.encode("ascii", "ignore"))
        return -(-narrow // CHARS_PER_TOKEN) + len(text) - narrow


def count_messages(tokenizer: Tokenizer, messages: Sequence[ChatMessage]) -> int:
    """Tokens of a conversation: contents, names, calls, and what is around them."""
    total = MESSAGE_OVERHEAD * len(messages)
    for message in messages:
        if message.content:
            total += tokenizer.count(message.content)
        if message.name:
            total += tokenizer.count(message.name)
        if isinstance(message, AssistantMessage):
            for call in message.tool_calls or []:
                total += tokenizer.count(call.function.name + call.function.arguments)
    return total


def count_prompt(tokenizer: Tokenizer, request: ChatCompletionRequest) -> int:
    """Tokens of a request's conversation, also where it has images and other parts."""
    if not isinstance(request, UpstreamChatRequest):
        return count_messages(tokenizer, request.messages)
    total = MESSAGE_OVERHEAD * len(request.messages)
    for message in request.messages:
        total += tokenizer.count(message.text)
        total += tokenizer.count(message.further_text)
        total += PART_TOKENS * message.other_parts
    return total
