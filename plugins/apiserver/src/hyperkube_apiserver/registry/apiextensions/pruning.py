"""Values without the fields that a structural schema does not specify.

Source: k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hyperkube_apiserver.registry.apiextensions.structural import items_of

__all__ = ["prune"]

Tree = Mapping[str, Any]

_META = ("apiVersion", "kind", "metadata")


def prune(value: Any, schema: Tree | None, *, is_resource: bool = False) -> Any:
    """`value` with unknown fields left out. What is a resource keeps its type and metadata whatever they hold."""
    return _prune(value, schema, is_resource, keeps_unknown=_keeps_unknown(schema))


def _keeps_unknown(schema: Tree | None) -> bool:
    return schema is not None and bool(schema.get("x-kubernetes-preserve-unknown-fields"))


def _prune(value: Any, schema: Tree | None, is_resource: bool, *, keeps_unknown: bool) -> Any:
    """Where unknown fields are kept, what is below the specified ones is pruned all the same."""
    if schema is None and keeps_unknown:
        return value
    if isinstance(value, list):
        items = None if schema is None else items_of(schema)
        keeps = keeps_unknown or _keeps_unknown(items)
        return [_prune(item, items, False, keeps_unknown=keeps) for item in value]
    if not isinstance(value, dict):
        return value
    if schema is None:
        return {}
    is_resource = is_resource or bool(schema.get("x-kubernetes-embedded-resource"))
    properties, others = schema.get("properties") or {}, schema.get("additionalProperties")
    result: dict[str, Any] = {}
    for key, inner in value.items():
        if is_resource and key in _META:
            result[key] = inner
        elif key in properties:
            result[key] = prune(inner, properties[key])
        elif others is not None:
            result[key] = prune(inner, others if isinstance(others, dict) else None)
        elif keeps_unknown:
            result[key] = inner
    return result
