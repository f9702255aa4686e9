"""Which old value a new one is compared with, and what is forgiven since it did not change."""

from __future__ import annotations

from typing import Any

import pytest

from hyperkube_apiserver.crd.rules.ratcheting import Ratchet
from hyperkube_apiserver.registry.apiextensions.correlation import Correlated, KeyedItems

KEYED = {
    "type": "array",
    "x-kubernetes-list-type": "map",
    "x-kubernetes-list-map-keys": ["k", "n"],
    "items": {"type": "object", "properties": {"k": {}, "n": {}, "v": {}}},
}
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "a": {"type": "integer"},
        "keyed": KEYED,
        "plain": {"type": "array", "items": {"type": "integer"}},
        "map": {"type": "object", "additionalProperties": {"type": "integer"}},
    },
}


def test_items_are_found_by_all_of_their_keys() -> None:
    items = KeyedItems(KEYED, [{"k": "a", "n": 1, "v": 1}, {"k": "a", "n": 2, "v": 2}, {"k": "a", "n": 2, "v": 3}])
    assert items.get({"k": "a", "n": 2}) == {"k": "a", "n": 2, "v": 2}
    assert items.get({"k": "a", "n": 3}) is None
    assert items.get({"k": "a"}) is None
    assert items.get({"k": ["a"], "n": 1}) is None
    assert items.get("a") is None
    assert items.get({"k": "a", "n": True}) is None


def test_items_of_other_lists_have_no_old_ones() -> None:
    assert KeyedItems({"type": "array", "x-kubernetes-list-type": "set"}, ["a"]).get("a") is None


@pytest.mark.parametrize(
    ("new", "old", "same"),
    [
        ({"a": 1}, {"a": 1}, True),
        ({"a": 1}, {"a": 2}, False),
        ({"a": 1}, {"a": 1.0}, False),
        ({"a": 1}, {"a": 1, "map": {}}, False),
        ({"unknown": 1}, {"unknown": 1}, False),  # what no schema tells of is not compared
        ({"map": {"x": 1}}, {"map": {"x": 1}}, True),
        ({"map": {"x": 1}}, {"map": {"y": 1}}, False),
        ({"plain": [1, 2]}, {"plain": [1, 2]}, True),
        ({"plain": [1, 2]}, {"plain": [2, 1]}, False),
        (
            {"keyed": [{"k": "a", "n": 1}, {"k": "b", "n": 1}]},
            {"keyed": [{"k": "b", "n": 1}, {"k": "a", "n": 1}]},
            True,
        ),
        ({"keyed": [{"k": "a", "n": 1}]}, {"keyed": [{"k": "b", "n": 1}]}, False),
        ({"keyed": [{"k": "a", "n": 1, "v": 1}]}, {"keyed": [{"k": "a", "n": 1, "v": 2}]}, False),
        ({"plain": []}, {"plain": []}, True),
        ({"a": None}, {"a": None}, True),
        ({"a": None}, {"a": 1}, False),
    ],
)
def test_values_are_the_same_as_their_old_ones(new: Any, old: Any, same: bool) -> None:
    assert Correlated(new, old, SCHEMA).is_same() is same


def test_what_has_no_old_value_is_judged_by_what_is_around_it() -> None:
    ratchet = Ratchet(Correlated({"plain": [1]}, {"plain": [1]}, SCHEMA))
    assert ratchet.key("plain").index(0).forgives()
    changed = Ratchet(Correlated({"plain": [1]}, {"plain": [2]}, SCHEMA))
    assert not changed.key("plain").index(0).forgives()


def test_nothing_is_forgiven_without_an_old_value() -> None:
    assert not Ratchet().forgives()
    assert not Ratchet().key("a").forgives()
    assert not Ratchet(Correlated({"kind": "A"}, {"kind": "A"}, SCHEMA)).key("kind").forgives()
