"""What a schema says of ownership: how its lists and maps are merged.

Source: k8s.io/kube-openapi/pkg/schemaconv (openapi.go), k8s.io/apiextensions-apiserver/pkg/controller/openapi/builder
(addEmbeddedProperties).
"""

from __future__ import annotations

import operator
from collections.abc import Mapping
from typing import Any

from hyperkube_apiserver.crd.schema.embedded import METADATA
from hyperkube_apiserver.crd.schema.validity import Valid
from hyperkube_apiserver.registry.apiextensions.sameness import alike
from hyperkube_apiserver.registry.apiextensions.structural import items_of, sub_schemas
from hyperkube_machinery.fields import FieldSet
from hyperkube_machinery.fields.compare import Comparer
from hyperkube_machinery.fields.shapes import DEDUCED, UNTYPED, BadItem, ListShape, MapShape, Shape, load_shapes
from hyperkube_machinery.fields.typed import BadValue, check
from hyperkube_machinery.fields.typings import Compare

__all__ = ["compile_compare", "shape_of"]

Tree = Mapping[str, Any]

_SCALARS = {"integer": "numeric", "number": "numeric", "boolean": "boolean"}


def shape_of(schema: Tree, *, preserves_unknown: bool = False) -> Shape:
    """The type of a resource of `schema`; `preserves_unknown` is what the definition says of all its versions."""
    shape = _shape({"type": "object", **schema}, preserves_unknown)
    assert shape.map is not None
    shape.map.fields |= _type_and_metadata()
    return shape


def compile_compare(schema: Tree, shape: Shape, is_valid: Valid) -> Compare:
    """The comparison of two objects, which raises BadItem where a value is of a type that its schema does not allow.

    Who writes is recorded before what is written is validated; but what `is_valid` is of the right types for sure.
    """
    # Only where a schema leaves types open may true be in the place of 1.
    equal = alike if any(map(_is_open, sub_schemas(schema))) else operator.eq
    compare = Comparer(load_shapes(), equal).compile(shape)

    def careful(old: Any, new: Any) -> tuple[FieldSet, FieldSet]:
        try:
            if not is_valid(new):
                check(new, shape, allow_duplicates=True)
            return compare(old, new)
        except BadValue as error:
            raise BadItem(str(error)) from error
        except (BadItem, AttributeError, TypeError) as error:  # the last two are about an old object
            raise _with_place(error, new if isinstance(error, BadItem) else old, shape) from error

    return careful


def _with_place(error: Exception, value: Any, shape: Shape) -> BadItem:
    """What is wrong with `value`, told with its place, if it can be found."""
    try:
        check(value, shape, allow_duplicates=True)
    except BadValue as exc:
        return BadItem(str(exc))
    return BadItem(str(error))


def _is_open(schema: Tree) -> bool:
    if schema.get("x-kubernetes-int-or-string"):
        return False
    has_fields = schema.get("properties") or isinstance(schema.get("additionalProperties"), dict)
    return bool(schema.get("x-kubernetes-preserve-unknown-fields")) or (
        (schema.get("type") or "object") == "object" and not has_fields
    )


def _type_and_metadata() -> dict[str, Shape]:
    return {"apiVersion": Shape("string"), "kind": Shape("string"), "metadata": load_shapes().of(METADATA)}


def _shape(schema: Tree, preserves: bool) -> Shape:
    """`preserves`: whether this or anything around it keeps unknown fields."""
    preserves = preserves or bool(schema.get("x-kubernetes-preserve-unknown-fields"))
    type_ = schema.get("type") or ""
    if type_ == "object":
        return Shape(map=_map(schema, preserves))
    if type_ == "array":
        return Shape(list=_list(schema, preserves))
    if type_ == "string":
        return Shape("string" if schema.get("format") in (None, "", "byte") else "untyped")
    if type_:
        return Shape(_SCALARS.get(type_, "untyped"))
    return Shape("untyped", _list(schema, preserves), _map(schema, preserves))


def _map(schema: Tree, preserves: bool) -> MapShape:
    properties, others = schema.get("properties") or {}, schema.get("additionalProperties")
    fields = {name: _shape(inner, preserves) for name, inner in properties.items()}
    if schema.get("x-kubernetes-embedded-resource"):
        fields |= _type_and_metadata()
    element: Shape | None = None
    if isinstance(others, dict):
        element = _shape(others, preserves)
    elif others is True or (others is None and (preserves or not fields)):
        element = DEDUCED
    return MapShape(fields, element, atomic=schema.get("x-kubernetes-map-type") == "atomic")


def _list(schema: Tree, preserves: bool) -> ListShape:
    items = items_of(schema)
    element = UNTYPED if items is None else _shape(items, preserves)
    list_type = schema.get("x-kubernetes-list-type") or "atomic"
    keys = tuple(schema.get("x-kubernetes-list-map-keys") or ()) if list_type == "map" else ()
    properties = (items or {}).get("properties") or {}
    defaults = {
        key: properties[key]["default"] for key in keys if (properties.get(key) or {}).get("default") is not None
    }
    return ListShape(element, list_type == "atomic", keys, defaults)
