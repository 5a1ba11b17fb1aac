"""A JSON Schema as a document: its pointers followed, and parts of it made one.

Source: JSON Schema 2020-12, core.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import unquote

from examples.full_app.providers.offline.json_keywords import (
    Schema,
    Steps,
    UnsupportedSchemaError,
    check_keywords,
)

MAX_SCHEMA = 100_000  # characters of JSON
MAX_OPTIONS = 200  # of the unions of two schemas, each with each


class Document:
    """A whole schema, whose keywords can be read, and what its pointers point to.

    Raises UnsupportedSchemaError, also later: when the steps are used up.
    """

    def __init__(self, root: dict[str, Any], steps: Steps) -> None:
        if len(json.dumps(root)) > MAX_SCHEMA:
            raise UnsupportedSchemaError("The schema is too large.")
        check_keywords(root)
        self.root = root
        self.steps = steps
        self._found: dict[str, Schema] = {}

    def pointed(self, pointer: str) -> Schema:
        """What a `$ref` within the document points to (RFC 6901, section 6)."""
        if pointer not in self._found:
            self._found[pointer] = self._find(pointer)
        return self._found[pointer]

    def flattened(self, schema: Schema) -> tuple[dict[str, Any], set[str]]:
        """`schema` with every `$ref` and `allOf` worked in; the pointers followed."""
        refs: set[str] = set()
        flat: dict[str, Any] = {}
        parts = [schema]
        while parts:
            part = _mapping(parts.pop())
            self.steps.take(1 + len(part))
            parts += part.pop("allOf", [])
            if (ref := part.pop("$ref", None)) is not None and ref not in refs:
                refs.add(ref)
                parts.append(self.pointed(ref))
            flat = merged(part, flat) if flat else part
        return flat, refs

    def _find(self, pointer: str) -> Schema:
        found: Any = self.root
        root, *steps = unquote(pointer).split("/")
        for step in steps:
            name = step.replace("~1", "/").replace("~0", "~")
            if isinstance(found, list) and name.isdecimal() and int(name) < len(found):
                found = found[int(name)]
            else:
                found = found.get(name) if isinstance(found, Mapping) else None
        if root != "#" or not isinstance(found, dict | bool):
            raise UnsupportedSchemaError("A `$ref` in the schema points nowhere.")
        if isinstance(found, dict) and found is not self.root:
            check_keywords(found)  # it may lie where no schema is expected
        return found


def _mapping(schema: Schema) -> dict[str, Any]:
    if isinstance(schema, bool):
        return {} if schema else {"not": {}}
    return dict(schema)


def merged(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """One schema that asks for what both ask, as far as that can be said in one.

    Where it cannot (two patterns), the second holds: the value is checked later.
    """
    both = {**one, **other}
    for name in one.keys() & other.keys() & _JOINED.keys():
        both[name] = _JOINED[name](one[name], other[name])
    return both


def same(one: Any, other: Any) -> bool:
    """Equality of JSON values: 1 is 1.0 and is not true."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[k], other[k]) for k in one)
    return bool(one == other)


def _properties(one: Any, other: Any) -> dict[str, Any]:
    shared = {name: _all_of(one[name], other[name]) for name in one if name in other}
    return {**one, **other, **shared}


def _all_of(one: Schema, other: Schema) -> Schema:
    return one if same(one, other) else {"allOf": [one, other]}


def _pairs(one: Any, other: Any) -> list[Schema]:
    if len(one) * len(other) > MAX_OPTIONS:
        raise UnsupportedSchemaError("The schema has too many unions in one place.")
    return [_all_of(a, b) for a in one for b in other]


def _types(one: Any, other: Any) -> list[str]:
    left, right = ([t] if isinstance(t, str) else t for t in (one, other))
    shared = [t for t in left if t in right]
    whole = "integer" in [*left, *right] and "number" in [*left, *right]
    return [*shared, "integer"] if whole and "integer" not in shared else shared


_JOINED: dict[str, Callable[[Any, Any], Any]] = {
    "type": _types,
    "properties": _properties,
    "required": lambda one, other: list(dict.fromkeys([*one, *other])),
    "enum": lambda one, other: [v for v in one if any(same(v, w) for w in other)],
    "not": lambda one, other: {"anyOf": [one, other]},
    "anyOf": _pairs,
    "oneOf": _pairs,
    **dict.fromkeys(("items", "additionalProperties", "propertyNames"), _all_of),
    **dict.fromkeys(("minimum", "exclusiveMinimum"), max),
    **dict.fromkeys(("minLength", "minItems", "minProperties"), max),
    **dict.fromkeys(("maximum", "exclusiveMaximum"), min),
    **dict.fromkeys(("maxLength", "maxItems", "maxProperties"), min),
}
