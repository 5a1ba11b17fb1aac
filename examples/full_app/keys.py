"""API keys as they are configured: short forms, or a list with scopes and budgets.

Only digests are kept: no setting, log or error holds a key. Keys are visible ASCII:
RFC 6750 (section 2.1) knows no other, and RFC 9110 (section 5.5) gives other bytes of
a header no meaning, so each client would send them in an encoding of its own.
"""

import hashlib
import json
import re
from decimal import Decimal
from typing import Annotated, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    TypeAdapter,
    model_validator,
)

Digest = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


def digest_of(key: str) -> str:
    """What is kept of a key. Raises ValueError for one that no header could carry."""
    if not re.fullmatch("[!-~]+", key):
        raise ValueError("a key must be visible ASCII characters, without spaces")
    return hashlib.sha256(key.encode("ascii")).hexdigest()


def parse_keys(value: object) -> object:
    """`key`, `name:key` or `name:sha256:<hex>`, comma-separated, as name to digest.

    Only digests are kept. A JSON object of section 4's form is taken as it is; a JSON
    list was taken apart before, by `Settings.take_key_list_apart`.
    """
    if not isinstance(value, str):
        return value
    if value.lstrip().startswith("{"):
        try:
            return json.loads(value)
        except ValueError:
            raise ValueError("not a JSON object of digests") from None
    keys = {}
    for position, entry in enumerate(filter(None, map(str.strip, value.split(","))), 1):
        name, _, secret = entry.rpartition(":")
        if name.endswith(":sha256"):
            keys[name.removesuffix(":sha256")] = secret.lower()
        else:
            keys[name or f"key{position}"] = digest_of(secret)
    return keys


KeyScope = Literal["chat", "embeddings", "jobs", "webhooks", "metrics"]
BudgetUSD = Annotated[Decimal, Field(ge=0, le=1_000_000, decimal_places=9)]


class Grant(BaseModel):
    """What a key may do, and spend in all; None: everything, without a limit."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    scopes: Annotated[frozenset[KeyScope], Field(min_length=1)] | None = None
    budget_usd: BudgetUSD | None = None


class KeyEntry(Grant):
    """A key in the list form of `FULL_APP_API_KEYS`: in clear, or its SHA-256."""

    name: Annotated[str, Field(min_length=1, max_length=64)]
    key: Annotated[SecretStr, Field(min_length=1)] | None = None
    sha256: Digest | None = None

    @model_validator(mode="after")
    def one_secret(self) -> Self:
        """Two could differ, and without any nobody could use the key."""
        if (self.key is None) == (self.sha256 is None):
            raise ValueError("give `key` or `sha256`")
        if self.key is not None:
            digest_of(self.key.get_secret_value())
        return self

    @property
    def digest(self) -> str:
        """What is kept of the key."""
        if self.key is None:
            return self.sha256 or ""
        return digest_of(self.key.get_secret_value())


KEY_LIST = TypeAdapter(list[KeyEntry], config=ConfigDict(hide_input_in_errors=True))


def parse_key_list(value: object) -> list[KeyEntry] | None:
    """The entries of a JSON list of keys; None for the other forms."""
    if isinstance(value, str):
        if not value.lstrip().startswith("["):
            return None
        try:
            value = json.loads(value)
        except ValueError:
            raise ValueError("not a JSON list of keys") from None  # it quotes no key
    if not isinstance(value, list):
        return None
    entries = KEY_LIST.validate_python(value)
    if len({entry.name for entry in entries}) != len(entries):
        raise ValueError("two keys have the same name")
    return entries
