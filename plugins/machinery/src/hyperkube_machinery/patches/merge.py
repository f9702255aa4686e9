"""JSON merge patch (RFC 7386), as the API applies it.

Unlike the RFC, nulls inside objects in a new list are dropped too.
Source: gopkg.in/evanphx/json-patch.v4 (merge.go), k8s.io/apiserver/pkg/endpoints/handlers (patch.go).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hyperkube_machinery.decoding import duplicate_fields
from hyperkube_machinery.errors import APIError
from hyperkube_machinery.jsontext import BadJSON, has_duplicates, overflowing, parse, parse_exactly
from hyperkube_machinery.schema.exact import json_type, type_error

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["apply", "read"]

_NO_PATCH = "Invalid JSON Patch"


def read(
    body: bytes, *, field_validation: str = "Warn"
) -> tuple[Callable[[dict[str, Any]], dict[str, Any]], list[str]]:
    """The change that a body asks for, and its duplicate fields. Raises APIError 400 for what is no patch."""
    strict = field_validation != "Ignore"
    try:
        patch = parse(body)
    except BadJSON as error:
        raise APIError.bad_request(f"error decoding patch: {error}" if strict else _NO_PATCH) from None
    if not isinstance(patch, dict):
        if patch is None or not strict:
            raise APIError.bad_request(_NO_PATCH)
        wrong = type_error(json_type(patch), "map[string]interface {}")
        raise APIError.bad_request(f"error decoding patch: {wrong}")
    if strict and (number := overflowing(body)):
        raise APIError.bad_request(f"error decoding patch: {type_error(f'number {number}', 'float64')}")
    duplicates = []
    if strict and has_duplicates(body, patch):
        duplicates = duplicate_fields(parse_exactly(body))
    return lambda document: apply(document, patch), duplicates


def apply(document: dict[str, Any], patch: dict[str, Any]) -> dict[str, Any]:
    """`document` changed by `patch`. What was changed is sorted by key, as a Go map that is encoded."""
    merged = document.copy()
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = _merged(document.get(key), value)
    return {key: merged[key] for key in sorted(merged)}


def _merged(current: Any, patch: Any) -> Any:
    if not isinstance(current, dict):
        return _without_nulls(patch)
    return apply(current, patch) if isinstance(patch, dict) else patch


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(value[key]) for key in sorted(value) if value[key] is not None}
    if isinstance(value, list):
        return [_without_nulls(item) for item in value]
    return value
