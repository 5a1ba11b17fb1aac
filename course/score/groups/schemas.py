"""Schemas: answers that are JSON, of a shape that the caller gives."""

from typing import Any

from openai.types.chat import ChatCompletionMessageParam
from pydantic import BaseModel, ConfigDict, ValidationError

from course.score.check import Failed, check, expect, json_object, refused
from course.score.groups.streams import chunks
from course.score.server import CHAT, Server

TOWER: list[ChatCompletionMessageParam] = [
    {"role": "user", "content": "Where is the Eiffel Tower? Answer in JSON."}
]
ENOUGH = 400  # tokens


class Place(BaseModel):
    """The shape that the answers are to have."""

    model_config = ConfigDict(extra="forbid")

    city: str
    country: str


@check()
async def unknown_format_is_refused(server: Server) -> None:
    """A `response_format` of an unknown type is refused.

    Source: OpenAI API reference, "Create chat completion", `response_format`.
    """
    body = server.request(response_format={"type": "yaml"})
    refused(await server.send("POST", CHAT, json=body))


@check()
async def format_without_a_schema_is_refused(server: Server) -> None:
    """A `response_format` of the type `json_schema` is refused if it has no schema.

    Source: OpenAI guide "Structured outputs".
    """
    body = server.request(response_format={"type": "json_schema"})
    refused(await server.send("POST", CHAT, json=body))


@check(spends=True)
async def json_mode_answers_json(server: Server) -> None:
    """With the type `json_object` the answer is a JSON object.

    Source: OpenAI guide "Structured outputs", JSON mode.
    """
    answer = await server.client.chat.completions.create(
        model=server.model,
        messages=TOWER,
        response_format={"type": "json_object"},
        max_tokens=ENOUGH,
    )
    json_object(answer.choices[0].message.content, "the text")


@check(spends=True)
async def parse_returns_the_class(server: Server) -> None:
    """The official client's `.parse()` returns an object of the given class.

    Source: OpenAI guide "Structured outputs".
    """
    try:
        answer = await server.client.chat.completions.parse(
            model=server.model,
            messages=TOWER,
            response_format=Place,
            max_tokens=ENOUGH,
        )
    except ValidationError as error:
        wrong = error.errors(include_url=False)[0]
        raise Failed(
            f"the text does not fit: {wrong['msg']}: {wrong['input']!r}"
        ) from error
    parsed = answer.choices[0].message.parsed
    expect(isinstance(parsed, Place), f"`parsed` is {parsed!r}")


@check(spends=True)
async def streamed_json_fits(server: Server) -> None:
    """The pieces of a streamed answer are joined to JSON that fits the schema.

    Source: OpenAI guide "Structured outputs", streaming.
    """
    listed = await chunks(
        server, messages=TOWER, response_format=json_schema(), max_tokens=ENOUGH
    )
    texts = [choice.delta.content for each in listed for choice in each.choices]
    text = "".join(each or "" for each in texts)
    try:
        Place.model_validate_json(text)
    except ValidationError as error:
        raise Failed(f"{error.errors()[0]['msg']}: {text!r:.120}") from error


def json_schema() -> dict[str, Any]:
    """The `response_format` that asks for a Place."""
    schema = {"name": "place", "strict": True, "schema": Place.model_json_schema()}
    return {"type": "json_schema", "json_schema": schema}
