"""The keywords of JSON Schema that are read here, each of the type it must have.

They are those OpenAI's structured outputs allow and Pydantic writes. A schema with one
that is not read is refused, so that no answer pretends to satisfy it. A Pydantic model
reads a schema much faster than `check_schema` of the `jsonschema` library does.
Source: JSON Schema 2020-12, core and validation.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Never

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    StrictBool,
    Tag,
    ValidationError,
)
from pydantic.alias_generators import to_camel

from examples.full_app.errors import RequestError

Schema = Mapping[str, Any] | bool
Number = (
    Annotated[int, Field(strict=True)]
    | Annotated[float, Field(strict=True, allow_inf_nan=False)]
)
Count = Annotated[int, Field(ge=0, strict=True)]


class UnsupportedSchemaError(RequestError):
    """The offline provider cannot make a value for this schema."""

    code = "unsupported_schema"
    recovery = "Use types, enums, bounds, formats, plain patterns, and finite schemas."


class Steps:
    """Work in steps, of which one answer gets a limited number."""

    def __init__(self, limit: int) -> None:
        self._left = limit

    def take(self, cost: int = 1) -> None:
        """Count `cost` steps. Raises UnsupportedSchemaError when none are left."""
        self._left -= cost
        if self._left < 0:
            raise UnsupportedSchemaError("The schema takes too long to satisfy.")


ABSENT: Any = None  # a default is not validated; a null in a schema is, and refused


def _refuse(value: object) -> Never:
    raise ValueError("not read")


NotRead = Annotated[Any, BeforeValidator(_refuse)]


def _form(value: object) -> str:
    return "flag" if isinstance(value, bool) else "keywords"


Part = Annotated[
    Annotated["Keywords", Tag("keywords")] | Annotated[StrictBool, Tag("flag")],
    Discriminator(_form),  # a plain union would try every level twice
]


class Keywords(BaseModel):
    """The keywords that are read; unknown ones are annotations, and ignored."""

    model_config = ConfigDict(alias_generator=to_camel, extra="ignore")

    ref: str = Field(ABSENT, alias="$ref")
    defs: dict[str, Part] = Field(ABSENT, alias="$defs")
    definitions: dict[str, Part] = ABSENT
    type: str | list[str] = ABSENT
    format: str = ABSENT
    pattern: str = ABSENT
    enum: list[Any] = ABSENT
    all_of: list[Part] = ABSENT
    any_of: list[Part] = ABSENT
    one_of: list[Part] = ABSENT
    not_: Part = Field(ABSENT, alias="not")
    if_: Part = Field(ABSENT, alias="if")
    then: Part = ABSENT
    else_: Part = Field(ABSENT, alias="else")
    minimum: Number = ABSENT
    maximum: Number = ABSENT
    exclusive_minimum: Number = ABSENT
    exclusive_maximum: Number = ABSENT
    multiple_of: Annotated[Number, Field(gt=0)] = ABSENT
    min_length: Count = ABSENT
    max_length: Count = ABSENT
    items: Part = ABSENT
    prefix_items: list[Part] = ABSENT
    min_items: Count = ABSENT
    max_items: Count = ABSENT
    unique_items: StrictBool = ABSENT
    properties: dict[str, Part] = ABSENT
    pattern_properties: dict[str, Part] = ABSENT
    property_names: Part = ABSENT
    additional_properties: Part = ABSENT
    required: list[str] = ABSENT
    min_properties: Count = ABSENT
    max_properties: Count = ABSENT

    nested_schema: NotRead = Field(ABSENT, alias="$schema")  # only the root has one
    contains: NotRead = ABSENT
    dependent_required: NotRead = ABSENT
    dependent_schemas: NotRead = ABSENT
    dependencies: NotRead = ABSENT
    dynamic_ref: NotRead = Field(ABSENT, alias="$dynamicRef")
    unevaluated_items: NotRead = ABSENT
    unevaluated_properties: NotRead = ABSENT


def check_keywords(schema: object) -> None:
    """Raises UnsupportedSchemaError unless every keyword in `schema` can be read."""
    try:
        Keywords.model_validate(schema)
    except ValidationError as error:
        steps = [str(step) for step in error.errors()[0]["loc"]]
        path = ".".join(step for step in steps if step not in ("keywords", "flag"))
        where = path[:80].encode("ascii", "replace").decode()
        raise UnsupportedSchemaError(f"Not read in a schema: `{where}`.") from None
