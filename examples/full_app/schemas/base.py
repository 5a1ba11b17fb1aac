"""What every wire model shares: the two bases and the names of things."""

import operator
from functools import partial
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    StringConstraints,
)

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


class Wire(BaseModel):
    """Base of request objects: unknown fields are refused, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Answer(BaseModel):
    """Base of response objects this service builds itself."""

    model_config = ConfigDict(frozen=True)
