"""The `fieldPath` of a rule as errors tell it: `.spec['a.b']` is `spec.a.b`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hyperkube_apiserver.registry.apiextensions.fieldpaths import FieldPathError, follow

__all__ = ["normalized"]


def normalized(path: str, schema: Mapping[str, Any]) -> str:
    """The fields and keys that `path` names, "" if there is none or it leads nowhere in `schema`."""
    try:
        names, _ = follow(path, schema)
    except FieldPathError:
        return ""
    told = ""
    current: Any = schema
    for name in names:
        if properties := current.get("properties"):
            told += f".{name}" if told else name
            current = properties[name]
        else:
            told += f"[{name}]"
            current = current["additionalProperties"]
    return told
