"""Data as rules see them."""

from __future__ import annotations

from typing import Any

import pytest

from hyperkube_machinery.cel.equality import equal
from hyperkube_machinery.cel.kubernetes.declared import declared_type
from hyperkube_machinery.cel.kubernetes.environments import base_environment, program_of
from hyperkube_machinery.cel.kubernetes.views import KeyedList, view_of
from hyperkube_machinery.cel.values import Duration, Timestamp

DAY = 86400 * 10**9


def shown(value: Any, schema: dict[str, Any]) -> Any:
    view = view_of(schema)
    assert view is not None
    return view(value)


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "string"},
        {"type": "array", "items": {"type": "integer"}},
        {"type": "object", "properties": {"a": {"type": "object", "additionalProperties": {"type": "number"}}}},
        {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
    ],
)
def test_most_data_are_seen_as_they_are(schema: dict[str, Any]) -> None:
    assert view_of(schema) is None


def test_null_fields_are_absent_but_null_entries_and_items_are_not() -> None:
    text = {"type": "string", "nullable": True}
    schema = {
        "type": "object",
        "properties": {
            "a": text,
            "map": {"type": "object", "additionalProperties": text},
            "list": {"type": "array", "items": text},
        },
    }
    value = {"a": None, "map": {"x": None}, "list": [None]}
    assert shown(value, schema) == {"map": {"x": None}, "list": [None]}
    assert value["a"] is None


@pytest.mark.parametrize(
    ("text", "nanoseconds"), [("1 day", DAY), ("2d", 2 * DAY), ("1 week 2 hours", 7 * DAY + 7200 * 10**9)]
)
def test_durations_of_openapi_are_read(text: str, nanoseconds: int) -> None:
    assert shown(text, {"type": "string", "format": "duration"}) == Duration(nanoseconds)


def test_durations_that_go_writes_stay_text() -> None:
    assert shown("1h", {"type": "string", "format": "duration"}) == "1h"


def test_times_without_a_zone_are_taken_to_be_utc() -> None:
    assert shown("1970-01-01T00:00:01", {"type": "string", "format": "date-time"}) == Timestamp(10**9)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (["a", "b"], ["b", "a"], True),
        (["a", "b"], ["a"], False),
        (["a"], ["c"], False),
        ([1], [True], False),
    ],
)
def test_sets_are_equal_in_any_order(one: list[Any], other: list[Any], same: bool) -> None:
    schema = {"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "set"}
    assert equal(shown(one, schema), shown(other, schema)) is same
    assert equal(shown(one, schema), other) is same


def test_lists_with_keys_are_equal_and_grow_by_them() -> None:
    schema = {
        "type": "array",
        "items": {"type": "object", "properties": {"k": {"type": "string"}, "v": {"type": "integer"}}},
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["k"],
    }
    one = shown([{"k": "a", "v": 1}, {"k": "b", "v": 2}], schema)
    assert equal(one, shown([{"k": "b", "v": 2}, {"k": "a", "v": 1}], schema))
    assert not equal(one, shown([{"k": "b", "v": 2}, {"k": "a", "v": 3}], schema))
    grown = one + shown([{"k": "c", "v": 9}, {"k": "a", "v": 5}], schema)
    assert list(grown) == [{"k": "a", "v": 5}, {"k": "b", "v": 2}, {"k": "c", "v": 9}]
    assert isinstance(grown, KeyedList)


@pytest.mark.parametrize(
    "expression",
    [
        "self.all(x, x != '')",
        "self.exists(i, x, i == 1 && x == 'a')",
        "self.exists_one(x, x == 'a')",
        "self.map(x, x + 'c')",
        "self.filter(x, x == 'a')",
        "self.transformList(i, x, x)",
        "'a' in self",
        "self[0]",
        "self[?1].orValue('')",
        "self.size()",
        "size(self) > 1 ? self[1] : ''",
        "self.join('-')",
        "self.sort()",
        "self.sortBy(x, x)",
        "self.distinct()",
        "self.reverse()",
        "self.slice(0, 1)",
        "[self].flatten()",
        "self.isSorted()",
        "self.max()",
        "self.indexOf('a')",
        "sets.contains(self, ['a'])",
        "sets.equivalent(['a', 'b'], self)",
        "self + ['c']",
        "['c'] + self",
        "self == ['b', 'a']",
        "['b', 'a'] == self",
        "dyn(self) == dyn(['b', 'a'])",
        "self in [['b', 'a']]",
        "type(self) == list",
        "'%s'.format([self])",
        "optional.of(self).value()[0]",
        "[self, self].size()",
        "{'a': self}.a[0]",
    ],
)
def test_sets_are_lists_to_all_functions(expression: str) -> None:
    text = {"type": "string", "maxLength": 5}
    schema = {"type": "array", "items": text, "maxItems": 5, "x-kubernetes-list-type": "set"}
    declared = declared_type(schema)
    assert declared is not None
    environment = base_environment().extend(variables={"self": declared.named("self")})
    program = program_of(environment, environment.compile(expression))
    of_set, of_list = (program.evaluate({"self": value}) for value in (shown(["b", "a"], schema), ["b", "a"]))
    assert of_set == of_list
