"""Defaults of a schema, filled in where there is nothing, or null though null may not be.

Source: k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting (algorithm.go, prune.go).
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any

from hyperkube_apiserver.registry.apiextensions.pruning import prune
from hyperkube_apiserver.registry.apiextensions.structural import items_of

__all__ = ["Fill", "compile_defaults"]

Tree = Mapping[str, Any]
Fill = Callable[[Any], Any]
"""A value with the defaults below it filled in; itself if there is nothing to fill in. The given one stays as it is."""


def compile_defaults(schema: Tree) -> Fill | None:
    """None if there are no defaults in `schema`."""
    properties, others = schema.get("properties") or {}, schema.get("additionalProperties")
    steps: list[tuple[str, Any, bool, Fill | None]] = []  # a field, its default, may it be null, what is below
    for name, inner in properties.items():
        default = _default_of(inner)
        fill = compile_defaults(inner)
        if default is not None or fill is not None:
            steps.append((name, default, bool(inner.get("nullable")), fill))
    rest = _every(others) if isinstance(others, dict) else None
    items = _every(items) if (items := items_of(schema)) is not None else None
    if not steps and rest is None and items is None:
        return None

    def fill_in(value: Any) -> Any:
        if value.__class__ is dict:
            full = value
            for name, default, nullable, fill in steps:
                before = inner = value.get(name)
                if inner is None and default is not None and not (nullable and name in value):
                    inner = copied(default)
                if fill is not None and inner is not None:
                    inner = fill(inner)
                if inner is not before:
                    full = {**value} if full is value else full
                    full[name] = inner
            if rest is not None:
                for name, before in value.items():
                    if name not in properties and (inner := rest(before)) is not before:
                        full = {**value} if full is value else full
                        full[name] = inner
            return full
        if value.__class__ is list and items is not None:
            filled = [items(item) for item in value]
            return filled if any(map(operator.is_not, filled, value)) else value
        return value

    return fill_in


def _every(schema: Tree) -> Fill | None:
    """What becomes of each of the values of `schema` in a list or map."""
    default, fill = _default_of(schema), compile_defaults(schema)
    if default is None or schema.get("nullable"):
        return fill

    def complete(value: Any) -> Any:
        value = copied(default) if value is None else value
        return value if fill is None else fill(value)

    return complete


def _default_of(schema: Tree) -> Any:
    """Of definitions that were stored before defaults were held against their schemas, without unknown fields."""
    default = schema.get("default")
    return default if default is None else prune(default, schema)


def copied(value: Any) -> Any:
    """Another tree like `value`."""
    if value.__class__ is dict:
        return {key: copied(inner) for key, inner in value.items()}
    return [copied(item) for item in value] if value.__class__ is list else value
