"""Money as whole numbers: nano-USD, of which every price of a token is a multiple.

Micro-USD are too coarse: a prompt token of gpt-4o costs 2.5 of them.
"""

from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache

from examples.s2_models import price_usd

NANO_DIGITS = 9


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


def cost_of(model: str, prompt_tokens: int, completion_tokens: int) -> int | None:
    """What a call costs in nano-USD; None for models without a price: nothing."""
    each = _token_prices(model)
    if each is None:
        return None
    return prompt_tokens * each[0] + completion_tokens * each[1]


@lru_cache(maxsize=1000)
def _token_prices(model: str) -> tuple[int, int] | None:
    """Nano-USD of a prompt token and of a completion token."""
    prompt, completion = price_usd(model, 1, 0), price_usd(model, 0, 1)
    if prompt is None or completion is None:
        return None
    return nano_usd(prompt), nano_usd(completion)


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
