"""JSON answers before a judge that is not ours: the `jsonschema` library.

`test_json_answers.py` holds them against Pydantic and our own checker. Here schemas are
made as people write them for structured outputs, awkward ones among them. Each answer
has to validate: over the wire too, in `response_format` and in a tool's arguments.
"""

import json
import random
from typing import Any

import openai
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from examples.full_app.providers.offline.json_answers import json_answer

Schema = dict[str, Any]

PATTERNS = [r"^[A-Z]{2}-\d{3,5}$", r"^(red|green)+$", "a.c", r"^\w+@\w+\.com$", "^$"]
FORMATS = ["date", "date-time", "time", "uuid", "ipv4", "ipv6", "email", "duration"]
KEYS = ["a", "b/c", "d~e", "$ref", "", "ä ö", "properties", "type", "'\"", "\u2028"]
VALUES = st.sampled_from([0, 1.5, "x", "", None, True, [1, []], {"k": {"": None}}])
REFERENCES = ["#/$defs/leaf", "#/$defs/node", "#/$defs/a~1b%20c", "#/$defs/alias"]
DEFS: Schema = {
    "leaf": {"type": "string", "minLength": 2, "maxLength": 2},
    "alias": {"$ref": "#/$defs/leaf"},
    "a/b c": {"enum": [[], {}, "only"]},
    "node": {
        "type": "object",
        "properties": {
            "value": {"$ref": "#/$defs/alias"},
            "next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]},
            "children": {"type": "array", "items": {"$ref": "#/$defs/node"}},
        },
        "required": ["value", "next", "children"],
        "additionalProperties": False,
    },
}


@st.composite
def numbers(draw: st.DrawFn) -> Schema:
    """Bounds of either kind that leave at least one multiple."""
    low = draw(st.integers(-50, 50))
    kind = draw(st.sampled_from(["integer", "number"]))
    found: Schema = {"type": kind}
    found[draw(st.sampled_from(["minimum", "exclusiveMinimum"]))] = low
    if draw(st.booleans()):
        found[draw(st.sampled_from(["maximum", "exclusiveMaximum"]))] = low + 21
        found["multipleOf"] = draw(st.sampled_from([1, 2, 7, 10]))
    return found


@st.composite
def texts(draw: st.DrawFn) -> Schema:
    """A length, a pattern or a format."""
    which = draw(st.sampled_from(["length", "pattern", "format"]))
    if which == "pattern":
        return {"type": "string", "pattern": draw(st.sampled_from(PATTERNS))}
    if which == "format":
        return {"type": "string", "format": draw(st.sampled_from(FORMATS))}
    least = draw(st.integers(0, 30))
    return {"type": "string", "minLength": least, "maxLength": least + 2}


@st.composite
def arrays(draw: st.DrawFn, inner: st.SearchStrategy[Schema]) -> Schema:
    """Of one kind, or a first few each of its own."""
    if draw(st.booleans()):
        first = draw(st.lists(inner, min_size=1, max_size=3))
        count = len(first)
        return {"type": "array", "prefixItems": first, "items": False} | {
            "minItems": count,
            "maxItems": count,
        }
    least = draw(st.integers(0, 3))
    return {"type": "array", "items": draw(inner)} | {
        "minItems": least,
        "maxItems": least + draw(st.integers(0, 3)),
    }


@st.composite
def objects(draw: st.DrawFn, inner: st.SearchStrategy[Schema]) -> Schema:
    """Strict, as structured outputs want them: all required, nothing else."""
    properties = draw(st.dictionaries(st.sampled_from(KEYS), inner, max_size=4))
    return {
        "type": "object",
        "properties": properties,
        "required": sorted(properties),
        "additionalProperties": False,
    }


LEAVES = st.one_of(
    numbers(),
    texts(),
    st.builds(lambda given: {"enum": given}, st.lists(VALUES, min_size=1, max_size=4)),
    st.builds(lambda given: {"const": given}, VALUES),
    st.builds(lambda to: {"$ref": to}, st.sampled_from(REFERENCES)),
    st.just({"type": ["string", "null"]}),
    st.just({"type": "boolean"}),
)
SCHEMAS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        arrays(inner),
        objects(inner),
        st.builds(lambda of: {"anyOf": of}, st.lists(inner, min_size=1, max_size=3)),
    ),
    max_leaves=8,
)


def problems(schema: Schema, value: Any) -> list[str]:
    """What the library has against `value`."""
    Draft202012Validator.check_schema(schema)
    judge = Draft202012Validator(
        schema, format_checker=Draft202012Validator.FORMAT_CHECKER
    )
    return [error.message for error in judge.iter_errors(value)]


@settings(max_examples=40)
@given(root=objects(SCHEMAS), seed=st.integers(0, 9), prompt=st.text(max_size=20))
def test_every_answer_validates_and_is_the_same_again(
    root: Schema, seed: int, prompt: str
) -> None:
    schema = {**root, "$defs": DEFS}

    def answer() -> Any:
        dice = random.Random(seed)  # noqa: S311  # the same every time, on purpose
        return json_answer(schema, prompt, dice)

    value = json.loads(json.dumps(answer()))

    assert problems(schema, value) == []
    assert answer() == value


AWKWARD: Schema = {
    "type": "object",
    "properties": {
        "tree": {"$ref": "#/$defs/node"},
        "either": {"anyOf": [{"$ref": "#/$defs/a~1b%20c"}, {"const": 7}]},
        "when": {"type": "string", "format": "date-time"},
        "code": {"type": "string", "pattern": r"^[A-Z]{2}-\d{3,5}$"},
        "grid": {
            "type": "array",
            "minItems": 2,
            "maxItems": 2,
            "items": {"type": "array", "minItems": 1, "items": {"maximum": -1}},
        },
    },
    "required": ["tree", "either", "when", "code", "grid"],
    "additionalProperties": False,
    "$defs": DEFS,
}


@pytest.mark.wire
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_strict_formats_and_tools_validate_over_the_wire(
    client: openai.OpenAI, stream: bool
) -> None:
    asked: dict[str, Any] = {
        "model": "gpt-4o-mini",
        "messages": [{"role": "user", "content": "hi"}],
        "seed": 1,
    }
    named = {"name": "awkward", "strict": True}
    form = {"type": "json_schema", "json_schema": {**named, "schema": AWKWARD}}
    tool = {"type": "function", "function": {**named, "parameters": AWKWARD}}
    text, arguments = (
        said(client, stream, {**asked, **more})
        for more in (
            {"response_format": form},
            {"tools": [tool], "tool_choice": "required"},
        )
    )

    assert problems(AWKWARD, json.loads(text)) == []
    assert problems(AWKWARD, json.loads(arguments)) == []


def said(client: openai.OpenAI, stream: bool, asked: dict[str, Any]) -> str:
    """The text of an answer, or the arguments of the tool it calls."""
    if not stream:
        message = client.chat.completions.create(**asked).choices[0].message
        calls = message.tool_calls or []
        return (message.content or "") + "".join(c.function.arguments for c in calls)
    pieces: list[str] = []
    for chunk in client.chat.completions.create(**asked, stream=True):
        for choice in chunk.choices:
            pieces.append(choice.delta.content or "")
            pieces += [c.function.arguments for c in choice.delta.tool_calls or ()]
    return "".join(pieces)
