"""Types made of schemas, and how large their values may be."""

from __future__ import annotations

from typing import Any

import pytest

from hyperkube_machinery.cel import types
from hyperkube_machinery.cel.kubernetes.declared import declared_type
from hyperkube_machinery.cel.types import ObjectType, Type, list_of, map_of

TEXT = {"type": "string"}
LONGEST = 3 * 1024 * 1024 - 2


@pytest.mark.parametrize(
    ("schema", "type_", "most", "least"),
    [
        ({"type": "boolean"}, types.BOOL, 0, 4),
        ({"type": "integer"}, types.INT, 0, 1),
        ({"type": "number"}, types.DOUBLE, 0, 1),
        (TEXT, types.STRING, LONGEST, 2),
        ({"type": "string", "maxLength": 5}, types.STRING, 20, 2),
        ({"type": "string", "maxLength": -1}, types.STRING, 0, 2),
        ({"type": "string", "enum": ["a", "bcd"]}, types.STRING, 3, 2),
        ({"type": "string", "format": "byte"}, types.BYTES, LONGEST, 2),
        ({"type": "string", "format": "byte", "maxLength": 5}, types.BYTES, 5, 2),
        ({"type": "string", "format": "duration"}, types.DURATION, 32, 3),
        ({"type": "string", "format": "date"}, types.TIMESTAMP, 12, 12),
        ({"type": "string", "format": "date-time"}, types.TIMESTAMP, 32, 21),
        ({"type": "string", "format": "uri"}, types.STRING, LONGEST, 2),
        ({"x-kubernetes-int-or-string": True}, types.DYN, LONGEST, 1),
        ({"x-kubernetes-int-or-string": True, "maxLength": 3}, types.DYN, 12, 1),
        ({"type": "array", "items": TEXT}, list_of(types.STRING), LONGEST // 3, 2),
        ({"type": "array", "items": TEXT, "maxItems": 7}, list_of(types.STRING), 7, 2),
        ({"type": "object", "additionalProperties": TEXT}, map_of(types.STRING, types.STRING), LONGEST // 8, 2),
        (
            {"type": "object", "additionalProperties": TEXT, "maxProperties": 4},
            map_of(types.STRING, types.STRING),
            4,
            2,
        ),
    ],
)
def test_a_schema_makes_a_type_of_known_size(schema: dict[str, Any], type_: Type, most: int, least: int) -> None:
    declared = declared_type(schema)
    assert declared is not None
    assert declared.named("self") == type_
    assert (declared.most, declared.least_json) == (most, least)


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"x-kubernetes-preserve-unknown-fields": True},
        {"type": "array"},
        {"type": "array", "items": {"x-kubernetes-preserve-unknown-fields": True}},
        {"type": "object", "additionalProperties": {"x-kubernetes-preserve-unknown-fields": True}},
    ],
)
def test_data_that_nobody_declared_has_no_type(schema: dict[str, Any]) -> None:
    assert declared_type(schema) is None


def test_fields_are_named_by_their_paths_and_escaped() -> None:
    schema = {
        "type": "object",
        "properties": {
            "namespace": TEXT,
            "free": {"x-kubernetes-preserve-unknown-fields": True},
            "items": {"type": "array", "items": {"type": "object", "properties": {"a-b": {"type": "integer"}}}},
            "$ref": TEXT,
        },
    }
    declared = declared_type(schema)
    assert declared is not None
    root = declared.named("self")
    assert isinstance(root, ObjectType)
    assert set(root.fields) == {"__namespace__", "items"}
    assert root.fields["__namespace__"].key == "namespace"
    item = root.fields["items"].type.parameters[0]
    assert isinstance(item, ObjectType)
    assert item.name == "self.items.@idx"
    assert item.fields["a__dash__b"].key == "a-b"
    assert item.fields["a__dash__b"].type == types.INT


def test_the_smallest_object_has_the_required_fields_without_defaults() -> None:
    schema = {
        "type": "object",
        "required": ["a", "bb", "cc"],
        "properties": {"a": {"type": "integer"}, "bb": TEXT, "cc": {"type": "integer", "default": 1}, "d": TEXT},
    }
    declared = declared_type(schema)
    assert declared is not None
    assert declared.least_json == 2 + (1 + 1 + 4) + (2 + 2 + 4)


def test_a_resource_has_a_kind_and_names_even_if_its_schema_is_silent() -> None:
    schema = {"type": "object", "properties": {"metadata": {"type": "object"}, "spec": {"type": "object"}}}
    declared = declared_type(schema, is_resource=True)
    assert declared is not None
    root = declared.named("self")
    assert isinstance(root, ObjectType)
    assert set(root.fields) == {"metadata", "spec", "kind", "apiVersion"}
    metadata = root.fields["metadata"].type
    assert isinstance(metadata, ObjectType)
    assert set(metadata.fields) == {"name", "generateName"}


def test_embedded_resources_have_them_too() -> None:
    inner = {"type": "object", "x-kubernetes-embedded-resource": True, "x-kubernetes-preserve-unknown-fields": True}
    declared = declared_type({"type": "object", "properties": {"template": inner}})
    assert declared is not None
    assert declared.at(("template", "metadata", "name")) is not None


def test_sizes_are_told_of_what_a_path_leads_to() -> None:
    schema = {
        "type": "object",
        "properties": {
            "list": {"type": "array", "maxItems": 3, "items": {"type": "string", "maxLength": 2}},
            "map": {"type": "object", "maxProperties": 4, "additionalProperties": {"type": "string", "maxLength": 1}},
        },
    }
    declared = declared_type(schema)
    assert declared is not None
    told = {
        path: size.max if (size := declared.size_at(("self", *path))) else None
        for path in [("list",), ("list", "@items"), ("map",), ("map", "@values"), ("map", "@keys"), ("other",)]
    }
    assert told == {
        ("list",): 3,
        ("list", "@items"): 8,
        ("map",): 4,
        ("map", "@values"): 4,
        ("map", "@keys"): 0,
        ("other",): None,
    }


def test_references_are_followed_until_they_come_back() -> None:
    documents: dict[str, dict[str, Any]] = {
        "#/Node": {"type": "object", "properties": {"name": TEXT, "child": {"allOf": [{"$ref": "#/Node"}]}}},
        "#/Quantity": {"type": "string", "format": "int-or-string"},
    }
    schema = {"type": "object", "properties": {"root": {"$ref": "#/Node"}, "size": {"$ref": "#/Quantity"}}}
    declared = declared_type(schema, resolve=documents.get)
    assert declared is not None
    child = declared.at(("root", "child"))
    assert child is not None
    assert child.fields == {}
    size = declared.at(("size",))
    assert size is not None
    assert size.simple is types.DYN
