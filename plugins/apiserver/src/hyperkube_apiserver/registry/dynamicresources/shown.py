"""Parts of claims as the API server's own types hold them, which messages show.

Source: k8s.io/kubernetes/pkg/apis/resource/types.go.
"""

from __future__ import annotations

from typing import Any

from hyperkube_apiserver.registry.internal import as_internal
from hyperkube_machinery.schema.table import Type, load_table

__all__ = ["shown"]

_GROUP = "io.k8s.api.resource.v1."
_CORE = "io.k8s.api.core.v1."
_NAMES = {"cel": "CEL"}
_ZEROS = {"string": "", "bool": False, "int32": 0, "int64": 0}


def shown(tree: dict[str, Any], definition: str) -> dict[str, Any]:
    """`tree`, of a type of the group called `definition`, with Go's names and order, nothing left out."""
    result: dict[str, Any] = {}
    for field in load_table().fields(_GROUP + definition):
        if field.name == "metadata":  # embedded
            result.update(tree.get("metadata") or {})
            continue
        name = _NAMES.get(field.name, field.name[:1].upper() + field.name[1:])
        result[name] = _value(tree.get(field.name), field.type)
    return result


def _value(value: Any, type_: Type) -> Any:
    if type_.kind == "struct" and type_.definition.startswith(_GROUP) and (value is not None or not type_.pointer):
        return shown(value or {}, type_.definition.removeprefix(_GROUP))
    if value is None:
        return None if type_.pointer else _ZEROS.get(type_.kind)
    if type_.kind == "struct" and type_.definition.startswith(_CORE):
        return as_internal(value, type_.definition.removeprefix(_CORE))
    if type_.kind == "list" and type_.element is not None:
        return [_value(item, type_.element) for item in value]
    if type_.kind == "map" and type_.element is not None:
        return {key: _value(value[key], type_.element) for key in sorted(value)}
    return value
