"""What differs from run to run, taken out: times, ids, ports, secrets, signatures."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

NUMBER = r"\d[\d,]*(?:\.\d+)?(?:e[+-]?\d+)?"
CHANGING = (
    (re.compile(rf"\b{NUMBER}(?= ?(?:ms|s)\b)"), "<time>"),
    (re.compile(rf"(?<=_ms\": ){NUMBER}"), "<time>"),
    (re.compile(r"(?i)(?<=-after-ms: )\d+|(?<=retry-after: )\d+"), "<time>"),
    (
        re.compile(r"\b(?:req|job|evt|we|chatcmpl|msg|whsec)[_-][A-Za-z0-9+/=]{8,}"),
        "<id>",
    ),
    (re.compile(r"(?<=127\.0\.0\.1:)\d+"), "<port>"),
    (re.compile(r"\bv1,[A-Za-z0-9+/=]{40,}"), "<signature>"),
    (re.compile(r"\b1[78]\d{8}\b"), "<seconds>"),
    (re.compile(r"\b[0-9a-f]{32,}\b"), "<hex>"),
)
SETTINGS = ("API_KEYS", "FULL_APP_", "OPENAI_", "REDIS_")
Output = Mapping[str, Any]
Summary = list[tuple[str, str]]


def normal(text: str) -> str:
    """`text` with a word in place of each thing that changes."""
    for pattern, word in CHANGING:
        text = pattern.sub(word, text)
    return text


def summary(outputs: Iterable[Output]) -> Summary:
    """What the outputs of a cell say: (kind, normalised text), images by presence.

    Printed lines are joined: where the kernel cuts them is chance. Their kind is the
    stream's name; `error` holds the exception's name and message.
    """
    found: Summary = []
    printed: dict[str, str] = {}
    for output in outputs:
        match output["output_type"]:
            case "stream":
                printed.setdefault(output["name"], "")
                printed[output["name"]] += joined(output["text"])
            case "error":
                found.append(("error", f"{output['ename']}: {output['evalue']}"))
            case _:
                found += _shown(output["data"])
    return [(name, normal(text)) for name, text in printed.items()] + found


def is_setting(name: str) -> bool:
    """Whether an environment variable changes what the sections say."""
    return name.upper().startswith(SETTINGS)


def joined(text: str | list[str]) -> str:
    """nbformat writes text as one string or as a list of lines."""
    return text if isinstance(text, str) else "".join(text)


def _shown(data: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [
        (kind, "" if kind.startswith("image/") else normal(joined(data[kind])))
        for kind in sorted(data)
    ]
