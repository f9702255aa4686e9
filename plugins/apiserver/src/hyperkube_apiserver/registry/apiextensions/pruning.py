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
    if schema is not None and schema.get("x-kubernetes-preserve-unknown-fields"):
        return _prune_known(value, schema, is_resource)
    if isinstance(value, list):
        items = None if schema is None else items_of(schema)
        return [prune(item, items) for item in value]
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
    return result


def _prune_known(value: Any, schema: Tree | None, is_resource: bool = False) -> Any:
    """Prune below the fields that are specified, and keep the others."""
    if schema is None:
        return value
    if isinstance(value, list):
        return [_prune_known(item, items_of(schema)) for item in value]
    if not isinstance(value, dict):
        return value
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
        else:
            result[key] = inner
    return result
