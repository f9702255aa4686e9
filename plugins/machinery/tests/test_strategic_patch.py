"""Strategic merge patch: lists under merge keys, directives, and what is said of patches that do not fit."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hyperkube_machinery.decoding import StrictError, check_converted
from hyperkube_machinery.errors import APIError
from hyperkube_machinery.patches import strategic
from hyperkube_machinery.schema import Schemas, WrongType
from hyperkube_machinery.schema.converted import go_value

_POD = "io.k8s.api.core.v1.Pod"
_DEPLOYMENT = "io.k8s.api.apps.v1.Deployment"
_NO_INT32 = "json: cannot unmarshal array into Go value of type int32"
_NO_QUANTITY = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
_SPEC: dict[str, Any] = {
    "containers": [
        {
            "name": "a",
            "image": "1",
            "args": ["x", "y"],
            "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}],
            "ports": [{"containerPort": 80}, {"containerPort": 81}],
        },
        {"name": "b", "image": "2"},
    ],
    "nodeSelector": {"k": "v"},
    "tolerations": [{"key": "t"}],
    "volumes": [{"name": "v", "emptyDir": {}}, {"name": "w", "configMap": {"name": "c"}}],
}


def _patched(patch: dict[str, Any], spec: dict[str, Any] = _SPEC) -> dict[str, Any]:
    """The spec that the patch of a spec makes of `spec`; neither may change."""
    document, sent = {"spec": copy.deepcopy(spec)}, {"spec": copy.deepcopy(patch)}
    changed = strategic.apply(document, sent, _POD)
    assert (document, sent) == ({"spec": spec}, {"spec": patch})
    result: dict[str, Any] = changed["spec"]
    return result


def _containers(*patch: dict[str, Any]) -> list[dict[str, Any]]:
    result: list[dict[str, Any]] = _patched({"containers": list(patch)})["containers"]
    return result


def _refusal(patch: dict[str, Any]) -> tuple[int, str]:
    with pytest.raises(APIError) as raised:
        _patched(patch)
    return raised.value.code, str(raised.value)


def test_items_are_merged_under_their_key_and_stay_where_they_are() -> None:
    first, second = _containers({"name": "b", "image": "new"})
    assert first == _SPEC["containers"][0]
    assert second == {"name": "b", "image": "new"}


def test_new_items_stand_before_those_that_were_there() -> None:
    assert [item["name"] for item in _containers({"name": "c", "image": "3"})] == ["c", "a", "b"]
    ports = _containers({"name": "a", "ports": [{"containerPort": 82}]})[0]["ports"]
    assert ports == [{"containerPort": 82}, {"containerPort": 80}, {"containerPort": 81}]


def test_lists_without_a_merge_key_are_replaced() -> None:
    assert _containers({"name": "a", "args": ["z"]})[0]["args"] == ["z"]
    assert _patched({"tolerations": [{"key": "u"}]})["tolerations"] == [{"key": "u"}]


def test_null_removes_and_a_null_for_what_is_not_there_says_nothing() -> None:
    patched = _patched({"nodeSelector": None, "nodeName": None, "securityContext": {"runAsUser": None, "fsGroup": 1}})
    assert patched.keys() == (_SPEC.keys() - {"nodeSelector"}) | {"securityContext"}
    assert patched["securityContext"] == {"fsGroup": 1}


def test_an_item_is_deleted_by_its_key() -> None:
    assert [item["name"] for item in _containers({"name": "a", "$patch": "delete"})] == ["b"]
    env = _containers({"name": "a", "env": [{"name": "A", "$patch": "delete"}, {"name": "C", "value": "3"}]})[0]["env"]
    assert env == [{"name": "C", "value": "3"}, {"name": "B", "value": "2"}]


def test_replace_in_an_item_replaces_the_list_and_drops_that_item() -> None:
    assert _containers({"name": "z", "$patch": "replace"}, {"name": "c", "image": "3"}) == [{"name": "c", "image": "3"}]


def test_an_object_is_replaced_or_emptied() -> None:
    assert _patched({"nodeSelector": {"$patch": "replace", "a": "b"}})["nodeSelector"] == {"a": "b"}
    assert _patched({"nodeSelector": {"$patch": "delete"}})["nodeSelector"] == {}
    assert strategic.apply({"spec": _SPEC}, {"$patch": "replace", "spec": {}}, _POD) == {"spec": {}}


def test_a_directive_for_what_is_not_there_is_left_out() -> None:
    assert "securityContext" not in _patched({"securityContext": {"$patch": "delete"}})
    assert _patched({"securityContext": {"sysctls": [{"name": "x", "$patch": "delete"}]}})["securityContext"] == {
        "sysctls": []
    }


def test_retain_keys_drops_the_rest() -> None:
    volumes = _patched({"volumes": [{"name": "v", "$retainKeys": ["name", "hostPath"], "hostPath": {"path": "/"}}]})
    assert volumes["volumes"] == [{"name": "v", "hostPath": {"path": "/"}}, {"name": "w", "configMap": {"name": "c"}}]


def test_scalars_are_merged_and_deleted_where_the_schema_says_so() -> None:
    document = {"metadata": {"finalizers": ["a", "b"]}}
    merged = strategic.apply(document, {"metadata": {"finalizers": ["c", "b"]}}, _POD)
    assert merged == {"metadata": {"finalizers": ["c", "a", "b"]}}
    deleted = strategic.apply(document, {"metadata": {"$deleteFromPrimitiveList/finalizers": ["a", "z"]}}, _POD)
    assert deleted == {"metadata": {"finalizers": ["b"]}}
    assert strategic.apply({"metadata": {}}, {"metadata": {"$deleteFromPrimitiveList/finalizers": ["a"]}}, _POD) == {
        "metadata": {}
    }


def test_the_order_that_a_patch_sets_is_kept() -> None:
    order = {"$setElementOrder/containers": [{"name": "b"}, {"name": "c"}, {"name": "a"}]}
    patched = _patched({**order, "containers": [{"name": "c", "image": "3"}]})
    assert [item["name"] for item in patched["containers"]] == ["b", "c", "a"]
    assert [item["name"] for item in _patched(order)["containers"]] == ["b", "a"]


def test_items_that_an_order_does_not_name_stay_before_what_followed_them() -> None:
    spec = {"containers": [{"name": name} for name in "abcd"]}
    patched = _patched({"$setElementOrder/containers": [{"name": "d"}, {"name": "b"}]}, spec)
    assert [item["name"] for item in patched["containers"]] == ["a", "c", "d", "b"]


@pytest.mark.parametrize(
    ("patch", "code", "message"),
    [
        ({"containers": [{"image": "x"}]}, 500, "map: map[image:x] does not contain declared merge key: name"),
        (
            {"containers": [{"$patch": "delete"}]},
            500,
            "map: map[$patch:delete] does not contain declared merge key: name",
        ),
        ({"containers": [{"name": "a", "$patch": "x"}]}, 500, "unknown patch type: x in map: map[$patch:x name:a]"),
        ({"nodeSelector": {"$patch": "x"}}, 500, "unknown patch type: x in map: map[$patch:x]"),
        ({"containers": [{"name": "a", "$patch": "merge"}]}, 500, "merging lists cannot yet be specified in the patch"),
        ({"containers": [1]}, 500, None),
        ({"$retainKeys": "x"}, 400, "invalid patch format of retainKeys"),
        ({"$retainKeys": [], "nodeName": "n"}, 400, "invalid patch format of retainKeys"),
        ({"$deleteFromPrimitiveList": ["x"]}, 400, "invalid patch format of primitive list"),
        ({"$setElementOrder": ["x"]}, 400, "invalid patch format of setElementOrder list"),
        ({"$setElementOrder/containers": "x"}, 500, "expected a []interface {}, but received a string"),
        (
            {"$setElementOrder/containers": [{"name": "b"}], "containers": [{"name": "a"}]},
            500,
            "The order in patch list:\n[map[name:a]]\n doesn't match $setElementOrder list:\n[map[name:b]]\n",
        ),
        ({"containers": [["x"]]}, 500, None),
    ],
)
def test_a_patch_that_does_not_fit_is_refused(patch: dict[str, Any], code: int, message: str | None) -> None:
    refused = _refusal(patch)
    assert refused == (code, message if message is not None else refused[1])


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("[]", "json: cannot unmarshal array into Go value of type map[string]interface {}"),
        ("{bad", "invalid character 'b' looking for beginning of object key string"),
    ],
)
def test_what_is_no_patch_is_400(body: str, message: str) -> None:
    with pytest.raises(APIError) as raised:
        strategic.read(body.encode(), _POD)
    assert (raised.value.code, str(raised.value)) == (400, message)


def test_null_and_an_empty_patch_change_nothing() -> None:
    for body in (b"null", b"{}"):
        change, findings = strategic.read(body, _POD)
        assert (change({"spec": _SPEC}), findings) == ({"spec": _SPEC}, [])


def test_a_patch_can_be_applied_again() -> None:
    change, findings = strategic.read(b'{"spec":{"volumes":[{"name":"n","$retainKeys":["name"],"name":"n"}]}}', _POD)
    assert findings == ['duplicate field "spec.volumes[0].name"']
    assert change({"spec": _SPEC}) == change({"spec": _SPEC})


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        ({"spec": {"replicas": "3"}}, "unrecognized type: int32"),
        ({"spec": {"replicas": 1.5}}, "cannot convert float64 to int32"),
        ({"spec": {"paused": 1}}, "unrecognized type: bool"),
        ({"metadata": {"labels": {"a": 1}}}, "cannot convert int64 to string"),
        ({"metadata": {"labels": {"a": True}}}, "unrecognized type: string"),
        ({"metadata": {"labels": []}}, "cannot restore map from slice"),
        ({"spec": "x"}, "cannot restore struct from: string"),
        ({"spec": {"template": {"spec": {"containers": {}}}}}, "cannot restore slice from map"),
        ({"spec": {"strategy": {"rollingUpdate": {"maxSurge": []}}}}, _NO_INT32),
        ({"metadata": {"creationTimestamp": 1}}, "json: cannot unmarshal number into Go value of type string"),
        ({"spec": {"template": {"spec": {"overhead": {"cpu": "x"}}}}}, _NO_QUANTITY),
    ],
)
def test_a_patched_object_of_wrong_types_is_worded_as_go_converts(tree: dict[str, Any], message: str) -> None:
    with pytest.raises(WrongType) as raised:
        check_converted(tree, Schemas.load().walker(_DEPLOYMENT), field_validation="Warn")
    assert str(raised.value) == message


def test_unknown_fields_of_a_patched_object_come_in_the_order_of_the_alphabet() -> None:
    walker = Schemas.load().walker(_DEPLOYMENT)
    tree: dict[str, Any] = {"z": 1, "spec": {"b": 1}, "a": 1}
    given = ['duplicate field "q"']
    with pytest.raises(StrictError):
        check_converted(copy.deepcopy(tree), walker, field_validation="Strict")
    assert check_converted(copy.deepcopy(tree), walker, field_validation="Ignore", duplicates=given) == []
    assert check_converted(tree, walker, field_validation="Warn", duplicates=given) == [
        'duplicate field "q"',
        'unknown field "a"',
        'unknown field "spec.b"',
        'unknown field "z"',
    ]
    assert "z" not in tree


def test_a_patch_is_shown_as_go_prints_it() -> None:
    assert strategic.shown(b'{"spec":{"b":[1,"x",null,true],"a":1.5}}') == "map[spec:map[a:1.5 b:[1 x <nil> true]]]"
    numbers = (1e21, 1000000.0, -123456789.5, 0.00001, 0.00012, 100000.0, 0.25)
    shown = "1e+21 1e+06 -1.234567895e+08 1e-05 0.00012 100000 0.25"
    assert [go_value(number) for number in numbers] == shown.split()


_NAMES = st.lists(st.sampled_from("abcdef"), unique=True, max_size=5)


@given(current=_NAMES, wanted=_NAMES)
def test_an_ordered_patch_of_a_difference_leads_to_what_was_wanted(current: list[str], wanted: list[str]) -> None:
    """As kubectl makes them: the order, items to add, and items to delete."""
    patch = {
        "$setElementOrder/containers": [{"name": name} for name in wanted],
        "containers": [
            *({"name": name, "image": "new"} for name in wanted),
            *({"name": name, "$patch": "delete"} for name in current if name not in wanted),
        ],
    }
    spec = {"containers": [{"name": name, "image": "old"} for name in current]}
    if not current and not wanted:
        return
    patched = _patched(patch, spec)
    assert [item["name"] for item in patched["containers"]] == wanted
    assert all(item["image"] == "new" for item in patched["containers"])


_ITEM_NAMES = st.sampled_from(["a", "b", "c", "d"])
_WORDS = st.sampled_from(["x", "y", "z"])


def _named(fields: dict[str, st.SearchStrategy[Any]]) -> st.SearchStrategy[list[dict[str, Any]]]:
    """Lists of items by name, each with some of `fields`; a list that is empty is none."""
    item = st.fixed_dictionaries({"name": _ITEM_NAMES}, optional=fields)
    return st.lists(item, min_size=1, max_size=4, unique_by=lambda one: one["name"])


_PODS = st.fixed_dictionaries(
    {
        "metadata": st.fixed_dictionaries({"labels": st.dictionaries(_ITEM_NAMES, _WORDS, max_size=3)}),
        "spec": st.fixed_dictionaries(
            {
                "containers": _named(
                    {"image": _WORDS, "env": _named({"value": _WORDS}), "args": st.lists(_WORDS, min_size=1)}
                )
            },
            optional={"tolerations": st.lists(st.fixed_dictionaries({"key": _WORDS}), min_size=1), "nodeName": _WORDS},
        ),
    }
)
_KEYED = ("containers", "env")


def _difference(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """The patch that leads from `old` to `new`, as clients that know merge keys make it."""
    patch: dict[str, Any] = {name: None for name in old if name not in new}
    for name, value in new.items():
        before = old.get(name)
        if value == before:
            continue
        if isinstance(value, dict) and isinstance(before, dict):
            patch[name] = _difference(before, value)
        elif name in _KEYED and isinstance(before, list):
            items = {item["name"]: item for item in before}
            patch[name] = [{"name": item["name"], **_difference(items.get(item["name"], {}), item)} for item in value]
            kept = {item["name"] for item in value}
            patch[name] += [{"name": one, "$patch": "delete"} for one in items if one not in kept]
            patch[f"$setElementOrder/{name}"] = [{"name": item["name"]} for item in value]
        else:
            patch[name] = value
    return patch


@settings(max_examples=300)
@given(old=_PODS, new=_PODS)
def test_the_patch_of_a_difference_leads_from_one_object_to_the_other(old: dict[str, Any], new: dict[str, Any]) -> None:
    assert strategic.apply(copy.deepcopy(old), _difference(old, new), _POD) == new
