"""Documents as Go decodes them, strictly: fields that there are, of the types that they have. Pure.

Source: k8s.io/apimachinery/pkg/runtime/serializer/json, k8s.io/kubernetes/pkg/kubelet/kubeletconfig/util/codec.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from hyperkube_kubelet.configuration.keys import GROUP, KIND, Key, folders, keys
from hyperkube_machinery.durations import parse_duration
from hyperkube_machinery.quoting import quoted

__all__ = ["decoded", "merged"]

_GO = {
    "bool": "bool",
    "int32": "int32",
    "int64": "int64",
    "number": "float64",
    "string": "string",
    "duration": "string",
    "strings": "[]string",
    "integers": "[]int32",
    "map": "map[string]string",
    "gates": "map[string]bool",
    "taints": "[]v1.Taint",
    "headers": "map[string][]string",
    "object": "struct",
    "objects": "[]struct",
}
_ELEMENTS = {"strings": "string", "integers": "int32", "map": "string", "gates": "bool", "headers": "strings"}


def decoded(document: Mapping[str, Any]) -> dict[str, Any]:
    """The keys that a KubeletConfiguration sets, by their path; None where one is taken back.

    Raises ValueError, which names every field that there is not, or the first of a wrong type.
    """
    kind, version = document.get("kind"), document.get("apiVersion")
    if not kind:
        raise ValueError("Object 'Kind' is missing")
    if not version:
        raise ValueError("Object 'apiVersion' is missing")
    if (kind, version) != (KIND, GROUP):
        raise ValueError(
            f"no kind {quoted(str(kind))} is registered for version {quoted(str(version))}: it must be "
            f"{KIND} of {GROUP}"
        )
    rest = {name: value for name, value in document.items() if name not in ("kind", "apiVersion")}
    unknown: list[str] = []
    found = dict(_leaves(rest, "", unknown))
    if unknown:
        raise ValueError("strict decoding error: " + ", ".join(f"unknown field {quoted(path)}" for path in unknown))
    for path, value in found.items():
        if value is not None:
            _check(keys()[path], value)
    return found


def merged(layers: Iterator[Mapping[str, Any]]) -> dict[str, Any]:
    """What later layers say over what earlier ones do, mappings joined, as JSON merge patches (RFC 7386)."""
    whole: dict[str, Any] = {}
    for layer in layers:
        for path, value in layer.items():
            before = whole.get(path)
            if isinstance(value, Mapping) and isinstance(before, Mapping):
                value = {name: item for name, item in {**before, **value}.items() if item is not None}
            whole[path] = value
    return {path: value for path, value in whole.items() if keys()[path].is_set(value)}


def _leaves(document: Mapping[str, Any], above: str, unknown: list[str]) -> Iterator[tuple[str, Any]]:
    for name, value in document.items():
        path = f"{above}{name}"
        if path in keys():
            yield path, value
        elif path not in folders():
            unknown.append(path)
        elif isinstance(value, Mapping):
            yield from _leaves(value, f"{path}.", unknown)
        elif value is not None:
            raise ValueError(f"json: cannot unmarshal {_kind(value)} into Go struct field {KIND}.{path} of type struct")


def _check(key: Key, value: Any) -> None:
    """Raise ValueError unless a value is of its key's type; an item of a mapping may be taken back."""
    if isinstance(value, Mapping):
        value = {name: item for name, item in value.items() if item is not None}
    if not _fits(key.kind, value):
        element = _ELEMENTS.get(key.kind, "")
        wrong, of = value, key.kind
        if element and isinstance(value, list | Mapping):
            items = value.values() if isinstance(value, Mapping) else value
            wrong, of = next((item for item in items if not _fits(element, item)), value), element
        raise ValueError(
            f"json: cannot unmarshal {_kind(wrong)} into Go struct field {KIND}.{key.path} of type {_GO[of]}"
        )
    if key.kind == "duration":
        try:
            parse_duration(value)
        except ValueError as exc:
            raise ValueError(f"{key.path}: {exc}") from exc


def _fits(kind: str, value: Any) -> bool:
    match kind:
        case "bool":
            return isinstance(value, bool)
        case "int32" | "int64":
            bits = 31 if kind == "int32" else 63
            return isinstance(value, int) and not isinstance(value, bool) and -(1 << bits) <= value < 1 << bits
        case "number":
            return isinstance(value, int | float) and not isinstance(value, bool)
        case "string" | "duration":
            return isinstance(value, str)
        case "strings" | "integers":
            return isinstance(value, list) and all(_fits(_ELEMENTS[kind], item) for item in value)
        case "map" | "gates" | "headers":
            return isinstance(value, Mapping) and all(_fits(_ELEMENTS[kind], item) for item in value.values())
        case "object":
            return isinstance(value, Mapping)
    return isinstance(value, list) and all(isinstance(item, Mapping) for item in value)


def _kind(value: Any) -> str:
    """In the words of encoding/json."""
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int | float):
        return "number"
    if value is None:
        return "null"
    if isinstance(value, str):
        return "string"
    return "array" if isinstance(value, list) else "object"
