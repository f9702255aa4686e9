"""Items of lists that are sets or maps: none may be there twice.

Source: k8s.io/apiextensions-apiserver/pkg/apiserver/schema/listtype.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hyperkube_apiserver.registry.apiextensions.structural import items_of
from hyperkube_machinery.encoding import encode_sorted
from hyperkube_machinery.errors import FieldError

__all__ = ["has_duplicates", "validate_items"]

Tree = Mapping[str, Any]


def validate_items(value: Any, schema: Tree | None, path: str = "") -> list[FieldError]:
    """What is wrong with the sets and maps in a value of a structural schema."""
    if schema is None:
        return []
    errors: list[FieldError] = []
    if isinstance(value, list):
        list_type = schema.get("x-kubernetes-list-type")
        if list_type == "set":
            errors += [FieldError.duplicate(f"{path}[{index}]", value[index]) for index in _repeated(value)]
        elif list_type == "map":
            errors += _validate_map(value, schema.get("x-kubernetes-list-map-keys") or (), path)
        if (items := items_of(schema)) is not None:
            for index, item in enumerate(value):
                errors += validate_items(item, items, f"{path}[{index}]")
    elif isinstance(value, dict):
        properties, others = schema.get("properties") or {}, schema.get("additionalProperties")
        for key, inner in value.items():
            if isinstance(others, dict):
                errors += validate_items(inner, others, f"{path}[{key}]")
            if key in properties:
                errors += validate_items(inner, properties[key], f"{path}.{key}" if path else key)
    return errors


def has_duplicates(items: Sequence[Any], keys: Sequence[str] | None) -> bool:
    """Whether one of `items` may be there twice, or its `keys`; if not, none is for sure."""
    try:
        if keys is None:
            return len(set(items)) < len(items)
        if len(keys) == 1:
            key = keys[0]
            return len({item[key] for item in items}) < len(items)
        return len({tuple([item[key] for key in keys]) for item in items}) < len(items)
    except (KeyError, TypeError):  # a key is missing, or is no scalar
        return True


def _identity(value: Any) -> Any:
    """What is equal for equal values, and for no others."""
    if isinstance(value, dict | list):
        return encode_sorted(value)
    return value.__class__, value


def _keys_of(item: Any, keys: Sequence[str]) -> dict[str, Any]:
    return {key: item[key] for key in keys if key in item} if isinstance(item, dict) else {}


def _repeated(items: Sequence[Any]) -> list[int]:
    """Where items come for the second time."""
    times: dict[Any, int] = {}
    found: list[int] = []
    for index, item in enumerate(items):
        identity = _identity(item)
        times[identity] = times.get(identity, 0) + 1
        if times[identity] == 2:
            found.append(index)
    return found


def _validate_map(items: list[Any], keys: Sequence[str], path: str) -> list[FieldError]:
    for index, item in enumerate(items):
        if item is not None and not isinstance(item, dict):
            text = "must be an object for an array of list-type map"
            return [FieldError.invalid(f"{path}[{index}]", item, text)]
    shown = [_keys_of(item, keys) for item in items]
    return [FieldError.duplicate(f"{path}[{index}]", shown[index]) for index in _repeated(shown)]
