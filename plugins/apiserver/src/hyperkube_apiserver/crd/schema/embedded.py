"""Types and metadata of resources, of the object itself and of those inside of it, as Go's structs have them.

Source: k8s.io/apiextensions-apiserver/pkg/apiserver/schema/objectmeta (algorithm.go, coerce.go).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hyperkube_apiserver.registry.apiextensions.structural import items_of
from hyperkube_machinery.errors import FieldError
from hyperkube_machinery.schema import Schemas, WrongType

__all__ = ["METADATA", "coerced", "in_order", "read_metadata"]

Tree = Mapping[str, Any]

METADATA = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
_UNKNOWN = 'unknown field "'


def read_metadata(
    metadata: Any, path: str = "", *, drops: bool = False, unknown: list[str] | None = None
) -> dict[str, Any]:
    """Metadata in canonical form. Raises WrongType, unless what is of a wrong type is dropped (`drops`).

    The paths of unknown fields go to `unknown`, those of the resource that stands at `path`.
    """
    walker = Schemas.load().walker(METADATA)
    try:
        normal, strict = walker.read({} if metadata is None else metadata)
    except WrongType:
        if not (drops and isinstance(metadata, dict)):
            raise
        return read_metadata(
            {key: value for key, value in metadata.items() if _decodes(key, value)}, path, unknown=unknown
        )
    if strict and unknown is not None:
        _, strict = walker.read(in_order(metadata))
        prefix = f"{path}.metadata" if path else "metadata"
        unknown += [f"{prefix}.{text[len(_UNKNOWN) : -1]}" for text in strict]
    return normal


def _decodes(key: str, value: Any) -> bool:
    try:
        Schemas.load().walker(METADATA).read({key: value})
    except WrongType:
        return False
    return True


def in_order(value: Any) -> Any:
    """`value` as Go writes a map: it is in that order that what is unknown is told."""
    if isinstance(value, dict):
        return {key: in_order(value[key]) for key in sorted(value)}
    return [in_order(item) for item in value] if isinstance(value, list) else value


def coerced(
    value: Any, schema: Tree | None, path: str = "", *, drops: bool = False, unknown: list[str] | None = None
) -> Any:
    """`value` with the types and metadata of the resources in it in canonical form; its own if its schema says so.

    Raises WrongType, unless what is of a wrong type is dropped (`drops`). The paths of unknown fields of metadata go to
    `unknown`, in no order.
    """
    if schema is None:
        return value
    if isinstance(value, list):
        items = items_of(schema)
        return [
            coerced(item, items, f"{path}[{index}]", drops=drops, unknown=unknown) for index, item in enumerate(value)
        ]
    if not isinstance(value, dict):
        return value
    embedded = bool(schema.get("x-kubernetes-embedded-resource"))
    properties, others = schema.get("properties") or {}, schema.get("additionalProperties")
    rest = others if isinstance(others, dict) else None
    result: dict[str, Any] = {}
    for key, inner in value.items():
        at = (f"{path}.{key}" if path else key) if key in properties or rest is None else f"{path}[{key}]"
        if embedded and key in ("apiVersion", "kind") and not isinstance(inner, str):
            if drops:
                continue
            raise WrongType(_told(FieldError.invalid(at, in_order(inner), "must be a string")))
        if embedded and key == "metadata":
            inner = _metadata(inner, path, at, drops, unknown)
        result[key] = coerced(inner, properties.get(key, rest), at, drops=drops, unknown=unknown)
    return result


def _metadata(value: Any, path: str, at: str, drops: bool, unknown: list[str] | None) -> Any:
    try:
        return read_metadata(value, path, drops=drops, unknown=unknown)
    except WrongType as error:
        if drops:
            return value
        raise WrongType(_told(FieldError.invalid(at, in_order(value), str(error)))) from None


def _told(error: FieldError) -> str:
    return f"{error.field}: {error.message}"
