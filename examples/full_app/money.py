"""Money as whole numbers: nano-USD, of which every price of a token is a multiple.

Micro-USD are too coarse: a prompt token of gpt-4o costs 2.5 of them. Some prices per
million tokens are not a whole number of nano-USD per token. So a price is kept in
nano-USD per million tokens, and the cost of a call is rounded up once, at the end.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Literal, NamedTuple

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, computed_field

from examples.s2_models import PRICES_PER_1K, SNAPSHOT_DATE, USD, Usage

NANO_DIGITS = 9
MILLION = 1_000_000
KNOWN_MODELS = 1_000  # whose price is not looked for anew for each call
CACHED_SHARE = Decimal("0.5")  # of the input's price, for section 2's models


def nano_usd(usd: Decimal) -> int:
    """`usd` in nano-USD. Raises ValueError where that is not a whole number."""
    amount = usd.scaleb(NANO_DIGITS)
    if amount != int(amount):
        raise ValueError(f"{usd} USD is not a whole number of nano-USD")
    return int(amount)


def as_usd(amount: int) -> str:
    """An amount of nano-USD in USD, exact, without an exponent: "0.0015"."""
    whole, part = divmod(abs(amount), 10**NANO_DIGITS)
    digits = f"{whole}.{part:0{NANO_DIGITS}}".rstrip("0").rstrip(".")
    return f"-{digits}" if amount < 0 else digits


# --- Prices ---

PerMillion = Annotated[Decimal, Field(ge=0, le=1_000_000, decimal_places=NANO_DIGITS)]


class ModelPrice(BaseModel):
    """USD for a million tokens of one model, as an operator writes it.

    Without `cached_input`, prompt tokens from the upstream's cache cost what others do.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    input: PerMillion
    cached_input: PerMillion | None = None
    output: PerMillion = Decimal(0)


class Price(NamedTuple):
    """Nano-USD for a million tokens: of prompts, of their cached part, of answers."""

    input: int
    cached_input: int
    output: int

    def cost(self, prompt_tokens: int, completion_tokens: int, cached: int = 0) -> int:
        """What a call costs in nano-USD, rounded up to a whole number.

        `cached` of the prompt tokens were read from the upstream's cache.
        """
        millionfold = (
            (prompt_tokens - cached) * self.input
            + cached * self.cached_input
            + completion_tokens * self.output
        )
        return -(-millionfold // MILLION)


DEFAULT_PRICES: Mapping[str, ModelPrice] = {
    name: ModelPrice(
        input=prompt * 1_000,
        cached_input=prompt * 1_000 * CACHED_SHARE,
        output=completion * 1_000,
    )
    for name, (prompt, completion) in PRICES_PER_1K.items()
} | {
    "text-embedding-3-small": ModelPrice(input=Decimal("0.02")),
    "text-embedding-3-large": ModelPrice(input=Decimal("0.13")),
}


class Prices:
    """The price of every model: by its name, by its family, or by a pattern.

    A dated snapshot (`gpt-4o-2024-08-06`) costs what its family does. In a pattern `*`
    stands for any characters; of the patterns that fit, the longest counts.
    """

    def __init__(self, prices: Mapping[str, ModelPrice] | None = None) -> None:
        """`prices` go before DEFAULT_PRICES, and need not repeat them."""
        self._by_name = {
            name: _in_nano_usd(price)
            for name, price in {**DEFAULT_PRICES, **(prices or {})}.items()
        }
        patterns = [name for name in self._by_name if "*" in name]
        self._patterns = sorted(patterns, key=len, reverse=True)
        self._known: dict[str, Price | None] = {}

    def of(self, model: str) -> Price | None:
        """The price of `model`; None if it has none."""
        if model not in self._known:
            if len(self._known) >= KNOWN_MODELS:
                self._known.clear()
            self._known[model] = self._find(model)
        return self._known[model]

    def cost_of(
        self, model: str, prompt_tokens: int, completion_tokens: int, cached: int = 0
    ) -> int | None:
        """What a call costs in nano-USD; None for a model without a price."""
        price = self.of(model)
        if price is None:
            return None
        return price.cost(prompt_tokens, completion_tokens, cached)

    def _find(self, model: str) -> Price | None:
        for name in (model, SNAPSHOT_DATE.sub("", model)):
            if name in self._by_name:
                return self._by_name[name]
        for pattern in self._patterns:
            if fits(pattern, model):
                return self._by_name[pattern]
        return None


def _in_nano_usd(price: ModelPrice) -> Price:
    cached = price.input if price.cached_input is None else price.cached_input
    return Price(nano_usd(price.input), nano_usd(cached), nano_usd(price.output))


def fits(pattern: str, model: str) -> bool:
    """Whether `pattern`, in which `*` stands for any characters, is `model`."""
    parts = map(re.escape, pattern.split("*"))
    return re.fullmatch(".*".join(parts), model) is not None


def cached_tokens(usage: Usage) -> int:
    """How many prompt tokens the upstream read from its cache: at most all of them.

    OpenAI's name is `prompt_tokens_details.cached_tokens`, DeepSeek's is
    `prompt_cache_hit_tokens`. What is no count is taken as none.
    """
    further = usage.model_extra or {}
    details = further.get("prompt_tokens_details")
    cached = further.get("prompt_cache_hit_tokens")
    if isinstance(details, dict) and "cached_tokens" in details:
        cached = details["cached_tokens"]
    if type(cached) is not int:
        return 0
    return min(max(cached, 0), usage.prompt_tokens)


class Charged(BaseModel):
    """An answer that says what was charged for it, by the prices of this service."""

    charged_usd: Decimal | None = Field(
        default=None,
        exclude=True,
        validation_alias=AliasChoices("charged_usd", "cost_usd"),  # as a job keeps it
    )

    @computed_field  # type: ignore[prop-decorator]
    @property
    def cost_usd(self) -> USD | None:
        """USD as a string in JSON; null for a model without a price."""
        return self.charged_usd


# --- Accounts ---

BudgetPeriod = Literal["day", "month"]


@dataclass(frozen=True, slots=True)
class Account:
    """Where a caller stands, in nano-USD; `left` is below zero when it owes."""

    budget: int
    spent: int
    reserved: int

    @property
    def left(self) -> int:
        """What the next call may reserve."""
        return self.budget - self.spent - self.reserved


def period_bounds(period: BudgetPeriod, now: datetime) -> tuple[datetime, datetime]:
    """When the period that contains `now` began, and when the next one begins (UTC)."""
    midnight = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    if period == "day":
        return midnight, midnight + timedelta(days=1)
    first = midnight.replace(day=1)
    return first, (first + timedelta(days=32)).replace(day=1)
