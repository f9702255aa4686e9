"""How lists and maps are merged, as schemas say it.

Source: k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/validation.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hyperkube_apiserver.registry.apiextensions.internalform import shown_schema
from hyperkube_machinery.errors import FieldError

__all__ = ["has_loose_set", "validate_list_and_map_type", "validate_map_keys"]

Tree = Mapping[str, Any]

_LIST, _MAP, _KEYS = "x-kubernetes-list-type", "x-kubernetes-map-type", "x-kubernetes-list-map-keys"
_ATOMIC = "must be atomic as item of a list with x-kubernetes-list-type=set"


def validate_list_and_map_type(schema: Tree, path: str, *, atomic_sets: bool) -> list[FieldError]:
    list_type, map_type = schema.get(_LIST), schema.get(_MAP)
    errors: list[FieldError] = []
    if map_type is not None:
        errors += _needs_type(schema, "object", _MAP, path)
        if map_type not in ("atomic", "granular"):
            errors.append(FieldError.not_supported(f"{path}.{_MAP}", map_type, ("atomic", "granular")))
    if list_type is not None:
        wrong = _needs_type(schema, "array", _LIST, path)
        errors += wrong
        if not wrong and atomic_sets and (field := has_loose_set(schema)):
            errors.append(FieldError.invalid(f"{path}.items.{field}", schema["items"].get(_LIST), _ATOMIC))
        if list_type not in ("atomic", "set", "map"):
            errors.append(FieldError.not_supported(f"{path}.{_LIST}", list_type, ("atomic", "set", "map")))
    if schema.get(_KEYS) and list_type != "map":
        text = f"must be map if {_KEYS} is non-empty"
        at = f"{path}.{_LIST}"
        errors.append(FieldError.required(at, text) if list_type is None else FieldError.invalid(at, list_type, text))
    return errors + (_validate_map_list(schema, path) if list_type == "map" else [])


def has_loose_set(schema: Tree) -> str:
    """The field by which the items of a set would have to be atomic and are not, "" if there is none."""
    items = schema.get("items")
    if schema.get(_LIST) != "set" or not isinstance(items, dict):
        return ""
    if items.get("type") == "array" and items.get(_LIST) not in (None, "atomic"):
        return _LIST
    if items.get("type") == "object" and items.get(_MAP) != "atomic":
        return _MAP
    return ""


def _needs_type(schema: Tree, wanted: str, extension: str, path: str) -> list[FieldError]:
    type_ = schema.get("type") or ""
    if type_ == wanted:
        return []
    text = f"must be {wanted} if {extension} is specified"
    at = f"{path}.type"
    return [FieldError.invalid(at, type_, text) if type_ else FieldError.required(at, text)]


def _validate_map_list(schema: Tree, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    keys, items = schema.get(_KEYS) or [], schema.get("items")
    if not keys:
        errors.append(FieldError.required(f"{path}.{_KEYS}", f"must not be empty if {_LIST} is map"))
    if items is None:
        errors.append(FieldError.required(f"{path}.items", f"must have a schema if {_LIST} is map"))
    elif not isinstance(items, dict):
        shown = {"Schema": None, "JSONSchemas": [shown_schema(one) for one in items]}
        errors.append(FieldError.invalid(f"{path}.items", shown, f"must only have a single schema if {_LIST} is map"))
    elif items.get("type") != "object":
        text = f"must be object if parent array's {_LIST} is map"
        errors.append(FieldError.invalid(f"{path}.items.type", items.get("type") or "", text))
    else:
        errors += _validate_keys(keys, items, path)
    return errors


def _validate_keys(keys: list[str], items: Tree, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    properties = items.get("properties") or {}
    for index, key in enumerate(keys):
        if key not in properties:
            text = "entries must all be names of item properties"
            errors.append(FieldError.invalid(f"{path}.{_KEYS}", keys, text))
        elif properties[key].get("type") in ("array", "object"):
            text = f"must be a scalar type if parent array's {_LIST} is map"
            errors.append(FieldError.invalid(f"{path}.items.properties[{key}].type", items.get("type") or "", text))
        if key in keys[:index]:
            errors.append(FieldError.invalid(f"{path}.{_KEYS}", keys, "must not contain duplicate entries"))
    return errors


def validate_map_keys(schema: Tree, path: str) -> list[FieldError]:
    """Items of sets and maps are there, and have their keys."""
    list_type, items = schema.get(_LIST), schema.get("items")
    if list_type not in ("set", "map") or not isinstance(items, dict):
        return []
    errors: list[FieldError] = []
    if items.get("nullable"):
        text = f"cannot be nullable when {_LIST} is {list_type}"
        errors.append(FieldError.forbidden(f"{path}.items.nullable", text))
    properties = items.get("properties") or {}
    for key in schema.get(_KEYS) or () if list_type == "map" else ():
        if key not in properties:
            continue
        at, why = f"{path}.items.properties[{key}]", f"this property is in {_KEYS}, so it"
        if key not in (items.get("required") or ()) and properties[key].get("default") is None:
            text = f"{why} must have a default or be a required property"
            errors.append(FieldError.required(f"{at}.default", text))
        if properties[key].get("nullable"):
            errors.append(FieldError.forbidden(f"{at}.nullable", f"{why} cannot be nullable"))
    return errors
