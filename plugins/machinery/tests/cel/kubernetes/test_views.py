"""Data as rules see them."""

from __future__ import annotations

from typing import Any

import pytest

from hyperkube_machinery.cel.equality import equal
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
