"""Type and metadata of resources inside of values, which no schema can restrict.

Source: k8s.io/apiextensions-apiserver/pkg/apiserver/schema/objectmeta.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from hyperkube_apiserver.registry import meta as object_meta
from hyperkube_machinery.errors import FieldError
from hyperkube_machinery.names import dns1035_label
from hyperkube_machinery.schema import Schemas, WrongType

__all__ = ["validate_embedded", "validate_resource"]

Tree = Mapping[str, Any]

_METADATA = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"


def validate_embedded(value: Any, schema: Tree, path: str = "", *, is_resource: bool = False) -> list[FieldError]:
    """What is wrong with the types and metadata of resources in `value`. Of a wrong type, one is told."""
    resources = list(_resources(value, schema, path, is_resource))
    for resource, at in resources:
        if error := _wrong_type(resource, at):
            return [error]
    return [error for resource, at in resources for error in _validate(resource, at)]


def validate_resource(resource: dict[str, Any], path: str = "") -> list[FieldError]:
    """What is wrong with the type and metadata of one resource."""
    error = _wrong_type(resource, path)
    return [error] if error else _validate(resource, path)


def _resources(value: Any, schema: Any, path: str, is_resource: bool) -> Iterator[tuple[dict[str, Any], str]]:
    if not isinstance(schema, dict):
        return
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from _resources(item, schema.get("items"), f"{path}[{index}]", False)
    if not isinstance(value, dict):
        return
    if is_resource or schema.get("x-kubernetes-embedded-resource"):
        yield value, path
    properties, others = schema.get("properties") or {}, schema.get("additionalProperties")
    for key, inner in value.items():
        if key in properties:
            yield from _resources(inner, properties[key], _child(path, key), False)
        else:
            yield from _resources(inner, others, f"{path}[{key}]", False)


def _child(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def _metadata(resource: dict[str, Any]) -> dict[str, Any]:
    """Raises WrongType; null is as good as nothing."""
    tree, _ = Schemas.load().walker(_METADATA).read({} if resource["metadata"] is None else resource["metadata"])
    return tree


def _wrong_type(resource: dict[str, Any], path: str) -> FieldError | None:
    for field in ("apiVersion", "kind"):
        if field in resource and not isinstance(resource[field], str):
            return FieldError.invalid(_child(path, field), resource[field], "must be a string")
    if "metadata" in resource:
        try:
            _metadata(resource)
        except WrongType as exc:
            return FieldError.invalid(_child(path, "metadata"), resource["metadata"], str(exc))
    return None


def _validate(resource: dict[str, Any], path: str) -> list[FieldError]:
    errors = [FieldError.required(_child(path, field)) for field in ("apiVersion", "kind") if field not in resource]
    if (version := resource.get("apiVersion")) is not None:
        if not version:
            errors.append(FieldError.invalid(_child(path, "apiVersion"), version, "must not be empty"))
        elif version.count("/") > 1:
            text = f"unexpected GroupVersion string: {version}"
            errors.append(FieldError.invalid(_child(path, "apiVersion"), version, text))
    if (kind := resource.get("kind")) is not None:
        if not kind:
            errors.append(FieldError.invalid(_child(path, "kind"), kind, "must not be empty"))
        elif wrong := dns1035_label(kind.lower()):
            text = f"may have mixed case, but should otherwise match: {','.join(wrong)}"
            errors.append(FieldError.invalid(_child(path, "kind"), kind, text))
    if "metadata" in resource:
        tree = _metadata(resource)
        tree.setdefault("name", "fakename")  # it may have none, though objects may not
        errors += object_meta.validate_meta({"metadata": tree}, object_meta.path_segment, _child(path, "metadata"))
    return errors
