"""JSON patch and merge patch as the API applies them."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyperkube_machinery.errors import APIError
from hyperkube_machinery.patches import json as json_patch
from hyperkube_machinery.patches import merge as merge_patch

_DOCUMENT: dict[str, Any] = {"a": {"b": 1, "c/d": [1, 2, 3]}, "l": [{"x": 1}, {"x": 2}], "n": None}


def _patched(*operations: Any) -> Any:
    before = copy.deepcopy(_DOCUMENT)
    try:
        return json_patch.apply(_DOCUMENT, list(operations))
    finally:
        assert before == _DOCUMENT


@pytest.mark.parametrize(
    ("operation", "changed"),
    [
        ({"op": "add", "path": "/a/e", "value": 5}, {"a": {"b": 1, "c/d": [1, 2, 3], "e": 5}}),
        ({"op": "add", "path": "/a/e"}, {"a": {"b": 1, "c/d": [1, 2, 3], "e": None}}),
        ({"op": "add", "path": "a/b", "value": 5}, {"b": 5}),  # the part before the first slash is not read
        ({"op": "add", "path": "/a/c~1d/1", "value": 9}, {"a": {"b": 1, "c/d": [1, 9, 2, 3]}}),
        ({"op": "add", "path": "/a/c~1d/-", "value": 9}, {"a": {"b": 1, "c/d": [1, 2, 3, 9]}}),
        ({"op": "add", "path": "/a/c~1d/-1", "value": 9}, {"a": {"b": 1, "c/d": [1, 2, 3, 9]}}),
        ({"op": "remove", "path": "/l/-1"}, {"l": [{"x": 1}]}),
        ({"op": "remove", "path": "/a"}, {"a": ...}),
        ({"op": "replace", "path": "/l/0/x", "value": [1]}, {"l": [{"x": [1]}, {"x": 2}]}),
        ({"op": "replace", "path": "/missing", "value": 1}, {"missing": 1}),
        ({"op": "move", "from": "/l/0", "path": "/l/1"}, {"l": [{"x": 2}, {"x": 1}]}),
        ({"op": "copy", "from": "/l/0", "path": "/a/b"}, {"a": {"b": {"x": 1}, "c/d": [1, 2, 3]}}),
        ({"op": "test", "path": "/l", "value": [{"x": 1}, {"x": 2}]}, {}),
        ({"op": "test", "path": "/missing", "value": None}, {}),
    ],
)
def test_an_operation_changes_what_it_says(operation: dict[str, Any], changed: dict[str, Any]) -> None:
    expected = {key: value for key, value in {**_DOCUMENT, **changed}.items() if value is not ...}
    assert _patched(operation) == expected


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "bogus", "path": "/a"},
        {"path": "/a"},
        None,
        {"op": "add", "value": 1},
        {"op": "add", "path": "", "value": 1},
        {"op": "add", "path": "/x/y", "value": 1},
        {"op": "add", "path": "/a/b/c", "value": 1},
        {"op": "add", "path": "/l/3", "value": 1},
        {"op": "add", "path": "/l/-4", "value": 1},
        {"op": "add", "path": "/l/1_0", "value": 1},
        {"op": "remove", "path": "/missing"},
        {"op": "remove", "path": "/l/x"},
        {"op": "replace", "path": "/l/2", "value": 1},
        {"op": "replace", "path": "", "value": "text"},
        {"op": "move", "path": "/a"},
        {"op": "move", "from": "/missing", "path": "/a"},
        {"op": "copy", "path": "/a"},
        {"op": "test", "path": "/a/b", "value": "1"},
        {"op": "test", "path": "/a/b", "value": 1.0},
        {"op": "test", "path": "/a/b", "value": True},
    ],
)
def test_an_operation_that_does_not_apply_is_422_and_says_no_more(operation: Any) -> None:
    with pytest.raises(APIError) as raised:
        _patched(operation)
    assert raised.value.code == 422
    assert raised.value.status["message"] == "the server rejected our request due to an error in our request"
    assert raised.value.status["details"] == {}


def test_a_copy_is_a_thing_of_its_own() -> None:
    patched = _patched(
        {"op": "copy", "from": "/l", "path": "/m"},
        {"op": "replace", "path": "/l/0/x", "value": 7},
        {"op": "add", "path": "/m/0/y", "value": 8},
    )
    assert (patched["l"][0], patched["m"][0]) == ({"x": 7}, {"x": 1, "y": 8})


def test_a_patch_can_be_applied_again() -> None:
    change, _ = json_patch.read(b'[{"op":"add","path":"/v","value":{"w":[]}},{"op":"add","path":"/v/w/0","value":1}]')
    assert change(_DOCUMENT) == change(_DOCUMENT)
    assert change(_DOCUMENT)["v"] == {"w": [1]}


def test_copies_are_limited_to_three_mebibytes() -> None:
    big = {"a": "x" * 1024 * 1024}
    copies = [{"op": "copy", "from": "/a", "path": f"/{name}"} for name in "bcd"]
    assert len(json_patch.apply(big, copies[:2])) == 3
    with pytest.raises(APIError) as raised:
        json_patch.apply(big, copies)
    assert raised.value.code == 422


def test_copies_inside_copies_do_not_go_too_deep() -> None:
    deeper = [{"op": "copy", "from": "/a", "path": "/a/a" + "/a" * 2**step} for step in range(12)]
    with pytest.raises(APIError) as raised:
        json_patch.apply({"a": {"a": {"a": {}}}}, deeper)
    assert raised.value.code == 422
    nested: dict[str, Any] = {}
    for _ in range(150):
        nested = {"a": nested}
    adds = [{"op": "add", "path": "/a" * (150 * step + 1), "value": nested} for step in range(9)]
    with pytest.raises(APIError) as raised:
        json_patch.apply({}, adds)
    assert raised.value.code == 422


def test_operations_are_limited() -> None:
    change, _ = json_patch.read(json.dumps([{"op": "test", "path": "/n", "value": None}] * 10_000).encode())
    change(_DOCUMENT)
    with pytest.raises(APIError, match=r"maximum operations in a JSON patch is 10000, got 10001") as raised:
        json_patch.read(json.dumps([{"op": "test", "path": "/n"}] * 10_001).encode())
    assert raised.value.code == 413


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("{}", "error decoding patch: json: cannot unmarshal object into Go value of type []handlers.jsonPatchOp"),
        ("5", "error decoding patch: json: cannot unmarshal number into Go value of type []handlers.jsonPatchOp"),
        ("[5]", "error decoding patch: json: cannot unmarshal number into Go value of type handlers.jsonPatchOp"),
        (
            '[{"op":1}]',
            "error decoding patch: json: cannot unmarshal number into Go struct field jsonPatchOp.op of type string",
        ),
        ("[", "error decoding patch: unexpected end of JSON input"),
    ],
)
def test_what_is_no_json_patch_is_400(body: str, message: str) -> None:
    with pytest.raises(APIError) as raised:
        json_patch.read(body.encode())
    assert (raised.value.code, str(raised.value)) == (400, message)


def test_unknown_and_duplicate_fields_of_a_json_patch_are_told() -> None:
    body = b'[{"op":"test","path":"/n","value":{"a":1,"a":1},"value":null,"extra":1}]'
    _, findings = json_patch.read(body)
    assert findings == [
        'json patch duplicate field "[0].value.a"',
        'json patch duplicate field "[0].value"',
        'json patch unknown field "[0].extra"',
    ]
    assert json_patch.read(body, field_validation="Ignore")[1] == []


def test_null_is_a_json_patch_that_changes_nothing() -> None:
    change, findings = json_patch.read(b"null")
    assert (change(_DOCUMENT), findings) == (_DOCUMENT, [])


@pytest.mark.parametrize(
    ("patch", "merged"),
    [
        ({}, {"a": {"b": 1, "c/d": [1, 2, 3]}, "l": [{"x": 1}, {"x": 2}], "n": None}),
        ({"a": None, "n": 1}, {"l": [{"x": 1}, {"x": 2}], "n": 1}),
        ({"a": {"b": None, "e": {"f": None}}, "l": None, "n": None}, {"a": {"c/d": [1, 2, 3], "e": {}}}),
        ({"a": "x", "l": [{"y": None, "z": 1}, None], "n": None}, {"a": "x", "l": [{"z": 1}, None]}),
        ({"a": [{"kept": None}], "l": None, "n": None}, {"a": [{"kept": None}]}),  # a list in an object's place
    ],
)
def test_a_merge_patch_is_laid_over_the_document(patch: dict[str, Any], merged: dict[str, Any]) -> None:
    before = copy.deepcopy(_DOCUMENT)
    assert merge_patch.apply(_DOCUMENT, patch) == merged
    assert before == _DOCUMENT


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("null", "Invalid JSON Patch"),
        ("[]", "error decoding patch: json: cannot unmarshal array into Go value of type map[string]interface {}"),
        ("{bad", "error decoding patch: invalid character 'b' looking for beginning of object key string"),
        ("", "error decoding patch: unexpected end of JSON input"),
    ],
)
def test_what_is_no_merge_patch_is_400(body: str, message: str) -> None:
    with pytest.raises(APIError) as raised:
        merge_patch.read(body.encode())
    assert (raised.value.code, str(raised.value)) == (400, message)


def test_duplicate_fields_of_a_merge_patch_are_told() -> None:
    body = b'{"spec":{"replicas":1,"replicas":2}}'
    change, findings = merge_patch.read(body)
    assert findings == ['duplicate field "spec.replicas"']
    assert change({}) == {"spec": {"replicas": 2}}
    assert merge_patch.read(body, field_validation="Ignore")[1] == []


_TREES = st.recursive(
    st.booleans() | st.integers(-3, 3) | st.sampled_from(["", "x"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abcd/~"), inner, max_size=4),
    max_leaves=12,
)
_OBJECTS = st.dictionaries(st.sampled_from("abcd/~"), _TREES, max_size=4)


@given(old=_OBJECTS, new=_OBJECTS)
def test_the_difference_of_two_documents_leads_from_one_to_the_other(old: dict[str, Any], new: dict[str, Any]) -> None:
    kept_old, kept_new = copy.deepcopy(old), copy.deepcopy(new)
    assert merge_patch.apply(old, _merge_difference(old, new)) == new
    assert json_patch.apply(old, list(_json_difference(old, new, ""))) == new
    assert (old, new) == (kept_old, kept_new)


def _merge_difference(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    patch: dict[str, Any] = {key: None for key in old if key not in new}
    for key, value in new.items():
        if isinstance(value, dict) and isinstance(old.get(key), dict):
            patch[key] = _merge_difference(old[key], value)
        else:
            patch[key] = value
    return patch


def _json_difference(old: dict[str, Any], new: dict[str, Any], path: str) -> Any:
    for key in old:
        if key not in new:
            yield {"op": "remove", "path": f"{path}/{_escape(key)}"}
    for key, value in new.items():
        here = f"{path}/{_escape(key)}"
        if isinstance(value, dict) and isinstance(old.get(key), dict):
            yield from _json_difference(old[key], value, here)
        elif key not in old:
            yield {"op": "add", "path": here, "value": value}
        else:
            yield {"op": "replace", "path": here, "value": value}
            yield {"op": "test", "path": here, "value": value}


def _escape(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")
