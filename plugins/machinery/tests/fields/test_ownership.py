"""Who owns what after writes of all sorts, and what objects become by being applied to."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyperkube_machinery.errors import APIError
from hyperkube_machinery.fields import Ownership, Writer, same_but_times, set_of, to_scale, to_workload
from hyperkube_machinery.fields.compare import load_comparer
from hyperkube_machinery.fields.lastapplied import ANNOTATION
from hyperkube_machinery.fields.merge import merge
from hyperkube_machinery.fields.prune import prune
from hyperkube_machinery.fields.shapes import ListShape, MapShape, Shape, load_shapes
from hyperkube_machinery.fields.typed import field_set
from hyperkube_machinery.schema import Schemas

SERVICE = Ownership("io.k8s.api.core.v1.Service", "v1", "Service")
CONFIG_MAP = Ownership("io.k8s.api.core.v1.ConfigMap", "v1", "ConfigMap")
DEPLOYMENT = Ownership("io.k8s.api.apps.v1.Deployment", "apps/v1", "Deployment")
LATER = "2026-01-02T00:00:00Z"


def writer(manager: str, *, now: str = "2026-01-01T00:00:00Z", subresource: str = "", **more: Any) -> Writer:
    return Writer(manager=manager, now=now, subresource=subresource, **more)


def config_map(data: Any = None, **metadata: Any) -> dict[str, Any]:
    tree = {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "a", **metadata}}
    return tree if data is None else {**tree, "data": data}


def applied(live: Any, manager: str, config: Any, *, force: bool = False, now: str = LATER) -> Any:
    """`live` with `config` applied, as it would be stored."""
    return CONFIG_MAP.applied(live, config, writer(manager, now=now), force=force)


def updated(live: Any, new: Any, manager: str, **more: Any) -> Any:
    """`new` with its owners, as it would be stored in the place of `live`."""
    entries = CONFIG_MAP.updated(live, new, writer(manager, **more))
    metadata = {name: value for name, value in new["metadata"].items() if name != "managedFields"}
    stored = {"uid": "u", **metadata}
    return {**new, "metadata": {**stored, "managedFields": entries} if entries else stored}


def owned(tree: Any) -> dict[tuple[str, str], Any]:
    """The sets of a tree's owners, by manager and operation."""
    entries = tree["metadata"].get("managedFields") or []
    return {(entry["manager"], entry["operation"]): entry["fieldsV1"] for entry in entries}


def refusal(live: Any, manager: str, config: Any, **more: Any) -> Any:
    with pytest.raises(APIError) as caught:
        applied(live, manager, config, **more)
    return caught.value


# Writes that are no apply


def test_who_creates_owns_what_was_sent() -> None:
    made = updated(None, config_map({"a": "1"}, labels={"l": "1"}), "kubectl-create")
    assert made["metadata"]["managedFields"] == [
        {
            "manager": "kubectl-create",
            "operation": "Update",
            "apiVersion": "v1",
            "time": "2026-01-01T00:00:00Z",
            "fieldsType": "FieldsV1",
            "fieldsV1": {
                "f:metadata": {"f:labels": {".": {}, "f:l": {}}},
                "f:data": {".": {}, "f:a": {}},
            },
        }
    ]


def test_who_changes_a_field_takes_it_from_its_owner() -> None:
    made = updated(None, config_map({"a": "1", "b": "1"}), "one")
    changed = updated(made, config_map({"a": "2", "b": "1"}), "two", now=LATER)
    assert owned(changed) == {
        ("one", "Update"): {"f:data": {".": {}, "f:b": {}}},
        ("two", "Update"): {"f:data": {"f:a": {}}},
    }
    assert [entry["time"] for entry in changed["metadata"]["managedFields"]] == ["2026-01-01T00:00:00Z", LATER]


def test_a_field_that_goes_is_nobodys() -> None:
    made = updated(None, config_map({"a": "1"}), "one")
    assert "managedFields" not in updated(made, config_map(), "two")["metadata"]


def test_a_write_that_changes_nothing_gives_the_same_entries() -> None:
    made = updated(None, config_map({"a": "1"}), "one")
    entries = CONFIG_MAP.updated(made, {**made, "metadata": dict(made["metadata"])}, writer("two", now=LATER))
    assert entries is made["metadata"]["managedFields"]


def test_a_subresource_has_an_entry_of_its_own_and_does_not_read_what_is_sent() -> None:
    made = updated(None, config_map({"a": "1"}), "one")
    sent = config_map({"a": "1", "b": "1"}, managedFields=[{}])
    changed = updated(made, sent, "one", subresource="status")
    assert [entry.get("subresource") for entry in changed["metadata"]["managedFields"]] == [None, "status"]


def test_fields_that_a_way_of_writing_resets_are_not_owned() -> None:
    made = updated(None, config_map({"a": "1"}, labels={"l": "1"}), "one", resets=set_of(("f:data",)))
    assert owned(made) == {("one", "Update"): {"f:metadata": {"f:labels": {".": {}, "f:l": {}}}}}


@pytest.mark.parametrize("reset", [[], [{}]])
def test_an_empty_list_of_owners_forgets_them_and_later_updates_are_not_recorded(reset: Any) -> None:
    made = updated(None, config_map({"a": "1"}), "one")
    forgotten = updated(made, config_map({"a": "2"}, managedFields=reset), "two")
    assert owned(forgotten) == {}
    assert owned(updated(forgotten, config_map({"a": "3"}), "three")) == {}


@pytest.mark.parametrize(
    "entry",
    [
        {"manager": "x"},
        {"manager": "x", "operation": "Update", "apiVersion": "v1"},
        {"manager": "x", "operation": "Update", "apiVersion": "v1", "fieldsType": "FieldsV2"},
        {"manager": "x", "operation": "Patch", "apiVersion": "v1", "fieldsType": "FieldsV1"},
        {"manager": "x", "operation": "Update", "fieldsType": "FieldsV1"},
        {"manager": "x", "operation": "Update", "apiVersion": "v1", "fieldsType": "FieldsV1", "fieldsV1": {"a": {}}},
    ],
)
def test_owners_that_make_no_sense_are_not_read(entry: Any) -> None:
    made = updated(None, config_map({"a": "1"}), "one")
    again = updated(made, config_map({"a": "1"}, managedFields=[entry]), "two")
    assert owned(again) == owned(made)


def test_owners_that_a_client_names_take_the_place_of_the_old_ones() -> None:
    made = updated(None, config_map({"a": "1"}), "one")
    entry = {**made["metadata"]["managedFields"][0], "manager": "other", "fieldsV1": {"f:data": {"f:a": {".": {}}}}}
    again = updated(made, config_map({"a": "1"}, managedFields=[entry]), "two")
    assert owned(again) == {("other", "Update"): {"f:data": {"f:a": {}}}}


def test_owners_in_versions_that_are_not_served_are_dropped() -> None:
    made = updated(None, config_map({"a": "1", "b": "1"}), "one")
    entries = made["metadata"]["managedFields"]
    made["metadata"]["managedFields"] = [*entries, {**entries[0], "apiVersion": "v0", "manager": "old"}]
    assert ("old", "Update") not in owned(updated(made, config_map({"a": "2", "b": "1"}), "two"))


def test_a_set_from_before_a_list_became_atomic_holds_all_of_it_now() -> None:
    made = updated(None, config_map({"a": "1"}), "one")
    entry = {
        **made["metadata"]["managedFields"][0],
        "fieldsV1": {"f:metadata": {"f:managedFields": {}, "f:ownerReferences": {'k:{"uid":"u"}': {"f:name": {}}}}},
    }
    again = updated(made, config_map({"a": "1"}, managedFields=[entry]), "two")
    assert owned(again)["one", "Update"]["f:metadata"]["f:ownerReferences"] == {'k:{"uid":"u"}': {}}


def test_of_more_than_ten_updaters_the_oldest_become_one() -> None:
    tree = updated(None, config_map({"k0": "1"}), "m00", now="2026-01-01T00:00:00Z")
    for index in range(1, 14):
        data = {f"k{number}": "1" for number in range(index + 1)}
        tree = updated(tree, config_map(data), f"m{index:02}", now=f"2026-01-01T00:00:{index:02}Z")
    entries = tree["metadata"]["managedFields"]
    assert len(entries) == 10
    assert entries[0]["manager"] == "ancient-changes"
    assert entries[0]["fieldsV1"] == {"f:data": {".": {}, **{f"f:k{number}": {} for number in range(5)}}}
    assert entries[0]["time"] == "2026-01-01T00:00:04Z"


def test_where_items_cant_be_told_apart_nobody_owns_anything() -> None:
    accounts = Ownership("io.k8s.api.core.v1.ServiceAccount", "v1", "ServiceAccount")
    account: Any = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "a", "uid": "u"}}
    odd = {**account, "secrets": [{}]}
    assert accounts.updated(None, odd, writer("one")) is None
    told = (
        r"failed to create manager for existing fields: failed to convert new object \(/a; /v1, Kind=ServiceAccount\)"
    )
    with pytest.raises(APIError, match=told):
        accounts.applied(odd, account, writer("one"), force=False)


# Applying


def test_who_applies_owns_what_it_mentions_and_others_keep_theirs() -> None:
    one = applied(None, "one", config_map({"x": "1", "y": "2"}))
    both = applied(one, "two", config_map({"x": "1"}))
    assert owned(both) == {
        ("one", "Apply"): {"f:data": {"f:x": {}, "f:y": {}}},
        ("two", "Apply"): {"f:data": {"f:x": {}}},
    }
    assert both["data"] == {"x": "1", "y": "2"}


def test_a_conflict_is_told_with_the_owner_and_the_field() -> None:
    one = applied(None, "one", config_map({"x": "1", "y": "2"}))
    error = refusal(one, "two", config_map({"x": "9"}))
    assert (error.code, error.reason) == (409, "Conflict")
    assert str(error) == 'Apply failed with 1 conflict: conflict with "one": .data.x'
    assert error.status["details"] == {
        "causes": [{"reason": "FieldManagerConflict", "message": 'conflict with "one"', "field": ".data.x"}]
    }


def test_several_conflicts_are_listed_by_owner() -> None:
    tree = applied(None, "one", config_map({"x": "1"}))
    tree = updated(tree, config_map({"x": "1", "y": "2", "z": "3"}, managedFields=None), "two", subresource="status")
    error = refusal(tree, "three", config_map({"x": "9", "y": "9", "z": "9"}))
    assert str(error) == (
        "Apply failed with 3 conflicts: "
        'conflicts with "one":\n- .data.x\n'
        'conflicts with "two" with subresource "status" using v1:\n- .data.y\n- .data.z'
    )


def test_force_takes_fields_from_their_owners() -> None:
    one = applied(None, "one", config_map({"x": "1", "y": "2"}))
    two = applied(one, "two", config_map({"x": "9"}), force=True)
    assert two["data"] == {"x": "9", "y": "2"}
    assert owned(two) == {("one", "Apply"): {"f:data": {"f:y": {}}}, ("two", "Apply"): {"f:data": {"f:x": {}}}}


def test_what_is_no_longer_applied_goes_unless_another_owns_it() -> None:
    tree = applied(None, "one", config_map({"x": "1", "y": "2", "z": "3"}))
    tree = applied(tree, "two", config_map({"y": "2"}))
    tree = updated(tree, config_map({"x": "1", "y": "2", "z": "4"}), "three")
    tree = applied(tree, "one", config_map())
    assert tree["data"] == {"y": "2", "z": "4"}
    assert owned(tree) == {("two", "Apply"): {"f:data": {"f:y": {}}}, ("three", "Update"): {"f:data": {"f:z": {}}}}


def test_one_who_updates_and_applies_under_one_name_is_two() -> None:
    tree = updated(None, config_map({"x": "1"}), "one")
    error = refusal(tree, "one", config_map({"x": "2"}))
    assert str(error) == 'Apply failed with 1 conflict: conflict with "one" using v1: .data.x'


def test_fields_of_nobody_get_an_owner_before_the_first_apply() -> None:
    live = config_map({"x": "1", "y": "2"}, uid="u")
    tree = applied(live, "one", config_map({"x": "1"}))
    assert owned(tree) == {
        ("one", "Apply"): {"f:data": {"f:x": {}}},
        ("before-first-apply", "Update"): {"f:data": {".": {}, "f:x": {}, "f:y": {}}},
    }
    assert "before-first-apply" in str(refusal(live, "one", config_map({"x": "2"})))


def test_an_applied_null_is_owned_and_empties_the_field() -> None:
    tree = applied(None, "one", config_map({"x": None}, labels=None))
    assert tree["data"] == {"x": ""}
    assert "labels" not in tree["metadata"]
    assert owned(tree)["one", "Apply"] == {"f:metadata": {"f:labels": {}}, "f:data": {"f:x": {}}}


def test_the_time_of_an_apply_is_that_of_the_last_that_changed_the_object() -> None:
    tree = applied(None, "one", config_map({"x": "1", "y": "1"}), now="2026-01-01T00:00:00Z")
    again = applied(tree, "one", config_map({"x": "1", "y": "1"}), now=LATER)
    assert again == tree
    tree = applied(tree, "two", config_map({"x": "1"}), now=LATER)
    times = {entry["manager"]: entry.get("time") for entry in tree["metadata"]["managedFields"]}
    assert times == {"one": "2026-01-01T00:00:00Z", "two": None}


@pytest.mark.parametrize(
    ("config", "code", "message"),
    [
        ({"apiVersion": "v1", "kind": "Secret"}, 400, "invalid object type: /v1, Kind=Secret"),
        ({}, 400, "invalid object type: /, Kind="),
        (config_map(managedFields=[]), 400, "metadata.managedFields must be nil"),
        (
            {**config_map(), "foo": 1},
            500,
            "failed to create typed patch object (/a; /v1, Kind=ConfigMap): .foo: field not declared in schema",
        ),
        (
            config_map({"a": 1}, namespace="n"),
            500,
            "failed to create typed patch object (n/a; /v1, Kind=ConfigMap): "
            ".data.a: expected string, got &value.valueUnstructured{Value:1}",
        ),
        (
            config_map(finalizers=["a", "a"], labels=["a"]),
            500,
            "failed to create typed patch object (/a; /v1, Kind=ConfigMap): errors:\n"
            '  .metadata.finalizers: duplicate entries for key [="a"]\n'
            "  .metadata.labels: expected map, got &{[a]}",
        ),
        (
            config_map(ownerReferences=[{"uid": 5}, None]),
            500,
            "failed to create typed patch object (/a; /v1, Kind=ConfigMap): errors:\n"
            "  .metadata.ownerReferences[uid=5].uid: expected string, got &value.valueUnstructured{Value:5}\n"
            "  .metadata.ownerReferences: element 1: associative list with keys may not have a null element",
        ),
    ],
)
def test_what_is_no_configuration_of_the_kind_is_refused(config: Any, code: int, message: str) -> None:
    error = refusal(None, "one", config)
    assert (error.code, str(error)) == (code, message)


# kubectl, which used to apply from the client's side


def test_kubectl_takes_over_what_it_applied_from_the_clients_side() -> None:
    last = json.dumps(config_map({"x": "1"}))
    live = updated(None, config_map({"x": "1", "y": "1"}, annotations={ANNOTATION: last}), "kubectl-client-side-apply")
    tree = applied(live, "kubectl", config_map({"x": "2"}))
    assert tree["data"] == {"x": "2", "y": "1"}
    assert json.loads(tree["metadata"]["annotations"][ANNOTATION]) == config_map({"x": "2"})
    assert tree["metadata"]["annotations"][ANNOTATION].endswith("\n")
    assert str(refusal(live, "kubectl", config_map({"x": "2", "y": "2"}))) == (
        'Apply failed with 1 conflict: conflict with "kubectl-client-side-apply" using v1: .data.y'
    )
    assert "2 conflicts" in str(refusal(live, "other", config_map({"x": "2", "y": "2"})))


def test_what_was_changed_since_kubectl_applied_it_is_no_longer_its() -> None:
    last = json.dumps(config_map({"x": "1"}))
    live = updated(None, config_map({"x": "5"}, annotations={ANNOTATION: last}), "editor")
    assert "1 conflict" in str(refusal(live, "kubectl", config_map({"x": "2"})))


# Lists


def service(ports: Any) -> dict[str, Any]:
    return {"kind": "Service", "apiVersion": "v1", "metadata": {"name": "s"}, "spec": {"ports": ports}}


@pytest.mark.parametrize(
    ("live", "config", "merged"),
    [
        ("ab", "", "ab"),
        ("ab", "c", "abc"),
        ("ab", "ba", "ba"),
        ("abc", "ca", "bca"),
        ("abcd", "db", "acdb"),
        ("ac", "abc", "abc"),
        ("abc", "xc", "abxc"),
        ("", "ab", "ab"),
    ],
)
def test_items_that_are_applied_come_in_their_order(live: str, config: str, merged: str) -> None:
    def finalizers(letters: str) -> Any:
        return config_map(finalizers=list(letters)) if letters else config_map()

    tree = applied(None, "one", finalizers(live)) if live else None
    result = applied(tree, "two", finalizers(config))
    assert "".join(result["metadata"]["finalizers"]) == merged


def test_items_are_merged_by_their_keys_of_which_some_have_defaults() -> None:
    tree = SERVICE.applied(None, service([{"port": 80, "name": "a"}]), writer("one"), force=False)
    tree["spec"]["ports"][0]["protocol"] = "TCP"
    config = service([{"port": 80, "protocol": "TCP", "targetPort": 8080}, {"port": 80, "protocol": "UDP"}])
    tree = SERVICE.applied(tree, config, writer("two"), force=False)
    assert tree["spec"]["ports"] == [
        {"name": "a", "protocol": "TCP", "port": 80, "targetPort": 8080},
        {"protocol": "UDP", "port": 80, "targetPort": 0},
    ]
    tree = SERVICE.applied(tree, service([]), writer("two"), force=False)
    # Only who applied twice had mentioned the protocol, which is defaulted again from here.
    assert tree["spec"]["ports"] == [{"name": "a", "port": 80, "targetPort": 0}]


# What always holds

_texts = st.sampled_from(["1", "2"])
_configs = st.builds(
    lambda data, labels, finalizers: config_map(
        data, **{name: value for name, value in (("labels", labels), ("finalizers", finalizers)) if value is not None}
    ),
    # An empty map is not stored, so that one who applies it adds it each time, and may conflict with others who do.
    st.none() | st.dictionaries(st.sampled_from("abc"), _texts, min_size=1, max_size=3),
    st.none() | st.dictionaries(st.sampled_from("abc"), _texts, min_size=1, max_size=2),
    st.none() | st.lists(st.sampled_from("abc"), unique=True, max_size=3),
)
_managers = st.sampled_from(["one", "two"])


@given(_configs, st.lists(st.tuples(_managers, _configs), max_size=3))
def test_what_was_applied_may_be_applied_again_and_nothing_changes(config: Any, before: list[tuple[str, Any]]) -> None:
    tree = None
    for manager, one in before:
        tree = applied(tree, manager, one, force=True)
    tree = applied(tree, "one", config, force=True)
    assert applied(tree, "one", config) == tree


@given(_configs, _configs)
def test_what_is_owned_still_is_pruned_from_nothing(one: Any, other: Any) -> None:
    shape = load_shapes().of("io.k8s.api.core.v1.ConfigMap")
    merged = merge(one, other, shape)
    mine = field_set(other, shape)
    for last in (mine, field_set(one, shape)):
        pruned = prune(
            merged,
            last=last,
            last_version="v1",
            version="v1",
            owned=[("v1", mine), ("v1", last)],
            shape_of=lambda version: shape,
            convert=lambda tree, version: tree,
        )
        assert pruned == merged


@given(st.lists(st.tuples(_managers, _configs), min_size=1, max_size=4))
def test_an_object_holds_what_was_applied_last_and_its_owners_own_what_it_holds(
    writes: list[tuple[str, Any]],
) -> None:
    tree = None
    for manager, config in writes:
        tree = applied(tree, manager, config, force=True)
    assert tree is not None
    last = writes[-1][1]
    assert (last.get("data") or {}).items() <= (tree.get("data") or {}).items()
    assert set(last["metadata"].get("finalizers") or ()) <= set(tree["metadata"].get("finalizers") or ())
    for fields in owned(tree).values():
        keys = {key[2:] for key in fields.get("f:data", {}) if key != "."}
        assert keys <= set(tree.get("data") or {})
    held = {key[2:] for fields in owned(tree).values() for key in fields.get("f:data", {}) if key != "."}
    assert held == set(tree.get("data") or {})


@given(_configs, _configs)
def test_one_applier_who_withdraws_all_leaves_nothing_of_its_own(first: Any, second: Any) -> None:
    tree = applied(applied(None, "one", first), "one", second)
    bare = applied(tree, "one", config_map())
    assert "data" not in bare
    assert {"labels", "finalizers", "managedFields"}.isdisjoint(bare["metadata"])


# Scales


def test_the_replicas_of_a_workload_and_of_its_scale_have_the_same_owners() -> None:
    replicas = set_of(("f:spec", "f:replicas"))
    labels = set_of(("f:metadata", "f:labels", "f:a"))

    def entry(manager: str, operation: str, fields: Any, **more: Any) -> Any:
        return {"manager": manager, "operation": operation, "apiVersion": "apps/v1", "fieldsV1": fields, **more}

    entries = [
        entry("applier", "Apply", {**replicas, **labels}, time="2026-01-01T00:00:00Z"),
        entry("reader", "Update", labels, time="2026-01-01T00:00:00Z"),
        {**entry("old", "Update", replicas), "apiVersion": "apps/v1beta1"},
    ]
    paths = {"apps/v1": ("f:spec", "f:replicas")}
    scale = to_scale(entries, paths)
    assert [(one["manager"], one["apiVersion"], one["fieldsV1"]) for one in scale] == [
        ("applier", "autoscaling/v1", replicas)
    ]
    kept = to_workload(entries, scale, paths, "apps/v1")
    assert [one["manager"] for one in kept] == ["applier", "reader"]
    stolen = [{**scale[0], "manager": "scaler", "operation": "Update", "subresource": "scale"}]
    after = to_workload(entries, stolen, paths, "apps/v1")
    assert [(one["manager"], one["fieldsV1"], one.get("time")) for one in after] == [
        ("applier", labels, "2026-01-01T00:00:00Z"),
        ("scaler", replicas, None),
        ("reader", labels, "2026-01-01T00:00:00Z"),
    ]


def test_entries_are_compared_without_their_times() -> None:
    entry = {"manager": "a", "time": "1"}
    assert same_but_times([entry], [{"manager": "a"}])
    assert not same_but_times([entry], [{"manager": "b"}])
    assert not same_but_times([entry], [entry, entry])
    assert not same_but_times(None, None)


def test_quantities_that_cant_be_read_are_told_as_the_server_tells_them() -> None:
    container = {"name": "c", "resources": {"limits": {"cpu": "much"}}}
    config = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "d"},
        "spec": {"template": {"spec": {"containers": [container]}}},
    }
    with pytest.raises(APIError) as caught:
        DEPLOYMENT.applied(None, config, writer("one"), force=False)
    assert caught.value.code == 500
    assert str(caught.value).startswith(
        "failed to convert new object (/d; apps/v1, Kind=Deployment) to proper version: "
        "unable to convert unstructured object to apps/v1, Kind=Deployment: quantities must match"
    )


def test_other_versions_are_seen_in_their_own_terms() -> None:
    def convert(tree: Any, version: str) -> Any:
        if version != "autoscaling/v1":
            raise LookupError(version)
        walker = Schemas.load().walker("io.k8s.api.autoscaling.v1.HorizontalPodAutoscaler")
        return walker.read({**tree, "apiVersion": version, "spec": {"maxReplicas": tree["spec"]["maxReplicas"]}})[0]

    both = Ownership(
        "io.k8s.api.autoscaling.v2.HorizontalPodAutoscaler",
        "autoscaling/v2",
        "HorizontalPodAutoscaler",
        convert=convert,
    )
    old: Any = {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "h", "uid": "u"},
        "spec": {"scaleTargetRef": {"kind": "X", "name": "x"}, "maxReplicas": 3, "metrics": [{"type": "Resource"}]},
    }
    fields = set_of(("f:spec", "f:maxReplicas"), ("f:spec", "f:metrics"))
    entry = {"manager": "v1", "operation": "Update", "apiVersion": "autoscaling/v1", "fieldsType": "FieldsV1"}
    old["metadata"]["managedFields"] = [{**entry, "fieldsV1": fields}]
    new = {**old, "spec": {**old["spec"], "maxReplicas": 4, "metrics": []}}
    left = {one["manager"]: one["fieldsV1"] for one in both.updated(old, new, writer("v2")) or ()}
    assert left == {"v1": {"f:spec": {"f:metrics": {}}}, "v2": {"f:spec": {"f:maxReplicas": {}, "f:metrics": {}}}}


class Widgets:
    """The type of a kind without a definition: lists are atomic, all else is granular."""

    def __init__(self) -> None:
        self.empty: dict[str, Any] = {"metadata": {}}
        shapes = load_shapes()
        metadata = shapes.of("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta")
        scalar, anything = Shape("string"), Shape("untyped")
        anything.list, anything.map = ListShape(anything), MapShape(element=anything)
        self._shape = Shape(
            map=MapShape({"apiVersion": scalar, "kind": scalar, "metadata": metadata, "spec": anything})
        )

    def shape(self, version: str) -> Shape:
        return self._shape

    def compare(self, version: str) -> Any:
        return load_comparer().compile(self._shape)

    def settle(self, tree: dict[str, Any]) -> None:
        """Anything goes."""


def test_a_kind_without_a_definition_brings_its_own_type() -> None:
    widgets = Ownership("", "example.com/v1", "Widget", typing=Widgets())

    def widget(spec: Any) -> Any:
        return {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "w"}, "spec": spec}

    tree = widgets.applied(None, widget({"a": {"b": 1}, "list": [1]}), writer("one"), force=False)
    assert owned(tree) == {("one", "Apply"): {"f:spec": {"f:a": {".": {}, "f:b": {}}, "f:list": {}}}}
    tree = widgets.applied(tree, widget({"a": {"c": 2}}), writer("two"), force=False)
    assert tree["spec"] == {"a": {"b": 1, "c": 2}, "list": [1]}
    with pytest.raises(APIError, match=r"conflict with \"one\": \.spec\.list"):
        widgets.applied(tree, widget({"list": [2]}), writer("two"), force=False)
    changed = widgets.updated(tree, {**tree, "spec": {"a": 1}}, writer("three"))
    assert {one["manager"]: one["fieldsV1"] for one in changed or ()}["three"] == {"f:spec": {"f:a": {}}}


def test_objects_of_one_template_share_their_sets_and_others_do_not() -> None:
    ownership = Ownership("io.k8s.api.core.v1.Pod", "v1", "Pod")
    walker = Schemas.load().walker("io.k8s.api.core.v1.Pod")

    def first(name: str, image: str = "a", **labels: str) -> Any:
        owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "r", "uid": "1"}
        pod, _ = walker.read(
            {
                "metadata": {"name": name, "labels": labels, "ownerReferences": [owner]},
                "spec": {"containers": [{"name": "c", "image": image}]},
            }
        )
        entries = ownership.updated(None, pod, Writer(manager="m", now=name))
        assert entries is not None
        return entries[0]

    one, two, other = first("one", app="x"), first("two", app="x"), first("three", tier="x")
    assert one["fieldsV1"] is two["fieldsV1"]
    assert (one["time"], two["time"]) == ("one", "two")
    assert other["fieldsV1"] != one["fieldsV1"]
    assert "f:tier" in other["fieldsV1"]["f:metadata"]["f:labels"]
