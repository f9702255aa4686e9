"""What a schema of custom resources is asked beside bodies: what was stored, patches, tables, selection, ownership."""

from __future__ import annotations

import copy
import gc
from collections.abc import Mapping
from typing import Any

import pytest

from hyperkube_apiserver.crd.schema import CustomSchema, CustomTyping
from hyperkube_apiserver.crd.schema.paths import NoResult, compile_path
from hyperkube_machinery.decoding import StrictError
from hyperkube_machinery.errors import APIError
from hyperkube_machinery.fields import Ownership, Writer
from hyperkube_machinery.schema import WrongType

PORT = {
    "type": "object",
    "required": ["port"],
    "properties": {"port": {"type": "integer"}, "protocol": {"type": "string", "default": "TCP"}},
}
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "spec": {
            "type": "object",
            "default": {},
            "properties": {
                "size": {"type": "integer", "default": 3},
                "color": {"type": "string"},
                "finalizers": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
                "limits": {"type": "object", "x-kubernetes-map-type": "atomic", "additionalProperties": {}},
                "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
                "ports": {
                    "type": "array",
                    "x-kubernetes-list-type": "map",
                    "x-kubernetes-list-map-keys": ["port", "protocol"],
                    "items": PORT,
                },
                "template": {"type": "object", "x-kubernetes-embedded-resource": True, "properties": {}},
            },
        },
    },
}
NOW = "2026-01-01T00:00:00Z"


def widget(spec: Any = None, **others: Any) -> dict[str, Any]:
    tree = {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "w"}, **others}
    return tree if spec is None else {**tree, "spec": spec}


def schema(tree: Mapping[str, Any] | None = SCHEMA, **facts: Any) -> CustomSchema:
    return CustomSchema(group="example.com", version="v1", kind="Widget", load=lambda: tree, **facts)


class TestStored:
    def test_what_the_schema_does_not_know_any_more_is_dropped_and_defaults_are_filled_in(self) -> None:
        tree = widget({"gone": 1, "ports": [{"port": 1}]})
        schema().restore(tree)
        assert tree["spec"] == {"size": 3, "ports": [{"port": 1, "protocol": "TCP"}]}
        assert tree["metadata"] == {"name": "w", "generation": 1}

    def test_metadata_that_make_no_sense_are_dropped_field_by_field(self) -> None:
        template = {"apiVersion": 1, "kind": "Pod", "metadata": {"name": "x", "labels": 5}}
        tree = widget({"template": template}, metadata={"name": "w", "labels": {"a": 1}, "generation": 7})
        schema().restore(tree)
        assert tree["metadata"] == {"name": "w", "generation": 7}
        assert tree["spec"]["template"] == {"kind": "Pod", "metadata": {"name": "x"}}

    def test_conversion_drops_no_metadata_but_refuses_them(self) -> None:
        with pytest.raises(WrongType, match=r"cannot unmarshal number into Go struct field ObjectMeta.labels of type"):
            schema().coerce(widget(metadata={"labels": {"a": 1}}))

    def test_a_shared_part_stays_as_it_is_while_defaults_are_filled_in(self) -> None:
        ports = [{"port": 1}]
        tree = widget({"ports": ports})
        schema().default(tree)
        assert tree["spec"]["ports"] == [{"port": 1, "protocol": "TCP"}]
        assert ports == [{"port": 1}]

    def test_each_object_has_a_default_of_its_own(self) -> None:
        one, other = widget(), widget()
        for tree in (one, other):
            schema().default(tree)
        one["spec"]["color"] = "red"
        assert other["spec"] == {"size": 3}


class TestPatched:
    def test_unknown_fields_are_told_after_those_of_the_patch_and_dropped(self) -> None:
        tree = widget({"b": 1, "a": 1}, metadata={"name": "w", "x": 1})
        warnings = schema().check(tree, field_validation="Warn", duplicates=['duplicate field "spec"'])
        unknown = ['unknown field "metadata.x"', 'unknown field "spec.a"', 'unknown field "spec.b"']
        assert warnings == ['duplicate field "spec"', *unknown]
        assert tree == widget({"size": 3})

    def test_under_strict_they_refuse_it_and_leave_it_as_it_is(self) -> None:
        tree = widget({"a": 1})
        with pytest.raises(StrictError, match=r'strict decoding error: unknown field "spec\.a"'):
            schema().check(tree, field_validation="Strict")
        assert tree == widget({"a": 1})

    def test_an_object_must_tell_its_kind(self) -> None:
        tree = widget()
        del tree["kind"]
        with pytest.raises(WrongType, match=r"Object 'Kind' is missing in '\{\"apiVersion\":\"example.com/v1\""):
            schema().check(tree, field_validation="Ignore")

    def test_the_wish_to_forget_all_owners_gets_through(self) -> None:
        tree = widget(metadata={"name": "w", "managedFields": []})
        schema().check(tree, field_validation="Ignore")
        assert tree["metadata"] == {"name": "w", "managedFields": []}


class TestValidation:
    def test_another_kind_is_all_that_is_told(self) -> None:
        errors = schema().validate({**widget({"size": "x"}), "kind": "Other"})
        assert [(error.field, error.message) for error in errors] == [
            ("kind", 'Invalid value: "Other": must be Widget')
        ]

    def test_scale_needs_numbers_of_replicas(self) -> None:
        paths = {
            "specReplicasPath": ".spec.n",
            "statusReplicasPath": ".status.n",
            "labelSelectorPath": ".status.s",
        }
        scaled = schema({"type": "object", "x-kubernetes-preserve-unknown-fields": True}, scale=paths)
        errors = scaled.validate(widget({"n": -1}, status={"n": 1 << 31, "s": 5}))
        assert [(error.field, error.message) for error in errors] == [
            (".spec.n", "Invalid value: -1: should be a non-negative integer"),
            (".status.n", "Invalid value: 2147483648: should be less than or equal to 2147483647"),
            (".status.s", 'Invalid value: "": .status.s accessor error: 5 is of the type int64, expected string'),
        ]

    def test_rules_are_not_asked_of_what_has_no_right_type(self) -> None:
        ruled = copy.deepcopy(SCHEMA)
        ruled["properties"]["spec"]["x-kubernetes-validations"] = [{"rule": "self.size > 0"}]
        errors = schema(ruled).validate(widget({"size": "x"}))
        assert [error.field for error in errors] == ["spec.size", "<nil>"]
        assert errors[1].message.startswith("Invalid value: null: some validation rules were not checked")


class TestLaziness:
    def test_a_schema_is_not_loaded_before_it_is_asked_something(self) -> None:
        def load() -> Mapping[str, Any]:
            raise AssertionError("nobody asked")

        lazy = CustomSchema(group="example.com", version="v1", kind="Widget", load=load)
        assert lazy.columns[0].name == "Name"
        assert lazy.selectable_fields == ()

    def test_equal_schemas_are_compiled_once_and_forgotten_with_the_last_of_them(self) -> None:
        one, other = schema(), schema(copy.deepcopy(SCHEMA))
        assert one.compiled is other.compiled
        different = schema({**SCHEMA, "description": "another"})
        assert different.compiled is not one.compiled
        known = id(one.compiled)
        del one, other
        gc.collect()
        assert all(id(found) != known for found in gc.get_objects() if type(found).__name__ == "Compiled")


class TestColumns:
    COLUMNS = (
        {"name": "Text", "type": "string", "jsonPath": ".spec.v", "description": "A text.", "priority": 1},
        {"name": "Whole", "type": "integer", "jsonPath": ".spec.v"},
        {"name": "Number", "type": "number", "jsonPath": ".spec.v"},
        {"name": "Truth", "type": "boolean", "jsonPath": ".spec.v"},
        {"name": "Since", "type": "date", "jsonPath": ".spec.v"},
    )

    @pytest.mark.parametrize(
        ("value", "cells"),
        [
            ("abc", ["abc", None, None, None, "<invalid>"]),
            ("2025-12-31T00:00:00Z", ["2025-12-31T00:00:00Z", None, None, None, "24h"]),
            (5, ["5", 5, 5, None, None]),
            (2.5, ["2.5", 2, 2.5, None, None]),
            (True, ["true", None, None, True, None]),
            ([1, "a"], ['[1,"a"]', None, None, None, None]),
            ({"b": 1, "a": 2}, ['{"a":2,"b":1}', None, None, None, None]),
            (["<&>"], ['["\\u003c\\u0026\\u003e"]', None, None, None, None]),
        ],
    )
    def test_cells_are_of_the_type_of_their_column(self, value: Any, cells: list[Any]) -> None:
        shown = list(schema(columns=self.COLUMNS).rows([widget({"v": value})], now=1767225600.0))
        assert shown == [["w", *cells]]

    def test_columns_say_where_their_values_come_from(self) -> None:
        columns = schema(columns=self.COLUMNS).columns
        assert [(one.name, one.priority) for one in columns[:3]] == [("Name", 0), ("Text", 1), ("Whole", 0)]
        assert columns[1].description == "A text."
        assert columns[2].description == "Custom resource definition column (in JSONPath format): .spec.v"

    def test_without_any_there_is_the_age(self) -> None:
        tree = widget(metadata={"name": "w", "creationTimestamp": "2025-12-31T23:59:00Z"})
        plain = schema()
        assert [column.name for column in plain.columns] == ["Name", "Age"]
        assert list(plain.rows([tree], now=1767225600.0)) == [["w", "60s"]]

    def test_those_from_the_first_that_makes_no_sense_on_are_missing(self) -> None:
        columns = (self.COLUMNS[0], {"name": "Odd", "type": "string", "jsonPath": ".spec["}, self.COLUMNS[1])
        assert [one.name for one in schema(columns=columns).columns] == ["Name", "Text"]


class TestPaths:
    TREE: Mapping[str, Any] = {
        "a": {"b.c": 1, "d": [10, 20, 30]},
        "conditions": [{"type": "Ready", "status": "True", "n": 1}, {"type": "Old", "status": "False", "n": 2}],
    }

    @pytest.mark.parametrize(
        ("path", "found"),
        [
            (".a.d[0]", [10]),
            (".a.d[-1]", [30]),
            (".a.d[*]", [10, 20, 30]),
            (".a.d[1:]", [20, 30]),
            (".a.d[0:3:2]", [10, 30]),
            (".a.d[0,2]", [10, 30]),
            (".a['b\\.c']", [1]),
            (".a.b\\.c", [1]),
            (".nothing.here", []),
            ("..n", [1, 2]),
            ('.conditions[?(@.type=="Ready")].status', ["True"]),
            (".conditions[?(@.n>1)].type", ["Old"]),
            (".conditions[?(@.missing)].type", []),
            (".conditions[?(@.missing==1)].type", []),
            (".conditions[*].type", ["Ready", "Old"]),
        ],
    )
    def test_a_path_leads_where_kubectl_would_get(self, path: str, found: list[Any]) -> None:
        assert compile_path(path)(self.TREE) == found

    @pytest.mark.parametrize("path", [".a.d[3]", ".a[0]", ".a[?(@.x)]", ".conditions[?(@.n=='1')]"])
    def test_one_that_does_not_fit_leads_nowhere(self, path: str) -> None:
        with pytest.raises(NoResult):
            compile_path(path)(self.TREE)


def test_objects_are_selected_by_what_stands_in_their_fields() -> None:
    fields = [{"jsonPath": ".spec.color"}, {"jsonPath": ".spec.size"}, {"jsonPath": ".spec.on"}]
    selecting = schema(selectable=fields)
    assert selecting.selectable_fields == ("spec.color", "spec.size", "spec.on")
    found = selecting.selected_by(widget({"size": 3, "on": True}))
    assert found == {"spec.color": "", "spec.size": "3", "spec.on": "true"}


class TestOwnership:
    @pytest.fixture
    def ownership(self) -> Ownership:
        typing = CustomTyping({"example.com/v1": schema()}, "example.com/v1")
        return Ownership("", "example.com/v1", "Widget", typing=typing)

    def applied(self, ownership: Ownership, manager: str, spec: Any, live: Any = None) -> dict[str, Any]:
        return ownership.applied(live, widget(spec), Writer(manager=manager, now=NOW), force=False)

    def test_items_with_keys_are_owned_one_by_one(self, ownership: Ownership) -> None:
        one = self.applied(ownership, "one", {"ports": [{"port": 1}]})
        both = self.applied(ownership, "other", {"ports": [{"port": 2}]}, one)
        assert [port["port"] for port in both["spec"]["ports"]] == [1, 2]
        fields = both["metadata"]["managedFields"][0]["fieldsV1"]
        assert list(fields["f:spec"]["f:ports"]) == ['k:{"port":1,"protocol":"TCP"}']

    def test_what_was_merged_has_its_defaults(self, ownership: Ownership) -> None:
        tree = self.applied(ownership, "one", {"ports": [{"port": 1}]})
        assert tree["spec"] == {"size": 3, "ports": [{"port": 1, "protocol": "TCP"}]}

    def test_what_is_applied_as_null_is_not_pruned_but_judged(self, ownership: Ownership) -> None:
        tree = self.applied(ownership, "one", {"color": None})
        assert tree["spec"]["color"] is None
        assert [error.field for error in schema().validate(tree)] == ["spec.color"]

    def test_sets_are_joined_and_atomic_maps_replaced(self, ownership: Ownership) -> None:
        one = self.applied(ownership, "one", {"finalizers": ["a"]})
        both = self.applied(ownership, "other", {"finalizers": ["b"], "limits": {"x": 1}}, one)
        assert sorted(both["spec"]["finalizers"]) == ["a", "b"]
        owned = next(entry for entry in both["metadata"]["managedFields"] if entry["manager"] == "other")
        assert owned["fieldsV1"]["f:spec"]["f:limits"] == {}

    def test_fields_that_nobody_specified_are_owned_where_they_are_kept(self, ownership: Ownership) -> None:
        tree = self.applied(ownership, "one", {"free": {"a": {"b": 1}}})
        assert tree["metadata"]["managedFields"][0]["fieldsV1"]["f:spec"]["f:free"] == {"f:a": {".": {}, "f:b": {}}}

    def test_elsewhere_they_are_refused(self, ownership: Ownership) -> None:
        with pytest.raises(APIError, match=r"\.spec\.gone: field not declared in schema"):
            self.applied(ownership, "one", {"gone": 1})

    def test_who_changes_a_field_owns_it(self, ownership: Ownership) -> None:
        old, new = widget({"size": 1}), widget({"size": 2})
        old["metadata"]["managedFields"] = ownership.updated(None, old, Writer(manager="one", now=NOW))
        entries = ownership.updated(old, new, Writer(manager="other", now=NOW))
        assert entries is not None
        owned = {entry["manager"]: entry["fieldsV1"] for entry in entries}
        assert owned == {"one": {"f:spec": {}}, "other": {"f:spec": {"f:size": {}}}}
