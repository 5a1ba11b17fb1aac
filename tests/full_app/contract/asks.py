"""What the tests of the wire ask, in the types of the official client."""

from typing import Any, Literal

from openai.types.chat import (
    ChatCompletionMessageParam,
    ChatCompletionToolParam,
    ChatCompletionUserMessageParam,
)
from pydantic import BaseModel

PATH = "/v1/chat/completions"
MODEL = "gpt-4o-mini"
EMBEDDER = "text-embedding-3-small"
QUESTION: ChatCompletionUserMessageParam = {
    "role": "user",
    "content": "Why does streaming feel faster?",
}
ASK: list[ChatCompletionMessageParam] = [QUESTION]
PLAIN: dict[str, Any] = {"model": MODEL, "messages": ASK}

WEATHER_QUESTION: ChatCompletionUserMessageParam = {
    "role": "user",
    "content": "What is the weather in Lisbon?",
}
WEATHER: ChatCompletionToolParam = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather in a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
}


class Place(BaseModel):
    """What `.parse()` is asked for."""

    city: str
    kind: Literal["town", "village"]
    people: int
