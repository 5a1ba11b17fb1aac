"""Who asks: whom limits, budgets and jobs belong to, and what a key may be used for."""

from collections.abc import Collection
from dataclasses import dataclass

from examples.full_app.settings import KeyScope


@dataclass(frozen=True, slots=True)
class Identity:
    """The caller: `subject` is what limits, budgets and jobs belong to.

    `scopes` is what its key may be used for; None: everything.
    """

    subject: str
    key_name: str | None = None
    scopes: Collection[KeyScope] | None = None


def key_subject(name: str) -> str:
    """What limits, budgets and jobs of the key with this name belong to."""
    return f"key:{name}"
