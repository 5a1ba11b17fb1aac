"""Small facts about JSON Schema: formats by example, merging, simple patterns."""

import re
from collections.abc import Mapping
from typing import Any

FORMATS = {
    "date": "2026-01-31",
    "date-time": "2026-01-31T12:00:00Z",
    "time": "12:00:00Z",
    "duration": "P1D",
    "email": "someone@example.com",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uri": "https://example.com/",
    "uuid": "6a1f7e52-7c1b-4a36-9d0e-3f1f0a5b8c2d",
}


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Both schemas at once; where both say something, `over` wins."""
    both = {**base, **over}
    for name in ("properties", "$defs"):
        if name in base and name in over:
            both[name] = {**base[name], **over[name]}
    if "required" in base and "required" in over:
        both["required"] = [*base["required"], *over["required"]]
    return both


def matches(pattern: str, text: str) -> bool:
    """Whether `text` matches; a pattern is a caller's, so it must be a simple one."""
    simple = re.fullmatch(r"[\^$\w\s\[\]{},.+*?\\:/@-]{1,100}", pattern)
    if not simple or re.search(r"[+*}]\)?[+*{]", pattern):
        return False
    try:
        return re.search(pattern, text) is not None
    except re.error:
        return False
