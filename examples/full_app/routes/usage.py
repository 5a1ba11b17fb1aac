"""`GET /v1/usage`: what the caller's key has spent, and what is left."""

from typing import Literal

from fastapi import APIRouter
from pydantic import Field

from examples.full_app.money import as_usd
from examples.full_app.routes.openapi import errors
from examples.full_app.schemas.base import Answer
from examples.full_app.web.dependencies import (
    CallerLimitsDep,
)

router = APIRouter(prefix="/v1", tags=["usage"])


class Spending(Answer):
    """Amounts in USD, exact, as strings; null for a key without a budget.

    `spent_usd + reserved_usd + left_usd` is `budget_usd`. Running calls have reserved
    what they may cost at most. What is left is negative after a call that cost more.
    """

    object: Literal["usage"] = "usage"
    budget_usd: str | None = Field(default=None, examples=["1.5"])
    spent_usd: str | None = Field(default=None, examples=["0.0375"])
    reserved_usd: str | None = Field(default=None, examples=["0"])
    left_usd: str | None = Field(default=None, examples=["1.4625"])


@router.get("/usage", summary="Read your budget", responses=errors(503))
async def read_usage(limits: CallerLimitsDep) -> Spending:
    """What your key has spent and may still spend."""
    account = await limits.account()
    if account is None:
        return Spending()
    return Spending(
        budget_usd=as_usd(account.budget),
        spent_usd=as_usd(account.spent),
        reserved_usd=as_usd(account.reserved),
        left_usd=as_usd(account.left),
    )
