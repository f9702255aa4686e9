"""The fast way to know that there is nothing to prune in a value, which is usual.

Each schema becomes one closure that says whether a value is as pruning would leave it: without unknown fields and
without nulls to drop, and the metadata of resources inside of it in canonical form. If it says no, the exact walk
(`pruning`, `embedded`) finds out what there is to do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from hyperkube_apiserver.crd.schema.embedded import METADATA
from hyperkube_apiserver.registry.apiextensions.pruning import META, keeps_unknown
from hyperkube_apiserver.registry.apiextensions.structural import items_of
from hyperkube_machinery.schema import Schemas, WrongType

__all__ = ["Clean", "compile_clean"]

Tree = Mapping[str, Any]
Clean = Callable[[Any], bool]

_SCALARS = frozenset({str, int, float, bool})


def compile_clean(schema: Tree) -> Clean:
    """Whether pruning leaves a resource of `schema` as it is, its own metadata aside."""
    return _compile(schema, keeps_unknown(schema), is_root=True)


def _compile(schema: Tree, keeps: bool, *, is_root: bool = False) -> Clean:
    properties, others = schema.get("properties") or {}, schema.get("additionalProperties")
    items = items_of(schema)
    embedded = bool(schema.get("x-kubernetes-embedded-resource"))
    if not (properties or items or others is not None or embedded or keeps or is_root):
        return _is_nullable_scalar if _takes_null(schema) else _is_scalar
    steps = {name: _compile(inner, keeps_unknown(inner)) for name, inner in properties.items()}
    if embedded:
        steps |= {"apiVersion": _is_text, "kind": _is_text, "metadata": _is_normal}
    elif is_root:
        steps |= dict.fromkeys(META, _is_anything)
    rest = _rest(others, keeps)
    check_item = _compile(items, keeps or keeps_unknown(items)) if items is not None else _rest(None, keeps) or _is_leaf
    takes_null = _takes_null(schema) and not is_root

    def is_clean(value: Any) -> bool:
        if value.__class__ is dict:
            for key, inner in value.items():
                check = steps.get(key, rest)
                if check is None or ((check is not _is_scalar or inner.__class__ not in _SCALARS) and not check(inner)):
                    return False
            return True
        if value.__class__ is list:
            # A null item is never dropped.
            return all(item is None or check_item(item) for item in value)
        return value is not None or takes_null

    return is_clean


def _takes_null(schema: Tree) -> bool:
    """Whether null stays in a field of `schema`: it may be, or gives way to a default later."""
    return bool(schema.get("nullable")) or schema.get("default") is not None


def _rest(others: Any, keeps: bool) -> Clean | None:
    """What is asked of fields that are not specified; None if there may be none."""
    if isinstance(others, dict):
        return _compile(others, keeps_unknown(others))
    if others is not None:
        return _is_leaf
    return _is_anything if keeps else None


def _is_scalar(value: Any) -> bool:
    return value.__class__ in _SCALARS


def _is_nullable_scalar(value: Any) -> bool:
    return value is None or value.__class__ in _SCALARS


def _is_leaf(value: Any) -> bool:
    """Of no schema at all, so that nothing may be in it."""
    if value.__class__ is list:
        return all(map(_is_leaf, value))
    return value.__class__ is not dict or not value


def _is_anything(value: Any) -> bool:
    return True


def _is_text(value: Any) -> bool:
    return value.__class__ is str


def _is_normal(value: Any) -> bool:
    """Whether metadata are as the API writes them."""
    try:
        normal, strict = Schemas.load().walker(METADATA).read(value)
    except WrongType:
        return False
    return not strict and normal == value
