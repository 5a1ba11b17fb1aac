"""Pydantic 1 against 2: the chapter's request model, written for each.

Version 1 comes as `pydantic.v1` inside version 2, up to Python 3.13.
"""

import json
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

from pydantic import BaseModel, ValidationError

from examples.s2_models import ChatCompletionRequest

SIZES = (1, 20, 200)
V1_ENDS = (3, 14)


class Pair(BaseModel):
    """Microseconds to validate one JSON body, in each version; the ratio is v1 / v2."""

    messages: int
    valid: bool
    v1_us: float
    v2_us: float
    ratio: float


def measure(seconds: float) -> list[Pair]:
    """Every size, valid and not; empty where Pydantic 1 does not exist."""
    if sys.version_info >= V1_ENDS:
        return []
    old = version_1()
    cases = [(size, valid) for size in SIZES for valid in (True, False)]
    return [_pair(old, size, valid, seconds / len(cases)) for size, valid in cases]


def body(messages: int, *, valid: bool) -> str:
    """A request of so many messages; an invalid one has its mistake in the last."""
    roles = ("user", "assistant")
    listed: list[dict[str, Any]] = [
        {"role": roles[n % 2], "content": f"Message {n}: why is the sky blue? " * 4}
        for n in range(messages)
    ]
    if not valid:
        listed[-1]["role"] = "nobody"
    return json.dumps({"messages": listed, "model": "gpt-4o-mini", "max_tokens": 64})


def version_1() -> Callable[[str], Any]:
    """`ChatCompletionRequest` in Pydantic 1's words; called with JSON, it validates."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it says that it ends with Python 3.13
        from pydantic import v1

    class Message(v1.BaseModel):
        role: str
        content: str = v1.Field(max_length=100_000, min_length=1)
        name: str | None = v1.Field(default=None, max_length=64)

        class Config:
            extra = "forbid"

        @v1.validator("role")
        def known(cls, role: str) -> str:
            if role not in {"system", "user", "assistant"}:
                raise ValueError("not a role")
            return role

        @v1.validator("content")
        def no_nulls(cls, content: str) -> str:
            if "\0" in content:
                raise ValueError("null byte")
            return content

    class Tokens(v1.ConstrainedInt):
        strict = True
        ge = 1
        le = 16_384

    class Request(v1.BaseModel):
        messages: list[Message] = v1.Field(min_items=1, max_items=1000)
        model: str = v1.Field(default="gpt-4o-mini", regex=r"^[A-Za-z0-9._-]+$")
        temperature: float = v1.Field(default=0.7, ge=0, le=2)
        max_tokens: Tokens = Tokens(1024)
        top_p: float = v1.Field(default=1, ge=0, le=1)
        stream: v1.StrictBool = False
        user: str | None = v1.Field(default=None, max_length=256)

        class Config:
            extra = "forbid"

        @v1.root_validator(skip_on_failure=True)
        def fits(cls, values: dict[str, Any]) -> dict[str, Any]:
            total = sum(len(message.content) for message in values["messages"])
            if total // 4 + values["max_tokens"] > 128_000:
                raise ValueError("too long")
            return values

    def validate(text: str) -> Any:
        try:
            return Request.parse_raw(text)
        except v1.ValidationError:
            return None

    return validate


def version_2(text: str) -> ChatCompletionRequest | None:
    """Section 2's model."""
    try:
        return ChatCompletionRequest.model_validate_json(text)
    except ValidationError:
        return None


def _pair(old: Callable[[str], Any], size: int, valid: bool, seconds: float) -> Pair:
    text = body(size, valid=valid)
    for validate in (old, version_2):
        if (validate(text) is not None) is not valid:
            raise AssertionError(f"{size} messages, valid={valid}: they disagree")
    rounds = [
        (_time(old, text, seconds), _time(version_2, text, seconds)) for _ in "12345"
    ]
    v1_us, v2_us = (
        statistics.median(times) * 1e6 for times in zip(*rounds, strict=True)
    )
    return Pair(
        messages=size, valid=valid, v1_us=v1_us, v2_us=v2_us, ratio=v1_us / v2_us
    )


def _time(validate: Callable[[str], Any], text: str, seconds: float) -> float:
    """Seconds a call, over a tenth of `seconds` (five rounds, two versions)."""
    calls, started = 0, time.perf_counter()
    while (took := time.perf_counter() - started) < seconds / 10 or calls == 0:
        validate(text)
        calls += 1
    return took / calls
