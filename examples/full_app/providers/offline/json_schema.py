"""A caller's JSON Schema: whether a value satisfies it, decided in counted steps.

The `jsonschema` library decides; see `Document` for what is different here.
Source: JSON Schema 2020-12, core and validation.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from contextvars import ContextVar
from fractions import Fraction
from itertools import islice
from typing import Any
from urllib.parse import unquote

from jsonschema import Draft202012Validator, ValidationError
from jsonschema.exceptions import UnknownType
from jsonschema.protocols import Validator
from jsonschema.validators import create
from referencing import Registry

from examples.full_app.providers.offline.json_keywords import (
    Schema,
    Steps,
    UnsupportedSchemaError,
    check_keywords,
)
from examples.full_app.providers.offline.patterns import Pattern

MAX_SCHEMA = 100_000  # characters of JSON
MAX_DEPTH = 80  # of keywords within one another

Check = Callable[[Validator, Any, Any, Any], Iterable[ValidationError] | None]


class Document:
    """A whole schema, against which values are checked.

    A schema may be written to do harm, so nothing is fetched, every keyword costs
    steps, and a `pattern` is matched in linear time.
    Raises UnsupportedSchemaError, also later: when the steps are used up.
    """

    def __init__(self, root: Mapping[str, Any], steps: Steps) -> None:
        if len(json.dumps(root)) > MAX_SCHEMA:
            raise UnsupportedSchemaError("The schema is too large.")
        self.root = {name: root[name] for name in root if name != "$schema"}
        check_keywords(self.root)
        self.steps = steps
        self._validator = _Validator(self.root, registry=Registry())
        self._targets: dict[str, Schema] = {}
        self._patterns: dict[str, Pattern] = {}
        self._depth = 0
        self._price = 1

    def valid(self, value: Any, schema: Schema) -> bool:
        """Whether `value` satisfies `schema`, a part of this document.

        Raises UnsupportedSchemaError where that cannot be decided, or takes too long.
        """
        # The library writes a message, with the value in it, wherever one fails.
        self._price = 1 + len(repr(value)) // 20_000
        self.steps.take(2 * self._price)
        if isinstance(schema, Mapping):  # the library would look the value up
            schema = {name: schema[name] for name in schema if name != "$schema"}
        token = _document.set(self)
        try:
            return bool(self._validator.evolve(schema=schema).is_valid(value))
        except UnknownType:
            raise UnsupportedSchemaError(
                "A schema has a type that JSON has not."
            ) from None
        finally:
            _document.reset(token)

    def target(self, pointer: str) -> Schema:
        """The schema that a `$ref` within the document names (RFC 6901, section 6)."""
        if pointer not in self._targets:
            self._targets[pointer] = self._resolve(pointer)
        return self._targets[pointer]

    def pattern(self, source: str) -> Pattern:
        """A `pattern` of the document. Raises UnsupportedSchemaError."""
        if source not in self._patterns:
            self._patterns[source] = Pattern(source, self.steps)
        return self._patterns[source]

    def _resolve(self, pointer: str) -> Schema:
        target: Any = self.root
        root, *names = unquote(pointer).split("/")
        for name in names:
            name = name.replace("~1", "/").replace("~0", "~")
            if (
                isinstance(target, list)
                and name.isdecimal()
                and int(name) < len(target)
            ):
                target = target[int(name)]
            else:
                target = target.get(name) if isinstance(target, dict) else None
        if root != "#" or not isinstance(target, dict | bool):
            raise UnsupportedSchemaError("A `$ref` in the schema points nowhere.")
        if isinstance(target, dict) and target is not self.root:
            check_keywords(target)  # it may lie where no schema is expected
        return target

    def first_error(
        self, check: Check, validator: Validator, expected: Any, value: Any, schema: Any
    ) -> list[ValidationError]:
        """What one keyword has against a value, in steps; one error is enough."""
        sizes = [
            len(part) for part in (expected, value) if isinstance(part, dict | list)
        ]
        self.steps.take(self._price * (1 + sum(sizes) // 8))
        if self._depth == MAX_DEPTH:
            raise UnsupportedSchemaError("The schema leads to itself, without end.")
        self._depth += 1
        try:
            errors = list(islice(check(validator, expected, value, schema) or (), 1))
        finally:
            self._depth -= 1
        for error in errors:
            self.steps.take(len(error.message) // 1_000)
        return errors


def exact(number: float) -> Fraction:
    """A JSON number as the fraction it was written as: 0.1 is one tenth."""
    return Fraction(str(number))


# --- Keywords, as the library calls them --------------------------------------------

_document: ContextVar[Document] = ContextVar("document")


def _reference(
    validator: Validator, pointer: str, value: Any, schema: Any
) -> Iterable[ValidationError]:
    yield from validator.descend(value, _document.get().target(pointer))


def _pattern(
    validator: Validator, source: str, value: Any, schema: Any
) -> Iterable[ValidationError]:
    if isinstance(value, str) and not _document.get().pattern(source).matches(value):
        yield ValidationError("does not match")


def _pattern_properties(
    validator: Validator, parts: Mapping[str, Schema], value: Any, schema: Any
) -> Iterable[ValidationError]:
    for source, part in parts.items() if isinstance(value, dict) else ():
        pattern = _document.get().pattern(source)
        for name in filter(pattern.matches, value):
            yield from validator.descend(value[name], part)


def _additional_properties(
    validator: Validator, rest: Schema, value: Any, schema: Any
) -> Iterable[ValidationError]:
    sources = schema.get("patternProperties", {})
    patterns = [_document.get().pattern(source) for source in sources]
    for name in value if isinstance(value, dict) else ():
        is_known = name in schema.get("properties", {})
        if not is_known and not any(pattern.matches(name) for pattern in patterns):
            yield from validator.descend(value[name], rest)


def _multiple_of(
    validator: Validator, step: float, value: Any, schema: Any
) -> Iterable[ValidationError]:
    if validator.is_type(value, "number") and exact(value) % exact(step) != 0:
        yield ValidationError("is not a multiple")


def _unique_items(
    validator: Validator, unique: bool, value: Any, schema: Any
) -> Iterable[ValidationError] | None:
    if unique and isinstance(value, list):
        _document.get().steps.take(len(value) ** 2 // 8)
    return _LIBRARY["uniqueItems"](validator, unique, value, schema)


def _counted(check: Check) -> Check:
    def counted(
        validator: Validator, expected: Any, value: Any, schema: Any
    ) -> list[ValidationError]:
        document = _document.get()
        return document.first_error(check, validator, expected, value, schema)

    return counted


_LIBRARY: Mapping[str, Check] = Draft202012Validator.VALIDATORS
_OURS: Mapping[str, Check] = {
    "$ref": _reference,
    "pattern": _pattern,
    "patternProperties": _pattern_properties,
    "additionalProperties": _additional_properties,
    "multipleOf": _multiple_of,
    "uniqueItems": _unique_items,
}
# Without a metaschema of its own the class reads neither `$id` nor `$schema`.
_Validator = create(
    meta_schema={},
    validators={name: _counted(_OURS.get(name, _LIBRARY[name])) for name in _LIBRARY},
    type_checker=Draft202012Validator.TYPE_CHECKER,
)
