"""JSON that satisfies a given JSON Schema, filled with words and numbers of the prompt.

A value is made by reading the schema from the top, with each union's first option that
works out, and checked as a whole before it is used. What cannot be satisfied, or not in
so many steps, is refused: 400, `unsupported_schema`. Source: JSON Schema 2020-12.
"""

import math
import random
from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from examples.full_app.providers.offline.json_keywords import (
    Schema,
    Steps,
    UnsupportedSchemaError,
)
from examples.full_app.providers.offline.json_scalars import (
    Parts,
    Words,
    number_candidates,
    string_candidates,
    values_of,
)
from examples.full_app.providers.offline.json_schema import Document

MAX_STEPS = 20_000  # some 300 ms
MAX_VALUES = 1_000
MAX_DEPTH = 32
DEEP = 6  # from here on arrays are as short as they may be
USUAL_ITEMS = 2
TRIES = 20  # in a row that repeat an item, where none may be repeated
_TYPES = {
    "object": {"properties", "required", "additionalProperties", "minProperties"},
    "array": {"items", "prefixItems", "minItems"},
    "number": {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"},
}


def json_answer(schema: dict[str, Any], prompt: str, dice: random.Random) -> Any:
    """A value for `schema`. Raises UnsupportedSchemaError (400) if none was made."""
    document = Document(schema, Steps(MAX_STEPS))
    value = _Writer(document, Words(prompt, dice)).value(document.root)
    if not document.valid(value, document.root):
        raise UnsupportedSchemaError("No value was found that satisfies the schema.")
    return value


class _Writer:
    """Makes values for the parts of one document."""

    def __init__(self, document: Document, words: Words) -> None:
        self.document = document
        self.words = words
        self._values = Steps(MAX_VALUES)
        self._open: Counter[str] = Counter()
        self._depth = 0

    def value(self, *schemas: Schema) -> Any:
        """A value that satisfies all of `schemas`, as far as one pass can tell."""
        self._values.take()
        parts, references = self._parts(schemas)
        self._open.update(references)
        self._depth += 1
        # Twice inside itself shows a recursive schema; more is never necessary.
        is_endless = any(self._open[reference] > 2 for reference in references)
        try:
            if is_endless or self._depth > MAX_DEPTH:
                raise UnsupportedSchemaError("The schema asks for a value without end.")
            return self._chosen(parts)
        finally:
            self._open.subtract(references)
            self._depth -= 1

    def _parts(self, schemas: Iterable[Schema]) -> tuple[Parts, set[str]]:
        """The schemas with what their `allOf` and `$ref` add; the references."""
        waiting = deque(schemas)
        parts: list[Mapping[str, Any]] = []
        references: set[str] = set()
        while waiting:
            schema = waiting.popleft()
            if schema is True:
                continue
            if schema is False or schema.get("not") in (True, {}):
                raise UnsupportedSchemaError("A part of the schema admits no value.")
            self.document.steps.take(1 + len(schema))
            if part := _without(schema, "allOf", "$ref"):
                parts.append(part)
            waiting.extend(schema.get("allOf", []))
            reference = schema.get("$ref")
            if reference is not None and reference not in references:
                references.add(reference)
                waiting.append(self.document.target(reference))
        return parts, references

    def _chosen(self, parts: Parts) -> Any:
        """A constant, one of an enum, an option of a union, or a value of a type."""
        for constant in values_of(parts, "const"):
            return constant
        for values in values_of(parts, "enum"):
            return self._first(self.words.shuffled(values), parts)
        for part in parts:
            options = _options(part)
            if options is not None:
                others = [other for other in parts if other is not part]
                return self._first_made(
                    [[*option, *others] for option in options], parts
                )
        types = _types(parts)
        if len(types) == 1:
            return self._typed(types[0], parts)
        return self._first_made([[{"type": name}, *parts] for name in types], parts)

    def _typed(self, name: str, parts: Parts) -> Any:
        match name:
            case "object":
                return self._object(parts)
            case "array":
                return self._array(parts)
            case "string":
                texts = string_candidates(parts, self.words, self.document)
                return self._first(texts, parts)
            case "integer" | "number":
                whole = name == "integer"
                numbers = number_candidates(parts, self.words, whole=whole)
                number = self._first(numbers, parts)
                self.words.use(number)
                return number
            case "boolean":
                return self.words.dice.random() < 0.5
            case "null":
                return None
        raise UnsupportedSchemaError("A schema has a type that JSON has not.")

    def _fits(self, value: Any, schemas: Iterable[Schema]) -> bool:
        return self.document.valid(value, {"allOf": list(schemas)})

    def _first(self, values: Iterable[Any], parts: Parts) -> Any:
        """The first of `values` that satisfies all of `parts`."""
        for value in values:
            if self._fits(value, parts):
                return value
        raise UnsupportedSchemaError("A part of the schema cannot be satisfied.")

    def _first_made(self, options: Iterable[Sequence[Schema]], parts: Parts) -> Any:
        """A value of the first option that works out and satisfies all of `parts`."""
        made = (value for option in options for value in self._attempt(*option))
        return self._first(made, parts)

    def _attempt(self, *schemas: Schema) -> list[Any]:
        """A list of one value that satisfies all of `schemas`, or an empty one."""
        try:
            value = self.value(*schemas)
            return [value] if self._fits(value, schemas) else []
        except UnsupportedSchemaError:
            return []

    def _object(self, parts: Parts) -> dict[str, Any]:
        named = dict.fromkeys(
            n for names in values_of(parts, "properties") for n in names
        )
        required = dict.fromkeys(
            n for names in values_of(parts, "required") for n in names
        )
        room = min(values_of(parts, "maxProperties"), default=math.inf) - len(required)
        made: dict[str, Any] = {}
        for name in {**named, **required}:
            schemas = [_property(part, name) for part in parts]
            if name in required:
                made[name] = self.value(*schemas)
            elif room > 0:
                for value in self._attempt(*schemas):
                    made[name] = value
                    room -= 1
        size = max(values_of(parts, "minProperties"), default=0)
        rest = values_of(parts, "additionalProperties")
        if not made and any(isinstance(schema, dict) for schema in rest):
            size = max(size, min(USUAL_ITEMS, room))  # a mapping looks better filled
        self._extend(made, size, parts)
        return made

    def _extend(self, made: dict[str, Any], size: int, parts: Parts) -> None:
        """Add entries until there are `size`, if that works out."""
        for _ in range(size * 4):
            if len(made) >= size:
                return
            names = self._attempt(
                {"type": "string"}, *values_of(parts, "propertyNames")
            )
            for name in names:
                values = self._attempt(*(_property(part, name) for part in parts))
                if not values:
                    return
                made.setdefault(name, values[0])
            if not names:
                return

    def _array(self, parts: Parts) -> list[Any]:
        fixed = max(map(len, values_of(parts, "prefixItems")), default=0)
        lowest = max(values_of(parts, "minItems"), default=0)
        highest = min(values_of(parts, "maxItems"), default=math.inf)
        usual = max(fixed, USUAL_ITEMS)
        if fixed and not values_of(parts, "items"):
            usual = fixed
        size = lowest if self._depth > DEEP else max(lowest, min(usual, highest))
        unique = {"uniqueItems": any(values_of(parts, "uniqueItems"))}
        made: list[Any] = []
        tries = TRIES
        while len(made) < size and tries:
            schemas = [_item(part, len(made)) for part in parts]
            if len(made) < lowest:
                values = [self.value(*schemas)]
            else:
                values = self._attempt(*schemas)
            if not values:
                break
            if self.document.valid([*made, *values], unique):
                made += values
                tries = TRIES
            else:
                tries -= 1
        return made


def _without(schema: Mapping[str, Any], *keywords: str) -> dict[str, Any]:
    return {name: schema[name] for name in schema if name not in keywords}


def _options(part: Mapping[str, Any]) -> list[list[Schema]] | None:
    """The options of a union or a condition, each all of some schemas; null last."""
    for union in ("anyOf", "oneOf"):
        if union in part:
            rest = _without(part, union)
            options = sorted(part[union], key=lambda option: option == {"type": "null"})
            return [[option, rest] for option in options]
    if "if" in part:
        rest = _without(part, "if", "then", "else")
        then = [part["if"], part.get("then", True), rest]
        return [then, [part.get("else", True), rest]]
    return None


def _types(parts: Parts) -> list[str]:
    """The types that all parts admit, null last; if none has one, the usual type."""
    lists = [[t] if isinstance(t, str) else t for t in values_of(parts, "type")]
    if not lists:
        keywords = {keyword for part in parts for keyword in part}
        usual = [name for name in _TYPES if not _TYPES[name].isdisjoint(keywords)]
        return [*usual, "string"][:1]
    every = dict.fromkeys(name for types in lists for name in types)
    shared = [name for name in every if all(_admits(types, name) for types in lists)]
    return sorted(shared, key=lambda name: name == "null")


def _admits(types: list[str], name: str) -> bool:
    return name in types or (name == "integer" and "number" in types)


def _property(part: Mapping[str, Any], name: str) -> Schema:
    schema: Schema = part.get("additionalProperties", True)
    return part.get("properties", {}).get(name, schema)  # type: ignore[no-any-return]


def _item(part: Mapping[str, Any], at: int) -> Schema:
    fixed = part.get("prefixItems", [])
    schema: Schema = fixed[at] if at < len(fixed) else part.get("items", True)
    return schema
