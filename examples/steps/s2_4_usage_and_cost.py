r"""Usage and cost: fields that are computed, and money that is exact.

Run it: `python -m course run s2.4`. Total and cost are computed from what was used:

    curl -s http://127.0.0.1:8000/usage \
        -H 'Content-Type: application/json' \
        -d '{"model": "gpt-4o", "prompt_tokens": 1000, "completion_tokens": 500}'

Add `"total_tokens": 99`: it is not believed. A model without a price costs null.
"""

from decimal import Decimal

from fastapi import FastAPI
from pydantic import BaseModel, Field, computed_field

PRICES_PER_1K = {"gpt-4o": (Decimal("0.0025"), Decimal("0.010"))}  # in USD


class Usage(BaseModel):
    """The tokens of one call, and what they cost."""

    model: str
    prompt_tokens: int = Field(ge=0)
    completion_tokens: int = Field(ge=0)

    @computed_field
    @property
    def total_tokens(self) -> int:
        """Prompt and completion together."""
        return self.prompt_tokens + self.completion_tokens

    @computed_field
    @property
    def cost_usd(self) -> Decimal | None:
        """The price in USD, or None if we do not know it."""
        if self.model not in PRICES_PER_1K:
            return None
        read, written = PRICES_PER_1K[self.model]
        cost = self.prompt_tokens * read + self.completion_tokens * written
        return cost / 1000


app = FastAPI(title="Usage and cost")


@app.post("/usage")
async def price_usage(usage: Usage) -> Usage:
    """Answer with the total and the cost filled in."""
    return usage
