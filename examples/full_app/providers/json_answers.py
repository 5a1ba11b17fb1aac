"""JSON that satisfies a given JSON Schema, filled with words and numbers of the prompt.

Covers what OpenAI's structured outputs allow and what Pydantic writes: types, enum,
const, bounds, formats, arrays, objects, `$ref`, `anyOf`/`oneOf`, `allOf` of objects.
A schema it cannot satisfy (an open `pattern`, `not`) is refused, never guessed at.
Source: JSON Schema 2020-12.
"""

import math
import random
import re
from collections.abc import Mapping, Sequence
from typing import Any

from examples.full_app.errors import RequestError
from examples.full_app.providers.json_schema import FORMATS, matches, merged
from examples.full_app.providers.prose import keywords

MAX_DEPTH = 12
MAX_VALUES = 2_000
REFUSED = ("not", "if", "dependentSchemas", "patternProperties", "contains")


class UnsupportedSchemaError(RequestError):
    """The offline provider cannot make a value for this schema."""

    code = "unsupported_schema"
    recovery = "Use types, enums, bounds and formats; avoid `not` and open patterns."


class _Endless(UnsupportedSchemaError):
    """A value would nest deeper than MAX_DEPTH, or have more than MAX_VALUES parts."""

    def __init__(self) -> None:
        super().__init__("The schema asks for a value without end.")


class Filler:
    """Makes values for schemas, in one pass, from the words of one prompt."""

    def __init__(
        self, root: Mapping[str, Any], prompt: str, dice: random.Random
    ) -> None:
        self.root = root
        self.dice = dice
        self.numbers = [float(n) for n in re.findall(r"-?\d+(?:\.\d+)?", prompt)[:50]]
        quoted = re.findall(r'"([^"]{1,80})"', prompt)
        words = keywords(prompt)
        names = [word for word in words[1:] if word[0].isupper()]
        self.words: list[str] = [*quoted, *names, *words] or ["example"]
        self._next = 0
        self._made = 0

    def fill(self, schema: Any, depth: int = 0) -> Any:
        """A value that satisfies `schema`. Raises UnsupportedSchemaError (400)."""
        self._made += 1
        if depth > MAX_DEPTH or self._made > MAX_VALUES:
            raise _Endless
        if schema is True or schema == {}:
            return self._word()
        if not isinstance(schema, Mapping):
            raise UnsupportedSchemaError("A schema is not an object.")
        schema = self._resolved(schema)
        if used := [word for word in REFUSED if word in schema]:
            raise UnsupportedSchemaError(f"`{used[0]}` in a schema is not supported.")
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            return self.dice.choice(schema["enum"])
        for union in ("anyOf", "oneOf"):
            if union in schema:
                return self._first_that_fits(schema[union], depth)
        return self._typed(schema, depth)

    def _typed(self, schema: Mapping[str, Any], depth: int) -> Any:
        kind = schema.get("type", "object" if "properties" in schema else "string")
        if isinstance(kind, list):
            options = [{**schema, "type": one} for one in kind]
            return self._first_that_fits(options, depth)
        match kind:
            case "object":
                return self._object(schema, depth)
            case "array":
                return self._array(schema, depth)
            case "string":
                return self._string(schema)
            case "integer" | "number":
                return self._number(schema, whole=kind == "integer")
            case "boolean":
                return self.dice.random() < 0.5
            case "null":
                return None
        raise UnsupportedSchemaError("A schema has a type that JSON has not.")

    def _first_that_fits(self, options: Sequence[Any], depth: int) -> Any:
        """The first option that ends; `null` and recursion come last that way."""
        failure = UnsupportedSchemaError("A union has no options.")
        for option in sorted(options, key=lambda o: o == {"type": "null"}):
            try:
                return self.fill(option, depth + 1)
            except UnsupportedSchemaError as error:
                failure = error
        raise failure

    def _object(self, schema: Mapping[str, Any], depth: int) -> dict[str, Any]:
        required = set(schema.get("required", ()))
        made: dict[str, Any] = {}
        for name, part in schema.get("properties", {}).items():
            try:
                made[name] = self.fill(part, depth + 1)
            except _Endless:
                if name in required:
                    raise
        for name in required - made.keys():
            made[name] = self._word()
        return made

    def _array(self, schema: Mapping[str, Any], depth: int) -> list[Any]:
        fixed = [self.fill(part, depth + 1) for part in schema.get("prefixItems", ())]
        least, most = schema.get("minItems", 0), schema.get("maxItems", math.inf)
        wanted = int(min(max(least, 2), most))
        items: list[Any] = fixed[:wanted]
        while len(items) < wanted:
            try:
                value = self.fill(schema.get("items", {}), depth + 1)
            except _Endless:
                if len(items) < least:
                    raise
                break
            if schema.get("uniqueItems") and value in items:
                if len(items) < least:
                    raise UnsupportedSchemaError("`uniqueItems` cannot be satisfied.")
                break
            items.append(value)
        return items

    def _string(self, schema: Mapping[str, Any]) -> str:
        if "format" in schema and schema["format"] in FORMATS:
            return FORMATS[str(schema["format"])]
        least, most = schema.get("minLength", 0), schema.get("maxLength", 10_000)
        text = self._word()[:most].ljust(min(least, 10_000), "x")
        if "pattern" not in schema:
            return text
        for candidate in (text, text.lower(), text.upper(), "a", "A", "1", "a1", "A-1"):
            fits = least <= len(candidate) <= most
            if fits and matches(schema["pattern"], candidate):
                return candidate
        raise UnsupportedSchemaError("A `pattern` in the schema cannot be satisfied.")

    def _number(self, schema: Mapping[str, Any], *, whole: bool) -> int | float:
        step = schema.get("multipleOf", 1 if whole else 0)
        low, high = schema.get("minimum", -math.inf), schema.get("maximum", math.inf)
        above, below = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
        nudge = step or 1e-6
        low = max(low, -math.inf if above is None else above + nudge)
        high = min(high, math.inf if below is None else below - nudge)
        wish = self.numbers.pop(0) if self.numbers else float(self.dice.randint(1, 9))
        value = min(max(wish, low), high)
        if step:
            value = math.floor(value / step) * step
            value += step if value < low else 0
        if not low <= value <= high:
            raise UnsupportedSchemaError("The bounds of a number exclude each other.")
        return int(value) if whole else float(value)

    def _word(self) -> str:
        self._next += 1
        return self.words[(self._next - 1) % len(self.words)]

    def _resolved(self, schema: Mapping[str, Any]) -> Mapping[str, Any]:
        """`schema` with its `$ref` followed and its `allOf` merged."""
        seen = 0
        while "$ref" in schema or "allOf" in schema:
            seen += 1
            if seen > MAX_DEPTH:
                raise _Endless
            rest = {k: v for k, v in schema.items() if k not in ("$ref", "allOf")}
            parts = [self._pointed(schema["$ref"])] if "$ref" in schema else []
            for part in [*parts, *schema.get("allOf", ())]:
                rest = merged(part, rest)
            schema = rest
        return schema

    def _pointed(self, pointer: str) -> Mapping[str, Any]:
        found: Any = self.root
        for step in pointer.removeprefix("#").strip("/").split("/"):
            name = step.replace("~1", "/").replace("~0", "~")
            found = found.get(name) if isinstance(found, Mapping) else None
            if name == "":
                found = self.root
        if not isinstance(found, Mapping):
            raise UnsupportedSchemaError("A `$ref` in the schema points nowhere.")
        return found
