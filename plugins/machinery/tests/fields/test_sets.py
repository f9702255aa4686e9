"""Sets of fields, held against plain sets of paths."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyperkube_machinery.fields.elements import BadElement, of_keys, of_value, read_element, shown, sort_key
from hyperkube_machinery.fields.sets import (
    LEAF,
    BadSet,
    children,
    difference,
    has,
    in_order,
    intersection,
    is_member,
    paths,
    read_set,
    recursive_difference,
    set_of,
    union,
)

Paths = frozenset[tuple[str, ...]]

_elements = st.sampled_from(["f:a", "f:b", 'k:{"name":"x"}', 'v:"y"', "i:0"])
_paths = st.frozensets(st.lists(_elements, min_size=1, max_size=3).map(tuple), max_size=8)


def made(members: Paths) -> dict[str, Any]:
    return set_of(*members)


def members(fields: dict[str, Any]) -> Paths:
    found = list(paths(fields))
    assert len(found) == len(set(found))
    assert_canonical(fields, root=True)
    return frozenset(found)


def assert_canonical(node: dict[str, Any], *, root: bool = False) -> None:
    """Nothing leads nowhere, and a field that is a member alone is written in one way only."""
    assert root or node != {".": {}}
    for key, below in node.items():
        if key != ".":
            assert_canonical(below)


@given(_paths)
def test_a_set_has_the_members_it_was_made_of_and_no_others(one: Paths) -> None:
    fields = made(one)
    assert members(fields) == one
    assert all(has(fields, path) for path in one)
    assert not has(fields, ("f:a", "f:a", "f:a", "f:a"))
    assert not has(fields, ())


@given(_paths, _paths)
def test_operations_are_those_of_sets_of_paths(one: Paths, other: Paths) -> None:
    left, right = made(one), made(other)
    assert members(union(left, right)) == one | other
    assert members(intersection(left, right)) == one & other
    assert members(difference(left, right)) == one - other
    below = {path for path in one for prefix in other if path[: len(prefix)] == prefix}
    assert members(recursive_difference(left, right)) == one - below
    assert (members(left), members(right)) == (one, other)  # the operands are as they were


@given(_paths, _paths)
def test_what_changes_nothing_comes_back_as_the_same_object(one: Paths, other: Paths) -> None:
    fields = made(one)
    kept = difference(fields, made(other - one))
    assert members(kept) == one
    assert difference(fields, LEAF) is fields
    assert union(fields, LEAF) is fields


@given(_paths)
def test_a_set_can_be_put_in_order(one: Paths) -> None:
    fields = in_order(made(one))
    assert fields == made(one)
    for path in one:
        node = fields
        for key in path:
            keys = [other for other in node if other != "."]
            assert "." not in node or next(iter(node)) == "."
            assert keys == sorted(keys, key=sort_key)
            node = node[key]


@given(_paths)
def test_a_set_reads_back_what_it_writes(one: Paths) -> None:
    fields = made(one)
    assert read_set(fields) == fields


@given(_paths)
def test_a_message_lists_the_members_of_a_level_before_what_is_below_them(one: Paths) -> None:
    listed = list(paths(made(one)))
    for index, path in enumerate(listed):
        for later in listed[index + 1 :]:
            if len(later) == len(path) and later[:-1] == path[:-1]:
                assert sort_key(path[-1]) < sort_key(later[-1])


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        (None, {}),
        ({"f:a": None}, {"f:a": {}}),
        ({"f:a": {".": {}}}, {"f:a": {}}),
        ({"f:a": {".": {}, "f:b": {}}}, {"f:a": {".": {}, "f:b": {}}}),
        ({".": {}}, {}),
        ({"z:new": {}, "f:a": {"z:new": {}}}, {"f:a": {}}),
        ({'k:{"b": 1, "a": "x"}': {}}, {'k:{"a":"x","b":1}': {}}),
        ({'k:{"p":80.0}': {"f:a": {}}, 'k:{ "p": 80 }': {"f:b": {}}}, {'k:{"p":80}': {"f:a": {}, "f:b": {}}}),
        ({'v: "a"': {}, "i:+1": {}}, {'v:"a"': {}, "i:1": {}}),
    ],
)
def test_what_clients_write_is_made_canonical(sent: Any, read: Any) -> None:
    assert read_set(sent) == read


@pytest.mark.parametrize(
    "sent", [[], "x", 1, {"a": {}}, {"": {}}, {"foo": {}}, {"i:x": {}}, {"v:": {}}, {"k:1": {}}, {"f:a": []}]
)
def test_what_is_no_set_is_refused(sent: Any) -> None:
    with pytest.raises(BadSet):
        read_set(sent)


def test_elements_are_written_as_go_writes_them() -> None:
    assert of_value("a<b>&c") == 'v:"a\\u003cb\\u003e\\u0026c"'
    assert of_keys([("port", 80), ("protocol", "TCP")]) == 'k:{"port":80,"protocol":"TCP"}'
    assert shown('k:{"port":80,"protocol":"TCP"}') == '[port=80,protocol="TCP"]'
    assert (shown("f:spec"), shown('v:"a"'), shown("i:3")) == (".spec", '[="a"]', "[3]")
    assert read_element("z:a") is None
    with pytest.raises(BadElement):
        read_element("a")


def test_children_are_a_set_of_their_own() -> None:
    fields = set_of(("f:a",), ("f:a", "f:b"))
    assert children(fields["f:a"]) == {"f:b": {}}
    assert is_member(fields["f:a"])
    assert children(None) == {}
