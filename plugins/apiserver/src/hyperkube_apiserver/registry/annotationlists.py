"""Lists that annotations hold as JSON: what was a field of its own only later.

Source: GetTolerationsFromPodAnnotations and GetTaintsFromNodeAnnotations in k8s.io/kubernetes/pkg/apis/core,
GetAvoidPodsFromNodeAnnotations in k8s.io/component-helpers/scheduling/corev1.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hyperkube_machinery.jsontext import BadJSON, parse

__all__ = ["parse_entries", "parse_list"]

_WORDS = {str: "string", bool: "bool", int: "number", float: "number", list: "array", dict: "object"}


def parse_list(text: str, kind: str, fields: Mapping[str, str]) -> list[dict[str, Any]]:
    """The objects in `text`, with their `fields` (each with its Go type, empty for any) and nothing else.

    Go reads them into its type `kind`, whose fields go by any case. Raises BadJSON, in Go's words.
    """
    value = parse(text.encode())
    if value is None:
        return []
    if not isinstance(value, list):
        raise BadJSON(_refusal(value, f"Go value of type []core.{kind}"))
    return [_element(one, kind, fields) for one in value]


def parse_entries(text: str, kind: str, field: str, entry: str) -> list[dict[str, Any]]:
    """The entries in the list `field` of the object in `text`, which Go reads into its type `kind`.

    Raises BadJSON, in Go's words; what is inside of an entry is left as it is.
    """
    value = parse(text.encode())
    if value is None:
        return []
    if not isinstance(value, dict):
        raise BadJSON(_refusal(value, f"Go value of type v1.{kind}"))
    entries = value.get(field)
    if not isinstance(entries, list | None):
        raise BadJSON(_refusal(entries, f"Go struct field {kind}.{field} of type []v1.{entry}"))
    for one in entries or ():
        if not isinstance(one, dict | None):
            raise BadJSON(_refusal(one, f"Go struct field {kind}.{field} of type v1.{entry}"))
    return [one or {} for one in entries or ()]


def _element(value: Any, kind: str, fields: Mapping[str, str]) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise BadJSON(_refusal(value, f"Go value of type core.{kind}"))
    known = {name.lower(): name for name in fields}
    found: dict[str, Any] = {}
    for given, inner in value.items():
        name = known.get(given.lower())
        if name is None or inner is None:
            continue
        go_type = fields[name]
        if go_type and type(inner) is not (int if go_type == "int64" else str):
            field = f"{kind}.{name[0].upper()}{name[1:]}"
            raise BadJSON(_refusal(inner, f"Go struct field {field} of type {go_type}"))
        found[name] = inner
    return found


def _refusal(value: Any, target: str) -> str:
    word = _WORDS[type(value)]
    shown = f"{word} {value}" if isinstance(value, float) and target.endswith(" int64") else word
    return f"json: cannot unmarshal {shown} into {target}"
