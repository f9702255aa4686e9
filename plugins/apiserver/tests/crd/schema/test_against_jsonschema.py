"""Schemas and values that were thought of by nobody: closures, exact walk and jsonschema-rs agree on what is valid."""

from __future__ import annotations

from typing import Any

import jsonschema_rs
from hypothesis import given, settings
from hypothesis import strategies as st

from hyperkube_apiserver.crd.schema.cleanness import compile_clean
from hyperkube_apiserver.crd.schema.defaults import compile_defaults
from hyperkube_apiserver.crd.schema.validity import compile_valid
from hyperkube_apiserver.registry.apiextensions.pruning import prune, without_nulls
from hyperkube_apiserver.registry.apiextensions.values import validate_value

NAMES = ("a", "b", "c")
TEXTS = st.text(alphabet="aAé1\U0001f600", max_size=4)
NUMBERS = st.integers(-5, 5)


@st.composite
def schemas(draw: st.DrawFn, depth: int = 3) -> dict[str, Any]:
    """A structural schema, of keywords that mean the same to everybody."""
    kinds = ["string", "integer", "number", "boolean"] + (["object", "array"] if depth else [])
    schema: dict[str, Any] = {"type": draw(st.sampled_from(kinds))}
    for keyword, values in _KEYWORDS.get(schema["type"], {}).items():
        if draw(st.booleans()):
            schema[keyword] = draw(values)
    if schema["type"] == "array":
        schema["items"] = draw(schemas(depth - 1))
    if schema["type"] == "object":
        if draw(st.booleans()):
            schema["properties"] = draw(st.dictionaries(st.sampled_from(NAMES), schemas(depth - 1), max_size=3))
        elif draw(st.booleans()):
            schema["additionalProperties"] = draw(st.booleans() | schemas(depth - 1))
        for junctor in ("anyOf", "oneOf", "allOf"):
            if draw(st.integers(0, 3)) == 0:
                schema[junctor] = draw(st.lists(_DEMANDS, min_size=1, max_size=3))
        if draw(st.integers(0, 4)) == 0:
            schema["not"] = draw(_DEMANDS)
    return schema


_DEMANDS = st.fixed_dictionaries({"required": st.lists(st.sampled_from(NAMES), unique=True, min_size=1)})
_KEYWORDS: dict[str, dict[str, st.SearchStrategy[Any]]] = {
    "string": {
        "minLength": st.integers(0, 3),
        "maxLength": st.integers(0, 4),
        "enum": st.lists(TEXTS, min_size=1, max_size=3, unique=True),
        "pattern": st.sampled_from(["^a", "1$", "[aA]+"]),
    },
    "integer": {"minimum": NUMBERS, "maximum": NUMBERS, "multipleOf": st.integers(1, 3)},
    "number": {"minimum": NUMBERS, "maximum": NUMBERS},
    "array": {"minItems": st.integers(0, 2), "maxItems": st.integers(0, 3)},
    "object": {
        "minProperties": st.integers(0, 2),
        "maxProperties": st.integers(0, 3),
        "required": st.lists(st.sampled_from(NAMES), unique=True),
    },
}
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.sampled_from([0.5, -1.5, 2.0]) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from((*NAMES, "d")), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=600, deadline=None)
@given(schemas(), VALUES)
def test_what_is_valid_is_so_to_everybody(schema: dict[str, Any], value: Any) -> None:
    wanted = jsonschema_rs.validator_for(schema).is_valid(value)
    assert (validate_value(value, schema) == []) == wanted
    # A closure may leave odd cases to the exact walk; it never finds valid what is not.
    assert not compile_valid(schema)(value) or wanted


@settings(max_examples=300, deadline=None)
@given(schemas(), VALUES)
def test_usual_values_need_no_exact_walk(schema: dict[str, Any], value: Any) -> None:
    if jsonschema_rs.validator_for(schema).is_valid(value) and not _has_fractions(value):
        assert compile_valid(schema)(value)


def _has_fractions(value: Any) -> bool:
    if isinstance(value, dict | list):
        return any(map(_has_fractions, value.values() if isinstance(value, dict) else value))
    return isinstance(value, float)


@settings(max_examples=600, deadline=None)
@given(schemas(), st.dictionaries(st.sampled_from((*NAMES, "d")), VALUES, max_size=4))
def test_what_is_clean_is_what_pruning_leaves_as_it_is(schema: dict[str, Any], value: dict[str, Any]) -> None:
    pruned = without_nulls(prune(value, schema, is_resource=True), schema)
    assert not compile_clean(schema)(value) or pruned == value
    assert without_nulls(prune(pruned, schema, is_resource=True), schema) == pruned


@settings(max_examples=300, deadline=None)
@given(schemas(), VALUES)
def test_filling_in_defaults_twice_changes_nothing(schema: dict[str, Any], value: Any) -> None:
    fill = compile_defaults({"type": "object", "properties": {"a": {**schema, "default": value}}})
    if fill is not None:
        once = fill({})
        assert once == ({} if value is None else {"a": prune(value, schema)})
        assert fill(once) is once
