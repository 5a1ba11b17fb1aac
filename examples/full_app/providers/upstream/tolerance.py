"""How a value that an upstream sent is read: one small function for each kind of value.

Upstreams that call themselves OpenAI-compatible differ in details: a count comes as
text, a reason to finish has a name of its own, a text comes in parts. An answer that
was paid for is not lost for such a detail. So no function here raises for a value of
another type: it returns what the value can mean, or None.
Source: OpenAI API reference (chat completion, chunk and usage objects).
"""

import json
import math
from collections.abc import Mapping
from typing import Any

from pydantic_core import from_json

from examples.full_app.schemas.answers import ChoiceLogprobs, TokenLogprob, TopLogprob
from examples.full_app.schemas.base import FinishReason
from examples.s2_models import Usage

MAX_COUNT = 10**12  # tokens; more is no count, and section 2's Usage refuses it
MAX_DEPTH = 32  # of fields that are passed on unread
IMPOSSIBLE = -9999.0  # OpenAI's own way to write the logarithm of zero
REPLACEMENT = "\ufffd"

# Control characters inside a string are accepted: some servers do not escape them.
_DECODER = json.JSONDecoder(strict=False)

FINISH_REASONS: Mapping[str, FinishReason] = {
    "length": "length",
    "max_tokens": "length",
    "max_output_tokens": "length",
    "max_length": "length",
    "model_length": "length",
    "model_context_window_exceeded": "length",
    "tool_calls": "tool_calls",
    "tool_call": "tool_calls",
    "tool_use": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
    "content_filtered": "content_filter",
    "safety": "content_filter",
    "refusal": "content_filter",
    "recitation": "content_filter",
    "blocklist": "content_filter",
    "prohibited_content": "content_filter",
    "spii": "content_filter",
    "image_safety": "content_filter",
    "guardrail_intervened": "content_filter",
}
THINKING_PARTS = frozenset({"thinking", "reasoning", "thought"})


def parse_json(data: bytes) -> Any:
    """The value of a JSON text, which is read as UTF-8 whatever its charset says.

    Unlike a caller's JSON it may hold NaN, half of an emoji or a raw line break. Raises
    ValueError for what is no JSON. Pydantic's reader is asked first, because it takes a
    third of the time. What it refuses is read by the one that is more tolerant.
    """
    try:
        return from_json(data)
    except ValueError:
        text = data.decode("utf-8-sig", "replace")
    try:
        return _DECODER.decode(text)
    except RecursionError:
        raise ValueError("the JSON is nested too deep") from None


def finish_reason_of(value: object) -> FinishReason | None:
    """The reason in OpenAI's words; an unknown one is "stop". None means: not yet."""
    if value is None:
        return None
    name = value.strip().lower() if isinstance(value, str) else ""
    return FINISH_REASONS.get(name, "stop")


def count_of(value: object) -> int | None:
    """A count of tokens, also one written as text or as a float; None if it is none."""
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return None
    if not isinstance(value, int | float) or not 0 <= value <= MAX_COUNT:
        return None  # NaN compares false
    return int(value)


def usage_of(value: object) -> Usage | None:
    """The tokens of a call, made to add up. A part that is unknown is 0.

    None if both are: `chat/call.py` then estimates them.

    A total above the sum of its parts counts as output: some upstreams leave the tokens
    of their reasoning out of `completion_tokens`, and charge them. A total below the
    sum is ignored.
    """
    if not isinstance(value, dict):
        return None
    prompt = count_of(value.get("prompt_tokens", value.get("input_tokens")))
    completion = count_of(value.get("completion_tokens", value.get("output_tokens")))
    total = count_of(value.get("total_tokens"))
    if total is not None and prompt is None and completion is not None:
        prompt = max(0, total - completion)
    elif total is not None and prompt is not None:
        completion = max(completion or 0, total - prompt)
    if not prompt and not completion:
        return None
    fields = {
        whole_characters(name): _usage_field(name, item)
        for name, item in value.items()
        if isinstance(name, str) and item is not None
    }
    known = {"total_tokens", "input_tokens", "output_tokens"}
    details = {
        name: item
        for name, item in fields.items()
        if name not in known and item is not None
    }
    return Usage.model_validate(
        {
            **details,
            "prompt_tokens": prompt or 0,
            "completion_tokens": completion or 0,
        }
    )


def _usage_field(name: str, value: object) -> object:
    """A further field of the usage; of details only what is a count."""
    if not name.endswith("_tokens_details"):
        return plain(value)
    if not isinstance(value, dict):
        return None
    counts = {whole_characters(key): count_of(item) for key, item in value.items()}
    return {key: count for key, count in counts.items() if count is not None}


def text_of(value: object) -> str | None:
    """The text of a message's content: a string, or the text parts of a list."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, list):
        return "".join(_text_of_part(part) for part in value)
    if isinstance(value, dict):
        return _text_of_part(value)
    return json.dumps(value)


def _text_of_part(part: object) -> str:
    if isinstance(part, str):
        return part
    if not isinstance(part, dict) or part.get("type") in THINKING_PARTS:
        return ""
    text = part.get("text")
    return text if isinstance(text, str) else ""


def thinking_of(value: object) -> str:
    """The text of the thinking parts in a list of content parts."""
    if not isinstance(value, list):
        return ""
    texts = []
    for part in value:
        if isinstance(part, dict) and part.get("type") in THINKING_PARTS:
            kind = part["type"]
            inside = part.get(kind, part.get("text", part.get("content")))
            texts.append(text_of(inside) or "")
    return "".join(texts)


def arguments_of(value: object) -> str:
    """The arguments of a tool call as JSON text, also if they came as an object."""
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(plain(value))


def logprobs_of(value: object) -> ChoiceLogprobs | None:
    """The log probabilities of OpenAI's form; entries without a token are left out."""
    entries = value.get("content") if isinstance(value, dict) else None
    if not isinstance(entries, list):
        return None
    content = []
    for entry in entries:
        if (first := _logprob_of(entry)) is None:
            continue
        alternatives = entry.get("top_logprobs")
        listed = alternatives if isinstance(alternatives, list) else []
        found = [one for one in map(_logprob_of, listed) if one is not None]
        content.append(
            TokenLogprob(
                token=first.token,
                logprob=first.logprob,
                bytes=first.bytes,
                top_logprobs=found,
            )
        )
    return ChoiceLogprobs(content=content)


def _logprob_of(entry: object) -> TopLogprob | None:
    if not isinstance(entry, dict) or not isinstance(entry.get("token"), str):
        return None
    logprob = entry.get("logprob")
    if not isinstance(logprob, int | float) or not math.isfinite(logprob):
        logprob = IMPOSSIBLE
    octets = entry.get("bytes")
    written = isinstance(octets, list) and all(type(one) is int for one in octets)
    return TopLogprob(
        token=whole_characters(entry["token"]),
        logprob=float(logprob),
        bytes=octets if written else None,
    )


def plain(value: object, depth: int = MAX_DEPTH) -> Any:
    """A JSON value that every client can read: no NaN, no half of an emoji.

    What is nested deeper than `depth` becomes null.
    """
    if isinstance(value, str):
        return whole_characters(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if not isinstance(value, dict | list):
        return value
    if depth == 0:
        return None
    if isinstance(value, list):
        return [plain(item, depth - 1) for item in value]
    return {
        whole_characters(str(key)): plain(item, depth - 1)
        for key, item in value.items()
    }


def whole_characters(text: str) -> str:
    """The text with surrogate pairs joined, and a lone half replaced by U+FFFD."""
    if text.isascii():
        return text
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def ends_in_half(text: str) -> bool:
    """Whether the last character is the first half of a surrogate pair."""
    return "\ud800" <= text[-1:] <= "\udbff"
