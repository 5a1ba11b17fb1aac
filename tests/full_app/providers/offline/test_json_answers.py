"""JSON answers satisfy the schema they were asked for, or the schema is refused."""

import json
import random
import re
import uuid
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from ipaddress import IPv4Address, IPv6Address
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import AnyUrl, BaseModel, ConfigDict, Field, TypeAdapter

from examples.full_app.providers.offline import json_answers, patterns
from examples.full_app.providers.offline.json_answers import json_answer
from examples.full_app.providers.offline.json_keywords import (
    Keywords,
    Steps,
    UnsupportedSchemaError,
)
from examples.full_app.providers.offline.json_scalars import Words, string_candidates
from examples.full_app.providers.offline.json_schema import MAX_SCHEMA, Document
from examples.full_app.providers.offline.patterns import Pattern


def dice(seed: int) -> random.Random:
    return random.Random(seed)  # noqa: S311  # the same every time, on purpose


def fill(schema: Any, prompt: str = "the question") -> Any:
    return json_answer(schema, prompt, dice(5))


quick = settings(deadline=None, max_examples=60)


def plenty() -> Steps:
    return Steps(1_000_000)


def matches(pattern: str, text: str, steps: Steps) -> bool:
    return Pattern(pattern, steps).matches(text)


def samples(pattern: str, dice: random.Random, steps: Steps) -> Iterator[str]:
    return Pattern(pattern, steps).samples(dice)


# --- what Pydantic writes -----------------------------------------------------------


class Mood(Enum):
    """An enum in the schema."""

    GOOD = "good"
    BAD = "bad"


class Leaf(BaseModel):
    """Every kind of bound."""

    model_config = ConfigDict(extra="forbid")

    name: Annotated[str, Field(min_length=3, max_length=5)]
    mood: Mood
    score: Annotated[float, Field(gt=0, lt=1)]
    even: Annotated[int, Field(ge=10, le=21, multiple_of=2)]
    code: Annotated[str, Field(pattern=r"^[A-Z]{2}-\d{3,5}$")]
    tags: Annotated[list[str], Field(min_length=1, max_length=2)]
    pair: tuple[int, str]
    flags: Annotated[set[int], Field(min_length=3)]
    either: int | bool | None = None


class Tree(BaseModel):
    """Contains itself in a list."""

    name: str
    children: list["Tree"]


class Chain(BaseModel):
    """Contains itself, or nothing."""

    value: Leaf
    following: "Chain | None"


class Cat(BaseModel):
    """One member of a union."""

    kind: Literal["cat"]
    lives: Annotated[int, Field(ge=1, le=9)]


class Dog(BaseModel):
    """The other."""

    kind: Literal["dog"]
    owner: Cat | None = None


class Point(BaseModel):
    """Two numbers."""

    x: float
    y: float


TYPES: list[Any] = [
    Leaf,
    Tree,
    Chain,
    Point,
    Annotated[Cat | Dog, Field(discriminator="kind")],
    list[Cat | Dog],
    dict[str, int],
    dict[Mood, Point],
    dict[Annotated[str, Field(pattern="^[a-z]+$")], int],
    Annotated[dict[str, bool], Field(min_length=4)],
    Literal[1, "one", None],
    Decimal,
    Annotated[Decimal, Field(gt=5, decimal_places=2)],
    datetime | None,
    date,
    time,
    timedelta,
    uuid.UUID,
    AnyUrl,
    IPv4Address,
    IPv6Address,
    Annotated[float, Field(gt=1e20)],
    Annotated[float, Field(ge=0.25, le=0.4, multiple_of=0.1)],
    Annotated[int, Field(gt=10**30)],
    Annotated[list[Annotated[str, Field(max_length=4)]], Field(min_length=5)],
    Annotated[frozenset[str], Field(min_length=5)],
    tuple[int, Annotated[str, Field(min_length=30)], bool],
    Annotated[str, Field(pattern=r"^[^@\s]+@[a-z]+\.(com|org)$", max_length=40)],
]


@pytest.mark.parametrize("asked", TYPES, ids=str)
@pytest.mark.parametrize("prompt", ["", "Is 3 of 20 much, Ada?"])
def test_pydantic_accepts_what_was_made_for_its_schema(asked: Any, prompt: str) -> None:
    adapter = TypeAdapter(asked)
    value = fill(adapter.json_schema(), prompt)

    adapter.validate_json(json.dumps(value, allow_nan=False))


def test_a_recursive_type_shows_its_recursion_and_ends() -> None:
    tree = Tree.model_validate(fill(TypeAdapter(Tree).json_schema()))

    assert tree.children
    assert len(tree.model_dump_json()) < 500


# --- one keyword at a time ----------------------------------------------------------

# Each schema with a few values that satisfy it, and a few that do not.
KEYWORDS: list[tuple[Any, list[Any], list[Any]]] = [
    ({"type": "integer"}, [1, 1.0, -3], [1.5, True, "1", None]),
    ({"type": "number"}, [1, 1.5], [False, "1"]),
    ({"type": ["null", "boolean"]}, [None, True], [0, ""]),
    ({"enum": [1, "a", [None]]}, [1, 1.0, "a", [None]], [True, "b", []]),
    ({"const": {"a": [1]}}, [{"a": [1.0]}], [{"a": [True]}, {"a": [1], "b": 1}, 1]),
    ({"minimum": 2, "maximum": 3}, [2, 3, "no number"], [1.9, 3.1]),
    (
        {"exclusiveMinimum": 2, "exclusiveMaximum": 3, "type": "number"},
        [2.5],
        [2, 3],
    ),
    ({"multipleOf": 0.1, "type": "number"}, [0.3, 7], [0.35]),
    ({"minLength": 2, "maxLength": 3}, ["ab", "\u6f22\u5b57", 5], ["a", "abcd"]),
    ({"pattern": "^a+$"}, ["a", "aa", 5], ["", "ab", "\na"]),
    ({"items": {"type": "null"}}, [[], [None]], [[None, 1]]),
    (
        {"prefixItems": [{"const": 1}], "items": False, "type": "array"},
        [[], [1]],
        [[2], [1, 1]],
    ),
    ({"minItems": 1, "maxItems": 2, "type": "array"}, [[1], [1, 2]], [[], [1, 2, 3]]),
    ({"uniqueItems": True, "type": "array"}, [[1, True], [[], {}]], [[1, 1.0]]),
    ({"properties": {"a": {"const": 1}}}, [{}, {"a": 1}, {"b": 2}, 1], [{"a": 2}]),
    ({"required": ["a"]}, [{"a": None}], [{}, {"b": 1}]),
    (
        {"properties": {"a": True}, "additionalProperties": False},
        [{}, {"a": 1}],
        [{"b": 1}],
    ),
    (
        {"patternProperties": {"^x": {"type": "null"}}, "additionalProperties": False},
        [{}, {"x1": None}],
        [{"x1": 1}, {"y": None}],
    ),
    ({"propertyNames": {"maxLength": 1}, "type": "object"}, [{"a": 1}], [{"ab": 1}]),
    (
        {"minProperties": 1, "maxProperties": 2, "type": "object"},
        [{"a": 1}],
        [{}, {"a": 1, "b": 2, "c": 3}],
    ),
    ({"allOf": [{"minimum": 2}, {"type": "integer"}]}, [2], [1, 2.5]),
    ({"anyOf": [{"const": 1}, {"const": 2}]}, [1, 2], [3]),
    ({"oneOf": [{"type": "integer"}, {"type": "number"}]}, [1.5], [1, "a"]),
    ({"not": {"type": "object"}}, [1], [{}]),
    (
        {"if": {"type": "integer"}, "then": {"minimum": 5}, "else": {"const": "a"}},
        [5, "a"],
        [4, "b"],
    ),
    ({"$ref": "#/$defs/a~1b", "$defs": {"a/b": {"const": 1}}}, [1], [2]),
    ({"$ref": "#/x/1", "x": [True, {"const": 1}]}, [1], [2]),
    ({"$ref": "#/definitions/no", "definitions": {"no": False}}, [], [1, None]),
]


@pytest.mark.parametrize(("schema", "good", "bad"), KEYWORDS, ids=str)
def test_a_value_is_checked_against_every_keyword(
    schema: Any, good: list[Any], bad: list[Any]
) -> None:
    checker = Document(schema, plenty())

    assert [value for value in good if not checker.valid(value, schema)] == []
    assert [value for value in bad if checker.valid(value, schema)] == []


@pytest.mark.parametrize(
    "schema", [schema for schema, good, _ in KEYWORDS if good], ids=str
)
def test_a_value_is_made_for_every_keyword(schema: Any) -> None:
    assert Document(schema, plenty()).valid(fill(schema), schema)


MANY: Any = {"anyOf": [{"minimum": number} for number in range(15)]}


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"type": "integer", "minimum": 0, "allOf": [{"minimum": 50}]}, 50),
        ({"type": "integer", "anyOf": [{"minimum": 7}], "maximum": 7}, 7),
        ({"type": "string", "enum": [1, "a"]}, "a"),
        ({"enum": [1, 2, 3], "allOf": [{"enum": [3, 4]}, {"enum": [2.0, 3]}]}, 3),
        ({"oneOf": [{"type": "null"}, {"const": 2}]}, 2),
        ({"type": "object", "additionalProperties": {"not": {}}}, {}),
        ({"type": ["null", "array"], "maxItems": 0}, []),
        ({"type": "integer", "exclusiveMinimum": 0.5, "exclusiveMaximum": 1.5}, 1),
        ({"type": "number", "allOf": [{"type": "integer"}], "maximum": -5}, -5),
        ({"type": "object", "properties": {"a": False, "b": {"const": 1}}}, {"b": 1}),
        (
            {
                "allOf": [
                    {"properties": {"a": {"minimum": 3}}, "required": ["a"]},
                    {"properties": {"a": {"type": "integer", "maximum": 3}}},
                ]
            },
            {"a": 3},
        ),
        (
            {
                "type": "object",
                "properties": {"a": {"const": 1}, "b": {"const": 2}, "c": {"const": 3}},
                "required": ["c"],
                "maxProperties": 2,
            },
            {"a": 1, "c": 3},
        ),
        (
            {
                "allOf": [
                    {"anyOf": [{"const": 1}, {"const": 2}], "not": {"const": 5}},
                    {"anyOf": [{"const": 2}, {"const": 3}], "not": {"const": 6}},
                ]
            },
            2,
        ),
        ({"allOf": [MANY, MANY], "type": "integer", "maximum": 0}, 0),
        (
            {
                "allOf": [
                    {"items": {"type": "integer"}, "minItems": 1},
                    {"items": {"enum": ["a", 4]}, "maxItems": 1},
                ],
                "type": "array",
            },
            [4],
        ),
    ],
    ids=str,
)
def test_keywords_hold_together(schema: Any, expected: Any) -> None:
    assert fill(schema) == expected


def test_numbers_quotes_and_names_of_the_prompt_are_used() -> None:
    prompt = 'Book "room 5" in New York for 3 nights from 2026-11-20, Ada, at 99.5.'
    text: Any = {"type": "string"}
    made = fill({"prefixItems": [text] * 3, "minItems": 3, "type": "array"}, prompt)
    few = {"type": "integer", "minimum": 1, "maximum": 4}
    numbers: Any = [few, {"type": "number", "minimum": 50, "maximum": 100}]

    assert made == ["room 5", "New York", "Ada"]
    assert fill({"prefixItems": numbers, "minItems": 2, "type": "array"}, prompt) == [
        3,
        99.5,
    ]


@pytest.mark.parametrize("kind", ["integer", "number"])
def test_a_prompt_of_four_hundred_digits_makes_no_such_number(kind: str) -> None:
    assert abs(fill({"type": kind}, "9" * 400)) < 10**15


def test_the_same_dice_make_the_same_value() -> None:
    schema = TypeAdapter(Chain).json_schema()

    assert fill(schema) == fill(schema)


# --- what is refused ----------------------------------------------------------------

NESTED: Any = {"type": "null"}
for _ in range(60):
    NESTED = {"type": "object", "properties": {"a": NESTED}, "required": ["a"]}


@pytest.mark.parametrize(
    ("schema", "why"),
    [
        ({"not": {}}, "no value"),
        ({"not": {"type": "string"}}, "satisfied"),
        ({"type": "integer", "minimum": 5, "maximum": 4}, "satisfied"),
        ({"type": "number", "minimum": 10**400}, "satisfied"),
        ({"type": "date"}, "type"),
        ({"enum": []}, "satisfied"),
        ({"anyOf": []}, "satisfied"),
        ({"type": []}, "satisfied"),
        ({"$ref": "#/$defs/nowhere"}, "nowhere"),
        ({"$ref": "https://example.com/schema"}, "nowhere"),
        ({"$ref": "#anchor"}, "nowhere"),
        ({"type": "object", "required": ["a"], "additionalProperties": False}, "no v"),
        (
            {
                "type": "array",
                "minItems": 2,
                "uniqueItems": True,
                "items": {"const": 1},
            },
            "No",
        ),
        (
            {
                "type": "array",
                "uniqueItems": True,
                "items": {"type": "boolean"},
                "minItems": 3,
            },
            "No",
        ),
        ({"type": "string", "minLength": 10_001}, "too long"),
        ({"type": "string", "minLength": 2_000, "pattern": "a"}, "too long"),
        ({"type": "array", "minItems": 5_000}, "takes too long"),
        ({"enum": ["x" * MAX_SCHEMA]}, "too large"),
        ({"propertyNames": False, "minProperties": 1, "type": "object"}, "No value"),
        (NESTED, "without end"),
        ({"$ref": "#"}, "leads to itself"),
        ({"not": {"$ref": "#"}}, "leads to itself"),
        ({"if": {"$ref": "#"}}, "leads to itself"),
        ({"properties": 5}, "`properties`"),
        ({"properties": {"a": {"minLength": -1}}}, "`properties.a.minLength`"),
        ({"format": []}, "`format`"),
        ({"$ref": 5}, "`[$]ref`"),
        ({"items": [{}]}, "`items`"),
        ({"minimum": True}, "`minimum"),
        ({"multipleOf": 0}, "`multipleOf"),
        ({"exclusiveMinimum": None}, "`exclusiveMinimum"),
        ({"contains": {}}, "`contains`"),
        ({"items": {"$schema": "urn:other"}}, "`items.[$]schema`"),
        ({"type": "integer", "exclusiveMinimum": 10**4300 - 1}, "satisfied"),
        ({"$ref": "#/x", "x": {"required": "a"}}, "`required`"),
    ],
    ids=lambda given: str(given)[:60],
)
def test_a_schema_that_cannot_be_satisfied_is_refused(schema: Any, why: str) -> None:
    with pytest.raises(UnsupportedSchemaError, match=why):
        fill(schema)


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"uniqueItems": True}, [[number] for number in range(1_000)]),
        (
            {
                "allOf": [{"$ref": "#/$defs/many"}] * 20,
                "$defs": {"many": {"enum": list(range(9_000))}},
            },
            8_999,
        ),
        ({"allOf": [{"items": True}] * 100}, list(range(2_000))),
        ({"allOf": [{"not": False}] * 100}, "x" * 10_000_000),
        (
            {
                "anyOf": [{"$ref": "#/$defs/long"}] * 300,
                "$defs": {"long": {"const": "x" * 50_000}},
            },
            "y",
        ),
        (
            {
                "$ref": "#/$defs/0",
                "$defs": {
                    **{
                        str(number): {"anyOf": [{"$ref": f"#/$defs/{number + 1}"}] * 4}
                        for number in range(12)
                    },
                    "12": {"type": "null"},
                },
            },
            1,
        ),
    ],
    ids=["unique", "enum", "items", "a long value", "a long message", "references"],
)  # fmt: skip
def test_a_value_is_checked_in_a_limited_number_of_steps(
    schema: Any, value: Any
) -> None:
    document = Document(schema, Steps(json_answers.MAX_STEPS))

    with pytest.raises(UnsupportedSchemaError, match="takes too long"):
        document.valid(value, schema)


def test_the_root_may_name_its_dialect_and_ids_change_nothing() -> None:
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "http://[",
        "type": "object",
        "properties": {"a": {"$ref": "#"}, "b": {"$ref": "#/$defs/b"}},
        "required": ["b"],
        "$defs": {"b": {"$id": "urn:other", "$ref": "#/$defs/c"}, "c": {"const": 1}},
    }

    assert fill(schema)["b"] == 1


def test_a_multiple_of_a_tenth_may_be_too_large_for_a_float() -> None:
    schema = {"type": "integer", "multipleOf": 0.1, "minimum": 10**400}

    assert fill(schema) >= 10**400


def test_a_length_comes_before_a_format() -> None:
    assert len(fill({"type": "string", "format": "email", "maxLength": 3})) <= 3


def test_a_schema_that_branches_for_ever_is_cut_short() -> None:
    parts = {str(n): {"anyOf": [{"$ref": "#"}, True]} for n in range(30)}
    text = json.dumps(fill({"type": "object", "properties": parts}))

    assert 30 < text.count(":") <= json_answers.MAX_VALUES


# Any JSON at all in the place of keywords: refused, or satisfied, never a crash.
NAMES = [field.alias or name for name, field in Keywords.model_fields.items()]
SMALL = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.sampled_from([0.5, 1e-320, "string", "object", "#", "a*", "", [], {}]),
)
ANY_JSON = st.recursive(
    SMALL,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from(NAMES), inner, max_size=3),
    ),
    max_leaves=10,
)


@quick
@given(schema=st.dictionaries(st.sampled_from(NAMES), ANY_JSON, max_size=4))
def test_any_json_as_a_schema_is_satisfied_or_refused(schema: Any) -> None:
    try:
        value = fill(schema)
    except UnsupportedSchemaError:
        return
    assert Document(schema, plenty()).valid(value, schema)


# --- patterns -----------------------------------------------------------------------

ATOMS = ["a", "b", ".", "[ab]", "[^a]", "[a-c]", r"\d", r"\W", r"\.", "^", "$"]
PATTERNS = st.recursive(
    st.sampled_from(ATOMS),
    lambda inner: st.one_of(
        st.builds(lambda one, two: one + two, inner, inner),
        st.builds(lambda one, two: f"(?:{one}|{two})", inner, inner),
        st.builds(
            lambda one, sign: f"({one}){sign}",
            inner,
            st.sampled_from(["*", "+", "?", "{2}", "{1,}", "{0,2}", "*?"]),
        ),
    ),
    max_leaves=6,
)


@quick
@given(pattern=PATTERNS, texts=st.lists(st.text("abc1.-", max_size=6), max_size=5))
def test_matching_agrees_with_python(pattern: str, texts: list[str]) -> None:
    for text in texts:
        expected = re.search(pattern, text) is not None
        assert matches(pattern, text, plenty()) is expected


@quick
@given(pattern=PATTERNS, seed=st.integers(0, 5))
def test_a_sample_matches_but_for_anchors_out_of_place(pattern: str, seed: int) -> None:
    plain = pattern.replace("^", "").replace("$", "")
    try:
        made = list(samples(plain, dice(seed), plenty()))
    except UnsupportedSchemaError:
        made = []
    assert all(re.search(plain, text) for text in made)


@pytest.mark.parametrize(
    ("pattern", "good", "bad"),
    [
        (r"^\x41\u0042\/\-$", "AB/-", "AB/"),
        (r"^[\w.-]+@[\d\-a]$", "a.b-c@-", "a.b-c@w"),
        (r"^\n\t$", "\n\t", "nt"),
        (r"^[^\n]$", "\u6f22", "\n"),
        (r"^\S\s\D$", "a b", "a 1"),
        (r"^(?:a|)$", "", "b"),
        (r"^a{3}b{0,1}c{2,}$", "aaacc", "aaabbcc"),
        ("^\u6f22$", "\u6f22", "\u6f23"),
        ("[+-]", "a-b", "a,b"),
        (r"^[\w-.]+$", "a.b-c", "\u00e9"),
        (r"^\w$", "a", "\u00e9"),
        (r"^\d$", "1", "\u0663"),
        ("^[[&&~~|]+$", "[&~", "b"),
        ("^[\u0410-\u042f]$", "\u0416", "a"),
        (r"^[\u0410-\u042f]$", "\u0416", "a"),
    ],
)
def test_common_syntax_is_read(pattern: str, good: str, bad: str) -> None:
    made = list(samples(pattern, dice(1), plenty()))

    assert matches(pattern, good, plenty())
    assert not matches(pattern, bad, plenty())
    assert all(matches(pattern, text, plenty()) for text in made)


@pytest.mark.parametrize(
    "pattern",
    [
        "(", ")", "(a", "a)", "[", "[b-a]", "[a-\\d]", "[\\D]", "[+--]",
        "*", "a**", "a{2,1}",
        "a{", "^*", "(?=a)", "(?<n>a)", "\\1", "\\b", "\\p{L}", "\\",
        "[^\\x00-\\uffff]{9}",
        "a" * (patterns.MAX_PATTERN + 1),
        "(" * 21 + ")" * 21,
    ],
    ids=lambda pattern: pattern[:12],
)  # fmt: skip
def test_other_syntax_is_refused(pattern: str) -> None:
    with pytest.raises(UnsupportedSchemaError, match="pattern"):
        fill({"type": "string", "pattern": pattern})


@pytest.mark.parametrize(
    "pattern",
    [
        "^" + r"\w*" * 100 + "@$",  # `re` would take longer than the universe has been
        "((((a?){1,999}){1,999}){1,999})*b" * 9,
        "[" + "a-z" * 150 + "]{1000}",
        "((a{999}){999}){999}",
    ],
    ids=lambda pattern: pattern[:12],
)
def test_a_pattern_takes_only_so_many_steps(pattern: str) -> None:
    steps = Steps(json_answers.MAX_STEPS)

    def match_again_and_again() -> None:
        for _ in range(100):
            matches(pattern, "a" * 80, steps)

    with pytest.raises(UnsupportedSchemaError, match="takes too long"):
        match_again_and_again()


def test_a_pattern_costs_steps_before_it_is_matched() -> None:
    with pytest.raises(UnsupportedSchemaError, match="takes too long"):
        Pattern("a{600}", Steps(600))


def test_a_text_made_after_a_pattern_costs_steps() -> None:
    with pytest.raises(UnsupportedSchemaError, match="takes too long"):
        list(Pattern("a{50}", Steps(200)).samples(dice(1)))


def test_a_long_text_costs_steps_before_it_is_made() -> None:
    document = Document({}, Steps(50))

    with pytest.raises(UnsupportedSchemaError, match="takes too long"):
        list(string_candidates([{"minLength": 10_000}], Words("", dice(1)), document))


def test_nested_repetition_makes_long_texts_and_short_ones() -> None:
    nested = {"type": "string", "pattern": "^((((a*)*)*)*)*b$"}

    assert len(fill({**nested, "minLength": 100})) >= 100
    assert fill({**nested, "maxLength": 1}) == "b"


def test_a_repetition_of_nothing_ends() -> None:
    with pytest.raises(UnsupportedSchemaError, match="takes too long"):
        fill({"type": "string", "pattern": "(((^){999}){999}){999}b"})


def test_texts_too_long_to_match_are_refused() -> None:
    with pytest.raises(UnsupportedSchemaError, match="too long"):
        matches("a", "a" * (patterns.MAX_TEXT + 1), plenty())
    long = {"type": "string", "pattern": "(a{999}){3}"}
    with pytest.raises(UnsupportedSchemaError):
        fill(long)
