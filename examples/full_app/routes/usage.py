"""`GET /v1/usage`: what the caller's key has spent, may spend, and is limited to."""

from collections.abc import Mapping
from typing import Literal

from fastapi import APIRouter
from pydantic import Field

from examples.full_app.errors import NotReadyError
from examples.full_app.limits.ledger import ModelUsage
from examples.full_app.money import BudgetPeriod, as_usd
from examples.full_app.routes.openapi import errors
from examples.full_app.schemas.base import Answer
from examples.full_app.web.dependencies import (
    AppSettingsDep,
    CallerLimitsDep,
    IdentityDep,
)

router = APIRouter(prefix="/v1", tags=["usage"])


class ModelSpending(Answer):
    """What one model's calls have used. `cached_tokens` are among `prompt_tokens`."""

    model: str
    requests: int
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    spent_usd: str = Field(examples=["0.0375"])


class KeyLimits(Answer):
    """The limits that count for the caller."""

    requests_per_minute: int
    tokens_per_minute: int
    concurrent_calls: int


class Spending(Answer):
    """Amounts in USD, exact, as strings; null for a key without a budget.

    `spent_usd + reserved_usd + left_usd` is `budget_usd`. Running calls have reserved
    what they may cost at most. What is left is negative after a call that cost more.

    Times are in seconds since 1970, null for a budget without a period: it counts all
    that was ever spent. `allowed_models` is null where the key may use every model.
    `models` says what each model's calls have used in the same time; null while
    Redis is away.
    """

    object: Literal["usage"] = "usage"
    key: str | None = Field(default=None, examples=["ops"])
    budget_usd: str | None = Field(default=None, examples=["1.5"])
    spent_usd: str | None = Field(default=None, examples=["0.0375"])
    reserved_usd: str | None = Field(default=None, examples=["0"])
    left_usd: str | None = Field(default=None, examples=["1.4625"])
    budget_period: BudgetPeriod | None = None
    period_started_at: int | None = None
    period_ends_at: int | None = None
    allowed_models: list[str] | None = None
    limits: KeyLimits
    models: list[ModelSpending] | None = None


@router.get("/usage", summary="Read your budget", responses=errors(503))
async def read_usage(
    limits: CallerLimitsDep, identity: IdentityDep, settings: AppSettingsDep
) -> Spending:
    """What your key has spent and may still spend, for each model."""
    ledger = limits.limits.ledger
    rates = ledger.limiter.rates_of(limits.subject)
    account = await limits.account()
    running = ledger.period_of(limits.subject)
    allowed = limits.grant.models
    try:
        used = await limits.used()
    except NotReadyError:
        used = None
    return Spending(
        key=identity.key_name,
        budget_usd=as_usd(account.budget) if account else None,
        spent_usd=as_usd(account.spent) if account else None,
        reserved_usd=as_usd(account.reserved) if account else None,
        left_usd=as_usd(account.left) if account else None,
        budget_period=running[0] if running else None,
        period_started_at=int(running[1].timestamp()) if running else None,
        period_ends_at=int(running[2].timestamp()) if running else None,
        allowed_models=sorted(allowed) if allowed is not None else None,
        limits=KeyLimits(
            requests_per_minute=rates.requests.limit,
            tokens_per_minute=rates.tokens.limit,
            concurrent_calls=rates.concurrent_calls
            or settings.concurrent_calls_per_key,
        ),
        models=None if used is None else _by_model(used),
    )


def _by_model(used: Mapping[str, ModelUsage]) -> list[ModelSpending]:
    return [
        ModelSpending(
            model=model,
            requests=counts.requests,
            prompt_tokens=counts.prompt_tokens,
            cached_tokens=counts.cached_tokens,
            completion_tokens=counts.completion_tokens,
            spent_usd=as_usd(counts.spent),
        )
        for model, counts in used.items()
    ]
