"""Whether a JSON value satisfies a JSON Schema, in counted steps.

The offline provider checks every value it made before it says it, so that what leaves
is valid by construction and by test. Source: JSON Schema 2020-12, validation.
"""

from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any

from examples.full_app.providers.offline.json_keywords import (
    Schema,
    UnsupportedSchemaError,
)
from examples.full_app.providers.offline.json_schema import Document, same
from examples.full_app.providers.offline.patterns import matches

MAX_DEPTH = 80


def exact(number: float) -> Fraction:
    """A JSON number as the fraction it was written as: 0.1 is one tenth."""
    return Fraction(str(number))


class Checker:
    """Checks values against a document and its parts."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.steps = document.steps
        self._depth = 0

    def valid(self, value: Any, schema: Schema) -> bool:
        """Whether `value` satisfies `schema`, whose keywords were checked before.

        Raises UnsupportedSchemaError where that cannot be told, or takes too long.
        """
        if isinstance(schema, bool):
            return schema
        self.steps.take(1 + len(schema))
        if self._depth >= MAX_DEPTH:
            raise UnsupportedSchemaError("The schema leads to itself, without end.")
        self._depth += 1
        try:
            return all(check(self, value, schema) for check in _CHECKS)
        finally:
            self._depth -= 1

    def _any_type(self, value: Any, schema: Mapping[str, Any]) -> bool:
        kinds = schema.get("type", [])
        kinds = [kinds] if isinstance(kinds, str) else kinds
        if "type" in schema and not any(_is_a(value, kind) for kind in kinds):
            return False
        values = schema.get("enum", [value])
        self.steps.take(len(values))
        if not any(same(value, one) for one in values):
            return False
        return "const" not in schema or same(value, schema["const"])

    def _parts(self, value: Any, schema: Mapping[str, Any]) -> bool:
        every = list(schema.get("allOf", []))
        if "$ref" in schema:
            every.append(self.document.pointed(schema["$ref"]))
        if not all(self.valid(value, part) for part in every):
            return False
        if "anyOf" in schema and not any(self.valid(value, p) for p in schema["anyOf"]):
            return False
        if "oneOf" in schema:
            return sum(self.valid(value, part) for part in schema["oneOf"]) == 1
        return True

    def _conditions(self, value: Any, schema: Mapping[str, Any]) -> bool:
        if "not" in schema and self.valid(value, schema["not"]):
            return False
        if "if" not in schema:
            return True
        branch = "then" if self.valid(value, schema["if"]) else "else"
        return self.valid(value, schema.get(branch, True))

    def _number(self, value: Any, schema: Mapping[str, Any]) -> bool:
        if not _is_a(value, "number"):
            return True
        step = exact(schema.get("multipleOf", 0))
        return (
            value >= schema.get("minimum", value)
            and value <= schema.get("maximum", value)
            and not value <= schema.get("exclusiveMinimum", float("-inf"))
            and not value >= schema.get("exclusiveMaximum", float("inf"))
            and (step == 0 or exact(value) % step == 0)
        )

    def _string(self, value: Any, schema: Mapping[str, Any]) -> bool:
        if not isinstance(value, str):
            return True
        if not _counted(len(value), schema, "minLength", "maxLength"):
            return False
        pattern = schema.get("pattern")
        return pattern is None or matches(pattern, value, self.steps)

    def _array(self, value: Any, schema: Mapping[str, Any]) -> bool:
        if not isinstance(value, list):
            return True
        if not _counted(len(value), schema, "minItems", "maxItems"):
            return False
        if schema.get("uniqueItems") and not self._unique(value):
            return False
        fixed = schema.get("prefixItems", [])
        rest = schema.get("items", True)
        schemas = [*fixed[: len(value)], *[rest] * (len(value) - len(fixed))]
        return all(map(self.valid, value, schemas))

    def _unique(self, items: list[Any]) -> bool:
        self.steps.take(len(items) ** 2)
        return not any(
            same(item, other) for at, item in enumerate(items) for other in items[:at]
        )

    def _object(self, value: Any, schema: Mapping[str, Any]) -> bool:
        if not isinstance(value, dict):
            return True
        if not _counted(len(value), schema, "minProperties", "maxProperties"):
            return False
        names = schema.get("propertyNames", True)
        return (
            all(name in value for name in schema.get("required", []))
            and all(self.valid(name, names) for name in value)
            and all(self._property(name, value[name], schema) for name in value)
        )

    def _property(self, name: str, value: Any, schema: Mapping[str, Any]) -> bool:
        known = schema.get("properties", {})
        parts = [known[name]] if name in known else []
        for pattern, part in schema.get("patternProperties", {}).items():
            if matches(pattern, name, self.steps):
                parts.append(part)
        parts = parts or [schema.get("additionalProperties", True)]
        return all(self.valid(value, part) for part in parts)


_CHECKS: tuple[Callable[[Checker, Any, Mapping[str, Any]], bool], ...] = (
    Checker._any_type,
    Checker._number,
    Checker._string,
    Checker._array,
    Checker._object,
    Checker._parts,
    Checker._conditions,
)


def _counted(size: int, schema: Mapping[str, Any], least: str, most: str) -> bool:
    return bool(schema.get(least, 0) <= size <= schema.get(most, size))


def _is_a(value: Any, kind: str) -> bool:
    """Whether a value has a type of JSON Schema; a float like 1.0 is an integer."""
    if isinstance(value, bool) or value is None:
        return kind == ("null" if value is None else "boolean")
    if isinstance(value, int | float):
        return kind == "number" or (kind == "integer" and value == int(value))
    types = {"string": str, "object": dict, "array": list}
    return kind in types and isinstance(value, types[kind])
