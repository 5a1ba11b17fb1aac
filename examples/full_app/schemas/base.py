"""What every wire model shares: the two bases and the names of things."""

import operator
from collections.abc import Callable
from functools import partial
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    StringConstraints,
    ValidationError,
    WrapValidator,
)
from pydantic_core import PydanticCustomError

from examples import s2_models as s2

ModelName = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:/-]*$", max_length=128)
]
ToolName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]+$", max_length=64)]
CallId = Annotated[str, StringConstraints(min_length=1, max_length=128)]
ShortText = Annotated[str, StringConstraints(min_length=1, max_length=256)]
JSONSchema = dict[str, Any]
FinishReason = s2.FinishReason | Literal["tool_calls"]

MAX_TOOLS = 128
is_none = partial(operator.is_, None)  # `exclude_if=is_none`: left out, not null
MAX_DESCRIBED = 1_000  # pydantic makes a dict of each, at ten microseconds or more


class Wire(BaseModel):
    """Base of request objects: unknown fields are refused, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Answer(BaseModel):
    """Base of response objects this service builds itself."""

    model_config = ConfigDict(frozen=True)


def too_many_errors(error: ValidationError) -> PydanticCustomError:
    """One mistake in place of more than `MAX_DESCRIBED`: it says how many."""
    return PydanticCustomError(
        "too_many_errors",
        "The request has {error_count} mistakes: too many to list.",
        {"error_count": error.error_count()},
    )


def _bounded(value: Any, validate: Callable[[Any], Any]) -> Any:
    try:
        return validate(value)
    except ValidationError as error:
        if error.error_count() <= MAX_DESCRIBED:
            raise
        raise too_many_errors(error) from None


# Of a body: one mistake in place of the thousands that fit into one, each of which
# FastAPI would describe before our handler could drop all but 20.
Bounded = WrapValidator(_bounded)
