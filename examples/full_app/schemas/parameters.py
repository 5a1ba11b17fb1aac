"""The nested parameters of a chat request: tools, answer formats, stream options.

Source: OpenAI API reference, chat completions.
"""

from typing import Annotated, Literal

from pydantic import Discriminator, Field, StrictBool, StringConstraints

from examples.full_app.schemas.base import JSONSchema, ToolName, Wire


class FunctionDefinition(Wire):
    """A function the model may ask for; `parameters` is a JSON Schema."""

    name: ToolName
    description: Annotated[str, StringConstraints(max_length=10_000)] | None = None
    parameters: JSONSchema | None = None
    strict: StrictBool | None = None


class Tool(Wire):
    """A tool offered to the model."""

    type: Literal["function"]
    function: FunctionDefinition


class NamedFunction(Wire):
    """The function a `tool_choice` insists on."""

    name: ToolName


class NamedToolChoice(Wire):
    """`tool_choice` that insists on one function."""

    type: Literal["function"]
    function: NamedFunction


class JSONSchemaFormat(Wire):
    """A schema the answer must satisfy."""

    name: ToolName
    description: Annotated[str, StringConstraints(max_length=10_000)] | None = None
    schema_: JSONSchema = Field(alias="schema", default_factory=dict)
    strict: StrictBool | None = None


class TextResponseFormat(Wire):
    """Plain text, the default."""

    type: Literal["text"]


class JSONObjectResponseFormat(Wire):
    """Any JSON object."""

    type: Literal["json_object"]


class JSONSchemaResponseFormat(Wire):
    """JSON that validates against a given schema."""

    type: Literal["json_schema"]
    json_schema: JSONSchemaFormat


ResponseFormat = Annotated[
    TextResponseFormat | JSONObjectResponseFormat | JSONSchemaResponseFormat,
    Discriminator("type"),
]


class StreamOptions(Wire):
    """Whether a last chunk with the usage is wanted."""

    include_usage: StrictBool = False
    include_obfuscation: StrictBool = False
