"""Values without the fields that a structural schema does not specify, and without nulls where it allows none.

Source: k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning and defaulting (prunenulls.go).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hyperkube_apiserver.registry.apiextensions.structural import items_of

__all__ = ["META", "keeps_unknown", "prune", "without_nulls"]

Tree = Mapping[str, Any]

META = ("apiVersion", "kind", "metadata")


def prune(value: Any, schema: Tree | None, *, is_resource: bool = False, unknown: list[str] | None = None) -> Any:
    """`value` with unknown fields left out; the paths of those go to `unknown`, in no order.

    What is a resource keeps its type and metadata whatever they hold.
    """
    return _prune(value, schema, "", is_resource, keeps_unknown(schema), unknown)


def keeps_unknown(schema: Tree | None) -> bool:
    """Whether unknown fields right in the values of `schema` stay."""
    return schema is not None and bool(schema.get("x-kubernetes-preserve-unknown-fields"))


def _prune(
    value: Any, schema: Tree | None, path: str, is_resource: bool, keeps: bool, unknown: list[str] | None
) -> Any:
    """Where unknown fields are kept, what is below the specified ones is pruned all the same."""
    if schema is None and keeps:
        return value
    if isinstance(value, list):
        items = None if schema is None else items_of(schema)
        keeps = keeps or keeps_unknown(items)
        return [_prune(item, items, f"{path}[{index}]", False, keeps, unknown) for index, item in enumerate(value)]
    if not isinstance(value, dict):
        return value
    schema = schema or {}
    is_resource = is_resource or bool(schema.get("x-kubernetes-embedded-resource"))
    properties, others = schema.get("properties") or {}, schema.get("additionalProperties")
    result: dict[str, Any] = {}
    for key, inner in value.items():
        at = f"{path}.{key}" if path else key
        if is_resource and key in META:
            result[key] = inner
        elif key in properties:
            within = properties[key]
            result[key] = _prune(inner, within, at, False, keeps_unknown(within), unknown)
        elif others is not None:
            rest = others if isinstance(others, dict) else None
            result[key] = _prune(inner, rest, at, False, keeps_unknown(rest), unknown)
        elif keeps:
            result[key] = inner
        elif unknown is not None:
            unknown.append(at)
    return result


def without_nulls(value: Any, schema: Tree | None) -> Any:
    """`value` without the fields that are null where they may not be, unless there is a default to fill in."""
    if schema is None or not isinstance(value, dict | list):
        return value
    if isinstance(value, list):
        items = items_of(schema)
        return [without_nulls(item, items) for item in value]
    properties, others = schema.get("properties") or {}, schema.get("additionalProperties")
    rest = others if isinstance(others, dict) else None
    result: dict[str, Any] = {}
    for key, inner in value.items():
        within = properties.get(key, rest)
        if inner is None and within is not None and not within.get("nullable") and within.get("default") is None:
            continue
        result[key] = without_nulls(inner, within)
    return result
