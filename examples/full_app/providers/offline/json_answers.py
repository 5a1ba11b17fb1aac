"""JSON that satisfies a given JSON Schema, filled with words and numbers of the prompt.

A value is made by reading the schema from the top, with each union's first option that
works out, and checked as a whole before it is used. What cannot be satisfied, or not in
so many steps, is refused: 400, `unsupported_schema`. Source: JSON Schema 2020-12.
"""

import math
import random
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from examples.full_app.providers.offline.json_check import Checker
from examples.full_app.providers.offline.json_keywords import (
    Schema,
    Steps,
    UnsupportedSchemaError,
)
from examples.full_app.providers.offline.json_scalars import (
    Words,
    number_candidates,
    string_candidates,
)
from examples.full_app.providers.offline.json_schema import Document, same

MAX_STEPS = 60_000  # some 50 ms
MAX_VALUES = 1_000
MAX_DEPTH = 32
DEEP = 6  # from here on arrays are as short as they may be
USUAL_ITEMS = 2
_KINDS = {
    "object": {"properties", "required", "additionalProperties", "minProperties"},
    "array": {"items", "prefixItems", "minItems"},
    "number": {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"},
}


def json_answer(schema: dict[str, Any], prompt: str, dice: random.Random) -> Any:
    """A value for `schema`. Raises UnsupportedSchemaError (400) if none was found."""
    filler = _Filler(Document(schema, Steps(MAX_STEPS)), Words(prompt, dice))
    value = filler.fill(schema)
    if not filler.checker.valid(value, schema):
        raise UnsupportedSchemaError("No value was found that satisfies the schema.")
    return value


class _Filler:
    """Makes values for the parts of one document."""

    def __init__(self, document: Document, words: Words) -> None:
        self.document = document
        self.words = words
        self.checker = Checker(document)
        self._values = Steps(MAX_VALUES)
        self._open: Counter[str] = Counter()
        self._depth = 0

    def fill(self, schema: Schema) -> Any:
        """A value that satisfies `schema`, as far as one pass can tell."""
        self._values.take()
        flat, refs = self.document.flattened(schema)
        self._open.update(refs)
        self._depth += 1
        try:
            # Twice inside itself shows a recursive schema; more is never necessary.
            if self._depth > MAX_DEPTH or any(self._open[ref] > 2 for ref in refs):
                raise UnsupportedSchemaError("The schema asks for a value without end.")
            return self._value(flat)
        finally:
            self._open.subtract(refs)
            self._depth -= 1

    def _value(self, schema: dict[str, Any]) -> Any:
        if schema.get("not") in (True, {}):
            raise UnsupportedSchemaError("A part of the schema admits no value.")
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            rest = {name: schema[name] for name in schema if name != "enum"}
            return self._fitting(self.words.shuffled(schema["enum"]), rest)
        for union in ("anyOf", "oneOf"):
            if union in schema:
                rest = {name: schema[name] for name in schema if name != union}
                options = sorted(schema[union], key=lambda o: o == {"type": "null"})
                return self._one_of([[option, rest] for option in options], schema)
        if "if" in schema:
            rest = {n: schema[n] for n in schema if n not in ("if", "then", "else")}
            then, other = schema.get("then", True), schema.get("else", True)
            return self._one_of([[schema["if"], then, rest], [other, rest]], schema)
        kind = schema.get("type", _kind(schema))
        if isinstance(kind, list):
            kinds = sorted(kind, key=lambda k: k == "null")
            return self._one_of([[{**schema, "type": one}] for one in kinds], schema)
        return self._typed(kind, schema)

    def _typed(self, kind: str, schema: dict[str, Any]) -> Any:
        match kind:
            case "object":
                return self._object(schema)
            case "array":
                return self._array(schema)
            case "string":
                texts = string_candidates(schema, self.words, self.document.steps)
                return self._fitting(texts, schema)
            case "integer" | "number":
                whole = kind == "integer"
                numbers = number_candidates(schema, self.words, whole=whole)
                found = self._fitting(numbers, schema)
                self.words.use(found)
                return found
            case "boolean":
                return self.words.dice.random() < 0.5
            case "null":
                return None
        raise UnsupportedSchemaError("A schema has a type that JSON has not.")

    def _one_of(self, options: list[list[Schema]], schema: dict[str, Any]) -> Any:
        """A value of the first option, each all of some schemas, that works out."""
        return self._fitting(self._made({"allOf": every} for every in options), schema)

    def _fitting(self, values: Iterable[Any], schema: dict[str, Any]) -> Any:
        """The first of `values` that satisfies `schema`."""
        for value in values:
            if self.checker.valid(value, schema):
                return value
        raise UnsupportedSchemaError("A part of the schema cannot be satisfied.")

    def _made(self, schemas: Iterable[Schema]) -> Iterator[Any]:
        """A value for each of the schemas for which one is found."""
        for schema in schemas:
            try:
                value = self.fill(schema)
                found = self.checker.valid(value, schema)
            except UnsupportedSchemaError:
                continue
            if found:
                yield value

    def _object(self, schema: Mapping[str, Any]) -> dict[str, Any]:
        parts, rest = schema.get("properties", {}), schema.get("additionalProperties")
        required = dict.fromkeys(schema.get("required", []))
        room = schema.get("maxProperties", math.inf) - len(required)
        made: dict[str, Any] = {}
        for name in [*parts, *(name for name in required if name not in parts)]:
            part = parts.get(name, True if rest is None else rest)
            if name in required:
                made[name] = self.fill(part)
            elif room > 0 and (found := list(self._made([part]))):
                (made[name],) = found
                room -= 1
        size = schema.get("minProperties", 0)
        if isinstance(rest, dict) and not made:
            size = max(size, min(USUAL_ITEMS, room))  # a mapping looks better filled
        return self._extended(made, size, schema)

    def _extended(
        self, made: dict[str, Any], size: int, schema: Mapping[str, Any]
    ) -> dict[str, Any]:
        """`made`, and further entries until there are `size`, if that works out."""
        names = {"allOf": [{"type": "string"}, schema.get("propertyNames", True)]}
        values = schema.get("additionalProperties", True)
        for _ in range(size * 4):
            found = list(self._made([names, values])) if len(made) < size else []
            if len(found) < 2:
                break
            made.setdefault(*found)
        return made

    def _array(self, schema: Mapping[str, Any]) -> list[Any]:
        fixed, rest = schema.get("prefixItems", []), schema.get("items")
        least, most = schema.get("minItems", 0), schema.get("maxItems", math.inf)
        usual = len(fixed) if rest is None and fixed else max(len(fixed), USUAL_ITEMS)
        size = least if self._depth > DEEP else max(least, min(usual, most))
        unique = schema.get("uniqueItems", False)
        made: list[Any] = []
        tries = 20  # in a row that repeat an item, where none may be
        while len(made) < size and tries:
            at = len(made)
            part = fixed[at] if at < len(fixed) else True if rest is None else rest
            if at < least:
                value = self.fill(part)
            elif found := list(self._made([part])):
                (value,) = found
            else:
                break
            if not (unique and any(same(value, item) for item in made)):
                made.append(value)
            tries = 20 if len(made) > at else tries - 1
        return made


def _kind(schema: Mapping[str, Any]) -> str:
    """The type that the keywords of a schema without one are about."""
    for kind, about in _KINDS.items():
        if not about.isdisjoint(schema):
            return kind
    return "string"
